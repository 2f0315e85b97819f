//! Usage plans of a fleet, and the keys attached to them.

use super::{
    Fleet,
    state::{Field, Holder, Others, State},
};
use crate::{
    error::ConfigError,
    store::StoreError,
    usage_plan::{PlanChange, PlanObserver, UsagePlan, UsagePlans},
};
use bytes::Bytes;
use std::{
    str,
    sync::{Arc, Weak},
};

/// Fields of plans, which stand before those of attachments.
const PLAN: u8 = b'0';
const ATTACHED: u8 = b'1';

impl Fleet {
    /// Shares the plans: what is put, deleted, attached or detached in one process is so in all, and a process that comes
    /// later begins with it. Counters are not touched by that. As with [`share_keys`](Self::share_keys), what Redis knows
    /// of a plan counts, and not what the program was built with. The account's throttle is each process's own: set it in
    /// all of them.
    ///
    /// # Errors
    ///
    /// Redis does not answer: the plans are as they were, and not shared.
    pub async fn share_plans(&self, plans: &UsagePlans) -> Result<(), StoreError> {
        State::reach(&self.0).await?;
        let state = State::new(&self.0, "plans", PlanHolder(plans.clone()));
        let watching = Arc::new(Watching(Arc::downgrade(&state)));
        plans.observe(watching, |_| Ok::<_, ConfigError>(Vec::new())).map_err(refused)?;
        Ok(state.join(&self.0).await?)
    }
}

fn refused(error: ConfigError) -> StoreError {
    StoreError::caused_by("the plans cannot be shared", error)
}

/// The plans themselves.
struct PlanHolder(UsagePlans);

fn plan_field(id: &str) -> Vec<u8> {
    [&[PLAN], id.as_bytes()].concat()
}

/// The length of the plan's id stands before it: both may hold anything.
fn attachment_field(plan: &str, key: &str) -> Vec<u8> {
    [&[ATTACHED], &(plan.len() as u32).to_be_bytes()[..], plan.as_bytes(), key.as_bytes()].concat()
}

fn read_field(field: &[u8], value: Option<&Bytes>) -> Option<PlanChange> {
    match field.split_first()? {
        (&PLAN, id) => {
            let id = str::from_utf8(id).ok()?;
            // One that cannot be read here, or cannot be made: its keys are refused, as those of no plan.
            let plan = value.and_then(|value| UsagePlan::from_bytes(value).ok().flatten());
            let plan = plan.filter(|plan| plan.id() == id);
            Some(plan.map_or_else(|| PlanChange::Delete(id.into()), PlanChange::Put))
        }
        (&ATTACHED, rest) => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let (plan, key) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            let (plan, key): (Arc<str>, Arc<str>) =
                (str::from_utf8(plan).ok()?.into(), str::from_utf8(key).ok()?.into());
            Some(match value {
                Some(_) => PlanChange::Attach(plan, vec![key]),
                None => PlanChange::Detach(plan, key),
            })
        }
        _ => None,
    }
}

impl Holder for PlanHolder {
    fn apply(&self, others: &mut dyn FnMut() -> Others) {
        // Detachments first, then plans, then attachments: a key moves from one plan to another.
        let rank = |(field, value): &(Bytes, Option<Bytes>)| match (field.first(), value) {
            (Some(&ATTACHED), None) => 0,
            (Some(&PLAN), _) => 1,
            _ => 2,
        };
        self.0.apply(|| {
            let mut fields = others();
            fields.sort_by_key(rank);
            fields.iter().filter_map(|(field, value)| read_field(field, value.as_ref())).collect()
        });
    }

    fn fields(&self) -> Vec<Field> {
        let image = self.0.image();
        let plans = image.plans.iter().map(|plan| (plan_field(plan.id()), plan.to_bytes()));
        let attached = image.attachments.iter().map(|(plan, key)| (attachment_field(plan, key), vec![1]));
        plans.chain(attached).collect()
    }
}

/// Is told of changes that are made here.
struct Watching(Weak<State>);

impl PlanObserver for Watching {
    fn changing(&self, change: &PlanChange) -> Result<(), ConfigError> {
        let Some(state) = self.0.upgrade() else { return Ok(()) };
        let fields = match change {
            PlanChange::Put(plan) => vec![(plan_field(plan.id()), plan.to_bytes())],
            PlanChange::Delete(id) => deleted(&state, id),
            PlanChange::Attach(plan, keys) => {
                keys.iter().map(|key| (attachment_field(plan, key), vec![1])).collect()
            }
            PlanChange::Detach(plan, key) => vec![(attachment_field(plan, key), Vec::new())],
            // Each process's own.
            PlanChange::Account(_) => Vec::new(),
        };
        state.change(&fields);
        Ok(())
    }
}

/// A plan goes with its attachments: one of the same id that comes later begins without.
fn deleted(state: &State, id: &str) -> Vec<Field> {
    let prefix = attachment_field(id, "");
    let attached = state.fields().into_iter().filter(|(field, _)| field.starts_with(&prefix));
    attached.map(|(field, _)| (field, Vec::new())).chain([(plan_field(id), Vec::new())]).collect()
}

//! `UsagePlans`: the handle through which requests are charged and plans are changed at run time.

use super::{
    directory::{Directory, PlanState, ShadowCounts},
    lending::{Lending, Listener},
    observer::{Observers, PlanChange},
    plan::UsagePlan,
    quota::parse_day,
    report::UsageReport,
    resumed::Resumed,
    store::UsageListener,
    table::Table,
};
use crate::{
    clock::{Clock, Timestamp},
    context::subject,
    error::{ConfigError, ConfigErrorKind},
};
use arc_swap::ArcSwap;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering::Relaxed},
};

/// Plans, the keys attached to them, and what those have used. A clone is a reference count.
///
/// ```
/// use tower_gateway::throttle::Throttle;
/// use tower_gateway::usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans};
///
/// let basic = |limit| Ok::<_, tower_gateway::ConfigError>(
///     UsagePlan::new("basic").throttle(Throttle::new(2.0, 2)?).quota(Quota::new(limit, QuotaPeriod::Day)?),
/// );
/// let plans = UsagePlans::builder().plan(basic(5)?).attach("basic", "alice").build()?;
/// plans.put_plan(basic(10)?)?; // an edit keeps what was used
/// plans.update_remaining("basic", "alice", 50)?; // fifty more, in this period only
/// assert_eq!(plans.attach("gold", "alice").unwrap_err().value(), "gold");
/// assert_eq!(plans.plans().iter().map(UsagePlan::id).collect::<Vec<_>>(), ["basic"]);
/// assert_eq!(plans.keys_of("basic")?, ["alice"]);
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct UsagePlans(pub(super) Arc<Shared>);

/// Names the plans only: there may be millions of keys.
impl fmt::Debug for UsagePlans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory();
        f.debug_set().entries(directory.iter().map(|plan| plan.plan.id())).finish()
    }
}

pub(super) struct Shared {
    pub(super) directory: ArcSwap<Directory>,
    /// One edit at a time; requests never wait for it.
    pub(super) edits: Mutex<Observers>,
    pub(super) table: Table,
    pub(super) clock: Clock,
    pub(super) headers: bool,
    /// Where usage is shared.
    pub(super) lending: Option<Box<Lending>>,
    pub(super) resumed: Option<Resumed>,
}

/// A handle that keeps nothing alive.
#[derive(Clone)]
pub(super) struct WeakPlans(Weak<Shared>);

impl WeakPlans {
    pub(super) fn upgrade(&self) -> Option<UsagePlans> {
        self.0.upgrade().map(UsagePlans)
    }
}

/// The subject of a key id; [`VerifiedApiKey`](crate::context::VerifiedApiKey) carries it precomputed.
pub(super) fn subject_of_key(key_id: &str) -> u128 {
    subject("key", key_id)
}

impl UsagePlans {
    /// Tells these plans from others.
    pub(super) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(super) fn directory(&self) -> arc_swap::Guard<Arc<Directory>> {
        self.0.directory.load()
    }

    pub(super) fn table(&self) -> &Table {
        &self.0.table
    }

    pub(super) fn lending(&self) -> Option<&Lending> {
        self.0.lending.as_deref()
    }

    pub(super) fn downgrade(&self) -> WeakPlans {
        WeakPlans(Arc::downgrade(&self.0))
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) fn resumed(&self) -> Option<Resumed> {
        self.0.resumed
    }

    pub(super) fn sends_headers(&self) -> bool {
        self.0.headers
    }

    /// The listener lives as long as the handle.
    pub(super) fn listen(&self) {
        let Some(lending) = self.lending() else { return };
        let listener = lending.listener.get_or_init(|| Arc::new(Listener(self.downgrade())));
        let listener: Arc<dyn UsageListener> = Arc::<Listener>::clone(listener);
        lending.store.listen(Arc::downgrade(&listener));
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn first_plan_id(&self) -> Option<String> {
        self.directory().iter().next().map(|plan| plan.plan.id().to_owned())
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn first_with_keys(&self) -> Option<String> {
        let directory = self.directory();
        let found = directory.iter().find(|plan| plan.has_keys())?;
        Some(found.plan.id().to_owned())
    }

    /// Whether a file or a fleet brings plans back that belong to stages of an earlier run, or of other processes.
    #[cfg(feature = "gateway")]
    pub(crate) fn are_kept(&self) -> bool {
        self.edit().are_some()
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn named_stages(&self) -> Vec<(String, String)> {
        let directory = self.directory();
        let named = directory.iter().flat_map(|plan| {
            plan.plan.stages().iter().map(|stage| (plan.plan.id().to_owned(), stage.clone()))
        });
        named.collect()
    }

    pub(super) fn edit(&self) -> MutexGuard<'_, Observers> {
        self.0.edits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, change: impl FnOnce(&mut Directory)) {
        let mut next = Directory::clone(&self.directory());
        change(&mut next);
        self.0.directory.store(Arc::new(next));
    }

    /// Adds a plan, or edits the one with its id. An edit keeps every count: what was spent of the throttle and of
    /// the quota stays spent. A new rate holds from here on: tokens that came back before the edit came back at the earlier
    /// rate.
    ///
    /// Where throttles are kept in Redis, a process that did not see the edit does not know the earlier rate. A bucket that
    /// nobody uses is forgotten there at the moment at which it would be full by the rate of its last use: after an edit to
    /// a slower rate it is full at that moment, and not later.
    ///
    /// # Errors
    ///
    /// A method throttle that is malformed or for a stage the plan does not have; a change of stages by which an
    /// attached key would be in two plans for one stage.
    pub fn put_plan(&self, plan: UsagePlan) -> Result<(), ConfigError> {
        let observers = self.edit();
        self.check_plan(&plan)?;
        observers.tell(&PlanChange::Put(plan.clone()))?;
        self.put(plan);
        Ok(())
    }

    pub(super) fn put(&self, plan: UsagePlan) {
        let (plan_id, now) = (plan.shared_id(), self.now());
        self.publish(|directory| directory.put(plan, now));
        let directory = self.directory();
        if let Some(plan) = directory.named(&plan_id) {
            self.table().iter().for_each(|mut shard| shard.methods.repace(plan));
        }
    }

    pub(super) fn check_plan(&self, plan: &UsagePlan) -> Result<(), ConfigError> {
        plan.check()?;
        self.check_stages(plan)
    }

    /// Widening the stages of a plan must not put a key into two plans of one stage.
    fn check_stages(&self, plan: &UsagePlan) -> Result<(), ConfigError> {
        let directory = self.directory();
        let Some(old) = directory.named(plan.id()).filter(|old| old.plan.stages() != plan.stages()) else {
            return Ok(());
        };
        let conflicts =
            |slot| slot != old.slot && directory.at(slot).is_some_and(|other| other.plan.overlaps(plan));
        match self.0.table.iter().any(|shard| shard.has_conflict(old.slot, conflicts)) {
            true => Err(in_two_plans("usage plan", plan.id())),
            false => Ok(()),
        }
    }

    /// Deletes a plan, with its attachments and all that is known of its use. A store of shared usage forgets it in the
    /// background; if the store is away at that moment, what it knows stays until its time has come.
    ///
    /// # Errors
    ///
    /// There is no such plan.
    pub fn delete_plan(&self, plan_id: &str) -> Result<(), ConfigError> {
        let observers = self.edit();
        let slot = self.directory().require(plan_id)?.slot;
        observers.tell(&PlanChange::Delete(plan_id.into()))?;
        self.forget_plan(plan_id, slot);
        self.forget_all_of(plan_id);
        Ok(())
    }

    pub(super) fn forget_plan(&self, plan_id: &str, slot: u32) {
        self.publish(|directory| directory.remove(plan_id));
        self.0.table.iter().for_each(|mut shard| shard.forget_plan(slot));
    }

    /// The plan as it is configured.
    pub fn plan(&self, plan_id: &str) -> Option<UsagePlan> {
        self.directory().named(plan_id).map(|plan| plan.plan.clone())
    }

    /// Every plan as it is configured, by id (AWS: `GetUsagePlans`).
    pub fn plans(&self) -> Vec<UsagePlan> {
        let mut plans: Vec<_> = self.directory().iter().map(|plan| plan.plan.clone()).collect();
        plans.sort_by(|one, other| one.id().cmp(other.id()));
        plans
    }

    /// The ids of the keys that are attached to a plan, sorted (AWS: `GetUsagePlanKeys`). It copies them all: where there
    /// are many, [`usage_page`](Self::usage_page) lists them by and by.
    ///
    /// # Errors
    ///
    /// There is no such plan.
    pub fn keys_of(&self, plan_id: &str) -> Result<Vec<String>, ConfigError> {
        let slot = self.directory().require(plan_id)?.slot;
        let mut keys = Vec::new();
        for shard in self.table().iter() {
            keys.extend(shard.attached(slot, 0).map(|(_, key_id)| key_id.to_owned()));
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// Attaches a key, by its id, to a plan. Attaching again changes nothing.
    ///
    /// # Errors
    ///
    /// There is no such plan, or the key is in another plan that shares a stage with it.
    pub fn attach(&self, plan_id: &str, key_id: &str) -> Result<(), ConfigError> {
        self.attach_all(plan_id, [key_id])
    }

    /// Attaches many keys; those before the first fault stay attached.
    ///
    /// # Errors
    ///
    /// As [`attach`](Self::attach).
    pub fn attach_all<'a>(
        &self,
        plan_id: &str,
        key_ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ConfigError> {
        let observers = self.edit();
        let directory = self.directory();
        let plan = directory.require(plan_id)?;
        let mut accepted: Vec<Arc<str>> = Vec::new();
        let fault = key_ids.into_iter().find_map(|key_id| {
            let checked = self.check_attachment(&directory, plan, key_id);
            accepted.extend(checked.is_ok().then(|| key_id.into()));
            checked.err()
        });
        if !accepted.is_empty() {
            observers.tell(&PlanChange::Attach(plan_id.into(), accepted.clone()))?;
            self.attach_checked(plan, &accepted);
        }
        fault.map_or(Ok(()), Err)
    }

    /// Whether the key may be in the plan. Only edits put keys into plans, one at a time: what is checked stays true.
    pub(super) fn check_attachment(
        &self,
        directory: &Directory,
        plan: &PlanState,
        key_id: &str,
    ) -> Result<(), ConfigError> {
        let subject = subject_of_key(key_id);
        let plans = self.0.table.lock(subject).plans_of(subject);
        let others = plans.iter().filter(|slot| **slot != plan.slot).filter_map(|slot| directory.at(*slot));
        if others.into_iter().any(|other| other.plan.overlaps(&plan.plan)) {
            return Err(in_two_plans("API key id", key_id));
        }
        Ok(())
    }

    pub(super) fn attach_checked(&self, plan: &PlanState, key_ids: &[Arc<str>]) {
        for key_id in key_ids {
            let subject = subject_of_key(key_id);
            let mut shard = self.0.table.lock(subject);
            if !shard.plans_of(subject).contains(&plan.slot) {
                shard.attach(subject, plan.slot, key_id);
                plan.keys.fetch_add(1, Relaxed);
            }
        }
    }

    /// Takes a key out of a plan; what it has used is forgotten.
    ///
    /// # Errors
    ///
    /// There is no such plan, or the key is not in it.
    pub fn detach(&self, plan_id: &str, key_id: &str) -> Result<(), ConfigError> {
        let observers = self.edit();
        let directory = self.directory();
        let plan = directory.require(plan_id)?;
        let subject = subject_of_key(key_id);
        let attached = self.0.table.lock(subject).plans_of(subject).contains(&plan.slot);
        attached.then_some(()).ok_or_else(|| not_attached(key_id))?;
        observers.tell(&PlanChange::Detach(plan_id.into(), key_id.into()))?;
        self.take_out(plan, subject);
        self.forget(plan_id, subject);
        Ok(())
    }

    pub(super) fn take_out(&self, plan: &PlanState, subject: u128) {
        if self.0.table.lock(subject).detach(subject, plan.slot) {
            plan.keys.fetch_sub(1, Relaxed);
        }
    }

    /// What the plan's keys used on each calendar day from `start_date` to `end_date` (`2026-11-22`, both included),
    /// for one key or, with `None`, for all. There is no lag. At most 90 days are kept. Where usage is shared it is the
    /// use of this process; [`shared_usage`](Self::shared_usage) is that of all.
    ///
    /// # Errors
    ///
    /// There is no such plan or key, a date is none, or the range is empty or ends more than 366 days
    /// after its start.
    pub fn usage(
        &self,
        plan_id: &str,
        key_id: Option<&str>,
        start_date: &str,
        end_date: &str,
    ) -> Result<UsageReport, ConfigError> {
        let report = UsageReport::new(plan_id, start_date, end_date)?;
        let directory = self.directory();
        let plan = directory.require(plan_id)?;
        match key_id {
            Some(key_id) => report.with_key(self, plan, key_id),
            None => Ok(report.with_all(self, plan, (0, 0), usize::MAX)),
        }
    }

    /// One page of [`usage`](Self::usage) over all keys: at most `limit` keys (1 to 500, AWS's default is 25) from
    /// `position` on, which is that of the page before.
    ///
    /// # Errors
    ///
    /// As [`usage`](Self::usage), and a limit or position that is none.
    pub fn usage_page(
        &self,
        plan_id: &str,
        start_date: &str,
        end_date: &str,
        position: Option<&str>,
        limit: usize,
    ) -> Result<UsageReport, ConfigError> {
        if !(1..=500).contains(&limit) {
            return Err(ConfigError::new("usage limit", limit, "must be from 1 to 500"));
        }
        let from = position.map_or(Ok((0, 0)), UsageReport::parse_position)?;
        let report = UsageReport::new(plan_id, start_date, end_date)?;
        let directory = self.directory();
        Ok(report.with_all(self, directory.require(plan_id)?, from, limit))
    }

    /// Sets what is left of a key's quota in the present period, and in no other (AWS: `UpdateUsage`).
    ///
    /// # Errors
    ///
    /// There is no such plan, it has no quota, or the key is not in it. Usage is shared: then it is
    /// [`update_shared_remaining`](Self::update_shared_remaining) that sets it.
    pub fn update_remaining(&self, plan_id: &str, key_id: &str, remaining: u64) -> Result<(), ConfigError> {
        let directory = self.directory();
        let plan = directory.require(plan_id)?;
        if plan.quota().is_none() {
            return Err(ConfigError::new("usage plan", plan_id, "has no quota"));
        }
        if self.lending().is_some() {
            return Err(ConfigError::new(
                "usage plan",
                plan_id,
                "is shared: update_shared_remaining is for it",
            ));
        }
        let subject = subject_of_key(key_id);
        let mut shard = self.0.table.lock(subject);
        let index = shard.find(subject, |slot| slot == plan.slot).ok_or_else(|| not_attached(key_id))?;
        shard.set_remaining(index, plan, self.now().unix_seconds(), remaining);
        Ok(())
    }

    /// How often the plan's limits in shadow mode would have refused.
    ///
    /// # Errors
    ///
    /// There is no such plan.
    pub fn shadow_counts(&self, plan_id: &str) -> Result<ShadowCounts, ConfigError> {
        Ok(self.directory().require(plan_id)?.shadow.counts())
    }

    pub(super) fn parse_range(start: &str, end: &str) -> Result<(i32, i32), ConfigError> {
        let days = (parse_day("usage start date", start)?, parse_day("usage end date", end)?);
        match days.1 - days.0 {
            0..=366 => Ok(days),
            _ => Err(ConfigError::new(
                "usage end date",
                end,
                "is before the start date or above 366 days after it",
            )),
        }
    }
}

fn in_two_plans(location: &'static str, value: &str) -> ConfigError {
    ConfigError::new(location, value, "a key may be in one usage plan per stage only")
        .with_kind(ConfigErrorKind::InUse)
}

pub(super) fn not_attached(key_id: &str) -> ConfigError {
    ConfigError::new("API key id", key_id, "is not attached to the usage plan")
        .with_kind(ConfigErrorKind::NotFound)
}

//! Who is told of changes to the plans: stores outside of the process.
//!
//! The seam, in three steps, as that of the API keys:
//!
//! * `UsagePlans::observe` attaches a [`PlanObserver`]. Its `start` function is given what there is and answers with
//!   the changes that make it the store's, in the same critical section: no change falls in between.
//! * Every change that is made through the handle is checked, told to the observers, and only then in force and
//!   acknowledged; an error refuses it, and nothing has changed.
//! * `UsagePlans::apply` makes a change that comes from a store, and tells nobody.
//!
//! Observers are called under the lock of edits, one change at a time and in order. They may wait (for a disk), since
//! no request asks for that lock; they must not edit plans.
//!
//! What a key has used is not told here, nor what `update_remaining` sets: that is the usage store's.

#[cfg(any(feature = "redb", feature = "redis"))]
use super::plans::{UsagePlans, subject_of_key};
use super::{account::AccountThrottle, plan::UsagePlan};
use crate::error::ConfigError;
use std::sync::Arc;

/// One step, after the change.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(any(feature = "redb", feature = "redis")),
    allow(dead_code, reason = "read by stores outside of the process")
)]
pub(crate) enum PlanChange {
    /// Added, or in place of the one with its id.
    Put(UsagePlan),
    /// With its attachments.
    Delete(Arc<str>),
    /// Keys, by their ids, are attached to a plan, those that are already included.
    Attach(Arc<str>, Vec<Arc<str>>),
    Detach(Arc<str>, Arc<str>),
    /// The account's throttle, or that there is none.
    Account(Option<AccountThrottle>),
}

/// Is told of every change before it counts; see the [module docs](self).
pub(crate) trait PlanObserver: Send + Sync {
    /// An error refuses the change.
    fn changing(&self, change: &PlanChange) -> Result<(), ConfigError>;
}

/// Who is told of edits before they count.
#[derive(Default)]
pub(super) struct Observers(Vec<Arc<dyn PlanObserver>>);

impl Observers {
    #[cfg(feature = "gateway")]
    pub(super) fn are_some(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn tell(&self, change: &PlanChange) -> Result<(), ConfigError> {
        self.0.iter().try_for_each(|observer| observer.changing(change))
    }
}

/// For stores outside of the process; see the [module docs](self).
#[cfg(any(feature = "redb", feature = "redis"))]
#[allow(dead_code, reason = "for the stores outside of the process")]
impl UsagePlans {
    /// Has every change from here on told to an observer. `start` is given what there is, and answers with the
    /// changes to it that nobody is told of.
    pub(crate) fn observe<E: From<ConfigError>>(
        &self,
        observer: Arc<dyn PlanObserver>,
        start: impl FnOnce(PlansImage) -> Result<Vec<PlanChange>, E>,
    ) -> Result<(), E> {
        let mut observers = self.edit();
        let changes = start(self.image())?;
        changes.into_iter().try_for_each(|change| self.make(change))?;
        observers.0.push(observer);
        Ok(())
    }

    /// Makes changes that come from a store; nobody is told. Which they are is asked under the lock: no edit falls in
    /// between. What does not fit here (an attachment of a plan that is gone) is not in force.
    pub(crate) fn apply(&self, changes: impl FnOnce() -> Vec<PlanChange>) {
        let _one_at_a_time = self.edit();
        for change in changes() {
            let _fits = self.make(change);
        }
    }

    fn make(&self, change: PlanChange) -> Result<(), ConfigError> {
        let directory = self.directory();
        match change {
            PlanChange::Put(plan) => {
                self.check_plan(&plan)?;
                self.put(plan);
            }
            PlanChange::Delete(id) => {
                let slot = directory.named(&id).map(|plan| plan.slot);
                slot.into_iter().for_each(|slot| self.forget_plan(&id, slot));
            }
            PlanChange::Attach(plan_id, key_ids) => {
                let plan = directory.require(&plan_id)?;
                key_ids.iter().try_for_each(|key_id| self.check_attachment(&directory, plan, key_id))?;
                self.attach_checked(plan, &key_ids);
            }
            PlanChange::Detach(plan_id, key_id) => {
                let subject = subject_of_key(&key_id);
                if let Some(plan) = directory.named(&plan_id) {
                    self.take_out(plan, subject);
                }
            }
            PlanChange::Account(account) => self.set_account(account),
        }
        Ok(())
    }

    /// What there is now.
    pub(crate) fn image(&self) -> PlansImage {
        let directory = self.directory();
        let plans = directory.iter().map(|plan| plan.plan.clone()).collect();
        let mut attachments = Vec::new();
        for shard in self.table().iter() {
            for plan in directory.iter() {
                let id: Arc<str> = plan.plan.id().into();
                attachments
                    .extend(shard.attached(plan.slot, 0).map(|(_, key)| (Arc::clone(&id), key.into())));
            }
        }
        PlansImage { plans, attachments, account: self.account() }
    }
}

/// What there is when an observer is attached.
#[cfg(any(feature = "redb", feature = "redis"))]
#[derive(Clone, Debug, Default)]
#[allow(dead_code, reason = "for the stores outside of the process")]
pub(crate) struct PlansImage {
    pub(crate) plans: Vec<UsagePlan>,
    /// Plan and key.
    pub(crate) attachments: Vec<(Arc<str>, Arc<str>)>,
    pub(crate) account: Option<AccountThrottle>,
}

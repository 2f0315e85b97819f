//! What [`UsagePlans`] are built from.

use super::{
    lending::Lending,
    plan::UsagePlan,
    plans::{Shared, UsagePlans},
    resumed::Resumed,
    store::UsageStore,
    table::Table,
};
use crate::{
    clock::Clock,
    error::{ConfigError, ConfigErrorKind},
    store::StoreOptions,
    throttle::Throttle,
};
use arc_swap::ArcSwap;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Collects what [`UsagePlans`] start with.
#[derive(Debug)]
pub struct UsagePlansBuilder {
    plans: Vec<UsagePlan>,
    attachments: Vec<(String, String)>,
    account: Option<Throttle>,
    clock: Clock,
    headers: bool,
    store: Option<Arc<dyn UsageStore>>,
    store_options: StoreOptions,
    lease_epoch: Option<Duration>,
    /// For how long nobody has used what there is, where another process did before.
    idle: Option<Duration>,
}

/// How long units may be in a process's hand.
const LEASE_EPOCH: Duration = Duration::from_secs(10);
const SHORTEST_EPOCH: Duration = Duration::from_millis(100);
const LONGEST_EPOCH: Duration = Duration::from_secs(300);

impl UsagePlans {
    /// Starts with no plans.
    pub fn builder() -> UsagePlansBuilder {
        UsagePlansBuilder::default()
    }
}

/// The same as [`UsagePlans::builder`].
impl Default for UsagePlansBuilder {
    fn default() -> Self {
        Self {
            plans: Vec::new(),
            attachments: Vec::new(),
            account: None,
            clock: Clock::default(),
            headers: true,
            store: None,
            store_options: StoreOptions::default(),
            lease_epoch: None,
            idle: None,
        }
    }
}

impl UsagePlansBuilder {
    /// Adds a plan.
    #[must_use]
    pub fn plan(mut self, plan: UsagePlan) -> Self {
        self.plans.push(plan);
        self
    }

    /// Attaches a key, by its id, to a plan.
    #[must_use]
    pub fn attach(mut self, plan_id: &str, key_id: &str) -> Self {
        self.attachments.push((plan_id.to_owned(), key_id.to_owned()));
        self
    }

    /// The throttle that all requests of all stages share. Default: none (AWS has 10,000 per second, burst 5,000).
    #[must_use]
    pub fn account_throttle(mut self, throttle: Throttle) -> Self {
        self.account = Some(throttle);
        self
    }

    /// The clock of throttles and calendars. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Whether answers carry `RateLimit`, `RateLimit-Policy` and `Retry-After`, which AWS does not send. Default: yes.
    #[must_use]
    pub fn rate_limit_headers(mut self, send: bool) -> Self {
        self.headers = send;
        self
    }

    /// Keeps quotas and use, and with some stores throttles, outside of this process: see
    /// [`store`](super::store). Default: none, all is in memory.
    ///
    /// A process takes units of a quota in blocks and spends them without asking; only where it has none left does a
    /// request wait. It must be polled in a tokio runtime with time enabled.
    #[must_use]
    pub fn store(mut self, store: impl UsageStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// How the store is asked, and what happens when it fails; a plan may say otherwise
    /// ([`UsagePlan::store_failure`]).
    #[must_use]
    pub fn store_options(mut self, options: StoreOptions) -> Self {
        self.store_options = options;
        self
    }

    /// How long a process may hold units of a quota without being heard of: if it dies, they are taken for used after so
    /// long. Longer ones wait less, above all for keys that are seldom used. Default: 10 s; from 100 ms to 5 minutes.
    #[must_use]
    pub fn lease_epoch(mut self, epoch: Duration) -> Self {
        self.lease_epoch = Some(epoch);
        self
    }

    /// A process before this one has ended so long ago, and had a burst of every throttle.
    #[cfg(feature = "redb")]
    pub(crate) fn resumed(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    fn lending(&self) -> Result<Option<Box<Lending>>, ConfigError> {
        let epoch = self.lease_epoch.unwrap_or(LEASE_EPOCH);
        if !(SHORTEST_EPOCH..=LONGEST_EPOCH).contains(&epoch) {
            return Err(ConfigError::new("lease epoch", format!("{epoch:?}"), "must be from 100ms to 300s"));
        }
        let lending = |store: &Arc<dyn UsageStore>| {
            Box::new(Lending::new(Arc::clone(store), self.store_options.clone(), epoch, self.clock.clone()))
        };
        Ok(self.store.as_ref().map(lending))
    }

    /// Makes the handle.
    ///
    /// # Errors
    ///
    /// As [`UsagePlans::put_plan`] and [`UsagePlans::attach`]; two plans with one id; a lease epoch out of range.
    pub fn build(self) -> Result<UsagePlans, ConfigError> {
        let lending = self.lending()?;
        let (clock, headers) = (self.clock, self.headers);
        let resumed = self.idle.map(|idle| Resumed {
            at: clock.now().monotonic_nanos(),
            idle: u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX),
        });
        let shared = Shared {
            directory: ArcSwap::default(),
            edits: Mutex::default(),
            table: Table::default(),
            clock,
            headers,
            lending,
            resumed,
        };
        let plans = UsagePlans(Arc::new(shared));
        plans.listen();
        for plan in self.plans {
            if plans.directory().named(plan.id()).is_some() {
                let error = ConfigError::new("usage plan id", plan.id(), "is given twice");
                return Err(error.with_kind(ConfigErrorKind::Exists));
            }
            plans.put_plan(plan)?;
        }
        plans.account_throttle(self.account)?;
        self.attachments.iter().try_for_each(|(plan, key)| plans.attach(plan, key))?;
        Ok(plans)
    }
}

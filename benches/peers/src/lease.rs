//! A store of usage in the process: what a decision costs under a lease, without any network.

use std::{
    collections::HashMap,
    future::ready,
    sync::{Arc, Mutex},
};
use tower_gateway::{
    store::StoreFuture,
    usage_plan::{
        LeaseLedger,
        store::{
            BucketLevel, Counter, Lease, LeaseAsk, RemainingAsk, StoredUsage, ThrottleAsk, UsageAsk,
            UsageStore,
        },
    },
};

/// Time stands still for it: leases end by the clock of their holders.
const NOW: u64 = 1_795_331_880_000_000;

#[derive(Clone, Debug, Default)]
pub struct InProcess(Arc<Mutex<HashMap<Counter, LeaseLedger>>>);

impl InProcess {
    fn at<T: Send + 'static>(
        &self,
        counter: &Counter,
        act: impl FnOnce(&mut LeaseLedger) -> T,
    ) -> StoreFuture<T> {
        let done = act(self.0.lock().expect("no panic").entry(counter.clone()).or_default());
        Box::pin(ready(Ok(done)))
    }
}

impl UsageStore for InProcess {
    fn shares_throttles(&self) -> bool {
        false
    }

    fn lease(&self, ask: LeaseAsk) -> StoreFuture<Lease> {
        self.at(&ask.counter, |ledger| ledger.ask(&ask, NOW))
    }

    fn throttle(&self, ask: ThrottleAsk) -> StoreFuture<Vec<BucketLevel>> {
        Box::pin(ready(Ok(vec![BucketLevel::default(); ask.buckets.len()])))
    }

    fn usage(&self, ask: UsageAsk) -> StoreFuture<StoredUsage> {
        self.at(&ask.counter, |ledger| ledger.usage(&ask, NOW))
    }

    fn set_remaining(&self, ask: RemainingAsk) -> StoreFuture<()> {
        self.at(&ask.counter, |ledger| ledger.set_remaining(&ask, NOW))
    }

    fn forget(&self, counter: Counter) -> StoreFuture<()> {
        self.at(&counter, |ledger| *ledger = LeaseLedger::default())
    }

    fn forget_plan(&self, plan: Arc<str>) -> StoreFuture<()> {
        self.0.lock().expect("no panic").retain(|counter, _| counter.plan != plan);
        Box::pin(ready(Ok(())))
    }
}

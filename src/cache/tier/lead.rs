//! The right, and the duty, to make the call for all processes.

use super::{Tier, TierClaim, TierPlace};
use crate::{
    cache::core::Core,
    clock::{Clock, Timestamp},
};
use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

/// Without a renewal, a claim ends after that time: so long the others wait for a process that has died.
pub(super) const LASTS: Duration = Duration::from_secs(1);
const RENEWED: Duration = Duration::from_millis(300);

/// A claim, held by whoever may still bring an answer. Dropped, it ends, and the next process may try.
pub(in crate::cache) struct Lead {
    tier: Arc<Tier>,
    place: TierPlace,
    /// `None`: nobody waits for this call.
    token: Option<u128>,
    /// The number of the last purge before the call began.
    purges: u64,
    is_settled: AtomicBool,
}

impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Lead {
    /// Renews the claim for as long as newcomers would wait for a call of their own process.
    pub(super) fn new(
        core: &Core,
        tier: &Arc<Tier>,
        place: TierPlace,
        token: u128,
        purges: u64,
    ) -> Arc<Self> {
        let lead = Arc::new(Self {
            tier: Arc::clone(tier),
            place,
            token: Some(token),
            purges,
            is_settled: AtomicBool::new(false),
        });
        let until =
            Until { clock: core.clock.clone(), begun: core.clock.now(), longest: core.limits.lock_age };
        tokio::spawn(renew(Arc::downgrade(&lead), until));
        lead
    }

    /// A call for this process alone, begun after that purge.
    pub(super) fn alone(tier: &Arc<Tier>, place: TierPlace, purges: u64) -> Arc<Self> {
        let is_settled = AtomicBool::new(true);
        Arc::new(Self { tier: Arc::clone(tier), place, token: None, purges, is_settled })
    }

    pub(super) fn place(&self) -> TierPlace {
        self.place
    }

    pub(super) fn purges(&self) -> u64 {
        self.purges
    }

    /// The answer is about to be written, and the claim ends with that.
    pub(super) fn settle(&self) -> Option<u128> {
        if self.is_settled.swap(true, SeqCst) { None } else { self.token }
    }
}

impl Lead {
    /// The answer will not be stored: the next process may try.
    pub(in crate::cache) fn release(&self) {
        if let (Some(token), Ok(runtime)) = (self.settle(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(self.tier.store.release(self.place, token));
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.release();
    }
}

struct Until {
    clock: Clock,
    begun: Timestamp,
    longest: Duration,
}

async fn renew(lead: Weak<Lead>, until: Until) {
    loop {
        until.clock.sleep(RENEWED).await;
        let Some(lead) = lead.upgrade() else { return };
        if lead.is_settled.load(SeqCst) || until.clock.now().since(until.begun) > until.longest {
            return;
        }
        let Some(token) = lead.token else { return };
        let claim = TierClaim { token, lasts: LASTS, instead: false };
        // The claim ends by itself where that fails.
        let renewed = lead.tier.store.renew(lead.place, claim);
        drop(lead);
        drop(renewed.await);
    }
}

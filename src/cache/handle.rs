//! The handle: the one cache behind all its layers, and its run-time API.

use super::{CacheBuilder, CacheStats, Purge, StoreUsage, TierStats, core::Core};
use crate::store::{Acknowledgement, StoreCounts, StoreError};
use std::{sync::Arc, time::Duration};

/// Stored answers, counters and settings; see the [module docs](super). A clone is a reference count.
#[derive(Clone, Debug)]
pub struct Cache {
    core: Arc<Core>,
}

impl Cache {
    /// Starts from the defaults: AWS mode, 64 MiB.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::default()
    }

    pub(super) fn new(core: Core) -> Self {
        let core = Arc::new(core);
        if let Some(tier) = &core.tier {
            tier.listen(&core);
        }
        Self { core }
    }

    pub(super) fn into_core(self) -> Arc<Core> {
        self.core
    }

    /// Takes entries out, and gives back how many. With one of several answers under a key (`Vary`) the others go,
    /// too. Where there is a second tier, the other processes follow in a moment, or as soon as the tier
    /// answers; until then this process takes nothing out of the tier that the purge may concern. To know, see
    /// [`purge_everywhere`](Self::purge_everywhere).
    pub fn purge(&self, purge: &Purge) -> u64 {
        self.core.purge_and_tell(purge)
    }

    /// Takes entries out of every process that shares the second tier, and waits, at most for the time given, until
    /// each of them has said so. Without a second tier there is only this process.
    ///
    /// # Errors
    ///
    /// The tier did not take it in time: the purge is in force here, and nobody else knows of it yet. It is tried again
    /// for as long as there is this cache.
    pub async fn purge_everywhere(
        &self,
        purge: &Purge,
        within: Duration,
    ) -> Result<Acknowledgement, StoreError> {
        self.core.purge_everywhere(purge, within).await
    }

    /// What the second tier did, where there is one.
    pub fn tier_stats(&self) -> Option<TierStats> {
        self.core.tier.as_ref().map(|tier| tier.stats())
    }

    /// How the second tier has answered: calls, failures, and how often it was left alone.
    pub fn tier_store_counts(&self) -> Option<StoreCounts> {
        self.core.tier.as_ref().map(|tier| tier.store_counts())
    }

    /// Flushes a stage (AWS: `FlushStageCache`), and gives back how many entries that were.
    pub fn flush_stage(&self, stage: &str) -> u64 {
        self.purge(&Purge::all().stage(stage))
    }

    /// Flushes everything.
    pub fn flush(&self) -> u64 {
        self.purge(&Purge::all())
    }

    /// What the cache did since it was made.
    pub fn stats(&self) -> CacheStats {
        self.core.counters.snapshot()
    }

    /// How full the store is.
    pub fn usage(&self) -> StoreUsage {
        self.core.store.usage()
    }
}

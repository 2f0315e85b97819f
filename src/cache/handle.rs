//! The handle: the one cache behind all its layers, and its run-time API.

use super::{CacheBuilder, CacheStats, Purge, StoreUsage, core::Core};
use std::sync::Arc;

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
        Self { core: Arc::new(core) }
    }

    pub(super) fn into_core(self) -> Arc<Core> {
        self.core
    }

    /// Takes entries out, and gives back how many. With one of several answers under a key (`Vary`) the others go,
    /// too.
    pub fn purge(&self, purge: &Purge) -> u64 {
        self.core.purge(purge)
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

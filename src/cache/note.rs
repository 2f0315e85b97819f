//! What the request's context says of the cache.

use super::reason::{CacheStatus, NoCacheReason};
use crate::context::{CacheNote, RequestContext};
use std::time::Duration;

impl RequestContext {
    /// What the cache did for this request; `None` where no cache saw it, or not yet.
    pub fn cache_status(&self) -> Option<CacheStatus> {
        CacheStatus::ALL.get(usize::from(self.cache_note()?.status)).copied()
    }

    /// Why the answer did not come from the cache or was not stored.
    pub fn cache_reason(&self) -> Option<NoCacheReason> {
        NoCacheReason::ALL.get(usize::from(self.cache_note()?.reason?)).copied()
    }

    /// How old a stored answer was, in whole seconds.
    pub fn cache_age(&self) -> Option<Duration> {
        self.cache_note()?.age
    }

    pub(super) fn note_cache(
        &self,
        status: CacheStatus,
        reason: Option<NoCacheReason>,
        age: Option<Duration>,
    ) {
        let reason = reason.map(|reason| reason as u8);
        self.set_cache_note(CacheNote { status: status as u8, reason, age });
    }
}

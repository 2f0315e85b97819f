//! What is stored: a finished answer, and when and for whom it may be used.

use super::{selection::Selection, store::weight_of};
use crate::clock::Timestamp;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Duration,
};

/// For how long an answer may be used, and how. Written by the rules, when the answer's head is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// Counted from `responded`, less `initial_age`.
    pub(crate) lifetime: Duration,
    /// How old the answer was when it came (RFC 9111 section 4.2.3, `corrected_initial_age`).
    pub(crate) initial_age: Duration,
    /// After its lifetime it may be used for that long while it is refreshed (RFC 5861 section 3).
    pub(crate) while_revalidate: Duration,
    /// ... and for that long where the service fails (RFC 5861 section 4).
    pub(crate) if_error: Duration,
    /// Never used stale, whatever the request says.
    pub(crate) must_revalidate: bool,
    /// Validated at each use (`no-cache`).
    pub(crate) always_validate: bool,
    /// A client's wish for something young does not count while it is fresh (RFC 8246).
    pub(crate) immutable: bool,
}

/// What decisions are made from, without opening the content.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) status: StatusCode,
    /// When the request that brought the answer was sent, and when its head came back.
    pub(crate) requested: Timestamp,
    pub(crate) responded: Timestamp,
    pub(crate) freshness: Freshness,
    /// The request fields that the answer varies by, and their values in digest.
    pub(crate) selection: Option<Selection>,
    pub(crate) tags: Box<[Box<str>]>,
    /// When it was purged softly (monotonic), or [`NEVER`]; what was read back may have been before this process began.
    soft_purged: AtomicI64,
}

const NEVER: i64 = i64::MAX;

impl Meta {
    pub(crate) fn new(
        status: StatusCode,
        (requested, responded): (Timestamp, Timestamp),
        freshness: Freshness,
        selection: Option<Selection>,
        tags: Box<[Box<str>]>,
    ) -> Self {
        Self { status, requested, responded, freshness, selection, tags, soft_purged: AtomicI64::new(NEVER) }
    }

    /// `current_age` of RFC 9111 section 4.2.3.
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        self.freshness.initial_age.saturating_add(now.since(self.responded))
    }

    /// How much longer it is fresh; zero once it is stale.
    pub(crate) fn remaining(&self, now: Timestamp) -> Duration {
        if self.is_soft_purged() {
            return Duration::ZERO;
        }
        self.freshness.lifetime.saturating_sub(self.age(now))
    }

    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        !self.remaining(now).is_zero()
    }

    /// Whether it was brought by a call that began after `started`. What another process or run has stored was asked for as
    /// long ago as it is old.
    pub(crate) fn is_of_later_call(&self, started: Timestamp) -> bool {
        self.requested.monotonic_nanos() > started.monotonic_nanos()
    }

    /// How long it has been stale: since it expired, or since it was purged softly.
    pub(crate) fn staleness(&self, now: Timestamp) -> Duration {
        let expired = self.age(now).saturating_sub(self.freshness.lifetime);
        self.soft_purged_for(now).map_or(expired, |purged| purged.max(expired))
    }

    pub(crate) fn is_soft_purged(&self) -> bool {
        self.soft_purged.load(Relaxed) != NEVER
    }

    /// For how long it has been purged softly, if it has.
    pub(crate) fn soft_purged_for(&self, now: Timestamp) -> Option<Duration> {
        let purged = self.soft_purged.load(Relaxed);
        let since = || nanos(now).saturating_sub(purged);
        (purged != NEVER).then(|| Duration::from_nanos(u64::try_from(since()).unwrap_or(0)))
    }

    /// It is stale from now on, or has been for `since`. A second purge changes nothing.
    pub(crate) fn purge_softly(&self, now: Timestamp, since: Duration) {
        let since = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        let purged = nanos(now).saturating_sub(since);
        // The error is that of an earlier purge.
        let _kept = self.soft_purged.compare_exchange(NEVER, purged, Relaxed, Relaxed);
    }
}

fn nanos(now: Timestamp) -> i64 {
    i64::try_from(now.monotonic_nanos()).unwrap_or(NEVER - 1)
}

/// The answer itself. Fields that concern one connection only are not in it.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<Box<HeaderMap>>,
}

/// A stored answer.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) meta: Meta,
    /// Where the entry is sealed: no fields, and a body that is to be opened before use.
    pub(crate) content: Content,
    #[cfg_attr(
        not(feature = "cache-encryption"),
        allow(dead_code, reason = "never true without encryption")
    )]
    pub(crate) is_sealed: bool,
    /// What it costs in memory, in bytes.
    pub(crate) weight: u32,
}

impl Entry {
    pub(crate) fn new(meta: Meta, content: Content) -> Self {
        let trailers = content.trailers.as_deref();
        let varies_by = meta.selection.as_ref().map_or(&[][..], |selection| selection.names());
        let weight = weight_of(&content.headers, content.body.len(), trailers, (&meta.tags, varies_by));
        Self { meta, content, is_sealed: false, weight }
    }

    /// Whether the request has the values that the answer varies by.
    pub(crate) fn is_for(&self, request: &HeaderMap) -> bool {
        self.meta.selection.as_ref().is_none_or(|selection| selection.matches(request))
    }
}

impl Clone for Meta {
    fn clone(&self) -> Self {
        let times = (self.requested, self.responded);
        let copy = Self::new(self.status, times, self.freshness, self.selection.clone(), self.tags.clone());
        copy.soft_purged.store(self.soft_purged.load(Relaxed), Relaxed);
        copy
    }
}

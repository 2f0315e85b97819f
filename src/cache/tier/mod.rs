//! A second place for entries, behind each process's memory, which several processes share.
//!
//! For each request that memory has no answer to, in this order:
//!
//! 1. A call of this process for the same key is joined, as without a second tier.
//! 2. The tier is asked, once for everybody in the process who asks the same, within a deadline. What it has goes into
//!    memory and is judged there as if it had always been there.
//! 3. If it has nothing, one process makes the call for all (`TierClaim`); the others ask again until its answer is there,
//!    for half of the time that they would wait for a call of their own process. Those who waited in vain then share one
//!    of their own process, for the other half. A claim that is not renewed ends by itself, so a process that dies is
//!    followed by the next one.
//! 4. The answer, or the mark that it is not storable, goes into memory, and behind the request's back into the tier.
//!
//! An entry lives in the tier as long as it is fresh. What was read from the tier is compared with the whole key. Entries
//! know which purges they have seen, so that a purge counts as soon as the tier has its number, whatever is still on its
//! way. Until the purge has a number, the process that made it reads nothing that it may concern. A tier that is away is
//! told of purges when it is back; a burst of them, or what has gathered meanwhile (256 of them, or 32 KiB), is told as a
//! flush. A tier that does not answer costs its deadline, and the request goes on as without one.

mod ask;
mod envelope;
mod front;
mod lead;
mod log;
mod outbox;
mod stats;
mod words;

pub use stats::TierStats;

pub(super) use ask::{Asking, Told};
pub(super) use front::Tier;
pub(super) use lead::Lead;

use super::flight::FlightKey;
use crate::store::{Acknowledgement, StoreFuture};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

/// Keeps values of many processes; see the [module docs](self). Given to
/// [`CacheBuilder::second_tier`](super::CacheBuilder::second_tier).
///
/// Values and purges are opaque bytes. No future is waited for longer than the deadline; one that is dropped may still
/// take effect.
pub trait CacheTier: fmt::Debug + Send + Sync + 'static {
    /// What is kept in a place. If there is nothing (or `claim.instead` says that it is of no use), the claim is made,
    /// unless there is another one: all of that in one step.
    fn ask(&self, place: TierPlace, claim: Option<TierClaim>) -> StoreFuture<TierAnswer>;

    /// Keeps a value for so long, in place of what was there. A claim by that token ends with it, in one step.
    fn store(&self, place: TierPlace, value: Bytes, ttl: Duration, token: Option<u128>) -> StoreFuture<()>;

    /// Lets a claim last longer, if it is still there.
    fn renew(&self, place: TierPlace, claim: TierClaim) -> StoreFuture<()>;

    /// Ends a claim, if it is still there.
    fn release(&self, place: TierPlace, token: u128) -> StoreFuture<()>;

    /// Gives a purge its number, above those before it, and tells every process, this one included.
    fn announce(&self, purge: Bytes) -> StoreFuture<u64>;

    /// Waits until every live process has applied the purges up to a number, or until the time is over.
    fn acknowledged(&self, number: u64, within: Duration) -> StoreFuture<Acknowledgement>;

    /// Called once: whom to tell of purges, in the order of their numbers.
    fn listen(&self, listener: Weak<dyn PurgeListener>);

    /// Runs what nobody waits for. Unless a tier knows a runtime: where the caller is, if that is one. What is dropped
    /// here is begun again by the next request.
    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(work);
        }
    }
}

impl<T: CacheTier + ?Sized> CacheTier for Arc<T> {
    fn ask(&self, place: TierPlace, claim: Option<TierClaim>) -> StoreFuture<TierAnswer> {
        (**self).ask(place, claim)
    }

    fn store(&self, place: TierPlace, value: Bytes, ttl: Duration, token: Option<u128>) -> StoreFuture<()> {
        (**self).store(place, value, ttl, token)
    }

    fn renew(&self, place: TierPlace, claim: TierClaim) -> StoreFuture<()> {
        (**self).renew(place, claim)
    }

    fn release(&self, place: TierPlace, token: u128) -> StoreFuture<()> {
        (**self).release(place, token)
    }

    fn announce(&self, purge: Bytes) -> StoreFuture<u64> {
        (**self).announce(purge)
    }

    fn acknowledged(&self, number: u64, within: Duration) -> StoreFuture<Acknowledgement> {
        (**self).acknowledged(number, within)
    }

    fn listen(&self, listener: Weak<dyn PurgeListener>) {
        (**self).listen(listener);
    }

    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        (**self).spawn(work);
    }
}

/// What a tier tells a cache of. When a call returns, the purge is in force here.
pub trait PurgeListener: Send + Sync {
    /// The purge of that number, also where it was announced by this process.
    fn purged(&self, number: u64, purge: &[u8]);

    /// Numbers up to that one are of other things.
    fn passed(&self, number: u64);

    /// Purges up to that number may have been missed.
    fn missed(&self, number: u64);
}

/// Where a value lies: a digest of the whole key, which may tell who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TierPlace([u8; 32]);

impl TierPlace {
    pub(super) fn of(key: &FlightKey) -> Self {
        let mut digest = Sha256::new();
        digest.update(key.primary.borrowed().bytes());
        // Two lengths that no other pair of key and values has.
        digest.update(key.variant.as_ref().map_or(&[][..], |values| &values[..]));
        digest.update([u8::from(key.variant.is_some())]);
        Self(digest.finalize().into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The wish to make the call for all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierClaim {
    /// Random: whose claim it is.
    pub token: u128,
    /// Without a renewal it ends after that time.
    pub lasts: Duration,
    /// Made though there is a value, which is of no use.
    pub instead: bool,
}

impl TierClaim {
    /// Made where there is no value.
    pub fn new(token: u128, lasts: Duration) -> Self {
        Self { token, lasts, instead: false }
    }
}

/// What a tier answers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TierAnswer {
    /// The number of the latest purge, read after the value.
    pub purges: u64,
    /// What was there.
    pub found: TierFound,
}

impl TierAnswer {
    /// The number of the latest purge, and what was there before that was read.
    pub fn new(purges: u64, found: TierFound) -> Self {
        Self { purges, found }
    }
}

/// What was in a place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TierFound {
    /// A value, and what is left of its time.
    Value(Bytes, Duration),
    /// Nothing, and the claim is made (or none was asked for).
    Nothing,
    /// Nothing yet: another process is at it.
    Claimed,
}

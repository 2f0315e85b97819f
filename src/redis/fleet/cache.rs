//! Stored answers in Redis: the second tier of caches.

use super::{
    Fleet,
    listener::{Listener, Reloading},
    member::{Member, Writes},
    values::Values,
};
use crate::{
    cache::tier::{CacheTier, PurgeListener, TierAnswer, TierClaim, TierPlace},
    redis::RedisError,
    store::{Acknowledgement, StoreError, StoreFuture},
};
use bytes::Bytes;
use std::{
    fmt,
    future::{Future, ready},
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

/// Stored answers of one name, of all processes of a fleet; made by [`Fleet::cache`].
#[derive(Clone)]
pub struct RedisCache {
    member: Arc<Member>,
    values: Values,
}

/// As long as `StoreOptions` waits by default.
const DEFAULT_DEADLINE: Duration = Duration::from_millis(20);

impl Fleet {
    /// A second tier for a cache: caches of one name share their entries, and must mean the same by their keys. (The host
    /// is part of a key that declares nothing: processes that clients reach by several hosts declare what counts.) An
    /// entry takes its body, its fields and about 300 bytes; give Redis a `maxmemory` for them, in a database server of
    /// their own if counters lie in this one, and a policy that evicts (`volatile-ttl`).
    pub fn cache(&self, name: &str) -> RedisCache {
        RedisCache { member: Arc::clone(&self.0), values: Values::new("cache", name, DEFAULT_DEADLINE) }
    }
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache").field("name", &self.values.name()).finish_non_exhaustive()
    }
}

impl RedisCache {
    /// How long an answer is waited for, and from when on a question that arrives late makes no claim. Default: 20 ms, like
    /// that of `StoreOptions`; the shorter of the two counts.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.values.deadline = deadline;
        self
    }
}

fn boxed<T: Send + 'static>(
    call: impl Future<Output = Result<T, RedisError>> + Send + 'static,
) -> StoreFuture<T> {
    Box::pin(async move { call.await.map_err(StoreError::from) })
}

impl CacheTier for RedisCache {
    fn ask(&self, place: TierPlace, claim: Option<TierClaim>) -> StoreFuture<TierAnswer> {
        let own = self.clone();
        boxed(async move { own.values.ask(&own.member, place.as_bytes(), claim).await })
    }

    fn store(&self, place: TierPlace, value: Bytes, ttl: Duration, token: Option<u128>) -> StoreFuture<()> {
        let own = self.clone();
        boxed(async move { own.values.store(&own.member, place.as_bytes(), &value, ttl, token).await })
    }

    fn renew(&self, place: TierPlace, claim: TierClaim) -> StoreFuture<()> {
        let own = self.clone();
        boxed(
            async move { own.values.last(&own.member, place.as_bytes(), claim.token, Some(claim.lasts)).await },
        )
    }

    fn release(&self, place: TierPlace, token: u128) -> StoreFuture<()> {
        let own = self.clone();
        boxed(async move { own.values.last(&own.member, place.as_bytes(), token, None).await })
    }

    fn announce(&self, purge: Bytes) -> StoreFuture<u64> {
        let own = self.clone();
        boxed(async move {
            let announced = own.member.announce(&own.values.topic(), &purge, Writes::default()).await?;
            Ok(announced.number)
        })
    }

    fn acknowledged(&self, number: u64, within: Duration) -> StoreFuture<Acknowledgement> {
        let own = self.clone();
        boxed(async move { own.member.acknowledged(number, within).await })
    }

    fn listen(&self, listener: Weak<dyn PurgeListener>) {
        let own = self.clone();
        self.member.runtime.spawn(async move {
            let purges = Arc::new(Purges(listener));
            // It asks Redis for nothing, so it cannot fail.
            own.member.listen(&own.values.topic(), None, purges).await
        });
    }

    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(self.member.runtime.spawn(work));
    }
}

/// Records of purges, for a cache.
struct Purges(Weak<dyn PurgeListener>);

impl Listener for Purges {
    fn heard(&self, number: u64, words: &Bytes, _: bool) -> bool {
        if let Some(listener) = self.0.upgrade() {
            listener.purged(number, words);
        }
        true
    }

    fn passed(&self, number: u64) {
        if let Some(listener) = self.0.upgrade() {
            listener.passed(number);
        }
    }

    fn missed(&self, number: u64) -> Reloading<'_> {
        if let Some(listener) = self.0.upgrade() {
            listener.missed(number);
        }
        Box::pin(ready(Ok(())))
    }

    fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

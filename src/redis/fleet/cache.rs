//! Stored answers in Redis: the second tier of caches.

use super::{
    Fleet,
    listener::{Listener, Reloading},
    member::{Member, Writes},
    reply,
};
use crate::{
    cache::tier::{CacheTier, PurgeListener, TierAnswer, TierClaim, TierFound, TierPlace},
    redis::RedisError,
    store::{Acknowledgement, StoreError, StoreFuture},
};
use bytes::Bytes;
use std::{
    fmt,
    future::{Future, ready},
    sync::{Arc, Weak},
    time::Duration,
};

/// Stored answers of one name, of all processes of a fleet; made by [`Fleet::cache`].
#[derive(Clone)]
pub struct RedisCache {
    member: Arc<Member>,
    name: Arc<str>,
    deadline: Duration,
}

/// As long as `StoreOptions` waits by default.
const DEFAULT_DEADLINE: Duration = Duration::from_millis(20);
/// A write or a release is nobody's wait.
const PATIENCE: Duration = Duration::from_secs(1);

impl Fleet {
    /// A second tier for a cache: caches of one name share their entries, and must mean the same by their keys. (The
    /// host is part of a key that declares nothing: processes that clients reach by several hosts declare what counts.) An entry
    /// takes its body, its fields and about 300 bytes; give Redis a `maxmemory` for them, in a database server of their
    /// own if counters lie in this one, and a policy that evicts (`volatile-ttl`).
    pub fn cache(&self, name: &str) -> RedisCache {
        RedisCache { member: Arc::clone(&self.0), name: name.into(), deadline: DEFAULT_DEADLINE }
    }
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache").field("name", &self.name).finish_non_exhaustive()
    }
}

fn hex(place: TierPlace) -> String {
    place.as_bytes().iter().fold(String::with_capacity(64), |mut text, byte| {
        for half in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(half), 16));
        }
        text
    })
}

fn millis(time: Duration) -> String {
    // Redis wants some time, and takes no more than 2^63 ms from now.
    time.as_millis().clamp(1, 1 << 53).to_string()
}

impl RedisCache {
    /// How long an answer is waited for, and from when on a question that arrives late makes no claim. Default: 20 ms, like
    /// that of `StoreOptions`; the shorter of the two counts.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Where a value lies, and whose call brings it.
    fn keys(&self, place: TierPlace) -> [String; 2] {
        let place = hex(place);
        ["v", "c"].map(|kind| self.member.redis.names().name("cache", &[&self.name, kind, &place]))
    }

    fn topic(&self) -> String {
        format!("cache:{}", self.name)
    }
}

fn boxed<T: Send + 'static>(
    call: impl Future<Output = Result<T, RedisError>> + Send + 'static,
) -> StoreFuture<T> {
    Box::pin(async move { call.await.map_err(StoreError::from) })
}

impl CacheTier for RedisCache {
    fn ask(&self, place: TierPlace, claim: Option<TierClaim>) -> StoreFuture<TierAnswer> {
        let (own, [value, call]) = (self.clone(), self.keys(place));
        boxed(async move {
            let token = claim.map_or_else(String::new, |claim| format!("{:x}", claim.token));
            let lasts = millis(claim.map_or(Duration::ZERO, |claim| claim.lasts));
            let instead = if claim.is_some_and(|claim| claim.instead) { "1" } else { "" };
            let keys = [&*value, &*call, own.member.number_key()];
            let arguments = [token.as_bytes(), lasts.as_bytes(), instead.as_bytes()];
            let member = &own.member;
            answer(member.redis.run(&member.scripts.ask, &keys, &arguments, own.deadline).await?)
        })
    }

    fn store(&self, place: TierPlace, value: Bytes, ttl: Duration, token: Option<u128>) -> StoreFuture<()> {
        let (own, keys) = (self.clone(), self.keys(place));
        boxed(async move {
            let token = token.map_or_else(String::new, |token| format!("{token:x}"));
            let ttl = millis(ttl);
            let arguments = [&*value, ttl.as_bytes(), token.as_bytes()];
            let member = &own.member;
            member
                .redis
                .run(&member.scripts.store, &[&keys[0], &keys[1]], &arguments, PATIENCE)
                .await
                .map(drop)
        })
    }

    fn renew(&self, place: TierPlace, claim: TierClaim) -> StoreFuture<()> {
        self.last(place, claim.token, &millis(claim.lasts))
    }

    fn release(&self, place: TierPlace, token: u128) -> StoreFuture<()> {
        self.last(place, token, "0")
    }

    fn announce(&self, purge: Bytes) -> StoreFuture<u64> {
        let own = self.clone();
        boxed(async move { own.member.announce(&own.topic(), &purge, Writes::default()).await })
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
            own.member.listen(&own.topic(), None, purges).await
        });
    }
}

impl RedisCache {
    fn last(&self, place: TierPlace, token: u128, lasts: &str) -> StoreFuture<()> {
        let (own, [_, call], lasts) = (self.clone(), self.keys(place), lasts.to_owned());
        boxed(async move {
            let token = format!("{token:x}");
            let arguments = [token.as_bytes(), lasts.as_bytes()];
            let member = &own.member;
            member.redis.run(&member.scripts.renew, &[&call], &arguments, PATIENCE).await.map(drop)
        })
    }
}

fn answer(value: ::redis::Value) -> Result<TierAnswer, RedisError> {
    let mut parts = reply::list(value)?;
    let purges = reply::number(parts.next())?;
    let found = match &*reply::bytes(parts.next())? {
        b"value" => {
            let bytes = reply::bytes(parts.next())?;
            TierFound::Value(bytes, Duration::from_millis(reply::number(parts.next())?))
        }
        b"nothing" => TierFound::Nothing,
        b"claimed" => TierFound::Claimed,
        _ => return Err(RedisError::Reply),
    };
    Ok(TierAnswer { purges, found })
}

/// Records of purges, for a cache.
struct Purges(Weak<dyn PurgeListener>);

impl Listener for Purges {
    fn heard(&self, number: u64, words: &Bytes, own: bool) -> bool {
        if let Some(listener) = self.0.upgrade() {
            listener.purged(number, words, own);
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

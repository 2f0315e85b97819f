//! Values in places, and whose call brings them: what caches and authorizers keep in Redis.

use super::member::Member;
use crate::{
    cache::tier::{TierAnswer, TierClaim, TierFound},
    redis::{RedisError, names::Hex, reply},
};
use std::{sync::Arc, time::Duration};

/// Values of one kind and name.
#[derive(Clone, Debug)]
pub(super) struct Values {
    kind: &'static str,
    name: Arc<str>,
    /// How long an answer is waited for.
    pub(super) deadline: Duration,
}

/// A write or a release is nobody's wait.
const PATIENCE: Duration = Duration::from_secs(1);

fn millis(time: Duration) -> String {
    // Redis wants some time, and takes no more than 2^63 ms from now.
    time.as_millis().clamp(1, 1 << 53).to_string()
}

impl Values {
    pub(super) fn new(kind: &'static str, name: &str, deadline: Duration) -> Self {
        Self { kind, name: name.into(), deadline }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The kind and the name: records about them.
    pub(super) fn topic(&self) -> String {
        format!("{}:{}", self.kind, self.name)
    }

    /// Where a value lies, and whose call brings it.
    fn keys(&self, member: &Member, place: &[u8; 32]) -> [String; 2] {
        let place = Hex::of(place);
        ["v", "c"].map(|part| member.redis.names().name(self.kind, &[&self.name, part, place.as_str()]))
    }

    pub(super) async fn ask(
        &self,
        member: &Member,
        place: &[u8; 32],
        claim: Option<TierClaim>,
    ) -> Result<TierAnswer, RedisError> {
        let [value, call] = self.keys(member, place);
        let token = claim.map_or_else(String::new, |claim| format!("{:x}", claim.token));
        let lasts = millis(claim.map_or(Duration::ZERO, |claim| claim.lasts));
        let instead = if claim.is_some_and(|claim| claim.instead) { "1" } else { "" };
        let keys = [&*value, &*call, member.number_key()];
        let arguments = [token.as_bytes(), lasts.as_bytes(), instead.as_bytes()];
        answer(member.redis.run(&member.scripts.ask, &keys, &arguments, self.deadline).await?)
    }

    pub(super) async fn store(
        &self,
        member: &Member,
        place: &[u8; 32],
        value: &[u8],
        ttl: Duration,
        token: Option<u128>,
    ) -> Result<(), RedisError> {
        let [own, call] = self.keys(member, place);
        let token = token.map_or_else(String::new, |token| format!("{token:x}"));
        let ttl = millis(ttl);
        let arguments = [value, ttl.as_bytes(), token.as_bytes()];
        member.redis.run(&member.scripts.store, &[&own, &call], &arguments, PATIENCE).await.map(drop)
    }

    /// Lets a claim last longer; without a time, it ends.
    pub(super) async fn last(
        &self,
        member: &Member,
        place: &[u8; 32],
        token: u128,
        time: Option<Duration>,
    ) -> Result<(), RedisError> {
        let [_, call] = self.keys(member, place);
        let (token, time) = (format!("{token:x}"), time.map_or_else(|| "0".to_owned(), millis));
        let arguments = [token.as_bytes(), time.as_bytes()];
        member.redis.run(&member.scripts.renew, &[&call], &arguments, PATIENCE).await.map(drop)
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

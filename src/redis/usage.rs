//! [`RedisUsage`]: quotas, use and throttles of many processes.

use super::{
    buckets,
    connection::Redis,
    counters::{self, Arguments, News},
    error::RedisError,
    forget,
    news::Newsroom,
    script::Script,
};
use crate::{
    store::{StoreError, StoreFuture},
    usage_plan::store::{
        BucketLevel, Counter, Lease, LeaseAsk, RemainingAsk, StoredUsage, Taken, ThrottleAsk, UsageAsk,
        UsageListener, UsageStore,
    },
};
use ::redis::{Cmd, Value};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

/// A [`UsageStore`] on Redis or Valkey: every process with the same prefix shares its counters and its buckets.
///
/// See the [module docs](super) for what is kept under which key. Give each set of plans a store of its own; they may
/// share the connection.
#[derive(Debug)]
pub struct RedisUsage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    redis: Redis,
    deadline: Duration,
    channel: String,
    newsroom: Newsroom,
    scripts: Scripts,
}

#[derive(Debug)]
struct Scripts {
    throttle: Script,
    lease: Script,
    usage: Script,
    remaining: Script,
}

/// As long as `StoreOptions` waits by default.
const DEFAULT_DEADLINE: Duration = Duration::from_millis(20);

impl RedisUsage {
    /// A store on this connection. Nothing is sent yet.
    pub fn new(redis: Redis) -> Self {
        let channel = redis.names().name("news", &[]);
        let scripts = Scripts {
            throttle: Script::new(concat!(
                include_str!("scripts/throttle.lua"),
                include_str!("scripts/buckets.lua"),
                include_str!("scripts/take.lua")
            )),
            lease: Script::new(concat!(
                include_str!("scripts/prelude.lua"),
                include_str!("scripts/settle.lua"),
                include_str!("scripts/buckets.lua"),
                include_str!("scripts/lease.lua")
            )),
            usage: Script::new(concat!(
                include_str!("scripts/prelude.lua"),
                include_str!("scripts/settle.lua"),
                include_str!("scripts/usage.lua")
            )),
            remaining: Script::new(concat!(
                include_str!("scripts/prelude.lua"),
                include_str!("scripts/settle.lua"),
                include_str!("scripts/remaining.lua")
            )),
        };
        let newsroom = Newsroom::new(redis.clone(), channel.clone());
        let shared = Shared { redis, deadline: DEFAULT_DEADLINE, channel, newsroom, scripts };
        Self { shared: Arc::new(shared) }
    }

    /// How long an answer is waited for, and from when on a script that arrives late does nothing. Default: 20 ms, like
    /// that of `StoreOptions`; the shorter of the two counts.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.deadline = deadline;
        }
        self
    }
}

impl Shared {
    async fn throttle(&self, ask: &ThrottleAsk) -> Result<Vec<BucketLevel>, RedisError> {
        self.newsroom.ensure_open();
        let names = self.redis.names();
        let keys: Vec<_> = ask.buckets.iter().map(|bucket| buckets::key(names, &bucket.id)).collect();
        let mut argument = buckets::encode(ask);
        let write = |command: &mut Cmd, not_after| {
            buckets::set_not_after(&mut argument, not_after);
            command.arg(argument.as_slice());
        };
        let answer = self.redis.run_with(&self.scripts.throttle, &keys, self.deadline, write).await?;
        let Value::BulkString(answer) = answer else { return Err(RedisError::Reply) };
        let (time, levels) = buckets::decode(&answer, keys.len())?;
        self.redis.saw_server_time(time);
        Ok(levels)
    }

    async fn lease(&self, ask: &LeaseAsk) -> Result<Lease, RedisError> {
        self.newsroom.ensure_open();
        let recall = News::Recalled(ask.counter.clone(), self.newsroom.number()).encode();
        let arguments = counters::lease_arguments(ask, &self.channel, recall, Vec::new());
        let answer = self.count(&self.scripts.lease, &ask.counter, &arguments).await?;
        counters::lease_of(&answer)
    }

    async fn take(&self, ask: &LeaseAsk, tokens: &ThrottleAsk) -> Result<Taken, RedisError> {
        self.newsroom.ensure_open();
        let recall = News::Recalled(ask.counter.clone(), self.newsroom.number()).encode();
        let (names, mut buckets) = (self.redis.names(), Vec::new());
        buckets::push_buckets(&mut buckets, tokens);
        let arguments = counters::lease_arguments(ask, &self.channel, recall, buckets);
        let mut keys = self.keys_of_counter(&ask.counter).to_vec();
        keys.extend(tokens.buckets.iter().map(|bucket| buckets::key(names, &bucket.id)));
        let Value::Array(mut answer) = self.run(&self.scripts.lease, &keys, &arguments).await? else {
            return Err(RedisError::Reply);
        };
        let levels = match answer.pop_if(|last| matches!(last, Value::BulkString(_))) {
            Some(Value::BulkString(levels)) => Some(buckets::levels_of(&levels, tokens.buckets.len())?),
            _ => None,
        };
        let answer = counters::integers(Value::Array(answer))?;
        self.redis.saw_server_time(answer[0]);
        Ok(Taken { lease: counters::lease_of(&answer)?, levels })
    }

    fn keys_of_counter(&self, counter: &Counter) -> [String; 2] {
        ["counter", "days"].map(|kind| buckets::of_counter(self.redis.names(), kind, counter))
    }

    async fn usage(&self, ask: &UsageAsk) -> Result<StoredUsage, RedisError> {
        let arguments = counters::usage_arguments(ask);
        let answer = self.count(&self.scripts.usage, &ask.counter, &arguments).await?;
        counters::usage_of(&answer)
    }

    async fn set_remaining(&self, ask: &RemainingAsk) -> Result<(), RedisError> {
        let change = News::Changed(ask.counter.clone()).encode();
        let arguments = counters::remaining_arguments(ask, &self.channel, change);
        self.count(&self.scripts.remaining, &ask.counter, &arguments).await.map(drop)
    }

    async fn forget(&self, counter: &Counter) -> Result<(), RedisError> {
        let keys = forget::KINDS.map(|kind| buckets::of_counter(self.redis.names(), kind, counter));
        self.redis.call(::redis::cmd("DEL").arg(&keys[..]), self.deadline).await.map(drop)
    }

    /// Runs a script about a counter, which answers with integers.
    async fn count(
        &self,
        script: &Script,
        counter: &Counter,
        arguments: &Arguments,
    ) -> Result<Vec<i64>, RedisError> {
        let keys = self.keys_of_counter(counter);
        let answer = counters::integers(self.run(script, &keys, arguments).await?)?;
        self.redis.saw_server_time(answer[0]);
        Ok(answer)
    }

    async fn run(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &Arguments,
    ) -> Result<Value, RedisError> {
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        self.redis.run(script, &keys, &arguments.slices(), self.deadline).await
    }
}

fn store_error(error: RedisError) -> StoreError {
    StoreError::caused_by("Redis gave no usable answer", error)
}

impl UsageStore for RedisUsage {
    fn shares_throttles(&self) -> bool {
        true
    }

    fn lease(&self, ask: LeaseAsk) -> StoreFuture<Lease> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.lease(&ask).await.map_err(store_error) })
    }

    fn throttle(&self, ask: ThrottleAsk) -> StoreFuture<Vec<BucketLevel>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.throttle(&ask).await.map_err(store_error) })
    }

    fn take(&self, ask: &LeaseAsk, tokens: &ThrottleAsk) -> Option<StoreFuture<Taken>> {
        let (shared, ask, tokens) = (Arc::clone(&self.shared), ask.clone(), tokens.clone());
        Some(Box::pin(async move { shared.take(&ask, &tokens).await.map_err(store_error) }))
    }

    fn usage(&self, ask: UsageAsk) -> StoreFuture<StoredUsage> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.usage(&ask).await.map_err(store_error) })
    }

    fn set_remaining(&self, ask: RemainingAsk) -> StoreFuture<()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.set_remaining(&ask).await.map_err(store_error) })
    }

    fn forget(&self, counter: Counter) -> StoreFuture<()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.forget(&counter).await.map_err(store_error) })
    }

    fn forget_plan(&self, plan: Arc<str>) -> StoreFuture<()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.redis.forget_plan(&plan).await.map_err(store_error) })
    }

    fn listen(&self, listener: Weak<dyn UsageListener>) {
        self.shared.newsroom.add(listener);
    }

    fn processes(&self) -> u64 {
        self.shared.newsroom.roll.processes()
    }
}

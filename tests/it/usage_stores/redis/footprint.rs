//! What a key costs in Redis: the documented bytes, over many distinct keys, each with an expiry.

use super::LONG;
use crate::support::{is_long, redis_server::RedisServer, run};
use std::sync::Arc;
use tower_gateway::{
    redis::{Redis, RedisUsage},
    throttle::Throttle,
    usage_plan::store::{
        BucketAsk, BucketId, Counter, DayUse, LeaseAsk, Period, ThrottleAsk, Tokens, UsageStore,
    },
};

/// Documented in `tower_gateway::redis`.
const BYTES_OF_A_BUCKET: u64 = 200;
const BYTES_OF_A_COUNTER: u64 = 500;

fn used_memory(server: &RedisServer) -> u64 {
    let info: String = server.command(&["INFO", "memory"]);
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:")).unwrap();
    line.trim().parse().unwrap()
}

/// Runs `one` for many callers, some at a time, and gives back the bytes for each.
fn bytes_each<F>(
    server: &RedisServer,
    one: impl Fn(Arc<RedisUsage>, Counter) -> F + Copy + Send + 'static,
) -> u64
where
    F: Future<Output = ()> + Send,
{
    let callers: u64 = if is_long() { 1_000_000 } else { 20_000 };
    run(async {
        let store = Arc::new(RedisUsage::new(Redis::new(&server.url()).unwrap()).deadline(LONG));
        let warm = Counter::new("gold", 0);
        one(Arc::clone(&store), warm).await;
        let before = used_memory(server);
        let workers = (0..100_u64).map(|worker| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in (worker..callers).step_by(100) {
                    // As digests are.
                    let subject =
                        u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                    one(Arc::clone(&store), Counter::new("gold", subject)).await;
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
        (used_memory(server) - before) / callers
    })
}

async fn take(store: Arc<RedisUsage>, counter: Counter) {
    let throttle = Throttle::new(0.001, 5).unwrap();
    let buckets = vec![BucketAsk::new(BucketId::Key(counter), throttle)];
    store.throttle(ThrottleAsk::new(buckets, Tokens::Take(1))).await.unwrap();
}

async fn lease(store: Arc<RedisUsage>, counter: Counter) {
    let holder = counter.subject ^ 7;
    let period = Period::new(1_793_491_200..4_102_444_800, 20_758..20_788);
    let mut ask = LeaseAsk::new(counter, period, holder);
    (ask.limit, ask.used) = (Some(1_000), vec![DayUse::new(20_784, 3)]);
    (ask.need, ask.least, ask.want) = (1, 1, 10);
    store.lease(ask).await.unwrap();
}

#[test]
fn a_bucket_costs_no_more_than_documented() {
    let Some(server) = RedisServer::start() else { return };
    let bytes = bytes_each(&server, take);
    println!("{bytes} bytes a bucket");
    assert!(bytes <= BYTES_OF_A_BUCKET, "{bytes}");
    server.assert_all_expire();
}

#[test]
fn a_counter_costs_no_more_than_documented() {
    let Some(server) = RedisServer::start() else { return };
    let bytes = bytes_each(&server, lease);
    println!("{bytes} bytes a counter");
    assert!(bytes <= BYTES_OF_A_COUNTER, "{bytes}");
    server.assert_all_expire();
}

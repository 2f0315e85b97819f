//! Caches whose second tier is Redis. The rules are tested in `caching/tiers.rs`; here is what the network adds.

use super::*;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_gateway::{
    cache::{Cache, CacheBuilder, CacheLayer, Purge},
    store::StoreOptions,
};

type Service = BoxCloneSyncService<Request<Full<Bytes>>, Response<Bytes>, Infallible>;

/// The service behind all caches. It counts its calls, and none ends before as many have asked as were announced.
#[derive(Default)]
struct Origin {
    calls: AtomicUsize,
    asked: AtomicUsize,
    announced: AtomicUsize,
}

impl Origin {
    fn announce(&self, requests: usize) {
        self.announced.store(self.asked.load(SeqCst) + requests, SeqCst);
    }

    async fn answer(&self) -> String {
        let call = self.calls.fetch_add(1, SeqCst) + 1;
        while self.asked.load(SeqCst) < self.announced.load(SeqCst) {
            tokio::task::yield_now().await;
        }
        format!("call {call}")
    }
}

/// One process: a cache in front of a service that counts the calls of all.
struct Process {
    service: Service,
    cache: Cache,
    origin: Arc<Origin>,
}

fn process(fleet: &Fleet, origin: &Arc<Origin>, set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Process {
    let cache =
        set(Cache::builder().second_tier(fleet.cache("answers").deadline(5 * SECOND))).build().unwrap();
    let asked = Arc::clone(origin);
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        let origin = Arc::clone(&asked);
        let answer = async move { Ok::<_, Infallible>(Response::new(Full::from(origin.answer().await))) };
        Box::pin(answer) as BoxFuture<'static, _>
    });
    let cached = CacheLayer::new(cache.clone()).layer(service);
    let whole = cached.and_then(|answer: Response<tower_gateway::GatewayBody<Full<Bytes>>>| async {
        let (parts, body) = answer.into_parts();
        Ok(Response::from_parts(parts, body.collect().await.unwrap().to_bytes()))
    });
    Process { service: BoxCloneSyncService::new(whole), cache, origin: Arc::clone(origin) }
}

/// A deadline that a busy machine meets.
fn patient(cache: CacheBuilder) -> CacheBuilder {
    cache.tier_options(StoreOptions::new().deadline(5 * SECOND))
}

async fn text(process: &Process, path: &str) -> String {
    process.origin.asked.fetch_add(1, SeqCst);
    let request = Request::get(path).body(Full::default()).unwrap();
    let answer = process.service.clone().oneshot(request).await.unwrap();
    String::from_utf8(answer.into_body().to_vec()).unwrap()
}

async fn stored(process: &Process, count: u64) {
    eventually_async("it is in Redis", || process.cache.tier_stats().unwrap().stored >= count).await;
}

/// Until each process takes out of Redis what the first has put in: a cache joins its fleet behind its caller's back.
async fn in_step(all: &[Process]) {
    for (index, other) in all.iter().enumerate().skip(1) {
        let found = || other.cache.tier_stats().unwrap().found;
        for probe in 0.. {
            assert!(probe < 1000, "they come into step");
            let path = format!("/probe-{index}-{probe}");
            let count = all[0].cache.tier_stats().unwrap().stored;
            text(&all[0], &path).await;
            eventually_async("it is written, or will not be", || {
                let stats = all[0].cache.tier_stats().unwrap();
                stats.stored > count || stats.alone > 0 || stats.not_stored > 0
            })
            .await;
            text(other, &path).await;
            if found() > 0 {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_for_all_processes_and_purges_that_hold_in_all() {
    let Some(server) = RedisServer::start() else { return };
    let fleets = [0; 3].map(|_| member(&server.url()));
    meet(&fleets.each_ref()).await;
    let origin = Arc::default();
    let all = fleets.each_ref().map(|fleet| process(fleet, &origin, patient));
    in_step(&all).await;
    let before = origin.calls.load(SeqCst);
    let led = || all.iter().map(|process| process.cache.tier_stats().unwrap().led).sum::<u64>();
    let led_before = led();
    all[0].origin.announce(90);
    let said = join_all((0..90).map(|index| text(&all[index % 3], "/a"))).await;
    let first = format!("call {}", before + 1);
    assert!(said.iter().all(|said| *said == first), "{said:?}");
    assert_eq!(led(), led_before + 1);
    let keys = server.keys();
    assert!(keys.iter().any(|key| key.starts_with("{test}:cache:answers:v:")), "{keys:?}");
    assert!(!keys.iter().any(|key| key.starts_with("{test}:cache:answers:c:")), "{keys:?}");
    let told = all[0].cache.purge_everywhere(&Purge::all(), PATIENCE).await.unwrap();
    assert_eq!((told.acknowledged, told.is_complete()), (3, true));
    all[0].origin.announce(90);
    let said = join_all((0..90).map(|index| text(&all[index % 3], "/a"))).await;
    let second = format!("call {}", before + 2);
    assert!(said.iter().all(|said| *said == second), "{said:?}");
    server.assert_all_expire();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_cut_off_drops_what_it_could_not_hear_of() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = server.proxy();
    let (one, other) = (member(&server.url()), member(&proxy.url()));
    meet(&[&one, &other]).await;
    let origin = Arc::default();
    let both = [process(&one, &origin, patient), process(&other, &origin, patient)];
    in_step(&both).await;
    let [here, there] = &both;
    let (before, written) = (origin.calls.load(SeqCst), here.cache.tier_stats().unwrap().stored);
    let call = |number: usize| format!("call {}", before + number);
    assert_eq!(text(here, "/a").await, call(1));
    stored(here, written + 1).await;
    assert_eq!(text(there, "/a").await, call(1));
    proxy.cut();
    let told = here.cache.purge_everywhere(&Purge::all(), SECOND / 4).await.unwrap();
    assert_eq!(told.silent, [other.member_id()]);
    assert_eq!(text(there, "/a").await, call(1), "it cannot know");
    assert_eq!(text(there, "/b").await, call(2), "and goes on without Redis");
    proxy.heal();
    let told = here.cache.purge_everywhere(&Purge::all().path("/other"), PATIENCE).await.unwrap();
    assert!(told.is_complete());
    eventually_async("it is back", || other.is_current()).await;
    assert_eq!(text(there, "/a").await, call(3));
    server.assert_all_expire();
}

/// What a frozen Redis does not take is told when it is back, from whatever thread it was asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_while_redis_is_frozen_is_in_force_everywhere_afterwards() {
    let Some(server) = RedisServer::start() else { return };
    let fleets = [0; 2].map(|_| member(&server.url()));
    meet(&fleets.each_ref()).await;
    let calls = Arc::default();
    let both = fleets.each_ref().map(|fleet| process(fleet, &calls, patient));
    in_step(&both).await;
    let [here, there] = &both;
    let written = here.cache.tier_stats().unwrap().stored;
    let first = text(here, "/a").await;
    stored(here, written + 1).await;
    assert_eq!(text(there, "/a").await, first);
    server.freeze();
    let cache = here.cache.clone();
    std::thread::spawn(move || cache.flush()).join().unwrap();
    // A question that Redis finds when it is thawed comes too late.
    assert!(here.cache.purge_everywhere(&Purge::all().path("/other"), SECOND * 3 / 2).await.is_err());
    server.thaw();
    eventually_async("the other one hears of it", || there.cache.usage().keys == 0).await;
    assert_ne!(text(here, "/a").await, first);
    assert_ne!(text(there, "/a").await, first);
    server.assert_all_expire();
}

/// One process may have two caches that share a name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_holds_in_the_other_cache_of_its_process() {
    let Some(server) = RedisServer::start() else { return };
    let fleet = member(&server.url());
    eventually_async("it is in step", || fleet.is_current()).await;
    let calls = Arc::default();
    let both = [0; 2].map(|_| process(&fleet, &calls, patient));
    in_step(&both).await;
    let first = text(&both[0], "/a").await;
    eventually_async("it is in Redis", || both[0].cache.tier_stats().unwrap().stored >= 2).await;
    assert_eq!(text(&both[1], "/a").await, first);
    assert!(both[0].cache.purge_everywhere(&Purge::all(), PATIENCE).await.unwrap().is_complete());
    assert_ne!(text(&both[1], "/a").await, first);
}

/// Stopped, frozen, killed: the service is always there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_redis_costs_its_deadline_a_few_times_and_then_nothing() {
    let Some(server) = RedisServer::start() else { return };
    let fleet = member(&server.url());
    eventually_async("it is in step", || fleet.is_current()).await;
    let origin = Arc::default();
    let options = StoreOptions::new().failures(3).pause(60 * SECOND, 60 * SECOND);
    let own = process(&fleet, &origin, |cache| cache.tier_options(options));
    assert_eq!(text(&own, "/0").await, "call 1");
    server.freeze();
    for path in 1..20 {
        assert_eq!(text(&own, &format!("/{path}")).await, format!("call {}", path + 1));
    }
    let counts = own.cache.tier_store_counts().unwrap();
    assert!(counts.timeouts + counts.errors <= 6, "asks and writes: {counts:?}");
    assert!(counts.skipped >= 14 && counts.opened == 1, "{counts:?}");
    assert_eq!(text(&own, "/0").await, "call 1", "memory works");
    server.thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_has_forgotten_all_is_noticed() {
    let Some(server) = RedisServer::start() else { return };
    let fleet = member(&server.url());
    eventually_async("it is in step", || fleet.is_current()).await;
    let origin = Arc::default();
    let own = process(&fleet, &origin, patient);
    assert_eq!(text(&own, "/a").await, "call 1");
    stored(&own, 1).await;
    server.restart();
    // Purges may have been lost with it: what is in memory goes.
    eventually_async("memory is dropped", || own.cache.usage().keys == 0).await;
    assert_eq!(text(&own, "/a").await, "call 2");
    stored(&own, 2).await;
    server.assert_all_expire();
}

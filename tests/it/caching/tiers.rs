//! A second tier: what one process has fetched another one serves, under every rule of the first.

use super::*;
use crate::support::{
    get,
    shared_tier::{Seat, SharedTier},
};
use futures_util::future::join_all;
use http::{HeaderName, Method};
use tokio::sync::Notify;
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeys},
    cache::{
        CacheStatus, CacheStore, CacheTier, KeepValue, MemoryCacheStore, Purge, StoreKey, StoreUsage,
        StoredKey, StoredValue,
    },
    context::PrincipalLayer,
    filter::Head,
    route::{ApiMethod, CacheKey, Routes},
};

const KEYS: [&str; 2] = ["key-of-ada-0123456789", "key-of-bob-0123456789"];

/// A process: a cache with its layer and its seat at the tier.
struct Process {
    service: Cached,
    cache: Cache,
    seat: Seat,
}

fn process(
    tier: &Arc<SharedTier>,
    origin: &Origin,
    set: impl FnOnce(CacheBuilder) -> CacheBuilder,
) -> Process {
    let seat = tier.seat();
    let cache = set(Cache::builder().second_tier(Arc::new(seat.clone()))).build().unwrap();
    Process { service: CacheLayer::new(cache.clone()).layer(origin.clone()), cache, seat }
}

fn processes<const N: usize>(origin: &Origin) -> (Arc<SharedTier>, [Process; N]) {
    let tier = SharedTier::new(tower_gateway::clock::Clock::system());
    let all = std::array::from_fn(|_| process(&tier, origin, |cache| cache));
    (tier, all)
}

/// Lets what was begun behind requests come to its end.
async fn settled() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_one_process_has_fetched_another_serves() {
    let origin = Origin::sync(|_, call| with(answer(format!("call {call}")), "x-own", "kept"));
    let (tier, [one, other]) = processes(&origin);
    assert_eq!(text(&one.service, "/a").await, "call 1");
    settled().await;
    let answer = ask(&other.service, get("/a")).await;
    assert_eq!(answer.headers()["x-own"], "kept");
    assert_eq!(said(answer), "call 1");
    assert_eq!(text(&other.service, "/a").await, "call 1");
    assert_eq!(text(&other.service, "/b").await, "call 2");
    let (led, read) = (one.cache.tier_stats().unwrap(), other.cache.tier_stats().unwrap());
    assert_eq!((led.led, led.stored, led.found, led.alone), (1, 1, 0, 0));
    assert_eq!((read.led, read.found, read.unusable, read.alone), (1, 1, 0, 0), "memory had the third");
    assert_eq!(other.cache.stats().count(CacheStatus::Hit), 2);
    settled().await;
    assert_eq!(tier.claims(), 0);
    assert!(tier.longest_ttl().unwrap() <= 300 * SECOND, "as long as it is fresh");
}

#[tokio::test]
async fn an_answer_ages_in_the_tier_too() {
    let clock = ManualClock::at_unix_seconds(1_795_331_880);
    let tier = SharedTier::new(clock.clock());
    let origin = Origin::counting();
    let set = |cache: CacheBuilder| cache.clock(clock.clock());
    let (one, other) = (process(&tier, &origin, set), process(&tier, &origin, set));
    assert_eq!(text(&one.service, "/a").await, "call 1");
    settled().await;
    clock.advance(299 * SECOND);
    assert_eq!(text(&other.service, "/a").await, "call 1");
    clock.advance(SECOND);
    assert_eq!(text(&other.service, "/a").await, "call 2", "300 s after the call, not after the look-up");
}

/// In every configuration: nothing of one caller's for another, on two processes as on one.
#[tokio::test]
async fn two_callers_are_kept_apart_across_processes() {
    let all = |request: &Ask| format!("{:?}", request.headers().values().collect::<Vec<_>>());
    let origin = Origin::sync(move |request, call| answer(format!("{call} {}", all(&request))));
    let tier = SharedTier::new(tower_gateway::clock::Clock::system());
    let keys = [
        CacheKey::new(),
        CacheKey::new().query("zone"),
        CacheKey::new().principal(),
        CacheKey::only_declared(),
        CacheKey::new().header(HeaderName::from_static("authorization")),
    ];
    for (number, key) in keys.into_iter().enumerate() {
        let set = |cache: CacheBuilder| cache.key(key.clone());
        let (one, other) = (process(&tier, &origin, set), process(&tier, &origin, set));
        for name in ["authorization", "cookie", "x-api-key", "proxy-authorization"] {
            let uri = format!("/me-{number}-{name}");
            let ada = said(ask(&one.service, get_with(&uri, &[(name, "ada")])).await);
            settled().await;
            let bob = said(ask(&other.service, get_with(&uri, &[(name, "bob")])).await);
            assert!(ada.contains("ada") && bob.contains("bob"), "{name} {key:?}: {ada} {bob}");
        }
    }
}

#[tokio::test]
async fn whom_a_layer_has_established_is_part_of_the_place() {
    let tier = SharedTier::new(tower_gateway::clock::Clock::system());
    let origin = Origin::counting();
    let keys = ["ada", "bob"].into_iter().zip(KEYS).map(|(id, value)| ApiKey::new(id).value(value));
    let keys = keys.fold(ApiKeys::builder(), |builder, key| builder.key(key)).build().unwrap();
    let routes = Routes::builder().method("/me", Method::GET, ApiMethod::new().api_key_required(true));
    let routes = routes.build().unwrap();
    let body = tower_gateway::body::BodyLayer;
    let (one, other) = (process(&tier, &origin, |cache| cache), process(&tier, &origin, |cache| cache));
    let by_key = |process: &Process| {
        ApiKeyLayer::new(keys.clone()).routes(&routes).layer(body.layer(process.service.clone()))
    };
    let by_user = |process: &Process| {
        let user = |head: Head<'_>| Some(head.headers.get("x-user")?.to_str().ok()?.to_owned());
        PrincipalLayer::new(user).layer(body.layer(process.service.clone()))
    };
    let mut seen = Vec::new();
    for (process, value) in [(&one, KEYS[0]), (&other, KEYS[1]), (&other, KEYS[0])] {
        let answer = by_key(process).oneshot(get_with("/me", &[("x-api-key", value)])).await.unwrap();
        seen.push(answer.into_body().collect().await.unwrap().to_bytes());
        settled().await;
    }
    for (process, value) in [(&one, "ada"), (&other, "bob"), (&other, "ada")] {
        let answer = by_user(process).oneshot(get_with("/me", &[("x-user", value)])).await.unwrap();
        seen.push(answer.into_body().collect().await.unwrap().to_bytes());
        settled().await;
    }
    assert_eq!(seen, ["call 1", "call 2", "call 1", "call 3", "call 4", "call 3"]);
}

#[tokio::test]
async fn the_whole_key_is_compared_and_damage_is_seen() {
    let origin = Origin::sync(|request, _| answer(request.uri().path().to_owned()));
    let (tier, [one, other]) = processes(&origin);
    tier.collides.store(true, SeqCst);
    assert_eq!(text(&one.service, "/a").await, "/a");
    settled().await;
    assert_eq!(text(&other.service, "/b").await, "/b", "all places are one, and its value is another key's");
    assert_eq!(other.cache.tier_stats().unwrap().unusable, 1);
    settled().await;
    tier.damage(|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let third = process(&tier, &origin, |cache| cache);
    assert_eq!(text(&third.service, "/b").await, "/b");
    assert_eq!((third.cache.tier_stats().unwrap().unusable, origin.calls()), (1, 3));
}

#[tokio::test]
async fn vary_is_heeded_across_processes() {
    let origin = Origin::sync(|request, call| {
        let language =
            request.headers().get("accept-language").map(|value| value.to_str().unwrap().to_owned());
        with(answer(format!("{call} {language:?}")), "vary", "accept-language")
    });
    let (_tier, [one, other]) = processes(&origin);
    let asked = async |process: &Process, language| {
        let said = said(ask(&process.service, get_with("/a", &[("accept-language", language)])).await);
        settled().await;
        said
    };
    let de = asked(&one, "de").await;
    let en = asked(&other, "en").await;
    assert_eq!((&*de, &*en), ("1 Some(\"de\")", "2 Some(\"en\")"));
    assert_eq!(asked(&other, "de").await, de);
    assert_eq!(asked(&one, "en").await, en);
    assert_eq!(origin.calls(), 2);
}

/// A service that answers when it is let, and tells when it is called.
fn held() -> (Origin, Arc<Notify>, Arc<Notify>) {
    let (called, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (calls, goes) = (Arc::clone(&called), Arc::clone(&go));
    let origin = Origin::new(move |_, call| {
        let (calls, goes) = (Arc::clone(&calls), Arc::clone(&goes));
        async move {
            calls.notify_one();
            goes.notified().await;
            Ok(answer(format!("call {call}")))
        }
    });
    (origin, called, go)
}

#[tokio::test]
async fn all_processes_make_one_call() {
    let (origin, called, go) = held();
    let (tier, all) = processes::<3>(&origin);
    let asks = join_all((0..150).map(|index| text(&all[index % 3].service, "/a")));
    let (said, ()) = futures_util::future::join(asks, async {
        called.notified().await;
        settled().await;
        go.notify_one();
    })
    .await;
    assert!(said.iter().all(|said| said == "call 1"), "{said:?}");
    assert_eq!(origin.calls(), 1);
    let stats = all.each_ref().map(|process| process.cache.tier_stats().unwrap());
    assert_eq!(stats.iter().map(|stats| stats.led).sum::<u64>(), 1);
    assert_eq!(stats.iter().map(|stats| stats.followed).sum::<u64>(), 2);
    assert_eq!(tier.claims(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_call_to_the_next_process() {
    let (origin, called, go) = held();
    let (_tier, [one, other]) = processes(&origin);
    let mut gone = Box::pin(send(&one.service, get("/a")));
    while futures_util::FutureExt::now_or_never(called.notified()).is_none() {
        assert!(poll_once(&mut gone).await.is_pending());
        tokio::task::yield_now().await;
    }
    drop(gone);
    go.notify_one();
    assert_eq!(text(&other.service, "/a").await, "call 2");
}

/// The whole process is gone, with every task that could have said so.
#[test]
fn a_process_that_dies_is_followed_by_the_next() {
    let (origin, called, go) = held();
    let (tier, [one, other]) = processes(&origin);
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dying = runtime();
    let service = one.service.clone();
    dying.spawn(async move { send(&service, get("/a")).await.map(drop) });
    runtime().block_on(called.notified());
    // As after a kill: nothing of it reaches the tier any more, and its tasks are gone when this returns.
    one.seat.away(true);
    dying.shutdown_timeout(60 * SECOND);
    drop(one);
    go.notify_one();
    assert_eq!(tier.claims(), 1, "nobody is left to take it back");
    let said = runtime().block_on(async { text(&other.service, "/a").await });
    assert_eq!(said, "call 2");
    assert_eq!(other.cache.tier_stats().unwrap().led, 1);
}

#[tokio::test]
async fn an_answer_that_is_not_storable_sets_the_other_processes_free() {
    let origin = Origin::sync(|_, call| with(answer(format!("call {call}")), "cache-control", "no-store"));
    let (tier, [one, other]) = processes(&origin);
    assert_eq!(text(&one.service, "/a").await, "call 1");
    settled().await;
    assert_eq!(text(&other.service, "/a").await, "call 2");
    assert_eq!(other.cache.tier_stats().unwrap().found, 1, "the mark");
    assert_eq!(text(&other.service, "/a").await, "call 3");
    assert_eq!(tier.claims(), 0);
    assert!(tier.values().iter().all(|value| !value.windows(4).any(|window| window == b"call")));
}

#[tokio::test]
async fn a_purge_holds_in_every_process_and_says_who_has_not_heard() {
    let origin = Origin::sync(|request, call| {
        with(answer(format!("call {call}")), "surrogate-key", request.uri().path().trim_start_matches('/'))
    });
    let (_tier, all) = processes::<3>(&origin);
    for process in &all {
        assert_eq!(text(&process.service, "/a").await, "call 1");
        assert_eq!(text(&process.service, "/b").await, "call 2");
        settled().await;
    }
    let told = all[0].cache.purge_everywhere(&Purge::all().tag("a"), SECOND).await.unwrap();
    assert_eq!((told.acknowledged, told.is_complete()), (3, true));
    assert_eq!(text(&all[1].service, "/a").await, "call 3");
    settled().await;
    assert_eq!(text(&all[2].service, "/a").await, "call 3");
    assert_eq!(text(&all[2].service, "/b").await, "call 2", "without that tag");
    all[2].seat.deaf(true);
    let told = all[0].cache.purge_everywhere(&Purge::all().path("/b"), SECOND).await.unwrap();
    assert_eq!((told.acknowledged, &*told.silent), (2, &["2".to_owned()][..]));
    assert_eq!(text(&all[2].service, "/b").await, "call 2", "it cannot know");
    all[2].seat.deaf(false);
    assert_eq!(text(&all[2].service, "/b").await, "call 4");
}

#[tokio::test]
async fn what_has_not_seen_a_purge_is_not_served_whenever_it_comes() {
    let (origin, called, go) = held();
    let (tier, [one, other]) = processes(&origin);
    one.seat.deaf(true);
    let mut asking = Box::pin(text(&one.service, "/a"));
    let (said, ()) = futures_util::future::join(&mut asking, async {
        called.notified().await;
        other.cache.purge_everywhere(&Purge::all(), SECOND).await.unwrap();
        go.notify_one();
    })
    .await;
    assert_eq!(said, "call 1");
    settled().await;
    assert!(!tier.values().is_empty(), "the deaf process has stored it");
    go.notify_one();
    assert_eq!(text(&other.service, "/a").await, "call 2");
    assert_eq!(other.cache.tier_stats().unwrap().unusable, 1);
}

#[tokio::test]
async fn a_process_that_has_not_heard_of_a_purge_takes_nothing_out_of_the_tier() {
    let origin = Origin::counting();
    let (_tier, [one, other]) = processes(&origin);
    assert_eq!(text(&one.service, "/a").await, "call 1");
    settled().await;
    other.seat.deaf(true);
    one.cache.purge_everywhere(&Purge::all().path("/other"), SECOND).await.unwrap();
    assert_eq!(text(&other.service, "/a").await, "call 2", "the purge might have been about it");
}

/// A store that is slow to forget while somebody waits for it, and counts how often somebody does.
#[derive(Debug)]
struct SlowStore {
    memory: MemoryCacheStore,
    waits: Arc<AtomicUsize>,
}

impl CacheStore for SlowStore {
    as_memory!(get, insert, remove, usage);

    fn retain(&self, keep: &mut dyn FnMut(&[u8], &StoredValue) -> bool) {
        self.waits.fetch_add(1, SeqCst);
        self.memory.retain(keep);
    }

    fn retain_behind(&self, keep: Arc<KeepValue>) {
        self.memory.retain(&mut |key, value| keep(key, value));
    }
}

/// The fleet's own task hears of purges, and keeps this process alive beside that.
#[tokio::test]
async fn a_purge_that_is_heard_waits_for_no_store() {
    let origin = Origin::counting();
    let tier = SharedTier::new(tower_gateway::clock::Clock::system());
    let (waits, memory) = (Arc::<AtomicUsize>::default(), MemoryCacheStore::new(1 << 20, 1 << 18).unwrap());
    let slow = SlowStore { memory, waits: Arc::clone(&waits) };
    let (one, other) =
        (process(&tier, &origin, |cache| cache), process(&tier, &origin, |cache| cache.store(slow)));
    assert_eq!(text(&other.service, "/a").await, "call 1");
    settled().await;
    one.cache.purge_everywhere(&Purge::all().path("/a"), SECOND).await.unwrap();
    assert_eq!(text(&other.service, "/a").await, "call 2");
    settled().await;
    let nonsense = Bytes::from_static(b"of a newer version");
    CacheTier::announce(&one.seat, nonsense).await.unwrap();
    assert_eq!(text(&other.service, "/a").await, "call 3", "whatever it meant");
    assert_eq!(waits.load(SeqCst), 0);
}

/// When it was is not told: not before the answer was asked for.
#[tokio::test]
async fn a_soft_purge_that_is_known_of_only_is_as_old_as_it_may_be() {
    for (later, said) in [(30 * SECOND, "call 1"), (3_600 * SECOND, "call 2")] {
        let clock = ManualClock::at_unix_seconds(1_795_331_880);
        let tier = SharedTier::new(clock.clock());
        let directives = "max-age=86400, stale-while-revalidate=60";
        let origin =
            Origin::sync(move |_, call| with(answer(format!("call {call}")), "cache-control", directives));
        let rfc = tower_gateway::cache::rfc::Rfc9111::new;
        let [one, other] =
            [(); 2].map(|()| process(&tier, &origin, |cache| cache.rfc9111(rfc()).clock(clock.clock())));
        assert_eq!(text(&one.service, "/a").await, "call 1");
        settled().await;
        one.cache.purge_everywhere(&Purge::all().softly(), SECOND).await.unwrap();
        clock.advance(later);
        assert_eq!(text(&other.service, "/a").await, said);
        settled().await;
    }
}

/// Two processes that have both answers, on a clock of their own.
async fn with_answers(set: impl Fn(CacheBuilder) -> CacheBuilder) -> (ManualClock, [Process; 2]) {
    let clock = ManualClock::at_unix_seconds(1_795_331_880);
    let tier = SharedTier::new(clock.clock());
    let origin = Origin::sync(|_, call| with(answer(format!("call {call}")), "cache-control", "max-age=300"));
    let both = [(); 2].map(|()| process(&tier, &origin, |cache| set(cache.clock(clock.clock()))));
    for (uri, call) in [("/a", "call 1"), ("/b", "call 2")] {
        for process in &both {
            assert_eq!(text(&process.service, uri).await, call);
            settled().await;
        }
    }
    (clock, both)
}

/// Until what was begun in vain is given up and tried again.
async fn tried_again(clock: &ManualClock) {
    for _ in 0..3 {
        clock.advance(SECOND);
        settled().await;
    }
}

#[tokio::test]
async fn a_purge_without_a_number_keeps_the_tier_shut_and_is_sent_again() {
    let (clock, [one, other]) = with_answers(|cache| cache).await;
    one.seat.mute(true);
    assert_eq!(one.cache.purge(&Purge::all().path("/a")), 1);
    settled().await;
    assert_eq!(text(&one.service, "/a").await, "call 3", "what lies in the tier is older than the purge");
    assert_eq!(text(&other.service, "/a").await, "call 1", "it cannot know");
    assert_eq!(text(&other.service, "/c").await, "call 4");
    settled().await;
    assert_eq!(text(&one.service, "/c").await, "call 4", "the purge is not about that");
    one.seat.mute(false);
    tried_again(&clock).await;
    assert_eq!(text(&other.service, "/a").await, "call 5");
    settled().await;
    assert_eq!(one.cache.purge(&Purge::all().path("/a")), 1);
    settled().await;
    assert_eq!(text(&one.service, "/a").await, "call 6");
    settled().await;
    assert_eq!(text(&other.service, "/a").await, "call 6", "the tier is open again");
    assert_eq!(text(&other.service, "/b").await, "call 2");
}

#[tokio::test]
async fn what_an_unsafe_request_invalidates_stays_so_while_the_tier_does_not_take_it() {
    let rfc = |cache: CacheBuilder| cache.rfc9111(tower_gateway::cache::rfc::Rfc9111::new());
    let (clock, [one, other]) = with_answers(rfc).await;
    one.seat.mute(true);
    assert_eq!(said(ask(&one.service, request("POST", "/a", &[])).await), "call 3");
    settled().await;
    assert_eq!(text(&one.service, "/a").await, "call 4");
    one.seat.mute(false);
    tried_again(&clock).await;
    assert_eq!(text(&other.service, "/a").await, "call 5");
    assert_eq!(text(&other.service, "/b").await, "call 2");
}

/// Whose entries the others keep is not known.
#[tokio::test]
async fn an_unsafe_request_invalidates_what_other_callers_have_in_other_processes() {
    let origin = Origin::sync(|_, call| with(answer(format!("call {call}")), "cache-control", "max-age=300"));
    let tier = SharedTier::new(tower_gateway::clock::Clock::system());
    let rfc = |cache: CacheBuilder| cache.rfc9111(tower_gateway::cache::rfc::Rfc9111::new());
    let (one, other) = (process(&tier, &origin, rfc), process(&tier, &origin, rfc));
    let user = |head: Head<'_>| Some(head.headers.get("x-user")?.to_str().ok()?.to_owned());
    let by_user =
        PrincipalLayer::new(user).layer(tower_gateway::body::BodyLayer.layer(other.service.clone()));
    let as_ada = async || {
        let answer = by_user.clone().oneshot(get_with("/a", &[("x-user", "ada")])).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    };
    assert_eq!([as_ada().await, as_ada().await], ["call 1", "call 1"]);
    settled().await;
    assert_eq!(said(ask(&one.service, request("POST", "/a", &[])).await), "call 2");
    settled().await;
    assert_eq!(as_ada().await, "call 3");
}

/// Its operator is told that nobody has acknowledged, and it is done all the same.
#[tokio::test]
async fn a_purge_that_the_tier_did_not_take_in_time_is_in_force_when_it_is_back() {
    let (clock, [one, other]) = with_answers(|cache| cache).await;
    one.seat.away(true);
    let all = Purge::all();
    let mut told = Box::pin(one.cache.purge_everywhere(&all, SECOND));
    assert!(poll_once(&mut told).await.is_pending());
    settled().await;
    clock.advance(SECOND);
    assert!(told.await.is_err());
    one.seat.away(false);
    assert_eq!(text(&one.service, "/a").await, "call 3");
    tried_again(&clock).await;
    assert_eq!([text(&other.service, "/a").await, text(&one.service, "/a").await], ["call 4", "call 3"]);
}

#[test]
fn a_purge_outside_of_a_runtime_is_sent_with_the_next_request() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_clock, [one, other]) = runtime.block_on(with_answers(|cache| cache));
    one.cache.flush();
    runtime.block_on(async {
        assert_eq!(text(&one.service, "/a").await, "call 3");
        settled().await;
        assert_eq!(text(&other.service, "/b").await, "call 4");
    });
}

#[tokio::test]
async fn who_may_invalidate_does_it_for_all() {
    let origin = Origin::counting();
    let tier = SharedTier::new(tower_gateway::clock::Clock::system());
    let set = |cache: CacheBuilder| cache.may_invalidate(|_| true);
    let (one, other) = (process(&tier, &origin, set), process(&tier, &origin, set));
    assert_eq!(text(&one.service, "/a").await, "call 1");
    settled().await;
    assert_eq!(text(&other.service, "/a").await, "call 1");
    assert_eq!(said(ask(&one.service, get_with("/a", &[("cache-control", "max-age=0")])).await), "call 2");
    settled().await;
    assert_eq!(text(&other.service, "/a").await, "call 2");
    assert_eq!(text(&one.service, "/a").await, "call 2");
}

#[tokio::test]
async fn a_tier_that_is_away_costs_its_deadline_and_no_answer() {
    let origin = Origin::counting();
    let (_tier, [one, other]) = processes(&origin);
    one.seat.away(true);
    assert_eq!(text(&one.service, "/a").await, "call 1");
    assert_eq!(text(&one.service, "/a").await, "call 1", "memory works");
    let stats = one.cache.tier_stats().unwrap();
    assert_eq!((stats.alone, stats.stored), (1, 0));
    assert!(one.cache.purge_everywhere(&Purge::all(), SECOND).await.is_err());
    assert_eq!(text(&one.service, "/a").await, "call 2", "in force here");
    assert_eq!(text(&other.service, "/a").await, "call 3");
}

#[tokio::test]
async fn layers_that_have_no_name_in_common_share_nothing() {
    let origin = Origin::counting();
    let (_tier, [one, other]) = processes(&origin);
    let second = |process: &Process| CacheLayer::new(process.cache.clone()).layer(origin.clone());
    assert_eq!(text(&second(&one), "/a").await, "call 1");
    settled().await;
    assert_eq!(text(&second(&other), "/a").await, "call 2", "another number may be another service");
    let named =
        |process: &Process| CacheLayer::new(process.cache.clone()).namespace("n").layer(origin.clone());
    assert_eq!(text(&named(&one), "/a").await, "call 3");
    settled().await;
    assert_eq!(text(&named(&other), "/a").await, "call 3");
    assert_eq!(text(&other.service, "/a").await, "call 4");
}

#[cfg(feature = "cache-encryption")]
#[tokio::test]
async fn what_is_sealed_stays_sealed() {
    use tower_gateway::{
        cache::{EncryptionKeys, NoCacheReason},
        route::CacheSettings,
    };
    let origin =
        Origin::sync(|_, call| with(answer(format!("secret words {call}")), "x-own", "secret words"));
    let tier = SharedTier::new(tower_gateway::clock::Clock::system());
    let sealed = |key: u8| {
        move |cache: CacheBuilder| {
            let keys = EncryptionKeys::new(&[key; 32]).unwrap();
            cache.settings(CacheSettings::new().data_encrypted(true)).encryption(keys)
        }
    };
    let [one, other, stranger] = [1, 1, 2].map(|key| process(&tier, &origin, sealed(key)));
    assert_eq!(text(&one.service, "/a").await, "secret words 1");
    settled().await;
    assert!(tier.values().iter().all(|value| !value.windows(6).any(|window| window == b"secret")));
    assert_eq!(text(&other.service, "/a").await, "secret words 1");
    assert_eq!(text(&stranger.service, "/a").await, "secret words 2");
    assert_eq!(stranger.cache.stats().missed(NoCacheReason::Sealed), 1);
}

#[tokio::test]
async fn without_coalescing_the_tier_is_only_looked_up() {
    let (origin, called, go) = held();
    let tier = SharedTier::new(tower_gateway::clock::Clock::system());
    let set = |cache: CacheBuilder| cache.coalesce(false);
    let (one, other) = (process(&tier, &origin, set), process(&tier, &origin, set));
    let asks = futures_util::future::join(text(&one.service, "/a"), text(&other.service, "/a"));
    let ((first, second), ()) = futures_util::future::join(asks, async {
        called.notified().await;
        called.notified().await;
        go.notify_one();
        settled().await;
        go.notify_one();
    })
    .await;
    assert_ne!(first, second);
    settled().await;
    let third = process(&tier, &origin, set);
    assert!(["call 1", "call 2"].contains(&&*text(&third.service, "/a").await));
}

#[tokio::test]
async fn methods_that_are_not_cached_never_reach_the_tier() {
    let origin = Origin::counting();
    let (tier, [one, other]) = processes(&origin);
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD] {
        for process in [&one, &other] {
            ask(&process.service, request(method.as_str(), "/a", &[])).await;
            settled().await;
        }
    }
    assert_eq!((origin.calls(), tier.values().len()), (10, 0));
}

/// What will not be stored is of no use to other processes: they need not wait for its end.
#[tokio::test]
async fn a_call_whose_answer_makes_room_is_not_waited_for() {
    let pieces = || (0..16).map(|_| Ok(Frame::data(Bytes::from(vec![7; 1 << 16]))));
    let origin = Origin::sync(move |_, _| {
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(pieces())).boxed_unsync();
        answer("").map(|_| body)
    });
    let tier = SharedTier::new(tower_gateway::clock::Clock::system());
    let [one, other] = [(); 2].map(|()| process(&tier, &origin, |cache| cache.capacity(16 << 20)));
    let mut still = Vec::new();
    for number in 0..5 {
        let mut body = send(&one.service, get(&format!("/{number}"))).await.unwrap().into_body();
        for _ in 0..15 {
            body.frame().await.unwrap().unwrap();
        }
        still.push(body);
    }
    settled().await;
    assert_eq!(tier.claims(), 4, "four have room");
    assert_eq!(ask(&other.service, get("/0")).await.body().len(), 1 << 20);
    assert_eq!((origin.calls(), other.cache.tier_stats().unwrap().led), (6, 1));
}

/// Another process is at it and does not come to an end: nobody waits for it, and then once more for somebody here.
#[tokio::test]
async fn a_wait_is_as_long_with_a_second_tier_as_without() {
    let clock = ManualClock::at_unix_seconds(1_795_331_880);
    let (origin, _called, _go) = held();
    let tier = SharedTier::new(clock.clock());
    let [one, other] = [(); 2].map(|()| process(&tier, &origin, |cache| cache.clock(clock.clock())));
    let mut all: Vec<_> = [&one, &other, &other]
        .map(|process| Box::pin(send(&process.service, get("/a"))))
        .into_iter()
        .collect();
    let mut poll_all = async || {
        for _ in 0..5 {
            for asked in &mut all {
                assert!(poll_some(asked).await.is_pending());
            }
            settled().await;
        }
    };
    poll_all().await;
    for (steps, calls) in [(24, 1), (2, 2), (23, 2), (2, 3)] {
        for _ in 0..steps {
            clock.advance(SECOND / 10);
            poll_all().await;
        }
        assert_eq!(origin.calls(), calls, "half of the time for the other process, all of it in all");
    }
}

/// The call of another process takes longer than it is waited for: those who waited share one of this process.
#[tokio::test]
async fn who_waited_in_vain_for_another_process_shares_a_call() {
    let clock = ManualClock::at_unix_seconds(1_795_331_880);
    let (origin, _called, go) = held();
    let tier = SharedTier::new(clock.clock());
    let [one, other] = [(); 2].map(|()| process(&tier, &origin, |cache| cache.clock(clock.clock())));
    let mut first = Box::pin(text(&one.service, "/a"));
    assert!(poll_some(&mut first).await.is_pending());
    settled().await;
    assert!(poll_some(&mut first).await.is_pending());
    let mut batch = Box::pin(join_all((0..9).map(|_| text(&other.service, "/a"))));
    for _ in 0..30 {
        assert!(poll_some(&mut batch).await.is_pending());
        settled().await;
        clock.advance(SECOND / 10);
    }
    assert!(poll_some(&mut batch).await.is_pending());
    assert_eq!(origin.calls(), 2);
    go.notify_one();
    assert_eq!(first.await, "call 1");
    go.notify_one();
    assert_eq!(batch.await, vec!["call 2"; 9]);
    assert_eq!(text(&other.service, "/a").await, "call 2", "stored");
}

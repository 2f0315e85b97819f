//! Two callers, one URL: nothing is shared that was not declared to be.

use super::*;
use crate::support::{get, run};
use http::{
    HeaderName, Method,
    header::{AUTHORIZATION, COOKIE},
};
use std::sync::Mutex;
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeys},
    body::BodyLayer,
    cache::{CacheStore, MemoryCacheStore, NoCacheReason, StoreKey, StoreUsage, StoredKey, StoredValue},
    context::{PrincipalLayer, RequestContext},
    route::{ApiMethod, CacheKey, Routes},
};

/// A mode of the cache.
pub(super) type Mode = fn(CacheBuilder) -> CacheBuilder;

/// What holds for callers holds in each of them.
pub(super) const MODES: [Mode; 3] = [
    |cache| cache,
    |cache| cache.aws_exact(true),
    |cache| cache.rfc9111(tower_gateway::cache::rfc::Rfc9111::new()),
];

/// Fresh for a while in RFC 9111 mode, too.
pub(super) fn fresh(body: String) -> Answer {
    with(answer(body), "cache-control", "max-age=60")
}

/// Answers with everything that tells who is asking.
fn me() -> Origin {
    Origin::sync(|request, _| {
        let named = ["authorization", "cookie", "x-api-key", "x-own"].map(|name| all(&request, name));
        let context = RequestContext::of(request.extensions());
        let principal =
            context.and_then(RequestContext::principal).map(|principal| principal.id().to_owned());
        fresh(format!("{named:?} {principal:?} {:?}", request.uri().query()))
    })
}

fn all(request: &Ask, name: &str) -> Vec<String> {
    request.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

/// The first of two callers is asked twice, the other once in between: each gets its own answer.
async fn calls(service: &Cached, origin: &Origin, first: Ask, other: Ask) -> usize {
    let before = origin.calls();
    let repeat = clone(&first);
    let [first, other] = [said(ask(service, first).await), said(ask(service, other).await)];
    assert_ne!(first, other);
    assert_eq!(said(ask(service, repeat).await), first);
    origin.calls() - before
}

pub(super) fn clone(request: &Ask) -> Ask {
    let mut copy = get(&request.uri().to_string());
    *copy.headers_mut() = request.headers().clone();
    copy
}

#[test]
fn header_credentials_are_not_shared_in_any_configuration() {
    let keys = [
        CacheKey::new(),
        CacheKey::new().query("zone"),
        CacheKey::new().without_query(),
        CacheKey::new().principal(),
        CacheKey::only_declared(),
        CacheKey::only_declared().query("zone").namespace("n"),
    ];
    run(async {
        for key in keys {
            for mode in MODES {
                for name in
                    ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-amz-security-token"]
                {
                    let origin =
                        Origin::sync(|request, call| fresh(format!("{call} {:?}", request.headers())));
                    let (service, cache, _) = cached(&origin, |cache| mode(cache.key(key.clone())));
                    let by = |who: &str| get_with("/", &[(name, who)]);
                    let [first, other, again] = [
                        ask(&service, by("ada")).await,
                        ask(&service, by("bob")).await,
                        ask(&service, by("ada")).await,
                    ];
                    assert!(
                        said(first).contains("ada")
                            && said(other).contains("bob")
                            && said(again).contains("ada")
                    );
                    assert_eq!(origin.calls(), 3, "{name} {key:?}");
                    let stats = cache.stats();
                    let (passed, kept_out) = (NoCacheReason::IdentityNotInKey, NoCacheReason::Authorization);
                    assert_eq!(stats.missed(passed) + stats.not_stored(kept_out), 3);
                    // Nor is an anonymous answer one of theirs.
                    assert!(!text(&service, "/").await.contains(name));
                }
            }
        }
    });
}

#[test]
fn a_credential_in_the_key_keeps_its_owners_apart() {
    run(async {
        for (name, mode) in
            [AUTHORIZATION, COOKIE].into_iter().flat_map(|name| MODES.map(|mode| (name.clone(), mode)))
        {
            let origin = me();
            let (service, _, _) =
                cached(&origin, |cache| mode(cache.key(CacheKey::new().header(name.clone()))));
            let by = |who: &str| get_with("/", &[(name.as_str(), who)]);
            assert_eq!(calls(&service, &origin, by("ada"), by("bob")).await, 2);
            assert_eq!(calls(&service, &origin, by("Ada"), get("/")).await, 2);
            // Two fields are not one of them, nor their list.
            let two = get_with("/", &[(name.as_str(), "a"), (name.as_str(), "b")]);
            assert_eq!(calls(&service, &origin, two, by("a")).await, 2);
            assert_eq!(calls(&service, &origin, by("ab"), by("a, b")).await, 2);
        }
        let origin = me();
        let (service, _, _) = cached(&origin, |cache| cache.key(CacheKey::new().header(AUTHORIZATION)));
        let by = |who: &str| get_with("/", &[("authorization", "same"), ("cookie", who)]);
        assert_eq!(calls(&service, &origin, by("ada"), by("bob")).await, 3, "the cookie is not in the key");
    });
}

#[test]
fn a_credential_of_one_s_own_is_one() {
    run(async {
        for mode in MODES {
            let origin = me();
            let name = HeaderName::from_static("x-own");
            let (service, _, _) = cached(&origin, |cache| mode(cache.credential(name)));
            let by = |who: &str| get_with("/", &[("x-own", who)]);
            assert_eq!(calls(&service, &origin, by("ada"), by("bob")).await, 3);
        }
    });
}

#[test]
fn credentials_in_a_query_are_credentials() {
    run(async {
        for name in ["access_token", "ACCESS%5Ftoken", "X-Amz-Signature", "x=1;access_token"] {
            for mode in MODES {
                let origin = me();
                let (service, _, _) = cached(&origin, |cache| mode(cache.key(CacheKey::new().query("zone"))));
                let by = |who: &str| get(&format!("/?zone=1&{name}={who}"));
                assert_eq!(calls(&service, &origin, by("ada"), by("bob")).await, 3, "{name}");
                let (service, _, _) = cached(&origin, mode);
                assert_eq!(calls(&service, &origin, by("ada"), by("bob")).await, 2, "{name}");
            }
        }
    });
}

#[test]
fn sharing_is_explicit() {
    run(async {
        for mode in MODES {
            let origin = me();
            let key = CacheKey::new().shared_between_callers();
            let (service, _, _) = cached(&origin, |cache| mode(cache.key(key)));
            let first = said(ask(&service, get_with("/", &[("authorization", "ada")])).await);
            assert_eq!(said(ask(&service, get_with("/", &[("cookie", "bob")])).await), first);
            assert_eq!(origin.calls(), 1);
        }
    });
}

/// `x-user` names the principal.
fn principals() -> PrincipalLayer {
    PrincipalLayer::new(|head| Some(head.headers.get("x-user")?.to_str().ok()?.to_owned()))
}

#[test]
fn principals_are_kept_apart_under_every_key() {
    let keys =
        [CacheKey::new(), CacheKey::new().principal(), CacheKey::only_declared(), CacheKey::new().query("a")];
    run(async {
        for (key, mode) in keys.iter().flat_map(|key| MODES.map(|mode| (key, mode))) {
            let origin = me();
            let (cached, _, _) = cached(&origin, |cache| mode(cache.key(key.clone())));
            let service = principals().layer(cached);
            let said = |who: &'static [(&str, &str)]| {
                let answer = service.clone().oneshot(get_with("/", who));
                async { answer.await.unwrap().into_body().collect().await.unwrap().to_bytes() }
            };
            let (ada, bob): (&[_], &[_]) = (&[("x-user", "ada")], &[("x-user", "bob")]);
            let first = said(ada).await;
            assert_ne!(said(bob).await, first);
            assert_ne!(said(&[]).await, first);
            assert_eq!(said(ada).await, first);
            assert_eq!(origin.calls(), 3, "{key:?}");
        }
    });
}

#[test]
fn a_principal_covers_its_tokens_only_where_that_is_declared() {
    run(async {
        let keys = [(CacheKey::new().principal(), 1), (CacheKey::new(), 2)];
        for ((key, expected), mode) in keys.iter().flat_map(|key| MODES.map(|mode| (key, mode))) {
            let origin = me();
            let (cached, cache, _) = cached(&origin, |cache| mode(cache.key(key.clone())));
            let service = principals().layer(cached);
            for token in ["old", "new"] {
                let request = get_with("/", &[("x-user", "ada"), ("authorization", token)]);
                service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
            }
            assert_eq!(origin.calls(), *expected);
            assert_eq!(cache.stats().stored(), u64::from(*expected == 1));
            // Without a principal there is nobody to keep apart by.
            for _ in 0..2 {
                let request = get_with("/", &[("authorization", "old")]);
                service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
            }
            assert_eq!(origin.calls(), expected + 2);
        }
    });
}

#[test]
fn verified_api_keys_are_kept_apart_and_cover_their_header() {
    run(async {
        let (gold, iron) = ("gold-gold-gold-gold-gold", "iron-iron-iron-iron-iron");
        let keys = ApiKeys::builder()
            .key(ApiKey::new("gold").value(gold))
            .key(ApiKey::new("iron").value(iron))
            .build()
            .unwrap();
        let routes = Routes::builder()
            .method("/a", Method::GET, ApiMethod::new().api_key_required(true))
            .build()
            .unwrap();
        for mode in MODES {
            let origin = me();
            let (cached, _, _) = cached(&origin, mode);
            let service = ApiKeyLayer::new(keys.clone()).routes(&routes).layer(BodyLayer.layer(cached));
            let mut seen = Vec::new();
            for key in [gold, iron, gold, iron] {
                let answer = service.clone().oneshot(get_with("/a", &[("x-api-key", key)])).await.unwrap();
                seen.push(answer.into_body().collect().await.unwrap().to_bytes());
            }
            assert_eq!((&seen[0], &seen[1]), (&seen[2], &seen[3]));
            assert_ne!(seen[0], seen[1]);
            assert_eq!(origin.calls(), 2);
        }
    });
}

/// Shows the keys that it is given.
#[derive(Debug)]
pub struct Spy {
    pub memory: MemoryCacheStore,
    pub seen: Arc<Mutex<Vec<u8>>>,
}

impl CacheStore for Spy {
    as_memory!(get, remove, retain, usage);

    fn insert(&self, key: &StoredKey, value: StoredValue) -> bool {
        self.seen.lock().unwrap().extend_from_slice(key.borrowed().bytes());
        self.memory.insert(key, value)
    }
}

#[test]
fn whoever_gave_a_store_away_can_still_hold_it() {
    run(async {
        let store = Arc::new(MemoryCacheStore::new(1 << 22, 1 << 20).unwrap());
        let (service, cache, _) = cached(&me(), |cache| cache.store(Arc::clone(&store)));
        ask(&service, get_with("/", &[])).await;
        assert_eq!((store.usage().keys, store.usage()), (1, cache.usage()));
    });
}

#[test]
fn credentials_lie_in_keys_as_digests_and_are_purged_by_their_text() {
    run(async {
        let (own, plain) = (HeaderName::from_static("x-own"), HeaderName::from_static("x-plain"));
        let seen = Arc::default();
        let store = Spy { memory: MemoryCacheStore::new(1 << 22, 1 << 20).unwrap(), seen: Arc::clone(&seen) };
        let key = CacheKey::new().header(own.clone()).header(plain.clone());
        let (service, cache, _) = cached(&me(), |cache| cache.store(store).credential(own.clone()).key(key));
        let mark = "here-is-the-value-of-a-field";
        ask(&service, get_with("/", &[("x-own", "this-must-not-be-there"), ("x-plain", mark)])).await;
        let seen = String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
        assert!(seen.contains(mark) && !seen.contains("this-must-not-be-there"));
        for (name, value, purged) in
            [(&own, "another", 0), (&plain, "another", 0), (&own, "this-must-not-be-there", 1)]
        {
            let purge = tower_gateway::cache::Purge::all().header(name, &value.parse().unwrap());
            assert_eq!(cache.purge(&purge), purged, "{name}");
        }
    });
}

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
    authorizer::{
        Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, PayloadFormat, authorizer_fn,
    },
    body::BodyLayer,
    cache::{CacheStore, MemoryCacheStore, NoCacheReason, StoreKey, StoreUsage, StoredKey, StoredValue},
    context::{ClientCertificate, PeerAddr, PrincipalLayer, RequestContext, RequestContextLayer},
    jwt::{CognitoAuthorizer, CognitoAuthorizerLayer, JwkSet, JwkSource, JwtAuthorizerLayer, UserPool},
    mtls::MutualTlsLayer,
    route::{ApiMethod, CacheKey, Routes},
};

/// A mode of the cache.
type Mode = fn(CacheBuilder) -> CacheBuilder;

/// What holds for callers holds in each of them.
const MODES: [Mode; 3] = [
    |cache| cache,
    |cache| cache.aws_exact(true),
    |cache| cache.rfc9111(tower_gateway::cache::rfc::Rfc9111::new()),
];

/// Fresh for a while in RFC 9111 mode, too.
fn fresh(body: String) -> Answer {
    with(answer(body), "cache-control", "max-age=60")
}

/// Answers with everything that tells who is asking.
fn me() -> Origin {
    Origin::sync(|request, _| {
        let named =
            ["authorization", "cookie", "x-api-key", "x-own", "x-token"].map(|name| all(&request, name));
        let context = RequestContext::of(request.extensions());
        let principal =
            context.and_then(RequestContext::principal).map(|principal| principal.id().to_owned());
        let certificate =
            request.extensions().get::<ClientCertificate>().map(|own| own.subject_dn().to_owned());
        fresh(format!("{named:?} {principal:?} {certificate:?} {:?}", request.uri().query()))
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

fn clone(request: &Ask) -> Ask {
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

/// What two requests get of a service, the first one once more, and how often the origin was called.
async fn told<S, B>(service: &S, origin: &Origin, requests: [Ask; 2]) -> ([Bytes; 3], usize)
where
    S: Service<Ask, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let before = origin.calls();
    let mut repeat = clone(&requests[0]);
    *repeat.extensions_mut() = requests[0].extensions().clone();
    let [first, other] = requests;
    let mut said = Vec::new();
    for request in [first, other, repeat] {
        let answer = service.clone().oneshot(request).await.unwrap();
        said.push(answer.into_body().collect().await.unwrap().to_bytes());
    }
    (said.try_into().unwrap(), origin.calls() - before)
}

fn certificate(name: &str) -> ClientCertificate {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    ClientCertificate::from_verified_chain(&[made.der()]).unwrap()
}

#[test]
fn client_certificates_are_kept_apart() {
    let certificates = ["ada", "bob"].map(certificate);
    let by = || {
        certificates.each_ref().map(|own| {
            let mut request = get("/");
            request.extensions_mut().insert(own.clone());
            request
        })
    };
    run(async {
        for mode in MODES {
            for (key, expected) in [
                (CacheKey::new(), 2),
                (CacheKey::only_declared(), 2),
                (CacheKey::new().shared_between_callers(), 1),
            ] {
                let origin = me();
                let (cached, _, _) = cached(&origin, |cache| mode(cache.key(key)));
                let inside = MutualTlsLayer::new().layer(BodyLayer.layer(cached.clone()));
                let ([first, other, again], calls) = told(&inside, &origin, by()).await;
                assert_eq!((calls, first == other, &again), (expected, expected == 1, &first));
                // The service reads it from the extensions where no layer has made a context, too.
                let ([first, other, again], calls) = told(&cached, &origin, by()).await;
                assert_eq!((first == other, &again), (expected == 1, &first));
                assert!(calls <= expected);
            }
        }
    });
}

/// Knows callers by `x-token`, and says of everybody what `answer` says.
fn authorizer(simple: bool, source: &str, answer: fn() -> AuthorizerAnswer) -> AuthorizerLayer {
    let function = authorizer_fn(move |_: AuthorizerEvent| async move { Ok::<_, &str>(answer()) });
    let authorizer = Authorizer::http_request("door", PayloadFormat::V2, function)
        .simple_responses(simple)
        .identity_sources([source])
        .build()
        .unwrap();
    AuthorizerLayer::new(authorizer)
}

#[test]
fn what_an_authorizer_goes_by_is_a_credential() {
    let simple: fn() -> AuthorizerAnswer = || AuthorizerAnswer::simple(true);
    let constant: fn() -> AuthorizerAnswer = || AuthorizerAnswer::allow("user", ["*"]);
    let (header, query) = ("$request.header.X-Token", "$request.querystring.token");
    let token = HeaderName::from_static("x-token");
    run(async {
        for mode in MODES {
            for (is_simple, source, answer, key, expected) in [
                (true, header, simple, CacheKey::new(), 3),
                (true, header, simple, CacheKey::new().principal(), 3),
                (true, header, simple, CacheKey::new().header(token.clone()), 2),
                (true, header, simple, CacheKey::new().shared_between_callers(), 1),
                (false, header, constant, CacheKey::new(), 3),
                (false, header, constant, CacheKey::new().header(token.clone()), 2),
                (true, query, simple, CacheKey::new(), 2),
                (true, query, simple, CacheKey::new().query("zone"), 3),
                (true, query, simple, CacheKey::new().query("token"), 2),
                (true, "$context.identity.sourceIp", simple, CacheKey::new(), 3),
                (false, "$context.identity.sourceIp", constant, CacheKey::new(), 1),
            ] {
                let origin = me();
                let (cached, _, _) = cached(&origin, |cache| mode(cache.key(key.clone())));
                let service = RequestContextLayer::new()
                    .layer(authorizer(is_simple, source, answer).layer(BodyLayer.layer(cached)));
                let by = |who: &str| {
                    let query = if source == query { format!("?token={who}") } else { String::new() };
                    let mut request = get_with(&format!("/{query}"), &[("x-token", who)]);
                    request.extensions_mut().insert(PeerAddr(([127, 0, 0, 1], 1).into()));
                    request
                };
                let ([first, other, again], calls) = told(&service, &origin, [by("ada"), by("bob")]).await;
                assert_eq!(calls, expected, "{source} {key:?}");
                assert_eq!((first == other, &again), (expected == 1, &first), "{source} {key:?}");
            }
        }
    });
}

#[test]
fn a_token_without_a_subject_is_a_credential_wherever_it_stands() {
    let signer = &crate::jwt::signers()[0];
    let nobody = |who: &str| signer.sign(&crate::jwt::claims(&serde_json::json!({"sub": null, "jti": who})));
    let (ada, bob) = (nobody("ada"), nobody("bob"));
    run(async {
        for mode in MODES {
            for (key, expected) in [(CacheKey::new(), 3), (CacheKey::new().principal(), 3)] {
                let origin = me();
                let (cached, _, _) = cached(&origin, |cache| mode(cache.key(key)));
                let authorizer = crate::jwt::authorizer(crate::jwt::source(), crate::jwt::clock().1);
                let authorizer = authorizer.identity_source("$request.header.X-Token").build().unwrap();
                let service = JwtAuthorizerLayer::new("door", &authorizer).layer(BodyLayer.layer(cached));
                let by = [&ada, &bob].map(|token| get_with("/", &[("x-token", token)]));
                let ([first, other, again], calls) = told(&service, &origin, by).await;
                assert_eq!((calls, &again), (expected, &first));
                assert_ne!(first, other);
            }
        }
    });
}

#[test]
fn the_same_subject_of_two_issuers_is_two_callers() {
    let [one, two] = crate::jwt::signers();
    run(async {
        for mode in MODES {
            let origin = Origin::sync(|request, call| {
                let context = RequestContext::of(request.extensions()).unwrap();
                let principal = context.principal().unwrap();
                fresh(format!("{call} {} {:?}", principal.id(), principal.issuer()))
            });
            let (cached, cache, _) = cached(&origin, |cache| mode(cache.key(CacheKey::new().principal())));
            let pools = ["one", "two"].map(|pool| UserPool::at(&format!("https://{pool}.example")).unwrap());
            let keys = |signer| JwkSource::fixed(JwkSet::from_json(&crate::jwt::key_set(&[signer])).unwrap());
            let authorizer = CognitoAuthorizer::builder()
                .user_pool(pools[0].clone(), keys(one))
                .user_pool(pools[1].clone(), keys(two))
                .clock(crate::jwt::clock().1)
                .build()
                .unwrap();
            let service = CognitoAuthorizerLayer::new("door", &authorizer).layer(BodyLayer.layer(cached));
            let by = [(one, &pools[0]), (two, &pools[1])].map(|(signer, pool)| {
                let claims = serde_json::json!({"iss": pool.issuer(), "token_use": "id"});
                let token = signer.sign(&crate::jwt::claims(&claims));
                get_with("/", &[("authorization", &token)])
            });
            let ([first, other, again], calls) = told(&service, &origin, by).await;
            assert_eq!(
                (calls, &first, &again),
                (2, &Bytes::from("1 ada Some(\"https://one.example\")"), &first)
            );
            assert_eq!(other, "2 ada Some(\"https://two.example\")");
            assert_eq!(cache.purge(&tower_gateway::cache::Purge::all().principal("ada")), 2);
        }
    });
}

/// Shows the keys that it is given.
#[derive(Debug)]
struct Spy(MemoryCacheStore, Arc<Mutex<Vec<u8>>>);

impl CacheStore for Spy {
    fn get(&self, key: StoreKey<'_>) -> Option<StoredValue> {
        self.0.get(key)
    }

    fn insert(&self, key: &StoredKey, value: StoredValue) -> bool {
        self.1.lock().unwrap().extend_from_slice(key.borrowed().bytes());
        self.0.insert(key, value)
    }

    fn remove(&self, key: StoreKey<'_>) {
        self.0.remove(key);
    }

    fn retain(&self, keep: &mut dyn FnMut(&[u8], &StoredValue) -> bool) {
        self.0.retain(keep);
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn usage(&self) -> StoreUsage {
        self.0.usage()
    }
}

#[test]
fn credentials_lie_in_keys_as_digests_and_are_purged_by_their_text() {
    run(async {
        let (own, plain) = (HeaderName::from_static("x-own"), HeaderName::from_static("x-plain"));
        let seen = Arc::default();
        let store = Spy(MemoryCacheStore::new(1 << 22, 1 << 20).unwrap(), Arc::clone(&seen));
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

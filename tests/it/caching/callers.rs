//! Callers that are known by more than a header field, under one URL: certificates, answers of authorizers, issuers.

use super::identity::{MODES, Spy, clone, fresh};
use super::*;
use crate::support::{get, run};
use http::HeaderName;
use tower_gateway::{
    authorizer::{
        Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, PayloadFormat, authorizer_fn,
    },
    body::BodyLayer,
    context::{ClientCertificate, PeerAddr, RequestContext, RequestContextLayer},
    jwt::{CognitoAuthorizer, CognitoAuthorizerLayer, JwkSet, JwkSource, JwtAuthorizerLayer, UserPool},
    mtls::MutualTlsLayer,
    route::CacheKey,
};

/// Answers with all that tells who is asking.
fn me() -> Origin {
    Origin::sync(|request, _| {
        let token = request.headers().get("x-token").map(|token| token.to_str().unwrap().to_owned());
        let certificate =
            request.extensions().get::<ClientCertificate>().map(|own| own.subject_dn().to_owned());
        fresh(format!("{token:?} {certificate:?} {:?}", request.uri().query()))
    })
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
        .identity_sources(source.split(' '))
        .build()
        .unwrap();
    AuthorizerLayer::new(authorizer)
}

/// Nobody has to tell the cache of the field.
#[test]
fn what_an_authorizer_went_by_lies_in_keys_as_a_digest_and_is_purged_by_its_text() {
    use std::sync::Mutex;
    use tower_gateway::cache::{MemoryCacheStore, Purge};
    run(async {
        let [token, plain] = ["x-token", "x-plain"].map(HeaderName::from_static);
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let store = Spy { memory: MemoryCacheStore::new(1 << 22, 1 << 20).unwrap(), seen: Arc::clone(&seen) };
        let origin = me();
        let key = CacheKey::new().header(token.clone()).header(plain.clone());
        let (cached, cache, _) = cached(&origin, |cache| cache.store(store).key(key));
        let door = authorizer(true, "$request.header.X-Token", || AuthorizerAnswer::simple(true));
        let service = door.layer(BodyLayer.layer(cached));
        let asked = async |token: &str| {
            let request = get_with("/", &[("x-token", token), ("x-plain", "this-may-be-there")]);
            drop(service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap());
        };
        asked("this-must-not-be-there").await;
        asked("nor-must-this").await;
        let seen = String::from_utf8_lossy(&seen.lock().unwrap()).into_owned();
        assert!(seen.contains("this-may-be-there"));
        assert!(!seen.contains("this-must-not-be-there") && !seen.contains("nor-must-this"));
        let purge = |name: &HeaderName, value: &str| Purge::all().header(name, &value.parse().unwrap());
        for (purge, purged) in [
            (purge(&token, "another"), 0),
            (purge(&token, "nor-must-this"), 1),
            (purge(&token, "nor-must-this"), 0),
            (purge(&plain, "another"), 0),
            (purge(&plain, "this-may-be-there"), 1),
        ] {
            assert_eq!(cache.purge(&purge), purged, "{purge:?}");
        }
    });
}

#[test]
fn what_an_authorizer_goes_by_is_a_credential() {
    let simple: fn() -> AuthorizerAnswer = || AuthorizerAnswer::simple(true);
    let constant: fn() -> AuthorizerAnswer = || AuthorizerAnswer::allow("user", ["*"]);
    let (header, query) = ("$request.header.X-Token", "$request.querystring.token");
    let token = HeaderName::from_static("x-token");
    let by_token = || CacheKey::new().header(token.clone());
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
                (true, "$request.header.X-Token $context.httpMethod", simple, CacheKey::new(), 3),
                (true, "$request.header.X-Token $context.httpMethod", simple, by_token(), 2),
                // It may go by anything.
                (false, "$context.httpMethod", constant, CacheKey::new(), 3),
                (false, "$context.httpMethod", constant, CacheKey::new().principal(), 1),
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
                let service = JwtAuthorizerLayer::new("door", authorizer).layer(BodyLayer.layer(cached));
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
            let service = CognitoAuthorizerLayer::new("door", authorizer).layer(BodyLayer.layer(cached));
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

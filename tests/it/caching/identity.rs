//! Two callers, one URL: nothing is shared that was not declared to be.

use super::*;
use crate::support::{get, run};
use http::Method;
use http::header::{AUTHORIZATION, COOKIE};
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeys},
    cache::NoCacheReason,
    context::{PrincipalLayer, RequestContext},
    route::{ApiMethod, CacheKey, Routes},
};

/// Answers with everything that tells who is asking.
fn me() -> Origin {
    Origin::sync(|request, _| {
        let named = ["authorization", "cookie", "x-api-key", "x-own"].map(|name| all(&request, name));
        let context = RequestContext::of(request.extensions());
        let principal =
            context.and_then(RequestContext::principal).map(|principal| principal.id().to_owned());
        answer(format!("{named:?} {principal:?} {:?}", request.uri().query()))
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
            for exact in [false, true] {
                for name in
                    ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-amz-security-token"]
                {
                    let origin =
                        Origin::sync(|request, call| answer(format!("{call} {:?}", request.headers())));
                    let (service, cache, _) =
                        cached(&origin, |cache| cache.key(key.clone()).aws_exact(exact));
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
                    assert_eq!(cache.stats().missed(NoCacheReason::IdentityNotInKey), 3);
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
        for name in [AUTHORIZATION, COOKIE] {
            let origin = me();
            let (service, _, _) = cached(&origin, |cache| cache.key(CacheKey::new().header(name.clone())));
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
        let origin = me();
        let name = http::HeaderName::from_static("x-own");
        let (service, _, _) = cached(&origin, |cache| cache.credential(name));
        let by = |who: &str| get_with("/", &[("x-own", who)]);
        assert_eq!(calls(&service, &origin, by("ada"), by("bob")).await, 3);
    });
}

#[test]
fn credentials_in_a_query_are_credentials() {
    run(async {
        for name in ["access_token", "ACCESS%5Ftoken", "X-Amz-Signature", "x=1;access_token"] {
            let origin = me();
            let (service, _, _) = cached(&origin, |cache| cache.key(CacheKey::new().query("zone")));
            let by = |who: &str| get(&format!("/?{name}={who}"));
            assert_eq!(calls(&service, &origin, by("ada"), by("bob")).await, 3, "{name}");
            let (service, _, _) = cached(&origin, |cache| cache);
            assert_eq!(calls(&service, &origin, by("ada"), by("bob")).await, 2, "{name}");
        }
    });
}

#[test]
fn sharing_is_explicit() {
    run(async {
        let origin = me();
        let (service, _, _) = cached(&origin, |cache| cache.key(CacheKey::new().shared_between_callers()));
        let first = said(ask(&service, get_with("/", &[("authorization", "ada")])).await);
        assert_eq!(said(ask(&service, get_with("/", &[("cookie", "bob")])).await), first);
        assert_eq!(origin.calls(), 1);
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
        for key in keys {
            let origin = me();
            let (cached, _, _) = cached(&origin, |cache| cache.key(key.clone()));
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
        for (key, expected) in [(CacheKey::new().principal(), 1), (CacheKey::new(), 2)] {
            let origin = me();
            let (cached, cache, _) = cached(&origin, |cache| cache.key(key));
            let service = principals().layer(cached);
            for token in ["old", "new"] {
                let request = get_with("/", &[("x-user", "ada"), ("authorization", token)]);
                service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
            }
            assert_eq!(origin.calls(), expected);
            assert_eq!(cache.usage().keys, u64::from(expected == 1));
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
        let origin = me();
        let (cached, _, _) = cached(&origin, |cache| cache);
        let body = tower_gateway::body::BodyLayer;
        let service = ApiKeyLayer::new(keys).routes(&routes).layer(body.layer(cached));
        let mut seen = Vec::new();
        for key in [gold, iron, gold, iron] {
            let answer = service.clone().oneshot(get_with("/a", &[("x-api-key", key)])).await.unwrap();
            seen.push(answer.into_body().collect().await.unwrap().to_bytes());
        }
        assert_eq!((&seen[0], &seen[1]), (&seen[2], &seen[3]));
        assert_ne!(seen[0], seen[1]);
        assert_eq!(origin.calls(), 2);
    });
}

//! Tokens that were verified: how long that holds, for whom, and what it costs.

use super::{NOW, authorizer, claims, clock, signers, source, token, with_token};
use crate::support::{Strict, run, through};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use std::{convert::Infallible, future::ready, time::Duration};
use tower::{Layer, Service, service_fn};
use tower_gateway::{
    context::{RequestContext, RequestContextLayer},
    jwt::{JwtAuthorizer, JwtAuthorizerLayer, JwtError, TokenRefusal},
};

fn ask(authorizer: &JwtAuthorizer, token: &str) -> Result<(), JwtError> {
    let layer = JwtAuthorizerLayer::new("a", authorizer.clone());
    let (answer, _) = run(through(layer, with_token("/", token)));
    let error = answer.extensions().get::<TokenRefusal>().and_then(TokenRefusal::error);
    error.map_or(Ok(()), Err)
}

#[test]
fn a_remembered_token_ends_with_its_own_time() {
    let (manual, clock) = clock();
    let authorizer = authorizer(source(), clock).build().unwrap();
    let tokens: Vec<String> = [10, 20]
        .into_iter()
        .map(|life| token(&json!({"exp": NOW + life, "sub": life.to_string()})))
        .collect();
    for token in &tokens {
        assert_eq!((ask(&authorizer, token), ask(&authorizer, token)), (Ok(()), Ok(())));
    }
    assert_eq!(authorizer.remembered_tokens(), 2);
    manual.advance(Duration::from_secs(9));
    assert_eq!((ask(&authorizer, &tokens[0]), ask(&authorizer, &tokens[1])), (Ok(()), Ok(())));
    manual.advance(Duration::from_secs(1));
    assert_eq!(
        (ask(&authorizer, &tokens[0]), ask(&authorizer, &tokens[1])),
        (Err(JwtError::Expired), Ok(()))
    );
    manual.advance(Duration::from_secs(10));
    assert_eq!(ask(&authorizer, &tokens[1]), Err(JwtError::Expired));
    authorizer.forget_tokens();
    assert_eq!(authorizer.remembered_tokens(), 0);
}

/// The wall clock may be set back: what was valid is then not yet.
#[test]
fn a_remembered_token_obeys_a_clock_that_is_set_back() {
    let (manual, clock) = clock();
    let authorizer = authorizer(source(), clock).build().unwrap();
    let token = token(&json!({}));
    assert_eq!(ask(&authorizer, &token), Ok(()));
    manual.set_unix_seconds(NOW - 1);
    assert_eq!(ask(&authorizer, &token), Err(JwtError::IssuedInFuture));
    manual.set_unix_seconds(NOW);
    assert_eq!(ask(&authorizer, &token), Ok(()));
}

#[test]
fn leeway_stretches_every_date() {
    let (_, clock) = clock();
    let verifier = tower_gateway::jwt::JwtVerifier::builder(super::ISSUER).audience("client-1");
    let verifier = verifier.leeway(Duration::from_secs(60)).build().unwrap();
    let authorizer = JwtAuthorizer::builder(verifier, source()).clock(clock).build().unwrap();
    for (changes, expected) in [
        (json!({"exp": NOW - 59}), Ok(())),
        (json!({"exp": NOW - 60}), Err(JwtError::Expired)),
        (json!({"nbf": NOW + 60}), Ok(())),
        (json!({"nbf": NOW + 61}), Err(JwtError::NotYetValid)),
        (json!({"iat": NOW + 60}), Ok(())),
        (json!({"iat": NOW + 61}), Err(JwtError::IssuedInFuture)),
        (json!({"exp": (NOW as f64) - 59.5}), Ok(())),
        (json!({"exp": null}), Err(JwtError::Expired)),
        (json!({"exp": (NOW + 100).to_string()}), Err(JwtError::Claims)),
    ] {
        let token = token(&changes);
        assert_eq!((ask(&authorizer, &token), ask(&authorizer, &token)), (expected, expected), "{changes}");
    }
}

/// RFC 7519 section 2: a NumericDate may have a fraction.
#[test]
fn fractions_of_a_second_count() {
    let (manual, clock) = clock();
    manual.advance(Duration::from_millis(700));
    let authorizer = authorizer(source(), clock).build().unwrap();
    let at = |fraction: f64| NOW as f64 + fraction;
    for (changes, expected) in [
        (json!({"exp": at(0.8)}), Ok(())),
        (json!({"exp": at(0.6)}), Err(JwtError::Expired)),
        (json!({"nbf": at(0.6)}), Ok(())),
        (json!({"nbf": at(0.8)}), Err(JwtError::NotYetValid)),
        (json!({"iat": at(0.6)}), Ok(())),
        (json!({"iat": at(0.8)}), Err(JwtError::IssuedInFuture)),
    ] {
        let token = token(&changes);
        assert_eq!((ask(&authorizer, &token), ask(&authorizer, &token)), (expected, expected), "{changes}");
    }
}

/// Scopes are the method's: one that a token passed with says nothing about another.
#[test]
fn a_remembered_token_is_asked_for_its_scopes_every_time() {
    let (_, clock) = clock();
    let authorizer = authorizer(source(), clock).build().unwrap();
    let status = |sub: &str, scope: &str| {
        let layer = JwtAuthorizerLayer::new("a", authorizer.clone()).scopes([scope]);
        let token = token(&json!({"sub": sub, "scope": sub}));
        run(through(layer, with_token("/", &token))).0.status().as_u16()
    };
    for _ in 0..2 {
        for (sub, scope, expected) in
            [("read", "read", 200), ("read", "write", 403), ("write", "write", 200), ("write", "read", 403)]
        {
            assert_eq!(status(sub, scope), expected, "{sub} {scope}");
        }
    }
    assert_eq!(authorizer.remembered_tokens(), 2);
}

#[test]
fn refused_tokens_are_never_remembered() {
    let (_, clock) = clock();
    let authorizer = authorizer(source(), clock).build().unwrap();
    let good = token(&json!({}));
    let bad = [
        token(&json!({"exp": NOW})),
        token(&json!({"aud": "x"})),
        signers()[1].sign(&claims(&json!({}))),
        // The last character stands for two bits: `B` has others set, whatever the signature.
        format!("{}B", &good[..good.len() - 1]),
        "a.b.c".to_owned(),
    ];
    bad.iter().for_each(|token| assert!(ask(&authorizer, token).is_err()));
    assert_eq!(authorizer.remembered_tokens(), 0);
}

#[test]
fn there_are_never_more_than_the_limit_and_zero_is_none() {
    let (_, clock) = clock();
    let few = authorizer(source(), clock.clone()).remember_at_most(50).build().unwrap();
    for sub in 0..200 {
        assert_eq!(ask(&few, &token(&json!({"sub": sub.to_string()}))), Ok(()));
    }
    assert!(few.remembered_tokens() <= 64, "{}", few.remembered_tokens());
    for none in [
        authorizer(source(), clock.clone()).remember_at_most(0),
        authorizer(source(), clock).remember_for(Duration::ZERO),
    ] {
        let none = none.build().unwrap();
        assert_eq!((ask(&none, &token(&json!({}))), none.remembered_tokens()), (Ok(()), 0));
    }
}

/// Nobody may read the secrets of a handle from its `Debug`.
#[test]
fn debug_shows_no_token_and_no_claim() {
    let (_, clock) = clock();
    let authorizer = authorizer(source(), clock).build().unwrap();
    let token = token(&json!({"sub": "very-private"}));
    assert_eq!(ask(&authorizer, &token), Ok(()));
    let shown = format!("{authorizer:?} {:?}", JwtAuthorizerLayer::new("a", authorizer.clone()));
    assert!(!shown.contains("very-private") && !shown.contains(&token[..40]), "{shown}");
}

type Handler = tower::util::ServiceFn<
    fn(Request<Full<Bytes>>) -> std::future::Ready<Result<Response<Full<Bytes>>, Infallible>>,
>;

fn handler() -> Handler {
    service_fn(|request: Request<Full<Bytes>>| {
        assert!(RequestContext::of(request.extensions()).is_some());
        ready(Ok(Response::new(Full::default())))
    })
}

/// Allocations of one call, the request ready made.
fn allocations<S>(service: &mut S, request: Request<Full<Bytes>>) -> u64
where
    S: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>,
{
    let mut request = Some(request);
    let info = allocation_counter::measure(|| {
        let mut future = std::pin::pin!(service.call(request.take().unwrap()));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_ready());
    });
    info.count_total
}

/// Payload, context and principal id. What the map of remembered tokens allocates to grow comes on top, now and then.
const FIRST_SIGHT: u64 = 3;

#[test]
fn a_token_seen_before_costs_no_allocation_and_a_new_one_three() {
    let (_, clock) = clock();
    let floor = RequestContextLayer::new().clock(clock.clone());
    let cost = |authorizer: &JwtAuthorizer, token: &str, scopes: &[&str]| {
        let layer = JwtAuthorizerLayer::new("a", authorizer.clone()).scopes(scopes.iter().copied());
        let bare = allocations(&mut floor.clone().layer(handler()), with_token("/", token));
        allocations(&mut floor.clone().layer(layer.layer(handler())), with_token("/", token)) - bare
    };
    let token = |sub: &str| token(&json!({"sub": sub, "scope": "a b"}));
    let forgetful = authorizer(source(), clock.clone()).remember_at_most(0).build().unwrap();
    // The first verification of all makes what the library makes once.
    cost(&forgetful, &token("warm"), &[]);
    for sub in ["ada", "bob"] {
        assert_eq!(cost(&forgetful, &token(sub), &["b"]), FIRST_SIGHT, "{sub}");
    }
    let authorizer = authorizer(source(), clock).build().unwrap();
    for sub in ["ada", "bob"] {
        let token = token(sub);
        let first = cost(&authorizer, &token, &[]);
        println!("seen first: {first} allocations, with the map that grew");
        assert!((FIRST_SIGHT..=FIRST_SIGHT + 3).contains(&first), "{sub}: {first}");
        assert_eq!(
            (cost(&authorizer, &token, &[]), cost(&authorizer, &token, &["b"])),
            (0, 0),
            "{sub} seen before"
        );
    }
}

#[test]
fn verification_alone_agrees_with_another_library() {
    let keys = tower_gateway::jwt::JwkSet::from_json(&super::key_set(&[&signers()[0]])).unwrap();
    let now = tower_gateway::clock::Timestamp::new(0, NOW * 1_000_000_000);
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(signers()[0].jwk()).unwrap();
    let mut theirs = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    theirs.set_audience(&["client-1"]);
    theirs.set_issuer(&[super::ISSUER]);
    theirs.validate_exp = false;
    let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    for changes in [json!({}), json!({"aud": ["x", "client-1"]}), json!({"aud": "x"}), json!({"iss": "x"})] {
        let token = token(&changes);
        for token in [token.clone(), token.replace('e', "f"), format!("{token}A")] {
            let ours = super::verifier()
                .verify(token.as_bytes(), &keys, now)
                .map(|claims| claims.as_json().to_owned());
            let decoded = jsonwebtoken::decode::<Value>(&token, &key, &theirs);
            assert_eq!(ours.is_ok(), decoded.is_ok(), "{changes} {ours:?}");
        }
    }
    let _strict = Strict::default();
}

//! Bearer tokens: seen for the first time, beside the signature alone and beside jwt-authorizer; and seen before.

use crate::{
    measure::{Goal, MakeRequest, Row},
    rows::{MakeRow, Side, row, side},
    services::{bare, empty, request, with_context},
    tokens::{AUDIENCE, ISSUER, SigningKey, split},
};
use axum::body::Body;
use futures_util::FutureExt;
use http::{Method, Request, Response, header};
use jwt_authorizer::{AuthError, Authorizer, IntoLayer, RegisteredClaims, Validation};
use std::{hint::black_box, sync::Arc, time::Duration};
use tower::{Layer, ServiceBuilder};
use tower_gateway::jwt::{
    Algorithm, JwkSet, JwkSource, JwtAuthorizer, JwtAuthorizerBuilder, JwtAuthorizerLayer, JwtVerifier,
};

pub const ROWS: [(&str, MakeRow); 8] = [
    ("jwt-rs256-signature", |name| first_sight(name, &SigningKey::rs256())),
    ("jwt-es256-signature", |name| first_sight(name, &SigningKey::es256())),
    ("jwt-eddsa-signature", |name| first_sight(name, &SigningKey::ed_dsa())),
    ("jwt-es256-new-tokens", |name| new_tokens(name, &SigningKey::es256())),
    ("jwt-rs256-peer", |name| against_peer(name, &SigningKey::rs256())),
    ("jwt-es256-peer", |name| against_peer(name, &SigningKey::es256())),
    ("jwt-eddsa-peer", |name| against_peer(name, &SigningKey::ed_dsa())),
    ("jwt-cached", |name| cached(name, &SigningKey::rs256())),
];

const AGAINST_SIGNATURE: Goal = Goal::OverFloor(1.3);
const CACHED_NANOS: f64 = 400.0;
/// Sent in turn by the row of new tokens, of which ours remembers a few: none that comes round again.
const NEW_TOKENS: usize = 4_096;
const REMEMBERED: usize = 16;

/// Ours forgets each token at once, so each is a first one.
fn first_sight(name: &'static str, key: &SigningKey) -> Row {
    let peer = signature_alone(key, 1);
    row(
        name,
        bearing(key, 1),
        ours(key, |builder| builder.remember_for(Duration::ZERO)),
        peer,
        AGAINST_SIGNATURE,
    )
}

/// Ours remembers, which costs something, and the next token is another one.
fn new_tokens(name: &'static str, key: &SigningKey) -> Row {
    let ours = ours(key, |builder| builder.remember_at_most(REMEMBERED));
    row(name, bearing(key, NEW_TOKENS), ours, signature_alone(key, NEW_TOKENS), AGAINST_SIGNATURE)
}

/// The peer never remembers; ours is told not to.
fn against_peer(name: &'static str, key: &SigningKey) -> Row {
    Row { peer: jwt_authorizer(key), goal: Goal::None, ..first_sight(name, key) }
}

fn cached(name: &'static str, key: &SigningKey) -> Row {
    let made = row(name, bearing(key, 1), ours(key, |builder| builder), None, Goal::Nanos(CACHED_NANOS));
    Row { warm: 1, most_allocations: Some(0.0), ..made }
}

/// The n-th request carries one of the tokens, each in its turn.
fn bearing(key: &SigningKey, tokens: usize) -> MakeRequest {
    let fields: Vec<String> = (0..tokens).map(|number| format!("Bearer {}", key.token(number))).collect();
    Box::new(move |index| {
        empty(request(Method::GET, "/pets").header(header::AUTHORIZATION, &fields[index % tokens]))
    })
}

fn ours(key: &SigningKey, set: fn(JwtAuthorizerBuilder) -> JwtAuthorizerBuilder) -> Side {
    let verifier = JwtVerifier::builder(ISSUER)
        .audience(AUDIENCE)
        .algorithms([Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa])
        .build()
        .expect("a valid verifier");
    let keys = JwkSource::fixed(JwkSet::from_json(&key.jwk_set()).expect("a valid set"));
    let authorizer = set(JwtAuthorizer::builder(verifier, keys)).build().expect("a valid authorizer");
    side(with_context(JwtAuthorizerLayer::new("accounts", authorizer).layer(bare())))
}

/// The least there is to compute: the signature, decoded already, by the key, parsed already. The tokens are not those of
/// the requests, which makes no difference.
fn signature_alone(key: &SigningKey, tokens: usize) -> Side {
    let (verifying, signed) = (Arc::new(key.verifying()), split_all(key, tokens));
    let mut next = 0;
    let verify = move |request: Request<Body>| {
        let (signed, signature) = &signed[next % signed.len()];
        next += 1;
        black_box(&verifying).verify_sig(black_box(signed.as_bytes()), signature).expect("a good signature");
        request
    };
    side(with_context(ServiceBuilder::new().map_request(verify).service(bare())))
}

fn split_all(key: &SigningKey, tokens: usize) -> Arc<[(String, Vec<u8>)]> {
    (0..tokens).map(|number| split(&key.token(number))).collect()
}

/// The peer answers refusals with the body of an older axum, so the answers go through a type of ours and back.
fn jwt_authorizer(key: &SigningKey) -> Side {
    let validation = Validation::new().iss(&[ISSUER]).aud(&[AUDIENCE]).leeway(0);
    let builder = jwt_authorizer::JwtAuthorizer::from_jwks_text(&key.jwk_set()).validation(validation);
    let built = builder.build().now_or_never().expect("keys that are there");
    let authorizer: Authorizer<RegisteredClaims> = built.expect("a valid authorizer");
    let service = ServiceBuilder::new()
        .map_response(|Answer(response)| response)
        .layer(authorizer.into_layer())
        .map_response(Answer)
        .service(bare());
    side(with_context(service))
}

struct Answer(Response<Body>);

impl From<AuthError> for Answer {
    fn from(_: AuthError) -> Self {
        Self(Response::builder().status(401).body(Body::empty()).expect("a response"))
    }
}

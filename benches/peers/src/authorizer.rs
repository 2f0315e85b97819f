//! A Lambda-style authorizer whose answer is cached: nobody else caches in process, so it is held against a time.

use crate::{
    measure::{Goal, Row},
    rows::{MakeRow, row, side},
    services::{bare, empty, request, with_context},
};
use http::{Method, header};
use std::convert::Infallible;
use tower::Layer;
use tower_gateway::authorizer::{
    Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn,
};

pub const ROWS: [(&str, MakeRow); 1] = [("authorizer-cached", cached)];

const NANOS_OVER_FLOOR: f64 = 300.0;

/// The token is looked up, and the cached policy decides about the path of the request.
fn cached(name: &'static str) -> Row {
    let request =
        Box::new(|_| empty(request(Method::GET, "/pets").header(header::AUTHORIZATION, "Bearer ada")));
    let authorizer = Authorizer::token("pets", authorizer_fn(answer)).build().expect("a valid authorizer");
    let ours = side(with_context(AuthorizerLayer::new(authorizer).layer(bare())));
    let made = row(name, request, ours, None, Goal::Nanos(NANOS_OVER_FLOOR));
    Row { warm: 1, most_allocations: Some(0.0), ..made }
}

async fn answer(_: AuthorizerEvent) -> Result<AuthorizerAnswer, Infallible> {
    Ok(AuthorizerAnswer::allow("ada", ["arn:aws:execute-api:*:*:*/*/GET/*"]))
}

//! The service that everything wraps: an axum router with one handler.

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use std::{convert::Infallible, future::ready};
use tower::{Layer, Service, service_fn};
use tower_gateway::context::{RequestContextLayer, RequestContextService};

/// `GET /pets` answers, `POST /pets` reads its body.
pub fn bare() -> Router {
    Router::new().route(
        "/pets",
        get(|| async { "ok" })
            .post(|body: Bytes| async move { if body.is_empty() { "empty" } else { "ok" } }),
    )
}

/// A service for paths of all kinds.
pub fn anything() -> Router {
    Router::new().fallback(|| async { "ok" })
}

/// The floor: the context is made, nothing else is done.
pub fn floor() -> RequestContextService<Router> {
    with_context(bare())
}

pub fn with_context<S>(inner: S) -> RequestContextService<S> {
    RequestContextLayer::new().layer(inner)
}

/// The least that can be done with a request.
pub fn no_content() -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone {
    service_fn(|request: Request<Body>| {
        drop(request);
        ready(Ok(Response::new(Body::empty())))
    })
}

pub fn request(method: Method, uri: &'static str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(uri)
        .header(header::HOST, "api.example")
        .header(header::USER_AGENT, "bench")
        .header(header::ACCEPT, "*/*")
}

pub fn empty(builder: http::request::Builder) -> Request<Body> {
    builder.body(Body::empty()).expect("a valid request")
}

pub fn posted(builder: http::request::Builder) -> Request<Body> {
    let body = Bytes::from_static(&[b'x'; 64]);
    builder.header(header::CONTENT_LENGTH, 64).body(Body::from(body)).expect("a valid request")
}

//! What a verification allocates.

use super::support::{Signer, layer};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};
use tower::{Layer, Service};
use tower_gateway::context::RequestContextLayer;

#[derive(Clone, Debug)]
struct Nothing;

impl<B> Service<Request<B>> for Nothing {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::default())))
    }
}

/// Allocations of one call, over the same call through a layer that only makes the context.
fn allocations(request: impl Fn() -> Request<Full<Bytes>>) -> i64 {
    let mut service = layer().build().unwrap().layer(Nothing);
    let mut floor = RequestContextLayer::new().layer(Nothing);
    let warm = service.call(request()).now_or_never().unwrap().unwrap();
    assert_eq!(warm.status(), 200);
    let (ours, theirs) = (request(), request());
    let ours = allocation_counter::measure(|| drop(service.call(ours).now_or_never()));
    let theirs = allocation_counter::measure(|| drop(floor.call(theirs).now_or_never()));
    ours.count_total as i64 - theirs.count_total as i64
}

#[test]
fn a_signed_get_allocates_nothing() {
    let signer = Signer { headers: &[("accept", "*/*"), ("x-custom", "a  b")], ..Signer::default() };
    assert_eq!(allocations(|| signer.sign("GET", "/pets", "")), 0);
    assert_eq!(allocations(|| signer.sign("GET", "/prod/pets?b=2&a=x%20y&a=1&empty=&q=%E1%88%B4", "")), 0);
    // Policies are asked about the decoded spelling of a path, too.
    assert_eq!(allocations(|| signer.sign("GET", "/prod/pets/a%20b", "")), 1);
}

#[test]
fn a_signed_post_allocates_nothing_besides_its_body() {
    const BODY: &str = match std::str::from_utf8(&[b'x'; 1024]) {
        Ok(text) => text,
        Err(_) => "",
    };
    assert_eq!(BODY.len(), 1024);
    assert_eq!(allocations(|| Signer::default().sign("POST", "/pets", BODY)), 0);
}

/// Credential and, with a second name, the list of signed names are decoded; then the query is written anew without the
/// signature.
#[test]
fn a_presigned_get_allocates_its_decoded_parts() {
    let count = allocations(|| Signer { presign: true, ..Signer::default() }.sign("GET", "/pets?x=1", ""));
    assert!(count <= 5, "{count}");
}

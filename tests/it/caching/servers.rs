//! Under axum's router, with a route each, and under plain hyper.

use super::{Ask, Origin, SECOND, TestBody, answer, pauses};
use crate::support::{assert_service, get, run};
use axum::{Router, body::Body as AxumBody, routing};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::io::DuplexStream;
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    cache::{Cache, CacheLayer, CacheStatus},
    context::RequestContextLayer,
    route::{ApiMethod, CacheKey, Routes},
};

async fn text(router: &Router, uri: &str) -> String {
    let request = Request::get(uri).body(AxumBody::empty()).unwrap();
    let body = router.clone().oneshot(request).await.unwrap().into_body();
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[test]
fn under_an_axum_router_every_route_has_its_own_entries() {
    run(async {
        let calls = Arc::new(AtomicUsize::new(0));
        let handler = move |name: &'static str| {
            let calls = Arc::clone(&calls);
            move || async move { format!("{name} {}", calls.fetch_add(1, SeqCst) + 1) }
        };
        let routes = Routes::builder()
            .method("/a/{id}", Method::GET, ApiMethod::new().cache_key(CacheKey::new().query("q")))
            .build()
            .unwrap();
        let cache = Cache::builder().build().unwrap();
        let layer = CacheLayer::new(cache.clone()).routes(&routes);
        let part =
            |name, layer: CacheLayer| Router::new().route("/same", routing::get(handler(name))).layer(layer);
        let (one, two) = (CacheLayer::new(cache.clone()), CacheLayer::new(cache.clone()));
        let router = Router::new()
            .route("/a/{id}", routing::get(handler("a")).post(handler("a")))
            .layer(layer.clone())
            .nest("/one", part("one", one))
            .nest("/two", part("two", two));
        assert_service(&router);
        assert_eq!(text(&router, "/a/1?q=1&r=1").await, "a 1");
        assert_eq!(text(&router, "/a/1?r=2&q=1").await, "a 1");
        assert_eq!(text(&router, "/a/2?q=1").await, "a 2");
        // Nested routers see the same path.
        assert_eq!(text(&router, "/one/same").await, "one 3");
        assert_eq!(text(&router, "/two/same").await, "two 4");
        assert_eq!(text(&router, "/one/same").await, "one 3");
        assert_eq!(cache.stats().count(CacheStatus::Hit), 2);
    });
}

/// The context knows the whole path, so that one layer serves both.
#[test]
fn behind_a_context_one_layer_serves_nested_routers() {
    run(async {
        let layer = CacheLayer::new(Cache::builder().build().unwrap());
        let part = |name: &'static str| {
            Router::new().route("/same", routing::get(move || async move { name })).layer(layer.clone())
        };
        let nested = Router::new().nest("/one", part("one")).nest("/two", part("two"));
        let router = Router::new().fallback_service(RequestContextLayer::new().layer(nested));
        for _ in 0..2 {
            assert_eq!(text(&router, "/one/same").await, "one");
            assert_eq!(text(&router, "/two/same").await, "two");
        }
    });
}

type Sender = hyper::client::conn::http1::SendRequest<Empty<Bytes>>;

async fn connect(stream: DuplexStream) -> Sender {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut Sender, uri: &str) -> Response<Bytes> {
    let request = Request::get(uri).header("host", "h").body(Empty::new()).unwrap();
    sender.ready().await.unwrap();
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

#[test]
fn under_hyper_connections_share_and_lengths_are_kept() {
    run(async {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let call = counted.fetch_add(1, SeqCst) + 1;
            async move {
                pauses(3).await;
                let size = if request.uri().path() == "/large" { 300_000 } else { 5 };
                Ok::<_, Infallible>(Response::new(Full::from(vec![b'0' + call as u8; size])))
            }
        });
        let service = CacheLayer::new(Cache::builder().build().unwrap()).layer(service);
        let mut senders = Vec::new();
        for _ in 0..2 {
            let (client, server) = tokio::io::duplex(4096);
            let service = TowerToHyperService::new(service.clone());
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { builder.serve_connection(TokioIo::new(server), service).await });
            senders.push(connect(client).await);
        }
        let [one, other] = &mut senders[..] else { unreachable!("two connections") };
        for (uri, size) in [("/large", 300_000), ("/small", 5)] {
            let before = calls.load(SeqCst);
            let (first, second) = tokio::join!(ask(one, uri), ask(other, uri));
            let third = ask(one, uri).await;
            for answer in [&first, &second, &third] {
                assert_eq!(answer.headers()["content-length"], size.to_string().as_str());
                assert_eq!(answer.body(), first.body());
            }
            assert_eq!((first.body().len(), calls.load(SeqCst)), (size, before + 1));
        }
    });
}

#[test]
fn a_body_that_is_not_sync_passes() {
    fn assert_send<T: Send>(_: &T) {}
    run(async {
        let origin = Origin::sync(|_: Ask, _| answer("x"));
        let service = CacheLayer::new(Cache::builder().ttl(SECOND).build().unwrap()).layer(origin);
        let future = service.oneshot(get("/"));
        assert_send(&future);
        let answer: Response<GatewayBody<TestBody>> = future.await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "x");
    });
}

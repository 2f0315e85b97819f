//! The response cache: hits, which never reach the handler and are counted whole, beside axum-response-cache and beside
//! the maps alone; and misses over the floor.

use crate::{
    http_cache,
    measure::{Goal, MakeRequest, Row, Subject},
    rows::{MakeRow, Side, row, side},
    services::{empty, no_content, request, with_context},
};
use axum::{
    Router,
    body::{Body, HttpBody},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use std::{
    convert::Infallible,
    future::ready,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tower::{Layer, Service, service_fn};
use tower_gateway::cache::{Cache, CacheBuilder, CacheLayer, CacheService};

pub const ROWS: [(&str, MakeRow); 10] = [
    ("cache-hit-1k", |name| hit(name, 1 << 10)),
    ("cache-hit-100k", |name| hit(name, 100 << 10)),
    ("cache-hit-1k-http-cache", |name| hit_beside_http_cache(name, 1 << 10)),
    ("cache-hit-100k-http-cache", |name| hit_beside_http_cache(name, 100 << 10)),
    ("cache-hit-100k-to-1k", hit_of_both_sizes),
    ("cache-hit-1k-quick-cache", |name| hit_beside_map(name, quick_cache())),
    ("cache-hit-1k-moka", |name| hit_beside_map(name, moka())),
    ("cache-miss", |name| miss(name, Goal::Nanos(600.0), |builder| builder)),
    ("cache-miss-least", miss_beside_the_least),
    ("cache-miss-evicting", |name| miss(name, Goal::None, |builder| builder.capacity(4 << 20))),
];

const TTL: Duration = Duration::from_secs(300);
const MOST_ALLOCATIONS: Option<f64> = Some(9.0);
/// The sizes are equal to us if their times are, but for what a loaded machine makes of them.
const NEARLY_EQUAL: f64 = 1.1;
const ENTRIES: usize = 10_000;

fn hit(name: &'static str, size: usize) -> Row {
    let peer = side(response_cache(Origin::answering(1, size).router()));
    hits(name, our_hits(size), peer, Goal::Whole(0.6))
}

/// The floor takes the request and answers nothing, so that all allocations of a hit are counted.
fn hits(name: &'static str, ours: Side, peer: Side, goal: Goal) -> Row {
    let made = row(name, Box::new(|_| empty(asked())), ours, peer, goal);
    Row { warm: 1, floor: Box::new(no_content()), most_allocations: MOST_ALLOCATIONS, ..made }
}

fn asked() -> http::request::Builder {
    request(Method::GET, "/pets?limit=10&status=available")
}

fn our_hits(size: usize) -> Side {
    side(ours(Origin::answering(1, size).router(), |builder| builder))
}

/// Its own storage is not ours to choose: the map of its documentation, in memory.
fn hit_beside_http_cache(name: &'static str, size: usize) -> Row {
    let peer = http_cache::warm(Origin::answering(1, size).router(), || empty(asked()));
    hits(name, our_hits(size), side(peer), Goal::Whole(0.6))
}

/// Ours with 100 KB beside ours with 1 KB.
fn hit_of_both_sizes(name: &'static str) -> Row {
    hits(name, our_hits(100 << 10), our_hits(1 << 10), Goal::Whole(NEARLY_EQUAL))
}

/// The peer is what a cache cannot do without: the look-up by path and query, and an answer made of what was found. It
/// looks at no header field, no credentials and no age.
fn hit_beside_map(name: &'static str, peer: Side) -> Row {
    hits(name, our_hits(1 << 10), peer, Goal::None)
}

/// Each request asks for something new.
fn miss(name: &'static str, goal: Goal, set: fn(CacheBuilder) -> CacheBuilder) -> Row {
    misses(name, side(with_context(response_cache(origin_of_misses()))), goal, set)
}

/// The peer is what no miss can do without: a key, two visits to the map, and a copy that keeps no memory of others. Two
/// requests for the same are two calls, and nothing is looked at that forbids to store.
fn miss_beside_the_least(name: &'static str) -> Row {
    let cache: Map = quick_cache::sync::Cache::with_weighter(ENTRIES, 64 << 20, Weigh);
    let (cache, router) = (Arc::new(cache), origin_of_misses());
    let peer =
        service_fn(move |request: Request<Body>| store_and_answer(cache.clone(), router.clone(), request));
    misses(name, side(with_context(peer)), Goal::None, |builder| builder)
}

fn misses(name: &'static str, peer: Side, goal: Goal, set: fn(CacheBuilder) -> CacheBuilder) -> Row {
    let ours = side(with_context(ours(origin_of_misses(), set)));
    let made = row(name, something_new(), ours, peer, goal);
    Row { floor: Box::new(with_context(origin_of_misses())), warm: ENTRIES, ..made }
}

fn origin_of_misses() -> Router {
    Origin::answering(usize::MAX, 1 << 10).router()
}

type Map = quick_cache::sync::Cache<Box<str>, Arc<Stored>, Weigh>;

#[derive(Clone)]
struct Weigh;

impl quick_cache::Weighter<Box<str>, Arc<Stored>> for Weigh {
    fn weight(&self, key: &Box<str>, value: &Arc<Stored>) -> u64 {
        (key.len() + value.body.len() + value.headers.len() * 100) as u64
    }
}

async fn store_and_answer(
    cache: Arc<Map>,
    mut router: Router,
    request: Request<Body>,
) -> Result<Response, Infallible> {
    let uri = request.uri().clone();
    let key = uri.path_and_query().map_or("/", |path| path.as_str());
    if let Some(stored) = cache.get(key) {
        return Ok(Stored::clone(&stored).response());
    }
    let (parts, body) = router.call(request).await?.into_parts();
    let body = only_frame(body);
    let stored = Stored { headers: parts.headers.clone(), body: Bytes::copy_from_slice(&body) };
    cache.insert(key.into(), Arc::new(stored));
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// A body that is there in one piece.
fn only_frame(body: Body) -> Bytes {
    let frame = pin!(body).poll_frame(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Some(Ok(frame))) = frame else { panic!("not there at once") };
    frame.into_data().expect("no trailers")
}

fn something_new() -> MakeRequest {
    let next = AtomicUsize::new(0);
    Box::new(move |_| {
        let number = next.fetch_add(1, Relaxed);
        empty(request(Method::GET, "/").uri(format!("/pets?limit=10&after={number}")))
    })
}

/// Ours as it is by default: AWS's mode.
pub fn ours(origin: Router, set: fn(CacheBuilder) -> CacheBuilder) -> CacheService<Router> {
    CacheLayer::new(set(Cache::builder()).build().expect("a valid cache")).layer(origin)
}

pub fn response_cache(
    origin: Router,
) -> impl Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send {
    axum_response_cache::CacheLayer::with_lifespan(TTL).layer(origin)
}

/// A handler that answers so many requests and then fails: nobody who asks it again passes for a cache.
pub struct Origin {
    page: Stored,
    left: Arc<AtomicUsize>,
}

impl Origin {
    pub fn answering(requests: usize, size: usize) -> Self {
        Self { page: Stored::page(size), left: Arc::new(AtomicUsize::new(requests)) }
    }

    pub fn router(self) -> Router {
        let Self { page, left } = self;
        let answer = move || {
            let (page, left) = (page.clone(), Arc::clone(&left));
            async move {
                let taken = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
                taken.map_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response(), |_| page.response())
            }
        };
        Router::new().route("/pets", get(answer))
    }
}

/// What has to be kept of an answer.
#[derive(Clone)]
struct Stored {
    headers: HeaderMap,
    body: Bytes,
}

impl Stored {
    fn page(size: usize) -> Self {
        let fields = [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "max-age=300"),
            (header::ETAG, "\"33a64df551425fcc\""),
        ];
        let headers =
            fields.map(|(name, value)| (name, value.parse().expect("a value"))).into_iter().collect();
        Self { headers, body: Bytes::from(vec![b'x'; size]) }
    }

    fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.headers_mut() = self.headers;
        response
    }
}

fn quick_cache() -> Side {
    let cache = quick_cache::sync::Cache::<Box<str>, Stored>::new(ENTRIES);
    cache.insert(key_asked(), Stored::page(1 << 10));
    let cache = Arc::new(cache);
    side(answering_from(move |key| cache.get(key)))
}

fn moka() -> Side {
    let cache = moka::sync::Cache::builder().max_capacity(ENTRIES as u64).time_to_live(TTL).build();
    cache.insert(key_asked(), Stored::page(1 << 10));
    side(answering_from(move |key| cache.get(key)))
}

fn key_asked() -> Box<str> {
    empty(asked()).uri().path_and_query().map(|path| path.as_str().into()).expect("a path")
}

fn answering_from(find: impl Fn(&str) -> Option<Stored> + Clone + 'static) -> impl Subject {
    service_fn(move |request: Request<Body>| {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let answer = find(path).map_or_else(|| StatusCode::NOT_FOUND.into_response(), Stored::response);
        ready(Ok::<_, Infallible>(answer))
    })
}

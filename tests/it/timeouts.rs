//! The integration timeout: who waits, who answers, and what is left behind.

use crate::support::{Strict, assert_service, get, run, through};
use axum::{Router, body::Body as AxumBody, routing};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn, ready},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    body::BodyLayer,
    clock::ManualClock,
    context::{ApiKind, RequestContext, RequestContextLayer},
    response::{Cause, GatewayError},
    timeout::TimeoutLayer,
};

type Answer = Result<Response<Full<Bytes>>, Infallible>;

const SECOND: Duration = Duration::from_secs(1);

async fn never(_: Request<Full<Bytes>>) -> Answer {
    pending().await
}

fn manual(timeout: Duration) -> (ManualClock, TimeoutLayer) {
    let clock = ManualClock::at_unix_seconds(0);
    let layer = TimeoutLayer::new(timeout).clock(clock.clock());
    (clock, layer)
}

#[test]
fn a_quick_answer_passes_and_the_service_is_called_when_ready() {
    run(async {
        let (answer, called) = through(TimeoutLayer::default(), get("/")).await;
        assert_eq!((answer.status().as_u16(), called), (200, 1));
        assert_eq!(answer.body(), "inner");
    });
}

#[test]
fn aws_s_answer_after_29_seconds_and_not_before() {
    let clock = ManualClock::at_unix_seconds(0);
    let service = TimeoutLayer::default().clock(clock.clock()).layer(service_fn(never));
    let mut asked = Box::pin(service.oneshot(get("/")));
    assert!(asked.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_millis(28_999));
    assert!(asked.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_millis(1));
    let answer = asked.now_or_never().unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["x-amzn-errortype"], "InternalServerErrorException");
    let cause = answer.extensions().get::<GatewayError>().unwrap().cause();
    assert_eq!(cause, Cause::IntegrationTimeout);
    let body = answer.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
    assert_eq!((body.len(), &*body), (41, &br#"{"message": "Endpoint request timed out"}"#[..]));
}

#[test]
fn an_http_api_answers_503_and_the_context_knows() {
    let (clock, layer) = manual(SECOND);
    let kept: Arc<std::sync::Mutex<Option<RequestContext>>> = Arc::default();
    let inner = Arc::clone(&kept);
    let handler = service_fn(move |request: Request<Full<Bytes>>| {
        *inner.lock().unwrap() = RequestContext::of(request.extensions()).cloned();
        pending::<Answer>()
    });
    let service = RequestContextLayer::new().api_kind(ApiKind::Http).layer(layer.layer(handler));
    let mut asked = Box::pin(service.oneshot(get("/")));
    assert!(asked.as_mut().now_or_never().is_none());
    clock.advance(SECOND);
    let answer = asked.now_or_never().unwrap().unwrap();
    assert_eq!(answer.status(), 503);
    assert!(!answer.headers().contains_key("x-amzn-errortype"));
    let context = kept.lock().unwrap().take().unwrap();
    assert_eq!(context.error().unwrap().cause(), Cause::IntegrationTimeout);
}

#[test]
fn an_answer_that_is_there_when_the_timer_rings_wins() {
    let (clock, layer) = manual(SECOND);
    let (send, receive) = tokio::sync::oneshot::channel::<()>();
    let mut receive = Some(receive);
    let handler = service_fn(move |_: Request<Full<Bytes>>| {
        let receive = receive.take();
        async {
            receive.unwrap().await.unwrap();
            Answer::Ok(Response::new(Full::from("late, but there")))
        }
    });
    let mut asked = Box::pin(layer.layer(handler).oneshot(get("/")));
    assert!(asked.as_mut().now_or_never().is_none());
    clock.advance(SECOND * 9);
    send.send(()).unwrap();
    assert_eq!(asked.now_or_never().unwrap().unwrap().status(), 200);
}

#[test]
fn readiness_and_the_body_of_the_answer_are_not_bounded() {
    let (clock, layer) = manual(SECOND);
    let ready_at = clock.clock().now();
    let waits_for = clock.clone();
    let streaming = service_fn(|_: Request<Full<Bytes>>| {
        let frames = stream::once(async { Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"slow"))) });
        ready(Ok::<_, Infallible>(Response::new(BoxBody::new(StreamBody::new(Box::pin(frames))))))
    });
    let mut service = layer.layer(BodyLayer.layer(streaming));
    clock.advance(SECOND * 60);
    assert!(waits_for.clock().now().since(ready_at) > SECOND);
    let answer =
        service.ready().now_or_never().unwrap().unwrap().call(get("/")).now_or_never().unwrap().unwrap();
    clock.advance(SECOND * 60);
    assert_eq!(answer.into_body().collect().now_or_never().unwrap().unwrap().to_bytes(), "slow");
}

#[test]
fn errors_of_the_service_pass_untouched() {
    #[derive(Debug, PartialEq)]
    struct Own;
    let fails = service_fn(|_: Request<Full<Bytes>>| ready(Err::<Response<Full<Bytes>>, _>(Own)));
    let answer = TimeoutLayer::default().layer(fails).oneshot(get("/")).now_or_never().unwrap();
    assert_eq!(answer.unwrap_err(), Own);
}

#[test]
fn an_answer_at_once_needs_no_timer_no_runtime_and_no_memory() {
    let mut with = TimeoutLayer::default()
        .layer(service_fn(|_: Request<Full<Bytes>>| ready(Answer::Ok(Response::new(Full::default())))));
    let mut request = Some(get("/"));
    // No runtime here: a tokio timer would panic.
    let counted = allocation_counter::measure(|| {
        drop(with.call(request.take().unwrap()).now_or_never().unwrap());
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn the_timer_is_made_once_and_a_refusal_is_cheap() {
    let (clock, layer) = manual(SECOND);
    let mut service = layer.layer(service_fn(never));
    let mut asked = Box::pin(service.call(get("/")));
    assert!(asked.as_mut().now_or_never().is_none());
    clock.advance(SECOND);
    let counted = allocation_counter::measure(|| drop(asked.as_mut().now_or_never().unwrap()));
    assert!(counted.count_total <= 8, "{counted:?}");
    println!("timed out: {} allocations", counted.count_total);
}

#[test]
fn dropped_at_any_poll_or_timed_out_nothing_is_left() {
    for polls in 0..4 {
        let (clock, layer) = manual(SECOND * 3);
        let held = Arc::new(());
        let inner = Arc::clone(&held);
        let handler = service_fn(move |_: Request<Full<Bytes>>| {
            let guard = Arc::clone(&inner);
            async move {
                let _guard = guard;
                pending::<Answer>().await
            }
        });
        let mut service = layer.layer(handler);
        let mut asked = Box::pin(service.call(get("/")));
        assert_eq!(Arc::strong_count(&held), 3);
        let mut answered = false;
        for _ in 0..polls {
            answered |= asked.as_mut().now_or_never().is_some();
            clock.advance(SECOND);
        }
        answered |= polls == 3 && asked.as_mut().now_or_never().is_some();
        assert_eq!(answered, polls == 3);
        // The expired future lets go at once, before it is dropped itself.
        assert_eq!(Arc::strong_count(&held), if answered { 2 } else { 3 });
        drop(asked);
        assert_eq!(Arc::strong_count(&held), 2);
        drop(service);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

/// A service that is always busy and never done, and so has used up tokio's budget at each `Pending`.
#[derive(Clone)]
struct Busy;

impl Service<Request<Full<Bytes>>> for Busy {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
        Box::pin(poll_fn(move |cx| {
            loop {
                send.send(()).unwrap();
                if receive.poll_recv(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        }))
    }
}

#[test]
fn a_service_that_never_yields_by_itself_is_timed_out_too() {
    run(async {
        let layer = TimeoutLayer::new(Duration::from_millis(20));
        let answer = tokio::spawn(layer.layer(Busy).oneshot(get("/"))).await.unwrap().unwrap();
        assert_eq!(answer.status(), 504);
    });
}

#[test]
fn under_axum_on_several_routes() {
    run(async {
        let (clock, layer) = manual(SECOND);
        let router = Router::new()
            .route("/quick", routing::get(|| async { "quick" }))
            .route("/slow", routing::get(pending::<&'static str>))
            .route("/slower", routing::get(pending::<&'static str>))
            .layer(layer);
        let ask = |path: &str| {
            router.clone().oneshot(Request::builder().uri(path).body(AxumBody::empty()).unwrap())
        };
        assert_eq!(ask("/quick").await.unwrap().status(), 200);
        for path in ["/slow", "/slower"] {
            let advance = async { clock.advance(SECOND) };
            let (answer, ()) = futures_util::future::join(ask(path), advance).await;
            assert_eq!(answer.unwrap().status(), 504, "{path}");
        }
    });
}

#[test]
fn over_a_socket_with_the_system_s_clock() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let handler = service_fn(|_: Request<hyper::body::Incoming>| pending::<Answer>());
        let service = TimeoutLayer::new(Duration::from_millis(10)).layer(handler);
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _closed =
                server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
        });
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{\"message\": \"Endpoint request timed out\"}"), "{answer}");
    });
}

#[test]
fn what_servers_demand() {
    let mut service = TimeoutLayer::default().layer(service_fn(never));
    assert_service(&TimeoutLayer::default().layer(Strict::default()));
    fn assert_send<T: Send>(_: &T) {}
    assert_send(&service.call(get("/")));
}

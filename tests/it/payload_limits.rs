//! The payload limit around real services: over sockets, under axum, with foreign bodies, when cancelled.

mod sockets;

use crate::support::{Strict, assert_service, run, through};
use axum::{Router, body::Body as AxumBody, routing};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{HeaderValue, Method, Request, Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody, channel::Channel, combinators::BoxBody};
use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    body::{BodyLayer, BodyLimitError, BoxError},
    clock::ManualClock,
    context::{ApiKind, RequestContextLayer},
    payload_limit::PayloadLimitLayer,
    response::{Cause, GatewayError, GatewayResponseLayer, GatewayResponses},
    route::{ApiMethod, Routes},
};

type Chunked = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// A body of unknown length.
fn chunked(chunks: &[&'static str]) -> Request<Chunked> {
    let frames: Vec<_> =
        chunks.iter().map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))).collect();
    Request::new(StreamBody::new(stream::iter(frames)))
}

/// The body that must not be watched passes as it is; a chunked one is counted, over and under the limit.
#[test]
fn with_one_body_type_only_what_must_be_watched_is_wrapped() {
    run(async {
        let wrapped = |body: GatewayBody<AxumBody>| AxumBody::new(body);
        let layer = PayloadLimitLayer::new(5).no_minimum_rate().same_body(wrapped);
        let service = layer.layer(Strict::default());
        assert_service(&service);
        let sized = Request::new(AxumBody::from("12345"));
        assert_eq!(service.clone().oneshot(sized).await.unwrap().status(), 200);
        let router = Router::new().route("/", routing::post(|text: String| async { text })).layer(layer);
        for (frames, status) in [(["123", "45"], 200), (["123", "456"], 413)] {
            let body = AxumBody::new(chunked(&frames).into_body());
            let answer = router.clone().oneshot(Request::post("/").body(body).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status);
        }
        let refused = service.oneshot(Request::new(AxumBody::from("123456"))).await.unwrap();
        assert_eq!((refused.status().as_u16(), cause(&refused)), (413, Cause::ContentLengthTooLarge));
    });
}

fn announced(length: &'static str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static(length));
    request
}

fn cause<B>(answer: &Response<B>) -> Cause {
    answer.extensions().get::<GatewayError>().unwrap().cause()
}

async fn text<B: Body<Error: std::fmt::Debug>>(answer: Response<B>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Answers with the number of bytes it read, or with the words of the error; an error is not told to anybody.
async fn swallow<B>(request: Request<GatewayBody<B>>) -> Result<Response<Full<Bytes>>, Infallible>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let read = request.into_body().collect().await;
    let words = read.map_or_else(|error| error.to_string(), |body| body.to_bytes().len().to_string());
    Ok(Response::new(Full::from(words)))
}

#[test]
fn aws_s_ten_megabytes_pass_and_one_byte_more_does_not() {
    run(async {
        let (allowed, called) = through(PayloadLimitLayer::default(), announced("10485760")).await;
        assert_eq!((allowed.status().as_u16(), called), (200, 1));
        let (refused, called) = through(PayloadLimitLayer::default(), announced("10485761")).await;
        assert_eq!((refused.status().as_u16(), called), (413, 0));
        assert_eq!(refused.headers()["content-type"], "text; charset=utf-8");
        assert!(!refused.headers().contains_key("x-amzn-errortype"));
        assert_eq!(refused.body(), "HTTP content length exceeded 10485760 bytes.");

        let service = PayloadLimitLayer::default().layer(service_fn(swallow));
        for (length, status) in [(10_485_760, 200), (10_485_761, 413)] {
            let known = Request::new(Full::<Bytes>::from(vec![0; length]));
            let answer = service.clone().oneshot(known).await.unwrap();
            assert_eq!(answer.status(), status, "known {length}");
        }
        let service = PayloadLimitLayer::default().layer(service_fn(swallow));
        for (last, status) in [(0, 200), (1, 413)] {
            let pieces = [vec![0; 10_485_760], vec![0; last]];
            let frames = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
            let unknown = Request::new(StreamBody::new(stream::iter(frames)));
            let answer = service.clone().oneshot(unknown).await.unwrap();
            assert_eq!(answer.status(), status, "unknown, {last} more");
        }
    });
}

#[test]
fn the_service_is_called_only_for_what_passes_and_only_when_ready() {
    run(async {
        for (request, status, expected) in [
            (announced("x"), 400, Cause::InvalidContentLength),
            (announced("6"), 413, Cause::ContentLengthTooLarge),
            (Request::new(Full::from("longer")), 413, Cause::ContentLengthTooLarge),
        ] {
            let (answer, called) = through(PayloadLimitLayer::new(5), request).await;
            assert_eq!((answer.status().as_u16(), called), (status, 0));
            assert_eq!(cause(&answer), expected);
        }
        let mut conflicting = announced("3");
        conflicting.headers_mut().append(CONTENT_LENGTH, HeaderValue::from_static("4"));
        assert_eq!(through(PayloadLimitLayer::new(5), conflicting).await.0.status(), 400);

        let long = || Request::builder().uri(format!("/{}", "a".repeat(20))).body(Full::default()).unwrap();
        let (answer, called) = through(PayloadLimitLayer::new(5).url_limit(20), long()).await;
        assert_eq!((answer.status().as_u16(), called), (414, 0));
        assert_eq!(answer.headers()["x-amzn-errortype"], "BadRequestException");
        assert_eq!(through(PayloadLimitLayer::new(5).url_limit(21), long()).await.1, 1);
        assert_eq!(through(PayloadLimitLayer::new(5).url_limit(1).no_url_limit(), long()).await.1, 1);

        let heavy = || Request::builder().header("abcd", "efgh").body(Full::default()).unwrap();
        let (answer, called) = through(PayloadLimitLayer::new(5).header_limit(11), heavy()).await;
        assert_eq!((answer.status().as_u16(), called), (431, 0));
        assert_eq!(through(PayloadLimitLayer::new(5).header_limit(12), heavy()).await.1, 1);
        assert_eq!(through(PayloadLimitLayer::new(5).header_limit(1).no_header_limit(), heavy()).await.1, 1);
    });
}

#[test]
fn a_swallowed_error_is_still_a_413() {
    run(async {
        let service = PayloadLimitLayer::new(5).layer(service_fn(swallow));
        let allowed = service.clone().oneshot(chunked(&["ab", "cde"])).await.unwrap();
        assert_eq!(text(allowed).await, "5");
        let refused = service.clone().oneshot(chunked(&["ab", "cd", "ef"])).await.unwrap();
        assert_eq!(cause(&refused), Cause::BodyTooLarge);
        assert_eq!(text(refused).await, "HTTP content length exceeded 5 bytes.");

        // A lying Content-Length does not switch the counting off.
        let mut lying = chunked(&["abc", "def"]);
        lying.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("3"));
        assert_eq!(service.oneshot(lying).await.unwrap().status(), 413);

        let json = PayloadLimitLayer::new(1).as_json(true).layer(service_fn(swallow));
        let refused = json.oneshot(chunked(&["ab"])).await.unwrap();
        assert_eq!(refused.headers()["x-amzn-errortype"], "RequestTooLargeException");
        assert_eq!(text(refused).await, r#"{"message":"Request Too Long"}"#);
    });
}

#[test]
fn a_handler_that_waits_for_something_else_does_not_keep_the_client() {
    run(async {
        let waits = service_fn(|request: Request<GatewayBody<Chunked>>| async {
            let error = request.into_body().collect().await.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&BodyLimitError::TooLarge { limit: 5 }));
            pending::<Result<Response<Full<Bytes>>, Infallible>>().await
        });
        let refused = PayloadLimitLayer::new(5).layer(waits).oneshot(chunked(&["abcdef"])).await.unwrap();
        assert_eq!(refused.status(), 413);
    });
}

#[test]
fn a_body_that_another_task_reads_wakes_the_answer() {
    run(async {
        let delegates = service_fn(|request: Request<GatewayBody<Chunked>>| async {
            // Never looks at the outcome, never answers.
            tokio::spawn(async {
                tokio::task::yield_now().await;
                let _ = request.into_body().collect().await;
            });
            pending::<Result<Response<Full<Bytes>>, Infallible>>().await
        });
        let refused = PayloadLimitLayer::new(5).layer(delegates).oneshot(chunked(&["abcdef"])).await.unwrap();
        assert_eq!(refused.status(), 413);
    });
}

#[test]
fn an_error_that_the_cut_caused_becomes_our_answer_and_no_other() {
    run(async {
        let fails = service_fn(|request: Request<GatewayBody<Chunked>>| async {
            let body = request.into_body().collect().await?.to_bytes();
            if body.is_empty() {
                return Err(BoxError::from("its own"));
            }
            Ok(Response::new(Full::<Bytes>::from("ok")))
        });
        let service = PayloadLimitLayer::new(5).layer(fails);
        assert_eq!(service.clone().oneshot(chunked(&["abcdef"])).await.unwrap().status(), 413);
        assert_eq!(service.clone().oneshot(chunked(&["abc"])).await.unwrap().status(), 200);
        assert_eq!(service.oneshot(chunked(&[])).await.unwrap_err().to_string(), "its own");
    });
}

#[test]
fn of_two_limits_the_one_that_was_broken_is_named() {
    run(async {
        for (outer, inner) in [(5, 9), (9, 5)] {
            let service =
                PayloadLimitLayer::new(outer).layer(PayloadLimitLayer::new(inner).layer(service_fn(swallow)));
            let refused = service.oneshot(chunked(&["abcdef", "ghijkl"])).await.unwrap();
            assert_eq!(
                text(refused).await,
                "HTTP content length exceeded 5 bytes.",
                "{outer} around {inner}"
            );
        }
    });
}

#[test]
fn limits_per_method_come_from_the_table() {
    run(async {
        let routes = Routes::builder()
            .method("/large", Method::GET, ApiMethod::new().payload_limit(20))
            .method("/small", Method::GET, ApiMethod::new().payload_limit(2))
            .build()
            .unwrap();
        let service = PayloadLimitLayer::new(5).routes(&routes).layer(service_fn(swallow));
        for (path, status) in [("/large", 200), ("/small", 413), ("/other", 413)] {
            let mut request = chunked(&["123456"]);
            *request.uri_mut() = path.parse().unwrap();
            assert_eq!(service.clone().oneshot(request).await.unwrap().status(), status, "{path}");
            let mut request = announced("6");
            *request.uri_mut() = path.parse().unwrap();
            let layer = PayloadLimitLayer::new(5).routes(&routes);
            assert_eq!(through(layer, request).await.0.status(), status, "{path}");
        }
    });
}

#[test]
fn the_context_knows_the_refusal_and_the_kind_of_api() {
    run(async {
        let service = RequestContextLayer::new()
            .api_kind(ApiKind::Http)
            .layer(PayloadLimitLayer::new(5).layer(service_fn(swallow)));
        for refused in [
            service.clone().oneshot(chunked(&["abcdef"])).await.unwrap(),
            service.oneshot(chunked(&["abcdef"])).await.unwrap(),
        ] {
            assert_eq!(text(refused).await, r#"{"message":"Request Entity Too Large"}"#);
        }
        let stack = GatewayResponseLayer::new(GatewayResponses::new())
            .layer(PayloadLimitLayer::new(5).layer(service_fn(swallow)));
        let refused = stack.oneshot(chunked(&["abcdef"])).await.unwrap();
        assert!(refused.headers().contains_key("x-amzn-requestid"));
        assert_eq!(refused.status(), 413);
    });
}

#[test]
fn under_axum_on_several_routes() {
    run(async {
        async fn length(body: Bytes) -> String {
            body.len().to_string()
        }
        async fn swallows(body: AxumBody) -> &'static str {
            let _ = axum::body::to_bytes(body, usize::MAX).await;
            "swallowed"
        }
        let router = Router::new()
            .route("/length", routing::post(length))
            .route("/swallows", routing::post(swallows))
            .route("/plain", routing::get(|| async { "plain" }))
            .layer(PayloadLimitLayer::new(5));
        let ask = |method: &str, path: &str, body: AxumBody| {
            let request = Request::builder().method(method).uri(path).body(body).unwrap();
            router.clone().oneshot(request)
        };
        let stream = || AxumBody::from_stream(stream::iter([Ok::<_, Infallible>("abc"), Ok("def")]));
        assert_eq!(text(ask("POST", "/length", AxumBody::from("abcde")).await.unwrap()).await, "5");
        assert_eq!(ask("POST", "/length", AxumBody::from("abcdef")).await.unwrap().status(), 413);
        assert_eq!(ask("POST", "/length", stream()).await.unwrap().status(), 413);
        assert_eq!(ask("POST", "/swallows", stream()).await.unwrap().status(), 413);
        assert_eq!(text(ask("GET", "/plain", AxumBody::empty()).await.unwrap()).await, "plain");
    });
}

#[test]
fn boxed_bodies_and_tonic_s() {
    run(async {
        let boxed = |text: &[&'static str]| chunked(text).map(BoxBody::new);
        let inner = service_fn(|request: Request<GatewayBody<BoxBody<Bytes, Infallible>>>| async {
            let answer = swallow(request).await?;
            Ok::<_, Infallible>(answer.map(BoxBody::new))
        });
        let service = PayloadLimitLayer::new(5).layer(BodyLayer.layer(inner));
        assert_eq!(text(service.clone().oneshot(boxed(&["abc", "de"])).await.unwrap()).await, "5");
        assert_eq!(service.oneshot(boxed(&["abc", "def"])).await.unwrap().status(), 413);

        let tonic = |text: &[&'static str]| chunked(text).map(tonic::body::Body::new);
        let inner = service_fn(|request: Request<GatewayBody<tonic::body::Body>>| async {
            // What a tonic server does with a body of another type.
            let request = request.map(tonic::body::Body::new);
            let read = request.into_body().collect().await;
            let words = read.map_or(Bytes::from_static(b"status"), |body| body.to_bytes());
            Ok::<_, Infallible>(Response::new(tonic::body::Body::new(Full::from(words))))
        });
        let service = PayloadLimitLayer::new(5).layer(BodyLayer.layer(inner));
        assert_eq!(text(service.clone().oneshot(tonic(&["abc", "de"])).await.unwrap()).await, "abcde");
        assert_eq!(service.oneshot(tonic(&["abc", "def"])).await.unwrap().status(), 413);
    });
}

#[test]
fn what_servers_demand() {
    let service = PayloadLimitLayer::default().layer(Strict::default());
    assert_service(&service);
    fn assert_send<T: Send>(_: &T) {}
    let mut service = PayloadLimitLayer::default().layer(service_fn(swallow));
    assert_send(&service.call(chunked(&[])));
}

/// Sends a byte and lets a second pass between the polls, then drops the future and all that was made for it.
fn dropped_after(polls: usize, limit: u64) {
    let clock = ManualClock::at_unix_seconds(0);
    let held = Arc::new(());
    let inner = Arc::clone(&held);
    let handler = service_fn(move |request: Request<GatewayBody<Channel<Bytes>>>| {
        let guard = Arc::clone(&inner);
        async move {
            let _guard = guard;
            swallow(request).await
        }
    });
    let (mut sender, channel) = Channel::new(8);
    let mut service = PayloadLimitLayer::new(limit).clock(clock.clock()).layer(handler);
    let mut answer = Box::pin(service.call(Request::new(channel)));
    let mut answered = false;
    for _ in 0..polls {
        answered = answered || answer.as_mut().now_or_never().is_some();
        clock.advance(Duration::from_secs(1));
        let _closed = sender.send_data(Bytes::from_static(b"x")).now_or_never();
    }
    // The cut drops the service's future at once.
    assert_eq!(Arc::strong_count(&held), if answered { 2 } else { 3 });
    drop((answer, service));
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn dropped_at_any_poll_nothing_is_left() {
    dropped_after(3, 10); // what is made once per process
    for (polls, limit) in [(0, 10), (1, 10), (2, 10), (3, 10), (7, 10), (2, 0), (3, 1), (5, 2)] {
        let counted = allocation_counter::measure(|| dropped_after(polls, limit));
        assert_eq!(counted.count_current, 0, "memory is left after {polls} polls, limit {limit}");
    }
}

#[test]
fn the_future_is_dropped_with_the_cut_and_not_after_the_answer_is_read() {
    run(async {
        let held = Arc::new(());
        let inner = Arc::clone(&held);
        let handler = service_fn(move |request: Request<GatewayBody<Chunked>>| {
            let guard = Arc::clone(&inner);
            async move {
                let _guard = guard;
                let _ = request.into_body().collect().await;
                pending::<Result<Response<Full<Bytes>>, Infallible>>().await
            }
        });
        let mut service = PayloadLimitLayer::new(1).layer(handler);
        let mut answer = Box::pin(service.ready().await.unwrap().call(chunked(&["ab"])));
        assert_eq!((&mut answer).await.unwrap().status(), 413);
        assert_eq!(Arc::strong_count(&held), 2, "the handler's own and ours, none of the future");
        drop(answer);
    });
}

/// Allocations of one call through `layer`, over those of the same stack without it.
fn extra_allocations(layer: &PayloadLimitLayer, request: impl Fn() -> Request<Full<Bytes>>) -> i64 {
    let outer = RequestContextLayer::new();
    let count = |call: &mut dyn FnMut(Request<Full<Bytes>>)| {
        let (first, second) = (request(), request());
        call(first);
        let mut second = Some(second);
        allocation_counter::measure(|| call(second.take().unwrap())).count_total as i64
    };
    let answer = || std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("x"))));
    let mut with = outer.layer(layer.layer(service_fn(move |_: Request<GatewayBody<Full<Bytes>>>| answer())));
    let mut bare = outer.layer(service_fn(move |_: Request<Full<Bytes>>| answer()));
    let with = count(&mut |request| drop(with.call(request).now_or_never().unwrap()));
    let bare = count(&mut |request| drop(bare.call(request).now_or_never().unwrap()));
    with - bare
}

#[test]
fn allocations_of_an_allowed_request_and_of_a_refused_one() {
    let known = || {
        let mut request = Request::new(Full::from("abc"));
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("3"));
        request
    };
    assert_eq!(extra_allocations(&PayloadLimitLayer::default(), known), 0);
    assert_eq!(extra_allocations(&PayloadLimitLayer::default().no_minimum_rate(), known), 0);
    assert_eq!(extra_allocations(&PayloadLimitLayer::default(), || Request::new(Full::default())), 0);
    let refused = extra_allocations(&PayloadLimitLayer::new(2), known);
    assert!(refused <= 10, "{refused}");
    println!("refused: {refused} allocations");
}

#[test]
fn counting_a_streamed_body_allocates_nothing() {
    let read = |limit: Option<u64>| {
        let answer = |request: Request<GatewayBody<Chunked>>| async {
            let mut body = Box::pin(request.into_body().into_data_stream());
            while body.next().await.is_some() {}
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("x")))
        };
        let limit = limit.map(PayloadLimitLayer::new);
        let mut with = limit.map(|limit| RequestContextLayer::new().layer(limit.layer(service_fn(answer))));
        let mut bare = RequestContextLayer::new().layer(service_fn(answer));
        let request = Some(chunked(&["abc", "def", "ghi"]));
        let mut request = request;
        allocation_counter::measure(|| match &mut with {
            Some(with) => drop(with.call(request.take().unwrap()).now_or_never()),
            None => drop(bare.call(request.take().unwrap().map(GatewayBody::new)).now_or_never()),
        })
        .count_total
    };
    let _warm = read(None);
    assert_eq!(read(Some(100)), read(None));
}

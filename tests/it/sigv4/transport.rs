//! tower's contract, bodies, stores that wait, and cancellation.

use super::support::{NOW, Signer, credentials, echo, get, layer, layer_of};
use crate::support::{Strict, assert_service, run, through};
use axum::{Router, body::Body, routing::any};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, Channel, Full, StreamBody};
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    body::BoxError,
    clock::ManualClock,
    context::{RequestContext, RequestContextLayer},
    payload_limit::PayloadLimitLayer,
    response::{Cause, GatewayError},
    route::{ApiMethod, Routes},
    sigv4::{CredentialsAsyncFn, CredentialsFn, MemoryCredentialsStore, SigV4AuthLayer},
};

fn cause<B>(response: &Response<B>) -> Option<Cause> {
    response.extensions().get::<GatewayError>().map(GatewayError::cause)
}

/// Ada's POST with a body of the test's own.
fn post_with<B>(signed: &'static str, body: B) -> Request<B> {
    Signer::default().sign("POST", "/pets", signed).map(|_| body)
}

/// Calls a service as soon as it is ready.
async fn begin<S, B>(service: &mut S, request: Request<B>) -> S::Future
where
    S: Service<Request<B>, Error = Infallible>,
{
    service.ready().await.unwrap().call(request)
}

/// Answers with the body it got.
#[derive(Clone)]
struct Mirror;

impl<B> Service<Request<B>> for Mirror
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Debug,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(async { Ok(Response::new(Full::from(request.collect().await.unwrap().to_bytes()))) })
    }
}

async fn text(response: Response<Full<Bytes>>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[test]
fn the_instance_that_was_ready_is_called_with_and_without_a_body() {
    let signer = Signer::default();
    for request in [get("/pets"), signer.sign("POST", "/pets", "hello"), signer.sign("POST", "/pets", "")] {
        let (response, calls) = run(through(layer().build().unwrap(), request));
        assert_eq!((response.status().as_u16(), calls), (200, 1));
    }
    let presigned = Signer { presign: true, ..Signer::default() }.sign("GET", "/pets?x=1", "");
    let (response, calls) = run(through(layer().build().unwrap(), presigned));
    assert_eq!((response.status().as_u16(), calls), (200, 1));
    let (response, calls) = run(through(layer().build().unwrap(), crate::support::get("/pets")));
    assert_eq!((response.status().as_u16(), calls), (403, 0));
}

#[test]
fn bodies_arrive_whole_however_they_are_cut() {
    for cuts in [vec!["hello world"], vec!["hello", " ", "world"], vec!["", "hello world", ""]] {
        let frames = cuts.into_iter().map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from(part))));
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let service = layer().build().unwrap().layer(Mirror);
        let response = run(service.oneshot(post_with("hello world", body))).unwrap();
        assert_eq!((response.status().as_u16(), run(text(response))), (200, Bytes::from("hello world")));
    }
    let body = StreamBody::new(futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(
        "hello worlt",
    )))]));
    let response =
        run(layer().build().unwrap().layer(Mirror).oneshot(post_with("hello world", body))).unwrap();
    assert_eq!((response.status().as_u16(), cause(&response)), (403, Some(Cause::SignatureMismatch)));
}

#[test]
fn the_service_is_not_called_before_the_last_byte_and_not_at_all_when_the_caller_leaves() {
    let strict = Strict::default();
    let mut service = layer().build().unwrap().layer(strict.clone());
    run(async {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(4);
        let mut answer = begin(&mut service, post_with("hello", body)).await;
        assert!((&mut answer).now_or_never().is_none());
        sender.send_data(Bytes::from("hel")).await.unwrap();
        assert!((&mut answer).now_or_never().is_none());
        assert_eq!(strict.called(), 0);
        sender.send_data(Bytes::from("lo")).await.unwrap();
        drop(sender);
        assert_eq!(answer.await.unwrap().status(), 200);
        assert_eq!(strict.called(), 1);

        let (mut sender, body) = Channel::<Bytes, Infallible>::new(4);
        let mut answer = begin(&mut service, post_with("hello", body)).await;
        sender.send_data(Bytes::from("hel")).await.unwrap();
        assert!((&mut answer).now_or_never().is_none());
        drop(answer);
        assert!(sender.send_data(Bytes::from("lo")).await.is_err(), "the body is let go");
        assert_eq!(begin(&mut service, get("/pets")).await.await.unwrap().status(), 200);
        assert_eq!(strict.called(), 2);
    });
}

/// Counts the frames that are asked for.
struct Counted(Arc<AtomicUsize>);

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let asked = self.0.fetch_add(1, Ordering::SeqCst);
        std::task::Poll::Ready(match asked {
            0 => Some(Ok(Frame::data(Bytes::from("hello")))),
            _ => Some(Err("the client hung up".into())),
        })
    }
}

#[test]
fn a_head_that_fails_costs_no_byte_of_the_body() {
    let frames = Arc::new(AtomicUsize::new(0));
    let send = |change: &dyn Fn(&mut Request<Counted>)| {
        let mut request = post_with("hello", Counted(Arc::clone(&frames)));
        change(&mut request);
        let service = layer().body_limit(100).build().unwrap().layer(Strict::default());
        let response = run(service.oneshot(request)).unwrap();
        (response.status().as_u16(), cause(&response).unwrap(), frames.swap(0, Ordering::SeqCst))
    };
    let set = |name: &'static str, value: &'static str| {
        move |request: &mut Request<Counted>| drop(request.headers_mut().insert(name, value.parse().unwrap()))
    };
    assert_eq!(
        send(&|request| drop(request.headers_mut().remove("authorization"))),
        (403, Cause::SignatureMissing, 0)
    );
    assert_eq!(send(&set("x-amz-date", "20261122T000000Z")), (403, Cause::SignatureExpired, 0));
    assert_eq!(send(&set("content-length", "101")), (413, Cause::ContentLengthTooLarge, 0));
    let unknown = "AWS4-HMAC-SHA256 Credential=AKIDNOBODY/20261122/us-east-1/execute-api/aws4_request, \
        SignedHeaders=host, Signature=00";
    assert_eq!(send(&set("authorization", unknown)), (403, Cause::AccessKeyUnknown, 0));
    assert_eq!(
        send(&|request| *request.uri_mut() = "/pets/../admin".parse().unwrap()),
        (400, Cause::DotSegment, 0)
    );
    assert_eq!(send(&|_| {}), (400, Cause::BodyUnreadable, 2));
}

#[test]
fn bodies_above_the_limit_are_refused_while_they_stream() {
    let routes = Routes::builder()
        .any("/pets", ApiMethod::new().payload_limit(5))
        .any("/notes", ApiMethod::new())
        .build()
        .unwrap();
    let layer = layer().body_limit(4).routes(&routes).build().unwrap();
    let send = |target: &str, body: &'static str| {
        let (mut sender, channel) = Channel::<Bytes, Infallible>::new(8);
        let request = Signer::default().sign("POST", target, body).map(|_| channel);
        run(async {
            for byte in body.bytes() {
                sender.send_data(Bytes::copy_from_slice(&[byte])).await.unwrap();
            }
            drop(sender);
            let response = layer.layer(Strict::default()).oneshot(request).await.unwrap();
            (response.status().as_u16(), cause(&response))
        })
    };
    assert_eq!(send("/pets", "12345"), (200, None));
    assert_eq!(send("/pets", "123456"), (413, Some(Cause::BodyTooLarge)));
    assert_eq!(send("/notes", "1234"), (200, None));
    assert_eq!(send("/notes", "12345"), (413, Some(Cause::BodyTooLarge)));
}

#[test]
fn a_limit_of_this_layer_s_own_is_not_said_to_be_another_s() {
    let contexts = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&contexts);
    let inner = layer().body_limit(4).build().unwrap().layer(Strict::default());
    let seen = tower::util::MapRequest::new(inner, move |request: Request<Channel<Bytes, Infallible>>| {
        kept.lock().unwrap().push(RequestContext::of(request.extensions()).unwrap().clone());
        request
    });
    let service = RequestContextLayer::new().layer(seen);
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(8);
    run(async {
        sender.send_data(Bytes::from("hello")).await.unwrap();
        drop(sender);
        let mut announced = post_with("hello", Channel::<Bytes, Infallible>::new(1).1);
        announced.headers_mut().insert("content-length", "5".parse().unwrap());
        for (request, cause_of_it) in
            [(post_with("hello", body), Cause::BodyTooLarge), (announced, Cause::ContentLengthTooLarge)]
        {
            let response = service.clone().oneshot(request).await.unwrap();
            assert_eq!((response.status().as_u16(), cause(&response)), (413, Some(cause_of_it)));
        }
    });
    for context in &*contexts.lock().unwrap() {
        assert_eq!(context.refusing_layer(), Some("SigV4AuthLayer"));
        assert!(!context.explanation().unwrap().would_allow[0].is_empty());
    }
    assert_eq!(contexts.lock().unwrap().len(), 2);
}

#[test]
fn a_stalled_body_is_ended_by_the_payload_limit_outside() {
    let manual = ManualClock::at_unix_seconds(NOW);
    let strict = Strict::default();
    let inner = layer().build().unwrap().layer(strict.clone());
    let outer = PayloadLimitLayer::default().clock(manual.clock()).minimum_rate(240, Duration::from_secs(5));
    let mut service = outer.layer(inner);
    run(async {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(4);
        let mut answer = begin(&mut service, post_with("hello", body)).await;
        sender.send_data(Bytes::from("hel")).await.unwrap();
        assert!((&mut answer).now_or_never().is_none());
        manual.advance(Duration::from_secs(6));
        let response = answer.await.unwrap();
        assert_eq!((response.status().as_u16(), cause(&response)), (408, Some(Cause::BodyTooSlow)));
        assert_eq!(strict.called(), 0);
    });
}

#[test]
fn trailers_do_not_reach_the_service() {
    let trailers = http::HeaderMap::from_iter([("x-evil".parse().unwrap(), "1".parse().unwrap())]);
    let frames = [Frame::data(Bytes::from("hello")), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let seen = service_fn(|request: Request<GatewayBody<_>>| async move {
        let collected = request.into_body().collect().await.unwrap();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!("{:?}", collected.trailers()))))
    });
    let response = run(layer().build().unwrap().layer(seen).oneshot(post_with("hello", body))).unwrap();
    assert_eq!(run(text(response)), "None");
}

#[test]
fn under_axum_on_several_routes_two_callers_never_mix() {
    let layer = layer().build().unwrap();
    let app = Router::new().route("/pets", any(echo)).route("/pets/{id}", any(echo)).layer(layer);
    run(async {
        for round in 0..20 {
            for (key, name) in [("AKIDADA", "ada"), ("AKIDBOB", "bob")] {
                let (target, body) = if round % 2 == 0 { ("/pets", "") } else { ("/pets/7", "body") };
                let request = Signer { key, ..Signer::default() }.sign("POST", target, body);
                let answer = app.clone().oneshot(request.map(Body::new)).await.unwrap();
                let text = answer.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(text, format!(r#"{{"arn":"arn:aws:iam::111122223333:user/{name}"}}"#));
            }
        }
        // Bob's signature does not become Ada's by naming her key: both have one secret here, the scope is signed.
        let mut forged =
            Signer { key: "AKIDBOB", ..Signer::default() }.sign("GET", "/pets", "").map(Body::new);
        let text = forged.headers()["authorization"].to_str().unwrap().replace("AKIDBOB", "AKIDNOBODY");
        forged.headers_mut().insert("authorization", text.parse().unwrap());
        assert_eq!(app.clone().oneshot(forged).await.unwrap().status(), 403);
    });
}

#[test]
fn keys_change_while_traffic_flows() {
    let store = MemoryCredentialsStore::new([credentials("AKIDADA", "ada")]);
    let layer = SigV4AuthLayer::builder(store.clone(), super::support::api())
        .clock(ManualClock::at_unix_seconds(NOW).clock())
        .build()
        .unwrap();
    let send = |secret: &str| {
        let request = Signer { secret, ..Signer::default() }.sign("GET", "/pets", "");
        cause(&run(through(layer.clone(), request)).0)
    };
    let rotated = || {
        tower_gateway::sigv4::Credentials::builder("AKIDADA", "second", "arn:aws:iam::111122223333:user/ada")
            .policy(super::support::policy(super::support::ALLOW_ALL))
            .build()
            .unwrap()
    };
    let (first, second) = (super::support::SECRET, "second");
    assert_eq!((send(first), send(second)), (None, Some(Cause::SignatureMismatch)));
    store.put(rotated());
    assert_eq!((send(first), send(second)), (Some(Cause::SignatureMismatch), None));
    assert!(store.remove("AKIDADA"));
    assert_eq!(send(second), Some(Cause::AccessKeyUnknown));
    store.replace_all([credentials("AKIDADA", "ada"), credentials("AKIDBOB", "bob")]);
    assert_eq!((send(first), store.access_key_ids().len()), (None, 2));
}

#[test]
fn stores_may_be_functions_and_may_wait() {
    let builder = |store| SigV4AuthLayer::builder(store, super::support::api());
    let clock = ManualClock::at_unix_seconds(NOW);
    let ada = credentials("AKIDADA", "ada");
    let known = ada.clone();
    let store = CredentialsFn::new(move |id| (id == "AKIDADA").then(|| known.clone()));
    let (response, calls) = run(through(builder(store).clock(clock.clock()).build().unwrap(), get("/pets")));
    assert_eq!((response.status().as_u16(), calls), (200, 1));

    let waiting = |answer: Result<Option<tower_gateway::sigv4::Credentials>, &'static str>| {
        let store = CredentialsAsyncFn::new(move |id: String| {
            let answer = answer.clone();
            async move {
                tokio::task::yield_now().await;
                assert_eq!(id, "AKIDADA");
                answer.map_err(BoxError::from)
            }
        });
        SigV4AuthLayer::builder(store, super::support::api()).clock(clock.clock()).build().unwrap()
    };
    for request in [get("/pets"), Signer::default().sign("POST", "/pets", "hello")] {
        let (response, calls) = run(through(waiting(Ok(Some(ada.clone()))), request));
        assert_eq!((response.status().as_u16(), calls), (200, 1));
    }
    for (answer, status, expected) in
        [(Ok(None), 403, Cause::AccessKeyUnknown), (Err("away"), 500, Cause::CredentialsUnavailable)]
    {
        let (response, calls) = run(through(waiting(answer), get("/pets")));
        assert_eq!((response.status().as_u16(), cause(&response), calls), (status, Some(expected), 0));
    }
    let (response, _) = run(through(waiting(Ok(Some(credentials("AKIDADA", "ada")))), {
        let mut request = get("/pets");
        *request.method_mut() = http::Method::PUT;
        request
    }));
    assert_eq!(cause(&response), Some(Cause::SignatureMismatch));
}

#[test]
fn a_key_and_a_body_that_come_later_are_judged_by_the_time_of_the_head() {
    let clock = ManualClock::at_unix_seconds(NOW);
    let ada = credentials("AKIDADA", "ada");
    let store = CredentialsAsyncFn::new(move |_| {
        let ada = ada.clone();
        async move {
            tokio::task::yield_now().await;
            Ok(Some(ada))
        }
    });
    let builder = SigV4AuthLayer::builder(store, super::support::api()).clock(clock.clock());
    let strict = Strict::default();
    let mut service = builder.build().unwrap().layer(strict.clone());
    run(async {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(4);
        let mut answer = begin(&mut service, post_with("hello", body)).await;
        assert!((&mut answer).now_or_never().is_none(), "the key is not there");
        assert!((&mut answer).now_or_never().is_none(), "nor the body");
        sender.send_data(Bytes::from("hel")).await.unwrap();
        assert!((&mut answer).now_or_never().is_none());
        clock.advance(Duration::from_secs(301));
        sender.send_data(Bytes::from("lo")).await.unwrap();
        drop(sender);
        assert_eq!((answer.await.unwrap().status().as_u16(), strict.called()), (200, 1));

        let (_sender, body) = Channel::<Bytes, Infallible>::new(4);
        let late = begin(&mut service, post_with("hello", body)).await.await.unwrap();
        assert_eq!((cause(&late), strict.called()), (Some(Cause::SignatureExpired), 1));
    });
}

#[test]
fn a_body_that_knows_its_length_is_not_measured_by_what_was_announced() {
    let send = |body: &'static str| {
        let mut request = post_with("hello", Full::<Bytes>::from(body));
        request.headers_mut().insert("content-length", "1000000".parse().unwrap());
        let (response, calls) = run(through(layer().body_limit(5).build().unwrap(), request));
        (response.status().as_u16(), cause(&response), calls)
    };
    assert_eq!(send("hello"), (200, None, 1));
    assert_eq!(send("worlds"), (413, Some(Cause::ContentLengthTooLarge), 0));
}

#[test]
fn the_service_sees_the_caller_and_not_the_signature() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let service = service_fn(move |request: Request<GatewayBody<Full<Bytes>>>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        let principal = context.principal().unwrap().id().to_owned();
        keep.lock().unwrap().push((request.uri().to_string(), format!("{:?}", request.headers()), principal));
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    let with_token = || {
        layer_of([super::support::builder("AKIDADA", "ada")
            .session_token("t0ken", i64::MAX)
            .policy(super::support::policy(super::support::ALLOW_ALL))
            .build()
            .unwrap()])
    };
    let header = Signer { token: Some("t0ken"), ..Signer::default() };
    let query = Signer { presign: true, token: Some("t0ken"), ..Signer::default() };
    run(with_token().build().unwrap().layer(service.clone()).oneshot(header.sign("GET", "/pets", "")))
        .unwrap();
    run(with_token().build().unwrap().layer(service.clone()).oneshot(query.sign("GET", "/pets?x=1", "")))
        .unwrap();
    let kept = with_token().keep_query_credentials(true).build().unwrap();
    run(kept.layer(service).oneshot(query.sign("GET", "/pets?x=1", ""))).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    for (uri, headers, principal) in &seen[..2] {
        assert!(!headers.contains("AWS4") && !headers.contains("t0ken"), "{headers}");
        assert!(!uri.contains("Signature") && !uri.contains("t0ken"), "{uri}");
        assert_eq!(principal, "arn:aws:iam::111122223333:user/ada");
    }
    assert!(seen[1].0.starts_with("/pets?x=1&X-Amz-"), "{}", seen[1].0);
    assert!(seen[2].0.contains("X-Amz-Signature="));
}

#[test]
fn the_types_are_what_servers_demand() {
    let layer = layer().build().unwrap();
    assert_service(&layer);
    assert_service(&layer.layer(Strict::default()));
}

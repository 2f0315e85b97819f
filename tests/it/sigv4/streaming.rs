//! Bodies that reach the service while they arrive.

use super::support::{Signer, layer};
use crate::support::run;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Channel, Full};
use sha2::{Digest, Sha256};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    context::RequestContext,
    response::{Cause, GatewayError},
    route::{ApiMethod, Routes},
    sigv4::SigV4AuthLayer,
};

fn streaming() -> SigV4AuthLayer {
    let streamed = ApiMethod::new().stream_signed_payload(true);
    let routes = Routes::builder().any("/uploads", streamed).any("/pets", ApiMethod::new()).build().unwrap();
    layer().routes(&routes).build().unwrap()
}

fn hash(body: &str) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

type Sender = http_body_util::channel::Sender<Bytes, Infallible>;

/// Ada's POST whose body is still to be sent, with or without its hash.
fn post(
    target: &str,
    signed: &'static str,
    names_hash: bool,
) -> (Sender, Request<Channel<Bytes, Infallible>>) {
    let hash = hash(signed);
    let fields = [("x-amz-content-sha256", hash.as_str())];
    let headers = if names_hash { &fields[..] } else { &[] };
    let (sender, body) = Channel::new(8);
    (sender, Signer { headers, ..Signer::default() }.sign("POST", target, signed).map(|_| body))
}

fn cause<B>(response: &Response<B>) -> Option<Cause> {
    response.extensions().get::<GatewayError>().map(GatewayError::cause)
}

/// Collects what it gets; a body that breaks off becomes a 500 of its own.
async fn collect<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible>
where
    B: HttpBody<Data = Bytes>,
{
    let caller = RequestContext::of(request.extensions()).unwrap().caller().is_some();
    assert!(caller, "known before the body's end");
    Ok(match request.into_body().collect().await {
        Ok(body) => Response::new(Full::from(body.to_bytes())),
        Err(_) => Response::builder().status(500).body(Full::default()).unwrap(),
    })
}

async fn begin<S, B>(service: &mut S, request: Request<B>) -> S::Future
where
    S: Service<Request<B>, Error = Infallible>,
{
    service.ready().await.unwrap().call(request)
}

#[test]
fn frames_pass_as_they_come_but_for_the_last() {
    let frames = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&frames);
    let mut service =
        streaming().layer(service_fn(move |request: Request<GatewayBody<Channel<Bytes, Infallible>>>| {
            let seen = Arc::clone(&seen);
            async move {
                let mut body = request.into_body();
                while let Some(frame) = body.frame().await {
                    seen.lock().unwrap().push(frame.unwrap().into_data().unwrap());
                }
                assert!(body.is_end_stream());
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        }));
    run(async {
        let (mut sender, request) = post("/uploads", "one two three", true);
        let mut answer = Box::pin(begin(&mut service, request).await);
        let mut passed = Vec::new();
        for part in ["one ", "two ", "three"] {
            sender.send_data(Bytes::from(part)).await.unwrap();
            assert!((&mut answer).now_or_never().is_none());
            passed.push(frames.lock().unwrap().len());
        }
        assert_eq!(passed, [0, 1, 2]);
        drop(sender);
        assert_eq!(answer.await.unwrap().status(), 200);
        assert_eq!(frames.lock().unwrap().concat(), b"one two three");
    });
}

#[test]
fn another_body_than_the_signed_one_ends_in_an_error_and_403() {
    for sent in ["one two thref", "", "one two three!", "one two"] {
        let mut service = streaming().layer(service_fn(collect));
        let response = run(async {
            let (mut sender, request) = post("/uploads", "one two three", true);
            let answer = begin(&mut service, request).await;
            sender.send_data(Bytes::from(sent)).await.unwrap();
            drop(sender);
            answer.await.unwrap()
        });
        assert_eq!(
            (response.status().as_u16(), cause(&response)),
            (403, Some(Cause::SignatureMismatch)),
            "{sent}"
        );
    }
}

#[test]
fn an_answer_that_is_out_stays_and_the_body_still_breaks_off() {
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let mut service =
        streaming().layer(service_fn(move |request: Request<GatewayBody<Channel<Bytes, Infallible>>>| {
            *keep.lock().unwrap() = Some(request.into_body());
            async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
        }));
    run(async {
        let (mut sender, request) = post("/uploads", "signed", true);
        assert_eq!(begin(&mut service, request).await.await.unwrap().status(), 200);
        sender.send_data(Bytes::from("sig")).await.unwrap();
        sender.send_data(Bytes::from("nEd")).await.unwrap();
        drop(sender);
        let mut body = kept.lock().unwrap().take().unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "sig");
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("does not match"), "{error}");
        assert!(body.frame().await.is_none());
    });
}

#[test]
fn without_a_named_hash_or_elsewhere_bodies_are_collected() {
    for (target, names_hash) in [("/uploads", false), ("/pets", true)] {
        let strict = crate::support::Strict::default();
        let mut service = streaming().layer(strict.clone());
        run(async {
            let (mut sender, request) = post(target, "signed", names_hash);
            let mut answer = begin(&mut service, request).await;
            sender.send_data(Bytes::from("sig")).await.unwrap();
            assert!((&mut answer).now_or_never().is_none());
            assert_eq!(strict.called(), 0);
            sender.send_data(Bytes::from("ned")).await.unwrap();
            drop(sender);
            assert_eq!(answer.await.unwrap().status(), 200);
        });
    }
}

#[test]
fn a_stranger_is_refused_before_the_body() {
    let strict = crate::support::Strict::default();
    let mut service = streaming().layer(strict.clone());
    run(async {
        let (_sender, mut request) = post("/uploads", "signed", true);
        request.headers_mut().insert("x-amz-content-sha256", hash("other").parse().unwrap());
        let response = begin(&mut service, request).await.now_or_never().unwrap().unwrap();
        assert_eq!((response.status().as_u16(), cause(&response)), (403, Some(Cause::SignatureMismatch)));
        assert_eq!(strict.called(), 0);
    });
}

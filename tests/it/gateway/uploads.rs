//! The time that a client takes to send its body is not the integration's.

use super::*;
use futures_util::FutureExt;
use http_body_util::channel::Channel;
use std::{future::Future, pin::Pin};

/// 2026-11-22T12:34:56Z
const START: i64 = 1_795_350_896;
const SECOND: Duration = Duration::from_secs(1);

type Sent = Channel<Bytes, Infallible>;
type Answered = Result<Response<GatewayBody<Full<Bytes>>>, Infallible>;

/// Works for a while, reads the body as its query says, works again.
async fn handler(
    time: ManualClock,
    request: Request<GatewayBody<Sent>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut body = request.into_body();
    match &*query {
        "works" => pass(&time, 20 * SECOND).await,
        "looks-once" => assert!(body.frame().now_or_never().is_none()),
        "drops" => {
            assert!(body.frame().now_or_never().is_none());
            drop(body);
            std::future::pending::<()>().await;
            unreachable!()
        }
        _ => {}
    }
    if query == "looks-once" {
        std::future::pending::<()>().await;
    }
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
    if query != "reads" {
        std::future::pending::<()>().await;
    }
    Ok(Response::new(Full::from("read")))
}

/// Completes when so much has passed on the clock.
async fn pass(time: &ManualClock, span: Duration) {
    let until = time.clock().now();
    while time.clock().now().since(until) < span {
        tokio::task::yield_now().await;
    }
}

struct Upload {
    time: ManualClock,
    sender: http_body_util::channel::Sender<Bytes, Infallible>,
    answer: Pin<Box<dyn Future<Output = Answered>>>,
}

impl Upload {
    fn start(query: &str, configure: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        Self::start_with(Request::post(format!("/?{query}")).body(()).unwrap(), configure)
    }

    fn start_with(request: Request<()>, configure: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        let time = ManualClock::at_unix_seconds(START);
        let clock = time.clone();
        let service = service_fn(move |request| handler(clock.clone(), request));
        let limit = PayloadLimitLayer::default().minimum_rate(100, Duration::from_secs(5));
        let builder = Gateway::builder().clock(time.clock()).payload_limit(limit);
        let gateway = configure(builder).build().unwrap().layer(service);
        let (sender, body) = Sent::new(16);
        let request = request.map(|()| body);
        Self { time, sender, answer: Box::pin(gateway.oneshot(request)) }
    }

    /// The answer's status, if there is one after so much time, in steps of a tenth of a second.
    fn after(&mut self, span: Duration) -> Option<u16> {
        for _ in 0..span.as_millis() / 100 {
            self.time.advance(SECOND / 10);
            for _ in 0..3 {
                if let Some(answer) = self.answer.as_mut().now_or_never() {
                    return Some(answer.unwrap().status().as_u16());
                }
            }
        }
        None
    }

    /// 200 bytes every second: allowed, and slow.
    fn send(&mut self, seconds: u32) {
        for second in 0..seconds {
            assert_eq!(self.after(SECOND), None, "{second}");
            self.sender.send_data(Bytes::from_static(&[b'x'; 200])).now_or_never().unwrap().unwrap();
        }
    }

    /// When the answer comes after the end of the body, and its status.
    fn end(mut self) -> (Duration, u16) {
        drop(std::mem::replace(&mut self.sender, Sent::new(1).0));
        let ended = self.time.clock().now();
        assert!(self.answer.as_mut().now_or_never().is_none_or(|answer| answer.unwrap().status() == 200));
        let status = self.after(600 * SECOND).unwrap();
        (self.time.clock().now().since(ended), status)
    }
}

fn as_it_is(builder: GatewayBuilder) -> GatewayBuilder {
    builder
}

fn is_near(found: Duration, wanted: Duration) -> bool {
    found >= wanted && found <= wanted + SECOND / 5
}

#[test]
fn a_slow_upload_is_not_a_slow_integration() {
    let mut upload = Upload::start("reads", as_it_is);
    upload.send(60);
    drop(upload.sender);
    assert_eq!(upload.answer.now_or_never().unwrap().unwrap().status(), 200);
}

#[test]
fn a_client_keeps_no_service_for_longer_than_five_minutes() {
    let mut upload = Upload::start("reads", as_it_is);
    upload.send(320);
    let begun = upload.time.clock().now();
    let status = (0..20).find_map(|_| {
        let status = upload.after(SECOND);
        let _is_gone = upload.sender.send_data(Bytes::from_static(&[b'x'; 200])).now_or_never();
        status
    });
    assert_eq!(status, Some(504), "29 s and 300 s");
    assert!(is_near(upload.time.clock().now().since(begun), 9 * SECOND));
}

#[test]
fn the_integration_has_all_of_its_time_after_the_upload() {
    let mut upload = Upload::start("hangs", as_it_is);
    upload.send(60);
    let (after, status) = upload.end();
    assert!(is_near(after, 29 * SECOND) && status == 504, "{after:?} {status}");
}

#[test]
fn its_own_time_before_and_after_is_added_up() {
    let mut upload = Upload::start("works", as_it_is);
    assert_eq!(upload.after(20 * SECOND), None);
    upload.send(40);
    let (after, status) = upload.end();
    assert!(is_near(after, 9 * SECOND) && status == 504, "{after:?} {status}");
}

/// Nobody knows when the bytes come that nobody reads: what the minimum rate allows is the client's, and no more.
#[test]
fn a_service_that_stops_to_read_is_not_waited_for_for_ever() {
    let mut looks = Upload::start("looks-once", as_it_is);
    assert_eq!(looks.after(33 * SECOND), None);
    assert_eq!(looks.after(2 * SECOND), Some(504), "29 s, and the 5 s of grace");
    let mut drops = Upload::start("drops", as_it_is);
    assert_eq!(drops.after(28 * SECOND), None);
    assert_eq!(drops.after(2 * SECOND), Some(504), "who drops the body waits for nothing");
}

#[test]
fn without_a_minimum_rate_nothing_else_would_bound_an_upload() {
    let unbounded =
        |builder: GatewayBuilder| builder.payload_limit(PayloadLimitLayer::default().no_minimum_rate());
    let mut upload = Upload::start("reads", unbounded);
    upload.send(28);
    assert_eq!(upload.after(2 * SECOND), Some(504));
}

/// A signature over the body has it collected before the service is called: that time is nobody's excuse.
#[cfg(feature = "sigv4")]
#[test]
fn what_was_uploaded_before_the_call_moves_no_deadline() {
    use crate::sigv4::support::{Signer, layer};
    for (seconds, text) in [(1, "x".repeat(200)), (100, "x".repeat(20_000))] {
        let signed = Signer::default().sign("POST", "/?hangs", Box::leak(text.into_boxed_str()));
        let mut upload =
            Upload::start_with(signed.map(drop), |builder| builder.sigv4(layer().build().unwrap()));
        upload.send(seconds);
        let (after, status) = upload.end();
        assert_eq!(status, 504);
        assert!(is_near(after, 29 * SECOND), "{after:?} after an upload of {seconds} s");
    }
}

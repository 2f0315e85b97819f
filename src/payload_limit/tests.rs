use super::check::{Limits, check_head, refusal_of};
use crate::{
    GatewayBody,
    body::{BodyLimitError, MeterConfig, MinimumRate, Pace},
    clock::ManualClock,
    context::{ApiKind, BodyFault, ContextConfig, RequestContext},
    response::{Cause, GatewayError, Remains},
};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_LENGTH};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, channel::Channel};
use proptest::prelude::*;
use std::{convert::Infallible, time::Duration};

const LIMITS: Limits = Limits { body: 10_485_760, headers: Some(20_480), url: Some(10_240), as_json: false };

fn headers(lengths: &[&'static str]) -> HeaderMap {
    lengths.iter().map(|value| (CONTENT_LENGTH, HeaderValue::from_static(value))).collect()
}

fn cause(lengths: &[&'static str]) -> Option<Cause> {
    check_head(&LIMITS, LIMITS.body, 1, &headers(lengths), 0).err().map(|error| error.cause())
}

fn answer(error: GatewayError) -> (u16, String, Bytes) {
    let response: Response<Bytes> = error.into_response(ApiKind::Rest, Remains::default());
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status().as_u16(), content_type, response.into_body())
}

#[test]
fn the_announced_length_is_refused_one_byte_above_the_limit() {
    assert_eq!(cause(&[]), None);
    assert_eq!(cause(&["0"]), None);
    assert_eq!(cause(&["10485760"]), None);
    assert_eq!(cause(&["10485761"]), Some(Cause::ContentLengthTooLarge));
    assert_eq!(cause(&["99999999999999999999999999"]), Some(Cause::ContentLengthTooLarge));
    let by_body = check_head(&LIMITS, LIMITS.body, 1, &HeaderMap::new(), 10_485_761).unwrap_err();
    assert_eq!(by_body.cause(), Cause::ContentLengthTooLarge);
    assert!(check_head(&LIMITS, LIMITS.body, 1, &HeaderMap::new(), 10_485_760).is_ok());
}

#[test]
fn a_length_that_is_not_one_number_is_refused() {
    for wrong in [
        &["" as &str][..],
        &["+5"],
        &["-5"],
        &[" 5"],
        &["5, 5"],
        &["0x5"],
        &["5.0"],
        &["5", "6"],
        &["5", "x"],
        &["x", "5"],
        &["5", "6", "5"],
    ] {
        assert_eq!(cause(wrong), Some(Cause::InvalidContentLength), "{wrong:?}");
    }
    assert_eq!(cause(&["5", "5"]), None);
    assert_eq!(cause(&["5", "05"]), None);
}

#[test]
fn url_and_header_fields_have_exact_limits_and_none_when_switched_off() {
    let none = HeaderMap::new();
    assert!(check_head(&LIMITS, LIMITS.body, 10_240, &none, 0).is_ok());
    let error = check_head(&LIMITS, LIMITS.body, 10_241, &none, 0).unwrap_err();
    assert_eq!(
        answer(error),
        (414, "application/json".into(), Bytes::from_static(br#"{"message":"Request URI too long"}"#))
    );
    // "a: " + CRLF around the value.
    let field =
        |length: usize| HeaderMap::from_iter([("a".parse().unwrap(), "v".repeat(length).parse().unwrap())]);
    assert!(check_head(&LIMITS, LIMITS.body, 1, &field(20_475), 0).is_ok());
    let error = check_head(&LIMITS, LIMITS.body, 1, &field(20_476), 0).unwrap_err();
    let words = Bytes::from_static(br#"{"message":"Request Header Fields Too Large"}"#);
    assert_eq!(answer(error), (431, "application/json".into(), words));
    let off = Limits { headers: None, url: None, ..LIMITS };
    assert!(check_head(&off, off.body, usize::MAX, &field(100_000), 0).is_ok());
}

#[test]
fn refusals_to_the_byte() {
    let too_long = refusal_of(BodyFault::TooLarge { limit: 10_485_760 }, false);
    let text = Bytes::from_static(b"HTTP content length exceeded 10485760 bytes.");
    assert_eq!(answer(too_long), (413, "text; charset=utf-8".into(), text));
    let json = refusal_of(BodyFault::TooLarge { limit: 7 }, true);
    let words = Bytes::from_static(br#"{"message":"Request Too Long"}"#);
    assert_eq!(answer(json), (413, "application/json".into(), words));
    let slow = refusal_of(BodyFault::TooSlow, true);
    let words = Bytes::from_static(br#"{"message":"Request Timeout"}"#);
    assert_eq!(answer(slow), (408, "application/json".into(), words));
    let error = check_head(&LIMITS, LIMITS.body, 1, &headers(&["x"]), 0).unwrap_err();
    let words = Bytes::from_static(br#"{"message":"Bad Request"}"#);
    assert_eq!(answer(error), (400, "application/json".into(), words));
}

fn context() -> RequestContext {
    ContextConfig::default().find_or_create(&mut Request::new(()))
}

fn meter(
    limit: u64,
    rate: Option<MinimumRate>,
    clock: &ManualClock,
    context: &RequestContext,
) -> MeterConfig {
    let pace = Pace { rate, clock: clock.clock() };
    MeterConfig { limit, pace, context: context.clone(), counts: true }
}

#[test]
fn a_rate_never_divides_by_zero_nor_overflows() {
    let grace = Duration::from_secs(5);
    let rate = MinimumRate { bytes_per_second: 240, grace };
    assert_eq!(rate.allowance(0), grace);
    assert_eq!(rate.allowance(240), Duration::from_secs(6));
    assert_eq!(MinimumRate { bytes_per_second: 0, grace }.allowance(0), Duration::MAX);
    let slow = MinimumRate { bytes_per_second: 1, grace: Duration::MAX };
    assert_eq!(slow.allowance(u64::MAX), Duration::MAX);
}

/// A body under the default rate, read by hand.
fn paced(
    clock: &ManualClock,
) -> (http_body_util::channel::Sender<Bytes>, GatewayBody<Channel<Bytes>>, RequestContext) {
    let rate = MinimumRate { bytes_per_second: 240, grace: Duration::from_secs(5) };
    let context = context();
    let (sender, channel) = Channel::new(8);
    let mut body = GatewayBody::new(channel);
    body.set_meter(meter(u64::MAX, Some(rate), clock, &context));
    (sender, body, context)
}

#[test]
fn a_stalled_body_is_cut_off_when_the_grace_is_over_and_not_before() {
    let clock = ManualClock::at_unix_seconds(0);
    let (_sender, mut body, context) = paced(&clock);
    assert!(body.frame().now_or_never().is_none());
    clock.advance(Duration::from_millis(4_999));
    assert!(body.frame().now_or_never().is_none());
    assert_eq!(context.body_fault(), None);
    clock.advance(Duration::from_millis(1));
    let error = body.frame().now_or_never().unwrap().unwrap().unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&BodyLimitError::TooSlow));
    assert_eq!(context.body_fault(), Some(BodyFault::TooSlow));
    assert!(body.frame().now_or_never().unwrap().is_none());
    assert!(http_body::Body::is_end_stream(&body));
}

#[test]
fn bytes_earn_time_and_trickles_do_not() {
    let clock = ManualClock::at_unix_seconds(0);
    let (mut sender, mut body, context) = paced(&clock);
    // 240 bytes a second, one second each: as long as the client likes.
    for _ in 0..60 {
        assert!(body.frame().now_or_never().is_none());
        clock.advance(Duration::from_secs(1));
        sender.send_data(Bytes::from(vec![0; 240])).now_or_never().unwrap().unwrap();
        assert!(body.frame().now_or_never().unwrap().unwrap().is_ok());
    }
    // One byte a second: the grace is used up at the sixth.
    for _ in 0..5 {
        assert!(body.frame().now_or_never().is_none());
        clock.advance(Duration::from_secs(1));
        assert!(body.frame().now_or_never().is_none());
        sender.send_data(Bytes::from_static(b"x")).now_or_never().unwrap().unwrap();
        assert!(body.frame().now_or_never().unwrap().unwrap().is_ok());
    }
    assert!(body.frame().now_or_never().is_none());
    clock.advance(Duration::from_secs(1));
    assert!(body.frame().now_or_never().unwrap().unwrap().is_err());
    assert_eq!(context.body_fault(), Some(BodyFault::TooSlow));
}

/// What ten megabytes earn is not kept for a stall of twelve hours.
#[test]
fn no_more_than_a_minute_is_kept_for_later() {
    let clock = ManualClock::at_unix_seconds(0);
    let (mut sender, mut body, context) = paced(&clock);
    for _ in 0..2 {
        sender.send_data(Bytes::from(vec![0; 10_000_000])).now_or_never().unwrap().unwrap();
        assert!(body.frame().now_or_never().unwrap().unwrap().is_ok());
        assert!(body.frame().now_or_never().is_none());
        clock.advance(Duration::from_millis(64_999));
        assert!(body.frame().now_or_never().is_none());
    }
    clock.advance(Duration::from_millis(1));
    assert!(body.frame().now_or_never().unwrap().unwrap().is_err());
    assert_eq!(context.body_fault(), Some(BodyFault::TooSlow));
}

#[test]
fn a_handler_that_does_not_read_costs_the_client_nothing() {
    let clock = ManualClock::at_unix_seconds(0);
    let (mut sender, mut body, context) = paced(&clock);
    clock.advance(Duration::from_secs(100));
    assert!(body.frame().now_or_never().is_none());
    // The bytes come at once, the handler looks a minute later.
    sender.send_data(Bytes::from_static(b"x")).now_or_never().unwrap().unwrap();
    clock.advance(Duration::from_secs(60));
    assert!(body.frame().now_or_never().unwrap().unwrap().is_ok());
    assert!(body.frame().now_or_never().is_none());
    clock.advance(Duration::from_millis(4_900));
    assert!(body.frame().now_or_never().is_none());
    assert_eq!(context.body_fault(), None);
}

proptest! {
    /// Whatever the chunks: the reader gets a prefix of at most `limit` bytes, and all of it if all of it fits.
    #[test]
    fn never_more_than_the_limit_is_read(
        chunks in prop::collection::vec(0usize..40, 0..30),
        limit in 0u64..400,
    ) {
        let total: usize = chunks.iter().sum();
        let frames = chunks.iter().map(|length| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![7; *length]))));
        let context = context();
        let mut body = GatewayBody::new(StreamBody::new(stream::iter(frames.collect::<Vec<_>>())));
        body.set_meter(meter(limit, None, &ManualClock::at_unix_seconds(0), &context));
        let (mut read, mut cut) = (0, false);
        while let Some(frame) = body.frame().now_or_never().unwrap() {
            match frame {
                Ok(frame) => read += frame.data_ref().unwrap().len(),
                Err(error) => cut = error.downcast_ref() == Some(&BodyLimitError::TooLarge { limit }),
            }
        }
        prop_assert!(read as u64 <= limit);
        prop_assert_eq!(cut, total as u64 > limit);
        prop_assert!(cut || read == total);
        prop_assert_eq!(context.body_fault(), cut.then_some(BodyFault::TooLarge { limit }));
    }

    /// The size of header fields is that of their lines, and no length panics.
    #[test]
    fn any_content_length_is_judged(value in "[ -~]{0,30}", limit in any::<u64>()) {
        let limits = LIMITS;
        let mut map = HeaderMap::new();
        map.insert(CONTENT_LENGTH, HeaderValue::from_str(&value).unwrap());
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let fits = value.parse::<u128>().is_ok_and(|length| length <= u128::from(limit));
        let expected = match (digits, fits) {
            (false, _) => Some(Cause::InvalidContentLength),
            (true, false) => Some(Cause::ContentLengthTooLarge),
            (true, true) => None,
        };
        prop_assert_eq!(check_head(&limits, limit, 1, &map, 0).err().map(|error| error.cause()), expected);
    }
}

#[cfg(feature = "gateway")]
#[test]
fn inside_the_gateway_the_body_is_wrapped_once() {
    use tower::{Layer, ServiceExt, service_fn};
    let handler = service_fn(|request: Request<GatewayBody<StreamBody<_>>>| async {
        let read = request.into_body().collect().await;
        Ok::<_, Infallible>(Response::new(http_body_util::Full::<Bytes>::from(format!("{}", read.is_ok()))))
    });
    let limit = super::PayloadLimitLayer::new(3);
    let service = crate::gateway::Gateway::builder().payload_limit(limit).build().unwrap().layer(handler);
    let body = |text: &'static str| {
        let frame = Ok::<_, Infallible>(Frame::data(Bytes::from_static(text.as_bytes())));
        Request::new(StreamBody::new(stream::iter([frame])))
    };
    let allowed = service.clone().oneshot(body("abc")).now_or_never().unwrap().unwrap();
    assert_eq!(allowed.status(), 200);
    let refused = service.oneshot(body("abcd")).now_or_never().unwrap().unwrap();
    assert_eq!(refused.status(), 413);
}

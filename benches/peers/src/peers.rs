//! What we are measured against, set up to do the same job.

use axum::{Router, body::Body};
use governor::middleware::NoOpMiddleware;
use http::{HeaderName, Method, Request, StatusCode, header};
use std::time::Duration;
use tower::{Layer, ServiceBuilder};
use tower_governor::{
    GovernorError, GovernorLayer, governor::GovernorConfigBuilder, key_extractor::KeyExtractor,
};
use tower_http::{
    cors::{AllowOrigin, Cors, CorsLayer},
    limit::{RequestBodyLimit, RequestBodyLimitLayer},
    timeout::{Timeout, TimeoutLayer},
};

pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Limits by API key, as text: what a user of tower_governor writes.
#[derive(Clone, Debug)]
pub struct ByApiKey;

impl KeyExtractor for ByApiKey {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let value = request.headers().get(API_KEY).and_then(|value| value.to_str().ok());
        value.map(str::to_owned).ok_or(GovernorError::UnableToExtractKey)
    }
}

type Limiter = GovernorLayer<ByApiKey, NoOpMiddleware<governor::clock::QuantaInstant>, Body>;

/// A limit that admits everything a benchmark can send.
pub fn generous() -> Limiter {
    limiter(Duration::from_nanos(1), u32::MAX)
}

/// A limit that admits one request and refuses all others.
pub fn strict() -> Limiter {
    limiter(Duration::from_secs(1_000_000), 1)
}

fn limiter(period: Duration, burst: u32) -> Limiter {
    let mut builder = GovernorConfigBuilder::default();
    let config = builder.period(period).burst_size(burst).key_extractor(ByApiKey).finish();
    GovernorLayer::new(config.expect("a period and a burst that are not zero"))
}

pub fn cors() -> CorsLayer {
    let origins =
        ["https://shop.example", "https://admin.example"].map(|origin| origin.parse().expect("a value"));
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, API_KEY])
        .expose_headers([header::ETAG])
        .max_age(Duration::from_secs(600))
}

pub fn payload_limit() -> RequestBodyLimitLayer {
    RequestBodyLimitLayer::new(10 * 1024 * 1024)
}

pub fn timeout() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(29))
}

/// CORS, limit, timeout and rate, outermost first.
pub fn stack(inner: Router) -> Cors<RequestBodyLimit<Timeout<Limited>>> {
    let layers =
        ServiceBuilder::new().layer(cors()).layer(payload_limit()).layer(timeout()).layer(generous());
    layers.service(inner)
}

type Limited = <Limiter as Layer<Router>>::Service;

//! The integration timeout: how long the service inside may take to begin its answer.
//!
//! 1. The service's future is polled first. If it answers at once, no timer is made and no clock is read.
//! 2. At its first `Pending` the timer starts: the method's own
//!    ([`ApiMethod::timeout`](crate::route::ApiMethod::timeout)), or the layer's. The deadline counts from there, which
//!    is the call and what the service did without waiting. Waiting for readiness is not counted.
//!
//!    In `Gateway`, neither is the time for which the client, once the service is called, keeps it waiting for the
//!    request's body: AWS has the whole body before it calls the integration. That time is bounded by the payload limit's
//!    [`minimum_rate`](crate::payload_limit::PayloadLimitLayer::minimum_rate), and 300 s are the most, because here the
//!    service is occupied meanwhile. Without a minimum rate, or with this layer used alone, it counts like any other
//!    time.
//! 3. When it rings, the service's future is dropped and the client gets `INTEGRATION_TIMEOUT`. An answer that is there
//!    at that moment wins.
//!    Inside of a cache that serves a stored answer instead, the request's context has no error.
//! 4. Only the head of the answer is bounded: a streaming body or an upgraded connection (101) may go on. Work that the
//!    service has spawned goes on too, as a back end does after AWS has answered.
//!
//! | API | status | `x-amzn-ErrorType` | body |
//! |---|---|---|---|
//! | REST | 504 | `InternalServerErrorException` | `{"message": "Endpoint request timed out"}` |
//! | HTTP | 503 | none | `{"message":"Service Unavailable"}` |
//!
//! Both are `content-type: application/json`. Errors of the service pass through untouched. The timers of the system's
//! clock are tokio's: a service that waits must be polled in a tokio runtime with time enabled.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::{convert::Infallible, time::Duration};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{clock::ManualClock, timeout::TimeoutLayer};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let clock = ManualClock::at_unix_seconds(0);
//! let timeout = TimeoutLayer::new(Duration::from_secs(2)).clock(clock.clock());
//!
//! let quick = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hi"))) });
//! let answer = timeout.layer(quick).oneshot(Request::new(())).await.unwrap();
//! assert_eq!(answer.status(), 200);
//!
//! let never = service_fn(|_: Request<()>| std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
//! let asked = timeout.layer(never).oneshot(Request::new(()));
//! let (answer, ()) = futures_util::future::join(asked, async { clock.advance(Duration::from_secs(2)) }).await;
//! let answer = answer.unwrap();
//! assert_eq!(answer.status(), 504);
//! let body = answer.into_body().collect().await.unwrap().to_bytes();
//! assert_eq!(body, r#"{"message": "Endpoint request timed out"}"#);
//! # });
//! ```
//!
//! AWS: "Gateway response types for API Gateway" and "Quotas" (`timeoutInMillis`) in the developer guide.

mod future;

pub(crate) use future::Deadline;
pub use future::TimeoutFuture;
#[cfg(feature = "gateway")]
pub(crate) use future::timed_out;

use crate::{
    clock::Clock,
    context::{ApiKind, ContextConfig, RequestContext},
    route::{Routes, Scope},
};
use bytes::Bytes;
use http::{Method, Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower_layer::Layer;
use tower_service::Service;

/// AWS's largest timeout without a quota increase (`timeoutInMillis` 29000).
const REST_TIMEOUT: Duration = Duration::from_secs(29);
/// That of an HTTP API, which cannot be raised.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// Bounds the time to the head of the answer; see the [module docs](self).
#[derive(Clone, Debug)]
pub struct TimeoutLayer {
    config: Arc<Config>,
}

#[derive(Clone, Debug)]
struct Config {
    /// `None`: AWS's, by the kind of API.
    timeout: Option<Duration>,
    context: ContextConfig,
    /// The layer's own table, for timeouts per method where no `StageRouter` has matched.
    scope: Option<Arc<Scope>>,
}

impl Default for TimeoutLayer {
    /// AWS's: 29 s, and 30 s where the context is that of an HTTP API.
    fn default() -> Self {
        Self::with(None)
    }
}

impl TimeoutLayer {
    /// Any value: AWS's bounds (50 ms to 29 s, 30 s on an HTTP API) do not apply. A method's own timeout
    /// ([`ApiMethod::timeout`](crate::route::ApiMethod::timeout)) takes its place, shorter or longer.
    pub fn new(timeout: Duration) -> Self {
        Self::with(Some(timeout))
    }

    fn with(timeout: Option<Duration>) -> Self {
        Self { config: Arc::new(Config { timeout, context: ContextConfig::default(), scope: None }) }
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Timeouts per method for a layer used alone: the table is matched where no `StageRouter` has matched before,
    /// whatever other layers have tables of their own. A `HEAD` that is not declared goes by `GET`.
    #[must_use]
    pub fn routes(self, routes: &Routes) -> Self {
        self.change(|config| config.scope = Some(routes.scope()))
    }

    /// Whether it has a table of its own.
    #[cfg(feature = "gateway")]
    pub(crate) fn has_routes(&self) -> bool {
        self.config.scope.is_some()
    }

    /// The clock of the timers. Default: the system's.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        self.change(|config| config.context.clock = clock)
    }
}

impl TimeoutLayer {
    /// How long a request's answer is awaited, behind a stage.
    #[cfg(feature = "gateway")]
    pub(crate) fn timeout(&self, context: Option<&RequestContext>) -> Duration {
        let route = context.and_then(RequestContext::route);
        self.config.timeout(context, route.and_then(|route| route.declared().method.timeout))
    }

    /// What it is awaited with.
    pub(crate) fn deadline(&self, timeout: Duration) -> Deadline {
        Deadline { timer: None, timeout, clock: self.config.context.clock.clone(), uploads: None }
    }
}

impl Config {
    /// A context is made only where a table is to be matched.
    fn context_of<B>(&self, request: &mut Request<B>) -> Option<RequestContext> {
        match self.scope {
            Some(_) => Some(self.context.find_or_create(request)),
            None => RequestContext::of(request.extensions()).cloned(),
        }
    }

    fn of_method<B>(&self, context: &RequestContext, request: &Request<B>) -> Option<Duration> {
        let method = context.method_in_force(self.scope.as_ref(), request.method(), request.uri().path());
        method?.method().timeout
    }

    fn timeout(&self, context: Option<&RequestContext>, of_method: Option<Duration>) -> Duration {
        of_method.or(self.timeout).unwrap_or_else(|| match context.map(RequestContext::api_kind) {
            Some(ApiKind::Http) => HTTP_TIMEOUT,
            _ => REST_TIMEOUT,
        })
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = TimeoutService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TimeoutService { inner, layer: self.clone() }
    }
}

/// The service of [`TimeoutLayer`].
#[derive(Clone, Debug)]
pub struct TimeoutService<S> {
    inner: S,
    layer: TimeoutLayer,
}

/// Whether a cache outside may serve something else instead of the refusal: known from its call on.
fn leaves_note(context: &RequestContext) -> bool {
    #[cfg(feature = "access-log")]
    let leaves = context.has_stand_in();
    #[cfg(not(feature = "access-log"))]
    let leaves = {
        let _nobody_asks = context;
        false
    };
    leaves
}

impl<S, B, R> Service<Request<B>> for TimeoutService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let config = &self.layer.config;
        let context = config.context_of(&mut request);
        let of_method = context.as_ref().and_then(|context| config.of_method(context, &request));
        let is_head = *request.method() == Method::HEAD;
        let deadline = self.layer.deadline(config.timeout(context.as_ref(), of_method));
        let leaves_note = context.as_ref().is_some_and(leaves_note);
        TimeoutFuture::new(self.inner.call(request), deadline, context, (is_head, leaves_note))
    }
}

#[cfg(test)]
mod tests;

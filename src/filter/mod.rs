//! A request filter of your own, in the place where AWS WAF stands: before routing and every access control.
//!
//! 1. The filter sees method, URI, headers and extensions, and the context with the client's address.
//! 2. [`Verdict::Pass`]: the request goes on. [`Verdict::Block`]: `WAF_FILTERED`, 403 `{"message":"Forbidden"}`.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::filter::{FilterLayer, Verdict};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let no_bots = FilterLayer::new(|request, _context| match request.headers.get("user-agent") {
//!     Some(agent) if agent.as_bytes().starts_with(b"bot") => Verdict::Block,
//!     _ => Verdict::Pass,
//! });
//! let service = no_bots.layer(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hi"))) }));
//! let person = Request::builder().header("user-agent", "person").body(()).unwrap();
//! assert_eq!(service.clone().oneshot(person).await.unwrap().status(), 200);
//! let bot = Request::builder().header("user-agent", "bot/1").body(()).unwrap();
//! let refused = service.oneshot(bot).await.unwrap();
//! assert_eq!(refused.status(), 403);
//! assert_eq!(refused.headers()["x-amzn-errortype"], "ForbiddenException");
//! # });
//! ```

use crate::{
    clock::Clock,
    context::{ContextConfig, Phase, RequestContext},
    future::{ResponseFuture, Untouched},
    response::{Cause, GatewayError, ResponseType},
};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

pub use crate::context::Head;

/// What a filter decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The request goes on.
    Pass,
    /// 403 `WAF_FILTERED`.
    Block,
}

type FilterFn = dyn Fn(Head<'_>, &RequestContext) -> Verdict + Send + Sync;

/// Asks a function about every request; see the [module docs](self).
#[derive(Clone)]
pub struct FilterLayer {
    filter: Arc<FilterFn>,
    clock: Clock,
}

impl FilterLayer {
    /// A filter. It runs on every request, so it should be quick, and it must not block.
    pub fn new(filter: impl Fn(Head<'_>, &RequestContext) -> Verdict + Send + Sync + 'static) -> Self {
        Self { filter: Arc::new(filter), clock: Clock::system() }
    }

    /// The clock of `$context.waf.latency`. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

impl FilterLayer {
    /// The phase: the answer to a request that the filter blocks.
    pub(crate) fn admit<B, R: From<Bytes>>(
        &self,
        context: &RequestContext,
        clock: &Clock,
        request: &Request<B>,
    ) -> Result<(), Response<R>> {
        // The URI as received: the gateway's route match has already taken stage and base path off the request's.
        let head = Head { uri: context.received_uri(), ..Head::of(request) };
        context.in_phase(Phase::Filter, clock, || match (self.filter)(head, context) {
            Verdict::Pass => Ok(()),
            Verdict::Block => {
                Err(GatewayError::new(ResponseType::WafFiltered, Cause::Filtered).refuse(context))
            }
        })
    }
}

impl fmt::Debug for FilterLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FilterLayer(fn)")
    }
}

impl<S> Layer<S> for FilterLayer {
    type Service = FilterService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FilterService { inner, layer: self.clone() }
    }
}

/// The service of [`FilterLayer`].
#[derive(Clone, Debug)]
pub struct FilterService<S> {
    inner: S,
    layer: FilterLayer,
}

impl<S, B, R> Service<Request<B>> for FilterService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, Untouched, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = ContextConfig::default().find_or_create(&mut request);
        match self.layer.admit(&context, &self.layer.clock, &request) {
            Ok(()) => ResponseFuture::forwarded(self.inner.call(request), Untouched),
            Err(refusal) => ResponseFuture::refused(refusal),
        }
    }
}

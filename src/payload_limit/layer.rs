//! Configuration, and what is decided when a request arrives.

use super::{
    PayloadLimitService, SameBodyLayer,
    check::{Limits, check_head},
};
use crate::{
    body::{GatewayBody, MeterConfig, MinimumRate, Pace},
    clock::Clock,
    context::{ContextConfig, RequestContext},
    response::GatewayError,
    route::{Routes, Scope},
};
use http::Request;
use http_body::{Body, SizeHint};
use std::{sync::Arc, time::Duration};
use tower_layer::Layer;

/// 10 MiB, what AWS calls 10 MB.
const DEFAULT_BODY_LIMIT: u64 = 10_485_760;
/// Total size of the header fields on a REST API, as documented; not confirmed by a recording.
const DEFAULT_HEADER_LIMIT: u64 = 20_480;
/// URL length on a Regional endpoint.
const DEFAULT_URL_LIMIT: u64 = 10_240;
/// Kestrel's `MinRequestBodyDataRate`; AWS documents none.
const DEFAULT_RATE: MinimumRate = MinimumRate { bytes_per_second: 240, grace: Duration::from_secs(5) };

/// Limits the size of requests and the slowness of their bodies; see the [module docs](super).
#[derive(Clone, Debug)]
pub struct PayloadLimitLayer {
    pub(super) config: Arc<Config>,
}

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) limits: Limits,
    pace: Pace,
    context: ContextConfig,
    /// The layer's own table, for limits per method where no `StageRouter` has matched.
    scope: Option<Arc<Scope>>,
}

impl Default for PayloadLimitLayer {
    /// AWS's limit of 10 MB: 10 485 760 bytes.
    fn default() -> Self {
        Self::new(DEFAULT_BODY_LIMIT)
    }
}

impl PayloadLimitLayer {
    /// At most `limit_bytes` of request body: exactly that many pass, one more does not. Any value; 0 lets only
    /// requests without a body pass. A method's own limit
    /// ([`ApiMethod::payload_limit`](crate::route::ApiMethod::payload_limit)) takes its place, larger or smaller.
    pub fn new(limit_bytes: u64) -> Self {
        let limits = Limits {
            body: limit_bytes,
            headers: Some(DEFAULT_HEADER_LIMIT),
            url: Some(DEFAULT_URL_LIMIT),
            as_json: false,
        };
        let pace = Pace { rate: Some(DEFAULT_RATE), clock: Clock::system() };
        Self { config: Arc::new(Config { limits, pace, context: ContextConfig::default(), scope: None }) }
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Largest total of the header fields in bytes: names, values, and four bytes for the `": "` and CRLF of each line.
    /// Default: 20 480, what AWS documents for REST APIs (unconfirmed by a recording), and the same here for an HTTP API,
    /// which on AWS has 10 240: set that where you want it. A limit above what the HTTP server accepts has no effect: the
    /// server refuses first.
    #[must_use]
    pub fn header_limit(self, bytes: u64) -> Self {
        self.change(|config| config.limits.headers = Some(bytes))
    }

    /// No limit on header fields besides the HTTP server's.
    #[must_use]
    pub fn no_header_limit(self) -> Self {
        self.change(|config| config.limits.headers = None)
    }

    /// Longest URL in bytes: path and query as received, with stage and base path, without scheme and host.
    /// Default: 10 240, AWS's for Regional endpoints (edge and private endpoints have 8 192).
    #[must_use]
    pub fn url_limit(self, bytes: u64) -> Self {
        self.change(|config| config.limits.url = Some(bytes))
    }

    /// No limit on the URL besides the HTTP server's.
    #[must_use]
    pub fn no_url_limit(self) -> Self {
        self.change(|config| config.limits.url = None)
    }

    /// How slow a body may be: in all, its reader may wait for the client `grace` long, plus the time that the bytes
    /// received so far take at `bytes_per_second`. No more than 60 s of that time is kept for later: after 10 MB at full
    /// speed, a body may stall for `grace` and a minute. Only waiting counts: a handler that reads late or never costs the
    /// client nothing. Default: 240 bytes per second after 5 s, as ASP.NET's Kestrel has it; AWS documents none.
    /// At 0 bytes per second every body is fast enough.
    ///
    /// Streams that idle by design (gRPC client streaming, server-sent uploads) want
    /// [`no_minimum_rate`](Self::no_minimum_rate).
    #[must_use]
    pub fn minimum_rate(self, bytes_per_second: u64, grace: Duration) -> Self {
        let rate = MinimumRate { bytes_per_second, grace };
        self.pace(|pace| pace.rate = Some(rate).filter(|rate| rate.bytes_per_second > 0))
    }

    /// Bodies may take as long as they like.
    #[must_use]
    pub fn no_minimum_rate(self) -> Self {
        self.pace(|pace| pace.rate = None)
    }

    /// Limits per method for a layer used alone: the table is matched where no `StageRouter` has matched before,
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

    /// The clock of the minimum rate. Default: the system's, whose timers need a tokio runtime with time enabled.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        let layer = self.change(|config| config.context.clock = clock.clone());
        layer.pace(|pace| pace.clock = clock)
    }

    /// Answers a body above the limit with `REQUEST_TOO_LARGE` in JSON, `{"message":"Request Too Long"}` with
    /// `x-amzn-ErrorType`, instead of the plain text that AWS sends today. Default: plain text.
    #[must_use]
    pub fn as_json(self, json: bool) -> Self {
        self.change(|config| config.limits.as_json = json)
    }

    /// The same limits for a service whose body type can hold any body, as axum's does: bodies keep their type, and
    /// only one that must be watched is wrapped. `wrap` makes the service's body of it.
    ///
    /// ```
    /// use axum::{Router, body::Body, routing::post};
    /// use http::Request;
    /// use tower::ServiceExt;
    /// use tower_gateway::payload_limit::PayloadLimitLayer;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let limit = PayloadLimitLayer::new(5).same_body(Body::new);
    /// let app = Router::new().route("/", post(|text: String| async { text })).layer(limit);
    /// let ask = |text: &'static str| app.clone().oneshot(Request::post("/").body(Body::from(text)).unwrap());
    /// assert_eq!(ask("short").await.unwrap().status(), 200);
    /// assert_eq!(ask("longer").await.unwrap().status(), 413);
    /// # });
    /// ```
    #[must_use]
    pub fn same_body<B>(self, wrap: fn(GatewayBody<B>) -> B) -> SameBodyLayer<B> {
        SameBodyLayer::new(self.config, wrap)
    }

    fn pace(self, change: impl FnOnce(&mut Pace)) -> Self {
        self.change(|config| change(&mut config.pace))
    }
}

impl<S> Layer<S> for PayloadLimitLayer {
    type Service = PayloadLimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PayloadLimitService { inner, config: Arc::clone(&self.config) }
    }
}

/// What becomes of a request that is let in: its body is metered and its answer watched, or neither.
pub(super) type Admission = Option<(MeterConfig, Watch)>;

/// A refusal, and the request's context if an outer layer made one.
pub(super) type Refusal = (Option<RequestContext>, GatewayError);

/// What the response future needs to replace an answer.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) context: RequestContext,
    pub(super) as_json: bool,
}

impl Config {
    pub(super) fn admit<B: Body>(&self, request: &mut Request<B>) -> Result<Admission, Refusal> {
        // A context is made early only where a table is to be matched.
        if self.scope.is_some() {
            self.context.find_or_create(request);
        }
        let context = RequestContext::of(request.extensions());
        let metered = self.check(context, request).map_err(|error| (context.cloned(), error))?;
        let counted = || counts(context, request.body()).then(|| self.body_limit(context, request));
        let Some(limit) = metered.or_else(counted) else { return Ok(None) };
        let context = context.cloned().unwrap_or_else(|| self.context.find_or_create(request));
        let watch = Watch { context: context.clone(), as_json: self.limits.as_json };
        let meter = MeterConfig { counts: true, ..self.meter(limit, context) };
        Ok(Some((meter, watch)))
    }

    /// Judges the head; the limit of a body that must be counted while it streams.
    pub(super) fn check<B: Body>(
        &self,
        context: Option<&RequestContext>,
        request: &Request<B>,
    ) -> Result<Option<u64>, GatewayError> {
        let limit = self.body_limit(context, request);
        let size = request.body().size_hint();
        let url = context.map_or(request.uri(), RequestContext::received_uri);
        let url_length = url.path_and_query().map_or(0, |target| target.as_str().len());
        check_head(&self.limits, limit, url_length, request.headers(), size.lower())?;
        let metered = self.needs_meter(&size, limit) && !request.body().is_end_stream();
        Ok(metered.then_some(limit))
    }

    /// One that tells the context of a cut alone.
    pub(super) fn meter(&self, limit: u64, context: RequestContext) -> MeterConfig {
        MeterConfig { limit, pace: self.pace.clone(), context, counts: false }
    }

    fn body_limit<B>(&self, context: Option<&RequestContext>, request: &Request<B>) -> u64 {
        let (own, path) = (self.scope.as_ref(), request.uri().path());
        let method = context.and_then(|context| context.method_in_force(own, request.method(), path));
        method.and_then(|method| method.method().payload_limit).unwrap_or(self.limits.body)
    }

    /// What a body says of its own length is trusted (hyper holds it to that); `Content-Length` is not.
    fn needs_meter(&self, size: &SizeHint, limit: u64) -> bool {
        let fits = size.upper().is_some_and(|upper| upper <= limit);
        !fits || self.pace.rate.is_some() && size.upper() != Some(0)
    }
}

/// Whether somebody observes, and wants to know how many bytes were read.
#[cfg_attr(not(feature = "access-log"), allow(unused_variables, reason = "nobody observes"))]
fn counts(context: Option<&RequestContext>, body: &impl Body) -> bool {
    #[cfg(feature = "access-log")]
    return context.is_some_and(RequestContext::is_observed) && !body.is_end_stream();
    #[cfg(not(feature = "access-log"))]
    false
}

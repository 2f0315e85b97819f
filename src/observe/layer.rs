//! The layer that watches every request to its end, and its configuration.

use super::{
    AccessLog,
    event::{ApiInfo, RequestEvent},
    service::ObserveService,
};
use crate::{
    body::{End, EndGuard, Watch},
    clock::{Clock, Timestamp},
    context::{ApiKind, ContextConfig, PeerSource, RequestContext, TrustedProxies, Wanted},
};
#[cfg(feature = "gateway")]
use http::Response;
use http::{Extensions, HeaderMap, Request};
use std::{
    fmt,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};
use tower_layer::Layer;

/// Sees requests begin and end. Runs on the request's own path: do not block, hand over.
///
/// Any `Fn(&RequestEvent<'_>)` is one. An observer that panics is ignored for that request.
pub trait Observer: Send + Sync + 'static {
    /// A request has arrived; nothing is decided yet.
    fn started(&self, context: &RequestContext) {
        let _ = context;
    }

    /// A request is over: exactly once for each.
    fn ended(&self, event: &RequestEvent<'_>);

    /// Whether the `User-Agent` field is to be kept until the end, at the cost of an allocation. Default: no.
    fn needs_user_agent(&self) -> bool {
        false
    }

    /// Whether the request ids in the service's answer are to be kept until the end (`awsEndpointRequestId`), at the cost
    /// of an allocation. Only [`Gateway`](crate::gateway) sees them. Default: no.
    fn needs_endpoint_request_id(&self) -> bool {
        false
    }

    /// Whether what the phases came to, and how long they took, is to be kept until the end (`waf.*`, `authenticate.*`,
    /// `authorize.*`, `integration.timeToFirstContent`), at the cost of an allocation and of readings of the clock.
    /// Default: no.
    fn needs_phases(&self) -> bool {
        false
    }

    /// Whether [`time_to_head`](RequestEvent::time_to_head) is to be measured, at the cost of reading the clock. Default:
    /// no; for a function, yes.
    fn needs_time_to_head(&self) -> bool {
        false
    }

    /// Whether what a plan has left is to be kept until the end, at the cost of an allocation for requests with a plan.
    /// Default: no.
    fn needs_headroom(&self) -> bool {
        false
    }
}

impl<F: Fn(&RequestEvent<'_>) + Send + Sync + 'static> Observer for F {
    fn ended(&self, event: &RequestEvent<'_>) {
        self(event);
    }

    fn needs_time_to_head(&self) -> bool {
        true
    }
}

/// Watches every request to the end of its answer and tells its observers; see the [module docs](super).
#[derive(Clone, Debug, Default)]
pub struct ObserveLayer {
    watch: Arc<Observers>,
}

/// Who is told, and by which clock.
#[derive(Clone, Default)]
pub(crate) struct Observers {
    context: ContextConfig,
    api: ApiInfo,
    observers: Vec<Arc<dyn Observer>>,
    wanted: Wanted,
    head_time: bool,
    endpoint_ids: bool,
    #[cfg(feature = "tracing")]
    execution: Option<super::ExecutionLog>,
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").field("count", &self.observers.len()).finish_non_exhaustive()
    }
}

impl ObserveLayer {
    /// Nobody observes yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Observers)) -> Self {
        change(Arc::make_mut(&mut self.watch));
        self
    }

    /// Adds an observer. They are told in this order.
    #[must_use]
    pub fn observer(self, observer: impl Observer) -> Self {
        self.shared_observer(Arc::new(observer))
    }

    /// Adds an observer that somebody else holds too.
    #[must_use]
    pub fn shared_observer(self, observer: Arc<dyn Observer>) -> Self {
        self.change(|watch| {
            watch.head_time |= observer.needs_time_to_head();
            watch.endpoint_ids |= observer.needs_endpoint_request_id();
            watch.wanted.user_agent |= observer.needs_user_agent();
            watch.wanted.headroom |= observer.needs_headroom();
            watch.wanted.phases |= observer.needs_phases();
            watch.observers.push(observer);
        })
    }

    /// Writes what happens inside of the gateway, step by step, where a method's settings say so. Default: nothing.
    #[cfg(feature = "tracing")]
    #[must_use]
    pub fn execution_log(self, log: super::ExecutionLog) -> Self {
        self.change(|watch| watch.execution = Some(log))
    }

    /// The names of the API. Default: none.
    #[must_use]
    pub fn api(self, api: ApiInfo) -> Self {
        self.change(|watch| watch.api = api)
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn api_info(&self) -> &ApiInfo {
        &self.watch.api
    }

    /// The clock of the latencies: the one that the context is made with. Default: the system's.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        self.change(|watch| watch.context.clock = clock)
    }

    /// The kind of API, where no layer outside has said one. Default: what a layer inside says, or REST.
    #[must_use]
    pub fn api_kind(self, kind: ApiKind) -> Self {
        self.change(|watch| watch.context.kind = Some(kind))
    }

    /// The proxies that are believed about a client's address, where no layer outside has said it. Default: what a layer
    /// inside says, or none.
    #[must_use]
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        self.change(|watch| watch.context.proxies = Some(proxies))
    }

    /// Finds the peer's address in another extension than [`PeerAddr`](crate::context::PeerAddr), where no layer
    /// outside has found one.
    #[must_use]
    pub fn peer_addr(self, find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.change(|watch| watch.context.peer = PeerSource::new(find))
    }

    /// For `Gateway`, which makes the context itself.
    #[cfg(feature = "gateway")]
    pub(crate) fn observers(self) -> Arc<Observers> {
        self.watch
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = ObserveService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ObserveService::new(inner, Arc::clone(&self.watch))
    }
}

impl Observers {
    /// The guard of one request, whose context may have been made already.
    pub(crate) fn start<B>(self: &Arc<Self>, request: &mut Request<B>) -> EndGuard {
        let context = self.context.establish(request);
        self.begin(context, request.headers())
    }

    /// The same for a context that is known.
    pub(crate) fn begin(self: &Arc<Self>, context: RequestContext, headers: &HeaderMap) -> EndGuard {
        context.observe_head(headers, self.wanted);
        #[cfg(feature = "tracing")]
        if let Some(log) = &self.execution {
            log.begin(&context, headers);
        }
        for observer in &self.observers {
            ignore_panic(|| observer.started(&context));
        }
        EndGuard::new(Arc::clone(self) as Arc<dyn Watch>, context)
    }

    /// The service is called.
    #[cfg(feature = "gateway")]
    #[cfg_attr(not(feature = "tracing"), allow(unused_variables, reason = "for the execution log"))]
    pub(crate) fn called<B>(&self, context: &RequestContext, request: &Request<B>) {
        #[cfg(feature = "tracing")]
        if let Some(log) = &self.execution {
            log.called(context, request);
        }
    }

    /// The service has answered.
    #[cfg(feature = "gateway")]
    pub(crate) fn endpoint_answered<R>(&self, context: &RequestContext, response: &Response<R>) {
        #[cfg(feature = "tracing")]
        let traced = context.execution().is_some();
        #[cfg(not(feature = "tracing"))]
        let traced = false;
        if self.endpoint_ids || traced {
            context.set_endpoint_ids(response.headers());
        }
        #[cfg(feature = "tracing")]
        if let Some(log) = &self.execution {
            log.endpoint_answered(context, response);
        }
    }
}

impl Watch for Observers {
    fn ended(&self, context: &RequestContext, end: &End) {
        let event = RequestEvent::new(context, &self.api, end, self.now());
        for observer in &self.observers {
            ignore_panic(|| observer.ended(&event));
        }
        #[cfg(feature = "tracing")]
        if let Some(log) = &self.execution {
            ignore_panic(|| log.ended(&event));
        }
    }

    #[cfg_attr(not(feature = "tracing"), allow(unused_variables, reason = "for the execution log"))]
    fn answered(&self, context: &RequestContext, headers: &HeaderMap) -> Option<Duration> {
        #[cfg(feature = "tracing")]
        if let Some(log) = &self.execution {
            log.answered(context, headers);
        }
        self.head_time.then(|| self.now().since(context.arrived()))
    }

    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }
}

/// A guard may be dropped by a panic: a second one would end the process.
fn ignore_panic(call: impl FnOnce()) {
    let _ignored = catch_unwind(AssertUnwindSafe(call));
}

/// [`ObserveLayer`] with one [`AccessLog`].
#[derive(Clone, Debug)]
pub struct AccessLogLayer {
    observe: ObserveLayer,
}

impl AccessLogLayer {
    /// Writes every request to `log`.
    pub fn new(log: AccessLog) -> Self {
        Self { observe: ObserveLayer::new().observer(log) }
    }

    /// The names of the API. Default: none.
    #[must_use]
    pub fn api(self, api: ApiInfo) -> Self {
        Self { observe: self.observe.api(api) }
    }

    /// The clock of the latencies. Default: the system's.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { observe: self.observe.clock(clock) }
    }

    /// The kind of API, where no layer outside has said one. Default: what a layer inside says, or REST.
    #[must_use]
    pub fn api_kind(self, kind: ApiKind) -> Self {
        Self { observe: self.observe.api_kind(kind) }
    }

    /// The proxies that are believed about a client's address: [`ObserveLayer::trusted_proxies`].
    #[must_use]
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        Self { observe: self.observe.trusted_proxies(proxies) }
    }

    /// Where the peer's address is found: [`ObserveLayer::peer_addr`].
    #[must_use]
    pub fn peer_addr(self, find: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self { observe: self.observe.peer_addr(find) }
    }
}

impl From<AccessLogLayer> for ObserveLayer {
    fn from(layer: AccessLogLayer) -> Self {
        layer.observe
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = ObserveService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.observe.layer(inner)
    }
}

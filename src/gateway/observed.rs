//! The gateway's part in observing requests: a guard goes with the request, then with the body of its answer.

use super::Phases;
use crate::{
    body::{EndGuard, GatewayBody},
    clock::Timestamp,
    context::RequestContext,
};
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

/// The guard of one request, where somebody observes. Boxed, because it moves with every request and its future.
#[derive(Debug)]
pub(super) struct Observed(Option<Box<EndGuard>>);

impl Phases {
    pub(super) fn observe<B>(&self, context: &RequestContext, request: &Request<B>) -> Observed {
        let observers = self.observers.as_ref();
        Observed(observers.map(|watch| Box::new(watch.begin(context.clone(), request.headers()))))
    }

    /// Here, behind the route match: the stage is known. Whether a trace was begun here, and not further outside.
    #[cfg_attr(
        not(any(feature = "tracing", feature = "xray")),
        expect(unused_variables, reason = "no traces")
    )]
    pub(super) fn begin_trace<B>(&self, context: &RequestContext, request: &mut Request<B>) -> bool {
        #[cfg(any(feature = "tracing", feature = "xray"))]
        return self.trace.as_ref().is_some_and(|trace| trace.begin(context, request.headers_mut()));
        #[cfg(not(any(feature = "tracing", feature = "xray")))]
        false
    }

    #[cfg_attr(
        not(any(feature = "tracing", feature = "xray")),
        expect(unused_variables, reason = "no traces")
    )]
    pub(super) fn answer_trace<R>(&self, context: &RequestContext, response: &mut Response<R>) {
        #[cfg(any(feature = "tracing", feature = "xray"))]
        if let Some(trace) = &self.trace {
            trace.answered(context, response);
        }
    }

    /// When the integration is called, where somebody wants to know how long it takes.
    pub(super) fn integration_start<B>(
        &self,
        context: Option<&RequestContext>,
        request: &Request<B>,
    ) -> Option<Timestamp> {
        let observers = self.observers.as_ref()?;
        if let Some(context) = context {
            if context.is_refresh() {
                return None;
            }
            observers.called(context, request);
        }
        Some(self.context.clock.now())
    }

    /// `None`: it gave no answer.
    pub(super) fn integration_end<R>(
        &self,
        called_at: Timestamp,
        context: &RequestContext,
        answer: Option<&Response<R>>,
    ) {
        context.set_integration(called_at, self.context.clock.now(), answer.map(Response::status));
        if let (Some(observers), Some(answer)) = (&self.observers, answer) {
            observers.endpoint_answered(context, answer);
        }
    }
}

impl Observed {
    /// From here on, until the service or the answer has the word, a guard that is dropped was dropped by a panic.
    pub(super) fn enter(&mut self) {
        if let Some(guard) = &mut self.0 {
            guard.enter();
        }
    }

    /// Calls the service, which may panic.
    pub(super) fn call<S: Service<Request<B>>, B>(
        &mut self,
        service: &mut S,
        request: Request<B>,
    ) -> S::Future {
        match &mut self.0 {
            Some(guard) => guard.inside(|| service.call(request)),
            None => service.call(request),
        }
    }

    /// Calls into what may panic.
    pub(super) fn inside<T>(&mut self, call: impl FnOnce() -> T) -> T {
        match &mut self.0 {
            Some(guard) => guard.inside(call),
            None => call(),
        }
    }

    /// The guard goes on with the body.
    pub(super) fn answered<R>(&mut self, response: &mut Response<GatewayBody<R>>)
    where
        GatewayBody<R>: Body,
    {
        if let Some(guard) = self.0.take().and_then(|guard| guard.answered(response)) {
            response.body_mut().set_end_guard(guard);
        }
    }

    /// The service gave an error.
    pub(super) fn failed(&mut self) {
        if let Some(mut guard) = self.0.take() {
            guard.failed();
        }
    }
}

/// Has the request body looked at as it is read, where somebody wants to know of it: here, or in a layer outside.
pub(super) fn tap<B>(context: &RequestContext, request: &mut Request<GatewayBody<B>>)
where
    GatewayBody<B>: Body,
{
    if context.is_observed() && !request.body().is_end_stream() {
        request.body_mut().set_tap(context.clone());
    }
}

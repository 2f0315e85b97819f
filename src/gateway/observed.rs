//! The gateway's part in observing requests: a guard goes with the request, then with the body of its answer.

use super::Phases;
use crate::{
    body::{EndGuard, GatewayBody},
    clock::Timestamp,
    context::RequestContext,
};
use http::{Request, Response, StatusCode};
use http_body::Body;

/// The guard of one request, where somebody observes.
#[derive(Debug)]
pub(super) struct Observed(Option<Box<EndGuard>>);

impl Phases {
    pub(super) fn observe<B>(&self, context: &RequestContext, request: &Request<B>) -> Observed {
        let observers = self.observers.as_ref();
        Observed(observers.map(|watch| watch.begin(context.clone(), request.headers())))
    }

    /// When the integration is called, where somebody wants to know how long it takes.
    pub(super) fn integration_start(&self) -> Option<Timestamp> {
        self.observers.as_ref().map(|_| self.context.clock.now())
    }

    pub(super) fn integration_end(
        &self,
        called_at: Timestamp,
        context: &RequestContext,
        status: Option<StatusCode>,
    ) {
        context.set_integration(self.context.clock.now().since(called_at), status);
    }
}

impl Observed {
    /// Calls into what may panic.
    pub(super) fn inside<T>(&mut self, call: impl FnOnce() -> T) -> T {
        match &mut self.0 {
            Some(guard) => guard.inside(call),
            None => call(),
        }
    }

    /// The guard goes on with the body.
    pub(super) fn answered<R>(&mut self, phases: &Phases, response: &mut Response<GatewayBody<R>>)
    where
        GatewayBody<R>: Body,
    {
        if let Some(guard) = self.0.take() {
            let guard = guard.answered(response, phases.context.clock.now());
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

//! Who is calling and what that caller may use: principal, API key, throttles and quota.

use super::Phases;
use crate::{
    context::RequestContext,
    future::Untouched,
    usage_plan::{ChargedFuture, Stop, Waiting},
};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The phases that establish and charge a caller, inside [`GatewayService`](super::GatewayService).
#[derive(Clone, Debug)]
pub struct AdmissionService<S> {
    inner: S,
    phases: Arc<Phases>,
}

impl<S> AdmissionService<S> {
    pub(super) fn new(inner: S, phases: Arc<Phases>) -> Self {
        Self { inner, phases }
    }
}

impl Phases {
    fn charges(&self) -> bool {
        self.principal.is_some() || self.api_key.is_some() || self.usage_plan.is_some()
    }

    /// The phases in their order; the error is the answer of the one that refuses.
    fn charge<B, R: From<Bytes>>(
        &self,
        context: &RequestContext,
        request: &mut Request<B>,
    ) -> Result<(), Stop<R>> {
        // Who is calling comes before what a caller may use.
        if let Some(principal) = &self.principal {
            principal.name(context, request);
        }
        if let Some(api_key) = &self.api_key {
            api_key.admit(context, request)?;
        }
        // After the key, whose plan it charges; before anything that costs more than a charge.
        if let Some(usage_plan) = &self.usage_plan {
            usage_plan.admit(context, request)?;
        }
        Ok(())
    }
}

impl<S, B, R> Service<Request<B>> for AdmissionService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ChargedFuture<S, B, S::Future, Untouched, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if !self.phases.charges() {
            return ChargedFuture::forwarded(self.inner.call(request), Untouched);
        }
        let context = self.phases.context.find_or_create(&mut request);
        match self.phases.charge(&context, &mut request) {
            Ok(()) => {
                // What lives across the call has the future copied; see `future`.
                drop(context);
                ChargedFuture::forwarded(self.inner.call(request), Untouched)
            }
            Err(Stop::Refused(response)) => ChargedFuture::refused(response),
            Err(Stop::Wait(verdict, headers)) => {
                // The service that was polled ready waits with the request; its clone takes its place.
                let clone = self.inner.clone();
                let service = std::mem::replace(&mut self.inner, clone);
                ChargedFuture::waiting(Waiting { verdict, service, request, context, headers })
            }
        }
    }
}

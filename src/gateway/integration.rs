//! The innermost phase: the service itself, its body made ours, and how long it may take.

use super::Phases;
use crate::{
    body::GatewayBody,
    clock::Timestamp,
    context::{ApiKind, RequestContext},
    response::Remains,
    timeout::{Deadline, timed_out},
};
use http::{Method, Request, Response};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    mem::ManuallyDrop,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// Calls the service, inside [`AdmissionService`](super::AdmissionService).
#[derive(Clone, Debug)]
pub struct IntegrationService<S> {
    inner: S,
    phases: Arc<Phases>,
}

impl<S> IntegrationService<S> {
    pub(super) fn new(inner: S, phases: Arc<Phases>) -> Self {
        Self { inner, phases }
    }
}

impl<S, B, R> Service<Request<B>> for IntegrationService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<GatewayBody<R>>;
    type Error = S::Error;
    type Future = IntegrationFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let phases = &self.phases;
        let context = RequestContext::of(request.extensions());
        let form = Form {
            kind: context.map_or(ApiKind::default(), RequestContext::api_kind),
            is_head: *request.method() == Method::HEAD,
        };
        let deadline = phases.timeout.as_ref().map(|layer| layer.deadline(layer.timeout(context)));
        let watched = context.filter(|context| context.may_be_refused_late());
        let called_at = phases.integration_start(context, &request);
        if watched.is_some() || called_at.is_some() {
            let deadline = deadline.map(|deadline| deadline.sparing_uploads(watched));
            let timed = called_at.zip(context.cloned());
            let timed =
                timed.map(|(called_at, context)| Timed { called_at, context, phases: Arc::clone(phases) });
            return IntegrationFuture { inner: Some(self.inner.call(request)), deadline, form, timed };
        }
        // What must be dropped if the call panics has the future copied; see `future`. A deadline is nothing yet but its
        // time and a clock.
        let deadline = ManuallyDrop::new(deadline);
        let inner = Some(self.inner.call(request));
        IntegrationFuture { inner, deadline: ManuallyDrop::into_inner(deadline), form, timed: None }
    }
}

pin_project! {
    /// Response future of [`IntegrationService`].
    #[derive(Debug)]
    pub struct IntegrationFuture<F> {
        // `None` once the timer has rung: the service's future is dropped before the answer is given.
        #[pin]
        inner: Option<F>,
        deadline: Option<Deadline>,
        form: Form,
        timed: Option<Timed>,
    }
}

/// What a refusal is made for.
#[derive(Clone, Copy, Debug)]
struct Form {
    kind: ApiKind,
    is_head: bool,
}

/// For whoever observes: how long the service took.
#[derive(Debug)]
struct Timed {
    called_at: Timestamp,
    context: RequestContext,
    phases: Arc<Phases>,
}

impl Timed {
    fn end<R>(&self, answer: Option<&Response<R>>) {
        self.phases.integration_end(self.called_at, &self.context, answer);
    }
}

impl<F, R, E> Future for IntegrationFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<GatewayBody<R>>, E>;

    /// The service first; the timer is made, and looked at, only while it has no answer.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Pending };
        if let Poll::Ready(answer) = inner.poll(cx) {
            if let Some(timed) = this.timed {
                timed.end(answer.as_ref().ok());
            }
            return Poll::Ready(answer.map(|response| response.map(GatewayBody::new)));
        }
        let Some(deadline) = this.deadline else { return Poll::Pending };
        ready!(deadline.poll(cx));
        this.inner.set(None);
        if let Some(timed) = this.timed {
            timed.end::<R>(None);
        }
        // The outermost phase notes it in the context.
        Poll::Ready(Ok(timed_out().into_response(this.form.kind, Remains::of_head(this.form.is_head))))
    }
}

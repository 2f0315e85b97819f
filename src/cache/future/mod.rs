//! The response future: a stored answer, a call of its own, or a seat in a shared call.

mod arrive;
mod begin;
mod learned;
mod passage;
mod source;

pub(super) use learned::Learned;
pub(super) use source::Source;

use super::{core::Core, flight::Rider, plan::LayerState, rules::RequestView, tier::Asking};
use crate::{
    body::{BoxError, GatewayBody},
    clock::timer::Sleep,
    context::RequestContext,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use passage::Passage;
use pin_project_lite::pin_project;
use source::Waiter;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tower_service::Service;

pin_project! {
    /// Response future of [`CacheService`](super::CacheService).
    pub struct CacheFuture<S, B, R, F> {
        // `None` once answered: the count of a hit would be a line that all threads write to.
        layer: Option<Arc<LayerState>>,
        #[pin]
        state: State<S, B, R, F>,
        // How long somebody else's call is waited for, in all.
        patience: Option<Box<Sleep>>,
        // How long the length of its answer is waited for.
        hold: Option<Box<Sleep>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, R, F> {
        Answered { response: Option<Response<GatewayBody<R>>> },
        Forwarded { #[pin] future: F, passage: Passage },
        Riding { rider: Option<Rider>, waiter: Option<Box<Waiter<S, B>>>, warns: bool },
        // The second tier is asked; `None` once it has answered.
        Asking { asking: Asking, waiter: Option<Box<Waiter<S, B>>>, warns: bool },
    }
}

/// Whether a timer has rung, which starts at the first look.
fn rings(timer: &mut Option<Box<Sleep>>, core: &Core, after: Duration, cx: &mut Context<'_>) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::new(core.clock.sleep(after)));
    Pin::new(timer).poll(cx)
}

impl<S, B, R, F> std::fmt::Debug for CacheFuture<S, B, R, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheFuture").finish_non_exhaustive()
    }
}

fn view<B: Body>(request: &Request<B>) -> RequestView<'_> {
    let body = request.body();
    RequestView {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        context: RequestContext::of(request.extensions()),
        extensions: Some(request.extensions()),
        has_body: !body.is_end_stream() && body.size_hint().exact() != Some(0),
    }
}

impl<S, B, R, E, F> CacheFuture<S, B, R, F>
where
    S: Service<Request<B>, Response = Response<R>, Error = E, Future = F> + Clone,
    B: Body,
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    pub(super) fn new(layer: &Arc<LayerState>, source: Source<'_, S>, request: Request<B>) -> Self {
        let state = State::begin(layer, source, request, None, None);
        let layer = (!matches!(state, State::Answered { .. })).then(|| Arc::clone(layer));
        Self { layer, state, patience: None, hold: None }
    }
}

impl<S, B, R, E, F> Future for CacheFuture<S, B, R, F>
where
    S: Service<Request<B>, Response = Response<R>, Error = E, Future = F> + Clone,
    B: Body,
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    E: Send + 'static,
{
    type Output = Result<Response<GatewayBody<R>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let this = self.as_mut().project();
            let state = this.state.project();
            if let StateProj::Answered { response } = state {
                return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
            }
            let Some(layer) = this.layer else { return Poll::Pending };
            let next = match state {
                StateProj::Answered { .. } => return Poll::Pending,
                StateProj::Forwarded { future, passage } => {
                    let result = ready!(future.poll(cx));
                    if result.is_err() {
                        drop(passage.watched.take());
                    }
                    return Poll::Ready(result.map(|response| passage.leave(layer, response)));
                }
                StateProj::Asking { asking, waiter, warns } => match Pin::new(asking).poll(cx) {
                    Poll::Ready(told) => match waiter.take() {
                        Some(waiter) => State::asked(layer, *waiter, told),
                        None => return Poll::Pending,
                    },
                    Poll::Pending => {
                        ready!(rings(this.patience, &layer.core, layer.core.limits.wait, cx));
                        match waiter.take() {
                            Some(waiter) => State::waited_in_vain(layer, *waiter, *warns),
                            None => return Poll::Pending,
                        }
                    }
                },
                StateProj::Riding { rider, waiter, warns } => {
                    let Some(flight) = rider.as_mut() else { return Poll::Pending };
                    match flight.poll_arrival(cx) {
                        Poll::Ready(arrived) => {
                            let waiter = waiter.take();
                            match rider.take() {
                                Some(rider) => State::arrive(layer, rider, waiter, arrived, *warns)?,
                                None => return Poll::Pending,
                            }
                        }
                        Poll::Pending if waiter.is_none() => return Poll::Pending,
                        Poll::Pending => {
                            let core = &layer.core;
                            if flight.is_held() && rings(this.hold, core, core.limits.hold(), cx).is_ready() {
                                flight.insist();
                                continue;
                            }
                            ready!(rings(this.patience, core, core.limits.wait, cx));
                            *rider = None;
                            match waiter.take() {
                                Some(waiter) => State::waited_in_vain(layer, *waiter, *warns),
                                None => return Poll::Pending,
                            }
                        }
                    }
                }
            };
            if let State::Answered { response: Some(response) } = next {
                return Poll::Ready(Ok(response));
            }
            self.as_mut().project().state.set(next);
        }
    }
}

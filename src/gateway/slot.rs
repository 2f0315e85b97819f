//! A layer that may be absent, at the cost of a branch.
#![allow(dead_code, reason = "not every feature set has a phase of its own service")]

use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// A phase of the gateway: a layer, or nothing.
#[derive(Clone, Debug)]
pub(super) struct Slot<L>(pub(super) Option<L>);

impl<S, L: Layer<S>> Layer<S> for Slot<L> {
    type Service = SlotService<L::Service, S>;

    fn layer(&self, inner: S) -> Self::Service {
        match &self.0 {
            Some(layer) => SlotService::Filled(layer.layer(inner)),
            None => SlotService::Empty(inner),
        }
    }
}

/// The service of a phase that may be absent.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub enum SlotService<F, E> {
    /// The layer's service.
    Filled(F),
    /// The inner service.
    Empty(E),
}

impl<F, E, B, R> Service<Request<B>> for SlotService<F, E>
where
    F: Service<Request<B>, Response = Response<R>>,
    E: Service<Request<B>, Response = Response<R>, Error = F::Error>,
{
    type Response = Response<R>;
    type Error = F::Error;
    type Future = SlotFuture<F::Future, E::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::Filled(service) => service.poll_ready(cx),
            Self::Empty(service) => service.poll_ready(cx),
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self {
            Self::Filled(service) => SlotFuture { kind: Kind::Filled { future: service.call(request) } },
            Self::Empty(service) => SlotFuture { kind: Kind::Empty { future: service.call(request) } },
        }
    }
}

pin_project! {
    /// Response future of the service of a phase that may be absent.
    #[derive(Debug)]
    pub struct SlotFuture<F, E> {
        #[pin]
        kind: Kind<F, E>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<F, E> {
        Filled { #[pin] future: F },
        Empty { #[pin] future: E },
    }
}

impl<F: Future, E: Future<Output = F::Output>> Future for SlotFuture<F, E> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Filled { future } => future.poll(cx),
            KindProj::Empty { future } => future.poll(cx),
        }
    }
}

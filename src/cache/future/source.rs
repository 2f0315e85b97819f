//! The service that is to be called, now or after a wait.

use super::learned::Learned;
use http::Request;
use tower_service::Service;

/// The service that was polled ready: where it lies, or taken out to be called later.
#[derive(Debug)]
pub(in crate::cache) enum Source<'a, S> {
    InPlace(&'a mut S),
    Taken(S),
}

impl<S> Source<'_, S> {
    pub(super) fn call<Q>(&mut self, request: Q) -> S::Future
    where
        S: Service<Q>,
    {
        match self {
            Self::InPlace(service) => service.call(request),
            Self::Taken(service) => service.call(request),
        }
    }

    /// The instance that is ready; a clone takes its place.
    pub(super) fn take(self) -> S
    where
        S: Clone,
    {
        match self {
            Self::InPlace(service) => {
                let clone = service.clone();
                std::mem::replace(service, clone)
            }
            Self::Taken(service) => service,
        }
    }
}

/// A request that waits for somebody else's call, with the ready service, should it have to make its own.
#[derive(Debug)]
pub(super) struct Waiter<S, B> {
    pub(super) service: S,
    pub(super) request: Request<B>,
    pub(super) learned: Option<Box<Learned>>,
}

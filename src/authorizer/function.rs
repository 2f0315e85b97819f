//! The function of an authorizer: a tower service, or a closure made into one.

use super::{AuthorizerAnswer, AuthorizerError, AuthorizerEvent, flight::BoxFuture};
use std::{
    fmt,
    future::{Future, poll_fn},
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};
use tower_service::Service;

/// Makes a service of an async function or closure: `authorizer_fn(|event: AuthorizerEvent| async move { .. })`.
///
/// The error may be a text (exactly `Unauthorized` is answered with 401, as from Lambda), or any type that converts
/// into [`AuthorizerError`].
pub fn authorizer_fn<F, Fut, E>(function: F) -> AuthorizerFn<F>
where
    F: FnMut(AuthorizerEvent) -> Fut,
    Fut: Future<Output = Result<AuthorizerAnswer, E>>,
    E: Into<AuthorizerError>,
{
    AuthorizerFn { function }
}

/// The service of [`authorizer_fn`].
#[derive(Clone, Copy)]
pub struct AuthorizerFn<F> {
    function: F,
}

impl<F> fmt::Debug for AuthorizerFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizerFn(..)")
    }
}

impl<F, Fut, E> Service<AuthorizerEvent> for AuthorizerFn<F>
where
    F: FnMut(AuthorizerEvent) -> Fut,
    Fut: Future<Output = Result<AuthorizerAnswer, E>>,
{
    type Response = AuthorizerAnswer;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: AuthorizerEvent) -> Fut {
        (self.function)(event)
    }
}

/// What one call of the function gives.
pub(super) type Answered = Result<AuthorizerAnswer, AuthorizerError>;

/// A function without its type: it is called for answers that are not cached, so the box costs nothing that counts.
pub(super) trait Function: Send + Sync {
    fn call(&self, event: AuthorizerEvent) -> BoxFuture<Answered>;
}

/// A service that is cloned for each call. The mutex is for services that are not `Sync`, held for the clone only.
pub(super) struct ServiceFunction<S>(pub(super) Mutex<S>);

impl<S> Function for ServiceFunction<S>
where
    S: Service<AuthorizerEvent, Response = AuthorizerAnswer> + Clone + Send + 'static,
    S::Error: Into<AuthorizerError>,
    S::Future: Send,
{
    fn call(&self, event: AuthorizerEvent) -> BoxFuture<Answered> {
        let mut service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
            service.call(event).await.map_err(Into::into)
        })
    }
}

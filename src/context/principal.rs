//! `PrincipalLayer`: the user's own authentication says who is calling.
//!
//! 1. The function sees method, URI, headers and extensions of the request, after the user's own authentication.
//! 2. `Some(id)`: the context's [`Principal`] is that id, unless an outer layer has already named one.
//! 3. `None`: nobody is named; the request goes on all the same. This layer never refuses.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::context::{PrincipalLayer, RequestContext};
//!
//! #[derive(Clone)]
//! struct Session(&'static str);
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let sessions = PrincipalLayer::new(|head| Some(head.extensions.get::<Session>()?.0.to_owned()));
//! let service = sessions.layer(service_fn(|request: Request<()>| async move {
//!     let context = RequestContext::of(request.extensions()).expect("made by the layer");
//!     let id = context.principal().map_or("nobody", |principal| principal.id()).to_owned();
//!     Ok::<_, Infallible>(Response::new(Bytes::from(id)))
//! }));
//! let known = Request::builder().extension(Session("ada")).body(()).unwrap();
//! assert_eq!(service.clone().oneshot(known).await.unwrap().into_body(), "ada");
//! assert_eq!(service.oneshot(Request::new(())).await.unwrap().into_body(), "nobody");
//! # });
//! ```

use super::{ContextConfig, Head, Principal};
use http::Request;
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

type IdentifyFn = dyn Fn(Head<'_>) -> Option<String> + Send + Sync;

/// Fills [`RequestContext::principal`](super::RequestContext::principal) by a function: `Some(id)` names the caller,
/// `None` nobody. It never refuses. It must only believe what the user's own authentication, outside of it, has
/// established (an extension, a session), not a header that a client could have set.
#[derive(Clone)]
pub struct PrincipalLayer {
    identify: Arc<IdentifyFn>,
}

impl PrincipalLayer {
    /// A layer that asks `identify` about every request. It should be quick, and it must not block.
    pub fn new(identify: impl Fn(Head<'_>) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { identify: Arc::new(identify) }
    }
}

impl PrincipalLayer {
    /// The phase: names the caller in the context.
    pub(crate) fn name<B>(&self, context: &super::RequestContext, request: &Request<B>) {
        if let Some(id) = (self.identify)(Head::of(request)) {
            context.set_principal(Principal::new(&id));
        }
    }
}

impl fmt::Debug for PrincipalLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrincipalLayer(fn)")
    }
}

impl<S> Layer<S> for PrincipalLayer {
    type Service = PrincipalService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PrincipalService { inner, layer: self.clone() }
    }
}

/// The service of [`PrincipalLayer`].
#[derive(Clone, Debug)]
pub struct PrincipalService<S> {
    inner: S,
    layer: PrincipalLayer,
}

impl<S, B> Service<Request<B>> for PrincipalService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = ContextConfig::default().find_or_create(&mut request);
        self.layer.name(&context, &request);
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::RequestContext;
    use http::Response;
    use std::convert::Infallible;
    use tower::{ServiceExt, service_fn};

    #[tokio::test]
    async fn the_outermost_layer_that_names_somebody_wins() {
        let seen = service_fn(|request: Request<()>| async move {
            let context = RequestContext::of(request.extensions()).unwrap();
            let id = context.variable("authorizer.principalId").map(|id| id.into_owned());
            Ok::<_, Infallible>(Response::new(id))
        });
        let named = |id: Option<&'static str>| PrincipalLayer::new(move |_| id.map(str::to_owned));
        let both = named(Some("outer")).layer(named(Some("inner")).layer(seen));
        assert_eq!(both.oneshot(Request::new(())).await.unwrap().body().as_deref(), Some("outer"));
        let second = named(None).layer(named(Some("inner")).layer(seen));
        assert_eq!(second.oneshot(Request::new(())).await.unwrap().body().as_deref(), Some("inner"));
        let nobody = named(None).layer(seen);
        assert_eq!(nobody.oneshot(Request::new(())).await.unwrap().into_body(), None);
    }
}

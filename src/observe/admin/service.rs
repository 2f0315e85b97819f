//! The service: who may look, and what stands where.

use super::{
    super::Metrics,
    explain::Explain,
    summary::{list, summary},
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    request::Parts,
};
use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The page, as it is sent.
const PAGE: &str = include_str!("page.html");
/// Only what the page itself carries, and requests to where it came from.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The answer, at once.
pub type AdminFuture<R> = Ready<Result<Response<R>, Infallible>>;

type Authorize = dyn Fn(&Parts) -> bool + Send + Sync;
type View = dyn Fn(&str) -> Option<String> + Send + Sync;

/// A small tower service for operators; see the [module docs](super).
pub struct AdminService<R> {
    config: Arc<Config>,
    body: PhantomData<fn() -> R>,
}

#[derive(Clone)]
struct Config {
    explain: Explain,
    metrics: Metrics,
    authorize: Option<Arc<Authorize>>,
    views: Vec<(Arc<str>, Arc<View>)>,
}

impl<R> AdminService<R> {
    /// Closed: everybody is refused.
    pub fn new(explain: Explain, metrics: Metrics) -> Self {
        let config = Config { explain, metrics, authorize: None, views: Vec::new() };
        Self { config: Arc::new(config), body: PhantomData }
    }

    /// Who may look, by the head of the request. Compare secrets in constant time.
    #[must_use]
    pub fn authorizer(mut self, authorize: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.config).authorize = Some(Arc::new(authorize));
        self
    }

    /// Adds a view of yours at `/name` and below: given the rest of the path, JSON or nothing (404). For `limits` and
    /// `stages`, from the handles that you hold.
    #[must_use]
    pub fn view(mut self, name: &str, view: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.config).views.push((name.into(), Arc::new(view)));
        self
    }
}

impl<R> Clone for AdminService<R> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config), body: PhantomData }
    }
}

impl<R> fmt::Debug for AdminService<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminService").field("open", &self.config.authorize.is_some()).finish_non_exhaustive()
    }
}

impl<B, R: From<Bytes>> Service<Request<B>> for AdminService<R> {
    type Response = Response<R>;
    type Error = Infallible;
    type Future = AdminFuture<R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, _) = request.into_parts();
        let (status, content_type, text) = self.config.answer(&head);
        let mut response = Response::new(R::from(text.into()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, content_type),
            (CONTENT_SECURITY_POLICY, POLICY),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        ready(Ok(response))
    }
}

/// Status, content type, text.
type Answer = (StatusCode, &'static str, String);

const JSON: &str = "application/json";

impl Config {
    fn answer(&self, head: &Parts) -> Answer {
        let may_look = self.authorize.as_ref().is_some_and(|authorize| authorize(head));
        if !may_look {
            return (StatusCode::FORBIDDEN, JSON, r#"{"message":"Forbidden"}"#.to_owned());
        }
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, JSON, r#"{"message":"Method Not Allowed"}"#.to_owned());
        }
        self.found(head.uri.path())
            .unwrap_or_else(|| (StatusCode::NOT_FOUND, JSON, r#"{"message":"Not Found"}"#.to_owned()))
    }

    fn found(&self, path: &str) -> Option<Answer> {
        let path = path.trim_start_matches('/');
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let json = |text: String| Some((StatusCode::OK, JSON, text));
        match (first, rest) {
            ("", "") => Some((StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned())),
            ("metrics", "") => {
                Some((StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics.render()))
            }
            ("summary", "") => json(summary(&self.explain, &self.metrics)),
            ("requests", "") => json(list(&self.explain.recent(), usize::MAX)),
            ("requests", id) => json(self.explain.request(id)?.to_json()),
            (view, rest) => {
                let (_, view) = self.views.iter().find(|(name, _)| **name == *view)?;
                json(view(rest)?)
            }
        }
    }
}

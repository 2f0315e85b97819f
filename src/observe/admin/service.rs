//! The service: who may look, and what stands where.

use super::{
    super::PrometheusMetrics,
    explain::Explain,
    handles::Handles,
    summary::{list, summary},
};
use crate::{
    error::ConfigError,
    percent::{Plus, decode},
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    request::Parts,
};
use std::{
    convert::Infallible,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// The page, as it is sent.
const PAGE: &str = include_str!("page.html");
/// Only the style and the script that the page itself carries, by their SHA-256, and requests to where it came from. What
/// else might find its way into the page is not run.
const POLICY: &str = "default-src 'none'; style-src 'sha256-kdQpi7LlYYZQVnQOaOgB6PpjYAreK0pmrq0S5PW+yjA='; script-src 'sha256-DKzn5yPpdpHkbQ8NP6oa2ai6FbrQqf+iHFrU+PpGkrA='; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What stands here whatever was given.
const OWN_VIEWS: [&str; 5] = ["limits", "metrics", "requests", "stages", "summary"];

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
    metrics: PrometheusMetrics,
    authorize: Option<Arc<Authorize>>,
    handles: Handles,
    views: Vec<(Arc<str>, Arc<View>)>,
}

impl<R> AdminService<R> {
    /// Closed: everybody is refused.
    pub fn new(explain: Explain, metrics: PrometheusMetrics) -> Self {
        let handles = Handles::default();
        let config = Config { explain, metrics, authorize: None, handles, views: Vec::new() };
        Self { config: Arc::new(config), body: PhantomData }
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Who may look, by the head of the request. Compare secrets in constant time.
    #[must_use]
    pub fn allow(self, allow: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.change(|config| config.authorize = Some(Arc::new(allow)))
    }

    /// Shows `/limits/{key}`, and the quotas of the busiest keys on the page. Default: 404.
    #[cfg(feature = "usage-plan")]
    #[must_use]
    pub fn usage_plans(self, plans: crate::usage_plan::UsagePlans) -> Self {
        self.change(|config| config.handles.usage_plans = Some(plans))
    }

    /// Lets `/limits/{key}` know keys that are in no plan, and whether a key is enabled. Default: a key in no plan is not
    /// known.
    #[cfg(feature = "api-key")]
    #[must_use]
    pub fn api_keys(self, keys: crate::api_key::ApiKeys) -> Self {
        self.change(|config| config.handles.api_keys = Some(keys))
    }

    /// Shows `/stages`, and the throttles of their methods in `/limits/{key}`. Default: 404.
    #[cfg(feature = "stage")]
    #[must_use]
    pub fn stages(self, stages: crate::stage::Stages) -> Self {
        self.change(|config| config.handles.stages = Some(stages))
    }

    /// Whether `/stages` shows the values of stage variables too: they name what stands behind the gateway. Default: names
    /// only.
    #[cfg(feature = "stage")]
    #[must_use]
    pub fn show_variable_values(self, show: bool) -> Self {
        self.change(|config| config.handles.variable_values = show)
    }

    /// Adds a view of yours at `/name` and below: given the rest of the path, with its escapes decoded, JSON or nothing
    /// (404).
    ///
    /// # Errors
    ///
    /// A name that stands here already, also where its handle was not given; an empty one, and one with a slash.
    pub fn view(
        self,
        name: &str,
        view: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let wrong = |problem| Err(ConfigError::new("view of the admin service", name, problem));
        if name.is_empty() || name.contains('/') {
            return wrong("is not one segment of a path");
        }
        if OWN_VIEWS.contains(&name) || self.config.views.iter().any(|(own, _)| **own == *name) {
            return wrong("is in use");
        }
        Ok(self.change(|config| config.views.push((name.into(), Arc::new(view)))))
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
        AdminFuture { reply: self.config.reply(&head), body: PhantomData }
    }
}

/// How a request is answered: at once, or after a store of shared usage was asked.
enum Reply {
    Now(Option<Answer>),
    Later(Pin<Box<dyn Future<Output = Answer> + Send>>),
}

/// Response future of [`AdminService`]. Dropping it leaves nothing behind.
pub struct AdminFuture<R> {
    reply: Reply,
    body: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for AdminFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminFuture").finish_non_exhaustive()
    }
}

impl<R: From<Bytes>> Future for AdminFuture<R> {
    type Output = Result<Response<R>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.reply {
            Reply::Now(answer) => answer.take(),
            Reply::Later(answer) => Some(ready!(answer.as_mut().poll(cx))),
        };
        answer.map_or(Poll::Pending, |answer| Poll::Ready(Ok(response(answer))))
    }
}

fn response<R: From<Bytes>>((status, content_type, text): Answer) -> Response<R> {
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
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Status, content type, text.
type Answer = (StatusCode, &'static str, String);

const JSON: &str = "application/json";

fn json(text: String) -> Option<Answer> {
    Some((StatusCode::OK, JSON, text))
}

fn found(answer: Option<Answer>) -> Answer {
    answer.unwrap_or_else(|| (StatusCode::NOT_FOUND, JSON, r#"{"message":"Not Found"}"#.to_owned()))
}

impl Config {
    fn reply(&self, head: &Parts) -> Reply {
        let may_look = self.authorize.as_ref().is_some_and(|authorize| authorize(head));
        if !may_look {
            return Reply::Now(Some((StatusCode::FORBIDDEN, JSON, r#"{"message":"Forbidden"}"#.to_owned())));
        }
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let answer = r#"{"message":"Method Not Allowed"}"#.to_owned();
            return Reply::Now(Some((StatusCode::METHOD_NOT_ALLOWED, JSON, answer)));
        }
        // One slash and no more: whoever judged by the path meant the one that is answered.
        let Some(path) = head.uri.path().strip_prefix('/') else { return Reply::Now(Some(found(None))) };
        let (first, rest) = match path.split_once('/') {
            Some((_, "")) => return Reply::Now(Some(found(None))),
            Some(parts) => parts,
            None => (path, ""),
        };
        self.slow(first, rest).unwrap_or_else(|| Reply::Now(Some(found(self.found(first, rest)))))
    }

    /// What a store may be asked for.
    fn slow(&self, first: &str, rest: &str) -> Option<Reply> {
        let Self { explain, metrics, handles, .. } = self;
        let (explain, metrics, handles) = (explain.clone(), metrics.clone(), handles.clone());
        match (first, rest) {
            ("summary", "") => {
                Some(Reply::Later(Box::pin(
                    async move { found(json(summary(explain, metrics, handles).await)) },
                )))
            }
            #[cfg(feature = "usage-plan")]
            ("limits", rest) if handles.usage_plans.is_some() => {
                let key = text_of(rest);
                Some(Reply::Later(Box::pin(async move {
                    let Some(key) = key else { return found(None) };
                    found(super::limits::limits(&handles, &key).await.and_then(json))
                })))
            }
            _ => None,
        }
    }

    fn found(&self, first: &str, rest: &str) -> Option<Answer> {
        match (first, rest) {
            ("", "") => Some((StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned())),
            ("metrics", "") => {
                Some((StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics.render()))
            }
            ("requests", "") => json(list(&self.explain.recent())),
            ("requests", id) => json(self.explain.request(&text_of(id)?)?.to_json()),
            (name, rest) => json(self.view_of(name, &text_of(rest)?)?),
        }
    }

    fn view_of(&self, name: &str, rest: &str) -> Option<String> {
        #[cfg(feature = "stage")]
        if let ("stages", Some(stages)) = (name, &self.handles.stages) {
            let show_values = self.handles.variable_values;
            return match rest {
                "" => Some(super::stages::stages(stages, show_values)),
                name => super::stages::stage(stages, name, show_values),
            };
        }
        let (_, view) = self.views.iter().find(|(own, _)| **own == *name)?;
        view(rest)
    }
}

/// Ids may have any characters: their escapes are decoded. `None` for what is no text then.
fn text_of(rest: &str) -> Option<String> {
    String::from_utf8(decode(rest.as_bytes(), Plus::Literal).into_owned()).ok()
}

#[cfg(all(test, feature = "api-key"))]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    #[test]
    fn the_policy_names_the_page_s_own_style_and_script() {
        for tag in ["style", "script"] {
            let (_, rest) = PAGE.split_once(&format!("<{tag}>")).unwrap();
            let (text, _) = rest.split_once(&format!("</{tag}>")).unwrap();
            let source = format!("{tag}-src 'sha256-{}';", STANDARD.encode(Sha256::digest(text)));
            assert!(POLICY.contains(&source), "the page has changed: {source}");
        }
        assert!(!POLICY.contains("unsafe"));
    }

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(text_of("a%2Fb%20%22%2541"), Some("a/b \"%41".into()));
        assert_eq!(text_of("%C3%A9é%"), Some("éé%".into()));
        assert_eq!(text_of("%FF"), None);
    }
}

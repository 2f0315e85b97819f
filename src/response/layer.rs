//! `GatewayResponseLayer`: re-renders refusals, adds the request ids.

use super::{
    GatewayError, GatewayResponses,
    config::{OF_SERVER, is_of_server},
    render::{X_AMZN_ERROR_TYPE, body_for},
    template::RequestHead,
};
use crate::{
    clock::Clock,
    context::{ApiKind, ContextConfig, RequestContext},
    error::ConfigError,
    future::{OnResponse, ResponseFuture, sealed::Sealed},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response,
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LENGTH, CONTENT_TYPE, VARY},
};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

static X_AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
static X_AMZ_APIGW_ID: HeaderName = HeaderName::from_static("x-amz-apigw-id");
pub(crate) static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
#[cfg(feature = "usage-plan")]
pub(crate) static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static APIGW_REQUEST_ID: HeaderName = HeaderName::from_static("apigw-requestid");

/// Answers refusals of the layers inside it as [`GatewayResponses`] says, and marks every answer with its request
/// id. Stands outside every layer that refuses; see the [module docs](super).
#[derive(Clone, Debug, Default)]
pub struct GatewayResponseLayer {
    config: Arc<Config>,
}

#[derive(Clone, Debug, Default)]
struct Config {
    responses: GatewayResponses,
    context: ContextConfig,
    bare_413: bool,
    explanation_id: Option<HeaderName>,
}

impl GatewayResponseLayer {
    /// A layer with the given configuration; `GatewayResponses::new()` for the built-in answers.
    pub fn new(responses: GatewayResponses) -> Self {
        Self { config: Arc::new(Config { responses, ..Config::default() }) }
    }

    /// The clock of arrival times, where this is the first of our layers. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        Arc::make_mut(&mut self.config).context.clock = clock;
        self
    }

    /// The kind of API, where no layer outside has said one. Default: what a layer inside says, or REST.
    #[must_use]
    pub fn api_kind(mut self, kind: ApiKind) -> Self {
        Arc::make_mut(&mut self.config).context.kind = Some(kind);
        self
    }

    /// The header field in which every refusal names its explanation: the request id, by which operators find the
    /// request's record (`observe::admin::Explain`) with the layer, what decided, and what would have been allowed. The
    /// client learns nothing from it but where to ask. Default: none.
    ///
    /// # Errors
    ///
    /// `Content-Length` and `Transfer-Encoding`, which belong to the HTTP server.
    pub fn explanation_id(mut self, name: HeaderName) -> Result<Self, ConfigError> {
        if is_of_server(&name) {
            return Err(ConfigError::new("explanation id", &name, OF_SERVER));
        }
        Arc::make_mut(&mut self.config).explanation_id = Some(name);
        Ok(self)
    }

    /// Leaves the request ids off the plain-text 413, as AWS does. Default: every answer carries them.
    #[must_use]
    pub fn bare_413(mut self, bare: bool) -> Self {
        Arc::make_mut(&mut self.config).bare_413 = bare;
        self
    }
}

/// What `Gateway` does with an answer, in the place of this layer.
#[cfg(feature = "gateway")]
impl GatewayResponseLayer {
    pub(crate) fn keep_head<B>(&self, request: &Request<B>) -> Option<Box<RequestHead>> {
        self.config.keep_head(request)
    }

    pub(crate) fn finish<R: From<Bytes>>(
        &self,
        context: &RequestContext,
        head: Option<&RequestHead>,
        response: &mut Response<R>,
    ) {
        self.config.finish(context, head, response);
    }
}

impl<S> Layer<S> for GatewayResponseLayer {
    type Service = GatewayResponseService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GatewayResponseService { inner, config: Arc::clone(&self.config) }
    }
}

/// The service of [`GatewayResponseLayer`].
#[derive(Clone, Debug)]
pub struct GatewayResponseService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S, B, R> Service<Request<B>> for GatewayResponseService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, Finish, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = self.config.context.establish(&mut request);
        let head = self.config.keep_head(&request);
        let finish = Finish { config: Arc::clone(&self.config), context, head };
        ResponseFuture::forwarded(self.inner.call(request), finish)
    }
}

/// What is done to an answer on its way out.
#[derive(Debug)]
#[doc(hidden)]
pub struct Finish {
    config: Arc<Config>,
    context: RequestContext,
    head: Option<Box<RequestHead>>,
}

impl Sealed for Finish {}

impl<R: From<Bytes>> OnResponse<R> for Finish {
    fn on_response(self, response: &mut Response<R>) {
        self.config.finish(&self.context, self.head.as_deref(), response);
    }
}

impl Config {
    /// Head and query of the request, where a template asks for them.
    fn keep_head<B>(&self, request: &Request<B>) -> Option<Box<RequestHead>> {
        let query = || request.uri().query().unwrap_or_default().to_owned();
        let keep = || Box::new(RequestHead { headers: request.headers().clone(), query: query() });
        self.responses.needs_request().then(keep)
    }

    fn finish<R: From<Bytes>>(
        &self,
        context: &RequestContext,
        head: Option<&RequestHead>,
        response: &mut Response<R>,
    ) {
        let error = response.extensions().get::<GatewayError>().cloned();
        let is_rest = context.api_kind() == ApiKind::Rest;
        let mut is_configured = false;
        if let Some(error) = &error {
            context.set_error(error.clone());
            if is_rest && !self.responses.is_empty() {
                is_configured = self.rerender(error, context, head, response);
            }
        }
        if let (Some(name), Some(_)) = (&self.explanation_id, &error)
            && let Ok(id) = HeaderValue::from_str(context.request_id())
        {
            response.headers_mut().insert(name, id);
        }
        let is_bare = |error: GatewayError| error.is_plain_text() && is_rest && !is_configured;
        if !(self.bare_413 && error.is_some_and(is_bare)) {
            add_ids(context, response.headers_mut());
        }
    }

    /// Whether the answer is a configured one.
    fn rerender<R: From<Bytes>>(
        &self,
        error: &GatewayError,
        context: &RequestContext,
        head: Option<&RequestHead>,
        response: &mut Response<R>,
    ) -> bool {
        let Some(configured) = self.responses.render(error, context, head) else { return false };
        *response.status_mut() = configured.rendered.status;
        let (body, length) = body_for(*context.method() == Method::HEAD, configured.rendered.body);
        *response.body_mut() = R::from(body);
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, length);
        }
        headers.insert(CONTENT_TYPE, configured.rendered.content_type);
        add_configured(headers, configured.headers);
        if let Some(error_type) = configured.rendered.error_type {
            headers.insert(&X_AMZN_ERROR_TYPE, error_type);
        }
        true
    }
}

/// Whether a field is one of an answer's to CORS.
pub(crate) fn is_cors_field(name: &HeaderName) -> bool {
    name.as_str().starts_with("access-control-")
}

/// Where CORS has decided on the origin, its fields stand: with one of them in other words, browsers would show the
/// answer to nobody, or to somebody else. What the answer varies by already, it does still.
fn add_configured(headers: &mut HeaderMap, configured: Vec<(HeaderName, HeaderValue)>) {
    let is_decided = headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
    for (name, value) in configured {
        if name == VARY {
            headers.append(name, value);
        } else if !(is_decided && is_cors_field(&name)) {
            headers.insert(name, value);
        }
    }
}

/// Both ids, and the `RateLimit` field of a plan inside `Gateway`, in one allocation.
fn add_ids(context: &RequestContext, headers: &mut HeaderMap) {
    let text = AnswerText::of(context);
    let end = text.length;
    let text = Bytes::from_owner(text);
    let mut insert = |name: &HeaderName, range| {
        if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(range)) {
            headers.insert(name, value);
        }
    };
    match context.api_kind() {
        ApiKind::Rest => {
            insert(&X_AMZN_REQUEST_ID, 0..ID_LEN);
            insert(&X_AMZ_APIGW_ID, ID_LEN..IDS_LEN);
        }
        ApiKind::Http => insert(&APIGW_REQUEST_ID, ID_LEN..IDS_LEN),
    }
    if end > IDS_LEN {
        insert(&RATELIMIT, IDS_LEN..end);
    }
}

/// Request id, extended id.
const ID_LEN: usize = 36;
const IDS_LEN: usize = ID_LEN + 16;

/// The text of the header values that are added, one after the other.
struct AnswerText {
    bytes: [u8; IDS_LEN + RATE_LIMIT_LEN],
    length: usize,
}

#[cfg(feature = "usage-plan")]
const RATE_LIMIT_LEN: usize = crate::context::FIELD_LEN;
#[cfg(not(feature = "usage-plan"))]
const RATE_LIMIT_LEN: usize = 0;

impl AnswerText {
    fn of(context: &RequestContext) -> Self {
        let mut text = Self { bytes: [0; IDS_LEN + RATE_LIMIT_LEN], length: IDS_LEN };
        text.bytes[..IDS_LEN].copy_from_slice(context.id_bytes());
        #[cfg(feature = "usage-plan")]
        if let (Some(limit), Some(rest)) = (context.rate_limit(), text.bytes.last_chunk_mut()) {
            text.length += limit.announced.write(rest);
        }
        text
    }
}

impl AsRef<[u8]> for AnswerText {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

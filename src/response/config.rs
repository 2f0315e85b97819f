//! `GatewayResponses`: what an API configures per type.

use super::{
    GatewayError, ResponseType,
    error::Form,
    render::Rendered,
    template::{ApiNames, RequestHead, Source, Template, Values},
};
use crate::{context::RequestContext, error::ConfigError};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use std::collections::HashMap;

const JSON: &str = "application/json";
pub(super) const DEFAULT_TEMPLATE: &str = r#"{"message":$context.error.messageString}"#;

/// One customised gateway response: status, headers, templates. What is left out takes the *built-in* value of the
/// type, not that of `DEFAULT_4XX` or `DEFAULT_5XX`.
#[derive(Clone, Debug, Default)]
pub struct GatewayResponse {
    status: Option<u16>,
    parameters: Vec<(String, String)>,
    templates: Vec<(String, String)>,
}

impl GatewayResponse {
    /// Everything built in, except that the body comes from the default template (so without the quirks of spacing
    /// and capitals, as on AWS).
    pub fn new() -> Self {
        Self::default()
    }

    /// `statusCode`: any final one, 200 to 999.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// A response parameter: the header `name` (with or without `gatewayresponse.header.` before it) from a source:
    /// `'text'`, `context.requestId`, `stageVariables.name`, `method.request.{header,path,querystring}.name`. A
    /// source without a value leaves the header out. `Content-Length` and `Transfer-Encoding` belong to the HTTP
    /// server; the request ids and the error type are ours and stay. So do the fields of a `CorsLayer` that has allowed the
    /// origin: `Access-Control-*` counts only where none has. `Vary` is added to the one that there is.
    #[must_use]
    pub fn header(mut self, name: &str, source: &str) -> Self {
        let name = name.strip_prefix("gatewayresponse.header.").unwrap_or(name);
        self.parameters.push((name.to_owned(), source.to_owned()));
        self
    }

    /// A response template for a media type: text with `$context.<name>`, `$stageVariables.<name>` and
    /// `$method.request.{header,path,querystring}.<name>`.
    #[must_use]
    pub fn template(mut self, media_type: &str, template: &str) -> Self {
        self.templates.push((media_type.to_owned(), template.to_owned()));
        self
    }

    fn compile(&self, response_type: ResponseType) -> Result<Compiled, ConfigError> {
        let place = || format!("gateway response {response_type}");
        let status = self.status.map(|status| match StatusCode::from_u16(status) {
            Ok(valid) if status >= 200 => Ok(valid),
            _ => Err(ConfigError::new(place(), status, "is not a final HTTP status")),
        });
        let headers = self.parameters.iter().map(|(name, source)| compile_header(name, source));
        let templates = self.templates.iter().map(|(media_type, text)| compile_template(media_type, text));
        let mut templates = templates.collect::<Result<Vec<_>, _>>()?;
        if templates.is_empty() {
            templates.push(compile_template(JSON, DEFAULT_TEMPLATE)?);
        }
        Ok(Compiled { status: status.transpose()?, headers: headers.collect::<Result<_, _>>()?, templates })
    }
}

/// Of destinations that AWS's schema has and its documentation gives no effect.
const NO_EFFECT: [&str; 2] = ["gatewayresponse.path.", "gatewayresponse.querystring."];
/// The server says these, from the answer it sends; another word would break the connection's framing.
const FRAMING: [HeaderName; 2] = [CONTENT_LENGTH, TRANSFER_ENCODING];

pub(super) const OF_SERVER: &str = "belongs to the HTTP server";

pub(super) fn is_of_server(name: &HeaderName) -> bool {
    FRAMING.contains(name)
}

fn compile_header(name: &str, source: &str) -> Result<(HeaderName, Source), ConfigError> {
    let fault = |problem: &'static str| ConfigError::new("gateway response header", name, problem);
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault("is not a header name"))?;
    if NO_EFFECT.iter().any(|prefix| header.as_str().starts_with(prefix)) {
        return Err(fault("only `gatewayresponse.header.` has an effect"));
    }
    if is_of_server(&header) {
        return Err(fault(OF_SERVER));
    }
    let source = Source::parameter(source)?;
    match &source {
        Source::Literal(text) if HeaderValue::from_str(text).is_err() => {
            Err(ConfigError::new("gateway response header", text, "is not a header value"))
        }
        _ => Ok((header, source)),
    }
}

fn compile_template(media_type: &str, text: &str) -> Result<CompiledTemplate, ConfigError> {
    let content_type = HeaderValue::from_str(media_type).ok().filter(|_| media_type.contains('/'));
    let content_type = content_type
        .ok_or_else(|| ConfigError::new("gateway response template", media_type, "is not a media type"))?;
    Ok(CompiledTemplate {
        media_type: media_type.to_ascii_lowercase(),
        content_type,
        template: Template::compile(text),
    })
}

#[derive(Clone, Debug)]
struct Compiled {
    status: Option<StatusCode>,
    headers: Vec<(HeaderName, Source)>,
    templates: Vec<CompiledTemplate>,
}

#[derive(Clone, Debug)]
struct CompiledTemplate {
    media_type: String,
    content_type: HeaderValue,
    template: Template,
}

/// The gateway responses of an API: which answer each [`ResponseType`] gets.
///
/// 1. An entry for exactly the type.
/// 2. Otherwise the entry for `DEFAULT_4XX` or `DEFAULT_5XX`, by the type's own status; without a status of its own
///    it keeps the type's.
/// 3. Otherwise the built-in answer, to the byte.
///
/// The two never merge. The plain-text 413 of a body that is too large is changed only by an entry for
/// `REQUEST_TOO_LARGE` (AWS: not customisable); the 403 of an unknown stage by none.
#[derive(Clone, Debug, Default)]
pub struct GatewayResponses {
    entries: HashMap<ResponseType, Compiled>,
    needs_request: bool,
    api: ApiNames,
}

impl GatewayResponses {
    /// The built-in answers.
    pub fn new() -> Self {
        Self::default()
    }

    /// `$context.apiId` in headers and templates. Default: that of the observer's `ApiInfo` inside `Gateway`, else it
    /// has no value. `$context.resourceId` never has one: resources are known by their paths here.
    #[must_use]
    pub fn api_id(mut self, id: impl Into<String>) -> Self {
        self.api.api_id = Some(id.into());
        self
    }

    /// `$context.accountId` in headers and templates. Default: as for [`api_id`](Self::api_id).
    #[must_use]
    pub fn account_id(mut self, id: impl Into<String>) -> Self {
        self.api.account_id = Some(id.into());
        self
    }

    /// Fills in what nobody has said here.
    #[cfg(feature = "gateway")]
    pub(crate) fn or_named(mut self, api_id: Option<&str>, account_id: Option<&str>) -> Self {
        self.api.api_id = self.api.api_id.or_else(|| api_id.map(str::to_owned));
        self.api.account_id = self.api.account_id.or_else(|| account_id.map(str::to_owned));
        self
    }

    /// Customises one type.
    ///
    /// # Errors
    ///
    /// A status, header, source or media type that is none; a `context.` name that is none of `$context`. In templates,
    /// what has no value is left out.
    pub fn with(
        mut self,
        response_type: ResponseType,
        response: &GatewayResponse,
    ) -> Result<Self, ConfigError> {
        let compiled = response.compile(response_type)?;
        self.needs_request |= compiled.templates.iter().any(|entry| entry.template.needs_request())
            || compiled.templates.len() > 1
            || compiled.headers.iter().any(|(_, source)| source.needs_request());
        self.entries.insert(response_type, compiled);
        Ok(self)
    }

    /// Whether the request's head must be kept until the answer.
    pub(super) fn needs_request(&self) -> bool {
        self.needs_request
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The configured answer of a refusal; `None` where the built-in one stands.
    pub(super) fn render(
        &self,
        error: &GatewayError,
        context: &RequestContext,
        head: Option<&RequestHead>,
    ) -> Option<Configured> {
        let (compiled, by_family) = self.resolve(error)?;
        let own_status = if by_family { None } else { error.response_type().default_status() };
        let entry = compiled.select(head);
        let values = Values { context, head, api: &self.api };
        let rendered = Rendered {
            status: compiled.status.or(own_status).unwrap_or_else(|| error.status()),
            content_type: entry.content_type.clone(),
            error_type: Some(error.error_type_value()),
            body: entry.template.render(values).into(),
        };
        let value = |source: &Source| HeaderValue::from_str(&source.resolve(values)?).ok();
        let headers =
            compiled.headers.iter().filter_map(|(name, source)| Some((name.clone(), value(source)?)));
        Some(Configured { rendered, headers: headers.collect() })
    }

    fn resolve(&self, error: &GatewayError) -> Option<(&Compiled, bool)> {
        let family = if error.status().is_server_error() {
            ResponseType::Default5xx
        } else {
            ResponseType::Default4xx
        };
        let exact = || self.entries.get(&error.response_type()).map(|entry| (entry, false));
        let by_family = || self.entries.get(&family).map(|entry| (entry, true));
        match error.form() {
            Form::Json => exact().or_else(by_family),
            Form::PlainText => exact(),
            Form::Fixed => None,
        }
    }
}

/// A configured answer and the headers that go with it.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) rendered: Rendered,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Compiled {
    /// The template for the first media type of `Accept`, else JSON's, else the first.
    fn select(&self, head: Option<&RequestHead>) -> &CompiledTemplate {
        let accept = head.and_then(|head| head.headers.get(ACCEPT)).and_then(|value| value.to_str().ok());
        let first = accept
            .and_then(|accept| accept.split([',', ';']).next())
            .map(|first| first.trim().to_ascii_lowercase());
        let of = |wanted: &str| self.templates.iter().find(|entry| entry.media_type == wanted);
        first.as_deref().and_then(of).or_else(|| of(JSON)).unwrap_or(&self.templates[0])
    }
}

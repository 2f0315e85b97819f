//! A refusal as data (design D4).

use super::{
    Remains, ResponseType,
    render::{self, Rendered},
};
#[cfg(feature = "policy")]
use crate::context::Reason;
use crate::context::{ApiKind, RequestContext};
use crate::route::PathError;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use std::{borrow::Cow, fmt};

/// Why a request was refused. For operators, logs and tests; never in the client's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The path has a dot segment, plain or encoded.
    DotSegment,
    /// The path has `%` without two hexadecimal digits, or an encoded NUL.
    InvalidEscape,
    /// No stage, no base path mapping, or no host by that name.
    UnknownStage,
    /// Two `Host` fields: which of them a service goes by, nobody knows.
    HostRepeated,
    /// No resource with that path and method.
    NoRoute,
    /// The user's request filter said no.
    Filtered,
    /// The method wants an authorizer of a kind that the gateway does not have.
    AuthorizerMissing,
    /// A key is required and none was sent.
    ApiKeyMissing,
    /// More than one key was sent.
    ApiKeyRepeated,
    /// The key does not have the form of a key.
    ApiKeyMalformed,
    /// No such key.
    ApiKeyUnknown,
    /// The key is disabled, or its rotation period has ended.
    ApiKeyDisabled,
    /// The key is in no plan that covers this stage.
    ApiKeyNotInPlan,
    /// The plan's throttle for this method.
    PlanMethodThrottle,
    /// The plan's throttle.
    PlanThrottle,
    /// The stage's throttle for this method.
    StageMethodThrottle,
    /// The account's throttle.
    AccountThrottle,
    /// The plan's quota.
    Quota,
    /// The store of shared usage did not answer, and the plan's policy is to refuse then.
    UsageStoreUnavailable,
    /// The URL is longer than the limit.
    UrlTooLong,
    /// The header fields are larger than the limit.
    HeadersTooLarge,
    /// The announced length of the body is above the limit.
    ContentLengthTooLarge,
    /// The body grew above the limit while it streamed.
    BodyTooLarge,
    /// The body arrived below the minimum rate.
    BodyTooSlow,
    /// `Content-Length` is not one number.
    InvalidContentLength,
    /// The service did not answer in time.
    IntegrationTimeout,
    /// The request is not signed.
    SignatureMissing,
    /// Two signatures: header and query, or the header twice.
    SignatureAmbiguous,
    /// Parameters of the signature are missing or malformed.
    SignatureIncomplete,
    /// The signature's date or lifetime is malformed.
    SignatureDateMalformed,
    /// The signature is too old.
    SignatureExpired,
    /// The signature is from the future.
    SignatureNotYetCurrent,
    /// The host is not signed.
    SignatureHostUnsigned,
    /// An `x-amz-*` field is not signed, and the setting demands it.
    SignatureHeaderUnsigned,
    /// The signature is for another Region, service, day or terminator.
    SignatureScope,
    /// No such access key.
    AccessKeyUnknown,
    /// The signature is not the request's.
    SignatureMismatch,
    /// The session token is missing, repeated, or not the access key's.
    SessionTokenInvalid,
    /// The temporary credentials have expired.
    SessionTokenExpired,
    /// The signature was used before.
    SignatureReplayed,
    /// As many signatures are remembered against replays as may be.
    ReplayWindowFull,
    /// The store of access keys failed.
    CredentialsUnavailable,
    /// The request body could not be read to its end.
    BodyUnreadable,
    /// The caller's identity policies do not allow the call.
    IdentityPolicySilent,
    /// The caller's identity policies deny the call.
    IdentityPolicyDenied,
    /// The ARN of the request is longer than policies may judge.
    ResourceArnTooLong,
    /// An identity source of the authorizer is missing or empty.
    IdentityMissing,
    /// An identity source is not text, or does not match the validation expression.
    IdentityMalformed,
    /// The method names an authorizer that the layer does not have.
    AuthorizerUnknown,
    /// The authorizer said `Unauthorized`.
    AuthorizerUnauthorized,
    /// The authorizer answered something that is not an authorizer's answer.
    AuthorizerMalformed,
    /// The authorizer failed or could not be reached.
    AuthorizerFailed,
    /// The authorizer did not answer in time.
    AuthorizerTimeout,
    /// The authorizer's policy, or the resource policy with it, denies explicitly.
    AuthorizerExplicitDeny,
    /// Neither the authorizer's policy nor a resource policy allows.
    AuthorizerImplicitDeny,
    /// The resource policy denies explicitly.
    ResourcePolicyDenied,
    /// The resource policy does not allow, or there is none where there must be one: for a call through a private entry.
    ResourcePolicySilent,
    /// The connection has no client certificate.
    ClientCertificateMissing,
    /// The client certificate was given to another domain name than the request is for.
    ClientCertificateForeign,
    /// More than one token was sent.
    TokenRepeated,
    /// The token is not a signed JWT, or demands an extension.
    TokenMalformed,
    /// The token's algorithm is not a configured one, or not its key's.
    TokenAlgorithm,
    /// No key has the token's `kid`.
    TokenKeyUnknown,
    /// The issuer's keys could not be had.
    TokenKeysUnavailable,
    /// The token's signature is wrong.
    TokenSignature,
    /// The token is another issuer's.
    TokenIssuer,
    /// The token is for another audience.
    TokenAudience,
    /// The token has another use: an access token in place of an ID token, or the other way round.
    TokenUse,
    /// The token has expired.
    TokenExpired,
    /// The token's time is still to come.
    TokenNotYetValid,
    /// The token has none of the method's scopes.
    TokenScope,
    /// The client wanted to invalidate a cache entry, and may not.
    CacheControlUnauthorized,
    /// The call to the service that this request shared ended without an answer: the service panicked.
    SharedCallFailed,
    /// The client wanted a stored answer or none (`only-if-cached`), and there is none.
    NotCached,
}

/// A refusal: its kind, its words, and why. Found in the extensions of the answer and in
/// [`RequestContext::error`](crate::context::RequestContext::error).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayError {
    response_type: ResponseType,
    cause: Cause,
    status: Option<StatusCode>,
    /// Replaces the type's message.
    message: Option<Cow<'static, str>>,
    error_type: Option<&'static str>,
    form: Form,
}

/// How the built-in answer of a refusal looks, and what may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, configurable by type and family.
    Json,
    /// JSON that no configuration changes: there is no API yet whose configuration could apply.
    Fixed,
    /// The plain text of a gateway-made 413, changed only by an entry for exactly its type.
    PlainText,
}

impl GatewayError {
    pub(crate) fn new(response_type: ResponseType, cause: Cause) -> Self {
        Self { response_type, cause, status: None, message: None, error_type: None, form: Form::Json }
    }

    /// A refusal of the two families, with its own status, words and error type.
    pub(crate) fn client_error(
        cause: Cause,
        status: StatusCode,
        message: &'static str,
        error_type: &'static str,
    ) -> Self {
        let mut error = Self::new(ResponseType::Default4xx, cause);
        error.status = Some(status);
        error.message = Some(message.into());
        error.error_type = Some(error_type);
        error
    }

    /// A refusal of one of the types, in other words.
    #[cfg(feature = "jwt")]
    pub(crate) fn in_words(response_type: ResponseType, cause: Cause, message: &'static str) -> Self {
        let mut error = Self::new(response_type, cause);
        error.message = Some(message.into());
        error
    }

    /// 400 for a request that must not go on. Wording unconfirmed on AWS.
    pub(crate) fn bad_request(cause: Cause) -> Self {
        Self::client_error(cause, StatusCode::BAD_REQUEST, "Bad Request", "BadRequestException")
    }

    /// The same for a path that must not be routed.
    pub(crate) fn bad_path(error: PathError) -> Self {
        Self::bad_request(match error {
            PathError::DotSegment => Cause::DotSegment,
            PathError::InvalidEscape => Cause::InvalidEscape,
        })
    }

    /// 403 `Forbidden` for an unknown stage, host or base path: not customisable on AWS either.
    pub(crate) fn unknown_stage() -> Self {
        let forbidden = ("Forbidden", "ForbiddenException");
        let mut error =
            Self::client_error(Cause::UnknownStage, StatusCode::FORBIDDEN, forbidden.0, forbidden.1);
        error.form = Form::Fixed;
        error
    }

    /// 403 `Forbidden` before an API is chosen: not customisable.
    #[cfg(feature = "mtls")]
    pub(crate) fn forbidden(cause: Cause) -> Self {
        let mut error = Self::client_error(cause, StatusCode::FORBIDDEN, "Forbidden", "ForbiddenException");
        error.form = Form::Fixed;
        error
    }

    /// 414 for a call whose ARN is longer than policies may judge. The body's shape is unconfirmed on AWS.
    #[cfg(feature = "policy")]
    pub(crate) fn arn_too_long() -> Self {
        let (status, text) = (StatusCode::URI_TOO_LONG, "Request URI too long");
        Self::client_error(Cause::ResourceArnTooLong, status, text, "BadRequestException")
    }

    /// A 403 `ACCESS_DENIED` in its own words.
    #[cfg(feature = "policy")]
    pub(crate) fn access_denied(cause: Cause, message: String) -> Self {
        let mut error = Self::new(ResponseType::AccessDenied, cause);
        error.message = Some(message.into());
        error
    }

    /// The gateway-made 413: plain text that names the limit.
    pub(crate) fn content_too_long(cause: Cause, limit: u64) -> Self {
        let mut error = Self::new(ResponseType::RequestTooLarge, cause);
        error.message = Some(format!("HTTP content length exceeded {limit} bytes.").into());
        error.form = Form::PlainText;
        error
    }

    /// The same kind of refusal in other words, with another error type.
    #[cfg(feature = "sigv4")]
    pub(crate) fn with_words(
        mut self,
        message: impl Into<Cow<'static, str>>,
        error_type: &'static str,
    ) -> Self {
        self.message = Some(message.into());
        self.error_type = Some(error_type);
        self
    }

    /// 504 of a cache that was asked for a stored answer or none (RFC 9111 section 5.2.1.7).
    #[cfg(feature = "cache")]
    pub(crate) fn not_cached() -> Self {
        let mut error = Self::new(ResponseType::Default5xx, Cause::NotCached);
        error.status = Some(StatusCode::GATEWAY_TIMEOUT);
        error.message = Some("Gateway Timeout".into());
        error
    }

    /// 503 of a limit whose store is away. AWS has no such answer; the words are those of HTTP.
    #[cfg(feature = "usage-plan")]
    pub(crate) fn unavailable(cause: Cause) -> Self {
        let mut error = Self::new(ResponseType::Default5xx, cause);
        error.status = Some(StatusCode::SERVICE_UNAVAILABLE);
        error.message = Some("Service Unavailable".into());
        error.error_type = Some("ServiceUnavailableException");
        error
    }

    /// The kind of gateway response.
    pub fn response_type(&self) -> ResponseType {
        self.response_type
    }

    /// Why, for operators.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The status of the built-in answer on a REST API.
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| self.response_type.fallback_status())
    }

    /// `$context.error.message` of a REST API.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref().or_else(|| self.response_type.default_message())
    }

    /// What the client of an API of this kind is told: an HTTP API has words of its own.
    pub(crate) fn told(&self, kind: ApiKind) -> Option<&str> {
        render::told(self, kind)
    }

    /// `$context.error.messageString`: the message as a JSON string, or `null`.
    pub fn message_string(&self) -> Cow<'_, str> {
        self.message().map_or(Cow::Borrowed("null"), |message| render::json_string(message).into())
    }

    /// `x-amzn-ErrorType` of a REST API.
    pub fn error_type(&self) -> &'static str {
        self.error_type.unwrap_or_else(|| self.response_type.error_type())
    }

    pub(super) fn error_type_value(&self) -> HeaderValue {
        let default = || self.response_type.defaults().error_type_value.clone();
        self.error_type.map_or_else(default, HeaderValue::from_static)
    }

    pub(super) fn is_plain_text(&self) -> bool {
        self.form == Form::PlainText
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    pub(super) fn has_own_message(&self) -> bool {
        self.message.is_some()
    }

    /// The built-in answer, with this error noted in the context too: how a layer refuses.
    pub(crate) fn refuse<B: From<Bytes>>(self, context: &RequestContext) -> Response<B> {
        self.refuse_with(context, Remains::default())
    }

    /// The same, made of what is left of the request.
    pub(crate) fn refuse_with<B: From<Bytes>>(
        self,
        context: &RequestContext,
        remains: Remains,
    ) -> Response<B> {
        context.set_error(self.clone());
        self.unnoted(context, remains)
    }

    /// The same without the note, for who leaves that to others.
    pub(crate) fn unnoted<B: From<Bytes>>(self, context: &RequestContext, remains: Remains) -> Response<B> {
        self.into_response(context.api_kind(), remains.of_method(context.method()))
    }

    /// The same with a reason for operators, in the context and in the answer's extensions.
    #[cfg(feature = "policy")]
    pub(crate) fn refuse_for<B, T>(self, context: &RequestContext, reason: Option<T>) -> Response<B>
    where
        B: From<Bytes>,
        T: Reason + Clone + 'static,
    {
        if let Some(reason) = reason.clone() {
            context.set_reason(reason);
        }
        let mut response = self.refuse(context);
        if let Some(reason) = reason {
            response.extensions_mut().insert(reason);
        }
        response
    }

    /// The same for layers that do without a context where no outer layer made one: a REST answer then.
    #[cfg(any(feature = "payload-limit", feature = "timeout", feature = "cache"))]
    pub(crate) fn refuse_in<B: From<Bytes>>(
        self,
        context: Option<&RequestContext>,
        remains: Remains,
    ) -> Response<B> {
        match context {
            Some(context) => self.refuse_with(context, remains),
            None => self.into_response(ApiKind::default(), remains),
        }
    }

    /// The built-in answer, with this error in its extensions.
    pub(crate) fn into_response<B: From<Bytes>>(self, kind: ApiKind, remains: Remains) -> Response<B> {
        let rendered = Rendered::built_in(&self, kind);
        let mut response = rendered.into_response(remains);
        response.extensions_mut().insert(self);
        response
    }
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}): {}", self.response_type, self.cause, self.message().unwrap_or("null"))
    }
}

impl std::error::Error for GatewayError {}

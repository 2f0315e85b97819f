//! From a compiled name to its value at the end of a request.

use super::super::event::{RequestEvent, millis};
use crate::{
    clock::Timestamp,
    context::{RequestContext, common_log_time},
};
use http::{HeaderValue, StatusCode};
use std::{borrow::Cow, cell::RefCell, fmt::Write, net::IpAddr};

/// A name of a format, looked up once. What has no place of its own here is asked of the context by name, so that
/// variables of layers to come appear by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::observe) enum Variable {
    RequestId,
    ExtendedRequestId,
    SourceIp,
    RequestTime,
    RequestTimeEpoch,
    HttpMethod,
    Path,
    Protocol,
    ResourcePath,
    Stage,
    Status,
    ResponseLength,
    ResponseLatency,
    IntegrationLatency,
    IntegrationStatus,
    IntegrationError,
    TransferMode,
    TimeToAllHeaders,
    TimeToFirstContent,
    UserAgent,
    EndpointRequestId,
    EndpointRequestId2,
    RouteKey,
    ApiId,
    AccountId,
    DomainPrefix,
    DataProcessed,
    RequestLength,
    Outcome,
    ErrorCause,
    ErrorLayer,
    #[cfg(any(feature = "tracing", feature = "xray"))]
    XrayTraceId,
    Named(Box<str>),
    /// One whose text is a number.
    NamedNumber(Box<str>),
}

/// A value before it is written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::observe) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Address(IpAddr),
    Time(Timestamp),
}

impl Variable {
    pub(in crate::observe) fn named(name: &str) -> Self {
        match name {
            "requestId" => Self::RequestId,
            "extendedRequestId" => Self::ExtendedRequestId,
            "identity.sourceIp" => Self::SourceIp,
            "requestTime" => Self::RequestTime,
            "requestTimeEpoch" => Self::RequestTimeEpoch,
            "httpMethod" => Self::HttpMethod,
            "path" => Self::Path,
            "protocol" => Self::Protocol,
            "resourcePath" => Self::ResourcePath,
            "stage" => Self::Stage,
            "status" => Self::Status,
            "responseLength" => Self::ResponseLength,
            "responseLatency" => Self::ResponseLatency,
            "integrationLatency" | "integration.latency" => Self::IntegrationLatency,
            "integrationStatus" | "integration.status" | "integration.integrationStatus" => {
                Self::IntegrationStatus
            }
            "integrationErrorMessage" | "integration.error" => Self::IntegrationError,
            "integration.responseTransferMode" => Self::TransferMode,
            // The head of an answer comes at once.
            "integration.timeToAllHeaders" => Self::TimeToAllHeaders,
            "integration.timeToFirstContent" => Self::TimeToFirstContent,
            "identity.userAgent" => Self::UserAgent,
            "awsEndpointRequestId" | "integration.requestId" => Self::EndpointRequestId,
            "awsEndpointRequestId2" => Self::EndpointRequestId2,
            "routeKey" => Self::RouteKey,
            "apiId" => Self::ApiId,
            "accountId" => Self::AccountId,
            "domainPrefix" => Self::DomainPrefix,
            "dataProcessed" => Self::DataProcessed,
            "requestLength" => Self::RequestLength,
            "outcome" => Self::Outcome,
            "error.cause" => Self::ErrorCause,
            "error.layer" => Self::ErrorLayer,
            #[cfg(any(feature = "tracing", feature = "xray"))]
            "xrayTraceId" => Self::XrayTraceId,
            other if is_number(other) => Self::NamedNumber(other.into()),
            other => Self::Named(other.into()),
        }
    }

    pub(in crate::observe) fn value<'a>(&self, event: &RequestEvent<'a>) -> Option<Value<'a>> {
        let context = event.context();
        let text = |text: &'a str| Some(Value::Text(Cow::Borrowed(text)));
        match self {
            Self::RequestId => text(context.request_id()),
            Self::ExtendedRequestId => text(context.extended_request_id()),
            Self::SourceIp => context.source_ip().map(Value::Address),
            Self::RequestTime => Some(Value::Time(context.arrived())),
            Self::RequestTimeEpoch => u64::try_from(context.arrived().unix_millis()).ok().map(Value::Number),
            Self::HttpMethod => text(context.method().as_str()),
            Self::Path => text(context.received_uri().path()),
            // Whatever the client speaks, as AWS says it.
            Self::Protocol => text("HTTP/1.1"),
            Self::ResourcePath => text(context.resource_path()?),
            Self::Stage => text(context.stage()?),
            Self::Status => event.status().map(status),
            Self::ResponseLength => Some(Value::Number(event.response_length())),
            Self::ResponseLatency => Some(Value::Number(millis(event.latency()))),
            Self::IntegrationLatency => context.integration_latency().map(|time| Value::Number(millis(time))),
            Self::IntegrationStatus => context.integration_status().map(status),
            Self::IntegrationError => text(event.integration_error()?),
            // Nothing here waits for the end of an answer.
            Self::TransferMode => context.integration_status().and(text("STREAMED")),
            // Of an answer: one that the gateway made has neither head nor content of the service.
            Self::TimeToAllHeaders => {
                let latency = context.integration_status().and(context.integration_latency());
                latency.map(|time| Value::Number(millis(time)))
            }
            Self::TimeToFirstContent => {
                let first = context.integration_status().and(context.time_to_first_content());
                first.map(|time| Value::Number(millis(time)))
            }
            Self::UserAgent => as_sent(context.user_agent()),
            Self::EndpointRequestId => as_sent(context.endpoint_ids()[0].map(HeaderValue::as_bytes)),
            Self::EndpointRequestId2 => as_sent(context.endpoint_ids()[1].map(HeaderValue::as_bytes)),
            Self::RouteKey => route_key(context),
            Self::ApiId => event.api().api_id().map_or_else(|| named(context, "apiId"), text),
            Self::AccountId => event.account_id().map_or_else(|| named(context, "accountId"), text),
            Self::DomainPrefix => text(context.domain_name()?.split('.').next()?),
            Self::DataProcessed => {
                let received = event.request_length().unwrap_or(0);
                Some(Value::Number(received.saturating_add(event.response_length())))
            }
            Self::RequestLength => event.request_length().map(Value::Number),
            Self::Outcome => text(event.outcome().as_str()),
            Self::ErrorCause => Some(Value::Text(format!("{:?}", event.error()?.cause()).into())),
            Self::ErrorLayer => text(context.refusing_layer()?),
            #[cfg(any(feature = "tracing", feature = "xray"))]
            Self::XrayTraceId => Some(Value::Text(context.trace()?.trace_id().to_string().into())),
            Self::Named(name) => named(context, name),
            Self::NamedNumber(name) => number(context, name),
        }
    }
}

/// Whether AWS says of a variable of the context that it is a status, or a time in milliseconds; and the age of ours.
fn is_number(name: &str) -> bool {
    const FIELDS: [&str; 4] = ["status", "latency", "integrationStatus", "integrationLatency"];
    let Some((phase, field)) = name.split_once('.') else { return false };
    match phase {
        "waf" | "authenticate" | "authorize" => FIELDS[..2].contains(&field),
        "authorizer" => FIELDS.contains(&field),
        "cache" => field == "age",
        _ => false,
    }
}

/// What an authorizer of a client's own says under such a name may be any text: only one that reads back is a number.
fn number<'a>(context: &'a RequestContext, name: &str) -> Option<Value<'a>> {
    let text = context.variable(name).filter(|text| !text.is_empty())?;
    let number = text.parse().ok().filter(|number| itoa::Buffer::new().format::<u64>(*number) == text);
    Some(number.map_or(Value::Text(text), Value::Number))
}

fn as_sent(value: Option<&[u8]>) -> Option<Value<'_>> {
    let sent = value.filter(|value| !value.is_empty())?;
    Some(Value::Text(String::from_utf8_lossy(sent)))
}

fn named<'a>(context: &'a RequestContext, name: &str) -> Option<Value<'a>> {
    context.variable(name).filter(|text| !text.is_empty()).map(Value::Text)
}

fn status<'a>(status: StatusCode) -> Value<'a> {
    Value::Number(status.as_u16().into())
}

/// `GET /pets/{id}`, as it was declared. What a later layer knows better (WebSocket) comes first.
fn route_key(context: &RequestContext) -> Option<Value<'_>> {
    named(context, "routeKey").or_else(|| {
        let declared = context.route()?.declared();
        Some(Value::Text(format!("{} {}", declared.verb_name(), declared.resource_path).into()))
    })
}

impl Value<'_> {
    /// What needs no escaping, and whether that was all.
    pub(in crate::observe) fn write_plain(&self, out: &mut String) -> bool {
        match self {
            Self::Text(_) => return false,
            Self::Number(number) => out.push_str(itoa::Buffer::new().format(*number)),
            Self::Address(address) => {
                let _writing_to_a_string_cannot_fail = write!(out, "{address}");
            }
            Self::Time(time) => push_time(*time, out),
        }
        true
    }
}

thread_local! {
    /// The last second that was written out.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

fn push_time(time: Timestamp, out: &mut String) {
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != time.unix_seconds() {
            (*second, *text) = (time.unix_seconds(), common_log_time(time));
        }
        out.push_str(text);
    });
}

//! AWS's ready formats, for each kind of API.

use super::{AccessLogFormat, Escaping};

/// Whose variables and whose presets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogApi {
    /// REST APIs (v1).
    #[default]
    Rest,
    /// HTTP APIs (v2).
    Http,
}

/// The four layouts that AWS offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogPreset {
    /// Common Log Format.
    Clf,
    /// JSON, as AWS lays it out.
    Json,
    /// XML.
    Xml,
    /// Comma-separated values.
    Csv,
}

impl LogPreset {
    pub(super) fn escaping(self) -> Escaping {
        match self {
            Self::Clf => Escaping::Quoted,
            Self::Json => Escaping::Json,
            Self::Xml => Escaping::Xml,
            Self::Csv => Escaping::Csv,
        }
    }

    /// AWS: "Set up CloudWatch logging for REST APIs" and "Customize HTTP API access logs" in the developer guide. The
    /// line breaks of those pages are not part of a format.
    #[rustfmt::skip]
    pub(super) fn text(self, api: LogApi) -> &'static str {
        use LogApi::{Http, Rest};
        match (api, self) {
            (Rest, Self::Clf) => r#"$context.identity.sourceIp $context.identity.caller $context.identity.user [$context.requestTime] "$context.httpMethod $context.resourcePath $context.protocol" $context.status $context.responseLength $context.requestId $context.extendedRequestId"#,
            (Rest, Self::Json) => r#"{ "requestId":"$context.requestId", "extendedRequestId":"$context.extendedRequestId","ip": "$context.identity.sourceIp", "caller":"$context.identity.caller", "user":"$context.identity.user", "requestTime":"$context.requestTime", "httpMethod":"$context.httpMethod", "resourcePath":"$context.resourcePath", "status":"$context.status", "protocol":"$context.protocol", "responseLength":"$context.responseLength" }"#,
            (Rest, Self::Xml) => r#"<request id="$context.requestId"> <extendedRequestId>$context.extendedRequestId</extendedRequestId> <ip>$context.identity.sourceIp</ip> <caller>$context.identity.caller</caller> <user>$context.identity.user</user> <requestTime>$context.requestTime</requestTime> <httpMethod>$context.httpMethod</httpMethod> <resourcePath>$context.resourcePath</resourcePath> <status>$context.status</status> <protocol>$context.protocol</protocol> <responseLength>$context.responseLength</responseLength> </request>"#,
            (Rest, Self::Csv) => "$context.identity.sourceIp,$context.identity.caller,$context.identity.user,$context.requestTime,$context.httpMethod,$context.resourcePath,$context.protocol,$context.status,$context.responseLength,$context.requestId,$context.extendedRequestId",
            (Http, Self::Clf) => r#"$context.identity.sourceIp - - [$context.requestTime] "$context.httpMethod $context.routeKey $context.protocol" $context.status $context.responseLength $context.requestId"#,
            (Http, Self::Json) => r#"{ "requestId":"$context.requestId", "ip": "$context.identity.sourceIp", "requestTime":"$context.requestTime", "httpMethod":"$context.httpMethod","routeKey":"$context.routeKey", "status":"$context.status","protocol":"$context.protocol", "responseLength":"$context.responseLength" }"#,
            (Http, Self::Xml) => r#"<request id="$context.requestId"> <ip>$context.identity.sourceIp</ip> <requestTime>$context.requestTime</requestTime> <httpMethod>$context.httpMethod</httpMethod> <routeKey>$context.routeKey</routeKey> <status>$context.status</status> <protocol>$context.protocol</protocol> <responseLength>$context.responseLength</responseLength> </request>"#,
            (Http, Self::Csv) => "$context.identity.sourceIp,$context.requestTime,$context.httpMethod,$context.routeKey,$context.protocol,$context.status,$context.responseLength,$context.requestId",
        }
    }
}

impl AccessLogFormat {
    /// One of AWS's ready formats, its values escaped as its layout demands (AWS inserts them raw: see
    /// [`AccessLogFormat::escaping`]).
    pub fn preset(api: LogApi, preset: LogPreset) -> Self {
        Self::compile(preset.text(api), preset.escaping())
    }
}

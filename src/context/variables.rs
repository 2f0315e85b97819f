//! The `$context` table: one read-only function over the context, read by gateway responses, access logs, execution logs
//! and authorizers.

use super::{RequestContext, phases::Phase};
use crate::{clock::Timestamp, response::json_string};
use std::borrow::Cow;

const PHASES: [(&str, Phase); 3] =
    [("waf.", Phase::Filter), ("authenticate.", Phase::Authenticate), ("authorize.", Phase::Authorize)];

impl RequestContext {
    /// The value of `$context.<name>`; `None` where it has none (an access log prints `-`, a gateway response
    /// template nothing).
    ///
    /// `identity.apiKey` is the key itself, as on AWS: think before you log it. `waf.*`, `authenticate.*` and
    /// `authorize.*` are kept where an observer asks for them.
    ///
    /// AWS: "Variables for access logging for API Gateway" in the developer guide.
    pub fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(field) = name.strip_prefix("error.") {
            return self.error_variable(field);
        }
        if let Some(field) = name.strip_prefix("authorizer.") {
            return self.authorizer_variable(field);
        }
        for (prefix, phase) in PHASES {
            if let Some(field) = name.strip_prefix(prefix) {
                return self.phase_variable(phase, field);
            }
        }
        #[cfg(feature = "mtls")]
        if let Some(field) = name.strip_prefix("identity.clientCert.") {
            return self.client_certificate()?.variable(field).map(Cow::Borrowed);
        }
        #[cfg(feature = "cache")]
        if let Some(field) = name.strip_prefix("cache.") {
            return self.cache_variable(field);
        }
        let borrowed = match name {
            "requestId" => self.request_id(),
            "extendedRequestId" => self.extended_request_id(),
            "httpMethod" => self.method().as_str(),
            "path" => self.received_uri().path(),
            "protocol" => "HTTP/1.1",
            "stage" => self.stage()?,
            "deploymentId" => self.deployment_id()?,
            "resourcePath" => self.resource_path()?,
            "isCanaryRequest" => return self.is_canary_request().map(|canary| canary.to_string().into()),
            "customDomain.basePathMatched" => self.base_path_matched()?,
            "identity.apiKey" => self.api_key()?.expose_value(),
            "identity.apiKeyId" => self.api_key()?.id(),
            "identity.sourceIp" => return Some(self.source_ip()?.to_string().into()),
            "routeKey" => return self.route_key().map(Cow::Owned),
            "requestTime" => return Some(common_log_time(self.arrived()).into()),
            "requestTimeEpoch" => return Some(self.arrived().unix_millis().to_string().into()),
            "domainName" => self.domain_name()?,
            "domainPrefix" => self.domain_name()?.split('.').next()?,
            #[cfg(feature = "access-log")]
            "identity.userAgent" => {
                return self.user_agent().filter(|sent| !sent.is_empty()).map(String::from_utf8_lossy);
            }
            "wafResponseCode" => self.filter_verdict()?,
            "tlsVersion" => self.ingress()?.tls_version()?,
            "cipherSuite" => self.ingress()?.cipher_suite()?,
            "identity.vpcId" => self.ingress()?.vpc_id()?,
            "identity.vpceId" => self.ingress()?.vpc_endpoint_id()?,
            "endpointType" => self.ingress()?.endpoint_type(),
            _ => self.caller()?.variable(name.strip_prefix("identity.")?)?,
        };
        Some(Cow::Borrowed(borrowed))
    }

    /// `$context.routeKey`: the declared method and resource path, `GET /pets/{id}`.
    pub(crate) fn route_key(&self) -> Option<String> {
        let method = self.route()?.declared();
        Some(format!("{} {}", method.verb_name(), method.resource_path))
    }

    /// Ours; AWS has none for its cache: `cache.status`, `cache.reason`, `cache.age` (whole seconds).
    #[cfg(feature = "cache")]
    fn cache_variable(&self, field: &str) -> Option<Cow<'_, str>> {
        match field {
            "status" => Some(self.cache_status()?.as_str().into()),
            "reason" => Some(self.cache_reason()?.as_str().into()),
            "age" => Some(self.cache_age()?.as_secs().to_string().into()),
            _ => None,
        }
    }

    fn error_variable(&self, field: &str) -> Option<Cow<'_, str>> {
        let error = self.error()?;
        match field {
            "message" => error.told(self.api_kind()).map(Cow::Borrowed),
            "messageString" => {
                let told = error.told(self.api_kind());
                Some(told.map_or("null".into(), |told| json_string(told).into()))
            }
            "responseType" => Some(error.response_type().as_str().into()),
            _ => None,
        }
    }
}

pub(super) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Sun Nov 22 12:34:56 UTC 2026`.
#[cfg(feature = "jwt")]
pub(super) fn utc_text(unix_seconds: i64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let days = unix_seconds.div_euclid(86_400);
    let (year, month, day) = civil_from_days(days);
    let of_day = unix_seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let (weekday, month) = (WEEKDAYS[days.rem_euclid(7) as usize], MONTHS[month - 1]);
    format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
}

/// `22/Nov/2026:07:18:00 +0000`.
pub(crate) fn common_log_time(time: Timestamp) -> String {
    let seconds = time.unix_seconds();
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{day:02}/{}/{year}:{hour:02}:{minute:02}:{second:02} +0000", MONTHS[month - 1])
}

/// Year, month (1 to 12) and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
pub(crate) fn civil_from_days(days: i64) -> (i64, usize, i64) {
    // Years start in March here, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_port() {
        let name = crate::context::host::without_port;
        assert_eq!(name("a.example:8080"), "a.example");
        assert_eq!(name("a.example"), "a.example");
        assert_eq!(name("[::1]:80"), "[::1]");
    }

    #[test]
    fn times_print_as_aws_prints_them() {
        let at = |seconds: i64| common_log_time(Timestamp::new(0, seconds * 1_000_000_000));
        assert_eq!(at(1_795_331_880), "22/Nov/2026:07:18:00 +0000");
        assert_eq!(at(951_782_400), "29/Feb/2000:00:00:00 +0000");
        assert_eq!(at(-1), "31/Dec/1969:23:59:59 +0000");
    }
}

//! The names that a format may use.

/// What an HTTP API's format may name; AWS refuses others there. `authorizer.*` comes beside it.
pub(super) const HTTP_API: [&str; 48] = [
    "accountId",
    "apiId",
    "awsEndpointRequestId",
    "awsEndpointRequestId2",
    "customDomain.basePathMatched",
    "dataProcessed",
    "domainName",
    "domainPrefix",
    "error.message",
    "error.messageString",
    "error.responseType",
    "extendedRequestId",
    "httpMethod",
    "identity.accountId",
    "identity.caller",
    "identity.clientCert.clientCertPem",
    "identity.clientCert.issuerDN",
    "identity.clientCert.serialNumber",
    "identity.clientCert.subjectDN",
    "identity.clientCert.validity.notAfter",
    "identity.clientCert.validity.notBefore",
    "identity.cognitoAuthenticationProvider",
    "identity.cognitoAuthenticationType",
    "identity.cognitoIdentityId",
    "identity.cognitoIdentityPoolId",
    "identity.principalOrgId",
    "identity.sourceIp",
    "identity.user",
    "identity.userAgent",
    "identity.userArn",
    "integration.error",
    "integration.integrationStatus",
    "integration.latency",
    "integration.requestId",
    "integration.status",
    "integrationErrorMessage",
    "integrationLatency",
    "integrationStatus",
    "path",
    "protocol",
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "resourcePath",
    "responseLatency",
    "responseLength",
    "routeKey",
    "stage",
];

/// Ours, for every kind of API: AWS has nothing that says so.
pub(super) const OURS: [&str; 7] =
    ["cache.age", "cache.reason", "cache.status", "error.cause", "error.layer", "outcome", "requestLength"];

pub(super) fn is_known_to_http_apis(name: &str) -> bool {
    name == "status"
        || HTTP_API.contains(&name)
        || OURS.contains(&name)
        || name.strip_prefix("authorizer.").is_some_and(|field| !field.is_empty())
}

/// What is kept of a request's phases only where somebody asks for it.
pub(super) fn is_of_phase(name: &str) -> bool {
    let starts = ["waf.", "authenticate.", "authorize."].iter().any(|start| name.starts_with(start));
    starts || matches!(name, "wafResponseCode" | "integration.timeToFirstContent")
}

/// Values that open doors: credentials, and what an authorizer calls by such a name.
pub(super) fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let named = lower.starts_with("authorizer.") || lower.starts_with("requestoverride.");
    name == "identity.apiKey" || named && is_secret_name(name)
}

/// What a header field or a parameter of such a name carries is nobody's to read.
pub(in crate::observe) fn is_secret_name(name: &str) -> bool {
    const WORDS: [&str; 7] =
        ["authorization", "cookie", "password", "secret", "signature", "token", "x-api-key"];
    let lower = name.to_ascii_lowercase();
    WORDS.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for secret in ["identity.apiKey", "authorizer.accessToken", "requestOverride.header.Authorization"] {
            assert!(is_secret(secret), "{secret}");
        }
        for open in ["identity.apiKeyId", "requestId", "authorizer.principalId", "authorizer.claims.sub"] {
            assert!(!is_secret(open), "{open}");
        }
    }
}

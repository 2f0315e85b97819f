//! The names that a format may use.

/// What an HTTP API's format may name; AWS refuses others there. `authorizer.*` comes beside it.
pub(super) const HTTP_API: [&str; 47] = [
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

/// What a header field, a parameter or a member of such a name carries is nobody's to read, however the words are
/// written: `x-api-key`, `api_key` and `apiKey` are one.
pub(in crate::observe) fn is_secret_name(name: &str) -> bool {
    const WORDS: [&str; 13] = [
        "accesskey",
        "apikey",
        "authkey",
        "authorization",
        "cookie",
        "credential",
        "jwt",
        "passwd",
        "password",
        "secret",
        "signature",
        "subscriptionkey",
        "token",
    ];
    let (outer, last) = name.rsplit_once('.').unwrap_or(("", name));
    let told = letters(if is_about_a_secret(last) { outer } else { name });
    WORDS.iter().any(|word| told.contains(word))
}

/// Names that say which or what kind of secret it is, and nothing of it.
fn is_about_a_secret(name: &str) -> bool {
    let told = letters(name);
    let names_one = ["apikey", "credential"].iter().filter_map(|word| Some(told.split_once(word)?.1));
    matches!(&*told, "tokenuse" | "tokentype" | "accesscontrolallowcredentials")
        || names_one.into_iter().any(|rest| matches!(rest, "id" | "name"))
}

/// Without what stands between words, in lower case.
fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for secret in [
            "identity.apiKey",
            "authorizer.accessToken",
            "authorizer.api_key",
            "authorizer.dbPasswd",
            "authorizer.claims.access_token",
            "requestOverride.header.Authorization",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for open in [
            "identity.apiKeyId",
            "requestId",
            "authorizer.principalId",
            "authorizer.claims.sub",
            "authorizer.claims.token_use",
            "authorizer.token_type",
        ] {
            assert!(!is_secret(open), "{open}");
        }
    }

    #[test]
    fn the_words_of_a_name_may_be_joined_in_any_way() {
        for secret in [
            "api_key",
            "apikey",
            "Api-Key",
            "apiKey",
            "x-goog-api-key",
            "user[api_key]",
            "Ocp-Apim-Subscription-Key",
            "X-Amz-Credential",
            "passwd",
            "id_jwt",
            "access-key",
            "auth_key",
        ] {
            assert!(is_secret_name(secret), "{secret}");
        }
        for open in [
            "key",
            "token_use",
            "token-type",
            "accept",
            "keyboard",
            "x-forwarded-for",
            "Access-Control-Allow-Credentials",
            "authorizer.apiKeyId",
            "api_key_name",
        ] {
            assert!(!is_secret_name(open), "{open}");
        }
        assert!(is_secret_name("secret.token_type") && is_secret_name("apiKeyIdToken"));
    }
}

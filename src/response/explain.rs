//! Causes in words for operators: whose check it was, and what it asks for.

use super::Cause;

impl Cause {
    /// The layer whose refusal this is; of a cause that several share, the one that has it inside a gateway.
    pub fn layer(self) -> &'static str {
        use Cause as C;
        match self {
            C::DotSegment | C::InvalidEscape | C::UnknownStage | C::HostRepeated | C::NoRoute => {
                "StageRouter"
            }
            C::Filtered => "FilterLayer",
            C::AuthorizerMissing => "Gateway",
            C::ApiKeyMissing
            | C::ApiKeyRepeated
            | C::ApiKeyMalformed
            | C::ApiKeyUnknown
            | C::ApiKeyDisabled => "ApiKeyLayer",
            C::ApiKeyNotInPlan
            | C::PlanMethodThrottle
            | C::PlanThrottle
            | C::StageMethodThrottle
            | C::AccountThrottle
            | C::Quota
            | C::UsageStoreUnavailable => "UsagePlanLayer",
            C::UrlTooLong
            | C::HeadersTooLarge
            | C::ContentLengthTooLarge
            | C::BodyTooLarge
            | C::BodyTooSlow
            | C::InvalidContentLength => "PayloadLimitLayer",
            C::IntegrationTimeout => "TimeoutLayer",
            C::ResourcePolicyDenied | C::ResourcePolicySilent => "ResourcePolicyLayer",
            C::ClientCertificateMissing | C::ClientCertificateForeign => "MutualTlsLayer",
            C::CacheControlUnauthorized | C::SharedCallFailed | C::NotCached => "CacheLayer",
            other => other.authorizer(),
        }
    }

    /// Of what is left: the three kinds of authorizers.
    fn authorizer(self) -> &'static str {
        use Cause as C;
        match self {
            C::IdentityMissing
            | C::IdentityMalformed
            | C::AuthorizerUnknown
            | C::AuthorizerUnauthorized
            | C::AuthorizerMalformed
            | C::AuthorizerFailed
            | C::AuthorizerTimeout
            | C::AuthorizerExplicitDeny
            | C::AuthorizerImplicitDeny => "AuthorizerLayer",
            C::TokenRepeated
            | C::TokenMalformed
            | C::TokenAlgorithm
            | C::TokenKeyUnknown
            | C::TokenKeysUnavailable
            | C::TokenSignature
            | C::TokenIssuer
            | C::TokenAudience
            | C::TokenUse
            | C::TokenExpired
            | C::TokenNotYetValid
            | C::TokenScope => "JwtAuthorizerLayer",
            _ => "SigV4AuthLayer",
        }
    }

    /// What the check asks for, in a sentence: what would have been allowed.
    pub fn would_allow(self) -> &'static str {
        use Cause as C;
        match self {
            C::DotSegment => "a path without dot segments",
            C::InvalidEscape => "a path whose `%` stand before two hexadecimal digits, other than 00",
            C::UnknownStage => "a stage, base path and host that are configured",
            C::HostRepeated => "one Host field",
            C::NoRoute => "a declared resource and method",
            C::Filtered => "whatever the request filter lets pass",
            C::AuthorizerMissing | C::AuthorizerUnknown => {
                "a deployment whose methods name authorizers that are there"
            }
            C::ApiKeyMissing | C::ApiKeyRepeated | C::ApiKeyMalformed | C::ApiKeyUnknown => {
                "one known API key"
            }
            C::ApiKeyDisabled => "an API key that is enabled",
            C::ApiKeyNotInPlan => "an API key of a usage plan that covers this stage",
            C::PlanMethodThrottle | C::PlanThrottle | C::StageMethodThrottle | C::AccountThrottle => {
                "the same request later, at the limit's rate"
            }
            C::Quota => "the same request in the quota's next period",
            C::UsageStoreUnavailable => "a store of usage that answers, or a failure policy other than Deny",
            C::UrlTooLong | C::HeadersTooLarge | C::ContentLengthTooLarge | C::BodyTooLarge => {
                "a smaller request, or a greater limit"
            }
            C::BodyTooSlow => "a body that arrives at the minimum rate",
            C::InvalidContentLength => "one Content-Length that is a number",
            C::IntegrationTimeout => "an answer of the service within the timeout",
            C::BodyUnreadable => "a body that arrives to its end",
            C::ClientCertificateMissing => "a connection with a client certificate",
            C::ClientCertificateForeign => "a request for the domain name that the connection was made for",
            C::CacheControlUnauthorized => {
                "the same request without Cache-Control, or the right to invalidate"
            }
            C::SharedCallFailed => "a service that does not panic",
            C::NotCached => "the same request without only-if-cached",
            other => other.authorizer_would_allow(),
        }
    }

    fn authorizer_would_allow(self) -> &'static str {
        use Cause as C;
        match self {
            C::SignatureMissing | C::SignatureAmbiguous | C::SignatureIncomplete | C::SignatureMismatch => {
                "one complete signature of the request as received"
            }
            C::SignatureDateMalformed | C::SignatureExpired | C::SignatureNotYetCurrent => {
                "a signature made within the clock skew, or its presigned lifetime"
            }
            C::SignatureHostUnsigned | C::SignatureHeaderUnsigned => "a signature over this header field too",
            C::SignatureScope => "a credential for this Region, service and day",
            C::AccessKeyUnknown => "an access key that the store knows",
            C::SessionTokenInvalid | C::SessionTokenExpired => {
                "the access key's session token, before it expires"
            }
            C::SignatureReplayed => "a new signature",
            C::ReplayWindowFull => "the same request later, or a greater replay window",
            C::CredentialsUnavailable => "a store that answers",
            C::IdentityPolicySilent => "an identity or resource policy that allows the call",
            C::IdentityPolicyDenied => "identity policies that do not deny the call",
            C::ResourcePolicySilent => "a resource policy that allows the call",
            C::ResourcePolicyDenied => "a resource policy that does not deny the call",
            C::ResourceArnTooLong => "a shorter path",
            C::IdentityMissing => "all identity sources, none of them empty",
            C::IdentityMalformed => "identity sources that are text and match the validation expression",
            C::AuthorizerUnauthorized => "a credential that the authorizer's function accepts",
            C::AuthorizerMalformed | C::AuthorizerFailed | C::AuthorizerTimeout => {
                "a well-formed answer of the authorizer's function in time"
            }
            C::AuthorizerExplicitDeny => "an answer of the authorizer that does not deny the call",
            C::AuthorizerImplicitDeny => {
                "an answer of the authorizer, or a resource policy, that allows the call"
            }
            C::TokenRepeated => "one token",
            C::TokenMalformed => "a signed JWT without extensions",
            C::TokenAlgorithm => "a token with a configured algorithm, the one of its key",
            C::TokenKeyUnknown | C::TokenKeysUnavailable => "a token whose key the issuer publishes",
            C::TokenSignature => "the token as its issuer signed it",
            C::TokenIssuer => "a token of the configured issuer",
            C::TokenAudience => "a token for a configured audience",
            C::TokenUse => "a token of the other use",
            C::TokenExpired => "a token before its exp",
            C::TokenNotYetValid => "a token after its nbf and iat",
            C::TokenScope => "a token with one of the method's scopes",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_by_their_layer() {
        for (cause, layer) in [
            (Cause::NoRoute, "StageRouter"),
            (Cause::ApiKeyUnknown, "ApiKeyLayer"),
            (Cause::Quota, "UsagePlanLayer"),
            (Cause::UsageStoreUnavailable, "UsagePlanLayer"),
            (Cause::SignatureMismatch, "SigV4AuthLayer"),
            (Cause::IdentityPolicySilent, "SigV4AuthLayer"),
            (Cause::AuthorizerTimeout, "AuthorizerLayer"),
            (Cause::TokenExpired, "JwtAuthorizerLayer"),
        ] {
            assert_eq!(cause.layer(), layer, "{cause:?}");
            assert!(!cause.would_allow().is_empty(), "{cause:?}");
        }
    }
}

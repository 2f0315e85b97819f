//! Which layer a refusal comes from.

use super::Cause;

impl Cause {
    /// The layer that refused, by its module: `api_key`, `usage_plan`, `stage`, ...; `authorizer` for every kind that is
    /// asked by a method (JWT and Cognito too), `gateway` where a deployment names what is not there. In access logs:
    /// `$context.error.layer`.
    pub fn layer(self) -> &'static str {
        use Cause::*;
        match self {
            DotSegment | InvalidEscape | UnknownStage | NoRoute => "stage",
            Filtered => "filter",
            AuthorizerMissing => "gateway",
            ApiKeyMissing | ApiKeyRepeated | ApiKeyMalformed | ApiKeyUnknown | ApiKeyDisabled => "api_key",
            ApiKeyNotInPlan | PlanMethodThrottle | PlanThrottle | StageMethodThrottle | AccountThrottle
            | Quota => "usage_plan",
            UrlTooLong
            | HeadersTooLarge
            | ContentLengthTooLarge
            | BodyTooLarge
            | BodyTooSlow
            | InvalidContentLength => "payload_limit",
            IntegrationTimeout => "timeout",
            SignatureMissing
            | SignatureAmbiguous
            | SignatureIncomplete
            | SignatureDateMalformed
            | SignatureExpired
            | SignatureNotYetCurrent
            | SignatureHostUnsigned
            | SignatureHeaderUnsigned
            | SignatureScope
            | AccessKeyUnknown
            | SignatureMismatch
            | SessionTokenInvalid
            | SessionTokenExpired
            | SignatureReplayed
            | ReplayWindowFull
            | CredentialsUnavailable
            | BodyUnreadable
            | IdentityPolicySilent
            | IdentityPolicyDenied
            | ResourceArnTooLong => "sigv4",
            IdentityMissing
            | IdentityMalformed
            | AuthorizerUnknown
            | AuthorizerUnauthorized
            | AuthorizerMalformed
            | AuthorizerFailed
            | AuthorizerTimeout
            | AuthorizerExplicitDeny
            | AuthorizerImplicitDeny
            | TokenRepeated
            | TokenMalformed
            | TokenAlgorithm
            | TokenKeyUnknown
            | TokenKeysUnavailable
            | TokenSignature
            | TokenIssuer
            | TokenAudience
            | TokenUse
            | TokenExpired
            | TokenNotYetValid
            | TokenScope => "authorizer",
            ResourcePolicyDenied | ResourcePolicySilent => "resource_policy",
            ClientCertificateMissing | ClientCertificateForeign => "mtls",
            CacheControlUnauthorized | SharedCallFailed | NotCached => "cache",
        }
    }
}

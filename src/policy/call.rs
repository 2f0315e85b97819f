//! The ARN of a call as it was routed, whatever its spelling.

use super::{Decision, ExecuteApi, ExecuteApiArn};
use crate::route::{decoded_path, matched_path};

/// The ARNs under which a call is judged. One, for nearly every request.
///
/// The router takes `/admin`, `/admin/`, `//admin` and `/%61dmin` for the same resource, and the service behind it may
/// not. A policy must not be avoided by another spelling, so where the path as received is not the one that is matched,
/// both must be allowed. A service may also decode what the router does not (`/admin%2Fkeys`), so an explicit deny of
/// the decoded path counts too.
pub(crate) struct CallArns {
    matched: ExecuteApiArn,
    received: Option<ExecuteApiArn>,
    decoded: Option<ExecuteApiArn>,
}

impl CallArns {
    pub(crate) fn new(api: &ExecuteApi, stage: &str, method: &str, path: &str) -> Self {
        let arn = |path: &str| api.arn(stage, method, path);
        let (matched, decoded) = (matched_path(path), decoded_path(path));
        Self {
            received: (*matched != *path).then(|| arn(path)),
            decoded: (*decoded != *path && *decoded != *matched).then(|| arn(&decoded)),
            matched: arn(&matched),
        }
    }

    /// The ARN that is shown: that of the path as it was matched.
    pub(crate) fn matched(&self) -> &str {
        self.matched.as_str()
    }

    /// The strictest decision, and the ARN that it was made about.
    pub(crate) fn decide(&self, evaluate: impl Fn(&str) -> Decision) -> (Decision, &str) {
        let mut strictest = (evaluate(self.matched()), self.matched());
        if let Some(received) = &self.received {
            let decision = evaluate(received.as_str());
            if decision > strictest.0 {
                strictest = (decision, received.as_str());
            }
        }
        if let Some(decoded) = &self.decoded
            && evaluate(decoded.as_str()).is_explicit_deny()
        {
            strictest = (Decision::ExplicitDeny, decoded.as_str());
        }
        strictest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{AccessRequest, INVOKE, Policy};

    fn decide(effect: &str, resource: &str, path: &str) -> Decision {
        let api = ExecuteApi::new("eu-west-1", "111122223333", "a1").unwrap();
        let everything = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
        let others = if effect == "Deny" { format!("{everything},") } else { String::new() };
        let statement =
            format!(r#"{{"Effect": "{effect}", "Action": "*", "Resource": "execute-api:/{resource}"}}"#);
        let policy =
            Policy::identity_for(&api, format!(r#"{{"Statement": [{others}{statement}]}}"#)).unwrap();
        let arns = CallArns::new(&api, "v1", "GET", path);
        arns.decide(|arn| policy.evaluate(&AccessRequest::new(INVOKE, arn, &()))).0
    }

    #[test]
    fn a_deny_is_not_avoided_by_another_spelling() {
        for path in ["/admin", "/admin/", "//admin", "/%61dmin", "/%61dmin/"] {
            assert_eq!(decide("Deny", "v1/GET/admin", path), Decision::ExplicitDeny, "{path}");
        }
        for path in ["/admin/", "/admin/x", "/admin%2Fx", "/admin%2fx", "/%61dmin%2F"] {
            assert_eq!(decide("Deny", "v1/GET/admin/*", path), Decision::ExplicitDeny, "{path}");
        }
        for path in ["/caf%C3%A9", "/caf%c3%a9"] {
            assert_eq!(decide("Deny", "v1/GET/caf%C3%A9", path), Decision::ExplicitDeny, "{path}");
            assert_eq!(decide("Deny", "v1/GET/caf\u{e9}", path), Decision::ExplicitDeny, "{path}");
        }
        assert_eq!(decide("Deny", "v1/GET/admin", "/administrator"), Decision::Allow);
    }

    #[test]
    fn an_allow_must_cover_every_spelling() {
        assert_eq!(decide("Allow", "v1/GET/pets", "/pets"), Decision::Allow);
        assert_eq!(decide("Allow", "v1/GET/pets", "/pets/"), Decision::ImplicitDeny, "B2");
        assert_eq!(decide("Allow", "v1/GET/pets*", "/pets/"), Decision::Allow);
        assert_eq!(decide("Allow", "v1/GET/pets/*", "/pets/a%2Fb"), Decision::Allow);
        assert_eq!(decide("Allow", "v1/GET/", "/"), Decision::Allow);
    }
}

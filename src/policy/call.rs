//! The ARN of a call as it was routed, whatever its spelling.

use super::{Decision, ExecuteApi, ExecuteApiArn};
use crate::{
    response::GatewayError,
    route::{decoded_path, matched_path},
};

/// Longest ARN of an authorized method, in bytes, that AWS judges.
const LONGEST_ARN: usize = 1600;

/// Refuses a call whose ARN nobody is asked about: it is too long.
#[allow(dead_code, reason = "not every feature set has a layer that authorizes")]
pub(crate) fn check_arn_length(
    api: &ExecuteApi,
    stage: &str,
    method: &str,
    path: &str,
) -> Result<(), GatewayError> {
    // The path as it is matched is no longer than the path as received.
    if api.arn_length(stage, method, path) <= LONGEST_ARN {
        return Ok(());
    }
    match api.arn_length(stage, method, &matched_path(path)) <= LONGEST_ARN {
        true => Ok(()),
        false => Err(GatewayError::arn_too_long()),
    }
}

/// The ARNs under which a call is judged. One, for nearly every request.
///
/// The router takes `/admin`, `/admin/`, `//admin` and `/%61dmin` for the same resource, so one ARN stands for all of
/// them: that of the path as it is matched. An allow rests on it alone, and it is what authorizers, logs and refusals
/// are told. The service behind may look at the path as received, or decode what the router does not (`/admin%2Fkeys`);
/// a deny must not be avoided by another spelling, so an explicit deny of either counts too, and so does what an allow
/// excepts (`NotResource`).
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

    /// The ARN that is judged and shown: that of the path as it was matched.
    pub(crate) fn matched(&self) -> &str {
        self.matched.as_str()
    }

    /// The other spellings.
    pub(crate) fn spellings(&self) -> [Option<&str>; 2] {
        [&self.received, &self.decoded].map(|arn| arn.as_ref().map(ExecuteApiArn::as_str))
    }

    /// The decision, and the ARN that it was made about: the matched one, or another spelling that is denied.
    pub(crate) fn decide(&self, evaluate: impl Fn(&str) -> Decision) -> (Decision, &str) {
        let decision = (evaluate(self.matched()), self.matched());
        if decision.0.is_explicit_deny() {
            return decision;
        }
        let denied = self.spellings().into_iter().flatten().find(|arn| evaluate(arn).is_explicit_deny());
        denied.map_or(decision, |arn| (Decision::ExplicitDeny, arn))
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
        let element = if resource.starts_with('!') { "NotResource" } else { "Resource" };
        let resource = resource.trim_start_matches('!');
        let statement =
            format!(r#"{{"Effect": "{effect}", "Action": "*", "{element}": "execute-api:/{resource}"}}"#);
        let policy =
            Policy::identity_for(&api, format!(r#"{{"Statement": [{others}{statement}]}}"#)).unwrap();
        let arns = CallArns::new(&api, "v1", "GET", path);
        let keys = ();
        let evaluate = |arn: &str| {
            policy.evaluate(&AccessRequest::new(INVOKE, arn, &keys).also_spelled(arns.spellings()))
        };
        arns.decide(evaluate).0
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
    fn what_an_allow_excepts_is_not_let_in_by_another_spelling() {
        let but_admin = "!v1/GET/admin/*";
        for path in
            ["/admin/keys", "/admin%2Fkeys", "/%61dmin/keys", "//admin/keys", "/%61dmin%2fkeys", "/admin/"]
        {
            assert_eq!(decide("Allow", but_admin, path), Decision::ImplicitDeny, "{path}");
        }
        for path in ["/pets", "/pets/", "/pets%2Fadmin", "/administrator"] {
            assert_eq!(decide("Allow", but_admin, path), Decision::Allow, "{path}");
        }
        assert_eq!(decide("Deny", "!v1/GET/pets/*", "/pets%2F7"), Decision::ExplicitDeny, "not below");
        assert_eq!(decide("Deny", "!v1/GET/pets/*", "/pets/7"), Decision::Allow);
    }

    #[test]
    fn the_longest_arn_has_1600_bytes() {
        let api = ExecuteApi::new("eu-west-1", "111122223333", "a1").unwrap();
        let rest = LONGEST_ARN - api.arn("v1", "GET", "/").as_str().len();
        let check = |path: &str| check_arn_length(&api, "v1", "GET", path).is_ok();
        for (unit, length) in [("x", 1), ("%78", 1), ("%2F", 3)] {
            let longest = rest / length;
            assert!(check(&format!("/{}", unit.repeat(longest))), "{unit}");
            assert!(!check(&format!("/{}", unit.repeat(longest + 1))), "{unit}");
        }
        let longest = CallArns::new(&api, "v1", "GET", &format!("/{}", "x".repeat(rest)));
        assert_eq!(longest.matched().len(), LONGEST_ARN);
    }

    #[test]
    fn an_allow_rests_on_the_path_as_it_is_matched() {
        for path in ["/pets", "/pets/", "//pets", "/%70ets"] {
            assert_eq!(decide("Allow", "v1/GET/pets", path), Decision::Allow, "{path}");
        }
        for path in ["/caf%c3%a9", "/caf%C3%A9"] {
            assert_eq!(decide("Allow", "v1/GET/caf%C3%A9", path), Decision::Allow, "{path}");
            assert_eq!(decide("Allow", "v1/GET/caf%c3%a9", path), Decision::ImplicitDeny, "{path}");
        }
        assert_eq!(decide("Allow", "v1/GET/pets/", "/pets/"), Decision::ImplicitDeny, "as routed: `/pets`");
        assert_eq!(decide("Allow", "v1/GET/a/b", "/a%2Fb"), Decision::ImplicitDeny, "one segment");
        assert_eq!(decide("Allow", "v1/GET/pets/*", "/pets/a%2Fb"), Decision::Allow);
        assert_eq!(decide("Allow", "v1/GET/", "/"), Decision::Allow);
    }
}

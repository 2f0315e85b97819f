//! What a caller is told when a policy refuses.
//!
//! | outcome | [`Classic`](DenialWording::Classic) | [`Since2026`](DenialWording::Since2026) |
//! |---|---|---|
//! | no identity policy allows | | ` because no identity-based policy allows the execute-api:Invoke action` |
//! | no resource policy allows | | ` because no resource-based policy allows the execute-api:Invoke action` |
//! | identity policy denies | ` with an explicit deny` | ` with an explicit deny in an identity-based policy` |
//! | resource policy denies | ` with an explicit deny` | ` with an explicit deny in a resource-based policy` |
//!
//! The texts are the `Message` of a 403 `AccessDeniedException` of REST APIs; HTTP APIs say `Forbidden`.

use super::{
    ConditionReport, Decision, Effect, Evaluation, StatementReport,
    combine::{Combined, PolicyKind},
    execute_api::mask_account,
};
use crate::context::Reason;
use std::sync::Arc;

/// Why a policy refused a call, for operators: in the extensions of the answer, beside the `GatewayError`, and never in
/// its body. The request id names it in logs. A clone is a reference count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessDenial(Arc<Denied>);

#[derive(Debug, PartialEq, Eq)]
struct Denied {
    layer: &'static str,
    outcome: Combined,
    resource: String,
    evaluation: Evaluation,
}

impl AccessDenial {
    pub(crate) fn new(
        layer: &'static str,
        outcome: Combined,
        resource: String,
        evaluation: Evaluation,
    ) -> Self {
        Self(Arc::new(Denied { layer, outcome, resource, evaluation }))
    }

    /// Which layer refused.
    pub fn layer(&self) -> &'static str {
        self.0.layer
    }

    /// What the policies decided together, and which kind was decisive.
    pub fn outcome(&self) -> Combined {
        self.0.outcome
    }

    /// The ARN of the call, unmasked.
    pub fn resource(&self) -> &str {
        &self.0.resource
    }

    /// What every statement said: which denied ([`Evaluation::deciding`]), and which would have allowed but for one thing
    /// ([`Evaluation::near_misses`]).
    pub fn evaluation(&self) -> &Evaluation {
        &self.0.evaluation
    }
}

impl Reason for AccessDenial {
    fn layer(&self) -> &'static str {
        self.0.layer
    }

    fn decided_by(&self) -> Option<String> {
        let evaluation = self.evaluation();
        Some(match evaluation.decision() {
            Decision::ExplicitDeny => evaluation.deciding().map(named).collect::<Vec<_>>().join(", "),
            _ => format!("no statement of {}", evaluation.statements().len()),
        })
    }

    fn would_allow(&self) -> Vec<String> {
        self.evaluation().near_misses().map(near_miss).collect()
    }
}

/// `Deny statement 1 "office"`.
fn named(report: &StatementReport) -> String {
    let effect = if report.effect == Effect::Allow { "Allow" } else { "Deny" };
    let sid = report.sid.as_deref().map(|sid| format!(" {sid:?}")).unwrap_or_default();
    format!("{effect} statement {}{sid}", report.index)
}

/// The statement, and the one thing that it asks for besides.
fn near_miss(report: &StatementReport) -> String {
    let name = named(report);
    if !report.names_caller {
        return format!("{name}: another caller");
    }
    if !report.includes_action {
        return format!("{name}: another action");
    }
    if !report.includes_resource {
        let all_but = if report.is_not_resource { "all but " } else { "" };
        return format!("{name}: {all_but}{}", report.resources.join(", "));
    }
    let conditions: Vec<_> = report.failed_conditions.iter().map(condition).collect();
    format!("{name}: {}", conditions.join(" and "))
}

/// `IpAddress aws:SourceIp 203.0.113.0/24 (Mismatch)`.
fn condition(report: &ConditionReport) -> String {
    format!("{} {} {} ({:?})", report.operator, report.key, report.values.join(", "), report.failure)
}

/// How much a refusal says. The newer wording was measured on AWS in October 2026; the classic one is what clients and
/// most recordings know, and the newer begins with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialWording {
    /// At most ` with an explicit deny`.
    #[default]
    Classic,
    /// Also which kind of policy it was.
    Since2026,
}

/// The end of the text. Empty for [`Combined::Allowed`], and for implicit denies in the classic wording.
fn suffix(outcome: Combined, action: &str, wording: DenialWording) -> String {
    let kind = |kind| match kind {
        PolicyKind::Identity => "an identity-based policy",
        PolicyKind::Resource => "a resource-based policy",
    };
    match (outcome, wording) {
        (Combined::Allowed, _) | (Combined::ImplicitlyDenied(_), DenialWording::Classic) => String::new(),
        (Combined::ExplicitlyDenied(_), DenialWording::Classic) => " with an explicit deny".to_owned(),
        (Combined::ExplicitlyDenied(by), DenialWording::Since2026) => {
            format!(" with an explicit deny in {}", kind(by))
        }
        (Combined::ImplicitlyDenied(by), DenialWording::Since2026) => {
            let kind = kind(by).split_once(' ').map_or("", |(_article, kind)| kind);
            format!(" because no {kind} allows the {action} action")
        }
    }
}

/// `User: <ARN> is not authorized to perform: <action> on resource: <ARN>`, with the account of the resource masked
/// to its last four digits, and the outcome's suffix. `user` is `anonymous` where there is no caller that IAM knows.
///
/// ```
/// use tower_gateway::policy::{DenialWording, combine::{Combined, PolicyKind}, not_authorized};
///
/// let arn = "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3d4e5/v1/GET/pets";
/// let outcome = Combined::ExplicitlyDenied(PolicyKind::Resource);
/// assert_eq!(
///     not_authorized(None, "execute-api:Invoke", arn, outcome, DenialWording::Classic),
///     "User: anonymous is not authorized to perform: execute-api:Invoke on resource: \
///      arn:aws:execute-api:eu-west-1:********3333:a1b2c3d4e5/v1/GET/pets with an explicit deny"
/// );
/// ```
pub fn not_authorized(
    user: Option<&str>,
    action: &str,
    resource: &str,
    outcome: Combined,
    wording: DenialWording,
) -> String {
    let user = user.unwrap_or("anonymous");
    let resource = mask_account(resource);
    let suffix = suffix(outcome, action, wording);
    format!("User: {user} is not authorized to perform: {action} on resource: {resource}{suffix}")
}

/// `User is not authorized to access this resource`, with the outcome's suffix: what a Lambda authorizer's refusal
/// says.
pub fn not_authorized_by_authorizer(outcome: Combined, wording: DenialWording) -> String {
    let suffix = suffix(outcome, super::INVOKE, wording);
    format!("User is not authorized to access this resource{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix() {
        let all = |outcome| {
            [DenialWording::Classic, DenialWording::Since2026]
                .map(|wording| suffix(outcome, super::super::INVOKE, wording))
        };
        assert_eq!(
            all(Combined::ImplicitlyDenied(PolicyKind::Identity)),
            ["", " because no identity-based policy allows the execute-api:Invoke action"]
        );
        assert_eq!(
            all(Combined::ImplicitlyDenied(PolicyKind::Resource)),
            ["", " because no resource-based policy allows the execute-api:Invoke action"]
        );
        assert_eq!(
            all(Combined::ExplicitlyDenied(PolicyKind::Identity)),
            [" with an explicit deny", " with an explicit deny in an identity-based policy"]
        );
        assert_eq!(
            all(Combined::ExplicitlyDenied(PolicyKind::Resource)),
            [" with an explicit deny", " with an explicit deny in a resource-based policy"]
        );
    }

    #[test]
    fn the_authorizer_s_text_has_its_recorded_length() {
        let deny = Combined::ExplicitlyDenied(PolicyKind::Identity);
        let text = not_authorized_by_authorizer(deny, DenialWording::Classic);
        assert_eq!(format!("{{\"Message\":\"{text}\"}}").len(), 82);
        let user = not_authorized(
            Some("arn:aws:iam::111122223333:user/Bob"),
            "a:b",
            "*",
            deny,
            DenialWording::Classic,
        );
        assert_eq!(
            user,
            "User: arn:aws:iam::111122223333:user/Bob is not authorized to perform: a:b on resource: * with an explicit deny"
        );
    }
}

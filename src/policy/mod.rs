//! IAM policy documents: parsed with exact errors, compiled once, asked per request without an allocation.
//!
//! A pure engine: no I/O, no clock, no tower. `ResourcePolicyLayer`, SigV4 and Lambda authorizers use it, and so may
//! you. How a policy decides (IAM user guide, "Policy evaluation logic"):
//!
//! 1. A statement applies if it names the caller (resource policies only), and includes the action, and the resource,
//!    and all its conditions hold.
//! 2. A `Deny` that applies denies ([`Decision::ExplicitDeny`]), whatever allows.
//! 3. Otherwise an `Allow` that applies allows. One that names the caller by its account alone delegates to the account
//!    ([`Decision::AllowAccount`]).
//! 4. Otherwise nothing was said: [`Decision::ImplicitDeny`].
//!
//! | element | rule |
//! |---|---|
//! | `Version` | `2012-10-17` has policy variables; `2008-10-17`, and none, take `${…}` as plain text |
//! | `Principal` | `"*"`, or `AWS` (account, user, role, session), `Service`, `Federated`, `CanonicalUser`, without wildcards; a role names its sessions; an anonymous caller is named by `"*"` only |
//! | `NotPrincipal` | with `Deny` only; an exception holds if user *and* account, or session, role *and* account, are listed |
//! | `Action`, `NotAction` | without case; `*` and `?` |
//! | `Resource`, `NotResource` | with case; `*` (also across `/`) and `?` inside each part of the ARN; variables in the last part |
//! | `Condition` | operators and keys are ANDed, values ORed, values of `Not` operators NORed |
//! | absent key | `Not` operators, `…IfExists`, `ForAllValues:` hold; others do not |
//! | null variable | nothing equals it |
//! | value of another type | equals nothing: `Not` operators hold, others cannot be evaluated |
//! | what cannot be evaluated | a `Deny` applies, an `Allow` does not |
//!
//! What the language does not have (an unknown member, operator or version, a repeated member, a malformed number, date,
//! address or variable) is a [`PolicyError`] that says where it stands; nothing is skipped. Variables may stand in the
//! values of every operator; those of `Numeric`, `Date`, `Bool`, `IpAddress` and `Null` must be one variable alone.
//! (AWS documents them for `String` and `Arn` operators.)
//!
//! ```
//! use tower_gateway::policy::{AccessRequest, ConditionValue, Decision, ExecuteApi, INVOKE, Policy};
//!
//! let api = ExecuteApi::new("eu-west-1", "111122223333", "a1b2c3d4e5")?;
//! let policy = Policy::resource_of(&api, r#"{"Version": "2012-10-17", "Statement": [
//!     {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"},
//!     {"Sid": "office", "Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke",
//!      "Resource": "execute-api:/*/*/admin*",
//!      "Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}]}"#)?;
//!
//! let decide = |path: &str, ip: &str| {
//!     let keys = [("aws:SourceIp", ConditionValue::Ip(ip.parse().unwrap()))];
//!     let arn = api.arn("prod", "GET", path);
//!     let request = AccessRequest::new(INVOKE, arn.as_str(), &keys);
//!     let explained = policy.explain(&request);
//!     assert_eq!(explained.decision(), policy.evaluate(&request));
//!     let sid = explained.deciding().next().and_then(|statement| statement.sid.clone());
//!     (explained.decision(), sid)
//! };
//! assert_eq!(decide("/pets", "198.51.100.1"), (Decision::Allow, None));
//! assert_eq!(decide("/admin", "203.0.113.7"), (Decision::Allow, None));
//! assert_eq!(decide("/admin", "198.51.100.1"), (Decision::ExplicitDeny, Some("office".to_owned())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arn;
mod call;
pub mod combine;
mod compiled;
mod condition;
mod date;
mod denial;
mod document;
mod error;
mod evaluation;
mod execute_api;
mod execution_role;
mod index;
mod json;
mod key;
mod operand;
mod operator;
mod pattern;
mod principal;
mod request;
mod request_keys;
mod statement;
mod value;

pub use compiled::Policy;
pub use denial::{AccessDenial, DenialWording, not_authorized, not_authorized_by_authorizer};
#[cfg(feature = "authorizer")]
pub(crate) use document::check_members;
pub use error::{PolicyError, PolicyProblem};
pub use evaluation::{ConditionFailure, ConditionReport, Evaluation, StatementReport};
pub use execute_api::{ExecuteApi, ExecuteApiArn};
pub use execution_role::{ExecutionRole, INVOKE_FUNCTION, union};
pub use key::ConditionKey;
pub use principal::RequestPrincipal;
pub use request::{AccessRequest, Decision, Effect};
pub use request_keys::RequestKeys;
pub use value::{ConditionKeys, ConditionValue, TextList};

pub(crate) use call::CallArns;
#[cfg(any(feature = "authorizer", feature = "sigv4"))]
pub(crate) use call::check_arn_length;

/// The action of calling a method of an API.
pub const INVOKE: &str = "execute-api:Invoke";
/// The action of asking past the cache (`Cache-Control: max-age=0`).
pub const INVALIDATE_CACHE: &str = "execute-api:InvalidateCache";
/// The action of using a WebSocket connection from the server's side (`@connections`).
pub const MANAGE_CONNECTIONS: &str = "execute-api:ManageConnections";

#[cfg(test)]
mod tests;

//! One decision of a policy of 2, 10 and 100 statements, the request being prepared: ours, and with the feature `cedar`
//! that of Cedar's authorizer beside it. Only the decisions are compared, so there is no floor.
//!
//! The statements are the same in both languages: one allows the whole API to a network, each other one is about a
//! resource of its own and holds for a user agent that the request does not have. In the `everywhere` rows they are all
//! about every resource, so that an index saves nothing.

use crate::{
    allocator,
    measure::{median, verdict},
};
use std::{hint::black_box, time::Instant};
use tower_gateway::policy::{
    AccessRequest, ConditionKey, ConditionKeys, ConditionValue, ExecuteApi, INVOKE, Policy,
};

const DECISIONS: usize = 256;
const GOAL: f64 = 0.05;
const ADDRESS: [u8; 4] = [203, 0, 113, 7];

/// Prints the lines of the table; says whether the goals were met.
pub fn measure(rounds: usize) -> bool {
    let mut met = true;
    for everywhere in [false, true] {
        for statements in [2, 10, 100] {
            met &= measure_one(statements, everywhere, rounds);
        }
    }
    met
}

fn measure_one(statements: usize, everywhere: bool, rounds: usize) -> bool {
    let policy = ours(statements, everywhere);
    let arn = api().arn("v1", "GET", "/r1/x");
    let request = AccessRequest::new(INVOKE, arn.as_str(), &Keys);
    let ask_ours = || assert!(black_box(&policy).evaluate(black_box(&request)).is_allow());
    let ask_peer = peer(statements, everywhere);
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        own.push(nanos(ask_ours));
        other.extend(ask_peer.as_deref().map(nanos));
    }
    let (_, allocated) = allocator::measure(ask_ours);
    let (own, other) = (median(own), (!other.is_empty()).then(|| median(other)));
    let verdict = verdict(other.map(|other| own / other), Some(GOAL));
    let name = format!("policy-{statements}{}", if everywhere { "-everywhere" } else { "" });
    let beside = other.map(|other| format!("; cedar {other:.0} ns")).unwrap_or_default();
    println!("{name:<28} ours {own:.0} ns, {} allocations{beside}: {verdict}", allocated.count);
    !verdict.ends_with("FAIL")
}

/// A decision of the peer.
type Ask = Box<dyn Fn()>;

#[cfg(feature = "cedar")]
fn peer(statements: usize, everywhere: bool) -> Option<Ask> {
    Some(cedar::ask(statements, everywhere))
}

#[cfg(not(feature = "cedar"))]
fn peer(_: usize, _: bool) -> Option<Ask> {
    None
}

fn nanos(decide: impl Fn()) -> f64 {
    let start = Instant::now();
    (0..DECISIONS).for_each(|_| decide());
    start.elapsed().as_nanos() as f64 / DECISIONS as f64
}

fn api() -> ExecuteApi {
    ExecuteApi::new("eu-west-1", "111122223333", "a1b2c3d4e5").expect("valid")
}

struct Keys;

impl ConditionKeys for Keys {
    fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>> {
        match key {
            ConditionKey::SourceIp => Some(ConditionValue::Ip(ADDRESS.into())),
            ConditionKey::UserAgent => Some(ConditionValue::Text("curl/8.5.0")),
            _ => None,
        }
    }
}

fn ours(statements: usize, everywhere: bool) -> Policy {
    let statement = |effect: &str, resource: &str, condition: &str| {
        format!(
            r#"{{"Effect": "{effect}", "Principal": "*", "Action": "{INVOKE}",
                "Resource": "execute-api:/{resource}", "Condition": {{{condition}}}}}"#
        )
    };
    let mut all = vec![statement("Allow", "*", r#""IpAddress": {"aws:SourceIp": "203.0.113.0/24"}"#)];
    all.extend((1..statements).map(|index| {
        let resource = if everywhere { "*".to_owned() } else { format!("v1/GET/r{index}/*") };
        let effect = if index % 2 == 0 { "Allow" } else { "Deny" };
        statement(effect, &resource, r#""StringLike": {"aws:UserAgent": "bot*"}"#)
    }));
    let document = format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, all.join(","));
    Policy::resource_of(&api(), document).expect("valid")
}

#[cfg(feature = "cedar")]
mod cedar {
    use super::Ask;
    use cedar_policy::{
        Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, RestrictedExpression,
    };
    use std::hint::black_box;

    pub fn ask(statements: usize, everywhere: bool) -> Ask {
        let policies = theirs(statements, everywhere);
        let (question, entities, authorizer) = (question(), Entities::empty(), Authorizer::new());
        Box::new(move || {
            let answer = authorizer.is_authorized(black_box(&question), black_box(&policies), &entities);
            assert_eq!(answer.decision(), Decision::Allow);
        })
    }

    fn theirs(statements: usize, everywhere: bool) -> PolicySet {
        let policy = |effect: &str, condition: &str| {
            format!(r#"{effect}(principal, action == Action::"Invoke", resource) when {{ {condition} }};"#)
        };
        let mut all = policy("permit", r#"context.ip.isInRange(ip("203.0.113.0/24"))"#);
        for index in 1..statements {
            let effect = if index % 2 == 0 { "permit" } else { "forbid" };
            let path = if everywhere { "*".to_owned() } else { format!("v1/GET/r{index}/*") };
            all += &policy(effect, &format!(r#"context.path like "{path}" && context.agent like "bot*""#));
        }
        all.parse().expect("valid")
    }

    fn question() -> Request {
        let entity = |text: &str| text.parse::<EntityUid>().expect("valid");
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let context = Context::from_pairs([
            ("ip".to_owned(), RestrictedExpression::new_ip("203.0.113.7")),
            ("path".to_owned(), text("v1/GET/r1/x")),
            ("agent".to_owned(), text("curl/8.5.0")),
        ]);
        let (principal, action, resource) =
            (entity(r#"User::"anonymous""#), entity(r#"Action::"Invoke""#), entity(r#"Api::"a1b2c3d4e5""#));
        Request::new(principal, action, resource, context.expect("valid"), None).expect("valid")
    }
}

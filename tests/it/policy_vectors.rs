//! The policy engine against outside verdicts: recorded cases of IAM simulators, and AWS's outcome tables.

use crate::support::vectors;
use serde_json::Value;
use tower_gateway::policy::{
    AccessRequest, ConditionFailure, ConditionValue, Decision, Policy, RequestPrincipal,
    combine::{self, AccountGrant, Combined},
    union,
};

fn cases(file: &str) -> Option<Vec<Value>> {
    let found = vectors(&format!("iam-policies/{file}"))?;
    Some(found["cases"].as_array().unwrap().clone())
}

/// Owned values of a context, so that condition values can borrow them.
struct Keys(Vec<(String, Owned)>);

enum Owned {
    Text(String),
    Integer(i64),
    Bool(bool),
    List(Vec<String>),
}

impl Keys {
    fn of(context: &Value) -> Self {
        let owned = |value: &Value| match value {
            Value::String(text) => Owned::Text(text.clone()),
            Value::Number(number) => Owned::Integer(number.as_i64().unwrap()),
            Value::Bool(flag) => Owned::Bool(*flag),
            Value::Array(items) => {
                Owned::List(items.iter().map(|item| item.as_str().unwrap().into()).collect())
            }
            other => panic!("{other}"),
        };
        Self(context.as_object().unwrap().iter().map(|(name, value)| (name.clone(), owned(value))).collect())
    }

    fn values(&self) -> Vec<(&str, ConditionValue<'_>)> {
        let value = |owned| match owned {
            &Owned::Integer(number) => ConditionValue::Integer(number),
            &Owned::Bool(flag) => ConditionValue::Bool(flag),
            Owned::Text(text) => ConditionValue::Text(text),
            Owned::List(list) => ConditionValue::List(list),
        };
        self.0.iter().map(|(name, owned)| (name.as_str(), value(owned))).collect()
    }
}

/// The verdict of all policies of a case together, in the words of the vectors.
fn verdict(case: &Value) -> &'static str {
    let request = &case["request"];
    let text = |name: &str| request[name].as_str().unwrap();
    let keys = Keys::of(&request["context"]);
    let values = keys.values();
    let asked = AccessRequest::new(text("action"), text("resource"), &values)
        .caller(RequestPrincipal::Aws(text("principal")));
    let attached = case["identity_policies"].as_array().unwrap().iter();
    let attached: Vec<_> = attached.map(|policy| Policy::identity(policy.to_string()).unwrap()).collect();
    let identity = union(&attached, &asked);
    let resource = case.get("resource_policy").map(|policy| Policy::resource(policy.to_string()).unwrap());
    let resource = resource.map(|policy| explained(&policy, &asked));
    for policy in &attached {
        explained(policy, &asked);
    }
    let same = text("principal").split(':').nth(4) == Some(text("resource_account"));
    let outcome = match same {
        true => combine::same_account(identity, resource, AccountGrant::Delegates),
        false => combine::cross_account(identity, resource),
    };
    match outcome {
        Combined::Allowed => "Allowed",
        Combined::ImplicitlyDenied(_) => "ImplicitlyDenied",
        Combined::ExplicitlyDenied(_) => "ExplicitlyDenied",
    }
}

/// The decision, and that its explanation comes to the same.
fn explained(policy: &Policy, request: &AccessRequest<'_>) -> Decision {
    let decision = policy.evaluate(request);
    assert_eq!(policy.explain(request).decision(), decision);
    decision
}

#[test]
fn every_execute_api_case_has_the_documented_verdict() {
    let Some(cases) = cases("execute-api-cases.json") else { return };
    let mut with_peer = 0;
    for case in &cases {
        let found = verdict(case);
        assert_eq!(found, case["expect"], "{}", case["id"]);
        with_peer += usize::from(found == case["peer"]);
        assert_eq!(found == case["peer"], case.get("disputed").is_none(), "{}", case["id"]);
    }
    println!("{0} of {0} execute-api cases; an independent simulator agrees on {with_peer}", cases.len());
    assert!(cases.len() >= 100);
}

/// What cannot hold: each contradicts the documentation of IAM, and another case. The first three and the last lost a
/// part when they were collected (in their source the operator is `…IfExists`, and the key has a binary value); the
/// other two are the source's own reading of an absent key under a `Not` operator.
const CONTRADICTED: [(&str, &str); 6] = [
    ("aspen/test_date_less_than/9", "aspen/test_date_equals/10"),
    ("aspen/test_date_less_than_equals/9", "aspen/test_date_equals/10"),
    ("aspen/test_date_greater_than/9", "aspen/test_date_equals/10"),
    ("aspen/test_arn_not_equals/1", "aspen/test_arn_not_equals/8"),
    ("aspen/test_date_not_equals/1", "condition/not-ip/absent of execute-api-cases.json"),
    ("aspen/test_binary/6", "aspen/test_binary/2"),
];

fn with_condition(effect: &str, condition: &Value) -> Policy {
    let statement =
        format!(r#"{{"Effect": "{effect}", "Action": "*", "Resource": "*", "Condition": {condition}}}"#);
    Policy::identity(format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#)).unwrap()
}

#[test]
fn every_condition_case_holds_for_allow_and_is_no_weaker_for_deny() {
    let Some(cases) = cases("condition-operators.json") else { return };
    let (mut passed, mut contradicted, mut not_evaluable) = (0, 0, 0);
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let keys = Keys::of(&case["context"]);
        let values = keys.values();
        let request = AccessRequest::new("a:b", "arn:aws:a:::b", &values);
        let holds = explained(&with_condition("Allow", &case["condition"]), &request) == Decision::Allow;
        let deny = with_condition("Deny", &case["condition"]);
        let denies = explained(&deny, &request) == Decision::ExplicitDeny;
        assert!(denies || !holds, "{id}: a deny is never weaker than an allow");
        if denies != holds {
            let report = deny.explain(&request).statements()[0].failed_conditions[0].clone();
            assert_eq!(report.failure, ConditionFailure::NotEvaluable, "{id}");
            not_evaluable += 1;
        }
        if CONTRADICTED.iter().any(|(known, _)| *known == id) {
            assert_ne!(case["expected"], holds, "{id} no longer contradicts");
            contradicted += 1;
        } else {
            assert_eq!(case["expected"], holds, "{id}");
            passed += 1;
        }
    }
    println!(
        "{passed} of {} condition cases; {contradicted} contradict others; {not_evaluable} deny because unevaluable",
        cases.len()
    );
    assert!(passed >= 150 && contradicted <= CONTRADICTED.len());
}

fn decision(word: &Value) -> Decision {
    match word.as_str().unwrap() {
        "allow" => Decision::Allow,
        "neither" => Decision::ImplicitDeny,
        "deny" => Decision::ExplicitDeny,
        other => panic!("{other}"),
    }
}

fn words(outcome: Combined) -> &'static str {
    match outcome {
        Combined::Allowed => "explicit allow",
        Combined::ImplicitlyDenied(_) => "implicit deny",
        Combined::ExplicitlyDenied(_) => "explicit deny",
    }
}

#[test]
fn both_outcome_tables_row_by_row() {
    let Some(tables) = vectors("iam-policies/apigateway-outcome-tables.json") else { return };
    let mut rows = 0;
    for row in tables["A_same_account_or_lambda_authorizer"].as_array().unwrap() {
        let (other, resource) = (decision(&row["other_policy"]), Some(decision(&row["resource_policy"])));
        assert_eq!(
            words(combine::same_account(other, resource, AccountGrant::Delegates)),
            row["result"],
            "{row}"
        );
        assert_eq!(words(combine::lambda_authorizer(other, resource)), row["result"], "{row}");
        rows += 1;
    }
    for row in tables["B_different_account"].as_array().unwrap() {
        let (other, resource) = (decision(&row["other_policy"]), Some(decision(&row["resource_policy"])));
        assert_eq!(words(combine::cross_account(other, resource)), row["result"], "{row}");
        rows += 1;
    }
    println!("{rows} of 18 rows of the outcome tables");
    assert_eq!(rows, 18);
}

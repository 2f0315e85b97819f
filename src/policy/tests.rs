//! The engine against appendix B of the notes on AWS, against broken documents, and against itself.

use super::*;
use proptest::prelude::*;

const ARN: &str = "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3d4e5/v1/GET/pets";

fn identity(statement: &str) -> Policy {
    Policy::identity(format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#)).unwrap()
}

fn allows(resource: &str, action: &str, arn: &str) -> bool {
    let statement = format!(r#"{{"Effect": "Allow", "Action": "{action}", "Resource": "{resource}"}}"#);
    identity(&statement).evaluate(&AccessRequest::new(INVOKE, arn, &())).is_allow()
}

#[test]
fn appendix_b_resources_and_actions() {
    let arn = |rest: &str| format!("arn:aws:execute-api:eu-west-1:111122223333:a1b2c3d4e5/{rest}");
    let b1 = "arn:aws:execute-api:*:*:a1b2c3d4e5/v1/GET/pets*";
    assert!(allows(b1, INVOKE, &arn("v1/GET/pets/1/toys")), "B1");
    assert!(!allows(&arn("*/GET/pets"), INVOKE, &arn("v1/GET/pets/")), "B2");
    assert!(!allows(&arn(""), INVOKE, &arn("v1/GET/pets")), "B3");
    assert!(allows("*", "EXECUTE-API:invoke", &arn("v1/GET/pets")), "B4");
    assert!(!allows(&arn("v1/get/pets"), INVOKE, &arn("v1/GET/pets")), "B5");
}

/// The outcome of one condition under an `Allow`.
fn holds(condition: &str, keys: &dyn ConditionKeys) -> bool {
    let statement =
        format!(r#"{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {{{condition}}}}}"#);
    identity(&statement).evaluate(&AccessRequest::new(INVOKE, ARN, keys)).is_allow()
}

#[test]
fn appendix_b_conditions() {
    let ip = |text: &str| [("aws:SourceIp", ConditionValue::Ip(text.parse().unwrap()))];
    let k = |text: &'static str| [("k", ConditionValue::Text(text))];
    let net = r#""IpAddress": {"aws:SourceIp": "203.0.113.0/24"}"#;
    assert!(holds(r#""IpAddress": {"aws:SourceIp": "203.0.113.7"}"#, &ip("203.0.113.7")), "B6");
    assert!(!holds(net, &()), "B7");
    assert!(holds(&net.replace("IpAddress", "NotIpAddress"), &()), "B8");
    assert!(holds(r#""StringEquals": {"k": ["a", "b"]}"#, &k("b")), "B9");
    assert!(!holds(r#""StringNotEquals": {"k": ["a", "b"]}"#, &k("b")), "B10");
    assert!(holds(r#""StringNotEquals": {"k": "a"}"#, &()), "B11");
    assert!(holds(r#""StringEqualsIfExists": {"k": "a"}"#, &()), "B12");
    assert!(holds(r#""Null": {"k": "true"}"#, &()), "B13");
    assert!(holds(r#""ForAllValues:StringEquals": {"k": ["a"]}"#, &()), "B14");
    assert!(!holds(r#""ForAnyValue:StringEquals": {"k": ["a"]}"#, &()), "B15");
    let list = [("k", ConditionValue::List(&["a", "c"]))];
    assert!(!holds(r#""ForAllValues:StringEquals": {"k": ["a", "b"]}"#, &list), "B16");
    let secure = [("aws:SecureTransport", ConditionValue::Bool(true))];
    assert!(!holds(r#""Bool": {"aws:SecureTransport": "false"}"#, &secure), "B17");
    let forged = "arn:aws:execute-api:eu-west-1:999900001111:x:111122223333:y";
    let source = [("aws:SourceArn", ConditionValue::Text(forged))];
    let pattern = "arn:aws:execute-api:*:111122223333:*";
    assert!(!holds(&format!(r#""ArnLike": {{"aws:SourceArn": "{pattern}"}}"#), &source), "B18");
    assert!(holds(&format!(r#""StringLike": {{"aws:SourceArn": "{pattern}"}}"#), &source), "B18");
    for now in [ConditionValue::Time(1_795_305_600), ConditionValue::Text("1795305600")] {
        let now = [("aws:CurrentTime", now)];
        assert!(!holds(r#""DateGreaterThan": {"aws:CurrentTime": "2026-11-22T00:00:00Z"}"#, &now), "B19");
        assert!(
            holds(r#""DateGreaterThanEquals": {"aws:CurrentTime": "2026-11-22T00:00:00Z"}"#, &now),
            "B19"
        );
    }
    assert!(!holds(r#""IpAddress": {"aws:SourceIp": "2001:db8::/32"}"#, &ip("::ffff:203.0.113.7")), "B24");
    assert!(holds(net, &ip("::ffff:203.0.113.7")), "B24: normalised");
}

#[test]
fn appendix_b_variables_by_version() {
    let keys =
        [("aws:UserAgent", ConditionValue::Text("Bob")), ("aws:username", ConditionValue::Text("Bob"))];
    let literal = [("aws:UserAgent", ConditionValue::Text("${aws:username}"))];
    let statement = r#"{"Effect": "Allow", "Action": "*", "Resource": "*",
        "Condition": {"StringEquals": {"aws:UserAgent": "${aws:username}"}}}"#;
    for (version, variables) in
        [(r#""Version": "2012-10-17","#, true), (r#""Version": "2008-10-17","#, false), ("", false)]
    {
        let policy = Policy::identity(format!(r#"{{{version} "Statement": {statement}}}"#)).unwrap();
        let allows =
            |keys: &dyn ConditionKeys| policy.evaluate(&AccessRequest::new(INVOKE, ARN, keys)).is_allow();
        assert_eq!((allows(&keys), allows(&literal)), (variables, !variables), "B20 {version}");
    }
}

#[test]
fn appendix_b_principals() {
    let policy = |aws: &str| {
        let statement = r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": {"AWS": "#;
        Policy::resource(format!(r#"{{"Statement": {statement} "{aws}"}}}}}}"#))
    };
    let decide = |aws: &str, caller| {
        policy(aws).unwrap().evaluate(&AccessRequest::new(INVOKE, ARN, &()).caller(caller))
    };
    let session = RequestPrincipal::Aws("arn:aws:sts::111122223333:assumed-role/R/s");
    assert_eq!(decide("111122223333", session), Decision::AllowAccount, "B21: delegates");
    assert_eq!(decide("arn:aws:iam::111122223333:role/R", session), Decision::Allow, "B22");
    let refused = policy("arn:aws:iam::111122223333:role/*").unwrap_err();
    assert_eq!(refused.problem(), PolicyProblem::InvalidPrincipal, "B23");
    assert_eq!(decide("111122223333", RequestPrincipal::Anonymous), Decision::ImplicitDeny);
}

#[test]
fn what_cannot_be_evaluated_denies() {
    let unreadable = [("aws:UserAgent", ConditionValue::Unreadable)];
    let garbage = [("aws:MultiFactorAuthAge", ConditionValue::Text("soon"))];
    let mapped = [("aws:SourceIp", ConditionValue::Text("::ffff:203.0.113.7"))];
    let listed = [("aws:TokenIssueTime", ConditionValue::List(&["now", "2026-01-01"]))];
    let cases: [(&str, &dyn ConditionKeys); 9] = [
        (r#""StringLike": {"aws:UserAgent": "curl*"}"#, &unreadable),
        (r#""StringNotLike": {"aws:UserAgent": "curl*"}"#, &unreadable),
        (r#""ForAllValues:StringLikeIfExists": {"aws:UserAgent": "curl*"}"#, &unreadable),
        (
            r#""StringEquals": {"aws:Referer": "a"}, "StringNotEquals": {"x": "${aws:UserAgent}"}"#,
            &(unreadable, [("aws:Referer", ConditionValue::Text("a")), ("x", ConditionValue::Text("b"))]),
        ),
        (r#""NumericLessThan": {"aws:MultiFactorAuthAge": "3600"}"#, &garbage),
        (r#""Bool": {"aws:MultiFactorAuthAge": "true"}"#, &garbage),
        (r#""IpAddress": {"aws:SourceIp": "203.0.113.0/24"}"#, &mapped),
        (r#""NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}"#, &mapped),
        (r#""ForAnyValue:DateLessThan": {"aws:TokenIssueTime": "2025-01-01"}"#, &listed),
    ];
    for (condition, keys) in cases {
        let policy = |effect: &str| {
            let statement = format!(
                r#"{{"Effect": "{effect}", "Action": "*", "Resource": "*", "Condition": {{{condition}}}}}"#
            );
            identity(&statement).evaluate(&AccessRequest::new(INVOKE, ARN, keys))
        };
        assert_eq!(policy("Allow"), Decision::ImplicitDeny, "{condition}");
        assert_eq!(policy("Deny"), Decision::ExplicitDeny, "{condition}");
    }
    let resource = r#""Action": "*", "Resource": "arn:aws:execute-api:*:*:a1b2c3d4e5/${aws:UserAgent}""#;
    let decide = |effect: &str| {
        let statement = format!(r#"{{"Effect": "{effect}", {resource}}}"#);
        identity(&statement).evaluate(&AccessRequest::new(INVOKE, ARN, &unreadable))
    };
    assert_eq!((decide("Allow"), decide("Deny")), (Decision::ImplicitDeny, Decision::ExplicitDeny));
}

#[test]
fn what_is_certain_decides_beside_what_is_not() {
    let keys = [("k", ConditionValue::Text("a")), ("gone", ConditionValue::Unreadable)];
    for values in [r#"["${gone}", "a"]"#, r#"["a", "${gone}"]"#] {
        assert!(holds(&format!(r#""StringEquals": {{"k": {values}}}"#), &keys), "{values}");
        assert!(!holds(&format!(r#""StringNotEquals": {{"k": {values}}}"#), &keys), "{values}");
    }
    let resources = r#"["arn:aws:execute-api:*:*:a1b2c3d4e5/${gone}", "arn:aws:execute-api:*"]"#;
    let decide = |effect: &str, member: &str| {
        let statement = format!(r#"{{"Effect": "{effect}", "Action": "*", "{member}": {resources}}}"#);
        let policy = identity(&statement);
        let request = AccessRequest::new(INVOKE, ARN, &keys);
        assert_eq!(policy.explain(&request).decision(), policy.evaluate(&request));
        policy.evaluate(&request)
    };
    assert_eq!(decide("Allow", "Resource"), Decision::Allow);
    assert_eq!(decide("Deny", "Resource"), Decision::ExplicitDeny);
    assert_eq!(decide("Allow", "NotResource"), Decision::ImplicitDeny);
    assert_eq!(decide("Deny", "NotResource"), Decision::ImplicitDeny, "certainly not about this resource");
    let conditions = r#""StringEquals": {"k": "b"}, "StringLike": {"gone": "*"}"#;
    let deny = identity(&format!(
        r#"{{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {{{conditions}}}}}"#
    ));
    assert_eq!(
        deny.evaluate(&AccessRequest::new(INVOKE, ARN, &keys)),
        Decision::ImplicitDeny,
        "one does not hold"
    );
}

#[test]
fn quantifiers_and_negation() {
    let list = |list: &'static dyn TextList| [("k", ConditionValue::List(list))];
    let none: &[&str] = &[];
    assert!(holds(r#""ForAllValues:StringNotEquals": {"k": ["a"]}"#, &list(&["b", "c"])));
    assert!(!holds(r#""ForAllValues:StringNotEquals": {"k": ["a"]}"#, &list(&["b", "a"])));
    assert!(holds(r#""ForAnyValue:StringNotEquals": {"k": ["a"]}"#, &list(&["b", "a"])));
    assert!(!holds(r#""ForAnyValue:StringNotEquals": {"k": ["a"]}"#, &()));
    assert!(holds(r#""ForAllValues:StringEquals": {"k": ["a"]}"#, &[("k", ConditionValue::Text(""))]));
    assert!(!holds(r#""StringNotEquals": {"k": ["a"]}"#, &list(&["b", "a"])), "none of the values");
    assert!(holds(r#""StringEquals": {"k": ["a"]}"#, &list(&["b", "a"])), "any of the values");
    assert!(
        holds(r#""Null": {"k": true}"#, &[("k", ConditionValue::List(&none))]),
        "an empty list is absent"
    );
    assert!(!holds(r#""NumericEquals": {"k": [1, 2.5]}"#, &[("k", ConditionValue::Decimal(2.0))]));
    assert!(holds(r#""NumericEquals": {"k": [1, 2.5]}"#, &[("k", ConditionValue::Decimal(2.5))]));
    assert!(holds(r#""BinaryEquals": {"k": "d29ybGQ="}"#, &[("k", ConditionValue::Binary(b"world"))]));
}

#[test]
fn the_short_form_needs_an_api() {
    let api = ExecuteApi::new("eu-west-1", "111122223333", "a1b2c3d4e5").unwrap();
    let document = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
        "Resource": ["execute-api:/v1/GET/pets", "execute-api:/v2/*"]}}"#;
    let policy = Policy::resource_of(&api, document).unwrap();
    let decide = |arn: &str| policy.evaluate(&AccessRequest::new(INVOKE, arn, &())).is_allow();
    assert!(
        decide(ARN)
            && decide(api.arn("v2", "POST", "/x").as_str())
            && !decide(api.arn("v1", "PUT", "/pets").as_str())
    );
    let error = Policy::resource(document).unwrap_err();
    assert_eq!((error.member(), error.problem()), ("Resource[0]", PolicyProblem::ShortFormWithoutApi));
}

/// A document, and where it says that it is wrong: statement, member and what.
type Fault<'a> = (&'a str, Option<usize>, &'a str, PolicyProblem);

fn assert_faults(faults: &[Fault<'_>]) {
    for (document, statement, member, problem) in faults {
        let error = Policy::identity(*document).unwrap_err();
        let said = (error.statement(), error.member(), error.problem());
        assert_eq!(said, (*statement, *member, *problem), "{document}");
    }
}

/// The same, where the second of two statements is wrong.
fn assert_faults_of_a_statement(faults: &[(&str, &str, PolicyProblem)]) {
    for (statement, member, problem) in faults {
        let first = r#"{"Effect": "Deny", "Action": "a:b", "Resource": "*"}"#;
        let document = format!(r#"{{"Statement": [{first}, {statement}]}}"#);
        assert_faults(&[(&document, Some(1), member, *problem)]);
    }
}

/// A statement that is right, but for what is added.
fn statement_and(member: &str) -> String {
    format!(r#"{{"Effect": "Allow", "Action": "a:b", "Resource": "*", {member}}}"#)
}

#[test]
fn faults_of_a_document() {
    use PolicyProblem as P;
    assert_faults(&[
        ("", None, "", P::Json),
        ("[]", None, "", P::WrongType),
        (r#"{"Statement": [], "Statement": []}"#, None, "", P::RepeatedMember),
        (r#"{"Statement": []}"#, None, "Statement", P::Empty),
        (r#"{"Version": "2012-10-17"}"#, None, "Statement", P::MissingMember),
        (r#"{"Version": "2012-10-18", "Statement": {}}"#, None, "Version", P::UnknownVersion),
        (r#"{"Id": 1, "Statement": {}}"#, None, "Id", P::WrongType),
        (r#"{"Statements": {}}"#, None, "Statements", P::UnknownMember),
    ]);
}

#[test]
fn faults_of_a_statement() {
    use PolicyProblem as P;
    assert_faults_of_a_statement(&[
        ("7", "", P::WrongType),
        (r#"{"Action": "a:b", "Resource": "*"}"#, "Effect", P::MissingMember),
        (r#"{"Effect": "allow", "Action": "a:b", "Resource": "*"}"#, "Effect", P::UnknownEffect),
        (r#"{"Effect": "Allow", "Resource": "*"}"#, "Action", P::MissingMember),
        (r#"{"Effect": "Allow", "Action": "a:b"}"#, "Resource", P::MissingMember),
        (&statement_and(r#""NotAction": "a:c""#), "NotAction", P::BothForms),
        (&statement_and(r#""Comment": "x""#), "Comment", P::UnknownMember),
        (&statement_and(r#""Principal": "*""#), "Principal", P::PrincipalInIdentityPolicy),
        (r#"{"Effect": "Allow", "Action": [], "Resource": "*"}"#, "Action", P::Empty),
        (
            r#"{"Effect": "Allow", "Action": ["a:b", "Invoke"], "Resource": "*"}"#,
            "Action[1]",
            P::InvalidAction,
        ),
        (r#"{"Effect": "Allow", "Action": ["a:b", 1], "Resource": "*"}"#, "Action[1]", P::WrongType),
        (r#"{"Effect": "Allow", "Action": "a:b", "Resource": "pets"}"#, "Resource", P::InvalidResource),
    ]);
}

#[test]
fn faults_of_conditions() {
    use PolicyProblem as P;
    for (condition, place, problem) in [
        (r#"[]"#, "", P::WrongType),
        (r#"{"StringIs": {"k": "v"}}"#, ".StringIs", P::UnknownOperator),
        (r#"{"Bool": {"": "true"}}"#, ".Bool.", P::InvalidKey),
        (r#"{"Bool": {"k": "yes"}}"#, ".Bool.k[0]", P::InvalidBoolean),
        (r#"{"Null": {"k": [true, 1]}}"#, ".Null.k[1]", P::InvalidBoolean),
        (r#"{"NumericEquals": {"k": "1x"}}"#, ".NumericEquals.k[0]", P::InvalidNumber),
        (r#"{"DateEquals": {"k": "tomorrow"}}"#, ".DateEquals.k[0]", P::InvalidDate),
        (r#"{"IpAddress": {"k": "::ffff:10.0.0.0/104"}}"#, ".IpAddress.k[0]", P::InvalidAddress),
        (r#"{"BinaryEquals": {"k": "!"}}"#, ".BinaryEquals.k[0]", P::InvalidBase64),
        (r#"{"StringEquals": {"k": null}}"#, ".StringEquals.k", P::WrongType),
    ] {
        let statement = statement_and(&format!(r#""Condition": {condition}"#));
        assert_faults_of_a_statement(&[(&statement, &format!("Condition{place}"), problem)]);
    }
}

#[test]
fn faults_of_resource_policies_and_of_versions() {
    let resource = |principal: &str, effect: &str| {
        let statement = format!(r#"{{"Effect": "{effect}", "Action": "a:b", "Resource": "*"{principal}}}"#);
        Policy::resource(format!(r#"{{"Statement": {statement}}}"#)).unwrap_err()
    };
    let fault = |principal: &str, effect: &str| {
        let error = resource(principal, effect);
        (error.member().to_owned(), error.problem())
    };
    use PolicyProblem as P;
    for (principal, effect, member, problem) in [
        ("", "Allow", "Principal", P::PrincipalMissing),
        (r#", "Principal": "me""#, "Allow", "Principal", P::InvalidPrincipal),
        (r#", "Principal": {}"#, "Allow", "Principal", P::Empty),
        (r#", "Principal": {"Group": "g"}"#, "Allow", "Principal.Group", P::UnknownMember),
        (r#", "Principal": {"AWS": ["*", "x"]}"#, "Allow", "Principal.AWS[1]", P::InvalidPrincipal),
        (r#", "Principal": {"Service": "*"}"#, "Allow", "Principal.Service", P::InvalidPrincipal),
        (r#", "NotPrincipal": {"AWS": "111122223333"}"#, "Allow", "NotPrincipal", P::NotPrincipalWithAllow),
        (r#", "Principal": "*", "NotPrincipal": "*""#, "Deny", "NotPrincipal", P::BothForms),
    ] {
        assert_eq!(fault(principal, effect), (member.to_owned(), problem), "{principal}");
    }
    let new = |values: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Sid": "s", "Effect": "Allow", "Action": "a:b", "Resource": "*", "Condition": {values}}}, {{"Sid": "s", "Effect": "Allow", "Action": "a:b", "Resource": "*"}}]}}"#
        )
    };
    let fault = |values: &str| Policy::identity(new(values)).unwrap_err();
    assert_eq!(fault(r#"{"NumericEquals": {"k": "1${x}"}}"#).problem(), P::InvalidVariable);
    assert_eq!(fault(r#"{"StringLike": {"k": ["a", "${x"]}}"#).member(), "Condition.StringLike.k[1]");
    let twice = fault("{}");
    assert_eq!((twice.statement(), twice.value(), twice.problem()), (Some(1), "s", P::RepeatedSid));
    let text = resource("", "Allow").to_string();
    assert_eq!(text, "statement 0, Principal: `` is missing; a resource policy says for whom");
}

#[test]
fn an_explanation_names_what_decided_and_what_would_have_allowed() {
    let policy = Policy::resource(
        r#"{"Statement": [
        {"Sid": "pets", "Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
         "Resource": "arn:aws:execute-api:*:*:a1b2c3d4e5/v1/GET/pets",
         "Condition": {"StringEquals": {"aws:SourceVpce": ["vpce-1", "vpce-2"]}, "Bool": {"aws:SecureTransport": "true"}}},
        {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "execute-api:Invoke", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "s3:*", "Resource": "*"}]}"#,
    )
    .unwrap();
    let keys = [("aws:SecureTransport", ConditionValue::Bool(false))];
    let explained = policy.explain(&AccessRequest::new(INVOKE, ARN, &keys));
    assert_eq!((explained.decision(), explained.deciding().count()), (Decision::ImplicitDeny, 0));
    let near: Vec<_> = explained.near_misses().map(|report| report.index).collect();
    assert_eq!(near, [0, 1]);
    let failed = &explained.statements()[0].failed_conditions;
    assert_eq!((failed[0].key.as_str(), failed[0].failure), ("aws:SourceVpce", ConditionFailure::Absent));
    assert_eq!(failed[0].values, ["vpce-1", "vpce-2"]);
    assert_eq!((failed[1].operator.as_str(), failed[1].failure), ("Bool", ConditionFailure::Mismatch));
    assert!(!explained.statements()[1].names_caller && explained.statements()[1].includes_resource);
}

/// Policies of up to eight statements over few words, so that they meet the request often.
fn document() -> impl Strategy<Value = String> {
    let pattern = prop::sample::select(vec![
        "*",
        "arn:aws:x:::*",
        "arn:aws:x:::a/*",
        "arn:aws:x:::a/b",
        "arn:aws:x:::a/?",
        "arn:*:x:::a/b*",
        "arn:aws:x:::b",
        "arn:aws:x:::${k}/*",
        "arn:aws:*",
    ]);
    let resource = (prop::collection::vec(pattern, 1..4), any::<bool>());
    let condition = prop::sample::select(vec![
        "{}",
        r#"{"StringEquals": {"k": "a"}}"#,
        r#"{"StringNotLike": {"k": "b*"}}"#,
        r#"{"NumericLessThan": {"k": 3}}"#,
        r#"{"Null": {"k": false}}"#,
    ]);
    let action = prop::sample::select(vec!["x:*", "x:Get", "y:*"]);
    let statement = (any::<bool>(), any::<bool>(), action, resource, condition).prop_map(
        |(allow, not_action, action, (resources, not_resource), condition)| {
            let effect = if allow { "Allow" } else { "Deny" };
            let name = |not: bool, name: &str| format!("{}{name}", if not { "Not" } else { "" });
            let (action_name, resource_name) = (name(not_action, "Action"), name(not_resource, "Resource"));
            format!(r#"{{"Effect": "{effect}", "{action_name}": "{action}", "{resource_name}": {resources:?}, "Condition": {condition}}}"#)
        },
    );
    prop::collection::vec(statement, 1..9).prop_map(|statements| {
        format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(","))
    })
}

/// Any JSON, with the words of the language in it.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let word = prop::sample::select(vec![
        "Version",
        "2012-10-17",
        "Statement",
        "Effect",
        "Allow",
        "Deny",
        "Principal",
        "AWS",
        "*",
        "Action",
        "a:b",
        "Resource",
        "arn:aws:x:::${",
        "Condition",
        "StringLike",
        "ForAnyValue:NumericEquals",
        "DateEquals",
        "${k, 'd'}",
        "1",
        "IpAddress",
        "10.0.0.0/8",
        "Null",
        "true",
        "Bool",
        "ArnLike",
        "arn:*:a",
        "",
    ]);
    let name = word.clone().prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(name.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// The index changes nothing: the explanation looks at every statement.
    #[test]
    fn the_index_finds_what_a_full_look_finds(
        document in document(),
        resource in prop::sample::select(vec!["arn:aws:x:::a/b", "arn:aws:x:::a", "arn:aws:x:::b", "arn:cn:x:::a/bc", "zzz", ""]),
        value in prop::sample::select(vec!["a", "b1", "2", ""]),
        unreadable in any::<bool>(),
    ) {
        let policy = Policy::identity(&document).unwrap();
        let value = if unreadable { ConditionValue::Unreadable } else { ConditionValue::Text(value) };
        let keys = [("k", value)];
        let request = AccessRequest::new("x:Get", resource, &keys);
        prop_assert_eq!(policy.evaluate(&request), policy.explain(&request).decision(), "{}", document);
    }

    #[test]
    fn no_json_panics(document in json(), text in any::<Vec<u8>>()) {
        let _ = Policy::identity(text);
        let api = ExecuteApi::new("eu-west-1", "111122223333", "a").unwrap();
        let keys = [("k", ConditionValue::Text("v"))];
        let request = AccessRequest::new("a:b", ARN, &keys);
        for policy in [
            Policy::identity(document.to_string()),
            Policy::resource_of(&api, document.to_string()),
            Policy::identity_from_value(&document),
        ].into_iter().flatten() {
            prop_assert_eq!(policy.evaluate(&request), policy.explain(&request).decision());
        }
    }
}

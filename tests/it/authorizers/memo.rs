//! A cached policy decides about every call as one that was never cached, however often it is asked.

use super::{ask, with_token};
use crate::support::{get, run};
use http::{HeaderValue, Method, Request};
use proptest::prelude::*;
use std::convert::Infallible;
use tower_gateway::{
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    policy::ExecuteApi,
    resource_policy::ResourcePolicy,
};

/// A token authorizer whose one answer is this policy.
fn answering(document: String, cached: bool) -> Authorizer {
    let function = authorizer_fn(move |_: AuthorizerEvent| {
        let answer = AuthorizerAnswer::policy("ada", document.clone());
        async move { Ok::<_, Infallible>(answer) }
    });
    let builder = Authorizer::token("pets", function);
    let builder = if cached { builder } else { builder.ttl(std::time::Duration::ZERO) };
    builder.build().unwrap()
}

fn policy(statements: &[(bool, &str, bool)]) -> String {
    let statement = |(allow, resource, agent): &(bool, &str, bool)| {
        let effect = if *allow { "Allow" } else { "Deny" };
        let condition = if *agent { r#","Condition":{"StringEquals":{"aws:UserAgent":"a"}}"# } else { "" };
        format!(
            r#"{{"Effect":"{effect}","Action":"execute-api:Invoke",
                "Resource":"arn:aws:execute-api:*:*:*/*/{resource}"{condition}}}"#
        )
    };
    let statements: Vec<_> = statements.iter().map(statement).collect();
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

fn call(method: &Method, path: &str, agent: &'static str) -> Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = with_token(path, "ada");
    *request.method_mut() = method.clone();
    request.headers_mut().insert("user-agent", HeaderValue::from_static(agent));
    request
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_policy_that_is_kept_decides_like_one_that_is_not(
        statements in prop::collection::vec(
            (any::<bool>(), prop::sample::select(vec!["GET/a", "*/a", "GET/*", "*", "POST/a/b", "GET/a*"]),
                prop::bool::weighted(0.2)),
            1..4,
        ),
        calls in prop::collection::vec(
            (prop::sample::select(vec![Method::GET, Method::POST]),
                prop::sample::select(vec!["/a", "/a/", "/%61", "/a/b", "/b", "/", "//a", "/a%2Fb", "/c", "/d"]),
                prop::sample::select(vec!["a", "b"])),
            1..24,
        ),
    ) {
        let document = policy(&statements);
        let kept = AuthorizerLayer::new(answering(document.clone(), true));
        let asked_anew = AuthorizerLayer::new(answering(document, false));
        run(async {
            for (method, path, agent) in calls {
                let expected = ask(&asked_anew, call(&method, path, agent)).await;
                for _ in 0..2 {
                    let found = ask(&kept, call(&method, path, agent)).await;
                    assert_eq!(found, expected, "{method} {path} {agent}");
                }
            }
        });
    }
}

/// Whoever passed is asked about again once the answer is another.
#[test]
fn a_new_answer_knows_nothing_of_what_the_old_one_allowed() {
    let answers = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let function = authorizer_fn(move |_: AuthorizerEvent| {
        let first = answers.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        let resource = if first { "GET/*" } else { "POST/*" };
        let answer = AuthorizerAnswer::policy("ada", policy(&[(true, resource, false)]));
        async move { Ok::<_, Infallible>(answer) }
    });
    let authorizer = Authorizer::token("pets", function).build().unwrap();
    let layer = AuthorizerLayer::new(authorizer.clone());
    run(async {
        for _ in 0..3 {
            assert_eq!(ask(&layer, with_token("/a", "ada")).await.0, 200);
            assert_eq!(ask(&layer, get("/a")).await.0, 401, "nobody else's");
        }
        authorizer.flush();
        for _ in 0..3 {
            assert_eq!(ask(&layer, with_token("/a", "ada")).await.0, 403);
        }
        assert_eq!(authorizer.calls(), 2);
    });
}

/// One authorizer before two APIs: what it allows in one says nothing about the other.
#[test]
fn two_apis_behind_one_authorizer() {
    let one = ExecuteApi::new("eu-west-1", "111122223333", "one").unwrap();
    let two = ExecuteApi::new("eu-west-1", "111122223333", "two").unwrap();
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*",
        "Resource":"arn:aws:execute-api:*:*:one/*"}]}"#;
    let authorizer = answering(document.to_owned(), true);
    let layer = |api: &ExecuteApi| AuthorizerLayer::new(authorizer.clone()).api(api.clone());
    let (first, second) = (layer(&one), layer(&two));
    run(async {
        for _ in 0..3 {
            assert_eq!(ask(&first, with_token("/a", "ada")).await.0, 200);
            assert_eq!(ask(&second, with_token("/a", "ada")).await.0, 403);
        }
        assert_eq!(authorizer.calls(), 1, "one answer for both");
    });
}

/// A resource policy has its say on every request, whatever the cached policy was found to allow.
#[test]
fn a_resource_policy_is_asked_every_time() {
    let authorizer = answering(policy(&[(true, "*", false)]), true);
    let free = AuthorizerLayer::new(authorizer.clone());
    let document = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Deny","Principal":"*","Action":"*","Resource":"arn:aws:execute-api:*:*:*/*/GET/a",
         "Condition":{"StringEquals":{"aws:UserAgent":"b"}}}]}"#;
    let guarded =
        free.clone().resource_policy(&ResourcePolicy::new(&ExecuteApi::default(), document).unwrap());
    run(async {
        for layer in [&free, &guarded, &free] {
            assert_eq!(ask(layer, call(&Method::GET, "/a", "a")).await.0, 200);
        }
        assert_eq!(ask(&free, call(&Method::GET, "/a", "b")).await.0, 200);
        assert_eq!(ask(&guarded, call(&Method::GET, "/a", "b")).await.0, 403);
    });
}

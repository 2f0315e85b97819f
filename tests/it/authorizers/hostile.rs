//! What a client can send to confuse: repeated, empty, huge and unreadable values, and parameters in disguise.

use super::{Calls, answer, ask, cause, token_authorizer};
use crate::support::{get, run, through};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use std::{convert::Infallible, sync::atomic::Ordering::SeqCst, time::Duration};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    authorizer::{
        Authorizer, AuthorizerAnswer, AuthorizerBuilder, AuthorizerEvent, AuthorizerLayer, authorizer_fn,
    },
    context::RequestContext,
    response::Cause,
};

fn with_fields(fields: &[(&str, &[u8])]) -> Request<Full<Bytes>> {
    let mut request = get("/pets");
    for (name, value) in fields {
        let name = HeaderName::try_from(*name).unwrap();
        request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    request
}

/// A REQUEST authorizer that lets in whom the parameter or the header `t` names.
fn request_authorizer(calls: &Calls, sources: &[&str]) -> AuthorizerBuilder {
    let calls = calls.clone();
    let function = authorizer_fn(move |event: AuthorizerEvent| {
        calls.0.fetch_add(1, SeqCst);
        async move {
            let token =
                event.query_parameter("t").or(event.header("t").map(str::to_owned)).unwrap_or_default();
            answer(&token, &event)
        }
    });
    Authorizer::request("pets", function).identity_sources(sources)
}

#[test]
fn unreadable_tokens_are_refused_without_a_call() {
    let calls = Calls::default();
    let layer = AuthorizerLayer::new(token_authorizer(&calls).build().unwrap());
    for fields in [
        &[("authorization", b"\xff\xfe".as_slice())] as &[(&str, &[u8])],
        &[("authorization", b"ada"), ("authorization", b"\xc3\x28")],
        &[("authorization", b"\x80"), ("authorization", b"ada")],
    ] {
        let (response, served) = run(through(layer.clone(), with_fields(fields)));
        assert_eq!((response.status().as_u16(), cause(&response)), (401, Some(Cause::IdentityMalformed)));
        assert_eq!((served, calls.count()), (0, 0));
    }
}

#[test]
fn a_repeated_token_is_nobody_s() {
    let calls = Calls::default();
    let layer = AuthorizerLayer::new(token_authorizer(&calls).build().unwrap());
    run(async {
        assert_eq!(ask(&layer, with_fields(&[("authorization", b"ada")])).await.1, "ada gold");
        assert_eq!(ask(&layer, with_fields(&[("authorization", b"bob")])).await.1, "bob basic");
        for fields in [
            [("authorization", b"ada".as_slice()), ("authorization", b"bob")],
            [("authorization", b"bob"), ("authorization", b"ada")],
            [("authorization", b"ada"), ("authorization", b"ada")],
            [("authorization", b"ada"), ("authorization", b"")],
        ] {
            let (status, _) = ask(&layer, with_fields(&fields)).await;
            assert_eq!(status, 500, "the function is told `a,b` and knows nobody of that name");
        }
        assert_eq!(ask(&layer, with_fields(&[("authorization", b"ada")])).await.1, "ada gold");
    });
}

#[test]
fn a_huge_token_is_judged_like_any_other() {
    let calls = Calls::default();
    let layer = AuthorizerLayer::new(
        token_authorizer(&calls).identity_validation_expression("[a-z]{1,8}").build().unwrap(),
    );
    let huge = vec![b'a'; 1 << 20];
    let (response, _) = run(through(layer.clone(), with_fields(&[("authorization", &huge)])));
    assert_eq!((cause(&response), calls.count()), (Some(Cause::IdentityMalformed), 0));
    let open = AuthorizerLayer::new(token_authorizer(&calls).build().unwrap());
    let (response, _) = run(through(open, with_fields(&[("authorization", &huge)])));
    assert_eq!(
        (cause(&response), calls.count()),
        (Some(Cause::AuthorizerMalformed), 1),
        "the answer echoed it"
    );
    let (response, _) = run(through(layer, with_fields(&[("authorization", b"bob")])));
    assert_eq!(response.status(), 200);
}

/// REST tells the function the last of several parameters. The key has all of them: a function that looks at another
/// one must not have its answer served to somebody else.
#[test]
fn repeated_parameters_have_keys_of_their_own() {
    let calls = Calls::default();
    let layer =
        AuthorizerLayer::new(request_authorizer(&calls, &["method.request.querystring.t"]).build().unwrap());
    run(async {
        for (query, whose, count) in [
            ("t=ada", "ada gold", 1),
            ("t=bob", "bob basic", 2),
            ("t=bob&t=ada", "ada gold", 3),
            ("t=ada&t=bob", "bob basic", 4),
            ("%74=%61da", "ada gold", 4),
            ("x=1&t=ada&y", "ada gold", 4),
        ] {
            assert_eq!(ask(&layer, get(&format!("/pets?{query}"))).await, (200, whose.to_owned()), "{query}");
            assert_eq!(calls.count(), count, "{query}");
        }
        for query in ["", "t", "t=", "t=ada&t=", "T=ada", "x=t"] {
            let (response, _) = through(layer.clone(), get(&format!("/pets?{query}"))).await;
            assert_eq!(
                (response.status().as_u16(), cause(&response)),
                (401, Some(Cause::IdentityMissing)),
                "{query}"
            );
        }
        let (response, _) = through(layer.clone(), get("/pets?t=%ff")).await;
        assert_eq!(cause(&response), Some(Cause::IdentityMalformed));
    });
    assert_eq!(calls.count(), 4);
}

#[test]
fn values_do_not_run_into_each_other() {
    let calls = Calls::default();
    let sources = ["method.request.header.t, method.request.header.u", "method.request.querystring.v"];
    let layer = AuthorizerLayer::new(request_authorizer(&calls, &sources).build().unwrap());
    let request = |t: &str, u: &str, v: &str| {
        let mut request = with_fields(&[("t", t.as_bytes()), ("u", u.as_bytes())]);
        *request.uri_mut() = format!("/pets?v={v}").parse().unwrap();
        request
    };
    run(async {
        let identities = [
            ("ada", "b", "c"),
            ("ada", "b,c", "x"),
            ("ada", "b", "c,x"),
            ("ada", "bc", "x"),
            ("ada", "c", "b"),
        ];
        for (count, (t, u, v)) in identities.into_iter().enumerate() {
            assert_eq!(ask(&layer, request(t, u, v)).await.1, "ada gold");
            assert_eq!(calls.count(), count + 1, "{t} {u} {v}");
        }
        assert_eq!(ask(&layer, request("bob", "b", "c")).await.1, "bob basic");
        for (t, u, v) in identities {
            assert_eq!(ask(&layer, request(t, u, v)).await.1, "ada gold");
        }
        assert_eq!(calls.count(), 6);
        for (t, u, v) in [("", "b", "c"), ("ada", "", "c"), ("ada", "b", "")] {
            let (response, _) = through(layer.clone(), request(t, u, v)).await;
            assert_eq!(cause(&response), Some(Cause::IdentityMissing));
        }
    });
}

#[test]
fn a_client_cannot_bring_a_context_or_a_principal_along() {
    let layer = AuthorizerLayer::new(token_authorizer(&Calls::default()).build().unwrap());
    let service = layer.layer(service_fn(|request: Request<Full<Bytes>>| async move {
        let context = RequestContext::of(request.extensions()).unwrap();
        assert!(request.headers()["authorization"].is_sensitive(), "nobody behind prints it");
        assert!(!format!("{request:?}").contains("\"ada\"),"), "{request:?}");
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(context.principal().unwrap().id().to_owned())))
    }));
    for (name, value) in
        [("x-amzn-principal-id", "root"), ("x-authorizer-principalid", "root"), ("principalId", "root")]
    {
        let request = with_fields(&[("authorization", b"ada"), (&name.to_lowercase(), value.as_bytes())]);
        let answer = run(service.clone().oneshot(request)).unwrap();
        let body = run(http_body_util::BodyExt::collect(answer.into_body())).unwrap().to_bytes();
        assert_eq!(body, "ada");
    }
}

/// What the function is told is what is judged, however the path is spelled.
#[test]
fn who_allows_the_arn_of_the_event_allows_the_call() {
    let calls = Calls::default();
    let layer = AuthorizerLayer::new(token_authorizer(&calls).ttl(Duration::ZERO).build().unwrap());
    run(async {
        for path in ["/pets", "/pets/", "//pets", "/%7Eada", "/caf%c3%a9", "/a%2Fb", "/a//b", "/", "//"] {
            assert_eq!(
                ask(&layer, super::with_token(path, "here")).await,
                (200, "ada ".to_owned()),
                "{path}"
            );
        }
    });
    assert_eq!(calls.count(), 9);
}

/// Every spelling of one path that a router takes for the same resource, and paths that climb.
#[test]
fn a_policy_is_not_avoided_by_another_spelling_of_the_path() {
    let function = authorizer_fn(|event: AuthorizerEvent| async move {
        let document = match event.authorization_token() {
            "ada" => {
                r#"{"Version":"2012-10-17","Statement":[
                    {"Effect":"Allow","Action":"execute-api:Invoke","Resource":"*"},
                    {"Effect":"Deny","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:*:*:*/*/GET/admin"},
                    {"Effect":"Deny","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:*:*:*/*/GET/admin/*"}]}"#
            }
            _ => {
                r#"{"Version":"2012-10-17","Statement":[
                    {"Effect":"Allow","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:*:*:*/*/GET/pets/*"}]}"#
            }
        };
        Ok::<_, String>(AuthorizerAnswer::policy(event.authorization_token(), document))
    });
    let layer = AuthorizerLayer::new(Authorizer::token("pets", function).build().unwrap());
    let ask = |path: &str, token: &str| {
        let response = run(through(layer.clone(), super::with_token(path, token))).0;
        (response.status().as_u16(), cause(&response))
    };
    let denied = (403, Some(Cause::AuthorizerExplicitDeny));
    for path in
        ["/admin", "/admin/", "//admin", "/%61dmin", "/%61%64min/", "/admin/x", "/admin%2Fx", "/admin%2fx"]
    {
        assert_eq!(ask(path, "ada"), denied, "{path}");
        assert_eq!(ask(path, "bob"), (403, Some(Cause::AuthorizerImplicitDeny)), "{path}");
    }
    for path in ["/pets/../admin", "/pets/%2e%2e/admin", "/pets/..%2fadmin", "/pets/.."] {
        for token in ["ada", "bob"] {
            assert_eq!(ask(path, token), (400, Some(Cause::DotSegment)), "{path}");
        }
    }
    assert_eq!(
        (ask("/pets/7", "ada").0, ask("/pets/7", "bob").0, ask("/pets/%37", "bob").0),
        (200, 200, 200)
    );
}

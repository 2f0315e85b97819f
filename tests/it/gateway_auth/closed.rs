//! What nobody serves: an error when the gateway is built, closed when it comes later.

use super::{
    KINDS, Record, ask, authorization, authorized, custom, order, request, signatures, stages, with_field,
};
use crate::support::{Strict, get, run};
use http::Method;
use tower::Layer;
use tower_gateway::{
    gateway::{BuildError, Gateway, GatewayBuilder},
    policy::ExecuteApi,
    resource_policy::ResourcePolicyLayer,
    response::Cause,
    route::{ApiMethod, Routes},
    sigv4::{MemoryCredentialsStore, SigV4AuthBuilder, SigV4AuthLayer, SigV4Verifier, SignatureRequirement},
    stage::{Deployment, Stages},
};

fn one_method(kind: &str) -> Routes {
    let method = ApiMethod::new().authorization(authorization(kind));
    Routes::builder().method("/pets", Method::GET, method).build().unwrap()
}

fn conflict(builder: GatewayBuilder) -> (String, &'static str) {
    match builder.build() {
        Err(BuildError::Conflict { part, other, .. }) => (part, other),
        other => panic!("{other:?}"),
    }
}

/// All authorizers but the one of this kind.
fn all_but(kind: &str) -> GatewayBuilder {
    let mut builder = Gateway::builder();
    if kind != "signed" {
        builder = builder.sigv4(signatures().build().unwrap());
    }
    if kind != "custom" {
        builder = builder.authorizer(custom(&Record::default()));
    }
    if kind != "jwt" {
        builder = builder.jwt_authorizer(super::jwt());
    }
    if kind != "pool" {
        builder = builder.cognito_authorizer(super::pool());
    }
    builder
}

#[test]
fn a_method_whose_authorization_nobody_serves_is_no_gateway() {
    let other = "sigv4, authorizer, jwt_authorizer or cognito_authorizer";
    for kind in KINDS {
        let expected = ("method `GET /pets`".to_owned(), other);
        assert_eq!(conflict(all_but(kind).routes(one_method(kind))), expected, "{kind}");
        let staged = Stages::single("prod", one_method(kind)).unwrap();
        assert_eq!(conflict(all_but(kind).stages(staged)), expected, "{kind}");
        assert!(authorized(&Record::default()).routes(one_method(kind)).build().is_ok(), "{kind}");
    }
}

#[test]
fn in_a_later_deployment_it_is_closed_to_everybody() {
    let null = r#"{"message":null}"#;
    for kind in KINDS {
        let stages = Stages::single("prod", one_method("open")).unwrap();
        let strict = Strict::default();
        let service = all_but(kind).stages(stages.clone()).build().unwrap().layer(strict.clone());
        run(async {
            assert_eq!(ask(&service, get("/prod/pets")).await.status, 200);
            stages.create_deployment(Deployment::new("later", one_method(kind))).unwrap();
            stages.deploy("prod", "later").unwrap();
            for request in [get("/prod/pets"), request(kind, "ada", "/prod/pets")] {
                let answer = ask(&service, request).await;
                assert_eq!((answer.status, answer.body.as_str()), (500, null), "{kind}");
                assert_eq!(answer.cause, Some(Cause::AuthorizerMissing), "{kind}");
                assert_eq!(answer.headers["x-amzn-errortype"], "AuthorizerConfigurationException");
            }
        });
        assert_eq!(strict.called(), 1, "{kind}");
    }
}

#[test]
fn a_name_that_the_layer_has_not_is_closed_too() {
    let method = |authorization| ApiMethod::new().authorization(authorization);
    let routes = Routes::builder()
        .method("/custom", Method::GET, method(tower_gateway::route::Authorization::custom("typo")))
        .method("/jwt", Method::GET, method(tower_gateway::route::Authorization::jwt("typo")))
        .method(
            "/pool",
            Method::GET,
            method(tower_gateway::route::Authorization::cognito_user_pools("typo")),
        );
    let gateway = authorized(&Record::default()).routes(routes.build().unwrap()).build().unwrap();
    let service = gateway.layer(Strict::default());
    run(async {
        for kind in ["custom", "jwt", "pool"] {
            let answer = ask(&service, request(kind, "ada", &format!("/{kind}"))).await;
            assert_eq!((answer.status, answer.cause), (500, Some(Cause::AuthorizerUnknown)), "{kind}");
        }
    });
}

#[test]
fn signatures_asked_of_every_request_leave_no_room_for_other_authorizers() {
    let always = || signatures().require(SignatureRequirement::Always).build().unwrap();
    let built = |kind: &str| authorized(&Record::default()).sigv4(always()).routes(one_method(kind));
    for kind in ["custom", "jwt", "pool"] {
        assert_eq!(conflict(built(kind)), ("method `GET /pets`".to_owned(), "sigv4"), "{kind}");
    }
    for kind in ["signed", "open"] {
        let service = built(kind).build().unwrap().layer(Strict::default());
        run(async {
            assert_eq!(ask(&service, get("/pets")).await.cause, Some(Cause::SignatureMissing), "{kind}");
            assert_eq!(ask(&service, request("signed", "ada", "/pets")).await.status, 200, "{kind}");
        });
    }
}

/// The layers of signatures and authorizers judge by the gateway's policy, whether or not they were given the same.
#[test]
fn there_is_one_resource_policy_in_a_gateway() {
    let (own, another) = (order::policy(), order::policy());
    let gateway = || {
        let builder = authorized(&Record::default()).stages(stages());
        builder.resource_policy(ResourcePolicyLayer::new(own.clone()))
    };
    let signed = |policy| gateway().sigv4(signatures().resource_policy(policy).build().unwrap());
    let custom = |policy| gateway().authorizer(custom(&Record::default()).resource_policy(policy));
    for builder in [gateway(), signed(&own), custom(&own)] {
        let service = builder.build().unwrap().layer(Strict::default());
        run(async {
            for (kind, cause) in
                [("signed", Cause::ResourcePolicyDenied), ("custom", Cause::ResourcePolicyDenied)]
            {
                let call = || request(kind, "ada", &format!("/prod/{kind}"));
                assert_eq!(ask(&service, call()).await.status, 200, "{kind}");
                let blocked = with_field(call(), "user-agent", "blocked");
                assert_eq!(ask(&service, blocked).await.cause, Some(cause), "{kind}");
            }
        });
    }
    let verifier = SigV4Verifier::new("us-east-1", "execute-api").unwrap();
    let authenticating = SigV4AuthLayer::authenticate_only(MemoryCredentialsStore::new([]), verifier);
    let elsewhere = ExecuteApi::new("us-east-1", "111122223333", "other").unwrap();
    let foreign = SigV4AuthLayer::builder(MemoryCredentialsStore::new([]), elsewhere);
    let per_method = |builder: SigV4AuthBuilder| builder.require(SignatureRequirement::PerMethod).build();
    for (builder, other) in [
        (signed(&another), "sigv4"),
        (gateway().sigv4(per_method(authenticating).unwrap()), "sigv4"),
        (gateway().sigv4(per_method(foreign).unwrap()), "sigv4"),
        (custom(&another), "authorizer"),
    ] {
        assert_eq!(conflict(builder), ("resource_policy".to_owned(), other));
    }
}

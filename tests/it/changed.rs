//! Requests that a layer in between has changed: what lets them pass is what is declared for the request that goes on.

use crate::{
    jwt::{authorizer, clock, source, token, with_token},
    support::{Strict, get, run},
};
use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use std::convert::Infallible;
use tower::{Layer, ServiceExt, util::BoxCloneService};
use tower_gateway::{
    api_key::{ApiKeyLayer, ApiKeys},
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    jwt::JwtAuthorizerLayer,
    route::{ApiMethod, Authorization, Routes},
    sigv4::{MemoryCredentialsStore, SigV4AuthLayer, SigV4Verifier, SignatureRequirement},
    stage::{StageRouter, Stages},
    timeout::TimeoutLayer,
};

type Sent = Request<Full<Bytes>>;
type Boxed = BoxCloneService<Sent, Response<Full<Bytes>>, Infallible>;

/// A layer that lets nobody pass without credentials where the method asks for any.
struct Door {
    name: &'static str,
    guarded: ApiMethod,
    place: fn(Option<&Routes>) -> Boxed,
}

fn with_authorizer(routes: Option<&Routes>) -> Boxed {
    let function = authorizer_fn(|_: AuthorizerEvent| async {
        Ok::<_, Infallible>(AuthorizerAnswer::allow("ada", ["*"]))
    });
    let layer = AuthorizerLayer::new(Authorizer::token("pets", function).build().unwrap());
    let layer = routes.into_iter().fold(layer, AuthorizerLayer::routes);
    layer.layer(Strict::default()).boxed_clone()
}

fn with_jwt(routes: Option<&Routes>) -> Boxed {
    let layer = JwtAuthorizerLayer::new("pets", authorizer(source(), clock().1).build().unwrap());
    let layer = routes.into_iter().fold(layer, JwtAuthorizerLayer::routes);
    layer.layer(Strict::default()).boxed_clone()
}

fn with_signatures(routes: Option<&Routes>) -> Boxed {
    let verifier = SigV4Verifier::new("eu-west-1", "execute-api").unwrap();
    let layer = SigV4AuthLayer::authenticate_only(MemoryCredentialsStore::new([]), verifier);
    let layer = routes
        .into_iter()
        .fold(layer.require(SignatureRequirement::PerMethod), |layer, routes| layer.routes(routes));
    layer.build().unwrap().layer(Strict::default()).boxed_clone()
}

fn with_keys(routes: Option<&Routes>) -> Boxed {
    let layer = routes.into_iter().fold(ApiKeyLayer::new(ApiKeys::new()), ApiKeyLayer::routes);
    layer.layer(Strict::default()).boxed_clone()
}

fn doors() -> [Door; 4] {
    let asking = |authorization| ApiMethod::new().authorization(authorization);
    [
        Door { name: "authorizer", guarded: asking(Authorization::custom("pets")), place: with_authorizer },
        Door { name: "JWT", guarded: asking(Authorization::jwt("pets")), place: with_jwt },
        Door { name: "SigV4", guarded: asking(Authorization::AwsIam), place: with_signatures },
        Door { name: "API key", guarded: ApiMethod::new().api_key_required(true), place: with_keys },
    ]
}

/// What everybody may do, and what nobody may without credentials.
fn table(guarded: &ApiMethod) -> Routes {
    Routes::builder()
        .method("/pets", Method::GET, ApiMethod::new())
        .method("/pets", Method::DELETE, guarded.clone())
        .any("/public/{proxy+}", ApiMethod::new())
        .method("/admin", Method::GET, guarded.clone())
        .build()
        .unwrap()
}

fn changed(inner: Boxed, change: impl Fn(&mut Sent) + Clone + Send + 'static) -> Boxed {
    let apply = move |mut request: Sent| {
        change(&mut request);
        request
    };
    inner.map_request(apply).boxed_clone()
}

fn status(service: Boxed, request: Sent) -> u16 {
    run(service.oneshot(request)).unwrap().status().as_u16()
}

fn delete(request: &mut Sent) {
    *request.method_mut() = Method::DELETE;
}

fn to_admin(request: &mut Sent) {
    *request.uri_mut() = Uri::from_static("/admin");
}

/// The layer outside has matched already: with the same table, by what was received.
#[test]
fn a_layer_alone_looks_up_what_goes_on() {
    for Door { name, guarded, place } in doors() {
        let table = table(&guarded);
        let matched = |inner: Boxed| TimeoutLayer::default().routes(&table).layer(inner).boxed_clone();
        let door = || place(Some(&table));
        assert_eq!(status(matched(door()), get("/pets")), 200, "{name}");
        assert_eq!(status(matched(door()), get("/public/x")), 200, "{name}");
        assert_ne!(status(matched(changed(door(), delete)), get("/pets")), 200, "{name}: another method");
        assert_ne!(status(matched(changed(door(), to_admin)), get("/public/x")), 200, "{name}: another path");
        let back = changed(matched(changed(door(), |request| *request.method_mut() = Method::GET)), delete);
        assert_eq!(status(back, get("/pets")), 200, "{name}: the change of a change");
    }
}

/// A stage's match is about what was received, so of anything else it says nothing.
#[test]
fn behind_a_stage_a_changed_method_or_path_is_declared_nowhere() {
    for Door { name, guarded, place } in doors() {
        let stages = Stages::single("prod", table(&guarded)).unwrap();
        let staged = |inner: Boxed| StageRouter::new(stages.clone()).layer(inner).boxed_clone();
        assert_eq!(status(staged(place(None)), get("/prod/pets")), 200, "{name}");
        let override_method = changed(place(None), delete);
        assert_ne!(status(staged(override_method), get("/prod/pets")), 200, "{name}");
        assert_ne!(status(staged(changed(place(None), to_admin)), get("/prod/public/x")), 200, "{name}");
        let nested = |request: &mut Sent| *request.uri_mut() = Uri::from_static("/x");
        assert_eq!(status(staged(changed(place(None), nested)), get("/prod/public/x")), 200, "{name}");
    }
}

#[test]
fn dot_segments_lead_nowhere() {
    for Door { name, guarded, place } in doors() {
        let table = table(&guarded);
        for path in ["/public/../admin", "/public/%2e%2E/admin", "/public/.", "/public/%zz"] {
            assert_ne!(status(place(Some(&table)), get(path)), 200, "{name} {path}");
        }
    }
}

/// Routers answer it by the handler of `GET`.
#[test]
fn a_head_that_is_not_declared_is_asked_for_what_get_is() {
    let head = |request: Sent| {
        let mut request = request;
        *request.method_mut() = Method::HEAD;
        request
    };
    for Door { name, guarded, place } in doors() {
        let table = table(&guarded);
        assert_eq!(status(place(Some(&table)), head(get("/pets"))), 200, "{name}");
        assert_ne!(status(place(Some(&table)), head(get("/admin"))), 200, "{name}");
    }
    for Door { name, guarded, place } in doors() {
        let all_else = Routes::builder().any("/{proxy+}", ApiMethod::new());
        let table = all_else.method("/admin", Method::GET, guarded).build().unwrap();
        assert_eq!(status(place(Some(&table)), head(get("/else"))), 200, "{name}");
        assert_ne!(status(place(Some(&table)), head(get("/admin"))), 200, "{name}");
        assert_eq!(status(place(Some(&table)), get("/adminx")), 200, "{name}");
    }
    let scoped = ApiMethod::new().authorization(Authorization::jwt("pets")).authorization_scopes(["admin"]);
    let table = table(&scoped);
    let (user, admin) = (token(&serde_json::json!({})), token(&serde_json::json!({"scope": "admin"})));
    for (token, expected) in [(user, 403), (admin, 200)] {
        assert_eq!(status(with_jwt(Some(&table)), head(with_token("/admin", &token))), expected);
    }
}

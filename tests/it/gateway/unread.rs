//! Settings that a gateway would never read are no gateway.

use super::*;
use tower_gateway::{
    api_key::ApiKeyLayer,
    cache::{Cache, CacheLayer},
    response::{GatewayResponse, GatewayResponses, ResponseType},
    route::CacheKey,
    usage_plan::UsagePlanLayer,
};

fn conflict<C: std::fmt::Debug>(builder: GatewayBuilder<C>) -> (String, &'static str)
where
    Gateway<C>: std::fmt::Debug,
{
    match builder.build() {
        Err(BuildError::Conflict { part, other, .. }) => (part, other),
        other => panic!("{other:?}"),
    }
}

fn cached() -> CacheLayer {
    CacheLayer::new(Cache::builder().build().unwrap())
}

#[test]
fn a_table_of_a_layer_is_for_use_alone() {
    let table = Routes::catch_all();
    let with = || Gateway::builder().stages(stages()).api_keys(keys());
    for (builder, part) in [
        (with().payload_limit(PayloadLimitLayer::new(1_000).routes(&table)), "payload_limit"),
        (with().timeout(TimeoutLayer::default().routes(&table)), "timeout"),
        (with().usage_plan(UsagePlanLayer::new(plans()).routes(&table)), "usage_plan"),
        (with().api_key(ApiKeyLayer::new(keys()).routes(&table)), "api_key"),
        (with().cors(cors().routes(&table).unwrap()), "cors"),
    ] {
        assert_eq!(conflict(builder), (format!("{part} with routes"), "routes or stages"));
    }
    let cache = with().cache(cached().routes(&table));
    assert_eq!(conflict(cache), ("cache with routes".to_owned(), "routes or stages"));
}

#[cfg(all(feature = "policy", feature = "jwt", feature = "authorizer", feature = "sigv4"))]
#[test]
fn so_is_that_of_a_layer_that_asks_who_calls() {
    use crate::{jwt, sigv4::support};
    use tower_gateway::{
        authorizer::{Authorizer, AuthorizerAnswer, AuthorizerError, AuthorizerLayer, authorizer_fn},
        jwt::JwtAuthorizerLayer,
        resource_policy::{ResourcePolicy, ResourcePolicyLayer},
    };
    let table = Routes::catch_all();
    let document =
        r#"{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}"#;
    let policy = ResourcePolicyLayer::new(ResourcePolicy::new(&support::api(), document).unwrap());
    let function =
        authorizer_fn(|_| async { Ok::<_, AuthorizerError>(AuthorizerAnswer::allow("ada", ["*"])) });
    let custom = AuthorizerLayer::new(Authorizer::token("custom", function).build().unwrap());
    let tokens =
        JwtAuthorizerLayer::new("jwt", jwt::authorizer(jwt::source(), jwt::clock().1).build().unwrap());
    let signed = support::layer_of([]).routes(&table).build().unwrap();
    for (builder, part) in [
        (Gateway::builder().resource_policy(policy.routes(&table)), "resource_policy"),
        (Gateway::builder().authorizer(custom.routes(&table)), "authorizer"),
        (Gateway::builder().jwt_authorizer(tokens.routes(&table)), "jwt_authorizer"),
        (Gateway::builder().sigv4(signed), "sigv4"),
    ] {
        assert_eq!(conflict(builder), (format!("{part} with routes"), "routes or stages"));
    }
}

#[test]
fn cors_of_a_resource_is_of_one_that_is_declared() {
    let partner = || Cors::new().allow_origins(["https://partner.example"]);
    let build = |layer: CorsLayer| Gateway::builder().stages(stages()).api_keys(keys()).cors(layer);
    for layer in [cors().resource("/petz", partner()), cors().resource_off("/petz")] {
        let expected = ("cors of resource `/petz`".to_owned(), "routes or stages");
        assert_eq!(conflict(build(layer.unwrap())), expected);
    }
    assert!(build(cors().resource("/pets", partner()).unwrap()).build().is_ok());
    let of_nothing = Gateway::builder().cors(cors().resource("/pets", partner()).unwrap());
    assert_eq!(
        conflict(of_nothing).0,
        "cors of resource `/pets`",
        "without routes there is no such resource"
    );
}

#[test]
fn a_cache_key_by_principal_needs_one() {
    let method = ApiMethod::new().cache_key(CacheKey::new().principal());
    let routes = Routes::builder().method("/pets", Method::GET, method).build().unwrap();
    let builder = || Gateway::builder().routes(routes.clone());
    let expected = ("cache key by principal of method `GET /pets`".to_owned(), "principal");
    assert_eq!(conflict(builder().cache(cached())), expected);
    let somebody = PrincipalLayer::new(|_| Some("ada".to_owned()));
    assert!(builder().principal(somebody).cache(cached()).build().is_ok());
    assert!(builder().build().is_ok(), "nothing is stored");
}

#[test]
fn an_explanation_id_is_no_field_of_the_server() {
    for name in [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING] {
        match Gateway::builder().explanation_id(name.clone()).build() {
            Err(BuildError::Config(error)) => {
                assert_eq!((error.location(), error.value()), ("explanation id", name.as_str()));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What is shown of a request in flight to whoever formats it.
#[test]
fn nothing_of_a_request_that_is_a_credential_is_shown() {
    let own = GatewayResponse::new().header("x-seen", "method.request.header.Origin");
    let responses = GatewayResponses::new().with(ResponseType::Default4xx, &own).unwrap();
    let gateway = full_gateway().gateway_responses(responses).build().unwrap();
    let pending = |_: Request<GatewayBody<Full<Bytes>>>| std::future::pending();
    let inner = service_fn(move |request| {
        let pending: std::future::Pending<Result<Response<Full<Bytes>>, Infallible>> = pending(request);
        pending
    });
    let request = Request::get("/prod/pets?X-Amz-Signature=secret-query").header("x-api-key", FREE);
    let request = request.header("authorization", "secret-token").header("cookie", "secret-cookie");
    run(async {
        let mut service = gateway.layer(inner);
        std::future::poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        let shown = format!("{:?}", service.call(request.body(Full::default()).unwrap()));
        assert!(shown.contains("RequestContext") && shown.contains("/prod/pets"), "{shown}");
        for secret in [FREE, "secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    });
}

//! Authorizers that verify tokens are counted as those are that call a function: verified is a call, remembered a hit.

use super::{is_valid_emf, prometheus_reads};
use crate::{
    jwt::{authorizer, clock, key_set, signers, source, token, with_token},
    support::{get, run},
};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    gateway::Gateway,
    jwt::{
        CognitoAuthorizer, CognitoAuthorizerLayer, JwkSource, JwksClient, JwtAuthorizerLayer, RemoteJwks,
        UserPool,
    },
    observe::{ApiInfo, EmfLog, ObserveLayer, PrometheusMetrics, RequestEvent},
    route::{ApiMethod, Authorization, Routes},
    stage::Stages,
};

const POOL: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E";

/// The Prometheus page and the CloudWatch lines after: a token whose keys take 40 ms to fetch; the same again; the same
/// where a scope is asked for that it has not; another one, expired; none; and a user pool's token twice.
fn seen() -> (String, Vec<Value>) {
    let (manual, now) = clock();
    let issuer = service_fn(move |_: Request<Empty<Bytes>>| {
        manual.advance(Duration::from_millis(40));
        let keys = key_set(&[&signers()[0]]);
        async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(keys))) }
    });
    let keys = RemoteJwks::url("https://issuer.example/keys", JwksClient::new(issuer)).unwrap();
    let keys = JwkSource::remote(keys.clock(now.clone()));
    let pool = UserPool::new("eu-west-1", "eu-west-1_Ab12Cd34E").unwrap();
    let pool = CognitoAuthorizer::builder().user_pool(pool, source()).clock(now.clone()).build().unwrap();
    let jwt = || ApiMethod::new().authorization(Authorization::jwt("issuer"));
    let cognito = ApiMethod::new().authorization(Authorization::cognito_user_pools("pool"));
    let routes = Routes::builder()
        .method("/me", Method::GET, jwt())
        .method("/admin", Method::GET, jwt().authorization_scopes(["admin"]))
        .method("/pool", Method::GET, cognito);
    let (metrics, lines) = (PrometheusMetrics::new(), Arc::new(Mutex::new(Vec::new())));
    let kept = Arc::clone(&lines);
    let emf = EmfLog::new(move |line: &str, _: &RequestEvent<'_>| kept.lock().unwrap().push(line.to_owned()));
    let observe =
        ObserveLayer::new().api(ApiInfo::new("pets")).observer(metrics.clone()).observer(emf.extended(true));
    let gateway = Gateway::builder()
        .stages(Stages::single("prod", routes.build().unwrap()).unwrap())
        .jwt_authorizer(JwtAuthorizerLayer::new("issuer", authorizer(keys, now.clone()).build().unwrap()))
        .cognito_authorizer(CognitoAuthorizerLayer::new("pool", pool))
        .clock(now)
        .observe(observe);
    let service = gateway.build().unwrap().layer(service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("me")))
    }));
    let (good, expired) = (token(&json!({})), token(&json!({"exp": 1_000})));
    let id = token(&json!({"iss": POOL, "token_use": "id"}));
    let asked = [
        (with_token("/prod/me", &good), 200),
        (with_token("/prod/me", &good), 200),
        (with_token("/prod/admin", &good), 403),
        (with_token("/prod/me", &expired), 401),
        (get("/prod/me"), 401),
        (with_token("/prod/pool", &id), 200),
        (with_token("/prod/pool", &id), 200),
    ];
    run(async {
        for (request, status) in asked {
            let answer = service.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), status);
            answer.into_body().collect().await.unwrap();
        }
    });
    let lines =
        lines.lock().unwrap().iter().map(|line: &String| serde_json::from_str(line).unwrap()).collect();
    (metrics.render(), lines)
}

#[test]
fn tokens_have_latency_calls_and_a_cache_ratio() {
    let (page, lines) = seen();
    for line in [
        r#"tower_gateway_authorizer_lookups_total{authorizer="issuer",result="hit"} 2"#,
        r#"tower_gateway_authorizer_lookups_total{authorizer="issuer",result="miss"} 2"#,
        r#"tower_gateway_authorizer_duration_seconds_sum{authorizer="issuer"} 0.04"#,
        r#"tower_gateway_authorizer_duration_seconds_count{authorizer="issuer"} 2"#,
        r#"tower_gateway_authorizer_lookups_total{authorizer="pool",result="hit"} 1"#,
        r#"tower_gateway_authorizer_lookups_total{authorizer="pool",result="miss"} 1"#,
    ] {
        assert!(page.lines().any(|own| own == line), "{line} is not in\n{page}");
    }
    prometheus_reads(&page);

    lines.iter().for_each(is_valid_emf);
    let of = |line: &Value| {
        ["AuthorizerCacheHitCount", "AuthorizerCacheMissCount", "AuthorizerLatency"]
            .map(|name| line[name].as_f64())
    };
    let (hit, miss) = ([Some(1.0), Some(0.0), None], |ms| [Some(0.0), Some(1.0), Some(ms)]);
    let wanted = [miss(40.0), hit, hit, miss(0.0), [None; 3], miss(0.0), hit];
    assert_eq!(lines.iter().map(of).collect::<Vec<_>>(), wanted);
}

//! Every `$context` variable of the access logs: what it is at the end of a request, or `-`.

use super::{GOLD, Record, authorization, authorized, request, with_field};
use crate::support::{left_out, run, vectors};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    context::{Ingress, PeerAddr, RequestContextLayer},
    filter::{FilterLayer, Verdict},
    gateway::Gateway,
    observe::{
        AccessLog, AccessLogFormat, ApiInfo, LogApi, ObserveLayer, Observer, RequestEvent, trace::TraceLayer,
    },
    resource_policy::ResourcePolicyLayer,
    route::{ApiMethod, Routes},
    stage::{CanarySettings, Deployment, Stage, Stages},
    timeout::TimeoutLayer,
};

/// All names of AWS's table for REST, HTTP and WebSocket APIs but those of client certificates, which their own tests have.
const NAMES: &str = "accountId apiId authenticate.error authenticate.latency authenticate.status authorize.error \
    authorize.latency authorize.status authorizer.error authorizer.claims.sub authorizer.principalId authorizer.plan \
    authorizer.latency authorizer.integrationLatency authorizer.integrationStatus authorizer.requestId \
    authorizer.status awsEndpointRequestId awsEndpointRequestId2 cipherSuite tlsVersion connectedAt connectionId \
    customDomain.basePathMatched customDomain.routingRuleIdMatched dataProcessed deploymentId domainName domainPrefix \
    endpointType error.message error.messageString error.responseType error.validationErrorString eventType \
    extendedRequestId httpMethod identity.accountId identity.apiKey identity.apiKeyId identity.caller identity.user \
    identity.userArn identity.cognitoAuthenticationProvider identity.cognitoAuthenticationType \
    identity.cognitoIdentityId identity.cognitoIdentityPoolId identity.principalOrgId identity.sourceIp \
    identity.userAgent identity.vpcId identity.vpceId integration.error integration.integrationStatus \
    integration.latency integration.requestId integration.responseTransferMode integration.status \
    integration.timeToAllHeaders integration.timeToFirstContent integrationErrorMessage integrationLatency \
    integrationStatus isCanaryRequest messageId path protocol requestId requestOverride.header.a requestTime \
    requestTimeEpoch resourceId resourcePath responseLatency responseLength responseOverride.status routeKey stage \
    status waf.error waf.latency waf.status wafResponseCode webaclArn xrayTraceId \
    outcome error.cause error.layer requestLength";

fn stages() -> Stages {
    let mut routes = Routes::builder();
    for kind in ["custom", "signed", "jwt"] {
        let method = ApiMethod::new().authorization(authorization(kind)).api_key_required(kind == "custom");
        routes = routes.method(&format!("/{kind}/{{id}}"), Method::GET, method);
    }
    let routes = routes.build().unwrap();
    let deployment = |id: &str| Deployment::new(id, routes.clone());
    let stage = Stage::new("prod", "v1").canary(CanarySettings::new("v2", 0.0));
    Stages::builder().deployment(deployment("v1")).deployment(deployment("v2")).stage(stage).build().unwrap()
}

/// Name and value of every variable that has one, after one request.
fn values(request: Request<Full<Bytes>>) -> Vec<String> {
    let line = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&line);
    let names: Vec<_> = NAMES.split_whitespace().collect();
    let text = names.iter().map(|name| format!("$context.{name}")).collect::<Vec<_>>().join("|");
    let sink = move |line: &str, event: &RequestEvent<'_>| {
        let context = event.context();
        let line = line.replace(context.request_id(), "ID").replace(context.extended_request_id(), "XID");
        kept.lock().unwrap().clone_from(&line);
    };
    let log = AccessLog::new(AccessLogFormat::new(LogApi::Rest, &text).unwrap(), sink);
    let api = ApiInfo::new("pets").id("a1b2c3d4e5").account_id("111122223333");
    let observe = ObserveLayer::new().api(api).observer(log);
    let inner = service_fn(|_: Request<GatewayBody<Full<Bytes>>>| async {
        let answer =
            Response::builder().header("x-amz-request-id", "backend-1").header("x-amz-id-2", "backend-2");
        Ok::<_, Infallible>(answer.status(201).body(Full::<Bytes>::from("pets")).unwrap())
    });
    let clock = crate::jwt::clock().1;
    // The entry is private: without a policy it would be closed.
    let policy = super::order::policy();
    let gateway = authorized(&Record::default())
        .clock(clock.clone())
        .stages(stages())
        .resource_policy(ResourcePolicyLayer::new(policy.clone()))
        .sigv4(super::signatures().resource_policy(&policy).build().unwrap())
        .authorizer(super::custom(&Record::default()).resource_policy(&policy));
    let filter = FilterLayer::new(|head, _| match head.headers.contains_key("x-block") {
        true => Verdict::Block,
        false => Verdict::Pass,
    });
    let gateway = gateway.filter(filter).observe(observe).build().unwrap();
    let service =
        RequestContextLayer::new().clock(clock).layer(TraceLayer::new().layer(gateway.layer(inner)));
    let mut request = with_field(with_field(request, "x-api-key", GOLD), "user-agent", "curl/8");
    let ingress = Ingress::private().vpc("vpc-1").vpc_endpoint("vpce-1").tls("TLSv1.3");
    request.extensions_mut().insert(ingress.cipher("TLS_AES_128_GCM_SHA256"));
    request.extensions_mut().insert(PeerAddr("192.0.2.7:5000".parse().unwrap()));
    let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
    let request = with_field(request, "x-amzn-trace-id", root);
    run(async { drop(service.oneshot(request).await.unwrap().into_body().collect().await.unwrap()) });
    let line = line.lock().unwrap().clone();
    let values: Vec<_> = line.split('|').collect();
    assert_eq!(values.len(), names.len(), "{line}");
    names
        .iter()
        .zip(values)
        .filter(|(_, value)| *value != "-")
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// What every answered request of the API has.
fn common(resource: &str) -> [String; 29] {
    [
        "accountId=111122223333".into(),
        "apiId=a1b2c3d4e5".into(),
        "awsEndpointRequestId=backend-1".into(),
        "awsEndpointRequestId2=backend-2".into(),
        "dataProcessed=4".into(),
        "deploymentId=v1".into(),
        "extendedRequestId=XID".into(),
        "httpMethod=GET".into(),
        "cipherSuite=TLS_AES_128_GCM_SHA256".into(),
        "tlsVersion=TLSv1.3".into(),
        "endpointType=PRIVATE".into(),
        "identity.vpcId=vpc-1".into(),
        "identity.vpceId=vpce-1".into(),
        "identity.sourceIp=192.0.2.7".into(),
        "identity.userAgent=curl/8".into(),
        "integration.integrationStatus=201".into(),
        "integration.requestId=backend-1".into(),
        "integration.status=201".into(),
        "isCanaryRequest=false".into(),
        "protocol=HTTP/1.1".into(),
        "requestId=ID".into(),
        "requestTime=15/Jan/2027:08:00:00 +0000".into(),
        "requestTimeEpoch=1800000000000".into(),
        format!("resourcePath=/{resource}/{{id}}"),
        format!("path=/prod/{resource}/7"),
        "stage=prod".into(),
        "status=201".into(),
        "xrayTraceId=1-5759e988-bd862e3fe1be46a994272793".into(),
        "outcome=complete".into(),
    ]
}

fn check(request: Request<Full<Bytes>>, resource: &str, own: &[&str]) {
    let mut wanted: Vec<String> =
        common(resource).into_iter().chain(own.iter().map(|own| (*own).to_owned())).collect();
    let zero = [
        "integration.latency=0",
        "integration.responseTransferMode=STREAMED",
        "integration.timeToAllHeaders=0",
        "integration.timeToFirstContent=0",
        "integrationLatency=0",
        "waf.latency=0",
        "waf.status=200",
        "wafResponseCode=WAF_ALLOW",
        "integrationStatus=201",
        "responseLatency=0",
        "responseLength=4",
    ];
    wanted.extend(zero.map(str::to_owned));
    wanted.push(format!("routeKey=GET /{resource}/{{id}}"));
    let mut found = values(request);
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

#[test]
fn golden_values_of_every_variable() {
    let custom = request("custom", "ada", "http://api.example/prod/custom/7");
    check(
        custom,
        "custom",
        &[
            "authorize.latency=0",
            "authorize.status=200",
            "authorizer.integrationLatency=0",
            "authorizer.integrationStatus=200",
            "authorizer.latency=0",
            "authorizer.principalId=ada",
            "authorizer.status=200",
            "domainName=api.example",
            "domainPrefix=api",
            "identity.apiKey=*******************efghij",
            "identity.apiKeyId=gold",
        ],
    );
    let token = request("jwt", "bob", "/prod/jwt/7");
    check(
        token,
        "jwt",
        &[
            "authorizer.claims.sub=bob",
            "authorizer.latency=0",
            "authorizer.principalId=bob",
            "authorizer.status=200",
        ],
    );
    let signed = request("signed", "ada", "/prod/signed/7");
    check(
        signed,
        "signed",
        &[
            "authenticate.latency=0",
            "authenticate.status=200",
            "authorize.latency=0",
            "authorize.status=200",
            "authorizer.principalId=arn:aws:iam::111122223333:user/ada",
            "domainName=api.example",
            "domainPrefix=api",
            "identity.accountId=111122223333",
            "identity.caller=ada",
            "identity.user=ada",
            "identity.userArn=arn:aws:iam::111122223333:user/ada",
        ],
    );
}

#[test]
fn golden_values_of_a_refusal() {
    let found = values(request("custom", "deny", "/prod/custom/7"));
    for wanted in [
        r#"error.message=User is not authorized to access this resource with an explicit deny"#,
        r#"error.messageString="User is not authorized to access this resource with an explicit deny""#,
        "error.responseType=ACCESS_DENIED",
        "error.cause=AuthorizerExplicitDeny",
        "error.layer=AuthorizerLayer",
        "status=403",
        "outcome=complete",
        "authorizer.principalId=bob",
        "authorizer.status=200",
        "authorize.error=User is not authorized to access this resource with an explicit deny",
        "authorize.status=403",
        "waf.status=200",
    ] {
        assert!(found.contains(&wanted.to_owned()), "{wanted} {found:#?}");
    }
    assert!(!found.iter().any(|value| value.starts_with("integration")), "{found:?}");
}

/// Of a refusal in an early phase, what the phases after it would say.
fn phases(request: Request<Full<Bytes>>) -> Vec<String> {
    let of_phase = |value: &String| ["waf", "auth"].iter().any(|start| value.starts_with(start));
    values(request).into_iter().filter(of_phase).collect()
}

#[test]
fn phases_tell_who_refused_and_those_behind_say_nothing() {
    let blocked = with_field(request("custom", "ada", "/prod/custom/7"), "x-block", "1");
    assert_eq!(
        phases(blocked),
        ["waf.error=Forbidden", "waf.latency=0", "waf.status=403", "wafResponseCode=WAF_BLOCK"]
    );
    let passed = |own: &[&str]| {
        let all = own.iter().copied().chain(["waf.latency=0", "waf.status=200", "wafResponseCode=WAF_ALLOW"]);
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut altered = request("signed", "ada", "/prod/signed/7");
    *altered.uri_mut() = "/prod/signed/8".parse().unwrap();
    let found = phases(altered);
    assert!(found[0].starts_with("authenticate.error=The request signature we calculated"), "{found:?}");
    assert_eq!(found[1..], passed(&["authenticate.latency=0", "authenticate.status=403"]));
    let stranger = request("custom", "stranger", "/prod/custom/7");
    assert_eq!(
        phases(stranger),
        passed(&[
            "authorizer.error=Unauthorized",
            "authorizer.latency=0",
            "authorizer.integrationLatency=0",
            "authorizer.integrationStatus=200",
            "authorizer.status=401",
        ])
    );
}

/// An observer who asks for phases.
struct Phases<F>(F);

impl<F: Fn(&RequestEvent<'_>) + Send + Sync + 'static> Observer for Phases<F> {
    fn ended(&self, event: &RequestEvent<'_>) {
        (self.0)(event);
    }

    fn needs_phases(&self) -> bool {
        true
    }
}

#[test]
fn what_goes_wrong_with_the_service_is_told() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let observer = move |event: &RequestEvent<'_>| {
        let of = |name: &str| event.variable(name).map(|text| text.into_owned());
        assert_eq!(of("integration.error"), of("integrationErrorMessage"));
        let times = ["integration.timeToAllHeaders", "integration.timeToFirstContent"].map(of);
        assert_eq!(times.iter().all(Option::is_some), event.integration_error().is_none(), "{times:?}");
        kept.lock().unwrap().push(of("integration.error").unwrap_or_default());
    };
    let manual = tower_gateway::clock::ManualClock::at_unix_seconds(0);
    let gateway = Gateway::builder()
        .clock(manual.clock())
        .timeout(TimeoutLayer::new(Duration::from_secs(1)))
        .observe(ObserveLayer::new().observer(Phases(observer)));
    let service =
        gateway.build().unwrap().layer(service_fn(|request: Request<GatewayBody<Full<Bytes>>>| async move {
            match request.uri().path() {
                "/slow" => std::future::pending().await,
                "/fails" => Err("broken"),
                _ => Ok(Response::new(Full::<Bytes>::from("fine"))),
            }
        }));
    run(async {
        for path in ["/fine", "/fails", "/slow"] {
            let mut call = std::pin::pin!(service.clone().oneshot(crate::support::get(path)));
            let first = futures_util::poll!(call.as_mut());
            manual.advance(Duration::from_secs(2));
            match first {
                std::task::Poll::Ready(Ok(answer)) => drop(answer.into_body().collect().await),
                std::task::Poll::Ready(Err(error)) => assert_eq!(error, "broken"),
                std::task::Poll::Pending => drop(call.await.unwrap().into_body().collect().await),
            }
        }
    });
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "",
            "Execution failed due to a network error communicating with endpoint",
            "Execution failed due to a timeout error"
        ]
    );
}

/// The one recorded case of this half whose answer shows a `$context` value of the gateway's own making.
#[test]
fn the_recorded_canary_case_shows_what_we_log() {
    let Some(recorded) = vectors("apigateway-recorded/cases.json") else { return };
    let with_value = |case: &&serde_json::Value| {
        case["expect"]["json"]["isCanary"].is_string()
            && case["api"].to_string().contains("$context.isCanaryRequest")
    };
    let cases: Vec<_> = recorded["cases"].as_array().unwrap().iter().filter(with_value).collect();
    if cases.is_empty() {
        return left_out("recorded cases with $context values (none in these vectors)");
    }
    for case in cases {
        let percent = case["expect"]["json"]["isCanary"].as_str() == Some("true");
        let seen = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&seen);
        let observer = move |event: &RequestEvent<'_>| {
            *kept.lock().unwrap() = event.variable("isCanaryRequest").map(|value| value.into_owned());
        };
        let settings = CanarySettings::new("v2", if percent { 100.0 } else { 0.0 });
        let stage = Stage::new("prod", "v1").canary(settings);
        let stages = Stages::builder()
            .deployment(Deployment::catch_all("v1"))
            .deployment(Deployment::catch_all("v2"))
            .stage(stage)
            .build()
            .unwrap();
        let gateway = Gateway::builder().stages(stages).observe(ObserveLayer::new().observer(observer));
        let service = gateway.build().unwrap().layer(crate::support::Strict::default());
        let answer = run(service.oneshot(crate::support::get("/prod/"))).unwrap();
        drop(answer);
        assert_eq!(seen.lock().unwrap().as_deref(), case["expect"]["json"]["isCanary"].as_str());
    }
}

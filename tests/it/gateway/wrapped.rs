//! Layers around the gateway that were told less than it: what the gateway was told counts all the same.

use crate::support::run;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    clock::ManualClock,
    context::{ApiKind, ClientCertificate, PeerAddr, RequestContext, RequestContextLayer, TrustedProxies},
    gateway::{Gateway, GatewayBuilder},
    mtls::MutualTlsLayer,
    observe::{ObserveLayer, RequestEvent, trace::TraceLayer},
    policy::ExecuteApi,
    resource_policy::{ResourcePolicy, ResourcePolicyLayer},
    route::{ApiMethod, Routes},
    stage::{CustomDomain, Deployment, Stage, Stages},
    throttle::Throttle,
    usage_plan::UsagePlans,
};

const PROXY: &str = "10.0.0.1";
const CLIENT: &str = "203.0.113.9";

fn proxies() -> TrustedProxies {
    TrustedProxies::new(["10.0.0.0/8"]).unwrap()
}

fn stages() -> Stages {
    let routes = Routes::builder().method("/pets", Method::GET, ApiMethod::new()).build().unwrap();
    Stages::single("prod", routes).unwrap()
}

/// Only from the inside.
fn policy() -> ResourcePolicyLayer {
    let document = r#"{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
        "Resource": "execute-api:/*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}]}"#;
    ResourcePolicyLayer::new(ResourcePolicy::new(&ExecuteApi::default(), document).unwrap())
}

fn certificate() -> ClientCertificate {
    let params = rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    ClientCertificate::from_verified_chain(&[made.der()]).unwrap()
}

/// What the proxy hands on for the client, with a certificate.
fn request(path: &str) -> Request<Full<Bytes>> {
    let mut request = crate::support::get(path);
    request.extensions_mut().insert(certificate());
    request.extensions_mut().insert(PeerAddr(SocketAddr::new(PROXY.parse().unwrap(), 1)));
    request.headers_mut().insert("x-forwarded-for", CLIENT.parse().unwrap());
    request
}

/// The address and the kind of API that the service finds.
async fn who(request: Request<GatewayBody<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let context = RequestContext::of(request.extensions()).unwrap();
    Ok(Response::new(Full::from(format!("{:?} {:?}", context.source_ip(), context.api_kind()))))
}

/// Status and body of the answer.
async fn ask<S>(service: S, request: Request<Full<Bytes>>) -> (u16, String)
where
    S: Service<Request<Full<Bytes>>, Response = Response<GatewayBody<Full<Bytes>>>, Error = Infallible>,
{
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
}

/// The gateway inside of each layer that makes a context without knowing more.
macro_rules! around {
    ($gateway:expr, |$name:ident, $service:ident| $check:expr) => {{
        let gateway = || $gateway.build().unwrap().layer(service_fn(who));
        let ($name, $service) = ("nothing", gateway());
        $check;
        let ($name, $service) = ("mTLS", MutualTlsLayer::new().layer(gateway()));
        $check;
        let ($name, $service) = ("trace", TraceLayer::new().layer(gateway()));
        $check;
        let ($name, $service) = ("context", RequestContextLayer::new().layer(gateway()));
        $check;
        let ($name, $service) = ("both", TraceLayer::new().layer(MutualTlsLayer::new().layer(gateway())));
        $check;
    }};
}

#[test]
fn a_policy_is_judged_by_the_address_that_the_gateways_proxies_tell() {
    let gateway = || Gateway::builder().trusted_proxies(proxies()).resource_policy(policy());
    run(async {
        around!(gateway(), |name, service| {
            assert_eq!(ask(service, request("/pets")).await.0, 403, "{name}");
        });
        // Nobody has said that the proxy is one: it is the client.
        let untold = || Gateway::builder().resource_policy(policy());
        around!(untold(), |name, service| {
            assert_eq!(ask(service, request("/pets")).await.0, 200, "{name}");
        });
    });
}

/// Of a context that was made outside, the arrival is not the present: a middleware may have waited in between.
#[test]
fn the_charge_is_of_the_time_at_which_the_gateway_is_reached() {
    let time = ManualClock::at_unix_seconds(0);
    let throttle = Throttle::new(1.0, 1).unwrap();
    let plans = UsagePlans::builder().clock(time.clock()).account_throttle(throttle).build().unwrap();
    let gateway = || Gateway::builder().clock(time.clock()).usage_plans(plans.clone()).build().unwrap();
    let waits = |seconds: u64| {
        let (time, gateway) = (time.clone(), gateway().layer(service_fn(who)));
        service_fn(move |request: Request<Full<Bytes>>| {
            time.advance(Duration::from_secs(seconds));
            gateway.clone().oneshot(request)
        })
    };
    let outer = RequestContextLayer::new().clock(time.clock());
    run(async {
        assert_eq!(ask(outer.layer(waits(0)), request("/")).await.0, 200);
        assert_eq!(ask(outer.layer(waits(60)), request("/")).await.0, 200);
    });
}

#[test]
fn an_http_api_answers_as_one_and_its_service_sees_the_client() {
    let gateway = || Gateway::builder().api_kind(ApiKind::Http).trusted_proxies(proxies()).stages(stages());
    run(async {
        around!(gateway(), |name, service| {
            let unknown = service.clone();
            assert_eq!(ask(unknown, request("/prod/none")).await.0, 404, "{name}");
            assert_eq!(ask(service, request("/prod/pets")).await.1, format!("Some({CLIENT}) Http"), "{name}");
        });
    });
}

#[derive(Clone, Copy)]
struct Peer(IpAddr);

#[test]
fn an_address_in_an_extension_of_the_servers_own_is_found_by_whom_was_told() {
    let gateway = || {
        let find = |extensions: &http::Extensions| extensions.get::<Peer>().map(|peer| peer.0);
        Gateway::builder().peer_addr(find).trusted_proxies(proxies())
    };
    let request = || {
        let mut request = request("/pets");
        request.extensions_mut().remove::<PeerAddr>();
        request.extensions_mut().insert(Peer(PROXY.parse().unwrap()));
        request
    };
    run(async {
        around!(gateway(), |name, service| {
            assert_eq!(ask(service, request()).await.1, format!("Some({CLIENT}) Rest"), "{name}");
        });
    });
}

#[test]
fn what_an_outer_layer_was_told_stands() {
    let outer = RequestContextLayer::new().api_kind(ApiKind::Http).trusted_proxies(proxies());
    let gateway = Gateway::builder().stages(stages()).build().unwrap();
    let service = TraceLayer::new().layer(outer.layer(gateway.layer(service_fn(who))));
    let inner_proxies = TrustedProxies::new(["10.0.0.0/8", "203.0.113.0/24"]).unwrap();
    let forwarded = |hops: &'static str| {
        let mut request = request("/prod/pets");
        request.headers_mut().insert("x-forwarded-for", hops.parse().unwrap());
        request
    };
    let other = Gateway::builder().trusted_proxies(inner_proxies).build().unwrap();
    let told_twice = RequestContextLayer::new().trusted_proxies(proxies());
    run(async {
        assert_eq!(ask(service, request("/prod/pets")).await.1, format!("Some({CLIENT}) Http"));
        let service = told_twice.layer(other.layer(service_fn(who)));
        let seen = ask(service, forwarded("6.6.6.6, 203.0.113.9")).await.1;
        assert_eq!(seen, format!("Some({CLIENT}) Rest"), "the outer layer trusts one network only");
    });
}

fn by_certificate(resource: &str, condition: &str) -> ResourcePolicyLayer {
    let document = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": "*",
            "Action": "execute-api:Invoke", "Resource": "execute-api:/{resource}", "Condition": {{{condition}}}}}]}}"#
    );
    ResourcePolicyLayer::new(ResourcePolicy::new(&ExecuteApi::default(), document).unwrap())
}

#[test]
fn policies_ask_for_the_client_certificate() {
    let certificate = certificate();
    let serial = certificate.serial_number().to_owned();
    let with = |path: &str, certificate: Option<&ClientCertificate>| {
        let mut request = crate::support::get(path);
        request.extensions_mut().extend(
            certificate
                .cloned()
                .map(|found| {
                    let mut extensions = http::Extensions::new();
                    extensions.insert(found);
                    extensions
                })
                .unwrap_or_default(),
        );
        request
    };
    let verdict = |policy: ResourcePolicyLayer, request| {
        run(crate::support::through(policy, request)).0.status().as_u16()
    };
    let own = format!(r#""StringEquals": {{"context:identity.clientCert.serialNumber": "{serial}"}}"#);
    for (condition, status) in [
        (own.as_str(), 200),
        (r#""StringLike": {"context:identity.clientCert.subjectDN": "CN=rcgen*"}"#, 200),
        (r#""StringLike": {"CONTEXT:IDENTITY.clientcert.ISSUERDN": "CN=rcgen*"}"#, 200),
        (r#""StringEquals": {"context:identity.clientCert.serialNumber": "00"}"#, 403),
        (r#""Null": {"context:identity.clientCert.other": "false"}"#, 403),
    ] {
        assert_eq!(
            verdict(by_certificate("*", condition), with("/pets", Some(&certificate))),
            status,
            "{condition}"
        );
        assert_eq!(verdict(by_certificate("*", condition), with("/pets", None)), 403, "{condition}: nobody");
    }
    // As a policy variable: each client below its own serial number.
    let own = || by_certificate("*/GET/of/${context:identity.clientCert.serialNumber}", "");
    let path = format!("/of/{serial}");
    assert_eq!(verdict(own(), with(&path, Some(&certificate))), 200);
    assert_eq!(verdict(own(), with("/of/00:01", Some(&certificate))), 403);
    assert_eq!(verdict(own(), with(&path, None)), 403);
}

/// A gateway whose custom domains ask for a certificate, on a listener that other hosts share.
fn of_domains() -> Gateway<tower_gateway::gateway::Uncached> {
    let domain = |name: &str| CustomDomain::new(name).mapping("", "prod");
    let stages = Stages::builder()
        .deployment(Deployment::new("v1", Routes::catch_all()))
        .stage(Stage::new("prod", "v1"))
        .domain(domain("secure.example"))
        .domain(domain("*.parts.example"));
    let mutual_tls = MutualTlsLayer::new().domains(["Secure.example", "*.parts.example"]).unwrap();
    Gateway::builder().stages(stages.build().unwrap()).mutual_tls(mutual_tls).build().unwrap()
}

fn for_host(
    field: &str,
    target: bool,
    certificate: Option<ClientCertificate>,
) -> Option<Request<Full<Bytes>>> {
    let uri = if target { format!("https://{field}/orders") } else { "/orders".to_owned() };
    let mut request = Request::builder().uri(uri);
    if !target {
        request = request.header("host", field);
    }
    let mut request = request.body(Full::default()).ok()?;
    if let Some(certificate) = certificate {
        request.extensions_mut().insert(certificate);
    }
    Some(request)
}

#[test]
fn no_spelling_of_a_host_comes_in_without_its_certificate() {
    let service = of_domains().layer(service_fn(who));
    let certificate = certificate();
    run(async {
        for host in ["secure.example", "a.parts.example"] {
            for (suffix, served) in [
                ("", 200),
                (".", 200),
                (":443", 200),
                (".:443", 200),
                ("..", 403),
                ("...", 403),
                ("..:443", 403),
            ] {
                for host in [format!("{host}{suffix}"), format!("{}{suffix}", host.to_uppercase())] {
                    for target in [false, true] {
                        let bare = for_host(&host, target, None).unwrap();
                        assert_eq!(ask(service.clone(), bare).await.0, 403, "{host}");
                        let shown = for_host(&host, target, Some(certificate.clone())).unwrap();
                        assert_eq!(ask(service.clone(), shown).await.0, served, "{host}");
                    }
                }
            }
        }
    });
}

proptest! {
    #[test]
    fn whatever_a_stage_takes_for_its_domain_needs_a_certificate(
        host in "(secure|SECURE|a\\.parts|A\\.Parts|\\.secure|x\\.secure|a%2eparts)\\.{0,2}example\\.{0,3}(:[0-9]{0,3}){0,2}",
        target in any::<bool>(),
    ) {
        let Some(request) = for_host(&host, target, None) else { return Ok(()) };
        let status = run(ask(of_domains().layer(service_fn(who)), request)).0;
        prop_assert_eq!(status, 403);
    }
}

/// A gateway that asks for certificates itself, and what its observer is told.
fn observed() -> (GatewayBuilder, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    let observe = ObserveLayer::new().observer(move |event: &RequestEvent<'_>| {
        let (status, error) = (event.status().map(|status| status.as_u16()), event.error());
        kept.lock().unwrap().push(format!("{status:?} {:?}", error.map(|error| error.cause())));
    });
    let cors = super::cors();
    let builder = Gateway::builder().stages(stages()).cors(cors).mutual_tls(MutualTlsLayer::new());
    (builder.observe(observe), told)
}

#[test]
fn the_gateways_own_refusals_have_request_ids_and_stand_in_the_log() {
    let (builder, told) = observed();
    let service = builder.build().unwrap().layer(service_fn(who));
    let mut bare = request("/prod/none");
    bare.extensions_mut().remove::<ClientCertificate>();
    bare.headers_mut().insert("origin", "https://shop.example".parse().unwrap());
    *bare.method_mut() = Method::OPTIONS;
    bare.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
    run(async {
        let refused = service.clone().oneshot(bare).await.unwrap();
        let (head, body) = refused.into_parts();
        assert_eq!(
            (head.status.as_u16(), &head.headers["x-amzn-errortype"]),
            (403, &"ForbiddenException".parse().unwrap())
        );
        assert_eq!(head.headers["x-amzn-requestid"].len(), 36);
        assert_eq!(head.headers["x-amz-apigw-id"].len(), 16);
        assert_eq!(body.collect().await.unwrap().to_bytes(), r#"{"message":"Forbidden"}"#);
        assert_eq!(ask(service, request("/prod/pets")).await.1, format!("Some({PROXY}) Rest"));
    });
    assert_eq!(*told.lock().unwrap(), ["Some(403) Some(ClientCertificateMissing)", "Some(200) None"]);
}

//! Calls through a private entry: closed where no resource policy is attached, whoever calls.

use super::{KINDS, Record, ask, authorized, custom, order, request, signatures, stages};
use crate::support::{Strict, run, through};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::Layer;
use tower_gateway::{
    context::{Ingress, IngressLayer, PeerAddr, RequestContextLayer, TrustedProxies},
    resource_policy::ResourcePolicyLayer,
    response::{Cause, GatewayError},
};

fn privately(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.extensions_mut().insert(Ingress::private().vpc_endpoint("vpce-1"));
    request
}

#[test]
fn without_a_resource_policy_every_kind_of_method_is_closed() {
    let record = Record::default();
    let strict = Strict::default();
    let service = authorized(&record).stages(stages()).build().unwrap().layer(strict.clone());
    run(async {
        for kind in KINDS.into_iter().chain(["open"]) {
            let answer = ask(&service, privately(request(kind, "ada", &format!("/prod/{kind}")))).await;
            assert_eq!((answer.status, answer.cause), (403, Some(Cause::ResourcePolicySilent)), "{kind}");
            assert_eq!(answer.headers["x-amzn-errortype"], "AccessDeniedException", "{kind}");
            assert!(answer.body.starts_with(r#"{"Message":"User"#), "{kind}: {}", answer.body);
            assert_eq!(record.take(), [""; 0], "{kind}: nobody is asked");
            let public = ask(&service, request(kind, "ada", &format!("/prod/{kind}"))).await;
            assert_eq!(public.status, 200, "{kind}");
            record.take();
        }
    });
    assert_eq!(strict.called(), 5);
}

#[test]
fn a_policy_that_allows_opens_it() {
    let policy = order::policy();
    let gateway = authorized(&Record::default())
        .stages(stages())
        .resource_policy(ResourcePolicyLayer::new(policy.clone()))
        .sigv4(signatures().resource_policy(&policy).build().unwrap())
        .authorizer(custom(&Record::default()).resource_policy(&policy));
    let service = gateway.build().unwrap().layer(Strict::default());
    run(async {
        for kind in KINDS.into_iter().chain(["open"]) {
            let answer = ask(&service, privately(request(kind, "ada", &format!("/prod/{kind}")))).await;
            assert_eq!(answer.status, 200, "{kind}: {answer:?}");
        }
    });
}

#[test]
fn layers_of_their_own_are_closed_too() {
    let cause = |response: &http::Response<Bytes>| response.extensions().get().map(GatewayError::cause);
    run(async {
        let (refused, calls) =
            through(custom(&Record::default()), privately(request("custom", "ada", "/custom"))).await;
        assert_eq!((cause(&refused), calls), (Some(Cause::ResourcePolicySilent), 0));
        let signed = signatures().require(tower_gateway::sigv4::SignatureRequirement::Always);
        let service = signed.build().unwrap().layer(tower::service_fn(|_: Request<_>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default()))
        }));
        let answer = tower::ServiceExt::oneshot(service, privately(request("signed", "ada", "/signed")));
        let error = answer.await.unwrap().extensions().get().map(GatewayError::cause);
        assert_eq!(error, Some(Cause::ResourcePolicySilent));
    });
}

#[test]
fn the_entry_is_known_also_where_a_context_was_made_before() {
    let proxy = TrustedProxies::new(["10.0.0.0/8"]).unwrap();
    let named = IngressLayer::new(proxy).vpc_endpoint_header("x-amzn-vpce-id".parse().unwrap());
    let gateway = authorized(&Record::default()).stages(stages()).build().unwrap();
    let service = RequestContextLayer::new().layer(named.layer(gateway.layer(Strict::default())));
    let mut request = request("open", "", "/prod/open");
    request.extensions_mut().insert(PeerAddr("10.0.0.1:1".parse().unwrap()));
    request.headers_mut().insert("x-amzn-vpce-id", "vpce-1".parse().unwrap());
    run(async {
        assert_eq!(ask(&service, request).await.cause, Some(Cause::ResourcePolicySilent));
    });
}

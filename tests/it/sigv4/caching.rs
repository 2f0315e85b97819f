//! Signed callers and the cache: kept apart, and asked of their policies whether they may invalidate.

use super::support::{ALLOW_ALL, NOW, Signer, api, builder, layer_of, policy};
use crate::support::run;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    cache::{Cache, CacheLayer, NoCacheReason},
    clock::ManualClock,
    gateway::Gateway,
    route::{
        ApiMethod, Authorization, CacheKey, CacheSettings, MethodSettings, Routes, UnauthorizedCacheControl,
    },
    sigv4::{Credentials, MemoryCredentialsStore, SigV4AuthLayer, SigV4Verifier},
    stage::{Deployment, Stage, Stages},
};

/// The integration's, in the cache's.
type Answer = GatewayBody<GatewayBody<Full<Bytes>>>;

const MAY_INVALIDATE: &str = r#"{"Effect": "Allow", "Action": "execute-api:InvalidateCache",
    "Resource": "execute-api:/prod/GET/time"}"#;
const MAY_NOT_INVALIDATE: &str =
    r#"{"Effect": "Deny", "Action": "execute-api:InvalidateCache", "Resource": "execute-api:/*"}"#;

fn caller(id: &str, name: &str, more: &[&str]) -> Credentials {
    builder(id, name).policy(policy(&[&[ALLOW_ALL], more].concat().join(","))).build().unwrap()
}

/// Ada may invalidate `/time`; Bob may not; of Eve's policies one allows and the other denies it.
fn callers() -> [Credentials; 3] {
    [
        caller("AKIDADA", "ada", &[MAY_INVALIDATE]),
        caller("AKIDBOB", "bob", &[]),
        caller("AKIDEVE", "eve", &[MAY_INVALIDATE, MAY_NOT_INVALIDATE]),
    ]
}

fn stages(key: &CacheKey, strategy: UnauthorizedCacheControl) -> Stages {
    let signed = || ApiMethod::new().authorization(Authorization::AwsIam).cache_key(key.clone());
    let routes = Routes::builder()
        .method("/time", Method::GET, signed())
        .method("/zone", Method::GET, signed())
        .build()
        .unwrap();
    let caching = MethodSettings::new().caching(CacheSettings::new().unauthorized_strategy(strategy));
    Stages::builder()
        .deployment(Deployment::new("v1", routes))
        .stage(Stage::new("prod", "v1").settings("*/*", caching))
        .build()
        .unwrap()
}

/// A gateway whose service counts its calls, and one request through it: status, body, and whether it was warned.
struct Api<S> {
    service: S,
    cache: Cache,
}

fn gateway(
    layer: SigV4AuthLayer,
    key: &CacheKey,
    strategy: UnauthorizedCacheControl,
) -> Api<impl Service<Request<Full<Bytes>>, Response = Response<Answer>, Error = Infallible> + Clone + use<>>
{
    let calls = Arc::new(AtomicUsize::new(0));
    let service = service_fn(move |_: Request<GatewayBody<Full<Bytes>>>| {
        let call = calls.fetch_add(1, SeqCst) + 1;
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!("call {call}")))))
    });
    let cache = Cache::builder().may_invalidate_by_policy(&layer).build().unwrap();
    let gateway = Gateway::builder()
        .stages(stages(key, strategy))
        .clock(ManualClock::at_unix_seconds(NOW).clock())
        .sigv4(layer)
        .cache(CacheLayer::new(cache.clone()));
    Api { service: gateway.build().unwrap().layer(service), cache }
}

impl<S> Api<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<Answer>, Error = Infallible> + Clone,
{
    async fn ask(&self, key: &str, target: &str, headers: &[(&str, &str)]) -> (u16, String, bool) {
        let request = Signer { key, headers, ..Signer::default() }.sign("GET", target, "");
        let (parts, body) = self.service.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (parts.status.as_u16(), body, parts.headers.contains_key("warning"))
    }

    async fn get(&self, key: &str, target: &str) -> String {
        self.ask(key, target, &[]).await.1
    }
}

const RELOAD: &[(&str, &str)] = &[("cache-control", "max-age=0")];

fn shared() -> CacheKey {
    CacheKey::new().shared_between_callers()
}

fn said(status: u16, body: &str, warned: bool) -> (u16, String, bool) {
    (status, body.to_owned(), warned)
}

#[test]
fn policies_say_who_may_invalidate_and_the_strategy_answers_the_others() {
    let denied = r#"{"Message":"User is not authorized to access this resource"}"#;
    run(async {
        for (strategy, refusal) in [
            (UnauthorizedCacheControl::FailWith403, said(403, denied, false)),
            (UnauthorizedCacheControl::SucceedWithResponseHeader, said(200, "call 1", true)),
            (UnauthorizedCacheControl::SucceedWithoutResponseHeader, said(200, "call 1", false)),
        ] {
            let api = gateway(layer_of(callers()).build().unwrap(), &shared(), strategy);
            assert_eq!(api.get("AKIDADA", "/prod/time").await, "call 1");
            assert_eq!(api.ask("AKIDBOB", "/prod/time", RELOAD).await, refusal, "{strategy:?}");
            assert_eq!(api.ask("AKIDEVE", "/prod/time", RELOAD).await, refusal, "{strategy:?}");
            assert_eq!(api.ask("AKIDADA", "/prod/time", RELOAD).await, said(200, "call 2", false));
            assert_eq!(api.get("AKIDBOB", "/prod/time").await, "call 2");
            assert_eq!(api.cache.stats().missed(NoCacheReason::Invalidated), 1);
        }
    });
}

#[test]
fn the_right_is_for_the_method_that_is_routed() {
    run(async {
        let api =
            gateway(layer_of(callers()).build().unwrap(), &shared(), UnauthorizedCacheControl::FailWith403);
        for (target, status) in [("/prod/zone", 403), ("/prod/%74ime", 200), ("/prod/time", 200)] {
            assert_eq!(api.ask("AKIDADA", target, &[]).await.0, 200, "{target}");
            assert_eq!(api.ask("AKIDADA", target, RELOAD).await.0, status, "{target}");
        }
    });
}

#[test]
fn nobody_may_where_signatures_are_only_verified() {
    run(async {
        let store = MemoryCredentialsStore::new(callers());
        let verifier = SigV4Verifier::new(api().region(), "execute-api").unwrap();
        let clock = ManualClock::at_unix_seconds(NOW).clock();
        let layer = SigV4AuthLayer::authenticate_only(store, verifier).clock(clock).build().unwrap();
        let api = gateway(layer, &shared(), UnauthorizedCacheControl::FailWith403);
        assert_eq!(api.get("AKIDADA", "/prod/time").await, "call 1");
        assert_eq!(api.ask("AKIDADA", "/prod/time", RELOAD).await.0, 403);
    });
}

#[test]
fn two_signed_callers_share_nothing_unless_declared() {
    run(async {
        let strategy = UnauthorizedCacheControl::default();
        let api = gateway(layer_of(callers()).build().unwrap(), &CacheKey::new(), strategy);
        for _ in 0..2 {
            assert_eq!(api.get("AKIDADA", "/prod/time").await, "call 1");
            assert_eq!(api.get("AKIDBOB", "/prod/time").await, "call 2");
        }
        assert_eq!(api.cache.stats().hits(), 2);
        // What Ada invalidates is hers.
        assert_eq!(api.ask("AKIDADA", "/prod/time", RELOAD).await.1, "call 3");
        assert_eq!(api.get("AKIDBOB", "/prod/time").await, "call 2");
    });
}

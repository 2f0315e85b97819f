//! A cache in RFC 9111 mode in front of a scripted service.

use crate::support::get;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::{BoxError, Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_gateway::{
    GatewayBody,
    cache::{Cache, CacheLayer, rfc::Rfc9111},
    clock::ManualClock,
    route::Routes,
};

pub type Answer = Result<Response<Full<Bytes>>, BoxError>;
pub type Service = BoxCloneSyncService<Request<Full<Bytes>>, Response<GatewayBody<Full<Bytes>>>, BoxError>;

/// A cache in front of a scripted service that remembers the heads of the requests that reach it.
pub struct Bench {
    pub service: Service,
    clock: ManualClock,
    seen: Arc<Mutex<Vec<(Method, HeaderMap)>>>,
}

impl Bench {
    /// `script` answers the n-th call, counted from 1.
    pub fn new(
        rules: Rfc9111,
        script: impl Fn(usize, &Request<Full<Bytes>>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::with(rules, |layer| layer, script)
    }

    /// Always the same fields, behind a table of methods with their keys.
    pub fn routed(routes: &Routes, fields: &'static [(&'static str, &'static str)]) -> Self {
        let script = move |call: usize, _: &Request<Full<Bytes>>| Ok(answer(200, fields, &call.to_string()));
        Self::with(Rfc9111::new(), |layer| layer.routes(routes), script)
    }

    fn with(
        rules: Rfc9111,
        set: impl FnOnce(CacheLayer) -> CacheLayer,
        script: impl Fn(usize, &Request<Full<Bytes>>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let clock = ManualClock::at_unix_seconds(784_111_777);
        let cache = Cache::builder().rfc9111(rules).clock(clock.clock()).build().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), Arc::clone(&seen));
        let inner = service_fn(move |request: Request<Full<Bytes>>| {
            let mut log = log.lock().unwrap();
            log.push((request.method().clone(), request.headers().clone()));
            std::future::ready(script(log.len(), &request))
        });
        Self { service: BoxCloneSyncService::new(set(CacheLayer::new(cache)).layer(inner)), clock, seen }
    }

    /// Always the same fields; the body is the number of the call.
    pub fn saying(rules: Rfc9111, fields: &'static [(&'static str, &'static str)]) -> Self {
        Self::new(rules, move |call, _| Ok(answer(200, fields, &call.to_string())))
    }

    pub async fn try_send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, BoxError> {
        let (head, body) = self.service.clone().oneshot(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        self.try_send(request).await.unwrap()
    }

    /// The body of a plain `GET` with one more field.
    pub async fn text(&self, name: &str, value: &str) -> Bytes {
        self.send(with(get("/x"), name, value)).await.into_body()
    }

    pub async fn plain(&self) -> Response<Bytes> {
        self.send(get("/x")).await
    }

    pub fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn last_seen(&self) -> (Method, HeaderMap) {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    pub fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> Response<Full<Bytes>> {
    let mut answer = Response::builder().status(status);
    for (name, value) in fields {
        answer = answer.header(*name, *value);
    }
    answer.body(Full::from(body.to_owned())).unwrap()
}

pub fn with(mut request: Request<Full<Bytes>>, name: &str, value: &str) -> Request<Full<Bytes>> {
    let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

pub fn method(method: Method) -> Request<Full<Bytes>> {
    let mut request = get("/x");
    *request.method_mut() = method;
    request
}

pub fn status_of(answer: &Response<Bytes>) -> &str {
    answer.headers()["cache-status"].to_str().unwrap()
}

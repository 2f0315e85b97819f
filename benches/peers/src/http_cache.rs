//! `http-cache-tower-server`: a response cache on `http-cache-semantics` that stores answers as JSON.

use crate::measure::Subject;
use axum::{Router, body::Body};
use http::{Request, Response};
use http_cache::{CacheManager, HttpResponse, Result};
use http_cache_semantics::CachePolicy;
use http_cache_tower_server::{QueryKeyer, ResponseBody, ServerCacheLayer};
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};
use tower::{Layer, Service, ServiceExt};

/// The storage of the peer's documentation.
#[derive(Clone, Default)]
struct InMemory(Arc<Mutex<HashMap<String, (HttpResponse, CachePolicy)>>>);

impl InMemory {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, (HttpResponse, CachePolicy)>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl CacheManager for InMemory {
    async fn get(&self, key: &str) -> Result<Option<(HttpResponse, CachePolicy)>> {
        Ok(self.with(|map| map.get(key).cloned()))
    }

    async fn put(&self, key: String, answer: HttpResponse, policy: CachePolicy) -> Result<HttpResponse> {
        self.with(|map| map.insert(key, (answer.clone(), policy)));
        Ok(answer)
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.with(|map| map.remove(key));
        Ok(())
    }
}

/// The cache with one answer in it. It stores in a task of its own, which has to run before anybody can be answered.
pub fn warm(origin: Router, request: impl Fn() -> Request<Body>) -> impl Subject {
    let stored = InMemory::default();
    let service = over(origin, stored.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let answer = service.clone().oneshot(request()).await;
        assert!(answer.is_ok_and(|answer| answer.status() == 200));
        while stored.with(|map| map.is_empty()) {
            tokio::task::yield_now().await;
        }
    });
    service
}

fn over(
    origin: Router,
    stored: InMemory,
) -> impl Service<Request<Body>, Response = Response<ResponseBody>, Error = Infallible, Future: Send> + Clone
{
    let service = ServerCacheLayer::with_keyer(stored, QueryKeyer).layer(origin);
    ServiceExt::<Request<Body>>::map_err(service, |error| -> Infallible {
        panic!("the router does not fail: {error}")
    })
}

//! What a file costs a request that is charged to what is in hand: the same as memory.

use super::{Place, Process, VALUE};
use crate::support::run;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::{
    convert::Infallible,
    future::{Future, ready},
    task::{Context, Waker},
};
use tower::{Layer, Service, service_fn};
use tower_gateway::{
    api_key::{ApiKeyLayer, ApiKeys},
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlanLayer, UsagePlans},
};

const LIMIT: u64 = 1 << 40;

fn request() -> Request<Full<Bytes>> {
    Request::builder().header("x-api-key", VALUE).body(Full::default()).unwrap()
}

/// Allocations of one request; `None` if it was not answered at once.
fn allocations(keys: &ApiKeys, plans: &UsagePlans) -> Option<u64> {
    let answer =
        |_: Request<Full<Bytes>>| ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
    let inner = service_fn(answer);
    let mut service = ApiKeyLayer::new(keys.clone()).layer(UsagePlanLayer::new(plans.clone()).layer(inner));
    let request = request();
    let mut answered = false;
    let counted = allocation_counter::measure(|| {
        let mut answer = std::pin::pin!(service.call(request));
        answered = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
    });
    answered.then_some(counted.count_total)
}

#[test]
fn a_request_on_units_in_hand_allocates_what_it_does_in_memory() {
    let place = Place::new("costs");
    run(async {
        let process = Process::start(&place.0, LIMIT);
        let gold = UsagePlan::new("gold").quota(Quota::new(LIMIT, QuotaPeriod::Month).unwrap());
        let memory = UsagePlans::builder().plan(gold).attach("gold", "alice").build().unwrap();
        // Until there are units ahead.
        for _ in 0..500 {
            assert_eq!(process.ask().await, 200);
            tokio::task::yield_now().await;
        }
        let counts: Vec<_> = (0..50).filter_map(|_| allocations(&process.keys, &process.plans)).collect();
        let expected = allocations(&process.keys, &memory).unwrap();
        let least = counts.iter().min().copied();
        assert_eq!(least, Some(expected), "{counts:?}");
        let same = counts.iter().filter(|count| **count == expected).count();
        assert!(same * 10 >= counts.len() * 8, "only an ask ahead allocates: {counts:?}");
    });
}

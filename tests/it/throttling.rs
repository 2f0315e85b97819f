//! Throttles are exact at any number of threads, connections and routes, and clients are told of them.

mod drafts;
mod edits;
mod fields;
mod reservations;
mod shadow;

use crate::support::{Strict, assert_service, get, run, through, vectors};
use axum::{Router, routing};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tower::{
    Layer, Service, ServiceExt,
    layer::util::{Identity, Stack},
    service_fn,
};
use tower_gateway::{
    clock::ManualClock,
    context::{Principal, PrincipalLayer, RequestContext},
    response::{Cause, GatewayError},
    route::{ApiMethod, MethodSettings, Routes},
    throttle::Throttle,
    usage_plan::{
        Quota, QuotaPeriod, ThrottleScope, UsagePlan, UsagePlanLayer, UsagePlans, UsagePlansBuilder,
        UsageReservation,
    },
};

const START: i64 = 1_795_331_880; // 2026-11-22T07:18:00Z, a Sunday

fn throttle(rate: f64, burst: u32) -> Throttle {
    Throttle::new(rate, burst).unwrap()
}

fn quota(limit: u64) -> Quota {
    Quota::new(limit, QuotaPeriod::Day).unwrap()
}

fn clock() -> ManualClock {
    ManualClock::at_unix_seconds(START)
}

fn one_plan(clock: &ManualClock, plan: UsagePlan) -> UsagePlans {
    UsagePlans::builder().clock(clock.clock()).plan(plan).build().unwrap()
}

/// Every caller, named in `x-user`, is on plan `p`.
fn on_p(plans: &UsagePlans) -> UsagePlanLayer {
    UsagePlanLayer::new(plans.clone()).plan_by_principal(|_: &Principal| Some("p".to_owned()))
}

type Named = Stack<UsagePlanLayer, Stack<PrincipalLayer, Identity>>;

fn named(layer: UsagePlanLayer) -> Named {
    let users = PrincipalLayer::new(|head| Some(head.headers.get("x-user")?.to_str().ok()?.to_owned()));
    Stack::new(layer, Stack::new(users, Identity::new()))
}

fn user(name: &str, uri: &str) -> Request<Full<Bytes>> {
    Request::builder().uri(uri).header("x-user", name).body(Full::default()).unwrap()
}

type Inner = tower::util::ServiceFn<
    fn(Request<Full<Bytes>>) -> std::future::Ready<Result<Response<Full<Bytes>>, Infallible>>,
>;

fn inner() -> Inner {
    service_fn(|_| ready(Ok(Response::new(Full::from("inner")))))
}

fn send<S>(service: &S, request: Request<Full<Bytes>>) -> Response<S::Body>
where
    S: Answering + Clone,
{
    service.clone().answer(request)
}

/// A service that answers at once.
trait Answering {
    type Body;
    fn answer(self, request: Request<Full<Bytes>>) -> Response<Self::Body>;
}

impl<S, B> Answering for S
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    type Body = B;

    fn answer(self, request: Request<Full<Bytes>>) -> Response<B> {
        self.oneshot(request).now_or_never().unwrap().unwrap()
    }
}

fn admitted<S: Answering + Clone>(
    service: &S,
    tries: usize,
    request: impl Fn() -> Request<Full<Bytes>>,
) -> usize {
    (0..tries).filter(|_| send(service, request()).status() == StatusCode::OK).count()
}

fn cause<B>(response: &Response<B>) -> Option<Cause> {
    response.extensions().get::<GatewayError>().map(GatewayError::cause)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// 8 threads with 125 connections each to a router of 100 routes; after each round the clock moves by `step`.
fn greedy_rounds(limit: Throttle, step: Duration) {
    let clock = clock();
    let plans = one_plan(&clock, UsagePlan::new("p").throttle(limit).quota(quota(u64::MAX >> 1)));
    let routes = (0..100).fold(Router::new(), |router, route| {
        router.route(&format!("/r{route}"), routing::get(|| async { "ok" }))
    });
    let router = routes.layer(named(on_p(&plans)));
    let (admitted, rounds, barrier) = (AtomicU64::new(0), 12_u32, Barrier::new(8));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let connections: Vec<_> = (0..125).map(|_| router.clone()).collect();
            let (admitted, barrier, clock) = (&admitted, &barrier, &clock);
            scope.spawn(move || {
                for round in 0..rounds {
                    for (number, connection) in connections.iter().enumerate() {
                        let uri = format!("/r{}", (number + thread * 13) % 100);
                        let request = user("all", &uri).map(axum::body::Body::new);
                        let answer = connection.clone().oneshot(request).now_or_never().unwrap().unwrap();
                        admitted.fetch_add(u64::from(answer.status() == StatusCode::OK), Relaxed);
                    }
                    barrier.wait();
                    if thread == 0 && round + 1 < rounds {
                        clock.advance(step);
                    }
                    barrier.wait();
                }
            });
        }
    });
    let time = step * (rounds - 1);
    let earned = (limit.rate_limit() * time.as_secs_f64()).floor() as u64;
    assert_eq!(admitted.load(Relaxed), u64::from(limit.burst_limit()) + earned);
}

#[test]
fn a_plan_admits_burst_plus_rate_times_time_to_the_request() {
    greedy_rounds(throttle(50.0, 30), Duration::from_millis(170));
}

#[test]
fn a_burst_below_half_the_rate_still_limits() {
    greedy_rounds(throttle(100.0, 10), Duration::from_millis(50));
    greedy_rounds(throttle(40.0, 1), Duration::from_millis(25));
}

#[test]
fn an_idle_hour_leaves_exactly_the_burst() {
    let clock = clock();
    let service =
        named(on_p(&one_plan(&clock, UsagePlan::new("p").throttle(throttle(3.0, 7))))).layer(inner());
    assert_eq!(admitted(&service, 20, || user("a", "/")), 7);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(admitted(&service, 20, || user("a", "/")), 7);
}

#[test]
fn callers_have_buckets_of_their_own_and_layers_share_the_plans() {
    let clock = clock();
    let plans = one_plan(&clock, UsagePlan::new("p").throttle(throttle(1.0, 2)));
    let (one, other) = (named(on_p(&plans)).layer(inner()), named(on_p(&plans)).layer(inner()));
    assert_eq!(admitted(&one, 1, || user("a", "/")), 1);
    assert_eq!(admitted(&other, 5, || user("a", "/")), 1, "the same handle, the same bucket");
    assert_eq!(admitted(&one, 5, || user("b", "/")), 2);
    assert_eq!(admitted(&one, 5, || get("/")), 5, "nobody is on no plan");
}

#[test]
fn what_is_refused_by_one_limit_costs_nothing_at_the_others() {
    let clock = clock();
    let plan = UsagePlan::new("p").throttle(throttle(1.0, 2)).quota(quota(3));
    let service = named(on_p(&one_plan(&clock, plan))).layer(inner());
    let ask = || send(&service, user("a", "/"));
    assert_eq!(admitted(&service, 2, || user("a", "/")), 2);
    for _ in 0..50 {
        let refused = ask();
        assert_eq!(cause(&refused), Some(Cause::PlanThrottle));
        assert_eq!(text(refused.headers(), "ratelimit"), r#""throttle";r=0;t=2, "quota";r=1;t=60120"#);
    }
    clock.advance(Duration::from_secs(2));
    assert_eq!(text(ask().headers(), "ratelimit"), r#""throttle";r=1;t=1, "quota";r=0;t=60118"#);
    for _ in 0..50 {
        let refused = ask();
        assert_eq!(cause(&refused), Some(Cause::Quota));
        assert_eq!(text(refused.headers(), "ratelimit"), r#""throttle";r=1;t=1, "quota";r=0;t=60118"#);
        assert_eq!(text(refused.headers(), "retry-after"), "60118");
    }
}

#[test]
fn absent_never_acts_as_zero() {
    for (plan, expected, policy) in [
        (UsagePlan::new("p"), 9, ""),
        (UsagePlan::new("p").throttle(throttle(1.0, 4)), 4, r#""throttle";q=4;w=4"#),
        (UsagePlan::new("p").quota(quota(5)), 5, r#""quota";q=5;w=86400"#),
        (UsagePlan::new("p").throttle(throttle(1.0, 0)), 0, r#""throttle";q=0"#),
        (UsagePlan::new("p").quota(quota(0)), 0, r#""quota";q=0;w=86400"#),
    ] {
        let service = named(on_p(&one_plan(&clock(), plan))).layer(inner());
        assert_eq!(admitted(&service, 9, || user("a", "/")), expected, "{policy}");
        assert_eq!(text(send(&service, user("a", "/")).headers(), "ratelimit-policy"), policy);
    }
}

#[test]
fn refusals_are_the_documented_bytes() {
    let clock = clock();
    let throttled = one_plan(&clock, UsagePlan::new("p").throttle(throttle(0.5, 1)));
    let over = one_plan(&clock, UsagePlan::new("p").quota(quota(0)));
    let elsewhere = one_plan(&clock, UsagePlan::new("p").stage("prod"));
    let _first = run(through(named(on_p(&throttled)), user("a", "/")));
    for (plans, status, body, error_type, retry_after, cause) in [
        (
            &throttled,
            429,
            r#"{"message":"Too Many Requests"}"#,
            "TooManyRequestsException",
            "2",
            Cause::PlanThrottle,
        ),
        (&over, 429, r#"{"message":"Limit Exceeded"}"#, "LimitExceededException", "", Cause::Quota),
        (&elsewhere, 403, r#"{"message":"Forbidden"}"#, "ForbiddenException", "", Cause::ApiKeyNotInPlan),
    ] {
        let (refused, calls) = run(through(named(on_p(plans)), user("a", "/")));
        assert_eq!((refused.status().as_u16(), refused.body().as_ref(), calls), (status, body.as_bytes(), 0));
        assert_eq!(text(refused.headers(), "content-type"), "application/json");
        assert_eq!(text(refused.headers(), "x-amzn-errortype"), error_type);
        assert_eq!(text(refused.headers(), "retry-after"), retry_after);
        assert_eq!(self::cause(&refused), Some(cause));
    }
}

#[test]
fn the_aws_exact_answers_carry_no_addition() {
    let clock = clock();
    let plan = UsagePlan::new("p").throttle(throttle(1.0, 1)).quota(quota(9));
    let plans =
        UsagePlans::builder().clock(clock.clock()).plan(plan).rate_limit_headers(false).build().unwrap();
    let service = named(on_p(&plans)).layer(inner());
    let (allowed, refused) = (send(&service, user("a", "/")), send(&service, user("a", "/")));
    assert!(allowed.headers().is_empty());
    let names: Vec<_> = refused.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!((refused.status().as_u16(), names), (429, vec!["content-type", "x-amzn-errortype"]));
}

/// `GET /pets` under the stage's throttle and `POST /pets` without, beside an open `GET /`.
fn routes() -> Routes {
    Routes::builder()
        .method("/pets", Method::GET, ApiMethod::new())
        .method("/pets", Method::POST, ApiMethod::new())
        .any("/any", ApiMethod::new())
        .method("/", Method::GET, ApiMethod::new())
        .settings("pets/GET", MethodSettings::new().throttle(throttle(1.0, 3)))
        .build()
        .unwrap()
}

fn method(name: &str, verb: Method, uri: &str) -> Request<Full<Bytes>> {
    let mut request = user(name, uri);
    *request.method_mut() = verb;
    request
}

#[test]
fn stage_and_account_throttles_apply_to_all_callers_together() {
    let clock = clock();
    let plans = UsagePlans::builder()
        .clock(clock.clock())
        .plan(UsagePlan::new("p").throttle(throttle(1.0, 2)))
        .account_throttle(throttle(1.0, 6))
        .build()
        .unwrap();
    let service = named(on_p(&plans).routes(&routes())).layer(inner());
    assert_eq!(admitted(&service, 2, || user("a", "/pets")), 2);
    assert_eq!(cause(&send(&service, user("a", "/pets"))), Some(Cause::PlanThrottle));
    assert_eq!(admitted(&service, 1, || get("/pets")), 1, "nobody uses up the stage's bucket too");
    let refused = send(&service, user("b", "/pets"));
    assert_eq!(cause(&refused), Some(Cause::StageMethodThrottle));
    assert_eq!(text(refused.headers(), "ratelimit"), r#""throttle";r=2;t=0"#, "b's own tokens are untouched");
    assert_eq!(text(refused.headers(), "retry-after"), "1");
    assert_eq!(admitted(&service, 2, || method("b", Method::POST, "/pets")), 2);
    assert_eq!(admitted(&service, 9, || get("/")), 1, "six in all");
    let refused = send(&service, get("/"));
    assert_eq!(
        (cause(&refused), text(refused.headers(), "ratelimit-policy")),
        (Some(Cause::AccountThrottle), "")
    );
    plans.account_throttle(Some(throttle(1.0, 8))).unwrap();
    assert_eq!(admitted(&service, 9, || get("/")), 2, "an edit keeps what was spent");
    plans.account_throttle(None).unwrap();
    assert_eq!(admitted(&service, 9, || get("/")), 9);
}

#[test]
fn a_method_throttle_stands_in_for_the_general_one() {
    let clock = clock();
    let plan = UsagePlan::new("p")
        .throttle(throttle(1.0, 2))
        .method_throttle("", "~1pets/POST", throttle(1.0, 4))
        .method_throttle("", "any/PUT", throttle(1.0, 1))
        .method_throttle("", "//GET", throttle(1.0, 3));
    let service = named(on_p(&one_plan(&clock, plan)).routes(&routes())).layer(inner());
    let count = |verb: Method, uri: &str| admitted(&service, 9, || method("a", verb.clone(), uri));
    assert_eq!(count(Method::POST, "/pets"), 4);
    assert_eq!(count(Method::PUT, "/any"), 1);
    assert_eq!(count(Method::GET, "/"), 3);
    let refused = send(&service, method("a", Method::POST, "/pets"));
    assert_eq!(cause(&refused), Some(Cause::PlanMethodThrottle));
    assert_eq!(text(refused.headers(), "ratelimit-policy"), r#""throttle";q=4;w=4"#);
    assert_eq!(count(Method::GET, "/any"), 2, "the general bucket is untouched so far");
    assert_eq!(
        admitted(&service, 9, || method("b", Method::POST, "/pets")),
        4,
        "and each caller has its own"
    );
}

#[test]
fn one_bucket_per_key_or_per_key_and_method() {
    for (scope, expected) in [(ThrottleScope::Key, [2, 0, 0]), (ThrottleScope::KeyAndMethod, [2, 2, 2])] {
        let plan = UsagePlan::new("p").throttle(throttle(1.0, 2)).throttle_scope(scope);
        let service = named(on_p(&one_plan(&clock(), plan)).routes(&routes())).layer(inner());
        let places = [(Method::POST, "/pets"), (Method::GET, "/any"), (Method::GET, "/")];
        assert_eq!(
            places.map(|(verb, uri)| admitted(&service, 3, || method("a", verb.clone(), uri))),
            expected
        );
        assert_eq!(admitted(&service, 3, || method("a", Method::PUT, "/any")), 0, "ANY is one method");
    }
}

#[test]
fn a_method_that_needs_a_key_is_closed_where_no_layer_verifies_keys() {
    let clock = clock();
    let routes =
        Routes::builder().any("/keyed", ApiMethod::new().api_key_required(true)).any("/", ApiMethod::new());
    let layer = on_p(&one_plan(&clock, UsagePlan::new("p"))).routes(&routes.build().unwrap());
    let service = named(layer).layer(inner());
    let refused = send(&service, user("a", "/keyed"));
    assert_eq!((refused.status().as_u16(), cause(&refused)), (403, Some(Cause::ApiKeyMissing)));
    assert_eq!(send(&service, user("a", "/")).status(), 200);
}

#[test]
fn principals_leave_when_they_are_idle() {
    let clock = clock();
    let plans = one_plan(&clock, UsagePlan::new("p").throttle(throttle(1.0, 1)).quota(quota(9)));
    let service = named(on_p(&plans)).layer(inner());
    let ask = |name: u32| assert_eq!(send(&service, user(&name.to_string(), "/")).status(), 200);
    let a_day = |first: u32| {
        let names = first..first + 2_000;
        allocation_counter::measure(|| names.for_each(ask)).bytes_current
    };
    let mut now = START;
    let grown: Vec<i64> = (0..6)
        .map(|day| {
            let grown = a_day(day * 2_000);
            now += 86_400;
            clock.advance(Duration::from_secs(86_400));
            grown
        })
        .collect();
    assert!(grown[0] > 100_000, "{grown:?}");
    let later: i64 = grown[2..].iter().sum();
    assert!(later < grown[0], "{grown:?}");
    // Who comes again after its entry has left is as new.
    assert_eq!(
        text(send(&service, user("1", "/")).headers(), "ratelimit"),
        r#""throttle";r=0;t=1, "quota";r=8;t=60120"#
    );
}

/// Principals come and go, and each that comes looks at others that may leave.
#[test]
fn an_edit_of_the_period_forgets_no_principal() {
    let month = |limit| Quota::new(limit, QuotaPeriod::Month).unwrap();
    let first_forms = [UsagePlan::new("p").quota(quota(9)), UsagePlan::new("p").throttle(throttle(1.0, 9))];
    for first in first_forms {
        let clock = clock();
        let plans = one_plan(&clock, first);
        let service = named(on_p(&plans)).layer(inner());
        assert_eq!(admitted(&service, 9, || user("alice", "/")), 9);
        plans.put_plan(UsagePlan::new("p").quota(month(10))).unwrap();
        for name in 0..2_000 {
            assert_eq!(send(&service, user(&name.to_string(), "/")).status(), 200);
        }
        assert_eq!(admitted(&service, 9, || user("alice", "/")), 1, "nine of the month are used");
    }
}

/// A caller that was on one plan and is on another now is in no two plans: plans are chosen request by request.
#[test]
fn a_principal_on_two_plans_refuses_no_change_of_stages() {
    let clock = clock();
    let of = |id: &str| UsagePlan::new(id).throttle(throttle(1.0, 1));
    let plans = UsagePlans::builder().clock(clock.clock()).plan(of("free")).plan(of("gold")).build().unwrap();
    for id in ["free", "gold"] {
        let layer = UsagePlanLayer::new(plans.clone()).plan_by_principal(move |_| Some(id.to_owned()));
        assert_eq!(admitted(&named(layer).layer(inner()), 2, || user("alice", "/")), 1);
    }
    plans.put_plan(of("free").stage("prod")).unwrap();
}

#[test]
fn a_method_throttle_that_is_removed_and_set_again_finds_its_buckets() {
    let clock = clock();
    let plan = |with: bool| {
        let plan = UsagePlan::new("p").throttle(throttle(1_000.0, 1_000));
        let plan = plan.method_throttle("", "any/PUT", throttle(0.0, 1));
        if with { plan.method_throttle("", "pets/POST", throttle(0.0, 1)) } else { plan }
    };
    let plans = one_plan(&clock, plan(true));
    let service = named(on_p(&plans).routes(&routes())).layer(inner());
    let spend = || admitted(&service, 2, || method("alice", Method::POST, "/pets"));
    assert_eq!(spend(), 1);
    plans.put_plan(plan(false)).unwrap();
    clock.advance(Duration::from_secs(60));
    // The side tables look for full buckets to drop.
    for name in 0..2_000 {
        send(&service, method(&name.to_string(), Method::PUT, "/any"));
    }
    plans.put_plan(plan(true)).unwrap();
    assert_eq!(spend(), 0);
}

#[test]
fn a_builder_by_default_is_the_builder() {
    let plan = || UsagePlan::new("p").throttle(throttle(1.0, 1));
    for builder in [UsagePlansBuilder::default(), UsagePlans::builder()] {
        let plans = builder.plan(plan()).build().unwrap();
        let answer = send(&named(on_p(&plans)).layer(inner()), user("a", "/"));
        assert!(answer.headers().contains_key("ratelimit"));
    }
}

#[test]
fn an_unready_service_is_not_called_and_types_are_what_servers_demand() {
    let clock = clock();
    let plans = one_plan(&clock, UsagePlan::new("p").throttle(throttle(1.0, 1)));
    let (allowed, calls) = run(through(named(on_p(&plans)), user("a", "/")));
    assert_eq!((allowed.status().as_u16(), allowed.body().as_ref(), calls), (200, &b"inner"[..], 1));
    let (refused, calls) = run(through(named(on_p(&plans)), user("a", "/")));
    assert_eq!((refused.status().as_u16(), calls), (429, 0));
    assert_service(&named(on_p(&plans)).layer(Strict::default()));
    assert!(format!("{:?}", on_p(&plans)).len() < 300);
}

#[test]
fn the_refusal_is_in_the_context() {
    let clock = clock();
    let plans = one_plan(&clock, UsagePlan::new("p").throttle(throttle(1.0, 0)));
    let mut request = user("a", "/");
    let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
    let layer = tower_gateway::context::RequestContextLayer::new();
    let noted = seen.clone();
    let note = tower::util::MapRequestLayer::new(move |request: Request<Full<Bytes>>| {
        *noted.lock().unwrap() = request.extensions().get::<RequestContext>().cloned();
        request
    });
    request.headers_mut().insert("x-other", "1".parse().unwrap());
    let stack = tower::ServiceBuilder::new().layer(layer).layer(note).layer(named(on_p(&plans)));
    assert_eq!(send(&stack.service(inner()), request).status(), 429);
    let context = seen.lock().unwrap().take().unwrap();
    assert_eq!(context.error().map(GatewayError::cause), Some(Cause::PlanThrottle));
}

/// An answer that already has a header, so that the map of headers is there.
fn with_header() -> Inner {
    service_fn(|_| {
        ready(Ok(Response::builder().header("content-type", "text/plain").body(Full::from("inner")).unwrap()))
    })
}

#[test]
fn an_allowed_request_allocates_its_field_and_a_refused_one_little() {
    let count = |builder: UsagePlansBuilder, refused: bool| {
        let clock = clock();
        let burst = if refused { 1 } else { 100 };
        let plan = UsagePlan::new("p").throttle(throttle(1.0, burst)).quota(quota(1_000));
        let plans = builder.clock(clock.clock()).account_throttle(throttle(1e6, 1_000)).plan(plan);
        let layer = UsagePlanLayer::new(plans.build().unwrap());
        let layer = layer.routes(&routes()).plan_by_principal(|_| Some(String::from("p")));
        let (mut floor, mut service) = (named_only().layer(with_header()), named(layer).layer(with_header()));
        let warm = |service: &mut dyn FnMut(Request<Full<Bytes>>)| {
            for _ in 0..3 {
                service(user("a", "/pets"));
            }
            let request = user("a", "/");
            allocation_counter::measure(|| service(request)).count_total as i64
        };
        let floor = warm(&mut |request| drop(floor.call(request).now_or_never()));
        warm(&mut |request| drop(service.call(request).now_or_never())) - floor
    };
    // The plan's id, chosen by the test's own function, is one of the allocations.
    let plain = || UsagePlans::builder().rate_limit_headers(false);
    assert_eq!(count(plain(), false) - 1, 0);
    assert_eq!(count(UsagePlans::builder(), false) - 1, 1);
    let refused = count(UsagePlans::builder(), true) - 1;
    // Its error, and two fields; head and extensions are the request's own.
    assert!(refused <= 3, "{refused}");
}

fn named_only() -> PrincipalLayer {
    PrincipalLayer::new(|head| Some(head.headers.get("x-user")?.to_str().ok()?.to_owned()))
}

#[test]
fn plans_that_cannot_work_are_not_built() {
    let build = |plan: UsagePlan| UsagePlans::builder().plan(plan).build().unwrap_err();
    assert_eq!(build(UsagePlan::new("")).location(), "usage plan id");
    let one = throttle(1.0, 1);
    assert_eq!(build(UsagePlan::new("p").stage("a").method_throttle("b", "pets/GET", one)).value(), "b");
    for key in ["", "GET", "pets/", "pets/get", "pets/G T"] {
        assert_eq!(build(UsagePlan::new("p").method_throttle("", key, one)).value(), key);
    }
    for key in ["pets/*", "*/*"] {
        assert_eq!(build(UsagePlan::new("p").method_throttle("", key, one)).value(), key);
    }
    let method = UsagePlan::new("p").method_throttle("", "pets/GET", one);
    assert_eq!(build(method.clone().method_throttle("", "~1pets/GET", one)).value(), "~1pets/GET");
    assert!(UsagePlans::builder().plan(method.method_throttle("", "pets/PUT", one)).build().is_ok());
    let twice = UsagePlans::builder().plan(UsagePlan::new("p")).plan(UsagePlan::new("p")).build();
    assert_eq!(twice.unwrap_err().value(), "p");
}

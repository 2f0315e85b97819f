//! A request that is refused for its body is charged nothing, though the body was read after the charge.

use super::*;
use crate::usage_stores::double::Double;
use axum::body::Body as AxumBody;
use futures_util::StreamExt;
use std::future::pending;
use tower_gateway::context::RequestContextLayer;
use tower_gateway::usage_plan::{UsagePlanLayer, UsagePlansBuilder, UsageReservation};

const LIMIT: u64 = 5;

/// Only what is given back can be taken again today: five of everything, and no rate.
fn five() -> Throttle {
    Throttle::new(0.0, 5).unwrap()
}

fn five_plans(time: &ManualClock, plan: UsagePlan) -> UsagePlansBuilder {
    let plan = plan.quota(Quota::new(5, QuotaPeriod::Day).unwrap());
    UsagePlans::builder()
        .clock(time.clock())
        .plan(plan)
        .attach("basic", "free")
        .account_throttle(Throttle::new(0.0, 100).unwrap())
}

type Bodied = Request<GatewayBody<AxumBody>>;

/// Swallows what becomes of the body, waits for ever, answers without a look, or commits a cost, as its query says.
async fn handler(request: Bodied) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let reservation = request.extensions().get::<UsageReservation>().cloned();
    match &*query {
        "waits" => {
            let _cut_off = request.into_body().collect().await;
            pending::<()>().await;
        }
        "answers" => {
            // In a task of its own, as a handler does that answers before it has read everything.
            tokio::spawn(request.into_body().collect());
        }
        "commits" => {
            let _cut_off = request.into_body().collect().await;
            assert!(reservation.unwrap().commit(2));
        }
        _ => drop(request.into_body().collect().await),
    }
    Ok(Response::new(Full::from("read")))
}

fn service(
    time: &ManualClock,
    plans: UsagePlanLayer,
) -> impl Service<Request<AxumBody>, Response = Response<GatewayBody<Full<Bytes>>>, Error = Infallible> + Clone
{
    let stages = stages();
    stages.set_settings("prod", "*/*", MethodSettings::new().throttle(five())).unwrap();
    service_of(time, plans, stages)
}

fn service_of(
    time: &ManualClock,
    plans: UsagePlanLayer,
    stages: Stages,
) -> impl Service<Request<AxumBody>, Response = Response<GatewayBody<Full<Bytes>>>, Error = Infallible> + Clone
{
    Gateway::builder()
        .clock(time.clock())
        .stages(stages)
        .api_keys(keys())
        .usage_plan(plans)
        .payload_limit(PayloadLimitLayer::new(LIMIT).minimum_rate(1, Duration::from_secs(5)))
        .build()
        .unwrap()
        .layer(service_fn(handler))
}

fn post(query: &str, body: AxumBody) -> Request<AxumBody> {
    Request::post(format!("/prod/pets?{query}")).header("x-api-key", FREE).body(body).unwrap()
}

fn too_long() -> AxumBody {
    let pieces = ["abc", "def"].map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes())));
    AxumBody::from_stream(stream::iter(pieces))
}

fn stalled() -> AxumBody {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"a"))]);
    AxumBody::from_stream(first.chain(stream::pending()))
}

/// The answer's status; time passes while there is none.
async fn ask<S>(service: &S, time: &ManualClock, request: Request<AxumBody>) -> u16
where
    S: Service<Request<AxumBody>, Response = Response<GatewayBody<Full<Bytes>>>, Error = Infallible> + Clone,
{
    tokio::select! {
        biased;
        answer = service.clone().oneshot(request) => answer.unwrap().status().as_u16(),
        () = async { loop { tokio::task::yield_now().await; time.advance(Duration::from_secs(1)); } } => unreachable!(),
    }
}

/// How many requests of the key are still admitted.
async fn left<S>(service: &S, time: &ManualClock) -> usize
where
    S: Service<Request<AxumBody>, Response = Response<GatewayBody<Full<Bytes>>>, Error = Infallible> + Clone,
{
    let mut admitted = 0;
    while admitted < 10 && ask(service, time, post("reads", AxumBody::empty())).await == 200 {
        admitted += 1;
    }
    admitted
}

fn plans_of_all_kinds() -> [UsagePlan; 4] {
    [
        UsagePlan::new("basic"),
        UsagePlan::new("basic").throttle(five()),
        UsagePlan::new("basic").method_throttle("prod", "pets/POST", five()),
        UsagePlan::new("basic")
            .throttle(five())
            .throttle_scope(tower_gateway::usage_plan::ThrottleScope::KeyAndMethod),
    ]
}

#[test]
fn a_body_that_is_cut_off_is_charged_nothing() {
    run(async {
        for plan in plans_of_all_kinds() {
            let time = ManualClock::at_unix_seconds(0);
            let plans = five_plans(&time, plan).build().unwrap();
            let service = service(&time, UsagePlanLayer::new(plans.clone()));
            for query in ["swallows", "waits", "swallows", "waits", "swallows", "waits"] {
                assert_eq!(ask(&service, &time, post(query, too_long())).await, 413, "{query}");
                assert_eq!(ask(&service, &time, post(query, stalled())).await, 408, "{query}");
            }
            assert_eq!(plans.account_limit().unwrap().tokens_left, Some(100));
            let used = plans.usage("basic", Some("free"), "1970-01-01", "1970-01-01").unwrap().to_json();
            assert!(!used.contains("[1,") && !used.contains("[12,"), "{used}");
            assert_eq!(left(&service, &time).await, 5, "all of it, and no more");
        }
    });
}

#[test]
fn what_was_answered_before_stays_charged() {
    run(async {
        let time = ManualClock::at_unix_seconds(0);
        let plans = five_plans(&time, UsagePlan::new("basic").throttle(five())).build().unwrap();
        let service = service(&time, UsagePlanLayer::new(plans));
        for _ in 0..3 {
            assert_eq!(ask(&service, &time, post("answers", too_long())).await, 200);
            tokio::task::yield_now().await;
        }
        assert_eq!(left(&service, &time).await, 2);
    });
}

#[test]
fn a_reservation_goes_back_unless_it_was_committed() {
    run(async {
        let time = ManualClock::at_unix_seconds(0);
        let plans = five_plans(&time, UsagePlan::new("basic").throttle(five())).build().unwrap();
        let layer = UsagePlanLayer::new(plans).reserve(|head, _| {
            let reserves = head.uri.query() != Some("reads");
            reserves.then_some(4)
        });
        let service = service(&time, layer);
        for query in ["swallows", "waits"] {
            assert_eq!(ask(&service, &time, post(query, too_long())).await, 413);
        }
        assert_eq!(ask(&service, &time, post("commits", too_long())).await, 413);
        assert_eq!(left(&service, &time).await, 3, "two were committed");
    });
}

/// Their numbers would count what was given back.
#[test]
fn an_answer_that_cost_nothing_says_nothing_of_limits() {
    run(async {
        let time = ManualClock::at_unix_seconds(0);
        let plans = five_plans(&time, UsagePlan::new("basic").throttle(five())).build().unwrap();
        let service = service(&time, UsagePlanLayer::new(plans));
        for (body, status, says) in [(AxumBody::from("abc"), 200, true), (too_long(), 413, false)] {
            let answer = service.clone().oneshot(post("swallows", body)).await.unwrap();
            assert_eq!(answer.status(), status);
            for name in ["ratelimit", "ratelimit-policy"] {
                assert_eq!(answer.headers().contains_key(name), says, "{status} {name}");
            }
        }
    });
}

/// Limits in shadow mode that have no tokens any more take none, so none come back.
#[test]
fn what_was_never_taken_does_not_go_back() {
    run(async {
        for reserves in [false, true] {
            let time = ManualClock::at_unix_seconds(0);
            let plans = UsagePlans::builder().clock(time.clock()).plan(UsagePlan::new("basic"));
            let plans = plans.attach("basic", "free").account_throttle(five()).build().unwrap();
            plans.shadow_account_throttle(true).unwrap();
            let stages = stages();
            let setting = MethodSettings::new().throttle(five());
            stages.set_settings("prod", "*/*", setting.shadow_throttle(true)).unwrap();
            let layer = UsagePlanLayer::new(plans.clone()).reserve(move |_, _| reserves.then_some(1));
            let service = service_of(&time, layer, stages.clone());
            assert_eq!(left(&service, &time).await, 10, "in shadow mode");
            for _ in 0..3 {
                assert_eq!(ask(&service, &time, post("swallows", too_long())).await, 413);
            }
            assert_eq!(plans.account_limit().unwrap().tokens_left, Some(0), "{reserves}");
            stages.set_settings("prod", "*/*", setting).unwrap();
            assert_eq!(left(&service, &time).await, 0, "{reserves}");
        }
    });
}

/// A layer outside has seen another method than the one that was charged.
#[test]
fn a_method_that_was_rewritten_gets_its_own_back() {
    run(async {
        let time = ManualClock::at_unix_seconds(0);
        let plans = UsagePlans::builder().clock(time.clock()).plan(UsagePlan::new("basic"));
        let plans = plans.attach("basic", "free").build().unwrap();
        let any = Routes::builder().any("/pets", ApiMethod::new().api_key_required(true)).build().unwrap();
        let stages = Stages::builder().deployment(Deployment::new("v1", any)).stage(Stage::new("prod", "v1"));
        let stages = stages.build().unwrap();
        stages.set_settings("prod", "pets/POST", MethodSettings::new().throttle(five())).unwrap();
        let service = service_of(&time, UsagePlanLayer::new(plans), stages);
        let to_post = |mut request: Request<AxumBody>| {
            *request.method_mut() = Method::POST;
            request
        };
        let rewriting = RequestContextLayer::new().layer(service.clone().map_request(to_post));
        for _ in 0..7 {
            let mut request = post("swallows", too_long());
            *request.method_mut() = Method::PUT;
            assert_eq!(ask(&rewriting, &time, request).await, 413);
        }
        assert_eq!(left(&service, &time).await, 5, "all of it, and no more");
    });
}

/// The quota's units are this process's, the tokens the store's.
#[test]
fn what_a_store_has_decided_on_goes_back_to_it() {
    run(async {
        for throttles in [false, true] {
            let time = ManualClock::at_unix_seconds(0);
            let plan = UsagePlan::new("basic").throttle(five());
            let plans = five_plans(&time, plan).store(Double::new(throttles)).build().unwrap();
            let service = service(&time, UsagePlanLayer::new(plans));
            for _ in 0..12 {
                assert_eq!(ask(&service, &time, post("swallows", too_long())).await, 413);
                // What is given back to the store is not awaited.
                tokio::task::yield_now().await;
            }
            assert_eq!(left(&service, &time).await, 5, "{throttles}");
        }
    });
}

/// Plans of a layer inside the gateway's own service are nobody's but its: they are told of no refusal.
#[test]
fn used_alone_the_layers_do_not_know_of_each_other() {
    run(async {
        let time = ManualClock::at_unix_seconds(0);
        let account = UsagePlans::builder().clock(time.clock()).account_throttle(five()).build().unwrap();
        let service = PayloadLimitLayer::new(LIMIT)
            .layer(UsagePlanLayer::new(account.clone()).layer(service_fn(handler)));
        let answer = service.oneshot(post("swallows", too_long())).await.unwrap();
        assert_eq!((answer.status().as_u16(), account.account_limit().unwrap().tokens_left), (413, Some(4)));
    });
}

/// A known length is watched too, because it may stall.
#[test]
fn noting_a_charge_allocates_nothing() {
    let time = ManualClock::at_unix_seconds(0);
    let allocations = |plans: Option<UsagePlans>| {
        let builder = Gateway::builder().stages(stages()).api_keys(keys()).clock(time.clock());
        let builder = match plans {
            Some(plans) => builder.usage_plans(plans),
            None => builder,
        };
        let answers = |_: Request<GatewayBody<Full<Bytes>>>| {
            std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok"))))
        };
        let gateway = builder.build().unwrap().layer(service_fn(answers));
        let post = || {
            let request = Request::post("/prod/pets").header("x-api-key", FREE);
            request.body(Full::<Bytes>::from("cat")).unwrap()
        };
        super::allocations(&gateway, post)
    };
    let quota = Quota::new(1_000, QuotaPeriod::Day).unwrap();
    let plans = UsagePlans::builder().clock(time.clock()).rate_limit_headers(false);
    let plans = plans.plan(UsagePlan::new("basic").throttle(five()).quota(quota)).attach("basic", "free");
    assert_eq!(allocations(Some(plans.build().unwrap())), allocations(None));
}

#[test]
fn a_throttle_that_was_set_anew_meanwhile_gets_nothing_of_the_old_one() {
    run(async {
        let time = ManualClock::at_unix_seconds(0);
        let plans = UsagePlans::builder().clock(time.clock()).account_throttle(five()).build().unwrap();
        let stages = Stages::single("prod", Routes::catch_all()).unwrap();
        let service = service_of(&time, UsagePlanLayer::new(plans.clone()), stages);
        let anew = || {
            plans.account_throttle(None).unwrap();
            plans.account_throttle(Some(five())).unwrap();
        };
        for _ in 0..20 {
            anew();
            let (mut sender, body) = http_body_util::channel::Channel::<Bytes, Infallible>::new(1);
            let mut late = Box::pin(service.clone().oneshot(post("reads", AxumBody::new(body))));
            assert!(futures_util::FutureExt::now_or_never(late.as_mut()).is_none());
            // The allocator may well give the new one the place of the old.
            anew();
            assert_eq!(left(&service, &time).await, 5);
            sender.send_data(Bytes::from_static(b"too long")).await.unwrap();
            assert_eq!(late.await.unwrap().status(), 413);
            assert_eq!(left(&service, &time).await, 0);
        }
    });
}

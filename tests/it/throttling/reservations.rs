//! Requests of a weight, and ones whose cost is known afterwards.

use super::*;

#[test]
fn a_weighted_request_counts_as_that_many() {
    let clock = clock();
    let plans = one_plan(&clock, UsagePlan::new("p").throttle(throttle(1.0, 10)).quota(quota(100)));
    let layer = on_p(&plans).cost(|head, _| text(head.headers, "x-cost").parse().unwrap_or(1));
    let service = named(layer).layer(inner());
    let cost = |cost: &'static str| {
        let mut request = user("a", "/");
        request.headers_mut().insert("x-cost", cost.parse().unwrap());
        send(&service, request)
    };
    assert_eq!(text(cost("7").headers(), "ratelimit"), r#""throttle";r=3;t=7, "quota";r=93;t=60120"#);
    let refused = cost("4");
    assert_eq!((refused.status().as_u16(), text(refused.headers(), "retry-after")), (429, "1"));
    assert_eq!(cost("3").status(), 200);
    assert_eq!(cost("0").status(), 200, "what costs nothing is free");
    let refused = cost("11");
    assert_eq!((refused.status().as_u16(), text(refused.headers(), "retry-after")), (429, ""), "never");
}

/// A handler that commits what `x-actual` says.
fn committing() -> impl Answering<Body = Full<Bytes>>
+ Clone
+ Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible> {
    service_fn(|request: Request<Full<Bytes>>| {
        let reservation = request.extensions().get::<UsageReservation>().unwrap();
        if let Ok(actual) = text(request.headers(), "x-actual").parse() {
            assert!(reservation.commit(actual));
            assert!(!reservation.commit(1_000), "once only");
            assert!(!reservation.clone().refund_all());
        }
        ready(Ok(Response::new(Full::default())))
    })
}

#[test]
fn a_reservation_charges_exactly_what_is_committed() {
    for (uri, cause) in [("/", Cause::PlanThrottle), ("/any", Cause::PlanMethodThrottle)] {
        let clock = clock();
        let limit = throttle(1.0, 20);
        let plan =
            UsagePlan::new("p").throttle(limit).quota(quota(100)).method_throttle("", "any/ANY", limit);
        let layer = on_p(&one_plan(&clock, plan)).reserve(|_, _| Some(5)).routes(&routes());
        let service = named(layer).layer(committing());
        let ask = |actual: &'static str| {
            let mut request = user("a", uri);
            request.headers_mut().insert("x-actual", actual.parse().unwrap());
            text(send(&service, request).headers(), "ratelimit").to_owned()
        };
        // The fields tell of the moment of admission; the next request sees what was committed.
        assert_eq!(ask("2"), r#""throttle";r=15;t=5, "quota";r=95;t=60120"#);
        assert_eq!(ask("9"), r#""throttle";r=13;t=7, "quota";r=93;t=60120"#);
        assert_eq!(ask(""), r#""throttle";r=4;t=16, "quota";r=84;t=60120"#);
        let refused = send(&service, user("a", uri));
        assert_eq!((self::cause(&refused), text(refused.headers(), "retry-after")), (Some(cause), "1"));
    }
}

#[test]
fn a_reservation_settles_the_shared_buckets_too() {
    let clock = clock();
    let plans =
        UsagePlans::builder().clock(clock.clock()).account_throttle(throttle(1.0, 10)).build().unwrap();
    let layer = UsagePlanLayer::new(plans.clone()).reserve(|_, _| Some(8));
    let (reserving, plain) = (layer.layer(committing()), UsagePlanLayer::new(plans).layer(inner()));
    let mut request = get("/");
    request.headers_mut().insert("x-actual", "3".parse().unwrap());
    assert_eq!(send(&reserving, request).status(), 200);
    assert_eq!(admitted(&plain, 20, || get("/")), 7);
}

#[test]
fn an_overdraft_is_waited_for_and_a_refund_is_never_more_than_was_taken() {
    let clock = clock();
    let plans = one_plan(&clock, UsagePlan::new("p").throttle(throttle(1.0, 10)).quota(quota(100)));
    let kept = Kept::default();
    let service = named(on_p(&plans).reserve(|_, _| Some(2))).layer(keeping(&kept));
    let state = || text(send(&service, user("a", "/")).headers(), "ratelimit").to_owned();
    let settle = |actual: u32| assert!(kept.lock().unwrap().remove(0).commit(actual));

    assert_eq!(send(&service, user("a", "/")).status(), 200);
    settle(30);
    let refused = send(&service, user("a", "/"));
    assert_eq!(text(refused.headers(), "ratelimit"), r#""throttle";r=0;t=30, "quota";r=70;t=60120"#);
    assert_eq!(text(refused.headers(), "retry-after"), "22");
    clock.advance(Duration::from_secs(22));
    assert_eq!(state(), r#""throttle";r=0;t=10, "quota";r=68;t=60098"#);
    // Refilled meanwhile: what comes back does not overfill the bucket, and the quota gets exactly its part.
    clock.advance(Duration::from_secs(3600));
    settle(0);
    assert_eq!(state(), r#""throttle";r=8;t=2, "quota";r=68;t=56498"#);
    // Committed after the day is over: the new day's quota is not touched.
    clock.advance(Duration::from_secs(86_400));
    settle(50);
    assert_eq!(state(), r#""throttle";r=0;t=48, "quota";r=100;t=56498"#);
}

type Kept = std::sync::Arc<std::sync::Mutex<Vec<UsageReservation>>>;

/// A handler that keeps its reservation there.
fn keeping(
    kept: &Kept,
) -> impl Answering<Body = Full<Bytes>>
+ Clone
+ Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>
+ use<> {
    let keep = kept.clone();
    service_fn(move |request: Request<Full<Bytes>>| {
        keep.lock().unwrap().push(request.extensions().get::<UsageReservation>().unwrap().clone());
        ready(Ok(Response::new(Full::default())))
    })
}

#[test]
fn what_is_settled_after_an_edit_of_the_period_counts_in_the_new_one() {
    let month = || UsagePlan::new("p").quota(Quota::new(10, QuotaPeriod::Month).unwrap());
    for (before, actual, left) in [
        (UsagePlan::new("p").quota(quota(10)), 9, 0),
        (UsagePlan::new("p").quota(quota(10)), 0, 9),
        (UsagePlan::new("p"), 4, 5),
    ] {
        let clock = clock();
        let plans = one_plan(&clock, before);
        let kept = Kept::default();
        let service = named(on_p(&plans).reserve(|_, _| Some(1))).layer(keeping(&kept));
        send(&service, user("a", "/"));
        plans.put_plan(month()).unwrap();
        let plain = named(on_p(&plans)).layer(inner());
        assert_eq!(send(&plain, user("a", "/")).status(), 200, "the new period is counted from its days");
        assert!(kept.lock().unwrap()[0].commit(actual));
        assert_eq!(admitted(&plain, 20, || user("a", "/")), left, "{actual}");
    }
    // A period that does not have its day is not touched.
    let clock = clock();
    let plans = one_plan(&clock, month());
    let kept = Kept::default();
    let service = named(on_p(&plans).reserve(|_, _| Some(1))).layer(keeping(&kept));
    send(&service, user("a", "/"));
    clock.advance(Duration::from_secs(86_400));
    plans.put_plan(UsagePlan::new("p").quota(quota(10))).unwrap();
    let plain = named(on_p(&plans)).layer(inner());
    assert_eq!(send(&plain, user("a", "/")).status(), 200);
    assert!(kept.lock().unwrap()[0].commit(9));
    assert_eq!(admitted(&plain, 20, || user("a", "/")), 9);
}

#[test]
fn a_commit_after_an_edit_of_the_accounts_rate_reckons_with_the_new_one() {
    let clock = clock();
    let plans = one_plan(&clock, UsagePlan::new("p"));
    plans.account_throttle(Some(throttle(1000.0, 1000))).unwrap();
    let kept = Kept::default();
    let service = UsagePlanLayer::new(plans.clone()).reserve(|_, _| Some(1000)).layer(keeping(&kept));
    send(&service, get("/"));
    plans.account_throttle(Some(throttle(1.0, 1000))).unwrap();
    clock.advance(Duration::from_secs(10));
    assert!(kept.lock().unwrap()[0].commit(1001));
    assert_eq!(plans.account_limit().unwrap().tokens_left, Some(9));
}

#[test]
fn dropping_the_answer_at_any_point_leaks_nothing() {
    let clock = clock();
    let plans = one_plan(&clock, UsagePlan::new("p").quota(quota(1_000)));
    let slow = service_fn(|request: Request<Full<Bytes>>| async move {
        let _held = request.extensions().get::<UsageReservation>().cloned();
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = named(on_p(&plans).reserve(|_, _| Some(3))).layer(slow);
    let attempt = |polls: usize| {
        let mut future = Box::pin(service.clone().oneshot(user("a", "/")));
        for _ in 0..polls {
            assert!(future.as_mut().now_or_never().is_none());
        }
    };
    run(async { (0..5).for_each(attempt) });
    let kept = allocation_counter::measure(|| run(async { (0..5).for_each(attempt) }));
    assert_eq!((kept.count_current, kept.bytes_current), (0, 0));
    // The first poll calls the layer; four of five attempts got there, twice, and stay charged.
    let counted = send(&named(on_p(&plans)).layer(inner()), user("a", "/"));
    assert_eq!(text(counted.headers(), "ratelimit"), r#""quota";r=975;t=60120"#);
}

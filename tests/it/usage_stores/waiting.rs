//! Requests that wait: tower's contract, being dropped, and the shape of the future.

use super::{
    double::{Double, Link},
    process::{Answer, NOON, Process, TOMORROW, pass, settle, spin},
};
use crate::support::{Strict, get, run, through};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use std::{convert::Infallible, future::Ready, time::Duration};
use tower_gateway::{
    clock::ManualClock,
    future::ResponseFuture,
    response::Cause,
    store::{FailurePolicy, StoreOptions},
    throttle::Throttle,
    usage_plan::{ChargedFuture, Quota, QuotaPeriod, RateLimitFields, UsagePlan, UsagePlanLayer, UsagePlans},
};

fn plan(limit: u64) -> UsagePlan {
    UsagePlan::new("p").quota(Quota::new(limit, QuotaPeriod::Day).unwrap())
}

#[test]
fn the_future_is_no_larger_for_what_seldom_waits() {
    type Inner = Ready<Result<Response<Full<Bytes>>, Infallible>>;
    type Ours = ChargedFuture<Strict, Request<Full<Bytes>>, Inner, RateLimitFields, Full<Bytes>>;
    assert_eq!(size_of::<Ours>(), size_of::<ResponseFuture<Inner, RateLimitFields, Full<Bytes>>>());
}

/// Only the throttle of the account: every request waits for the store, whoever calls.
#[test]
fn the_service_that_was_ready_is_called_after_the_wait() {
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let plans = UsagePlans::builder()
            .clock(clock.clock())
            .account_throttle(Throttle::new(1.0, 2).unwrap())
            .store(Double::new(true))
            .build()
            .unwrap();
        for (turn, status) in [(1, 200), (2, 200), (3, 429)] {
            let (answer, calls) = through(UsagePlanLayer::new(plans.clone()), get("/pets")).await;
            assert_eq!((answer.status().as_u16(), calls), (status, usize::from(status == 200)), "{turn}");
        }
        assert_eq!(plans.store_counts().unwrap().waited, 3);
        clock.advance(Duration::from_secs(1));
        let (answer, _) = through(UsagePlanLayer::new(plans), get("/pets")).await;
        assert_eq!(answer.status(), 200);
    });
}

/// Near the end of a quota a request asks for its units, and for its tokens with them; neither is taken alone.
#[test]
fn units_and_tokens_are_one_call() {
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let store = Double::new(true);
        let plan = plan(3).throttle(Throttle::new(0.001, 2).unwrap());
        let process = Process::with_store(&clock, plan, store.process(), StoreOptions::new());
        for cause in [None, None, Some(Cause::PlanThrottle)] {
            let before = store.calls();
            assert_eq!(process.ask("ann", 1).await.cause, cause);
            assert_eq!(store.calls() - before, 1, "{cause:?}");
        }
        pass(&clock, Duration::from_secs(2_000)).await;
        assert_eq!(process.report("ann").await, (2, Some(1), 0), "what was refused is not charged");
        let before = store.calls();
        assert!(process.ask("ann", 1).await.admitted());
        assert_eq!(store.calls() - before, 1);
        assert_eq!(process.ask("ann", 1).await.cause, Some(Cause::Quota), "a token is left, and no unit");
    });
}

/// One waits for what a dead process holds; the next ones are refused at once, until somebody has it back.
#[test]
fn what_others_do_not_hand_back_is_waited_for_once() {
    let deadline = Duration::from_millis(20);
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let store = Double::new(true);
        let links = [store.process(), store.process()];
        let [silent, other] = links.each_ref().map(|link| {
            let options = StoreOptions::new().deadline(deadline);
            Process::with_store(&clock, plan(40), link.clone(), options)
        });
        // It has a pace, and so a lease.
        for _ in 0..4 {
            assert!(silent.ask("ann", 1).await.admitted());
            clock.advance(Duration::from_millis(200));
        }
        links[0].set_link(Link::Frozen);
        let mut refused = other.ask("ann", 1).await;
        while refused.admitted() {
            refused = other.ask("ann", 1).await;
        }
        assert_eq!((refused.cause, refused.waited), (Some(Cause::Quota), deadline));
        let calls = store.calls();
        for _ in 0..50 {
            refused = other.ask("ann", 1).await;
            assert_eq!((refused.cause, refused.waited), (Some(Cause::Quota), Duration::ZERO));
            assert_eq!(refused.announced.as_deref(), Some(r#""quota";r=0;t=10"#));
        }
        assert_eq!(store.calls(), calls, "nobody is asked");
        // It was only cut off, and hears of it when the others ask again.
        links[0].set_link(Link::Up);
        let mut waited = Duration::ZERO;
        while !refused.admitted() && waited < Duration::from_secs(3) {
            pass(&clock, Duration::from_millis(500)).await;
            waited += Duration::from_millis(500);
            refused = other.ask("ann", 1).await;
        }
        assert!(refused.admitted());
    });
}

/// Two processes and their links. The first is cut off with what is left, and the second has waited for that in vain.
async fn cut_off(clock: &ManualClock, policy: FailurePolicy) -> [(Process, Double); 2] {
    let store = Double::new(true);
    let options = StoreOptions::new().deadline(Duration::from_millis(20)).failure(policy).processes(2);
    let [one, two] = [store.process(), store.process()]
        .map(|link| (Process::with_store(clock, plan(40), link.clone(), options.clone()), link));
    // It has a pace, and so a lease.
    for _ in 0..4 {
        assert!(one.0.ask("ann", 1).await.admitted());
        clock.advance(Duration::from_millis(200));
    }
    one.1.set_link(Link::Frozen);
    while two.0.ask("ann", 1).await.admitted() {}
    let refused = two.0.ask("ann", 1).await;
    assert_eq!((refused.cause, refused.waited), (Some(Cause::Quota), Duration::ZERO));
    [one, two]
}

#[test]
fn the_failure_policy_applies_where_the_store_goes_down_after_a_wait_in_vain() {
    let policies = [(FailurePolicy::Allow, 200), (FailurePolicy::Deny, 503), (FailurePolicy::Degrade, 429)];
    for (policy, status) in policies {
        run(async {
            let clock = ManualClock::at_unix_seconds(NOON);
            let [_cut_off, (process, link)] = cut_off(&clock, policy).await;
            link.set_link(Link::Refused);
            // The refusal is looked at again, in the background.
            pass(&clock, Duration::from_secs(1)).await;
            assert_eq!(process.ask("ann", 1).await.status, 429, "{policy:?}");
            settle().await;
            let before = process.plans.store_counts().unwrap();
            assert_eq!(process.ask("ann", 1).await.status, status, "{policy:?}");
            assert_ne!(process.plans.store_counts().unwrap(), before, "{policy:?}: it has decided");
        });
    }
}

/// The store answers every ask that has time for it, and others hold what is left.
#[test]
fn an_ask_for_which_hardly_any_time_was_left_says_nothing_of_the_store() {
    for policy in [FailurePolicy::Allow, FailurePolicy::Deny, FailurePolicy::Degrade] {
        run(async {
            let (clock, store) = (ManualClock::at_unix_seconds(NOON), Double::new(false));
            let links = [store.process(), store.process()];
            let options = StoreOptions::new().failure(policy).deadline(Duration::from_millis(20));
            let [stalled, process] = links
                .each_ref()
                .map(|link| Process::with_store(&clock, plan(40), link.clone(), options.clone()));
            for _ in 0..4 {
                assert!(stalled.ask("ann", 1).await.admitted());
                clock.advance(Duration::from_millis(200));
            }
            links[0].set_link(Link::Frozen);
            let mut asks = Box::pin(process.request("ann", 1));
            while spin(asks.as_mut()).await.is_some() {
                asks = Box::pin(process.request("ann", 1));
            }
            // It waits for what the other one has. The answer to its next ask takes longer than it has time.
            links[1].set_link(Link::Slow);
            clock.advance(Duration::from_millis(15));
            assert!(spin(asks.as_mut()).await.is_none());
            let mut follows = Box::pin(process.request("ann", 1));
            assert!(spin(follows.as_mut()).await.is_none());
            clock.advance(Duration::from_millis(5));
            for waited in [asks, follows] {
                let waited = Answer::of(&waited.now_or_never().unwrap());
                assert_eq!((waited.status, waited.cause), (429, Some(Cause::Quota)), "{policy:?}");
            }
            let counts = process.plans.store_counts().unwrap();
            let alone = counts.allowed + counts.denied + counts.degraded + counts.degraded_refused;
            assert_eq!((alone, counts.errors + counts.timeouts), (0, 0), "{policy:?}");
        });
    }
}

/// The timers of all that wait ring at once; one that follows may be polled before the one that asked.
#[test]
fn whoever_follows_an_ask_that_nobody_answers_fails_with_it() {
    for (policy, status) in [(FailurePolicy::Allow, 200), (FailurePolicy::Deny, 503)] {
        for was_told in [false, true] {
            run(async {
                let (clock, store) = (ManualClock::at_unix_seconds(NOON), Double::new(false));
                let options = StoreOptions::new().failure(policy).deadline(Duration::from_millis(20));
                let process = Process::with_store(&clock, plan(40), store.clone(), options);
                if was_told {
                    assert!(process.ask("ann", 1).await.admitted());
                    pass(&clock, Duration::from_secs(20)).await;
                }
                store.set_link(Link::Frozen);
                let mut asks = Box::pin(process.request("ann", 1));
                assert!(asks.as_mut().now_or_never().is_none());
                let mut follows = Box::pin(process.request("ann", 1));
                assert!(follows.as_mut().now_or_never().is_none());
                clock.advance(Duration::from_millis(20));
                for waited in [follows, asks] {
                    assert_eq!(waited.now_or_never().unwrap().status(), status, "{policy:?} {was_told}");
                }
                assert_eq!(process.ask("ann", 1).await.status, status, "{policy:?} {was_told}");
            });
        }
    }
}

#[test]
fn who_comes_back_at_retry_after_asks_again() {
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let [(_cut_off, link), (process, _)] = cut_off(&clock, FailurePolicy::Deny).await;
        pass(&clock, Duration::from_secs(6)).await;
        // What it had goes back, and nobody hears of that.
        link.set_link(Link::Up);
        pass(&clock, Duration::from_secs(4)).await;
        assert!(process.ask("ann", 1).await.admitted());
    });
}

#[cfg(feature = "gateway")]
#[test]
fn the_gateway_waits_too() {
    use http_body_util::BodyExt;
    use tower::{Layer, ServiceExt};
    use tower_gateway::gateway::Gateway;
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let store = Double::new(true);
        let plans = |policy| {
            UsagePlans::builder()
                .clock(clock.clock())
                .account_throttle(Throttle::new(1.0, 1).unwrap())
                .store(store.clone())
                .store_options(StoreOptions::new().failure(policy))
                .build()
                .unwrap()
        };
        let gateway =
            |policy| Gateway::builder().usage_plans(plans(policy)).clock(clock.clock()).build().unwrap();
        for (status, calls) in [(200, 1), (429, 0)] {
            let inner = Strict::default();
            let answer =
                gateway(FailurePolicy::Deny).layer(inner.clone()).oneshot(get("/pets")).await.unwrap();
            assert_eq!((answer.status().as_u16(), inner.called()), (status, calls));
        }
        store.set_link(Link::Refused);
        for (policy, status, body) in [
            (FailurePolicy::Deny, 503, r#"{"message": "Service Unavailable"}"#),
            (FailurePolicy::Allow, 200, "inner"),
            (FailurePolicy::Degrade, 200, "inner"),
        ] {
            let answer = gateway(policy).layer(Strict::default()).oneshot(get("/pets")).await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{policy:?}");
            assert_eq!(answer.headers().get("x-amzn-errortype").is_some(), status == 503);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
        }
    });
}

#[test]
fn dropping_a_request_that_waits_leaks_nothing() {
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let store = Double::new(true);
        let throttled = plan(20).throttle(Throttle::new(0.0, 1_000).unwrap());
        let process = Process::with_store(&clock, throttled, store.clone(), StoreOptions::new());
        let mut admitted = 0;
        for turn in 0..200 {
            store.set_link(if turn % 3 == 0 { Link::Frozen } else { Link::Up });
            if turn % 3 == 0 {
                let mut dropped = Box::pin(process.request("ann", 1));
                assert!(
                    dropped.as_mut().now_or_never().is_none() || admitted == 20,
                    "it waits for the store"
                );
                settle().await;
            } else {
                admitted += u64::from(process.ask("ann", 1).await.admitted());
            }
        }
        assert_eq!(admitted, 20);
        process.plans.hand_back().await;
        assert_eq!(process.report("ann").await, (20, Some(0), 0));
    });
}

/// The plan is edited while the store decides on the tokens of a request: whether its units were reserved stays as it was.
#[test]
fn an_edit_to_shadow_mode_and_back_leaves_nothing_reserved() {
    for (first, then) in [(false, true), (true, false)] {
        run(async {
            let clock = ManualClock::at_unix_seconds(NOON);
            let store = Double::new(true);
            let throttled = || plan(20).throttle(Throttle::new(1_000.0, 1_000).unwrap());
            let process = Process::with_store(&clock, throttled(), store.clone(), StoreOptions::new());
            assert!(process.ask("ann", 1).await.admitted());
            process.plans.put_plan(throttled().shadow_quota(first)).unwrap();
            store.set_link(Link::Slow);
            let mut one = Box::pin(process.request("ann", 2));
            assert!(one.as_mut().now_or_never().is_none(), "it waits for its tokens");
            process.plans.put_plan(throttled().shadow_quota(then)).unwrap();
            let mut two = Box::pin(process.request("ann", 2));
            assert!(two.as_mut().now_or_never().is_none());
            store.set_link(Link::Up);
            assert_eq!(
                (one.await.status(), two.await.status()),
                (http::StatusCode::OK, http::StatusCode::OK)
            );
            process.plans.hand_back().await;
            assert_eq!(process.report("ann").await, (5, Some(15), 0), "{first}");
        });
    }
}

/// The answer to the first request's ask is of a day that is over: nothing of the new one is kept for it.
#[test]
fn units_that_come_after_midnight_are_not_reserved_in_the_new_day() {
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON + 12 * 3_600 - 1);
        let store = Double::new(true);
        let throttled = plan(20).throttle(Throttle::new(0.0, 1_000).unwrap());
        let process = Process::with_store(&clock, throttled, store.clone(), StoreOptions::new());
        clock.advance(Duration::from_millis(999));
        store.set_link(Link::Slow);
        let mut first = Box::pin(process.request("ann", 1));
        assert!(first.as_mut().now_or_never().is_none(), "it waits for the store");
        store.set_link(Link::Up);
        clock.advance(Duration::from_millis(2));
        assert!(process.ask("ann", 1).await.admitted());
        assert_eq!(first.await.status(), 200);
        process.plans.hand_back().await;
        let report = process.plans.shared_usage("p", "ann", TOMORROW, TOMORROW).await.unwrap();
        let day = report.of("ann").unwrap()[0];
        assert_eq!((day.used, day.remaining, report.unknown()), (2, Some(18), 0));
    });
}

#[test]
fn an_idle_lease_goes_back_by_itself() {
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let store = Double::new(true);
        let process = |_| Process::with_store(&clock, plan(1_000), store.process(), StoreOptions::new());
        let [one, two]: [Process; 2] = [process(0), process(1)];
        assert!(one.ask("ann", 1).await.admitted());
        assert!(two.report("ann").await.2 > 0, "units are out");
        pass(&clock, Duration::from_secs(10)).await;
        assert_eq!(two.report("ann").await, (1, Some(999), 0));
    });
}

#[test]
fn a_dead_process_s_units_are_settled_at_the_end_of_its_lease() {
    run(async {
        let clock = ManualClock::at_unix_seconds(NOON);
        let store = Double::new(true);
        let process = |_| Process::with_store(&clock, plan(100), store.process(), StoreOptions::new());
        let [one, two]: [Process; 2] = [process(0), process(1)];
        assert!(one.ask("ann", 1).await.admitted());
        let (used, _, unknown) = two.report("ann").await;
        assert!(used <= 1 && (1..=50).contains(&unknown), "{used} {unknown}");
        drop(one);
        let mut admitted = 1;
        while two.ask("ann", 1).await.admitted() {
            admitted += 1;
        }
        assert!(admitted >= 50, "{admitted}");
        pass(&clock, Duration::from_secs(11)).await;
        two.plans.hand_back().await;
        let (used, left, unknown) = two.report("ann").await;
        assert_eq!((used, left, unknown), (100, Some(0), 0), "what is not known counts as used");
    });
}

//! An edit of a rate holds from then on: what was earned before it was earned at the rate of then.

use super::*;
#[cfg(feature = "stage")]
use tower_gateway::stage::{Deployment, Stage, StageRouter, Stages};

/// Rate before and after, seconds in between, and what was earned in them.
const EDITS: [(f64, f64, u64, usize); 2] = [(1.0, 100.0, 10, 10), (100.0, 1.0, 9, 900)];
const BURST: u32 = 1_000;

/// Drains a burst, waits, edits, and asks again.
fn earned<S: Answering + Clone>(
    service: &S,
    clock: &ManualClock,
    wait: u64,
    request: impl Fn() -> Request<Full<Bytes>>,
    edit: impl FnOnce(),
) -> usize {
    assert_eq!(admitted(service, 2_000, &request), BURST as usize);
    clock.advance(Duration::from_secs(wait));
    edit();
    admitted(service, 2_000, &request)
}

#[test]
fn of_a_plan() {
    for (before, after, wait, wanted) in EDITS {
        let plan = |rate| UsagePlan::new("p").throttle(throttle(rate, BURST));
        let method = |rate| UsagePlan::new("p").method_throttle("", "any/ANY", throttle(rate, BURST));
        let by_method = |rate| plan(rate).throttle_scope(ThrottleScope::KeyAndMethod);
        let kinds: [&dyn Fn(f64) -> UsagePlan; 3] = [&plan, &method, &by_method];
        for kind in kinds {
            let clock = clock();
            let plans = one_plan(&clock, kind(before));
            let service = named(on_p(&plans).routes(&routes())).layer(inner());
            let edit = || plans.put_plan(kind(after)).unwrap();
            assert_eq!(earned(&service, &clock, wait, || user("a", "/any"), edit), wanted);
            assert_eq!(admitted(&service, 1, || user("b", "/any")), 1, "who has not come yet has all of it");
        }
    }
}

#[test]
fn of_a_method_that_gets_or_loses_a_throttle_of_its_own() {
    for own_first in [false, true] {
        let clock = clock();
        let plan = |rate, own: bool| {
            let plan = UsagePlan::new("p")
                .throttle(throttle(rate, BURST))
                .throttle_scope(ThrottleScope::KeyAndMethod);
            if own { plan.method_throttle("", "any/ANY", throttle(100.0, BURST)) } else { plan }
        };
        let plans = one_plan(&clock, plan(1.0, own_first));
        let service = named(on_p(&plans).routes(&routes())).layer(inner());
        let edit = || plans.put_plan(plan(1.0, !own_first)).unwrap();
        let found = earned(&service, &clock, 9, || user("a", "/any"), edit);
        assert_eq!(found, if own_first { 900 } else { 9 });
    }
}

#[cfg(feature = "stage")]
#[test]
fn of_a_stage_and_of_the_account() {
    for (before, after, wait, wanted) in EDITS {
        let clock = clock();
        let table = Routes::builder().method("/any", Method::GET, ApiMethod::new()).build().unwrap();
        let stages =
            Stages::builder().deployment(Deployment::new("v1", table)).stage(Stage::new("prod", "v1"));
        let stages = stages.build().unwrap();
        let set = |rate| {
            let settings = MethodSettings::new().throttle(throttle(rate, BURST));
            stages.set_settings("prod", "*/*", settings).unwrap();
        };
        set(before);
        let plans = UsagePlans::builder().clock(clock.clock()).build().unwrap();
        let layer = UsagePlanLayer::new(plans);
        let service = StageRouter::new(stages.clone()).layer(layer.layer(inner()));
        let found = earned(
            &service,
            &clock,
            wait,
            || get("/prod/any"),
            || {
                assert!(
                    stages.set_settings("prod", "dogs/GET", MethodSettings::new()).is_err(),
                    "changes nothing"
                );
                set(after);
            },
        );
        assert_eq!(found, wanted);

        let account = UsagePlans::builder().clock(clock.clock()).account_throttle(throttle(before, BURST));
        let account = account.build().unwrap();
        let service = UsagePlanLayer::new(account.clone()).layer(inner());
        let edit = || account.account_throttle(Some(throttle(after, BURST))).unwrap();
        assert_eq!(earned(&service, &clock, wait, || get("/"), edit), wanted);
    }
}

/// Ten keys that come at different times see the same edits: each admits its burst and the integral of the rate.
#[test]
fn any_edits_at_any_time_are_exact_for_keys_that_come_at_any_time() {
    let clock = clock();
    // More than is ever earned between two visits: nothing spills.
    let burst = 70;
    let plan = |rate| UsagePlan::new("p").throttle(throttle(rate, burst));
    let (mut rate, mut integral, mut counts) = (3.0, 0.0, [0_usize; 10]);
    let plans = one_plan(&clock, plan(rate));
    let service = named(on_p(&plans)).layer(inner());
    let names: Vec<_> = (0..10).map(|number| format!("k{number}")).collect();
    let drain = |number: usize| admitted(&service, 400, || user(&names[number], "/"));
    counts.iter_mut().enumerate().for_each(|(number, count)| *count += drain(number));
    for step in 0_u32..14 {
        let seconds = u64::from(step % 4);
        clock.advance(Duration::from_secs(seconds));
        integral += rate * seconds as f64;
        rate = [0.0, 7.0, 0.5, 20.0, 2.0][step as usize % 5];
        plans.put_plan(plan(rate)).unwrap();
        for (number, count) in counts.iter_mut().enumerate() {
            if step as usize % (number + 1) == number {
                *count += drain(number);
            }
        }
    }
    counts.iter_mut().enumerate().for_each(|(number, count)| *count += drain(number));
    assert_eq!(counts, [burst as usize + integral as usize; 10]);
}

//! Limits that count and report what they would have refused, and change nothing.

use super::*;

#[test]
fn shadow_limits_count_and_change_nothing() {
    let plan = UsagePlan::new("p").throttle(throttle(1.0, 2)).quota(quota(5));
    let plans = one_plan(&clock(), plan.clone().shadow_throttle(true).shadow_quota(true));
    let service = named(on_p(&plans)).layer(inner());
    for _ in 0..9 {
        assert!(send(&service, user("a", "/")).headers().is_empty());
    }
    let counts = plans.shadow_counts("p").unwrap();
    assert_eq!((counts.throttle, counts.quota), (7, 4));
    plans.put_plan(plan).unwrap();
    assert_eq!(cause(&send(&service, user("a", "/"))), Some(Cause::PlanThrottle), "in force with its counts");
    assert_eq!(plans.shadow_counts("p").unwrap(), counts);
}

#[test]
fn shared_limits_have_a_shadow_mode_of_their_own() {
    let clock = clock();
    let shadow = MethodSettings::new().throttle(throttle(0.0, 2)).shadow_throttle(true);
    let routes = Routes::builder()
        .method("/a", Method::GET, ApiMethod::new())
        .method("/b", Method::GET, ApiMethod::new())
        .settings("a/GET", shadow)
        .build()
        .unwrap();
    let plans =
        UsagePlans::builder().clock(clock.clock()).account_throttle(throttle(0.0, 5)).build().unwrap();
    let service = UsagePlanLayer::new(plans.clone()).routes(&routes).layer(inner());
    plans.shadow_account_throttle(true).unwrap();
    assert_eq!(admitted(&service, 9, || get("/a")), 9);
    assert_eq!(["a/GET", "/a/GET", "b/GET", "*/*"].map(|key| routes.shadow_count(key)), [7, 7, 0, 7]);
    assert_eq!(plans.account_shadow_count(), 4);
    plans.shadow_account_throttle(false).unwrap();
    assert_eq!(admitted(&service, 3, || get("/b")), 0, "its bucket was charged all the while");
    assert_eq!(plans.account_shadow_count(), 4);
}

#[test]
fn an_entry_without_a_throttle_leaves_it_to_that_of_all_methods() {
    let all = MethodSettings::new().throttle(throttle(0.0, 2));
    let routes = Routes::builder()
        .method("/a", Method::GET, ApiMethod::new())
        .any("/b", ApiMethod::new())
        .method("/c", Method::GET, ApiMethod::new())
        .settings("*/*", all)
        .settings("a/GET", MethodSettings::new().shadow_throttle(true))
        .settings("b/GET", MethodSettings::new())
        .settings("c/GET", MethodSettings::new().throttle(throttle(0.0, 3)))
        .build()
        .unwrap();
    let plans = UsagePlans::builder().clock(clock().clock()).build().unwrap();
    let service = UsagePlanLayer::new(plans).routes(&routes).layer(inner());
    assert_eq!(["/a", "/b", "/c"].map(|path| admitted(&service, 9, || get(path))), [2, 2, 3]);
}

//! Quotas of keys: calendar periods, reports, and plans that are changed while traffic flows.
#![cfg(feature = "api-key")]

use crate::support::{run, through};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use std::{convert::Infallible, future::ready, time::Duration};
use tower::{
    Layer, ServiceExt,
    layer::util::{Identity, Stack},
    service_fn,
};
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeys},
    clock::ManualClock,
    response::{Cause, GatewayError},
    throttle::Throttle,
    usage_plan::{DailyUsage, Quota, QuotaPeriod, UsagePlan, UsagePlanLayer, UsagePlans, UsageReservation},
};

fn at(date: &str) -> i64 {
    date.parse::<jiff::Timestamp>().unwrap().as_second()
}

fn clock(date: &str) -> ManualClock {
    ManualClock::at_unix_seconds(at(date))
}

fn quota(limit: u64, period: QuotaPeriod) -> Quota {
    Quota::new(limit, period).unwrap()
}

fn daily(id: &str, limit: u64) -> UsagePlan {
    UsagePlan::new(id).quota(quota(limit, QuotaPeriod::Day))
}

/// Plan `p` with keys `ann` and `bob`.
fn plans(clock: &ManualClock, plan: UsagePlan) -> UsagePlans {
    let builder = UsagePlans::builder().clock(clock.clock()).plan(plan);
    builder.attach("p", "ann").attach("p", "bob").build().unwrap()
}

type Keyed = Stack<UsagePlanLayer, Stack<ApiKeyLayer<ApiKeys>, Identity>>;

fn keyed(plans: &UsagePlans) -> Keyed {
    let key = |id: &str| ApiKey::new(id).value(value(id));
    let keys = ApiKeys::builder().key(key("ann")).key(key("bob")).key(key("eve")).build().unwrap();
    Stack::new(UsagePlanLayer::new(plans.clone()), Stack::new(ApiKeyLayer::new(keys), Identity::new()))
}

fn value(id: &str) -> String {
    format!("{id}-0123456789abcdefghij")
}

fn by(id: &str) -> Request<Full<Bytes>> {
    Request::builder().uri("/pets").header("x-api-key", value(id)).body(Full::default()).unwrap()
}

/// How many of `tries` requests are admitted.
fn admitted(plans: &UsagePlans, id: &str, tries: u64) -> u64 {
    let inner = service_fn(|_| ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))));
    let service = keyed(plans).layer(inner);
    let status = || service.clone().oneshot(by(id)).now_or_never().unwrap().unwrap().status();
    (0..tries).map(|_| u64::from(status() == 200)).sum()
}

fn answer(plans: &UsagePlans, id: &str) -> (u16, Option<Cause>, Response<Bytes>) {
    let answer = run(through(keyed(plans), by(id))).0;
    let cause = answer.extensions().get::<GatewayError>().map(GatewayError::cause);
    (answer.status().as_u16(), cause, answer)
}

fn pairs(days: &[DailyUsage]) -> Vec<(u64, Option<u64>)> {
    days.iter().map(|day| (day.used, day.remaining)).collect()
}

#[test]
fn a_quota_lasts_to_the_end_of_its_calendar_period() {
    let berlin = quota(3, QuotaPeriod::Day).time_zone("Europe/Berlin").unwrap();
    let offset = quota(3, QuotaPeriod::Month).offset(9).unwrap();
    let cairo = quota(3, QuotaPeriod::Day).time_zone("Africa/Cairo").unwrap();
    for (quota, now, last_second) in [
        (quota(3, QuotaPeriod::Month), "2024-02-10T12:00:00Z", "2024-02-29T23:59:59Z"),
        (quota(3, QuotaPeriod::Month), "2026-12-10T12:00:00Z", "2026-12-31T23:59:59Z"),
        (quota(3, QuotaPeriod::Day), "2024-02-28T00:00:00Z", "2024-02-28T23:59:59Z"),
        (quota(3, QuotaPeriod::Week), "2026-11-22T00:00:00Z", "2026-11-28T23:59:59Z"),
        (berlin.clone(), "2026-03-29T00:30:00Z", "2026-03-29T21:59:59Z"),
        (berlin, "2026-10-25T00:30:00Z", "2026-10-25T22:59:59Z"),
        (offset, "2026-11-22T00:00:00Z", "2026-12-09T23:59:59Z"),
        (cairo, "2024-04-26T05:00:00Z", "2024-04-26T20:59:59Z"),
    ] {
        let clock = clock(now);
        let plans = plans(&clock, UsagePlan::new("p").quota(quota));
        assert_eq!(admitted(&plans, "ann", 9), 3);
        let (status, cause, refused) = answer(&plans, "ann");
        assert_eq!((status, cause), (429, Some(Cause::Quota)));
        let left = at(last_second) + 1 - at(now);
        assert_eq!(refused.headers()["retry-after"], left.to_string(), "{now}");
        clock.set_unix_seconds(at(last_second));
        assert_eq!(admitted(&plans, "ann", 9), 0, "{last_second}");
        clock.set_unix_seconds(at(last_second) + 1);
        assert_eq!(admitted(&plans, "ann", 9), 3, "{last_second}");
    }
}

#[test]
fn two_keys_never_mix() {
    let plans = plans(&clock("2026-11-22T12:00:00Z"), daily("p", 3));
    assert_eq!(
        (admitted(&plans, "ann", 9), admitted(&plans, "bob", 2), admitted(&plans, "bob", 9)),
        (3, 2, 1)
    );
}

#[test]
fn keys_come_and_go_while_traffic_flows() {
    let plans = plans(&clock("2026-11-22T12:00:00Z"), daily("p", 3));
    let outsider = answer(&plans, "eve");
    assert_eq!((outsider.0, outsider.1), (403, Some(Cause::ApiKeyNotInPlan)));
    let headers = outsider.2.headers();
    assert_eq!((outsider.2.body().as_ref(), headers.len()), (&br#"{"message":"Forbidden"}"#[..], 2));
    plans.attach("p", "eve").unwrap();
    plans.attach("p", "eve").unwrap();
    assert_eq!(admitted(&plans, "eve", 9), 3);
    plans.detach("p", "eve").unwrap();
    assert_eq!(answer(&plans, "eve").0, 403);
    assert_eq!(plans.detach("p", "eve").unwrap_err().value(), "eve");
    plans.delete_plan("p").unwrap();
    assert_eq!(answer(&plans, "ann").0, 403);
    plans.put_plan(daily("p", 3)).unwrap();
    assert_eq!(answer(&plans, "ann").0, 403, "a new plan has no keys");
    assert_eq!(plans.attach("q", "ann").unwrap_err().value(), "q");
}

#[test]
fn plans_and_their_keys_are_listed() {
    let plans = UsagePlans::builder().plan(daily("gold", 5)).plan(daily("basic", 1)).build().unwrap();
    let many: Vec<_> = (10..99).map(|number| format!("key-{number}")).collect();
    plans.attach_all("gold", many.iter().rev().map(String::as_str)).unwrap();
    plans.attach("basic", "ann").unwrap();
    assert_eq!(plans.plans(), [daily("basic", 1), daily("gold", 5)]);
    assert_eq!(plans.keys_of("gold").unwrap(), many);
    assert_eq!(plans.keys_of("basic").unwrap(), ["ann"]);
    plans.detach("basic", "ann").unwrap();
    assert!(plans.keys_of("basic").unwrap().is_empty());
    plans.delete_plan("gold").unwrap();
    assert_eq!(plans.plans(), [daily("basic", 1)]);
    assert_eq!(plans.keys_of("gold").unwrap_err().value(), "gold");
}

#[test]
fn a_key_is_in_one_plan_per_stage() {
    let on =
        |id: &str, stages: &[&str]| stages.iter().fold(UsagePlan::new(id), |plan, stage| plan.stage(stage));
    let plans = UsagePlans::builder()
        .plan(on("p", &["prod", "test"]))
        .plan(on("q", &["dev"]))
        .plan(on("r", &["test", "beta"]))
        .plan(on("all", &[]))
        .attach("p", "ann")
        .build()
        .unwrap();
    plans.attach("q", "ann").unwrap();
    for plan in ["r", "all"] {
        assert_eq!(plans.attach(plan, "ann").unwrap_err().value(), "ann");
    }
    plans.attach_all("all", ["bob", "eve"]).unwrap();
    assert_eq!(plans.put_plan(on("q", &["dev", "prod"])).unwrap_err().value(), "q");
    plans.put_plan(on("q", &["dev", "gamma"])).unwrap();
    plans.detach("p", "ann").unwrap();
    plans.put_plan(on("q", &["prod"])).unwrap();
    let twice =
        UsagePlans::builder().plan(on("p", &[])).plan(on("q", &["x"])).attach("p", "k").attach("q", "k");
    assert_eq!(twice.build().unwrap_err().value(), "k");
    assert_eq!(UsagePlans::builder().attach("none", "k").build().unwrap_err().value(), "none");
}

#[test]
fn a_thousand_edits_under_load_leave_usage_unchanged() {
    let clock = clock("2026-11-22T12:00:00Z");
    let limits = |edit: u64| {
        let throttle = Throttle::new(1.0, 1_000_000 + edit as u32).unwrap();
        UsagePlan::new("p")
            .name(&edit.to_string())
            .throttle(throttle)
            .quota(quota(1_000_000 + edit, QuotaPeriod::Month))
    };
    let plans = plans(&clock, limits(0));
    let total: u64 = std::thread::scope(|scope| {
        let load: Vec<_> = (0..4)
            .map(|thread| {
                let id = if thread % 2 == 0 { "ann" } else { "bob" };
                let plans = &plans;
                scope.spawn(move || admitted(plans, id, 2_500))
            })
            .collect();
        (1..=1_000).for_each(|edit| plans.put_plan(limits(edit)).unwrap());
        load.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(total, 10_000);
    let report = plans.usage("p", None, "2026-11-22", "2026-11-22").unwrap();
    for key in ["ann", "bob"] {
        assert_eq!(pairs(report.of(key).unwrap()), [(5_000, Some(1_001_000 - 5_000))]);
    }
    let (_, _, next) = answer(&plans, "ann");
    assert_eq!(
        next.headers()["ratelimit"],
        format!(r#""throttle";r=995999;t=5001, "quota";r=995999;t={}"#, 8 * 86_400 + 43_200)
    );
}

#[test]
fn an_edit_of_the_period_counts_what_its_days_have_used() {
    let clock = clock("2026-11-21T12:00:00Z");
    let plans = plans(&clock, daily("p", 100));
    assert_eq!(admitted(&plans, "ann", 4), 4);
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(admitted(&plans, "ann", 3), 3);
    plans.put_plan(UsagePlan::new("p").quota(quota(10, QuotaPeriod::Month))).unwrap();
    assert_eq!(admitted(&plans, "ann", 9), 3, "7 of the month are used");
    plans.put_plan(UsagePlan::new("p").quota(quota(10, QuotaPeriod::Week))).unwrap();
    assert_eq!(admitted(&plans, "ann", 9), 4, "6 of the week, which began today");
    plans.put_plan(UsagePlan::new("p")).unwrap();
    assert_eq!(admitted(&plans, "ann", 5), 5);
    plans.put_plan(UsagePlan::new("p").quota(quota(20, QuotaPeriod::Week))).unwrap();
    assert_eq!(admitted(&plans, "ann", 9), 5, "and 5 without a quota");
}

/// What is seen between an edit and the key's next request is what that request finds.
#[test]
fn limits_and_reports_know_of_an_edit_of_the_period_at_once() {
    let clock = clock("2026-11-21T12:00:00Z");
    let plans = plans(&clock, daily("p", 100));
    assert_eq!(admitted(&plans, "ann", 4), 4);
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(admitted(&plans, "ann", 3), 3);
    let seen = || {
        let quota = plans.limits("ann")[0].quota.unwrap();
        let report = plans.usage("p", Some("ann"), "2026-11-22", "2026-11-22").unwrap();
        (quota.used, quota.remaining, pairs(report.of("ann").unwrap())[0])
    };
    assert_eq!(seen(), (3, 97, (3, Some(97))));
    plans.put_plan(UsagePlan::new("p").quota(quota(10, QuotaPeriod::Month))).unwrap();
    assert_eq!(seen(), (7, 3, (3, Some(3))));
    assert_eq!(admitted(&plans, "ann", 1), 1);
    assert_eq!(seen(), (8, 2, (4, Some(2))));
    plans.put_plan(UsagePlan::new("p").quota(quota(5, QuotaPeriod::Month))).unwrap();
    assert_eq!(seen(), (8, 0, (4, Some(0))));
    plans.put_plan(daily("p", 100)).unwrap();
    assert_eq!(seen(), (4, 96, (4, Some(96))));
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(plans.limits("ann")[0].quota.unwrap().remaining, 100, "another day, without a request");
}

#[test]
fn a_wall_clock_that_is_set_back_and_forth_loses_no_use() {
    let clock = clock("2026-11-22T23:59:00Z");
    let plans = plans(&clock, daily("p", 10));
    for (date, tries, expected) in [
        ("2026-11-22T23:59:00Z", 4, 4),
        ("2026-11-23T00:01:00Z", 7, 7),
        ("2026-11-22T23:58:00Z", 9, 6),
        ("2026-11-23T00:02:00Z", 9, 3),
        ("2026-11-20T00:00:00Z", 99, 10),
        ("2026-11-22T00:00:00Z", 9, 0),
        ("2026-11-23T23:59:59Z", 9, 0),
    ] {
        clock.set_unix_seconds(at(date));
        assert_eq!(admitted(&plans, "ann", tries), expected, "{date}");
    }
    let report = plans.usage("p", Some("ann"), "2026-11-20", "2026-11-23").unwrap();
    let used: Vec<_> = report.of("ann").unwrap().iter().map(|day| day.used).collect();
    assert_eq!(used, [10, 0, 10, 10]);
}

#[test]
fn usage_is_reported_per_day_with_no_lag() {
    let clock = clock("2026-11-20T12:00:00Z");
    let plans = plans(&clock, UsagePlan::new("p").quota(quota(5_000, QuotaPeriod::Month)));
    let usage = |key: Option<&str>, start: &str, end: &str| plans.usage("p", key, start, end).unwrap();
    for requests in [3, 2, 0] {
        assert_eq!(admitted(&plans, "ann", requests), requests);
        let today = usage(Some("ann"), "2026-11-20", "2026-11-22");
        assert_eq!(today.of("ann").unwrap().iter().map(|day| day.used).max(), Some(3));
        clock.advance(Duration::from_secs(86_400));
    }
    let report = usage(Some("ann"), "2026-11-20", "2026-11-22");
    assert_eq!(pairs(report.of("ann").unwrap()), [(3, Some(4_997)), (2, Some(4_995)), (0, Some(4_995))]);
    assert_eq!(
        report.to_json(),
        r#"{"usagePlanId":"p","startDate":"2026-11-20","endDate":"2026-11-22","values":{"ann":[[3,4997],[2,4995],[0,4995]]}}"#
    );
    let month_end = usage(Some("ann"), "2026-11-30", "2026-12-01");
    assert_eq!(pairs(month_end.of("ann").unwrap()), [(0, Some(4_995)), (0, Some(5_000))], "a new month");
    let all = usage(None, "2026-11-20", "2026-11-20");
    assert_eq!(pairs(all.of("bob").unwrap()), [(0, Some(5_000))]);
    assert_eq!(all.items().count(), 2);
}

#[test]
fn use_of_ninety_days_is_kept() {
    let clock = clock("2026-01-01T12:00:00Z");
    let plans = plans(&clock, daily("p", 9));
    for _ in 0..200 {
        assert_eq!(admitted(&plans, "ann", 1), 1);
        clock.advance(Duration::from_secs(86_400));
    }
    let report = plans.usage("p", Some("ann"), "2026-01-01", "2026-07-20").unwrap();
    let used: u64 = report.of("ann").unwrap().iter().map(|day| day.used).sum();
    assert!((90..=92).contains(&used), "{used}");
}

#[test]
fn reports_come_in_pages() {
    let plans = UsagePlans::builder().plan(daily("p", 9)).plan(daily("q", 9)).build().unwrap();
    let ids: Vec<_> = (0..700).map(|number| format!("key{number}")).collect();
    plans.attach_all("p", ids.iter().map(String::as_str)).unwrap();
    plans.attach("q", "other").unwrap();
    let page =
        |position: Option<&str>, limit| plans.usage_page("p", "2026-11-22", "2026-11-22", position, limit);
    let (mut seen, mut position) = (Vec::new(), None::<String>);
    loop {
        let page = page(position.as_deref(), 300).unwrap();
        assert!(page.items().count() <= 300);
        assert_eq!(page.to_json().contains("\"position\""), page.position().is_some());
        seen.extend(page.items().map(|(key, _)| key.to_owned()));
        position = page.position().map(str::to_owned);
        if position.is_none() {
            break;
        }
    }
    seen.sort();
    let mut wanted = ids.clone();
    wanted.sort();
    assert_eq!(seen, wanted);
    for limit in [0, 501] {
        assert_eq!(page(None, limit).unwrap_err().value(), limit.to_string());
    }
    assert_eq!(page(Some("nonsense"), 25).unwrap_err().value(), "nonsense");
    assert_eq!(page(Some("99.99"), 25).unwrap().items().count(), 0);
    for (start, end) in
        [("2026-11-22", "2026-11-21"), ("2026-11-22", "yesterday"), ("0001-01-01", "9999-12-31")]
    {
        assert_eq!(plans.usage("p", None, start, end).unwrap_err().value(), end);
    }
    assert_eq!(plans.usage("p", Some("other"), "2026-11-22", "2026-11-22").unwrap_err().value(), "other");
}

#[test]
fn what_is_granted_lasts_for_the_present_period() {
    let clock = clock("2026-11-22T12:00:00Z");
    let plans = plans(&clock, daily("p", 10));
    assert_eq!(admitted(&plans, "ann", 20), 10);
    plans.update_remaining("p", "ann", 50).unwrap();
    assert_eq!(admitted(&plans, "ann", 99), 50);
    plans.update_remaining("p", "ann", 2).unwrap();
    plans.put_plan(daily("p", 11)).unwrap();
    assert_eq!(admitted(&plans, "ann", 99), 3, "an edit of the limit adds to what was granted");
    plans.update_remaining("p", "bob", 0).unwrap();
    assert_eq!(admitted(&plans, "bob", 9), 0, "less than the plan's is granted too");
    clock.advance(Duration::from_secs(43_200));
    assert_eq!((admitted(&plans, "ann", 99), admitted(&plans, "bob", 99)), (11, 11));
    let report = plans.usage("p", Some("ann"), "2026-11-22", "2026-11-23").unwrap();
    assert_eq!(pairs(report.of("ann").unwrap()), [(63, Some(0)), (11, Some(0))]);
    assert_eq!(plans.update_remaining("p", "eve", 1).unwrap_err().value(), "eve");
    plans.put_plan(UsagePlan::new("p")).unwrap();
    assert_eq!(plans.update_remaining("p", "ann", 1).unwrap_err().value(), "p");
    let json = plans.usage("p", Some("bob"), "2026-11-25", "2026-11-25").unwrap().to_json();
    assert!(json.ends_with(r#""values":{"bob":[[0]]}}"#), "{json}");
}

#[test]
fn a_refund_to_a_key_that_left_the_plan_and_came_back_gives_nothing_away() {
    let clock = clock("2026-11-22T12:00:00Z");
    let plans = plans(&clock, daily("p", 10));
    let kept = std::sync::Arc::new(std::sync::Mutex::new(None::<UsageReservation>));
    let keep = kept.clone();
    let keeping = service_fn(move |request: Request<Full<Bytes>>| {
        *keep.lock().unwrap() = request.extensions().get::<UsageReservation>().cloned();
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let keys = ApiKeys::builder().key(ApiKey::new("ann").value(value("ann"))).build().unwrap();
    let reserving = UsagePlanLayer::new(plans.clone()).reserve(|_, _| Some(9));
    let reserving = ApiKeyLayer::new(keys).layer(reserving.layer(keeping));
    let reserved = reserving.oneshot(by("ann")).now_or_never().unwrap().unwrap();
    assert_eq!(reserved.status(), 200);
    let reservation = kept.lock().unwrap().take().unwrap();
    plans.detach("p", "ann").unwrap();
    plans.attach("p", "ann").unwrap();
    assert_eq!(admitted(&plans, "ann", 1), 1);
    reservation.refund_all();
    assert_eq!(admitted(&plans, "ann", 20), 10, "the one that was used came back, and not nine");
}

/// Three of 30 on Sunday, two of them committed as 5 and 90: the day is overdrawn when it ends, and the third comes back
/// when it is over.
#[test]
fn a_past_day_that_was_overdrawn_has_exactly_what_is_left_when_a_cost_comes_back() {
    let report = |period: QuotaPeriod, then: &str| {
        let clock = clock("2026-11-22T12:00:00Z");
        let plans = plans(&clock, UsagePlan::new("p").quota(quota(100, period)));
        let kept = std::sync::Arc::new(std::sync::Mutex::new(Vec::<UsageReservation>::new()));
        let keep = kept.clone();
        let keeping = service_fn(move |request: Request<Full<Bytes>>| {
            keep.lock().unwrap().extend(request.extensions().get::<UsageReservation>().cloned());
            ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
        });
        let keys = ApiKeys::builder().key(ApiKey::new("ann").value(value("ann"))).build().unwrap();
        let reserving = UsagePlanLayer::new(plans.clone()).reserve(|_, _| Some(30));
        let service = ApiKeyLayer::new(keys).layer(reserving.layer(keeping));
        let reserve =
            || assert_eq!(service.clone().oneshot(by("ann")).now_or_never().unwrap().unwrap().status(), 200);
        (0..3).for_each(|_| reserve());
        let commit = |at: usize, actual: u32| assert!(kept.lock().unwrap()[at].commit(actual));
        commit(0, 5);
        commit(1, 90);
        clock.set_unix_seconds(at(then));
        let _refused_or_not = service.clone().oneshot(by("ann")).now_or_never().unwrap().unwrap();
        clock.advance(Duration::from_secs(86_400));
        let _the_day_is_past = admitted(&plans, "ann", 1);
        commit(2, 0);
        let report = plans.usage("p", Some("ann"), "2026-11-22", "2026-11-24").unwrap();
        pairs(report.of("ann").unwrap())
    };
    let by_day = report(QuotaPeriod::Day, "2026-11-23T12:00:00Z");
    assert_eq!(by_day, [(95, Some(5)), (30, Some(70)), (1, Some(99))]);
    // The week's remainder of the days after it, too: they have used nothing, for it was overdrawn.
    let by_week = report(QuotaPeriod::Week, "2026-11-23T12:00:00Z");
    assert_eq!(by_week, [(95, Some(5)), (0, Some(5)), (0, Some(5))]);
}

#[test]
fn key_plan_and_quota_allocate_only_the_field() {
    let clock = clock("2026-11-22T12:00:00Z");
    let plan =
        || UsagePlan::new("p").throttle(Throttle::new(1.0, 5).unwrap()).quota(quota(100, QuotaPeriod::Month));
    let inner = service_fn(|_| {
        ready(Ok::<_, Infallible>(
            Response::builder().header("x", "y").body(Full::<Bytes>::default()).unwrap(),
        ))
    });
    let count = |mut service: Box<dyn FnMut(Request<Full<Bytes>>)>| {
        (0..3).for_each(|_| service(by("ann")));
        let request = by("ann");
        allocation_counter::measure(|| service(request)).count_total as i64
    };
    let keys = ApiKeys::builder().key(ApiKey::new("ann").value(value("ann"))).build().unwrap();
    let key_only = ApiKeyLayer::new(keys).layer(inner);
    let floor = count(Box::new(move |request| drop(key_only.clone().oneshot(request).now_or_never())));
    let service = keyed(&plans(&clock, plan())).layer(inner);
    let keyed = Box::new(move |request| drop(service.clone().oneshot(request).now_or_never()));
    assert_eq!(count(keyed.clone()) - floor, 1);
    (0..9).for_each(|_| keyed(by("ann")));
    let refused = count(keyed);
    assert!(refused - floor <= 8, "{refused} {floor}");
}

#[test]
fn an_idle_key_takes_at_most_120_bytes() {
    // An eighth of a million fills the index's tables as a million does, and takes an eighth of the time.
    const KEYS: u32 = 125_000;
    // Ids as AWS makes them, of ten characters; and as long as ours may be without a pointer of their own.
    for width in [10, 22] {
        let plans = UsagePlans::builder().plan(daily("p", 9)).build().unwrap();
        let ids: Vec<_> = (0..KEYS).map(|number| format!("k{number:0>width$}", width = width - 1)).collect();
        let kept = allocation_counter::measure(|| {
            plans.attach_all("p", ids.iter().map(String::as_str)).unwrap();
        });
        let per_key = kept.bytes_current as f64 / f64::from(KEYS);
        println!("{per_key:.1} bytes per idle key with an id of {width} characters");
        assert!(per_key <= 120.0, "{per_key}");
    }
}

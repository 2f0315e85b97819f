//! Usage plans: as the keys.

use super::*;
use tower_gateway::{
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

pub(super) fn gold(limit: u64) -> UsagePlan {
    let throttle = Throttle::new(10.0, 20).unwrap();
    UsagePlan::new("gold").throttle(throttle).quota(Quota::new(limit, QuotaPeriod::Month).unwrap())
}

pub(super) fn attached(plans: &UsagePlans, plan: &str, key: &str) -> bool {
    plans.usage(plan, Some(key), "2026-11-27", "2026-11-27").is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_a_plan_in_one_process_happens_in_all() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (member(&server.url()), member(&server.url()));
    let here = UsagePlans::builder().plan(gold(10)).attach("gold", "k1").build().unwrap();
    let there = UsagePlans::builder().build().unwrap();
    one.share_plans(&here).await.unwrap();
    other.share_plans(&there).await.unwrap();
    meet(&[&one, &other]).await;
    assert_eq!((there.plan("gold"), attached(&there, "gold", "k1")), (Some(gold(10)), true));
    let settled = async |fleet: &Fleet| assert!(fleet.settled(PATIENCE).await.unwrap().is_complete());
    there.put_plan(gold(20)).unwrap();
    there.attach_all("gold", ["k2", "k3"]).unwrap();
    there.detach("gold", "k1").unwrap();
    settled(&other).await;
    assert_eq!(here.plan("gold"), Some(gold(20)));
    assert_eq!(["k1", "k2", "k3"].map(|key| attached(&here, "gold", key)), [false, true, true]);
    // From one plan to another.
    here.put_plan(UsagePlan::new("iron")).unwrap();
    here.detach("gold", "k2").unwrap();
    here.attach("iron", "k2").unwrap();
    settled(&one).await;
    assert_eq!((attached(&there, "gold", "k2"), attached(&there, "iron", "k2")), (false, true));
    here.delete_plan("gold").unwrap();
    here.put_plan(gold(30)).unwrap();
    settled(&one).await;
    assert_eq!((there.plan("gold"), attached(&there, "gold", "k3")), (Some(gold(30)), false));
    let (new, plans) = (member(&server.url()), UsagePlans::builder().plan(gold(1)).attach("gold", "k3"));
    let plans = plans.build().unwrap();
    new.share_plans(&plans).await.unwrap();
    assert_eq!(plans.plan("gold"), Some(gold(30)), "as it is, and not as the program says");
    assert_eq!((attached(&plans, "gold", "k3"), attached(&plans, "iron", "k2")), (false, true));
    server.assert_all_expire();
}

/// More attachments than one page of the scan, and more than one record takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_of_many_pages_arrive_whole() {
    let Some(server) = RedisServer::start() else { return };
    let one = member(&server.url());
    let keys: Vec<String> = (0..2_300).map(|number| format!("key-{number}")).collect();
    let here = UsagePlans::builder().plan(gold(10)).plan(UsagePlan::new("iron")).build().unwrap();
    here.attach_all("gold", keys.iter().map(String::as_str)).unwrap();
    one.share_plans(&here).await.unwrap();
    for key in &keys[..1_100] {
        here.detach("gold", key).unwrap();
    }
    here.attach_all("iron", keys[..700].iter().map(String::as_str)).unwrap();
    one.settled(PATIENCE).await.unwrap();
    let pages = server.command::<Vec<::redis::Value>>(&["HSCAN", "{test}:plans", "0", "COUNT", "500"]);
    assert_ne!(pages[0], ::redis::Value::BulkString(b"0".into()), "one page is not all");
    // With the attachments of an earlier deployment: what was detached is so here, too.
    let (new, there) = (member(&server.url()), UsagePlans::builder().plan(gold(10)).attach("gold", &keys[3]));
    let there = there.build().unwrap();
    new.share_plans(&there).await.unwrap();
    for plans in [&here, &there] {
        let on = |plan| keys.iter().filter(|key| attached(plans, plan, key)).count();
        assert_eq!((on("gold"), on("iron")), (1_200, 700));
        assert!(attached(plans, "iron", &keys[3]) && !attached(plans, "gold", &keys[3]));
        assert!(!attached(plans, "gold", &keys[1_099]) && attached(plans, "gold", &keys[1_100]));
    }
    server.assert_all_expire();
}

//! Usage plans: as the keys.

use super::*;
use tower_gateway::{
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

fn gold(limit: u64) -> UsagePlan {
    let throttle = Throttle::new(10.0, 20).unwrap();
    UsagePlan::new("gold").throttle(throttle).quota(Quota::new(limit, QuotaPeriod::Month).unwrap())
}

fn attached(plans: &UsagePlans, plan: &str, key: &str) -> bool {
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

//! A server that comes back older than it was: what any process still knows better counts.

use super::{
    keys::{VALUES, accepts, with},
    plans::{attached, gold},
    *,
};
use tower_gateway::{
    api_key::{ApiKey, ApiKeys, KeyUpdate},
    usage_plan::{UsagePlan, UsagePlans},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_were_disabled_and_deleted_stay_so() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (member(&server.url()), member(&server.url()));
    let (here, there) = (with(&[("first", VALUES[0]), ("second", VALUES[1])]), ApiKeys::new());
    one.share_keys(&here).await.unwrap();
    other.share_keys(&there).await.unwrap();
    meet(&[&one, &other]).await;
    here.update("first", KeyUpdate::new().name("First")).unwrap();
    assert!(one.settled(PATIENCE).await.unwrap().is_complete());
    snapshot(&server);
    here.set_enabled("first", false).unwrap();
    here.delete("second").unwrap();
    drop(there.add(ApiKey::new("third").value(VALUES[2])).unwrap());
    for fleet in [&one, &other] {
        assert!(fleet.settled(PATIENCE).await.unwrap().is_complete());
    }
    let wanted = [None, None, Some("third".to_owned())];
    let said = |keys: &ApiKeys| VALUES.map(|value| accepts(keys, value));
    brought_back_older(&server).await;
    assert_eq!((said(&here), said(&there)), (wanted.clone(), wanted.clone()));
    let (new, keys) = (member(&server.url()), with(&[("first", VALUES[0]), ("second", VALUES[1])]));
    new.share_keys(&keys).await.unwrap();
    assert_eq!(said(&keys), wanted, "and who comes now learns it");
    assert_eq!(keys.get("first").unwrap().name(), Some("First"));
    // What is changed from now on counts for more.
    keys.set_enabled("first", true).unwrap();
    assert!(new.settled(PATIENCE).await.unwrap().is_complete());
    assert_eq!(
        (accepts(&here, VALUES[0]), accepts(&there, VALUES[0])),
        (Some("first".into()), Some("first".into()))
    );
    server.assert_all_expire();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_stand_as_they_were_edited() {
    let Some(server) = RedisServer::start() else { return };
    let one = member(&server.url());
    let here = UsagePlans::builder()
        .plan(gold(10))
        .attach("gold", "k1")
        .plan(UsagePlan::new("iron"))
        .build()
        .unwrap();
    one.share_plans(&here).await.unwrap();
    one.settled(PATIENCE).await.unwrap();
    snapshot(&server);
    here.put_plan(gold(20)).unwrap();
    here.detach("gold", "k1").unwrap();
    here.attach("gold", "k2").unwrap();
    here.delete_plan("iron").unwrap();
    assert!(one.settled(PATIENCE).await.unwrap().is_complete());
    brought_back_older(&server).await;
    let (new, there) = (member(&server.url()), UsagePlans::builder().build().unwrap());
    new.share_plans(&there).await.unwrap();
    for plans in [&here, &there] {
        assert_eq!((plans.plan("gold"), plans.plan("iron")), (Some(gold(20)), None));
        assert_eq!(["k1", "k2"].map(|key| attached(plans, "gold", key)), [false, true]);
    }
    server.assert_all_expire();
}

/// The one process that knows better was away while others wrote as many records as it had seen: by the number alone,
/// it would seem to be in step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_histories_of_one_length_are_told_apart() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = server.proxy();
    let knowing = member(&proxy.url());
    let here = with(&[("first", VALUES[0]), ("second", VALUES[1])]);
    knowing.share_keys(&here).await.unwrap();
    knowing.settled(PATIENCE).await.unwrap();
    snapshot(&server);
    here.set_enabled("first", false).unwrap();
    for number in 0..5 {
        here.update("second", KeyUpdate::new().name(number.to_string())).unwrap();
    }
    assert!(knowing.settled(PATIENCE).await.unwrap().is_complete());
    proxy.cut();
    server.restart();
    let (new, there) = (member(&server.url()), ApiKeys::new());
    eventually_async("the server answers", || new.is_current()).await;
    new.share_keys(&there).await.unwrap();
    assert!(accepts(&there, VALUES[0]).is_some(), "nobody who is there knows better");
    for number in 0..9 {
        there.update("second", KeyUpdate::new().name(format!("new {number}"))).unwrap();
    }
    assert!(new.settled(PATIENCE).await.unwrap().is_complete());
    proxy.heal();
    eventually_async("the disabled key is disabled everywhere", || accepts(&there, VALUES[0]).is_none())
        .await;
    eventually_async("and the last name counts", || {
        [&here, &there].iter().all(|keys| keys.get("second").unwrap().name() == Some("new 8"))
    })
    .await;
    assert_eq!(accepts(&here, VALUES[0]), None);
    server.assert_all_expire();
}

/// What was seen before is nothing any more, for whoever comes: an answer may be older than what was lost.
#[cfg(feature = "authorizer")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_the_server_has_forgotten_still_counts() {
    use super::authorizers::{authorizer, both};
    use std::sync::atomic::Ordering::SeqCst;
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (member(&server.url()), member(&server.url()));
    let ((here, layer, calls), (there, other_layer, other_calls)) = (authorizer(), authorizer());
    one.share_authorizer(&here).await.unwrap();
    other.share_authorizer(&there).await.unwrap();
    meet(&[&one, &other]).await;
    in_step(&[&one, &other]).await;
    both(&layer).await;
    eventually_async("they are in Redis", || here.shared_answers().unwrap().stored == 2).await;
    snapshot(&server);
    here.revoke_principal("bob");
    assert!(one.settled(PATIENCE).await.unwrap().is_complete());
    brought_back_older(&server).await;
    let before = calls.load(SeqCst);
    in_step(&[&one, &other]).await;
    both(&other_layer).await;
    assert_eq!((other_calls.load(SeqCst), there.shared_answers().unwrap().found), (2, 0));
    let (new, (newest, new_layer, new_calls)) = (member(&server.url()), authorizer());
    new.share_authorizer(&newest).await.unwrap();
    eventually_async("it is in step", || new.is_current()).await;
    eventually_async("they are in Redis", || there.shared_answers().unwrap().stored == 2).await;
    both(&new_layer).await;
    assert_eq!((new_calls.load(SeqCst), newest.shared_answers().unwrap().found), (0, 2));
    both(&layer).await;
    assert_eq!(calls.load(SeqCst), before);
    server.assert_all_expire();
}

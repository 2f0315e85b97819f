//! API keys: a change in one process is a change in all.

use super::*;
use tower_gateway::api_key::{ApiKey, ApiKeyStore, ApiKeys, KeyDigest, KeyUpdate};

pub(super) const VALUES: [&str; 3] =
    ["value-of-the-first-key", "value-of-the-second-key", "value-of-the-third-key"];

pub(super) fn with(ids: &[(&str, &str)]) -> ApiKeys {
    let add = |builder: tower_gateway::api_key::ApiKeysBuilder, (id, value): &(&str, &str)| {
        builder.key(ApiKey::new(*id).value(*value))
    };
    ids.iter().fold(ApiKeys::builder(), add).build().unwrap()
}

/// The key that a value is accepted as.
pub(super) fn accepts(keys: &ApiKeys, value: &str) -> Option<String> {
    let entry = keys.lookup(&KeyDigest::of(value.as_bytes()))?;
    keys.get(entry.id()).filter(|record| record.enabled()).map(|record| record.id().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_a_key_in_one_process_happens_in_all() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (member(&server.url()), member(&server.url()));
    let (here, there) = (with(&[("first", VALUES[0])]), ApiKeys::new());
    one.share_keys(&here).await.unwrap();
    other.share_keys(&there).await.unwrap();
    meet(&[&one, &other]).await;
    assert_eq!(accepts(&there, VALUES[0]).as_deref(), Some("first"));
    let settled = async |fleet: &Fleet| {
        let told = fleet.settled(PATIENCE).await.unwrap();
        assert_eq!((told.acknowledged, told.is_complete()), (2, true));
    };
    drop(there.add(ApiKey::new("second").value(VALUES[1]).name("Second").tag("team", "pets")).unwrap());
    settled(&other).await;
    assert_eq!(accepts(&here, VALUES[1]).as_deref(), Some("second"));
    assert_eq!(here.get("second"), there.get("second"));
    here.set_enabled("second", false).unwrap();
    settled(&one).await;
    assert_eq!(accepts(&there, VALUES[1]), None);
    here.set_enabled("second", true).unwrap();
    here.update("second", KeyUpdate::new().name("Two")).unwrap();
    drop(here.rotate("second", Some(VALUES[2]), 3_600 * SECOND).unwrap());
    settled(&one).await;
    for value in &VALUES[1..] {
        assert_eq!(accepts(&there, value).as_deref(), Some("second"), "both values, for an hour");
    }
    assert_eq!(there.get("second").unwrap().name(), Some("Two"));
    there.delete("first").unwrap();
    settled(&other).await;
    assert_eq!((accepts(&here, VALUES[0]), here.len()), (None, 1));
    assert_nowhere(&server, &VALUES);
    server.assert_all_expire();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_begins_with_what_there_is() {
    let Some(server) = RedisServer::start() else { return };
    let built = || with(&[("first", VALUES[0]), ("second", VALUES[1])]);
    let (one, keys) = (member(&server.url()), built());
    one.share_keys(&keys).await.unwrap();
    keys.set_enabled("first", false).unwrap();
    keys.delete("second").unwrap();
    drop(keys.add(ApiKey::new("third").value(VALUES[2])).unwrap());
    one.settled(PATIENCE).await.unwrap();
    drop((one, keys));
    let (new, keys) = (member(&server.url()), built());
    assert!(accepts(&keys, VALUES[0]).is_some());
    new.share_keys(&keys).await.unwrap();
    let accepted = VALUES.map(|value| accepts(&keys, value));
    assert_eq!(accepted, [None, None, Some("third".to_owned())], "disabled and deleted stay so");
    server.assert_all_expire();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_nothing_is_shared_and_the_caller_is_told() {
    let Some(server) = RedisServer::start() else { return };
    server.stop();
    let (fleet, keys) = (member(&server.url()), with(&[("first", VALUES[0])]));
    assert!(fleet.share_keys(&keys).await.is_err());
    server.restart();
    eventually_async("it is there", || fleet.is_current()).await;
    fleet.share_keys(&keys).await.unwrap();
    assert_eq!(fleet.settled(PATIENCE).await.unwrap().acknowledged, 1);
}

/// A partition, and a server that forgets all: changes of both sides arrive, and what was lost is put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_while_cut_off_and_what_redis_has_lost_comes_back() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = server.proxy();
    let (one, other) = (member(&server.url()), member(&proxy.url()));
    let (here, there) = (with(&[("first", VALUES[0])]), ApiKeys::new());
    one.share_keys(&here).await.unwrap();
    other.share_keys(&there).await.unwrap();
    proxy.cut();
    here.set_enabled("first", false).unwrap();
    drop(there.add(ApiKey::new("second").value(VALUES[1])).unwrap());
    assert!(other.settled(SECOND / 10).await.is_err(), "it is on its way");
    proxy.heal();
    other.settled(PATIENCE).await.unwrap();
    eventually_async("both sides agree", || {
        accepts(&there, VALUES[0]).is_none() && accepts(&here, VALUES[1]).is_some()
    })
    .await;
    server.restart();
    eventually_async("the hash is back", || server.keys().iter().any(|key| key == "{test}:keys")).await;
    let (new, keys) = (member(&server.url()), ApiKeys::new());
    eventually_async("the server answers", || new.is_current()).await;
    new.share_keys(&keys).await.unwrap();
    eventually_async("all of it", || keys.len() == 2).await;
    assert_eq!(VALUES.map(|value| accepts(&keys, value)), [None, Some("second".to_owned()), None]);
    server.assert_all_expire();
}

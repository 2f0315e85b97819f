//! A fleet: several processes (here: several handles, each with connections of its own) on one redis-server of the
//! test's own.
#![allow(clippy::disallowed_methods, reason = "real servers live in real time")]

#[cfg(feature = "authorizer")]
mod authorizers;
mod caches;
mod keys;
mod older;
mod plans;

use crate::support::redis_server::{RedisServer, eventually_async};
use std::time::Duration;
use tower_gateway::redis::{Fleet, Redis};

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(15);

/// One process's membership.
fn member(url: &str) -> Fleet {
    // A busy machine connects in its own time.
    let redis = Redis::new(url).unwrap().prefix("test").unwrap().connect_timeout(5 * SECOND);
    Fleet::join(&redis).unwrap()
}

/// Until they know of each other.
async fn meet(fleets: &[&Fleet]) {
    for fleet in fleets {
        eventually_async("they know of each other", || fleet.live() >= fleets.len() as u64).await;
    }
}

/// Until each can vouch for what it knows.
#[cfg(feature = "authorizer")]
async fn in_step(fleets: &[&Fleet]) {
    eventually_async("they are in step", || fleets.iter().all(|fleet| fleet.is_current())).await;
}

/// Nothing of the words is anywhere in the server.
fn assert_nowhere(server: &RedisServer, words: &[&str]) {
    let mut connection = server.connection();
    for key in server.keys() {
        let kind: String = ::redis::cmd("TYPE").arg(&key).query(&mut connection).unwrap();
        let read = match &*kind {
            "hash" => vec!["HGETALL", &*key],
            "list" => vec!["LRANGE", &*key, "0", "-1"],
            _ => vec!["GET", &*key],
        };
        let value: ::redis::Value = server.command(&read);
        let text = format!("{:?}", bytes_of(value));
        for word in words {
            let bytes = format!("{:?}", word.as_bytes());
            let inner = bytes.trim_matches(['[', ']']);
            assert!(!text.contains(inner) && !key.contains(word), "{key} holds {word}");
        }
    }
}

/// From now on, a restart brings back what is there at this moment, and nothing later.
fn snapshot(server: &RedisServer) {
    server.command::<()>(&["SAVE"]);
}

fn number(server: &RedisServer) -> u64 {
    server.command(&["GET", "{test}:fleet:number"])
}

/// Restarts it, and waits until all members have begun anew.
async fn brought_back_older(server: &RedisServer) {
    let before = number(server);
    server.restart();
    eventually_async("they have noticed", || number(server) > before).await;
    eventually_async("they have begun anew", || {
        let members: Vec<String> = server.command(&["HVALS", "{test}:fleet:members"]);
        let applied = |member: &String| member.split_once(' ').unwrap().0.parse::<i64>().unwrap();
        members.iter().all(|member| applied(member) >= number(server) as i64)
    })
    .await;
}

fn bytes_of(value: ::redis::Value) -> Vec<u8> {
    match value {
        ::redis::Value::BulkString(bytes) => bytes,
        ::redis::Value::Array(items) => items.into_iter().flat_map(bytes_of).collect(),
        ::redis::Value::Map(pairs) => {
            pairs.into_iter().flat_map(|(one, other)| [bytes_of(one), bytes_of(other)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_and_a_silent_one_is_named() {
    let Some(server) = RedisServer::start() else { return };
    let one = member(&server.url());
    let proxy = server.proxy();
    let other = member(&proxy.url());
    meet(&[&one, &other]).await;
    let keys = tower_gateway::api_key::ApiKeys::new();
    one.share_keys(&keys).await.unwrap();
    let told = one.settled(PATIENCE).await.unwrap();
    assert_eq!((told.acknowledged, told.is_complete()), (2, true));
    proxy.silence();
    let _new = keys.add(tower_gateway::api_key::ApiKey::new("k")).unwrap();
    let told = one.settled(SECOND / 2).await.unwrap();
    assert_eq!((told.acknowledged, &*told.silent), (1, &[other.member_id().to_owned()][..]));
    eventually_async("it knows that it is cut off", || !other.is_current()).await;
    let told = one.settled(PATIENCE).await.unwrap();
    assert_eq!((told.acknowledged, told.is_complete()), (1, true));
    assert_eq!(told.cut_off, [other.member_id()]);
    proxy.heal();
    eventually_async("it is back", || other.is_current()).await;
    let told = one.settled(PATIENCE).await.unwrap();
    assert_eq!((told.acknowledged, told.cut_off.len()), (2, 0));
    drop(other);
    eventually_async("it has left", || one.live() == 1).await;
    server.assert_all_expire();
}

//! The connection against real servers.

use super::{Redis, RedisError, script::Script, subscription::Notice};
use ::redis::{Value, cmd};
use server::{RedisServer, eventually_async};
use std::{
    future::Future,
    time::{Duration, Instant},
};

mod properties;
#[path = "../../tests/it/support/redis_server.rs"]
pub(super) mod server;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(50);

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// How long something took.
#[allow(clippy::disallowed_methods, reason = "real servers live in real time")]
async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = future.await;
    (output, start.elapsed())
}

/// Counts its calls in one key.
fn counting() -> Script {
    Script::new(
        "local t = redis.call('TIME')
        if ARGV[1] ~= '' and t[1] * 1000000 + t[2] > tonumber(ARGV[1]) then
            return redis.error_reply('LATE ' .. t[1] .. ' ' .. t[2])
        end
        return redis.call('INCR', KEYS[1])",
    )
}

async fn answers(redis: &Redis) {
    let deadline = timed(async {
        while redis.ping(SHORT).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    assert!(deadline.await.1 < LONG, "it answers again");
}

#[test]
fn nobody_there_is_said_at_once_and_a_server_that_comes_is_found() {
    let Some(server) = RedisServer::start() else { return };
    run(async {
        let redis = Redis::new(&server.url()).unwrap();
        server.kill();
        assert_eq!(redis.ping(LONG).await, Err(RedisError::Away));
        let (outcome, took) = timed(redis.ping(LONG)).await;
        assert_eq!(outcome, Err(RedisError::Away));
        assert!(took < Duration::from_secs(1), "an attempt has failed, nobody waits for the next: {took:?}");
        server.restart();
        answers(&redis).await;
    });
    // The next runtime has another connection: that of the first has ended with it.
    let redis = Redis::new(&server.url()).unwrap();
    run(answers(&redis));
    run(answers(&redis));
}

#[test]
fn a_server_that_was_restarted_costs_no_call() {
    let Some(server) = RedisServer::start() else { return };
    run(async {
        let redis = Redis::new(&server.url()).unwrap();
        let script = counting();
        for _ in 0..2 {
            assert_eq!(redis.run(&script, &["count"], &[], LONG).await, Ok(Value::Int(1)), "NOSCRIPT is met");
            server.restart();
            // The end of the connection is noticed, not found out by a call.
            let told = eventually_async("the end is noticed", || !redis.is_connected());
            told.await;
        }
    });
}

#[test]
fn a_call_ends_with_its_deadline_and_does_nothing_later() {
    let Some(server) = RedisServer::start() else { return };
    run(async {
        let redis = Redis::new(&server.url()).unwrap();
        let script = counting();
        assert_eq!(redis.run(&script, &["count"], &[], LONG).await, Ok(Value::Int(1)));
        server.freeze();
        for _ in 0..5 {
            let (outcome, took) = timed(redis.run(&script, &["count"], &[], SHORT)).await;
            assert_eq!(outcome, Err(RedisError::Deadline));
            assert!(took >= SHORT && took < SHORT + Duration::from_millis(400), "{took:?}");
        }
        server.thaw();
        answers(&redis).await;
        assert_eq!(
            redis.run(&script, &["count"], &[], LONG).await,
            Ok(Value::Int(2)),
            "what was late did nothing"
        );
    });
}

#[test]
fn a_silent_network_is_given_up_and_found_again() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = server.proxy();
    run(async {
        let redis = Redis::new(&proxy.url()).unwrap().connect_timeout(Duration::from_millis(200));
        answers(&redis).await;
        proxy.silence();
        let given_up = async { while redis.ping(SHORT).await != Err(RedisError::Away) {} };
        assert!(timed(given_up).await.1 < LONG);
        let (outcome, took) = timed(redis.ping(LONG)).await;
        assert_eq!(outcome, Err(RedisError::Away));
        assert!(took < SHORT, "a dead connection costs nothing: {took:?}");
        proxy.heal();
        answers(&redis).await;
        proxy.cut();
        let noticed = eventually_async("the end is noticed", || !redis.is_connected());
        noticed.await;
        proxy.heal();
        answers(&redis).await;
    });
}

#[test]
fn our_idea_of_the_servers_clock_corrects_itself() {
    let Some(server) = RedisServer::start() else { return };
    run(async {
        let redis = Redis::new(&server.url()).unwrap();
        answers(&redis).await;
        // As if the server's clock had been an hour behind.
        redis.saw_server_time(1_000_000);
        let script = counting();
        assert_eq!(redis.run(&script, &["count"], &[], LONG).await, Ok(Value::Int(1)));
    });
}

#[test]
fn errors_of_the_server_are_named_by_their_code_alone() {
    let Some(server) = RedisServer::start() else { return };
    run(async {
        let redis = Redis::new(&server.url()).unwrap();
        let odd = redis.call(cmd("NOSUCH").arg("a-secret"), LONG).await.unwrap_err();
        assert_eq!(odd, RedisError::Server("ERR".into()));
        assert_eq!(odd.to_string(), "Redis answered with the error ERR");
        server.command::<()>(&["CONFIG", "SET", "requirepass", "secret"]);
        let stranger = Redis::new(&server.url()).unwrap();
        assert_eq!(stranger.ping(LONG).await, Err(RedisError::Away));
        let known = Redis::new(&server.url().replace("//", "//:secret@")).unwrap();
        assert_eq!(known.ping(LONG).await, Ok(()));
    });
}

#[test]
fn messages_arrive_and_gaps_are_told() {
    let Some(server) = RedisServer::start() else { return };
    run(async {
        let (one, two) = (Redis::new(&server.url()).unwrap(), Redis::new(&server.url()).unwrap());
        let mut news = one.subscribe("{a}:news");
        let mut other = one.subscribe("{a}:other");
        assert_eq!(news.next().await, Notice::Joined);
        assert_eq!(other.next().await, Notice::Joined);
        assert_eq!(two.publish("{a}:news", b"hello", LONG).await, Ok(1));
        assert_eq!(news.next().await, Notice::Message("hello".into()));
        // A listener that comes later to a channel that is joined already is told so at once.
        let mut late = one.subscribe("{a}:news");
        assert_eq!(late.next().await, Notice::Joined);
        server.restart();
        assert_eq!(news.next().await, Notice::Joined);
        assert_eq!(late.next().await, Notice::Joined);
        answers(&two).await;
        assert_eq!(two.publish("{a}:news", b"again", LONG).await, Ok(1));
        assert_eq!(news.next().await, Notice::Message("again".into()));
        assert_eq!(late.next().await, Notice::Message("again".into()));
        drop((news, late));
        let left = eventually_async("the channel is left", || {
            server.command::<Vec<String>>(&["PUBSUB", "CHANNELS"]) == ["{a}:other"]
        });
        left.await;
    });
    run(async {
        let redis = Redis::new(&server.url()).unwrap();
        let mut news = redis.subscribe("{a}:news");
        drop(redis);
        assert_eq!(news.next().await, Notice::Joined, "a subscription keeps the connection");
        drop(news);
        let left = eventually_async("everybody has left", || {
            server.command::<Vec<String>>(&["PUBSUB", "CHANNELS"]).is_empty()
        });
        left.await;
    });
}

/// Two nodes that have half of the slots each.
fn cluster() -> Option<[RedisServer; 2]> {
    let nodes = [0; 2].map(|_| {
        // The other nodes' port is by default one that there may not be.
        let bus =
            std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let server = RedisServer::with(&["--save", "", "--cluster-enabled", "yes", "--cluster-port", &bus])?;
        Some((server, bus))
    });
    let [Some((one, _)), Some((other, bus))] = nodes else { return None };
    one.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    other.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    one.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string(), &bus]);
    for node in [&one, &other] {
        let is_one = || node.command::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
        server::eventually("the nodes are a cluster", is_one);
    }
    Some([one, other])
}

#[test]
fn any_node_of_a_cluster_leads_to_the_one_that_serves_the_prefix() {
    let Some(nodes) = cluster() else { return };
    run(async {
        let script = counting();
        for (node, url) in nodes.each_ref().map(|node| (node, node.url())) {
            // Each prefix is on one node, and these are on both.
            for prefix in ["a", "b", "c", "d", "e", "f"] {
                let redis = Redis::new(&url).unwrap().prefix(prefix).unwrap();
                let key = redis.names().name("count", &[]);
                let first = redis.run(&script, &[&key], &[], LONG).await.unwrap();
                let get = cmd("GET").arg(&key).to_owned();
                let Value::Int(number) = first else { panic!("{first:?}") };
                assert_eq!(redis.call(&get, LONG).await, Ok(Value::BulkString(number.to_string().into())));
                let asked = Redis::new(&url).unwrap().prefix(prefix).unwrap();
                assert!(asked.call(&get, LONG).await.is_ok(), "a command is sent on, too");
                assert_eq!(number, if node.port() == nodes[0].port() { 1 } else { 2 });
            }
        }
    });
    let fleet_of = |node: &RedisServer| {
        super::Fleet::join(&Redis::new(&node.url()).unwrap().prefix("a").unwrap()).unwrap()
    };
    run(async {
        let fleets = nodes.each_ref().map(fleet_of);
        for fleet in &fleets {
            eventually_async("they meet, whichever node they name", || fleet.live() == 2).await;
        }
    });
}

//! Answers, which one process asks for all; and revocations: what one process revokes is revoked in all, also in those
//! that could not hear of it.

use super::*;
use crate::support::{get, through};
use bytes::Bytes;
use futures_util::future::{join, join_all};
use http::{HeaderValue, Request};
use http_body_util::Full;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::sync::Semaphore;
use tower_gateway::{
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    store::StoreOptions,
};

const SECRET: [u8; 16] = *b"sixteen bytes...";

/// An authorizer that counts its calls; a token is its principal.
pub(super) fn authorizer() -> (Authorizer, AuthorizerLayer, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let function = authorizer_fn(move |event: AuthorizerEvent| {
        counted.fetch_add(1, SeqCst);
        let token = event.identity().next().unwrap_or_default().to_owned();
        async move { Ok::<_, String>(AuthorizerAnswer::allow(token, ["*"])) }
    });
    // A deadline that a busy machine meets.
    let options = StoreOptions::new().deadline(5 * SECOND);
    let authorizer =
        Authorizer::token("pets", function).shared_secret(SECRET).store_options(options).build().unwrap();
    (authorizer.clone(), AuthorizerLayer::new(authorizer), calls)
}

fn by(token: &'static str) -> Request<Full<Bytes>> {
    let mut request = get("/");
    request.headers_mut().insert("authorization", HeaderValue::from_static(token));
    request
}

/// Two callers, each twice.
pub(super) async fn both(layer: &AuthorizerLayer) {
    for token in ["ada", "bob", "ada", "bob"] {
        assert_eq!(through(layer.clone(), by(token)).await.0.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_holds_everywhere_and_for_one_caller_only() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (member(&server.url()), member(&server.url()));
    let ((here, _, _), (there, layer, calls)) = (authorizer(), authorizer());
    one.share_authorizer(&here).await.unwrap();
    other.share_authorizer(&there).await.unwrap();
    assert!(other.share_authorizer(&there).await.is_err(), "twice");
    meet(&[&one, &other]).await;
    eventually_async("it is in step", || other.is_current()).await;
    let settled = async || assert!(one.settled(PATIENCE).await.unwrap().is_complete());
    both(&layer).await;
    assert_eq!((calls.load(SeqCst), there.cached()), (2, 2));
    here.revoke_principal("bob");
    settled().await;
    assert_eq!(there.cached(), 1);
    both(&layer).await;
    assert_eq!(calls.load(SeqCst), 3);
    here.revoke_identity(&["ada"]);
    settled().await;
    both(&layer).await;
    assert_eq!((calls.load(SeqCst), there.cached()), (4, 2));
    here.flush();
    settled().await;
    assert_eq!(there.cached(), 0);
    assert_nowhere(&server, &["sixteen bytes...", "ada"]);
    server.assert_all_expire();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_off_trusts_no_cached_answer() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = server.proxy();
    let (one, other) = (member(&server.url()), member(&proxy.url()));
    let ((here, _, _), (there, layer, calls)) = (authorizer(), authorizer());
    one.share_authorizer(&here).await.unwrap();
    other.share_authorizer(&there).await.unwrap();
    meet(&[&one, &other]).await;
    eventually_async("it is in step", || other.is_current()).await;
    both(&layer).await;
    assert_eq!(calls.load(SeqCst), 2);
    proxy.silence();
    here.revoke_principal("bob");
    // Once the one who revokes is told that nobody uses the old answer, nobody does.
    let told = one.settled(PATIENCE).await.unwrap();
    assert!(told.is_complete() && told.cut_off == [other.member_id()], "{told:?}");
    assert!(!other.is_current());
    both(&layer).await;
    assert_eq!(calls.load(SeqCst), 6, "each request is authorized anew");
    proxy.heal();
    eventually_async("it is back", || other.is_current()).await;
    let before = calls.load(SeqCst);
    both(&layer).await;
    assert!(calls.load(SeqCst) > before, "bob's answer was revoked while it was away");
    let before = calls.load(SeqCst);
    both(&layer).await;
    assert_eq!(calls.load(SeqCst), before);
}

/// Tokens, principals and keys are nowhere to be read, and two callers are two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_was_told_the_others_need_not_ask() {
    let Some(server) = RedisServer::start() else { return };
    let fleets = [0; 3].map(|_| member(&server.url()));
    let all = [0; 3].map(|_| authorizer());
    for (fleet, (authorizer, _, _)) in fleets.iter().zip(&all) {
        fleet.share_authorizer(authorizer).await.unwrap();
    }
    meet(&fleets.each_ref()).await;
    in_step(&fleets.each_ref()).await;
    let calls = || all.each_ref().map(|(_, _, calls)| calls.load(SeqCst));
    let stats = |at: usize| all[at].0.shared_answers().unwrap();
    both(&all[0].1).await;
    eventually_async("both are in Redis", || stats(0).stored == 2).await;
    in_step(&fleets.each_ref()).await;
    both(&all[1].1).await;
    assert_eq!((calls(), stats(1).found), ([2, 0, 0], 2));
    let values = || server.keys().into_iter().filter(|key| key.contains("authorizer:pets:v:")).count();
    assert_eq!(values(), 2, "{:?}", server.keys());
    all[1].0.revoke_principal("bob");
    assert!(fleets[1].settled(PATIENCE).await.unwrap().is_complete());
    in_step(&fleets.each_ref()).await;
    both(&all[2].1).await;
    assert_eq!(calls(), [2, 0, 1], "ada's is still good, and bob is asked about anew");
    eventually_async("the new one is in Redis", || stats(2).stored == 1).await;
    in_step(&fleets.each_ref()).await;
    both(&all[0].1).await;
    both(&all[1].1).await;
    assert_eq!((calls(), values()), ([2, 0, 1], 2));
    all[2].0.flush();
    assert!(fleets[2].settled(PATIENCE).await.unwrap().is_complete());
    both(&all[0].1).await;
    assert_eq!(calls(), [4, 0, 1]);
    assert_nowhere(&server, &["ada", "bob", "execute-api", "sixteen bytes..."]);
    server.assert_all_expire();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_requests_in_three_processes_are_one_call_a_caller() {
    const REQUESTS: usize = 102;
    let Some(server) = RedisServer::start() else { return };
    let fleets = [0; 3].map(|_| member(&server.url()));
    let (calls, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let layers = [0; 3].map(|_| {
        let (calls, gate) = (Arc::clone(&calls), Arc::clone(&gate));
        let function = authorizer_fn(move |event: AuthorizerEvent| {
            calls.fetch_add(1, SeqCst);
            let gate = Arc::clone(&gate);
            async move {
                drop(gate.acquire().await);
                Ok::<_, String>(AuthorizerAnswer::allow(event.authorization_token(), ["*"]))
            }
        });
        let options = StoreOptions::new().deadline(5 * SECOND);
        Authorizer::token("pets", function).shared_secret(SECRET).store_options(options).build().unwrap()
    });
    for (fleet, authorizer) in fleets.iter().zip(&layers) {
        fleet.share_authorizer(authorizer).await.unwrap();
    }
    meet(&fleets.each_ref()).await;
    in_step(&fleets.each_ref()).await;
    let layers = layers.map(AuthorizerLayer::new);
    let asked = AtomicUsize::new(0);
    // Nobody is answered before all have asked.
    let opened = async || {
        if asked.fetch_add(1, SeqCst) + 1 == REQUESTS {
            gate.add_permits(1);
        }
    };
    let ask = |at: usize| join(through(layers[at % 3].clone(), by(["ada", "bob"][at / 3 % 2])), opened());
    let answers = join_all((0..REQUESTS).map(ask)).await;
    assert!(answers.iter().all(|((answer, _), ())| answer.status() == 200));
    assert_eq!(calls.load(SeqCst), 2);
    server.assert_all_expire();
}

/// Frozen and cut off: the function is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_redis_costs_the_deadline_a_few_times_and_then_nothing() {
    let Some(server) = RedisServer::start() else { return };
    let fleet = member(&server.url());
    let options = StoreOptions::new().failures(3).pause(60 * SECOND, 60 * SECOND);
    let function = authorizer_fn(|event: AuthorizerEvent| async move {
        Ok::<_, String>(AuthorizerAnswer::allow(event.authorization_token(), ["*"]))
    });
    let own =
        Authorizer::token("pets", function).shared_secret(SECRET).store_options(options).build().unwrap();
    fleet.share_authorizer(&own).await.unwrap();
    eventually_async("it is in step", || fleet.is_current()).await;
    server.freeze();
    let layer = AuthorizerLayer::new(own.clone());
    for number in 0..20 {
        let mut request = get("/");
        request.headers_mut().insert("authorization", number.into());
        assert_eq!(through(layer.clone(), request).await.0.status(), 200);
    }
    let counts = own.store_counts().unwrap();
    assert!(counts.timeouts + counts.errors <= 3 && counts.opened == 1, "{counts:?}");
    assert_eq!((own.calls(), own.shared_answers().unwrap().led), (20, 0));
    eventually_async("it knows that it is cut off", || !fleet.is_current()).await;
    assert_eq!(through(layer.clone(), by("ada")).await.0.status(), 200);
    assert_eq!(own.store_counts().unwrap().calls, counts.calls, "it is not even asked");
    server.thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_stay_at_home_where_only_revocations_are_shared() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (member(&server.url()), member(&server.url()));
    let function = || authorizer_fn(|_| async { Ok::<_, String>(AuthorizerAnswer::allow("ada", ["*"])) });
    let alone =
        || Authorizer::token("pets", function()).shared_secret(SECRET).share_answers(false).build().unwrap();
    let (here, there) = (alone(), alone());
    one.share_authorizer(&here).await.unwrap();
    other.share_authorizer(&there).await.unwrap();
    meet(&[&one, &other]).await;
    for authorizer in [&here, &there] {
        both(&AuthorizerLayer::new(authorizer.clone())).await;
    }
    assert!(here.calls() >= 2 && there.calls() >= 2 && here.shared_answers().is_none());
    assert!(!server.keys().iter().any(|key| key.contains("authorizer")), "{:?}", server.keys());
    here.revoke_principal("ada");
    assert!(one.settled(PATIENCE).await.unwrap().is_complete());
    assert_eq!(there.cached(), 0);
}

#[tokio::test]
async fn identities_of_processes_that_share_no_secret_are_not_shared() {
    let Some(server) = RedisServer::start() else { return };
    let function = authorizer_fn(|_| async { Ok::<_, String>(AuthorizerAnswer::allow("ada", ["*"])) });
    let authorizer = Authorizer::token("pets", function).build().unwrap();
    assert!(member(&server.url()).share_authorizer(&authorizer).await.is_err());
}

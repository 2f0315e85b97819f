//! Revocations: what one process revokes is revoked in all, also in those that could not hear of it.

use super::*;
use crate::support::{get, through};
use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tower_gateway::authorizer::{
    Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn,
};

const SECRET: [u8; 16] = *b"sixteen bytes...";

/// An authorizer that counts its calls; a token is its principal.
fn authorizer() -> (Authorizer, AuthorizerLayer, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let function = authorizer_fn(move |event: AuthorizerEvent| {
        counted.fetch_add(1, SeqCst);
        let token = event.identity().next().unwrap_or_default().to_owned();
        async move { Ok::<_, String>(AuthorizerAnswer::allow(token, ["*"])) }
    });
    let authorizer = Authorizer::token("pets", function).shared_secret(SECRET).build().unwrap();
    (authorizer.clone(), AuthorizerLayer::new(authorizer), calls)
}

fn by(token: &'static str) -> Request<Full<Bytes>> {
    let mut request = get("/");
    request.headers_mut().insert("authorization", HeaderValue::from_static(token));
    request
}

/// Two callers, each twice.
async fn both(layer: &AuthorizerLayer) {
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

#[tokio::test]
async fn identities_of_processes_that_share_no_secret_are_not_shared() {
    let Some(server) = RedisServer::start() else { return };
    let function = authorizer_fn(|_| async { Ok::<_, String>(AuthorizerAnswer::allow("ada", ["*"])) });
    let authorizer = Authorizer::token("pets", function).build().unwrap();
    assert!(member(&server.url()).share_authorizer(&authorizer).await.is_err());
}

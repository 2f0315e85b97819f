//! Keys that come and go: first fetch, rotation, outage, stampede, hang-ups. All in virtual time.

use super::{ISSUER, NOW, Signer, authorizer, claims, clock, key_set, signers, token, with_token};
use crate::support::{Strict, get};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use serde_json::json;
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Waker},
    time::Duration,
};
use tokio::sync::Notify;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_gateway::{
    clock::{Clock, ManualClock},
    jwt::{
        JwkSet, JwkSource, JwksClient, JwtAuthorizer, JwtAuthorizerLayer, JwtError, RemoteJwks, TokenRefusal,
    },
};

const KEYS: &str = "https://issuer.example/keys";
const DISCOVERY: &str = "https://issuer.example/.well-known/openid-configuration";

/// An identity provider: its documents by address, whether it answers, and how often it was asked.
#[derive(Clone, Default)]
struct Provider {
    documents: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<AtomicUsize>,
    /// While set, answers wait for it.
    gate: Arc<Mutex<Option<Arc<Notify>>>>,
}

impl Provider {
    fn with_keys(signers: &[&Signer]) -> Self {
        let provider = Self::default();
        provider.publish(KEYS, key_set(signers));
        provider.publish(DISCOVERY, json!({"issuer": ISSUER, "jwks_uri": KEYS}).to_string());
        provider
    }

    fn publish(&self, address: &str, document: String) {
        self.documents.lock().unwrap().insert(address.to_owned(), document);
    }

    fn go_away(&self) {
        self.documents.lock().unwrap().clear();
    }

    fn hold(&self) -> Arc<Notify> {
        let gate = Arc::new(Notify::new());
        *self.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    fn client(&self) -> JwksClient {
        let provider = self.clone();
        JwksClient::new(service_fn(move |request: Request<Empty<Bytes>>| {
            let provider = provider.clone();
            async move {
                provider.asked.fetch_add(1, SeqCst);
                let gate = provider.gate.lock().unwrap().clone();
                if let Some(gate) = gate {
                    gate.notified().await;
                }
                let document = provider.documents.lock().unwrap().get(&request.uri().to_string()).cloned();
                let status = if document.is_some() { 200 } else { 503 };
                let body = Full::<Bytes>::from(document.unwrap_or_default());
                Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
            }
        }))
    }

    fn remote(&self, clock: &Clock) -> RemoteJwks {
        RemoteJwks::url(KEYS, self.client()).unwrap().clock(clock.clone())
    }

    fn layer(&self, clock: &Clock) -> JwtAuthorizerLayer {
        layer(self.remote(clock), clock)
    }
}

fn layer(remote: RemoteJwks, clock: &Clock) -> JwtAuthorizerLayer {
    JwtAuthorizerLayer::new("a", handle(remote, clock))
}

fn handle(remote: RemoteJwks, clock: &Clock) -> JwtAuthorizer {
    authorizer(JwkSource::remote(remote), clock.clone()).build().unwrap()
}

async fn ask(layer: &JwtAuthorizerLayer, token: &str) -> Result<(), Option<JwtError>> {
    let answer = layer.layer(Strict::default()).oneshot(with_token("/", token)).await.unwrap();
    match answer.status().as_u16() {
        200 => Ok(()),
        _ => Err(answer.extensions().get::<TokenRefusal>().and_then(TokenRefusal::error)),
    }
}

/// J8, literally.
#[tokio::test]
async fn keys_that_cannot_be_had_are_the_tokens_fault() {
    let provider = Provider::with_keys(&[&signers()[0]]);
    provider.go_away();
    let service = provider.layer(&clock().1).layer(Strict::default());
    let answer = service.oneshot(with_token("/", &token(&json!({})))).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    assert_eq!((head.status.as_u16(), &body[..]), (401, br#"{"message":"Unauthorized"}"#.as_slice()));
    let text = r#"Bearer scope="" error="invalid_token" error_description="JWKS communication error""#;
    assert_eq!(head.headers["www-authenticate"], text);
}

/// Polls once.
fn is_pending<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> bool {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Lets the tasks that were spawned run until they wait.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn by(signer: usize) -> String {
    signers()[signer].sign(&claims(&json!({"exp": NOW + 100_000})))
}

#[tokio::test]
async fn the_first_token_has_the_keys_fetched_and_the_next_ones_do_not() {
    let (_, clock) = clock();
    let provider = Provider::with_keys(&[&signers()[0]]);
    let layer = provider.layer(&clock);
    for _ in 0..3 {
        assert_eq!(ask(&layer, &by(0)).await, Ok(()));
    }
    assert_eq!(provider.asked(), 1);
    let direct = JwkSource::remote(provider.remote(&clock));
    assert!(direct.current_set().is_none(), "nothing is fetched before somebody needs it");
}

#[tokio::test]
async fn discovery_leads_to_the_keys_of_this_issuer_alone() {
    let (_, clock) = clock();
    let provider = Provider::with_keys(&[&signers()[0]]);
    let fresh = || layer(RemoteJwks::issuer(ISSUER, provider.client()).unwrap().clock(clock.clone()), &clock);
    assert_eq!(ask(&fresh(), &by(0)).await, Ok(()));
    assert_eq!(provider.asked(), 2);
    for document in [
        json!({"issuer": "https://other.example", "jwks_uri": KEYS}).to_string(),
        json!({"issuer": ISSUER, "jwks_uri": "http://issuer.example/keys"}).to_string(),
        json!({"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"}).to_string(),
        json!({"issuer": ISSUER}).to_string(),
        "not json".to_owned(),
    ] {
        provider.publish(DISCOVERY, document.clone());
        let before = provider.asked();
        assert_eq!(ask(&fresh(), &by(0)).await, Err(Some(JwtError::Discovery)), "{document}");
        assert_eq!(provider.asked(), before + 1, "the keys are not asked for");
    }
    for address in ["", "issuer", "/path", "ftp://issuer.example"] {
        assert!(RemoteJwks::issuer(address, provider.client()).is_err(), "{address}");
    }
}

/// J8 of the conformance list.
#[tokio::test]
async fn a_provider_that_is_away_from_the_start_is_asked_once_per_interval() {
    let (manual, clock) = clock();
    let provider = Provider::default();
    let layer = provider.layer(&clock);
    for second in 0..300 {
        assert_eq!(ask(&layer, &by(0)).await, Err(Some(JwtError::Keys)));
        assert_eq!(provider.asked(), second / 30 + 1, "second {second}");
        manual.advance(Duration::from_secs(1));
    }
    provider.publish(KEYS, key_set(&[&signers()[0]]));
    assert_eq!(ask(&layer, &by(0)).await, Ok(()));
    let unreadable = Provider::default();
    unreadable.publish(KEYS, "[]".to_owned());
    assert_eq!(ask(&unreadable.layer(&clock), &by(0)).await, Err(Some(JwtError::Keys)));
    let huge = Provider::default();
    huge.publish(KEYS, format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(150_000)));
    assert_eq!(ask(&huge.layer(&clock), &by(0)).await, Err(Some(JwtError::Keys)));
}

#[tokio::test]
async fn an_hour_without_the_provider_keeps_known_keys_working() {
    let (manual, clock) = clock();
    let provider = Provider::with_keys(&[&signers()[0]]);
    // Nothing is remembered here: every request needs the key.
    let authorizer =
        authorizer(JwkSource::remote(provider.remote(&clock)), clock.clone()).remember_at_most(0);
    let layer = JwtAuthorizerLayer::new("a", authorizer.build().unwrap());
    assert_eq!(ask(&layer, &by(0)).await, Ok(()));
    provider.go_away();
    let (good, unknown) = (by(0), by(1));
    for second in 0..3600_usize {
        manual.advance(Duration::from_secs(1));
        if second % 5 == 0 {
            assert_eq!(ask(&layer, &good).await, Ok(()), "second {second}");
        }
        if second % 7 == 0 {
            assert!(ask(&layer, &unknown).await.is_err());
        }
        settle().await;
        assert!(provider.asked() <= 2 + second / 30, "second {second}: asked {}", provider.asked());
    }
    assert!(provider.asked() > 50, "but it was asked: {}", provider.asked());
    manual.advance(Duration::from_secs(3600));
    assert_eq!(ask(&layer, &good).await, Err(Some(JwtError::Keys)), "two hours are the end");
    manual.advance(Duration::from_secs(30));
    provider.publish(KEYS, key_set(&[&signers()[0]]));
    assert_eq!(ask(&layer, &good).await, Ok(()));
}

#[tokio::test]
async fn rotation_is_met_by_an_unknown_name_and_ends_what_was_remembered() {
    let (manual, clock) = clock();
    let provider = Provider::with_keys(&[&signers()[0]]);
    let layer = provider.layer(&clock);
    assert_eq!(ask(&layer, &by(0)).await, Ok(()));
    provider.publish(KEYS, key_set(&[&signers()[0], &signers()[1]]));
    assert_eq!(ask(&layer, &by(1)).await, Err(Some(JwtError::UnknownKey)), "the interval has not passed");
    manual.advance(Duration::from_secs(30));
    assert_eq!(ask(&layer, &by(1)).await, Ok(()));
    provider.publish(KEYS, key_set(&[&signers()[1]]));
    manual.advance(Duration::from_secs(599));
    assert_eq!(ask(&layer, &by(0)).await, Ok(()), "not yet old enough");
    manual.advance(Duration::from_secs(1));
    assert_eq!(ask(&layer, &by(0)).await, Ok(()), "fetched in the background");
    settle().await;
    assert_eq!(provider.asked(), 3);
    // It was remembered a moment ago, and its key is gone.
    assert_eq!(ask(&layer, &by(0)).await, Err(Some(JwtError::UnknownKey)));
    assert_eq!(ask(&layer, &by(1)).await, Ok(()));
}

#[tokio::test]
async fn names_that_were_not_there_are_refused_without_asking() {
    let (manual, clock) = clock();
    let provider = Provider::with_keys(&[&signers()[0]]);
    let layer = layer(provider.remote(&clock).refresh_after(Duration::from_secs(7000)), &clock);
    assert_eq!(ask(&layer, &by(0)).await, Ok(()));
    manual.advance(Duration::from_secs(30));
    assert_eq!(ask(&layer, &by(1)).await, Err(Some(JwtError::UnknownKey)));
    assert_eq!(provider.asked(), 2);
    manual.advance(Duration::from_secs(59));
    assert_eq!(ask(&layer, &by(1)).await, Err(Some(JwtError::UnknownKey)));
    assert_eq!(provider.asked(), 2, "remembered, although the interval has passed");
    manual.advance(Duration::from_secs(1));
    assert_eq!(ask(&layer, &by(1)).await, Err(Some(JwtError::UnknownKey)));
    assert_eq!(provider.asked(), 3);
    // A flood of names of its own making gains a client nothing.
    manual.advance(Duration::from_secs(30));
    for name in 0..500 {
        let header = base64::Engine::encode(
            &base64::engine::general_purpose::URL_SAFE_NO_PAD,
            json!({"alg": "RS256", "kid": format!("k{name}")}).to_string(),
        );
        assert_eq!(ask(&layer, &format!("{header}.e30.AA")).await, Err(Some(JwtError::UnknownKey)));
    }
    assert_eq!(provider.asked(), 4);
}

#[tokio::test]
async fn tokens_that_cannot_be_good_never_make_the_gateway_ask() {
    let (_, clock) = clock();
    let provider = Provider::with_keys(&[&signers()[0]]);
    let layer = provider.layer(&clock);
    for token in
        ["", "abc", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiIsImtpZCI6Im9uZSJ9.e30.AA"]
    {
        assert!(ask(&layer, token).await.is_err());
    }
    assert_eq!(provider.asked(), 0);
}

#[tokio::test]
async fn a_thousand_at_once_ask_once_even_when_the_first_hangs_up() {
    let (_, clock) = clock();
    let provider = Provider::with_keys(&[&signers()[0]]);
    let gate = provider.hold();
    let layer = provider.layer(&clock);
    let token = by(0);
    let first = tokio::spawn({
        let (layer, token) = (layer.clone(), token.clone());
        async move { ask(&layer, &token).await }
    });
    settle().await;
    assert_eq!(provider.asked(), 1);
    let rest = tokio::spawn({
        let (layer, token) = (layer.clone(), token.clone());
        async move { join_all((0..1000).map(|_| ask(&layer, &token))).await }
    });
    settle().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    settle().await;
    gate.notify_one();
    assert!(rest.await.unwrap().into_iter().all(|answer| answer == Ok(())));
    assert_eq!(provider.asked(), 1);
}

/// Drops a request after each number of polls, with nobody left to wait: the fetch goes on all the same, and the next
/// request finds the keys.
#[tokio::test]
async fn a_request_may_be_dropped_at_any_point() {
    for polls in 0..4 {
        let (_, clock) = clock();
        let provider = Provider::with_keys(&[&signers()[0]]);
        let gate = provider.hold();
        let layer = provider.layer(&clock);
        let token = by(0);
        let mut request = Box::pin(ask(&layer, &token));
        for _ in 0..polls {
            assert!(is_pending(&mut request));
            settle().await;
        }
        drop(request);
        gate.notify_one();
        settle().await;
        gate.notify_one();
        let before = provider.asked();
        assert_eq!(ask(&layer, &token).await, Ok(()), "after {polls} polls");
        assert_eq!(provider.asked(), before.max(1), "after {polls} polls");
    }
}

#[tokio::test]
async fn a_provider_that_hangs_is_given_up_after_the_timeout() {
    let (manual, clock) = clock();
    let provider = Provider::with_keys(&[&signers()[0]]);
    let _never_opened = provider.hold();
    let layer = provider.layer(&clock);
    let token = by(0);
    let mut request = Box::pin(ask(&layer, &token));
    while provider.asked() == 0 {
        assert!(is_pending(&mut request));
        settle().await;
    }
    manual.advance(Duration::from_millis(1499));
    settle().await;
    assert!(is_pending(&mut request));
    manual.advance(Duration::from_millis(1));
    assert_eq!(request.await, Err(Some(JwtError::Keys)));
}

/// The request waits with the instance that was ready; its clone is not.
#[tokio::test]
async fn the_service_that_was_ready_is_called_after_the_wait() {
    let (_, clock) = clock();
    let provider = Provider::with_keys(&[&signers()[0]]);
    let strict = Strict::default();
    let mut service = provider.layer(&clock).layer(strict.clone());
    for _ in 0..2 {
        let ready = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service).await.unwrap();
        let answer = ready.call(with_token("/", &by(0))).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(strict.called(), 2);
    let ready = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service).await.unwrap();
    assert_eq!(ready.call(get("/")).await.unwrap().status(), 401);
    assert_eq!(strict.called(), 2);
}

#[test]
fn without_a_runtime_the_token_is_refused() {
    let (_, clock) = clock();
    let layer = Provider::with_keys(&[&signers()[0]]).layer(&clock);
    let refused = futures_util::FutureExt::now_or_never(async {
        let mut service = layer.layer(tower::service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }));
        service.call(with_token("/", &by(0))).await.unwrap()
    });
    assert_eq!(refused.unwrap().status(), 401);
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes() {
    let (manual, clock) = clock();
    let path = std::env::temp_dir().join(format!("tower-gateway-jwks-{}.json", std::process::id()));
    assert!(JwkSource::file(&path).is_err(), "not there yet");
    std::fs::write(&path, key_set(&[&signers()[0]])).unwrap();
    let source = JwkSource::file(&path).unwrap();
    let layer = JwtAuthorizerLayer::new("a", authorizer(source.clone(), clock).build().unwrap());
    assert_eq!(
        (ask(&layer, &by(0)).await, ask(&layer, &by(1)).await),
        (Ok(()), Err(Some(JwtError::UnknownKey)))
    );
    std::fs::write(&path, key_set(&[&signers()[1], &signers()[0]])).unwrap();
    assert_eq!(ask(&layer, &by(1)).await, Err(Some(JwtError::UnknownKey)), "not looked at within the second");
    manual.advance(Duration::from_secs(1));
    assert_eq!((ask(&layer, &by(0)).await, ask(&layer, &by(1)).await), (Ok(()), Ok(())));
    std::fs::write(&path, "half a docu").unwrap();
    manual.advance(Duration::from_secs(1));
    assert_eq!(ask(&layer, &by(1)).await, Ok(()), "the keys in force stay");
    assert!(source.reload().is_err());
    std::fs::write(&path, key_set(&[&signers()[0]])).unwrap();
    source.reload().unwrap();
    assert_eq!(ask(&layer, &by(1)).await, Err(Some(JwtError::UnknownKey)), "at once, remembered or not");
    std::fs::remove_file(&path).unwrap();
    manual.advance(Duration::from_secs(1));
    assert_eq!(ask(&layer, &by(0)).await, Ok(()));
}

#[tokio::test]
async fn a_fixed_set_can_be_replaced_while_requests_flow() {
    let (_, clock) = clock();
    let set = |signer: &Signer| JwkSet::from_json(&key_set(&[signer])).unwrap();
    let source = JwkSource::fixed(set(&signers()[0]));
    let layer = JwtAuthorizerLayer::new("a", authorizer(source.clone(), clock).build().unwrap());
    assert_eq!(ask(&layer, &token(&json!({}))).await, Ok(()));
    source.replace(set(&signers()[1]));
    assert_eq!(ask(&layer, &token(&json!({}))).await, Err(Some(JwtError::UnknownKey)));
    assert!(source.reload().is_err(), "only a file is read again");
    let _moved_by_hand: ManualClock = ManualClock::at_unix_seconds(0);
}

#[tokio::test]
async fn keys_put_in_force_by_hand_hold_for_an_issuer_that_has_long_been_away() {
    let (manual, clock) = clock();
    let provider = Provider::with_keys(&[&signers()[0]]);
    let source = JwkSource::remote(provider.remote(&clock));
    let layer = JwtAuthorizerLayer::new("a", authorizer(source.clone(), clock).build().unwrap());
    assert_eq!(ask(&layer, &by(0)).await, Ok(()));
    provider.go_away();
    manual.advance(Duration::from_secs(7300));
    assert_eq!(ask(&layer, &by(0)).await, Err(Some(JwtError::Keys)), "given up");
    settle().await;
    source.replace(JwkSet::from_json(&key_set(&[&signers()[1]])).unwrap());
    let lasting = by(1);
    assert_eq!(ask(&layer, &lasting).await, Ok(()));
    manual.advance(Duration::from_secs(7199));
    assert_eq!(ask(&layer, &lasting).await, Ok(()));
    manual.advance(Duration::from_secs(1));
    assert_eq!(ask(&layer, &lasting).await, Err(Some(JwtError::Keys)), "they grow old like others");
}

#[tokio::test]
async fn a_fetch_that_had_begun_before_brings_no_withdrawn_key_back() {
    let (manual, clock) = clock();
    let provider = Provider::with_keys(&[&signers()[0]]);
    let source = JwkSource::remote(provider.remote(&clock));
    let layer = JwtAuthorizerLayer::new("a", authorizer(source.clone(), clock).build().unwrap());
    assert_eq!(ask(&layer, &by(0)).await, Ok(()));
    let gate = provider.hold();
    manual.advance(Duration::from_secs(600));
    assert_eq!(ask(&layer, &by(0)).await, Ok(()), "renewed in the background");
    settle().await;
    source.replace(JwkSet::from_json(&key_set(&[&signers()[1]])).unwrap());
    gate.notify_one();
    settle().await;
    assert_eq!(provider.asked(), 2);
    assert_eq!(
        (ask(&layer, &by(1)).await, ask(&layer, &by(0)).await),
        (Ok(()), Err(Some(JwtError::UnknownKey)))
    );
}

/// The ready client against a server on this machine.
#[cfg(feature = "jwks-http")]
#[tokio::test]
async fn the_ready_client_fetches_keys_over_a_socket() {
    let (_, clock) = clock();
    let keys = key_set(&[&signers()[0]]);
    let app = axum::Router::new()
        .route("/keys", axum::routing::get(move || async move { keys }))
        .route("/moved", axum::routing::get(|| async { axum::response::Redirect::temporary("/keys") }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    for (path, expected) in
        [("keys", Ok(())), ("moved", Err(Some(JwtError::Keys))), ("none", Err(Some(JwtError::Keys)))]
    {
        let remote = RemoteJwks::url(&format!("{base}/{path}"), JwksClient::https().unwrap()).unwrap();
        assert_eq!(ask(&layer(remote, &clock), &by(0)).await, expected, "{path}");
    }
}

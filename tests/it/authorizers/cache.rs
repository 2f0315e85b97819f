//! What is remembered, for how long, and how it is forgotten; all in virtual time.

use super::{Calls, ask, cause, settle, token_authorizer, with_token};
use crate::support::{get, run, through};
use http::Method;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tower_gateway::{
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    clock::ManualClock,
    response::Cause,
    route::{ApiMethod, Authorization, Routes},
    stage::{Deployment, Stage, StageRouter, Stages},
};

const SECOND: Duration = Duration::from_secs(1);

fn clock() -> ManualClock {
    ManualClock::at_unix_seconds(1_700_000_000)
}

#[test]
fn an_answer_is_used_until_its_ttl_ends_counted_from_its_call() {
    let (calls, clock) = (Calls::default(), clock());
    let authorizer = token_authorizer(&calls).ttl(SECOND * 60).clock(clock.clock()).build().unwrap();
    let layer = AuthorizerLayer::new(authorizer);
    run(async {
        assert_eq!(ask(&layer, with_token("/", "ada")).await.1, "ada gold");
        clock.advance(SECOND * 30);
        assert_eq!(ask(&layer, with_token("/", "bob")).await.1, "bob basic");
        clock.advance(SECOND * 30 - Duration::from_nanos(1));
        assert_eq!(ask(&layer, with_token("/", "ada")).await.1, "ada gold");
        assert_eq!(calls.count(), 2, "and a hit does not prolong it");
        clock.advance(Duration::from_nanos(1));
        assert_eq!(ask(&layer, with_token("/", "ada")).await.1, "ada gold");
        assert_eq!(ask(&layer, with_token("/", "bob")).await.1, "bob basic");
        assert_eq!(calls.count(), 3, "ada's is over, bob's is not");
    });
}

#[test]
fn the_wall_clock_may_jump() {
    let (calls, clock) = (Calls::default(), clock());
    let layer = AuthorizerLayer::new(token_authorizer(&calls).clock(clock.clock()).build().unwrap());
    run(async {
        ask(&layer, with_token("/", "ada")).await;
        clock.set_unix_seconds(0);
        ask(&layer, with_token("/", "ada")).await;
        assert_eq!(calls.count(), 1);
        clock.advance(SECOND * 300);
        ask(&layer, with_token("/", "ada")).await;
        assert_eq!(calls.count(), 2);
    });
}

#[test]
fn answers_that_allow_nothing_have_a_ttl_of_their_own_by_setting() {
    for (negative, unauthorized, denied) in [(None, 4, 2), (Some(0), 4, 4), (Some(10), 2, 2)] {
        for (token, expected) in [("unauthorized", unauthorized), ("deny", denied)] {
            let (calls, clock) = (Calls::default(), clock());
            let builder = token_authorizer(&calls).ttl(SECOND * 15).clock(clock.clock());
            let builder = match negative {
                Some(seconds) => builder.negative_ttl(SECOND * seconds),
                None => builder,
            };
            let layer = AuthorizerLayer::new(builder.build().unwrap());
            for wait in [0, 5, 15, 0] {
                clock.advance(SECOND * wait);
                let (response, _) = run(through(layer.clone(), with_token("/", token)));
                assert_eq!(response.status(), if token == "deny" { 403 } else { 401 });
            }
            assert_eq!(calls.count(), expected, "{token} {negative:?}");
            let (response, _) = run(through(layer, with_token("/", "ada")));
            assert_eq!(response.status(), 200);
        }
    }
}

#[test]
fn each_stage_and_each_authorizer_asks_for_itself() {
    let (calls, others) = (Calls::default(), Calls::default());
    let other = others.clone();
    let toys = authorizer_fn(move |event: AuthorizerEvent| {
        other.0.fetch_add(1, SeqCst);
        async move { Ok::<_, String>(AuthorizerAnswer::deny(event.authorization_token(), ["*"])) }
    });
    let layer = AuthorizerLayer::of([
        token_authorizer(&calls).build().unwrap(),
        Authorizer::token("toys", toys).build().unwrap(),
    ])
    .unwrap();
    let method = |name: &str| ApiMethod::new().authorization(Authorization::custom(name));
    let routes = Routes::builder()
        .method("/pets", Method::GET, method("pets"))
        .method("/toys", Method::GET, method("toys"))
        .build()
        .unwrap();
    let stages = Stages::builder()
        .deployment(Deployment::new("v1", routes))
        .stage(Stage::new("prod", "v1"))
        .stage(Stage::new("test", "v1"))
        .build()
        .unwrap();
    let stack = tower::layer::util::Stack::new(layer, StageRouter::new(stages));
    for _ in 0..2 {
        for (path, token, status) in [
            ("/prod/pets", "ada", 200),
            ("/test/pets", "ada", 200),
            ("/prod/toys", "ada", 403),
            ("/prod/pets", "bob", 200),
            ("/test/toys", "bob", 403),
        ] {
            let (response, _) = run(through(stack.clone(), with_token(path, token)));
            assert_eq!(response.status(), status, "{path} {token}");
        }
    }
    assert_eq!((calls.count(), others.count()), (3, 2));
}

#[test]
fn revocations_count_at_once_and_for_one_caller_only() {
    let calls = Calls::default();
    let authorizer = token_authorizer(&calls).build().unwrap();
    let layer = AuthorizerLayer::new(authorizer.clone());
    run(async {
        let both = async || {
            assert_eq!(ask(&layer, with_token("/", "ada")).await.1, "ada gold");
            assert_eq!(ask(&layer, with_token("/", "bob")).await.1, "bob basic");
            calls.count()
        };
        assert_eq!(both().await, 2);
        assert_eq!((authorizer.revoke_principal("bob"), authorizer.revoke_principal("eve")), (1, 0));
        assert_eq!((authorizer.cached(), both().await), (1, 3));
        assert_eq!((authorizer.revoke_identity(&["ada"]), authorizer.revoke_identity(&["a"])), (1, 0));
        assert_eq!(authorizer.revoke_identity(&["ada", ""]), 0);
        assert_eq!((authorizer.cached(), both().await), (1, 4));
        authorizer.flush();
        assert_eq!((authorizer.cached(), both().await, both().await), (0, 6, 6));
    });
}

/// The function is told the last of repeated parameters, and so are revocations: whoever puts another value before a
/// token has an entry of their own, which must go with the token.
#[test]
fn a_revoked_token_is_revoked_beside_other_values_too() {
    let calls = Calls::default();
    let counted = calls.clone();
    let function = authorizer_fn(move |event: AuthorizerEvent| {
        counted.0.fetch_add(1, SeqCst);
        let token = event.identity().next().unwrap_or_default().to_owned();
        async move { Ok::<_, String>(AuthorizerAnswer::allow(token, ["*"])) }
    });
    let source = "method.request.querystring.token";
    let authorizer = Authorizer::request("pets", function).identity_sources([source]).build().unwrap();
    let layer = AuthorizerLayer::new(authorizer.clone());
    let targets = ["/?token=ada", "/?token=x&token=ada", "/?token=bob", "/?token=ada&token=bob"];
    for target in targets {
        assert_eq!(run(through(layer.clone(), get(target))).0.status(), 200, "{target}");
    }
    assert_eq!((calls.count(), authorizer.revoke_identity(&["ada"])), (4, 2));
    for target in targets {
        run(through(layer.clone(), get(target)));
    }
    assert_eq!(calls.count(), 6, "ada is asked about again in both spellings, bob in none");
}

/// An authorizer whose answers change under it: it knows callers, or is broken, or rejects everybody.
#[derive(Clone, Default)]
struct Moody {
    calls: Calls,
    broken: Arc<AtomicBool>,
    rejects: Arc<AtomicBool>,
    version: Arc<AtomicUsize>,
}

impl Moody {
    fn authorizer(&self, clock: &ManualClock) -> Authorizer {
        let state = self.clone();
        let function = authorizer_fn(move |event: AuthorizerEvent| {
            let state = state.clone();
            async move {
                state.calls.0.fetch_add(1, SeqCst);
                if state.broken.load(SeqCst) {
                    return Err("boom");
                }
                if state.rejects.load(SeqCst) {
                    return Err("Unauthorized");
                }
                let version = state.version.load(SeqCst).to_string();
                Ok(AuthorizerAnswer::allow(event.authorization_token(), ["*"]).context("plan", version))
            }
        });
        let builder = Authorizer::token("pets", function).clock(clock.clock());
        builder.ttl(SECOND * 60).stale_while_revalidate(SECOND * 30).build().unwrap()
    }
}

#[test]
fn what_is_stale_is_served_while_a_new_answer_is_fetched_once() {
    let (moody, clock) = (Moody::default(), clock());
    let layer = AuthorizerLayer::new(moody.authorizer(&clock));
    run(async {
        assert_eq!(ask(&layer, with_token("/", "ada")).await.1, "ada 0");
        assert_eq!(ask(&layer, with_token("/", "bob")).await.1, "bob 0");
        moody.version.store(1, SeqCst);
        clock.advance(SECOND * 60);
        for _ in 0..3 {
            assert_eq!(ask(&layer, with_token("/", "ada")).await.1, "ada 0", "stale, and nobody waits");
        }
        settle().await;
        assert_eq!(
            (moody.calls.count(), ask(&layer, with_token("/", "ada")).await.1),
            (3, "ada 1".to_owned())
        );
        clock.advance(SECOND * 30);
        assert_eq!(
            ask(&layer, with_token("/", "bob")).await.1,
            "bob 1",
            "too old: bob waits for the new one"
        );
        assert_eq!(moody.calls.count(), 4);
    });
}

#[test]
fn a_failing_refresh_keeps_the_old_answer_and_a_rejection_ends_it() {
    let (moody, clock) = (Moody::default(), clock());
    let layer = AuthorizerLayer::new(moody.authorizer(&clock));
    run(async {
        let status =
            async |token: &str| through(layer.clone(), with_token("/", token)).await.0.status().as_u16();
        assert_eq!((status("ada").await, status("bob").await), (200, 200));
        clock.advance(SECOND * 60);
        moody.broken.store(true, SeqCst);
        assert_eq!(status("ada").await, 200);
        settle().await;
        assert_eq!((status("ada").await, moody.calls.count()), (200, 3));
        settle().await;
        moody.broken.store(false, SeqCst);
        moody.rejects.store(true, SeqCst);
        assert_eq!(status("ada").await, 200, "asks once more");
        settle().await;
        assert_eq!(status("ada").await, 401, "and nothing is served after the rejection");
        clock.advance(SECOND * 30);
        moody.rejects.store(false, SeqCst);
        moody.broken.store(true, SeqCst);
        assert_eq!(status("bob").await, 500, "the stale period is over");
    });
}

/// Without a runtime there is no task to refresh in: the request waits for the new answer.
#[test]
fn without_a_runtime_the_request_fetches_the_new_answer_itself() {
    let (moody, clock) = (Moody::default(), clock());
    let layer = AuthorizerLayer::new(moody.authorizer(&clock));
    let ask = |token: &str| {
        let asked = ask(&layer, with_token("/", token));
        futures_util::FutureExt::now_or_never(asked).unwrap().1
    };
    assert_eq!((ask("ada"), ask("bob")), ("ada 0".to_owned(), "bob 0".to_owned()));
    moody.version.store(1, SeqCst);
    clock.advance(SECOND * 60);
    assert_eq!((ask("ada"), moody.calls.count()), ("ada 1".to_owned(), 3));
}

#[test]
fn a_policy_for_a_single_method_is_warned_of_once() {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&warnings);
    let authorizer = token_authorizer(&Calls::default())
        .on_single_method_policy(move |name| seen.lock().unwrap().push(name.to_owned()))
        .build()
        .unwrap();
    let layer = AuthorizerLayer::new(authorizer.clone());
    run(async {
        ask(&layer, with_token("/", "ada")).await;
        assert_eq!((authorizer.single_method_policies(), warnings.lock().unwrap().len()), (0, 0));
        for _ in 0..3 {
            authorizer.flush();
            ask(&layer, with_token("/", "here")).await;
        }
    });
    assert_eq!(authorizer.single_method_policies(), 3);
    assert_eq!(*warnings.lock().unwrap(), ["pets"]);
    let uncached = token_authorizer(&Calls::default()).ttl(Duration::ZERO).build().unwrap();
    let layer = AuthorizerLayer::new(uncached.clone());
    run(ask(&layer, with_token("/", "here")));
    assert_eq!(uncached.single_method_policies(), 0, "harmless where nothing is cached");
}

/// Keeps what is written about authorizers.
#[cfg(feature = "tracing")]
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

#[cfg(feature = "tracing")]
impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "tower_gateway::authorizer"
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            fields.push_str(&format!(" {field}={value:?}"));
        });
        self.0.lock().unwrap().push(format!("{}{fields}", event.metadata().level()));
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[cfg(feature = "tracing")]
#[test]
fn the_first_policy_for_a_single_method_is_written_to_the_log() {
    let warnings = Warnings::default();
    let authorizer = token_authorizer(&Calls::default()).build().unwrap();
    let layer = AuthorizerLayer::new(authorizer.clone());
    tracing::subscriber::with_default(warnings.clone(), || {
        run(async {
            for token in ["ada", "here", "here"] {
                authorizer.flush();
                ask(&layer, with_token("/", token)).await;
            }
        });
    });
    let written = warnings.0.lock().unwrap().clone();
    assert_eq!(written.len(), 1, "{written:?}");
    assert!(written[0].starts_with("WARN") && written[0].contains(r#"authorizer="pets""#), "{written:?}");
    assert!(!written[0].contains("here"), "no token");
}

#[test]
fn the_number_of_answers_is_bounded() {
    let calls = Calls::default();
    let authorizer = token_authorizer(&calls).capacity(50).build().unwrap();
    let layer = AuthorizerLayer::new(authorizer.clone());
    run(async {
        let by_anybody = authorizer_fn(|event: AuthorizerEvent| async move {
            Ok::<_, String>(AuthorizerAnswer::allow(event.authorization_token(), ["*"]))
        });
        let many = Authorizer::token("many", by_anybody).capacity(50).build().unwrap();
        let open = AuthorizerLayer::new(many.clone());
        for caller in 0..2_000 {
            let token = format!("caller-{caller}");
            assert_eq!(ask(&open, with_token("/", &token)).await.1, format!("{token} "));
        }
        assert!((1..=100).contains(&many.cached()), "{}", many.cached());
        for caller in 0..200 {
            let (response, _) = through(layer.clone(), with_token("/", &format!("stranger-{caller}"))).await;
            assert_eq!(cause(&response), Some(Cause::AuthorizerMalformed));
        }
        assert_eq!((authorizer.cached(), calls.count()), (0, 200), "malformed answers are never kept");
    });
}

#[test]
fn without_ttl_every_request_has_a_call_of_its_own() {
    let calls = Calls::default();
    let function = {
        let calls = calls.clone();
        authorizer_fn(move |event: AuthorizerEvent| {
            calls.0.fetch_add(1, SeqCst);
            async move {
                tokio::task::yield_now().await;
                let whose = event.header("x-caller").unwrap_or("nobody").to_owned();
                Ok::<_, String>(AuthorizerAnswer::allow(whose, ["*"]))
            }
        })
    };
    let authorizer = Authorizer::request("pets", function).ttl(Duration::ZERO).build().unwrap();
    let layer = AuthorizerLayer::new(authorizer);
    let request = |caller: &str| {
        let mut request = get("/");
        request.headers_mut().insert("x-caller", caller.parse().unwrap());
        request
    };
    let both = futures_util::future::join(ask(&layer, request("ada")), ask(&layer, request("bob")));
    let (ada, bob) = run(both);
    assert_eq!((ada.1.as_str(), bob.1.as_str(), calls.count()), ("ada ", "bob ", 2));
}

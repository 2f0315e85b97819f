//! Unsafe methods in RFC 9111 mode whose answer comes before that of a call under way, or not at all.

use super::*;
use crate::support::run;
use tokio::sync::Notify;
use tower_gateway::{cache::rfc::Rfc9111, context::PrincipalLayer, gateway::Gateway};

/// Answers with the number of the call. The `GET` that `waits`, and every `DELETE`, wait to be let go; a `PUT` fails.
fn service(waits: usize, let_go: &Arc<Notify>) -> Origin {
    let let_go = Arc::clone(let_go);
    Origin::new(move |request, call| {
        let let_go = Arc::clone(&let_go);
        async move {
            if call == waits || request.method() == "DELETE" {
                let_go.notified().await;
            }
            match request.method().as_str() {
                "PUT" => Err("broken".into()),
                _ => Ok(with(answer(format!("call {call}")), "cache-control", "max-age=60")),
            }
        }
    })
}

#[test]
fn the_first_answer_of_a_caller_is_not_stored_after_a_change() {
    run(async {
        let let_go = Arc::default();
        let (cached, _, _) = cached(&service(1, &let_go), |cache| cache.rfc9111(Rfc9111::new()));
        let who = PrincipalLayer::new(|head| Some(head.headers.get("x-user")?.to_str().ok()?.to_owned()));
        let service = who.layer(cached);
        let said = async |request: Ask| {
            let answer = service.clone().oneshot(request).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        };
        let mut stale = Box::pin(said(get_with("/", &[("x-user", "ada")])));
        assert!(poll_some(&mut stale).await.is_pending());
        // Nobody has been named before: neither is who changes it.
        assert_eq!(said(request("POST", "/", &[])).await, "call 2");
        let_go.notify_one();
        assert_eq!(stale.await, "call 1");
        assert_eq!(said(get_with("/", &[("x-user", "ada")])).await, "call 3");
    });
}

/// What the service did before the client left, or before it failed, nobody knows.
#[test]
fn a_change_whose_answer_never_comes_is_one() {
    run(async {
        for verb in ["DELETE", "PUT"] {
            let (service, cache, _) =
                cached(&service(0, &Arc::default()), |cache| cache.rfc9111(Rfc9111::new()));
            assert_eq!(text(&service, "/").await, "call 1");
            assert_eq!(text(&service, "/other").await, "call 2");
            let mut asked = Box::pin(send(&service, request(verb, "/", &[])));
            let answer = poll_some(&mut asked).await;
            assert!(matches!((verb, answer), ("DELETE", Poll::Pending) | ("PUT", Poll::Ready(Err(_)))));
            assert_eq!(text(&service, "/").await, if verb == "PUT" { "call 4" } else { "call 1" });
            drop(asked);
            assert_eq!((text(&service, "/").await, cache.usage().keys), ("call 4".to_owned(), 2), "{verb}");
            assert_eq!(text(&service, "/other").await, "call 2");
        }
    });
}

/// The gateway answers in the place of a service that takes too long, and what that has done nobody knows either.
#[test]
fn a_change_that_the_gateway_gives_up_is_one() {
    run(async {
        let clock = ManualClock::at_unix_seconds(0);
        let cache = Cache::builder().clock(clock.clock()).rfc9111(Rfc9111::new()).build().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let inner = tower::service_fn(move |request: Request<_>| {
            let call = calls.fetch_add(1, SeqCst);
            async move {
                if request.method() == "PUT" {
                    std::future::pending::<()>().await;
                }
                let body = http_body_util::Full::<Bytes>::from(format!("call {call}"));
                let answer = Response::builder().header("cache-control", "max-age=60");
                Ok::<_, TestError>(answer.body(body).unwrap())
            }
        });
        let builder = Gateway::builder().clock(clock.clock()).cache(CacheLayer::new(cache));
        let service = builder.build().unwrap().layer(inner);
        let said = async || {
            let answer = service.clone().oneshot(request("GET", "/", &[])).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        };
        assert_eq!((said().await, said().await), ("call 0".into(), "call 0".into()));
        let mut change = Box::pin(service.clone().oneshot(request("PUT", "/", &[])));
        assert!(poll_some(&mut change).await.is_pending());
        clock.advance(SECOND * 29);
        assert_eq!(change.await.unwrap().status(), 504);
        assert_eq!(said().await, "call 2");
    });
}

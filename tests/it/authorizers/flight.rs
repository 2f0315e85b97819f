//! One call for many requests, whoever hangs up and when.

use super::{Calls, token_authorizer, with_token};
use crate::support::{Strict, run};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};
use tower::{Layer, Service, ServiceExt};
use tower_gateway::{
    authorizer::{
        Authorizer, AuthorizerAnswer, AuthorizerBuilder, AuthorizerEvent, AuthorizerLayer, authorizer_fn,
    },
    clock::ManualClock,
};

type Answering = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>>>>;

/// A function that waits at each of its steps until it is let on.
#[derive(Clone, Default)]
struct Gate {
    calls: Calls,
    open: Arc<AtomicUsize>,
    waiting: Arc<Mutex<Vec<Waker>>>,
    dropped: Arc<AtomicUsize>,
}

impl Gate {
    fn step(&self) {
        self.open.fetch_add(1, SeqCst);
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
        waiting.into_iter().for_each(Waker::wake);
    }

    async fn pass(&self, step: usize) {
        poll_fn(|cx: &mut Context<'_>| {
            if self.open.load(SeqCst) >= step {
                return Poll::Ready(());
            }
            self.waiting.lock().unwrap().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn authorizer(&self, steps: usize) -> Authorizer {
        struct Dropped(Arc<AtomicUsize>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.fetch_add(1, SeqCst);
            }
        }
        let gate = self.clone();
        let function = authorizer_fn(move |event: AuthorizerEvent| {
            let gate = gate.clone();
            gate.calls.0.fetch_add(1, SeqCst);
            async move {
                let _dropped = Dropped(Arc::clone(&gate.dropped));
                for step in 1..=steps {
                    gate.pass(step).await;
                }
                Ok::<_, Infallible>(AuthorizerAnswer::allow(event.authorization_token(), ["*"]))
            }
        });
        quick(Authorizer::token("pets", function))
    }
}

/// On a clock that stands still: its timers need no runtime.
fn quick(builder: AuthorizerBuilder) -> Authorizer {
    builder.clock(ManualClock::at_unix_seconds(1_700_000_000).clock()).build().unwrap()
}

fn begin(layer: &AuthorizerLayer, strict: &Strict, token: &str) -> Answering {
    Box::pin(layer.layer(strict.clone()).oneshot(with_token("/pets", token)))
}

fn poll_once(answering: &mut Answering) -> Option<u16> {
    match answering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer.unwrap().status().as_u16()),
        Poll::Pending => None,
    }
}

#[test]
fn a_thousand_requests_of_one_caller_make_one_call() {
    let gate = Gate::default();
    let layer = AuthorizerLayer::new(gate.authorizer(2));
    let strict = Strict::default();
    run(async {
        let callers = ["ada", "bob"];
        let asked: Vec<_> = (0..1_000).map(|index| begin(&layer, &strict, callers[index % 2])).collect();
        let all = futures_util::future::join_all(asked);
        let steps = async {
            for _ in 0..2 {
                tokio::task::yield_now().await;
                gate.step();
            }
        };
        let (answers, ()) = futures_util::future::join(all, steps).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().status() == 200));
    });
    assert_eq!((gate.calls.count(), strict.called()), (2, 1_000), "one for each of the two callers");
}

#[test]
fn on_real_threads_too_and_also_when_the_first_hangs_up() {
    let gate = Gate::default();
    let authorizer = gate.authorizer(3);
    let layer = AuthorizerLayer::new(authorizer.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let ask = |token: &str| {
            let asked = layer.layer(Strict::default()).oneshot(with_token("/pets", token));
            tokio::spawn(async move { asked.await.unwrap().status().as_u16() })
        };
        let first = ask("ada");
        while gate.calls.count() == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (0..1_000).map(|_| ask("ada")).collect();
        gate.step();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        gate.step();
        gate.step();
        for other in others {
            assert_eq!(other.await.unwrap(), 200);
        }
    });
    assert_eq!((gate.calls.count(), authorizer.calls(), authorizer.cached()), (1, 1, 1));
}

/// The function has three points at which it waits; the first request hangs up at each of them, before it was polled
/// at all, and after the call has landed.
#[test]
fn whenever_the_first_hangs_up_the_second_is_answered_by_the_same_call() {
    for point in 0..=4 {
        let gate = Gate::default();
        let layer = AuthorizerLayer::new(gate.authorizer(3));
        let strict = Strict::default();
        let mut first = Some(begin(&layer, &strict, "ada"));
        let mut second = begin(&layer, &strict, "ada");
        let mut answer = None;
        for step in 0..=4 {
            if step == point {
                first = None;
            }
            if let Some(asked) = &mut first
                && poll_once(asked).or_else(|| poll_once(asked)).is_some()
            {
                first = None;
            }
            answer = answer.or_else(|| poll_once(&mut second)).or_else(|| poll_once(&mut second));
            if answer.is_some() {
                break;
            }
            gate.step();
        }
        assert_eq!((answer, gate.calls.count()), (Some(200), 1), "the first hung up at {point}");
        let mut third = begin(&layer, &strict, "ada");
        poll_once(&mut third);
        assert_eq!((poll_once(&mut third), gate.calls.count()), (Some(200), 1), "cached");
    }
}

#[test]
fn a_call_that_nobody_waits_for_is_given_up_and_the_next_asks_anew() {
    let gate = Gate::default();
    let authorizer = gate.authorizer(1);
    let layer = AuthorizerLayer::new(authorizer.clone());
    let strict = Strict::default();
    let mut both = [begin(&layer, &strict, "ada"), begin(&layer, &strict, "ada")];
    both.iter_mut().for_each(|asked| {
        poll_once(asked);
        poll_once(asked);
    });
    assert_eq!((gate.calls.count(), gate.dropped.load(SeqCst)), (1, 0));
    drop(both);
    assert_eq!((gate.dropped.load(SeqCst), authorizer.cached()), (1, 0));
    let mut again = begin(&layer, &strict, "ada");
    poll_once(&mut again);
    assert_eq!(poll_once(&mut again), None);
    gate.step();
    assert_eq!((poll_once(&mut again), gate.calls.count()), (Some(200), 2));
}

#[test]
fn a_revocation_is_not_undone_by_a_call_in_flight() {
    let gate = Gate::default();
    let authorizer = gate.authorizer(1);
    let layer = AuthorizerLayer::new(authorizer.clone());
    let strict = Strict::default();
    let mut before = begin(&layer, &strict, "ada");
    poll_once(&mut before);
    assert_eq!(poll_once(&mut before), None);
    authorizer.revoke_principal("ada");
    let mut after = begin(&layer, &strict, "ada");
    poll_once(&mut after);
    assert_eq!((poll_once(&mut after), gate.calls.count()), (None, 2), "a call of its own");
    gate.step();
    assert_eq!((poll_once(&mut before), authorizer.cached()), (Some(200), 0));
    assert_eq!((poll_once(&mut after), authorizer.cached()), (Some(200), 1));
}

#[test]
fn a_panic_of_the_function_fails_who_waits_and_is_not_remembered() {
    let calls = Calls::default();
    let counted = calls.clone();
    let function = authorizer_fn(move |event: AuthorizerEvent| {
        let first = counted.0.fetch_add(1, SeqCst) == 0;
        async move {
            tokio::task::yield_now().await;
            assert!(!first, "the first call panics");
            Ok::<_, Infallible>(AuthorizerAnswer::allow(event.authorization_token(), ["*"]))
        }
    });
    let layer = AuthorizerLayer::new(quick(Authorizer::token("pets", function)));
    let strict = Strict::default();
    let (mut first, mut second) = (begin(&layer, &strict, "ada"), begin(&layer, &strict, "ada"));
    for _ready_then_asked in 0..2 {
        assert_eq!(poll_once(&mut first), None);
    }
    assert_eq!(poll_once(&mut second), None);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll_once(&mut second)));
    assert!(caught.is_err(), "whoever polls it has it");
    assert_eq!(poll_once(&mut first), Some(500), "the other is told");
    let mut third = begin(&layer, &strict, "ada");
    assert_eq!(run(&mut third).unwrap().status(), 200);
    assert_eq!(calls.count(), 2);
}

/// The service that was polled ready is the one that is called, however long the authorizer takes; `Strict` panics
/// otherwise.
#[test]
fn the_ready_service_waits_with_its_request() {
    let gate = Gate::default();
    let layer = AuthorizerLayer::new(gate.authorizer(1));
    let strict = Strict::default();
    let mut service = layer.layer(strict.clone());
    run(async {
        let waiting = ready(&mut service).await.call(with_token("/pets", "ada"));
        let other = ready(&mut service).await.call(with_token("/pets", "bob"));
        gate.step();
        let (one, two) = futures_util::future::join(waiting, other).await;
        assert_eq!((one.unwrap().status().as_u16(), two.unwrap().status().as_u16()), (200, 200));
    });
    assert_eq!((strict.called(), gate.calls.count()), (2, 2));
}

async fn ready<S: Service<Request<Full<Bytes>>, Error = Infallible>>(service: &mut S) -> &mut S {
    service.ready().await.unwrap()
}

#[test]
fn concurrent_requests_of_many_callers_get_their_own_answers() {
    let calls = Calls::default();
    let layer = AuthorizerLayer::new(token_authorizer(&calls).build().unwrap());
    std::thread::scope(|scope| {
        for (token, whose) in [("ada", "ada gold"), ("bob", "bob basic")].into_iter().cycle().take(6) {
            let layer = layer.clone();
            scope.spawn(move || {
                run(async {
                    for _ in 0..200 {
                        assert_eq!(super::ask(&layer, with_token("/", token)).await, (200, whose.to_owned()));
                    }
                });
            });
        }
    });
    assert_eq!(calls.count(), 2);
}

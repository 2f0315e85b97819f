//! Revocations against answers that processes share, in every order; and stores that are away.

use super::*;
use crate::{
    authorizer::{AuthorizerAnswer, AuthorizerLayer, authorizer_fn},
    clock::ManualClock,
    store::{LONGEST_PAUSE, StoreError},
};
use futures_util::{FutureExt, future::join_all};
use http::{Request, Response};
use http_body_util::Full;
use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    future::{pending, ready},
    sync::Weak,
    task::Poll,
};
use tower::{Layer, ServiceExt, service_fn};

const SECRET: [u8; 16] = *b"sixteen bytes...";
const MINUTE: Duration = Duration::from_secs(60);

/// What Redis would hold, and who is told of records.
#[derive(Default)]
struct Server {
    number: AtomicU64,
    values: Mutex<HashMap<[u8; 32], (Bytes, Duration)>>,
    claims: Mutex<HashMap<[u8; 32], u128>>,
    processes: Mutex<Vec<Weak<Store>>>,
    is_away: Mutex<bool>,
}

/// One process's way there. What it announces and what it is told waits until a test lets it pass.
struct Store {
    server: Arc<Server>,
    authorizer: OnceLock<Authorizer>,
    to_announce: Mutex<VecDeque<Revocation>>,
    to_hear: Mutex<VecDeque<(u64, Revocation)>>,
    /// An answer to `ask` waits for it.
    gate: tokio::sync::Semaphore,
    behind: Mutex<Vec<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

impl Peers for Arc<Store> {
    fn is_current(&self) -> bool {
        true
    }

    fn revoked(&self, revocation: Revocation) {
        self.to_announce.lock().unwrap().push_back(revocation);
    }
}

impl Store {
    /// Gives its revocations their numbers.
    fn announce(&self) {
        for revocation in self.to_announce.lock().unwrap().drain(..) {
            let number = self.server.number.fetch_add(1, SeqCst) + 1;
            for process in self.server.processes.lock().unwrap().iter().filter_map(Weak::upgrade) {
                process.to_hear.lock().unwrap().push_back((number, revocation));
            }
        }
    }

    fn hear(&self) {
        for (number, revocation) in self.to_hear.lock().unwrap().drain(..) {
            self.authorizer.get().unwrap().heard(number, revocation);
        }
    }

    /// Does what was to be done behind requests' backs.
    async fn settle(&self) {
        let behind = std::mem::take(&mut *self.behind.lock().unwrap());
        join_all(behind).await;
    }
}

struct Way(Arc<Store>);

impl AnswerStore for Way {
    fn ask(&self, place: Place, claim: Claim) -> StoreFuture<Asked> {
        let server = Arc::clone(&self.0.server);
        if *server.is_away.lock().unwrap() {
            return Box::pin(pending());
        }
        let number = server.number.load(SeqCst);
        let value = server.values.lock().unwrap().get(place.as_bytes()).cloned().filter(|_| !claim.instead);
        let found = match value {
            Some((value, left)) => Found::Value(value, left),
            None => {
                let mut claims = server.claims.lock().unwrap();
                match *claims.entry(*place.as_bytes()).or_insert(claim.token) == claim.token {
                    true => Found::Nothing,
                    false => Found::Claimed,
                }
            }
        };
        let store = Arc::clone(&self.0);
        Box::pin(async move {
            store.gate.acquire().await.unwrap().forget();
            Ok(Asked { number, found })
        })
    }

    fn keep(&self, place: Place, value: Bytes, ttl: Duration, token: u128) -> StoreFuture<()> {
        assert_eq!(self.0.server.claims.lock().unwrap().remove(place.as_bytes()), Some(token));
        self.0.server.values.lock().unwrap().insert(*place.as_bytes(), (value, ttl));
        Box::pin(ready(Ok(())))
    }

    fn release(&self, place: Place, token: u128) -> StoreFuture<()> {
        let mut claims = self.0.server.claims.lock().unwrap();
        if claims.get(place.as_bytes()) == Some(&token) {
            claims.remove(place.as_bytes());
        }
        Box::pin(ready(Err(StoreError::new("nobody asks"))))
    }

    fn has_numbered(&self) -> bool {
        self.0.to_announce.lock().unwrap().is_empty()
    }

    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.behind.lock().unwrap().push(work);
    }
}

/// One process: an authorizer whose function waits for its own gate.
struct Process {
    authorizer: Authorizer,
    store: Arc<Store>,
    function: Arc<tokio::sync::Semaphore>,
    clock: ManualClock,
}

impl Process {
    fn new(server: &Arc<Server>) -> Self {
        let function = Arc::new(tokio::sync::Semaphore::new(1_000));
        let gate = Arc::clone(&function);
        let say = authorizer_fn(move |event: AuthorizerEvent| {
            let (token, gate) = (event.authorization_token().to_owned(), Arc::clone(&gate));
            async move {
                gate.acquire().await.unwrap().forget();
                match &*token {
                    "nobody" => Err("Unauthorized"),
                    "broken" => Err("broken"),
                    _ => Ok(AuthorizerAnswer::allow(token, ["*"])),
                }
            }
        });
        let clock = ManualClock::at_unix_seconds(0);
        let builder = Authorizer::token("pets", say).shared_secret(SECRET).clock(clock.clock());
        let authorizer = builder.ttl(MINUTE).negative_ttl(MINUTE / 2).build().unwrap();
        let store = Arc::new(Store {
            server: Arc::clone(server),
            authorizer: OnceLock::new(),
            to_announce: Mutex::default(),
            to_hear: Mutex::default(),
            gate: tokio::sync::Semaphore::new(1_000),
            behind: Mutex::default(),
        });
        assert!(authorizer.set_peers(Arc::new(Arc::clone(&store))));
        authorizer.share_answers(Arc::new(Way(Arc::clone(&store))));
        authorizer.missed(server.number.load(SeqCst));
        assert!(store.authorizer.set(authorizer.clone()).is_ok());
        server.processes.lock().unwrap().push(Arc::downgrade(&store));
        Self { authorizer, store, function, clock }
    }

    fn request(&self, token: &str) -> impl Future<Output = u16> + use<> {
        let inner = service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        let layer = AuthorizerLayer::new(self.authorizer.clone());
        let request = Request::get("/").header("authorization", token).body(()).unwrap();
        layer.layer(inner).oneshot(request).map(|answer| answer.unwrap().status().as_u16())
    }

    async fn ask(&self, token: &str) -> u16 {
        let status = self.request(token).await;
        self.store.settle().await;
        status
    }

    fn calls(&self) -> u64 {
        self.authorizer.calls()
    }

    fn stats(&self) -> SharedAnswerStats {
        self.authorizer.shared_answers().unwrap()
    }
}

fn two() -> (Arc<Server>, Process, Process) {
    let server = Arc::new(Server::default());
    let (one, other) = (Process::new(&server), Process::new(&server));
    (server, one, other)
}

/// Polls once, without waiting for what it waits for.
async fn once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        Poll::Ready(match future.poll_unpin(cx) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn what_one_was_told_the_other_need_not_ask() {
    let (server, one, other) = two();
    for token in ["ada", "bob", "nobody"] {
        let status = if token == "nobody" { 401 } else { 200 };
        assert_eq!((one.ask(token).await, other.ask(token).await), (status, status));
        assert_eq!((one.ask(token).await, other.ask(token).await), (status, status));
    }
    assert_eq!((one.calls(), other.calls()), (3, 0));
    assert_eq!((one.stats().stored, other.stats().found), (3, 3));
    // Failures are everybody's own.
    assert_eq!((one.ask("broken").await, other.ask("broken").await), (500, 500));
    assert_eq!((one.calls(), other.calls()), (4, 1));
    assert!(server.claims.lock().unwrap().is_empty(), "and leave no claim");
    // Another authorizer of another secret has nothing in common with them.
    assert_eq!(server.values.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn an_answer_is_used_for_the_rest_of_its_time_and_not_longer() {
    let (server, one, other) = two();
    one.ask("ada").await;
    let set = |left: u64| {
        let mut values = server.values.lock().unwrap();
        values.values_mut().for_each(|(_, time)| *time = Duration::from_secs(left));
    };
    // Whatever the store says of a time that is longer than any answer's.
    for (left, used) in [(20, 20), (10_000, 60)] {
        set(left);
        other.authorizer.missed(0);
        assert_eq!(other.ask("ada").await, 200);
        let calls = other.calls();
        other.clock.advance(Duration::from_secs(used) - Duration::from_nanos(1));
        assert_eq!((other.ask("ada").await, other.calls()), (200, calls));
        server.values.lock().unwrap().clear();
        other.clock.advance(Duration::from_nanos(1));
        assert_eq!((other.ask("ada").await, other.calls()), (200, calls + 1));
    }
}

/// The store says that they have a minute left, as it would if somebody had put them back.
#[tokio::test]
async fn an_answer_that_was_put_back_long_after_its_time_is_refused() {
    let (_, one, other) = two();
    for token in ["ada", "bob"] {
        one.ask(token).await;
    }
    other.clock.advance(2 * MINUTE);
    assert_eq!((other.ask("ada").await, other.calls()), (200, 0), "clocks may stand so far apart");
    other.clock.advance(Duration::from_millis(1));
    assert_eq!((other.ask("bob").await, other.calls(), other.stats().unusable), (200, 1, 1));
}

/// Before the write: whoever revokes has not told anybody yet, and its own process uses nothing that may be older.
#[tokio::test]
async fn a_revocation_without_a_number_keeps_its_process_from_what_is_shared() {
    let (_, one, other) = two();
    for token in ["ada", "bob"] {
        one.ask(token).await;
    }
    other.authorizer.revoke_principal("ada");
    assert_eq!((other.ask("ada").await, other.calls(), other.stats().alone), (200, 1, 1));
    other.store.announce();
    // It has a number, and has not come back: nobody can say which answers it is about.
    other.authorizer.flush();
    other.store.announce();
    assert_eq!((other.ask("bob").await, other.calls()), (200, 2));
    other.store.hear();
    assert_eq!(other.authorizer.cached(), 0, "what was asked since is forgotten once more");
    assert_eq!((other.ask("bob").await, other.calls()), (200, 2), "bob's new answer has seen both");
    let unusable = other.stats().unusable;
    assert_eq!((other.ask("ada").await, other.calls(), other.stats().unusable), (200, 3, unusable + 1));
}

/// During: a call that began before the revocation brings its answer after it.
#[tokio::test]
async fn an_answer_whose_call_is_older_than_a_revocation_is_used_by_nobody() {
    let (_, one, other) = two();
    one.function.forget_permits(1_000);
    let mut early = [Box::pin(one.request("ada")), Box::pin(one.request("bob"))];
    for request in &mut early {
        assert_eq!(once(request).await, None, "the function is asked");
    }
    other.authorizer.revoke_principal("ada");
    other.store.announce();
    other.store.hear();
    one.function.add_permits(1_000);
    // The process that called has not heard of it yet.
    assert_eq!(join_all(early).await, [200, 200]);
    one.store.settle().await;
    assert_eq!((other.ask("ada").await, other.ask("bob").await), (200, 200));
    assert_eq!((other.calls(), other.stats().found), (1, 1), "bob's answer is good");
    one.store.hear();
    assert_eq!((one.ask("ada").await, one.ask("bob").await), (200, 200));
    assert_eq!(one.calls(), 2, "what the other has asked since is good for all");
}

/// After: the answer was on its way out of the store when the revocation came.
#[tokio::test]
async fn an_answer_that_is_just_being_read_is_overtaken() {
    let (_, one, other) = two();
    for token in ["ada", "bob"] {
        one.ask(token).await;
    }
    other.store.gate.forget_permits(1_000);
    let mut reading = Box::pin(other.request("ada"));
    assert_eq!(once(&mut reading).await, None, "the store is asked");
    one.authorizer.revoke_principal("ada");
    one.store.announce();
    other.store.hear();
    other.store.gate.add_permits(1_000);
    assert_eq!((reading.await, other.calls()), (200, 1), "it was asked anew");
    other.store.settle().await;
    assert_eq!((other.ask("bob").await, other.calls()), (200, 1));
    // The same with a revocation of its own.
    other.authorizer.flush();
    other.store.announce();
    other.store.hear();
    other.store.gate.forget_permits(1_000);
    let mut reading = Box::pin(other.request("bob"));
    assert_eq!(once(&mut reading).await, None);
    other.authorizer.revoke_principal("bob");
    other.store.gate.add_permits(1_000);
    assert_eq!((reading.await, other.calls()), (200, 2));
}

#[tokio::test]
async fn a_process_that_may_have_missed_something_takes_nothing_from_before() {
    let (server, one, other) = two();
    one.ask("ada").await;
    server.number.store(9, SeqCst);
    assert_eq!((other.ask("ada").await, other.calls()), (200, 1), "there are records that it does not know");
    let third = Process::new(&server);
    assert_eq!((third.ask("ada").await, third.calls()), (200, 0), "what has seen them all is good");
    server.number.store(10, SeqCst);
    let fourth = Process::new(&server);
    assert_eq!((fourth.ask("ada").await, fourth.calls()), (200, 1), "it came too late to know the tenth");
}

#[tokio::test]
async fn one_call_for_two_processes() {
    let (_, one, other) = two();
    one.function.forget_permits(1_000);
    let mut leader = Box::pin(one.request("ada"));
    assert_eq!(once(&mut leader).await, None);
    let mut follower = Box::pin(other.request("ada"));
    assert_eq!(once(&mut follower).await, None);
    assert_eq!(other.calls(), 0, "it waits for the other's");
    let bob = other.ask("bob").await;
    assert_eq!((bob, other.calls()), (200, 1), "who is not held up");
    one.function.add_permits(1_000);
    assert_eq!(leader.await, 200);
    one.store.settle().await;
    other.clock.advance(LONGEST_PAUSE);
    assert_eq!((follower.await, other.calls(), other.stats().followed), (200, 1, 1));

    // A call that takes too long is not waited for, and one that is given up lets the next one try.
    one.function.forget_permits(1_000);
    let mut slow = Box::pin(one.request("eve"));
    assert_eq!(once(&mut slow).await, None);
    let mut follower = Box::pin(other.request("eve"));
    for _ in 0..40 {
        assert_eq!(once(&mut follower).await, None);
        other.clock.advance(LONGEST_PAUSE / 2);
    }
    assert_eq!((follower.await, other.calls()), (200, 2));
    drop(slow);
    one.store.settle().await;
    assert_eq!((Process::new(&one.store.server).ask("eve").await, other.calls()), (200, 2));
}

#[tokio::test]
async fn what_somebody_else_put_there_is_a_miss() {
    let (server, one, other) = two();
    for token in ["ada", "bob"] {
        one.ask(token).await;
    }
    let places: Vec<_> = server.values.lock().unwrap().keys().copied().collect();
    let values: Vec<_> = server.values.lock().unwrap().values().cloned().collect();
    // Exchanged, cut, and rubbish.
    for (place, value) in places.iter().zip(values.iter().rev()) {
        server.values.lock().unwrap().insert(*place, value.clone());
    }
    assert_eq!((other.ask("ada").await, other.ask("bob").await), (200, 200));
    assert_eq!((other.calls(), other.stats().found, other.stats().unusable), (2, 0, 2));
    let rubbish = [Bytes::new(), values[0].0.slice(1..), Bytes::from_static(b"{}")];
    for (number, value) in rubbish.into_iter().enumerate() {
        server.values.lock().unwrap().values_mut().for_each(|(own, _)| *own = value.clone());
        let third = Process::new(&server);
        assert_eq!((third.ask("ada").await, third.calls()), (200, 1), "{number}");
        server.values.lock().unwrap().values_mut().for_each(|(own, _)| assert!(own.len() > 3 || number < 3));
    }
}

#[tokio::test]
async fn a_store_that_is_away_costs_its_deadline_a_few_times_and_then_nothing() {
    let (server, one, _) = two();
    *server.is_away.lock().unwrap() = true;
    let deadline = Duration::from_millis(20);
    for number in 0..5_u32 {
        let mut request = Box::pin(one.request(&format!("token {number}")));
        assert_eq!(once(&mut request).await, None);
        one.clock.advance(deadline - Duration::from_nanos(1));
        assert_eq!((once(&mut request).await, one.calls()), (None, u64::from(number)));
        one.clock.advance(Duration::from_nanos(1));
        assert_eq!((request.await, one.calls()), (200, u64::from(number) + 1));
    }
    for number in 5..50 {
        assert_eq!(one.request(&format!("token {number}")).now_or_never(), Some(200), "{number}");
    }
    let counts = one.authorizer.store_counts().unwrap();
    assert_eq!((counts.timeouts, counts.opened, one.calls()), (5, 1, 50));
    assert_eq!(
        one.store.behind.lock().unwrap().len(),
        5,
        "claims that it may have made are released, and no others"
    );
}

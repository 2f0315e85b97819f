//! One process of a cluster: its own keys, plans and layers, around a service that counts.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tower::{Layer, Service, ServiceExt};
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeyService, ApiKeys},
    clock::ManualClock,
    response::{Cause, GatewayError},
    store::StoreOptions,
    usage_plan::{
        UsagePlan, UsagePlanLayer, UsagePlanService, UsagePlans, UsageReservation, store::UsageStore,
    },
};

/// Noon of a day.
pub const NOON: i64 = 1_795_348_800;
pub const TODAY: &str = "2026-11-22";
pub const TOMORROW: &str = "2026-11-23";
pub const KEYS: [&str; 2] = ["ann", "bob"];

/// The service inside: it answers, and keeps the reservation of the last request.
#[derive(Clone, Default)]
pub struct Inner(Arc<Mutex<Option<UsageReservation>>>);

impl Service<Request<Full<Bytes>>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        *self.0.lock().unwrap() = request.extensions().get::<UsageReservation>().cloned();
        ready(Ok(Response::new(Full::default())))
    }
}

/// A process of a cluster.
pub struct Process {
    pub plans: UsagePlans,
    pub clock: ManualClock,
    service: ApiKeyService<UsagePlanService<Inner>, ApiKeys>,
    inner: Inner,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub cause: Option<Cause>,
    /// The `RateLimit` field.
    pub announced: Option<String>,
    /// In virtual time.
    pub waited: Duration,
}

impl Answer {
    pub fn of(answer: &Response<Full<Bytes>>) -> Self {
        let field = answer.headers().get("ratelimit").map(|value| value.to_str().unwrap().to_owned());
        let cause = answer.extensions().get::<GatewayError>().map(GatewayError::cause);
        Self { status: answer.status().as_u16(), cause, announced: field, waited: Duration::ZERO }
    }

    pub fn admitted(&self) -> bool {
        self.status == 200
    }
}

/// Virtual time moves by so much while a request waits and nothing else is to be done.
const TICK: Duration = Duration::from_millis(1);
/// Times that everything else in the runtime may run before that.
const SPINS: usize = 16;

impl Process {
    /// Plan `p` with two keys. A header `x-cost` says what a request costs, `x-reserve` what it reserves.
    pub fn new(clock: &ManualClock, plan: UsagePlan) -> Self {
        Self::build(clock, plan, UsagePlans::builder())
    }

    pub fn with_store(
        clock: &ManualClock,
        plan: UsagePlan,
        store: impl UsageStore,
        options: StoreOptions,
    ) -> Self {
        // An `Arc` of a store is one, too.
        Self::build(clock, plan, UsagePlans::builder().store(Arc::new(store)).store_options(options))
    }

    pub fn build(
        clock: &ManualClock,
        plan: UsagePlan,
        builder: tower_gateway::usage_plan::UsagePlansBuilder,
    ) -> Self {
        let builder = builder.clock(clock.clock()).plan(plan);
        let builder = KEYS.iter().fold(builder, |builder, key| builder.attach("p", key));
        let plans = builder.build().unwrap();
        let keys = KEYS.iter().map(|id| ApiKey::new(*id).value(value(id)));
        let keys = keys.fold(ApiKeys::builder(), |builder, key| builder.key(key)).build().unwrap();
        let number = |name: &'static str| {
            move |head: &tower_gateway::filter::Head<'_>| {
                head.headers.get(name).map(|value| value.to_str().unwrap().parse().unwrap())
            }
        };
        let (cost, reserve) = (number("x-cost"), number("x-reserve"));
        let layer = UsagePlanLayer::new(plans.clone())
            .cost(move |head, _| cost(&head).unwrap_or(1))
            .reserve(move |head, _| reserve(&head));
        let inner = Inner::default();
        let service = ApiKeyLayer::new(keys).layer(layer.layer(inner.clone()));
        Self { plans, clock: clock.clone(), service, inner }
    }

    pub fn request(&self, key: &str, cost: u32) -> impl Future<Output = Response<Full<Bytes>>> + use<> {
        self.send(key, "x-cost", cost)
    }

    pub fn send(
        &self,
        key: &str,
        header: &'static str,
        cost: u32,
    ) -> impl Future<Output = Response<Full<Bytes>>> + use<> {
        let request = Request::get("/pets").header("x-api-key", value(key)).header(header, cost);
        let request = request.body(Full::default()).unwrap();
        self.service.clone().oneshot(request).map(|answer| answer.unwrap())
    }

    /// Sends a request, and lets virtual time pass where it waits for that.
    pub async fn ask(&self, key: &str, cost: u32) -> Answer {
        self.drive(self.request(key, cost)).await
    }

    /// The same, of a cost that is known afterwards.
    pub async fn reserve(&self, key: &str, cost: u32) -> (Answer, Option<UsageReservation>) {
        let answer = self.drive(self.send(key, "x-reserve", cost)).await;
        let kept = self.inner.0.lock().unwrap().take().filter(|_| answer.admitted());
        (answer, kept)
    }

    async fn drive(&self, request: impl Future<Output = Response<Full<Bytes>>>) -> Answer {
        let started = self.clock.clock().now();
        let mut request = pin!(request);
        let answer = loop {
            if let Some(answer) = spin(request.as_mut()).await {
                break answer;
            }
            self.clock.advance(TICK);
        };
        Answer { waited: self.clock.clock().now().since(started), ..Answer::of(&answer) }
    }

    /// The same where a real store answers, while virtual time stands still.
    pub async fn reserve_in_real_time(&self, key: &str, cost: u32) -> (Answer, Option<UsageReservation>) {
        let answer = Answer::of(&self.send(key, "x-reserve", cost).await);
        let kept = self.inner.0.lock().unwrap().take().filter(|_| answer.admitted());
        (answer, kept)
    }

    /// What all processes used of a key today, what is left, and what nobody knows.
    pub async fn report(&self, key: &str) -> (u64, Option<u64>, u64) {
        let report = self.plans.shared_usage("p", key, TODAY, TODAY).await.unwrap();
        let day = report.of(key).unwrap()[0];
        (day.used, day.remaining, report.unknown())
    }
}

/// Polls a future while others run; `None` if that did not help it.
pub async fn spin<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    for _ in 0..SPINS {
        if let Some(output) = future.as_mut().now_or_never() {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Lets everything run that can run at this moment.
pub async fn settle() {
    for _ in 0..SPINS {
        tokio::task::yield_now().await;
    }
}

/// Lets virtual time pass, in steps in which timers ring one after the other.
pub async fn pass(clock: &ManualClock, time: Duration) {
    let steps = time.as_millis().div_ceil(500).max(1) as u32;
    for _ in 0..steps {
        clock.advance(time / steps);
        settle().await;
    }
}

fn value(id: &str) -> String {
    format!("{id}-0123456789abcdefghij")
}

/// Numbers that look random, the same in every run.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }
}

//! The scripts against their models, in random schedules through a real server: `Bucket` and `LeaseLedger` decide the
//! same, to the unit.

use super::{LONG, run, server::RedisServer};
use crate::{
    clock::Timestamp,
    redis::{Redis, RedisUsage, buckets, counters::MOST_UNITS},
    throttle::{
        PastRates, Throttle,
        bucket::{Bucket, BucketVerdict},
    },
    usage_plan::{
        LeaseLedger,
        store::{
            BucketAsk, BucketId, BucketLevel, Counter, DayUse, KEPT_AFTER_END, LeaseAsk, Period,
            RemainingAsk, Standing, Taken, ThrottleAsk, Tokens, UsageAsk, UsageStore,
        },
    },
};
use fastrand::Rng;
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

const WORKERS: u64 = 16;
const NOON: u64 = 1_795_348_800_000_000;

/// How many schedules: `$SCHEDULES`, which `./test.sh` sets to 10,000 where all features are on.
fn schedules() -> u64 {
    std::env::var("SCHEDULES").map_or(500, |number| number.parse().unwrap())
}

/// Runs all schedules, some at a time, each worker with a connection and a prefix of its own.
fn all_schedules<F: Future<Output = ()> + Send>(
    server: &RedisServer,
    schedule: impl Fn(Arc<RedisUsage>, Redis, u64) -> F + Clone + Send + 'static,
) {
    run(async {
        let workers = (0..WORKERS).map(|worker| {
            let redis = Redis::new(&server.url()).unwrap().prefix(&format!("w{worker}")).unwrap();
            let (store, schedule) = (RedisUsage::new(redis.clone()).deadline(LONG), schedule.clone());
            let store = Arc::new(store);
            tokio::spawn(async move {
                for number in (worker..schedules()).step_by(WORKERS as usize) {
                    schedule(Arc::clone(&store), redis.clone(), number).await;
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
    });
    server.assert_all_expire();
}

fn pick<T: Copy>(random: &mut Rng, choices: &[T]) -> T {
    choices[random.usize(..choices.len())]
}

fn throttle(random: &mut Rng) -> Throttle {
    let rate = match random.u8(..4) {
        0 => pick(random, &[0.0, 1e-9, 1.0, 10.0, 1e9, 999_999_999.999]),
        1 => f64::from(random.u32(1..5_000)),
        _ => random.f64() * pick(random, &[0.001, 3.0, 1_000.0, 1e6]) + 1e-9,
    };
    let burst = pick(random, &[0, 1, 2, 7, 100, 10_000, u32::MAX]);
    Throttle::new(rate, burst).unwrap()
}

fn microseconds(random: &mut Rng) -> u64 {
    let most = pick(random, &[1, 10, 2_000, 1_000_000, 3_600_000_000, 100_000_000_000_000]);
    random.u64(..most)
}

/// What memory does: see `admit::charge`.
fn charge(states: &mut [Bucket], ask: &ThrottleAsk, now: u64) -> Vec<BucketLevel> {
    for (state, bucket) in states.iter_mut().zip(&ask.buckets) {
        *state = bucket.past.settle(*state);
    }
    let before = states.to_vec();
    let mut refused = false;
    let mut lacked = vec![false; states.len()];
    for ((state, bucket), lacked) in states.iter_mut().zip(&ask.buckets).zip(&mut lacked) {
        match ask.tokens {
            Tokens::Take(0) => {}
            Tokens::Take(cost) => match state.check(bucket.throttle, now, cost) {
                BucketVerdict::Admit(next) => *state = next,
                BucketVerdict::Refuse { .. } => (*lacked, refused) = (true, refused | !bucket.shadow),
            },
            Tokens::GiveBack(tokens) => *state = state.refund(tokens),
            Tokens::Overdraw(tokens) => *state = state.overdraw(bucket.throttle, now, tokens),
        }
    }
    if refused {
        states.copy_from_slice(&before);
    }
    let levels = states.iter().zip(&ask.buckets).zip(lacked);
    let level = |((state, bucket), lacked): ((&Bucket, &BucketAsk), bool)| BucketLevel {
        deficit: state.deficit_at(bucket.throttle, now),
        lacked,
    };
    levels.map(level).collect()
}

async fn throttle_schedule(store: Arc<RedisUsage>, redis: Redis, number: u64) {
    let mut random = Rng::with_seed(number);
    let counter = Counter { plan: format!("p:{number}").into(), subject: u128::from(number) << 64 };
    let all = [
        BucketId::Key(counter.clone()),
        BucketId::Method(counter.clone(), random.u64(..)),
        BucketId::Stage(format!("s{number}").into(), 7),
        BucketId::Method(counter.clone(), 3),
        BucketId::Account,
    ];
    let ids = &all[random.usize(..3)..random.usize(3..=5)];
    let mut throttles: Vec<_> = ids.iter().map(|_| throttle(&mut random)).collect();
    let shadows: Vec<_> = ids.iter().map(|_| random.u8(..5) == 0).collect();
    let mut states = vec![Bucket::default(); ids.len()];
    let mut pasts = vec![PastRates::default(); ids.len()];
    let mut now = NOON + microseconds(&mut random);
    for step in 0..10 {
        now = if random.u8(..20) == 0 { now - random.u64(..1_000) } else { now + microseconds(&mut random) };
        if random.u8(..10) == 0 {
            let (edited, instant) = (throttle(&mut random), Timestamp::new(now * 1_000, now as i64 * 1_000));
            pasts[0] = pasts[0].edited(throttles[0], edited, instant);
            throttles[0] = edited;
            // Some are asked for at once, others after a while.
            now += random.u64(0..2) * microseconds(&mut random);
        }
        let parts = ids.iter().zip(&throttles).zip(&shadows).zip(&pasts);
        let parts = parts.map(|(((id, throttle), shadow), past)| BucketAsk {
            id: id.clone(),
            throttle: *throttle,
            past: past.clone(),
            shadow: *shadow,
        });
        let tokens = pick(&mut random, &[0, 1, 1, 1, 2, 5, 100, u32::MAX]);
        let tokens = match random.u8(..10) {
            0 => Tokens::GiveBack(tokens),
            1 => Tokens::Overdraw(tokens),
            _ => Tokens::Take(tokens),
        };
        let ask = ThrottleAsk { buckets: parts.collect(), tokens, now: Some(now) };
        let wanted = charge(&mut states, &ask, now * 1_000);
        let found = store.throttle(ask.clone()).await.unwrap();
        assert_eq!(found, wanted, "schedule {number}, step {step}: {ask:?}");
    }
    let account = buckets::key(redis.names(), &BucketId::Account);
    redis.call(::redis::cmd("DEL").arg(account), LONG).await.unwrap();
    // Every other caller leaves.
    if number.is_multiple_of(2) {
        store.forget(counter).await.unwrap();
    }
}

#[test]
fn random_schedules_take_the_tokens_that_memory_takes() {
    let Some(server) = RedisServer::start() else { return };
    all_schedules(&server, throttle_schedule);
}

/// A holder as the schedule drives it: it never states anything wrong, but it repeats itself and comes late.
#[derive(Clone, Default)]
struct Holder {
    number: u128,
    seq: u64,
    hold: u64,
    used: Vec<DayUse>,
    answered: bool,
}

impl Holder {
    fn ask(&mut self, counter: &Counter, limit: Option<u64>, now: u64, random: &mut Rng) -> LeaseAsk {
        let today = (now / 86_400_000_000) as i32;
        let spent = random.u64(..=self.hold);
        match self.used.last_mut().filter(|last| last.day == today) {
            Some(last) => last.units += spent as i64,
            None => self.used.push(DayUse { day: today, units: spent as i64 }),
        }
        let first = self.used.len().saturating_sub(2);
        self.used.drain(..first);
        self.hold -= spent;
        self.seq += u64::from(random.u8(..8) > 0);
        let need = pick(random, &[0, 0, 1, 5, 60, u64::MAX]);
        LeaseAsk {
            counter: counter.clone(),
            period: period(now),
            limit,
            holder: self.number,
            seq: self.seq,
            fresh: !self.answered || random.u8(..6) == 0,
            used: self.used.clone(),
            hold: self.hold,
            need,
            least: need.min(pick(random, &[0, 1, 3])),
            want: pick(random, &[0, 1, 40, 5_000, u64::MAX]),
            epoch: Duration::from_micros(pick(random, &[1, 1_000_000, 10_000_000])),
            now: Some(now),
        }
    }
}

/// Weeks, so that a schedule sees several periods of several days.
fn period(now: u64) -> Period {
    let first_day = (now / 86_400_000_000) as i32 / 7 * 7;
    let second = |day: i32| i64::from(day) * 86_400;
    Period { start: second(first_day), end: second(first_day + 7), first_day, end_day: first_day + 7 }
}

async fn lease_schedule(store: Arc<RedisUsage>, _: Redis, number: u64) {
    let mut random = Rng::with_seed(number);
    let counter = Counter { plan: "gold".into(), subject: u128::from(number) };
    let limit = pick(&mut random, &[Some(0), Some(1), Some(20), Some(1_000), Some(MOST_UNITS), None]);
    let (mut ledger, mut born) = (LeaseLedger::default(), BTreeMap::new());
    let mut holders = [1, 2, u128::MAX].map(|number| Holder { number, ..Holder::default() });
    let mut now = NOON + microseconds(&mut random) % 1_000_000_000_000;
    for step in 0..10 {
        now += pick(&mut random, &[0, 1, 900_000, 5_000_000, 700_000_000, 90_000_000_000, 500_000_000_000]);
        let context = format!("schedule {number}, step {step}");
        ledger.settle(now);
        born.retain(|start, _| ledger.periods.contains_key(start));
        match random.u8(..10) {
            0 => {
                let (period, remaining) = (period(now), random.u64(..2_000));
                let limit = limit.unwrap_or(500);
                let ask = RemainingAsk { counter: counter.clone(), period, limit, remaining, now: Some(now) };
                ledger.set_remaining(&ask, now);
                store.set_remaining(ask).await.unwrap();
            }
            1 | 2 => {
                let (period, today) = (period(now), (now / 86_400_000_000) as i32);
                let (first_day, last_day) = (today - random.i32(3..95), today - random.i32(0..3));
                let ask =
                    UsageAsk { counter: counter.clone(), period, limit, first_day, last_day, now: Some(now) };
                assert_eq!(
                    store.usage(ask.clone()).await.unwrap(),
                    ledger.usage(&ask, now),
                    "{context}: {ask:?}"
                );
            }
            _ => {
                let holder = &mut holders[random.usize(..3)];
                let ask = holder.ask(&counter, limit, now, &mut random);
                let mut wanted = ledger.ask(&ask, now);
                // The one difference: a holder that a young counter does not know has lost it, with all that it said.
                let is_young = born
                    .get(&ask.period.start)
                    .is_some_and(|born| now - born < KEPT_AFTER_END.as_micros() as u64);
                if wanted.standing == Standing::Settled && is_young {
                    wanted.standing = Standing::Lost;
                }
                let found = store.lease(ask.clone()).await.unwrap();
                assert_eq!(found, wanted, "{context}: {ask:?}");
                // An answer that is lost: the holder does not know what it was granted.
                if random.u8(..8) > 0 {
                    (holder.hold, holder.answered) = (holder.hold.saturating_add(found.granted), true);
                }
            }
        }
        for start in ledger.periods.keys() {
            born.entry(*start).or_insert(now);
        }
    }
}

/// Units and tokens together: what the ledger and the buckets say, and neither without the other.
async fn take_schedule(store: Arc<RedisUsage>, _: Redis, number: u64) {
    let mut random = Rng::with_seed(number);
    let counter = Counter { plan: "both".into(), subject: u128::from(number) };
    let limit = pick(&mut random, &[Some(0), Some(3), Some(20), Some(1_000)]);
    let (mut ledger, mut holders) =
        (LeaseLedger::default(), [1, 2].map(|number| Holder { number, ..Holder::default() }));
    let ids = [BucketId::Key(counter.clone()), BucketId::Stage(format!("both{number}").into(), 7)];
    let buckets = ids.map(|id| BucketAsk {
        id,
        throttle: throttle(&mut random),
        past: PastRates::default(),
        shadow: random.u8(..5) == 0,
    });
    let mut states = [Bucket::default(); 2];
    let mut now = NOON;
    for step in 0..10 {
        now += microseconds(&mut random) % 50_000_000;
        let holder = &mut holders[random.usize(..2)];
        let cost = pick(&mut random, &[1, 1, 2, 5, 100]);
        let mut ask = holder.ask(&counter, limit, now, &mut random);
        (ask.least, ask.need) = (cost.into(), u64::from(cost) + random.u64(..3));
        let tokens = ThrottleAsk { buckets: buckets.to_vec(), tokens: Tokens::Take(cost), now: Some(now) };
        let mut levels = None;
        let mut lease = ledger.ask_if(&ask, now, || {
            let found = levels.insert(charge(&mut states, &tokens, now * 1_000));
            !tokens.buckets.iter().zip(found).any(|(bucket, level)| level.lacked && !bucket.shadow)
        });
        // See `lease_schedule`: all of this happens within the time that records are kept.
        if lease.standing == Standing::Settled {
            lease.standing = Standing::Lost;
        }
        let found = store.take(&ask, &tokens).unwrap().await.unwrap();
        assert_eq!(found, Taken { lease, levels }, "schedule {number}, step {step}: {ask:?} {tokens:?}");
        (holder.hold, holder.answered) = (holder.hold.saturating_add(found.lease.granted), true);
    }
}

#[test]
fn random_schedules_take_units_and_tokens_together_or_not_at_all() {
    let Some(server) = RedisServer::start() else { return };
    all_schedules(&server, take_schedule);
}

#[test]
fn random_schedules_lend_the_units_that_the_ledger_lends() {
    let Some(server) = RedisServer::start() else { return };
    all_schedules(&server, lease_schedule);
}

#[test]
fn a_caller_that_is_forgotten_leaves_nothing() {
    let Some(server) = RedisServer::start() else { return };
    run(async {
        let redis = Redis::new(&server.url()).unwrap().prefix("shop").unwrap();
        let store = RedisUsage::new(redis).deadline(LONG);
        let counter = Counter { plan: "gold".into(), subject: 0xab };
        let mut holder = Holder { number: 5, ..Holder::default() };
        let ask = holder.ask(&counter, Some(10), NOON, &mut Rng::with_seed(1));
        store
            .lease(LeaseAsk { now: None, used: vec![DayUse { day: 20_000, units: 3 }], ..ask })
            .await
            .unwrap();
        let throttle = Throttle::new(1.0, 5).unwrap();
        let ids = [BucketId::Key(counter.clone()), BucketId::Method(counter.clone(), 9), BucketId::Account];
        let buckets =
            ids.map(|id| BucketAsk { id, throttle, past: PastRates::default(), shadow: false }).to_vec();
        store.throttle(ThrottleAsk { buckets, tokens: Tokens::Take(1), now: None }).await.unwrap();
        let subject = "000000000000000000000000000000ab";
        let name = |kind: &str| format!("{{shop}}:{kind}:gold:{subject}");
        let all = ["bucket", "counter", "days", "methods"].map(name);
        assert_eq!(server.keys(), [vec!["{shop}:account".to_owned()], all.to_vec()].concat());
        server.assert_all_expire();
        // A bucket lives until it is full, and a second or two; the unit is the millisecond.
        let life: i64 = server.command(&["PTTL", "{shop}:account"]);
        assert!((2_000..=3_001).contains(&life), "{life}");
        store.forget(counter).await.unwrap();
        assert_eq!(server.keys(), ["{shop}:account"]);
        let gone = super::server::eventually_async("a full bucket leaves", || server.keys().is_empty());
        gone.await;
    });
}

//! The property suite of usage stores on a file: whatever happens, clean restarts included, one process with a file
//! decides as one with memory.

use super::Place;
use crate::{
    support::run,
    usage_stores::suite::{Suite, forgets_one_plan, same_decisions, schedules},
};
use futures_util::FutureExt;
use std::{
    collections::HashMap,
    fmt,
    future::ready,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tower_gateway::{
    redb::{FileUsageStore, StateFile},
    store::{StoreError, StoreFuture},
    usage_plan::store::{
        BucketLevel, Counter, Lease, LeaseAsk, RemainingAsk, Standing, StoredUsage, ThrottleAsk, UsageAsk,
        UsageStore,
    },
};

/// A file that is closed and opened again whenever nobody holds units and somebody asks for the first: that is when a
/// process has ended cleanly and the next one starts. Each schedule has counters of its own.
struct Restarting {
    file: Arc<Mutex<Opened>>,
    schedule: u64,
}

struct Opened {
    path: PathBuf,
    file: Option<StateFile>,
    held: HashMap<u128, u64>,
    restarts: u64,
}

impl Opened {
    fn restart_if_nothing_is_held(&mut self) {
        if self.held.values().all(|held| *held == 0) {
            self.restarts += 1;
            self.held.clear();
            self.file.take().into_iter().for_each(|file| file.close());
        }
    }

    fn store(&mut self) -> FileUsageStore {
        let file = self.file.get_or_insert_with(|| StateFile::open(&self.path).unwrap());
        file.usage_store()
    }
}

impl fmt::Debug for Restarting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Restarting")
    }
}

impl Restarting {
    fn store(&self) -> FileUsageStore {
        self.file.lock().unwrap().store()
    }

    fn own(&self, counter: &Counter) -> Counter {
        Counter::new(format!("{}-{}", counter.plan, self.schedule), counter.subject)
    }
}

impl UsageStore for Restarting {
    fn shares_throttles(&self) -> bool {
        self.store().shares_throttles()
    }

    fn lease(&self, mut ask: LeaseAsk) -> StoreFuture<Lease> {
        ask.counter = self.own(&ask.counter);
        let (holder, hold) = (ask.holder, ask.hold);
        let mut opened = self.file.lock().unwrap();
        if ask.fresh && self.schedule.is_multiple_of(10) {
            opened.restart_if_nothing_is_held();
        }
        let answer = at_once(opened.store().lease(ask));
        let granted = answer.as_ref().map_or(0, |lease| lease.granted);
        let stands = answer.as_ref().is_ok_and(|lease| lease.standing == Standing::Current);
        opened.held.insert(holder, if stands { hold + granted } else { hold });
        Box::pin(ready(answer))
    }

    fn throttle(&self, ask: ThrottleAsk) -> StoreFuture<Vec<BucketLevel>> {
        self.store().throttle(ask)
    }

    fn usage(&self, mut ask: UsageAsk) -> StoreFuture<StoredUsage> {
        ask.counter = self.own(&ask.counter);
        self.store().usage(ask)
    }

    fn set_remaining(&self, mut ask: RemainingAsk) -> StoreFuture<()> {
        ask.counter = self.own(&ask.counter);
        Box::pin(ready(at_once(self.store().set_remaining(ask))))
    }

    fn forget(&self, counter: Counter) -> StoreFuture<()> {
        self.store().forget(self.own(&counter))
    }

    fn forget_plan(&self, plan: Arc<str>) -> StoreFuture<()> {
        self.store().forget_plan(self.own(&Counter::new(plan, 0)).plan)
    }
}

/// Waits for the disk here and now: virtual time stands still while it turns, and what is asked in the background is
/// then answered before anything else happens.
fn at_once<T>(mut answer: StoreFuture<T>) -> Result<T, StoreError> {
    loop {
        match answer.as_mut().now_or_never() {
            Some(answer) => return answer,
            None => std::thread::yield_now(),
        }
    }
}

/// Where forcing to the disk costs nothing, if there is such a place: ten thousand schedules commit often.
fn place(name: &str) -> Place {
    let memory = std::path::Path::new("/dev/shm");
    match memory.is_dir() {
        true => Place::at(memory, name),
        false => Place::new(name),
    }
}

#[test]
fn random_schedules_are_decided_as_by_memory() {
    let half = schedules() / 2;
    let restarts: u64 = std::thread::scope(|scope| {
        let halves: Vec<_> = [0, half]
            .map(|first| {
                scope.spawn(move || {
                    let place = place(&format!("suite-{first}"));
                    let opened =
                        Opened { path: place.0.clone(), file: None, held: HashMap::new(), restarts: 0 };
                    let (file, mut schedule) = (Arc::new(Mutex::new(opened)), first);
                    let suite = Suite { schedules: half, steps: 30, first, pause: None };
                    run(same_decisions(suite, |_| {
                        file.lock().unwrap().held.clear();
                        schedule += 1;
                        Restarting { file: Arc::clone(&file), schedule: schedule - 1 }
                    }));
                    file.lock().unwrap().restarts
                })
            })
            .into();
        halves.into_iter().map(|half| half.join().unwrap()).sum()
    });
    println!("{restarts} clean restarts in a tenth of {} schedules", 2 * half);
    assert!(restarts > half / 5, "{restarts}");
}

#[test]
fn a_plan_is_forgotten_whole_and_no_other() {
    let place = place("forgotten");
    let file = StateFile::open(&place.0).unwrap();
    run(forgets_one_plan(&file.usage_store()));
}

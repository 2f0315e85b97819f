//! Who is told that a counter was recalled or changed: a task hands on what other processes publish, and another one says
//! that this process is one of them.

use super::{
    connection::Redis,
    counters::News,
    roll::Roll,
    subscription::{Notice, Subscription},
};
use crate::usage_plan::store::UsageListener;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::task::JoinHandle;

/// The listeners of a store, and the tasks that keep them in touch. They begin with the first call that is made on a
/// runtime, and end with the store.
pub(super) struct Newsroom {
    redis: Redis,
    channel: String,
    /// Tells our own recalls from those of others.
    number: u64,
    listeners: Arc<Listeners>,
    pub(super) roll: Arc<Roll>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Listeners(Mutex<Vec<Weak<dyn UsageListener>>>);

impl Newsroom {
    pub(super) fn new(redis: Redis, channel: String) -> Self {
        let number = fastrand::u64(1..);
        let roll = Arc::new(Roll::new(&redis));
        Self { redis, channel, number, listeners: Arc::default(), roll, tasks: Mutex::default() }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn add(&self, listener: Weak<dyn UsageListener>) {
        self.listeners.lock().push(listener);
        self.ensure_open();
    }

    /// Subscribes, if somebody listens and nobody hands on yet: at first, or since a runtime has ended.
    pub(super) fn ensure_open(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        if !tasks.is_empty() || self.listeners.lock().is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (subscription, listeners) = (self.redis.subscribe(&self.channel), Arc::clone(&self.listeners));
        let (redis, roll) = (self.redis.clone(), Arc::clone(&self.roll));
        tasks.push(runtime.spawn(hand_on(subscription, listeners, self.number)));
        tasks.push(runtime.spawn(async move { roll.keep_saying(&redis).await }));
    }
}

impl Drop for Newsroom {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for Newsroom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newsroom").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn UsageListener>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are still there, so that none is told under the lock.
    fn present(&self) -> Vec<Arc<dyn UsageListener>> {
        let mut listeners = self.lock();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.iter().filter_map(Weak::upgrade).collect()
    }
}

/// What was missed while the connection was away is found out at the end of a lease.
async fn hand_on(mut subscription: Subscription, listeners: Arc<Listeners>, own: u64) {
    loop {
        let Notice::Message(message) = subscription.next().await else { continue };
        let Some(news) = News::decode(&message) else { continue };
        for listener in listeners.present() {
            match &news {
                News::Recalled(_, sender) if *sender == own => {}
                News::Recalled(counter, _) => listener.recalled(counter),
                News::Changed(counter) => listener.changed(counter),
            }
        }
    }
}

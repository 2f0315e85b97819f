//! Who is told that a counter was recalled or changed: one task hands on what other processes publish.

use super::{
    connection::Redis,
    counters::News,
    subscription::{Notice, Subscription},
};
use crate::usage_plan::store::UsageListener;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::task::JoinHandle;

/// The listeners of a store, and the task that tells them. It begins with the first call that is made on a runtime, and
/// ends with the store.
pub(super) struct Newsroom {
    redis: Redis,
    channel: String,
    /// Tells our own recalls from those of others.
    number: u64,
    listeners: Arc<Listeners>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Listeners(Mutex<Vec<Weak<dyn UsageListener>>>);

impl Newsroom {
    pub(super) fn new(redis: Redis, channel: String) -> Self {
        let number = fastrand::u64(1..);
        Self { redis, channel, number, listeners: Arc::default(), task: Mutex::default() }
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
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) || self.listeners.lock().is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (subscription, listeners) = (self.redis.subscribe(&self.channel), Arc::clone(&self.listeners));
        *task = Some(runtime.spawn(hand_on(subscription, listeners, self.number)));
    }
}

impl Drop for Newsroom {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        task.iter().for_each(JoinHandle::abort);
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

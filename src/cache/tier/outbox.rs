//! Purges of this process that have no number yet: sent until the tier takes them.
//!
//! While a purge has no number, nothing can be held against it: so nothing of what it may concern is read meanwhile. All
//! that wait travel together, so many of them take no longer than one. What becomes too much becomes a flush.

use super::{front::Tier, words};
use crate::{cache::purge::Purge, clock::Clock};
use bytes::Bytes;
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Purges that wait, and bytes of them.
const MOST: usize = 256;
const MOST_BYTES: usize = 32 * 1024;
/// Nobody's request waits for these calls.
const PATIENCE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// The last step that was sent, and the number that its record was given.
    sent: watch::Sender<(u64, u64)>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Purge>,
    under_way: Vec<Purge>,
    /// How many there have been.
    steps: u64,
    has_sender: bool,
}

/// What is sent as one.
#[derive(Debug)]
struct Batch {
    step: u64,
    purges: Vec<Bytes>,
}

impl Outbox {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, purge: &Purge) -> u64 {
        let mut queue = self.queue();
        // One that waits says it for both; one that is on its way may have its number already.
        if !queue.waiting.contains(purge) {
            queue.waiting.push(purge.clone());
            queue.bound();
        }
        queue.steps += 1;
        queue.steps
    }

    /// Whether a value under that key may be one of those that are to go. Tags of values that are not read are not known.
    pub(super) fn may_mean(&self, key: &[u8]) -> bool {
        let queue = self.queue();
        queue.waiting.iter().chain(&queue.under_way).any(|purge| purge.means_key(key))
    }

    /// Waits until all up to that step are sent, and gives back a number by which they were.
    pub(super) async fn numbered(&self, step: u64) -> u64 {
        let mut sent = self.sent.subscribe();
        let reached = sent.wait_for(|(last, _)| *last >= step).await;
        reached.map_or(0, |sent| sent.1)
    }

    fn sent(&self, step: u64, number: u64) {
        self.queue().under_way.clear();
        self.sent.send_replace((step, number));
    }
}

impl Queue {
    /// What the tier did not take waits with the others.
    fn take_back(&mut self) {
        let later = mem::replace(&mut self.waiting, mem::take(&mut self.under_way));
        self.waiting.extend(later);
        self.bound();
    }

    fn bound(&mut self) {
        let bytes = || self.waiting.iter().map(Purge::size).sum::<usize>();
        if self.waiting.len() > MOST || self.waiting.len() > 1 && bytes() > MOST_BYTES {
            self.waiting = vec![Purge::all()];
        }
    }

    fn next(&mut self) -> Option<Batch> {
        if self.waiting.is_empty() {
            return None;
        }
        self.under_way = mem::take(&mut self.waiting);
        Some(Batch { step: self.steps, purges: self.under_way.iter().map(Purge::to_bytes).collect() })
    }
}

impl Tier {
    /// Tells every process of a purge, behind the caller's back, and gives back its step. Whoever calls this puts it in
    /// force here afterwards: so what was read from the tier before is seen to be too old.
    pub(in crate::cache) fn tell(self: &Arc<Self>, purge: &Purge) -> u64 {
        let step = self.outbox.push(purge);
        self.send_behind();
        step
    }

    /// Sends what waits, unless somebody does.
    pub(super) fn send_behind(self: &Arc<Self>) {
        let mut queue = self.outbox.queue();
        if queue.waiting.is_empty() || mem::replace(&mut queue.has_sender, true) {
            return;
        }
        drop(queue);
        let sender = Sender { outbox: Arc::clone(&self.outbox), is_done: false };
        self.store.spawn(Box::pin(sender.run(Arc::clone(self))));
    }

    /// `false`: the tier did not take it, as far as is known.
    async fn send(&self, batch: &Batch) -> bool {
        let announced = self.store.announce(words::to_bytes(self.maker, &batch.purges));
        let number = self.in_time(PATIENCE, announced).await;
        number.map(|number| self.outbox.sent(batch.step, number)).is_ok()
    }
}

/// The one that sends. If it goes before all is sent, another one may begin.
struct Sender {
    outbox: Arc<Outbox>,
    is_done: bool,
}

impl Sender {
    async fn run(mut self, mut tier: Arc<Tier>) {
        let mut pause = FIRST_PAUSE;
        while let Some(batch) = self.next() {
            if tier.send(&batch).await {
                pause = FIRST_PAUSE;
                continue;
            }
            self.outbox.queue().take_back();
            // A cache that is dropped meanwhile has nothing to say any more.
            let (waiting, clock) = (Arc::downgrade(&tier), Clock::clone(&tier.clock));
            drop(tier);
            clock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let Some(still) = waiting.upgrade() else { return };
            tier = still;
        }
    }

    /// Under one lock: what comes after the last one finds no sender.
    fn next(&mut self) -> Option<Batch> {
        let mut queue = self.outbox.queue();
        let batch = queue.next();
        if batch.is_none() {
            queue.has_sender = false;
            self.is_done = true;
        }
        batch
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.is_done {
            let mut queue = self.outbox.queue();
            queue.take_back();
            queue.has_sender = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(path: &str) -> Purge {
        Purge::exactly(path.as_bytes())
    }

    fn keys(batch: &Batch) -> Vec<Bytes> {
        batch.purges.clone()
    }

    #[test]
    fn what_waits_travels_together_and_in_vain_once_more() {
        let outbox = Outbox::default();
        assert_eq!((outbox.push(&about("a")), outbox.push(&about("b"))), (1, 2));
        let first = outbox.queue().next().unwrap();
        assert_eq!(first.step, 2);
        assert_eq!(keys(&first), ["a", "b"].map(|path| about(path).to_bytes()));
        assert_eq!((outbox.push(&about("c")), outbox.push(&about("c"))), (3, 4), "once is enough");
        outbox.queue().take_back();
        let again = outbox.queue().next().unwrap();
        assert_eq!(again.step, 4);
        assert_eq!(keys(&again), ["a", "b", "c"].map(|path| about(path).to_bytes()));
        outbox.sent(again.step, 70);
        assert_eq!((outbox.queue().next().is_none(), *outbox.sent.borrow()), (true, (4, 70)));
    }

    #[test]
    fn what_is_too_much_becomes_a_flush() {
        let outbox = Outbox::default();
        (0..MOST).for_each(|index| assert_eq!(outbox.push(&about(&index.to_string())), index as u64 + 1));
        assert_eq!(outbox.queue().next().unwrap().purges.len(), MOST);
        outbox.push(&about("one more"));
        outbox.queue().take_back();
        let batch = outbox.queue().next().unwrap();
        assert_eq!((batch.step, keys(&batch)), (MOST as u64 + 1, vec![Purge::all().to_bytes()]));
        outbox.sent(batch.step, 1);
        let long = "x".repeat(MOST_BYTES);
        outbox.push(&about(&long));
        assert_eq!(
            keys(&outbox.queue().next().unwrap()),
            [about(&long).to_bytes()],
            "one is as long as it is"
        );
        outbox.push(&about("and one"));
        outbox.queue().take_back();
        assert_eq!(keys(&outbox.queue().next().unwrap()), [Purge::all().to_bytes()]);
    }
}

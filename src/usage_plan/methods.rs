//! Buckets of a key for one method: made on first use, gone when they are full again and room is needed.

use super::directory::PlanState;
use crate::throttle::{Throttle, bucket::Bucket};
use hashbrown::HashTable;

#[derive(Clone, Debug)]
struct MethodBucket {
    subject: u128,
    plan: u32,
    method: u64,
    bucket: Bucket,
    /// The numbers of the last use: they say when the bucket is full.
    throttle: Throttle,
}

impl MethodBucket {
    /// Subjects are digests, so they need no further hashing.
    fn hash(subject: u128, plan: u32, method: u64) -> u64 {
        subject as u64 ^ method ^ u64::from(plan).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn is(&self, subject: u128, plan: u32, method: u64) -> bool {
        (self.subject, self.plan, self.method) == (subject, plan, method)
    }

    fn rehash(&self) -> u64 {
        Self::hash(self.subject, self.plan, self.method)
    }
}

/// The side table of a shard. A bucket that is not here is full.
#[derive(Debug, Default)]
pub(super) struct MethodBuckets(HashTable<MethodBucket>);

impl MethodBuckets {
    pub(super) fn get(&self, subject: u128, plan: u32, method: u64) -> Bucket {
        let hash = MethodBucket::hash(subject, plan, method);
        self.0
            .find(hash, |kept| kept.is(subject, plan, method))
            .map_or_else(Bucket::default, |kept| kept.bucket)
    }

    pub(super) fn put(
        &mut self,
        (subject, plan, method): (u128, u32, u64),
        bucket: Bucket,
        throttle: Throttle,
        now: u64,
    ) {
        let hash = MethodBucket::hash(subject, plan, method);
        if let Some(kept) = self.0.find_mut(hash, |kept| kept.is(subject, plan, method)) {
            (kept.bucket, kept.throttle) = (bucket, throttle);
            return;
        }
        self.make_room(now);
        let new = MethodBucket { subject, plan, method, bucket, throttle };
        self.0.insert_unique(hash, new, MethodBucket::rehash);
    }

    /// Drops full buckets before the table would grow; grows it when most are still in use, so that the next look
    /// is far off.
    fn make_room(&mut self, now: u64) {
        if self.0.len() < self.0.capacity() {
            return;
        }
        self.0.retain(|kept| kept.bucket.full_in(kept.throttle, now) != Some(0));
        if self.0.len() > self.0.capacity() / 2 {
            self.0.reserve(self.0.len().max(4), MethodBucket::rehash);
        }
    }

    /// After an edit of a plan: its buckets as the edit found them, with the numbers that say from here on when they are
    /// full.
    pub(super) fn repace(&mut self, plan: &PlanState) {
        for kept in self.0.iter_mut().filter(|kept| kept.plan == plan.slot) {
            kept.bucket = plan.past_of(Some(kept.method)).settle(kept.bucket);
            kept.throttle = plan.throttle_of(Some(kept.method)).unwrap_or(kept.throttle);
        }
    }

    /// Drops those of whom `is_gone` says so, by subject and plan. Goes over all of them.
    pub(super) fn forget(&mut self, is_gone: impl Fn((u128, u32)) -> bool) {
        self.0.retain(|kept| !is_gone((kept.subject, kept.plan)));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_buckets_leave_when_room_is_needed() {
        let throttle = Throttle::new(1.0, 1).unwrap();
        let spent = Bucket::default().overdraw(throttle, 0, 1);
        let mut buckets = MethodBuckets::default();
        for second in 0..10_000_u64 {
            let now = second * 1_000_000_000;
            let spent = spent.overdraw(throttle, now, 1);
            buckets.put((u128::from(second) << 7, 0, second), spent, throttle, now);
        }
        assert!(buckets.len() < 32, "{}", buckets.len());
    }

    #[test]
    fn buckets_in_use_stay() {
        let once = Throttle::new(0.0, 1).unwrap();
        let spent = Bucket::default().overdraw(once, 0, 1);
        let mut buckets = MethodBuckets::default();
        for method in 0..1_000 {
            buckets.put((9, 0, method), spent, once, method);
        }
        assert!((0..1_000).all(|method| buckets.get(9, 0, method) == spent));
        assert_eq!(buckets.get(8, 0, 3), Bucket::default());
        buckets.forget(|of| of == (9, 0));
        assert_eq!(buckets.len(), 0);
    }
}

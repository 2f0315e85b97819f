//! The purges that this process knows of, by number: an entry out of the tier is held against those that it has not seen.

use crate::cache::{purge::Purge, store::StoredValue};
use std::collections::VecDeque;

/// Older ones are forgotten, and with them every entry that has not seen them.
const MOST: usize = 1024;

/// What the purges say to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Good,
    /// Purged softly: it is stale.
    Stale,
    /// Purged, or nobody can say.
    Gone,
}

#[derive(Debug, Default)]
pub(super) struct PurgeLog {
    /// Purges up to here are in force.
    applied: u64,
    /// What is known begins after this number.
    floor: u64,
    known: VecDeque<(u64, Purge)>,
}

impl PurgeLog {
    #[cfg(test)]
    pub(super) fn applied(&self) -> u64 {
        self.applied
    }

    /// The next purge; `false`: it has come already.
    pub(super) fn push(&mut self, number: u64, purge: Purge) -> bool {
        if number <= self.applied {
            return false;
        }
        self.applied = number;
        self.known.push_back((number, purge));
        if self.known.len() > MOST {
            self.floor = self.known.pop_front().map_or(self.floor, |(number, _)| number);
        }
        true
    }

    /// What came up to here was about something else.
    pub(super) fn pass(&mut self, number: u64) {
        self.applied = self.applied.max(number);
    }

    /// Nothing is known of what came up to here.
    pub(super) fn reset(&mut self, number: u64) {
        *self = Self { applied: number, floor: number, known: VecDeque::new() };
    }

    /// `seen`: the last purge before the entry's call began; `now`: the last there is.
    pub(super) fn judge(&self, seen: u64, now: u64, key: &[u8], value: &StoredValue) -> Judged {
        // A purge that has not arrived here might be about it, and a number that is yet to come is from another time.
        if now > self.applied || seen < self.floor || seen > self.applied {
            return Judged::Gone;
        }
        let about = self.known.iter().filter(|(number, purge)| *number > seen && purge.means(key, value));
        about.fold(Judged::Good, |judged, (_, purge)| match (judged, purge.is_soft()) {
            (Judged::Gone, _) | (_, false) => Judged::Gone,
            (_, true) => Judged::Stale,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::store::Slot;

    fn mark() -> StoredValue {
        StoredValue(Slot::Pass { until: 1 })
    }

    /// A key of six parts, of which the last is a path.
    fn key(path: &str) -> Vec<u8> {
        let mut key = vec![0; 20];
        crate::cache::codec::put_text(&mut key, path.as_bytes());
        key[20..24].reverse();
        key
    }

    #[test]
    fn an_entry_is_held_against_what_it_has_not_seen() {
        let mut log = PurgeLog::default();
        assert!(log.push(1, Purge::all().softly()) && log.push(2, Purge::exactly(&key("a"))));
        assert!(!log.push(2, Purge::all()), "in order only");
        let judge = |seen, now, path: &str| log.judge(seen, now, &key(path), &mark());
        assert_eq!(judge(0, 2, "a"), Judged::Gone);
        assert_eq!(judge(1, 2, "a"), Judged::Gone);
        assert_eq!(judge(2, 2, "a"), Judged::Good);
        assert_eq!(judge(0, 2, "b"), Judged::Stale);
        assert_eq!(judge(1, 2, "b"), Judged::Good);
        assert_eq!(judge(2, 3, "b"), Judged::Gone, "the third has not arrived");
        assert_eq!(judge(3, 2, "b"), Judged::Gone, "of a time that has not been");
        log.pass(5);
        assert_eq!(log.judge(2, 5, &key("b"), &mark()), Judged::Good);
        assert_eq!(log.judge(1, 5, &key("a"), &mark()), Judged::Gone);
    }

    #[test]
    fn what_is_forgotten_counts_as_purged() {
        let mut log = PurgeLog::default();
        (1..=MOST as u64 + 1).for_each(|number| assert!(log.push(number, Purge::exactly(b"x"))));
        let last = log.applied();
        assert_eq!(log.judge(0, last, &key("a"), &mark()), Judged::Gone);
        assert_eq!(log.judge(1, last, &key("a"), &mark()), Judged::Good);
        log.reset(5000);
        assert_eq!(log.judge(last, 5000, &key("a"), &mark()), Judged::Gone);
        assert_eq!(log.judge(5000, 5000, &key("a"), &mark()), Judged::Good);
        assert!(log.push(5001, Purge::all()));
    }
}

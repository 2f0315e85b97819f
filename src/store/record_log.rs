//! Records that this process knows of, by number: what comes out of a store is held against those that it has not seen.

use std::collections::VecDeque;

/// Older ones are forgotten, and with them everything that has not seen them.
const MOST: usize = 1024;

/// The last records about one thing, and up to which number all are known.
#[derive(Debug)]
pub(crate) struct RecordLog<T> {
    /// Records up to here are in force.
    applied: u64,
    /// What is known begins after this number.
    floor: u64,
    known: VecDeque<(u64, T)>,
}

impl<T> Default for RecordLog<T> {
    fn default() -> Self {
        Self { applied: 0, floor: 0, known: VecDeque::new() }
    }
}

impl<T> RecordLog<T> {
    /// The next record; `false`: it has come already.
    pub(crate) fn push(&mut self, number: u64, record: T) -> bool {
        if number <= self.applied {
            return false;
        }
        self.applied = number;
        self.known.push_back((number, record));
        if self.known.len() > MOST {
            self.floor = self.known.pop_front().map_or(self.floor, |(number, _)| number);
        }
        true
    }

    /// What came up to here was about something else.
    pub(crate) fn pass(&mut self, number: u64) {
        self.applied = self.applied.max(number);
    }

    /// Nothing is known of what came up to here.
    pub(crate) fn reset(&mut self, number: u64) {
        *self = Self { applied: number, floor: number, known: VecDeque::new() };
    }

    /// The records that something has not seen. `seen`: the last one before it began; `now`: the last there is. `None`:
    /// nobody can say.
    pub(crate) fn after(&self, seen: u64, now: u64) -> Option<impl Iterator<Item = &T>> {
        // One that has not arrived here might be about it, and a number that is yet to come is from another time.
        if now > self.applied || seen < self.floor || seen > self.applied {
            return None;
        }
        Some(self.known.iter().filter(move |(number, _)| *number > seen).map(|(_, record)| record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_told_in_order_and_only_where_all_is_known() {
        let mut log = RecordLog::default();
        assert!(log.push(1, 'a') && log.push(2, 'b') && !log.push(2, 'c'), "in order only");
        let after = |log: &RecordLog<char>, seen, now| Some(log.after(seen, now)?.collect::<String>());
        assert_eq!(after(&log, 0, 2).as_deref(), Some("ab"));
        assert_eq!(after(&log, 1, 2).as_deref(), Some("b"));
        assert_eq!(after(&log, 2, 3), None, "the third has not arrived");
        assert_eq!(after(&log, 3, 2), None, "of a time that has not been");
        log.pass(5);
        assert_eq!(after(&log, 2, 5).as_deref(), Some(""));
        log.reset(9);
        assert_eq!((after(&log, 8, 9), after(&log, 9, 9).as_deref()), (None, Some("")));
    }

    #[test]
    fn what_is_older_than_the_log_is_unknown() {
        let mut log = RecordLog::default();
        (1..=MOST as u64 + 1).for_each(|number| assert!(log.push(number, ())));
        let last = MOST as u64 + 1;
        assert!(log.after(0, last).is_none());
        assert_eq!(log.after(1, last).unwrap().count(), MOST);
    }
}

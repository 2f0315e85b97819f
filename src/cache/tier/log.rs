//! The purges that this process knows of, by number: an entry out of the tier is held against those that it has not seen.

use crate::{
    cache::{purge::Purge, store::StoredValue},
    store::RecordLog,
};

/// The purges that this process knows of, as they were told together.
pub(super) type PurgeLog = RecordLog<Box<[Purge]>>;

/// What the purges say to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Good,
    /// Purged softly: it is stale.
    Stale,
    /// Purged, or nobody can say.
    Gone,
}

/// `seen`: the last purge before the entry's call began; `now`: the last there is.
pub(super) fn judge(log: &PurgeLog, seen: u64, now: u64, key: &[u8], value: &StoredValue) -> Judged {
    let Some(purges) = log.after(seen, now) else { return Judged::Gone };
    let about = purges.flatten().filter(|purge| purge.means(key, value));
    about.fold(Judged::Good, |judged, purge| match (judged, purge.is_soft()) {
        (Judged::Gone, _) | (_, false) => Judged::Gone,
        (_, true) => Judged::Stale,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::store::Slot;

    fn mark() -> StoredValue {
        StoredValue(Slot::Pass { until: 1, of_credentials: false })
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
        let other = Purge::all().stage("other");
        assert!(log.push(1, [Purge::all().softly()].into()));
        assert!(log.push(2, [other.clone(), Purge::exactly(&key("a"))].into()));
        assert!(!log.push(2, [other].into()), "in order only");
        let judged = |log: &PurgeLog, seen, path| judge(log, seen, 2, &key(path), &mark());
        assert_eq!([0, 1, 2].map(|seen| judged(&log, seen, "a")), [Judged::Gone, Judged::Gone, Judged::Good]);
        assert_eq!(
            [0, 1, 2].map(|seen| judged(&log, seen, "b")),
            [Judged::Stale, Judged::Good, Judged::Good]
        );
        assert_eq!(judged(&log, 3, "b"), Judged::Gone, "of a time that has not been");
        log.reset(5);
        assert_eq!(judged(&log, 2, "b"), Judged::Gone, "what is forgotten counts as purged");
    }
}

//! How much of bodies that are on their way is kept, of all calls together: a body that may be stored is kept from its
//! start, however slowly it is read, and how many there are is for clients to say.

use super::store::StoreUsage;
use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Who keeps a body.
pub(super) trait Holder: Send + Sync {
    fn held(&self) -> Held;

    /// Keeps nothing any more, but what somebody has yet to read.
    fn give_up(&self);
}

/// What one holder keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) bytes: u64,
    /// When something came last: after everything that has a smaller number.
    pub(super) moved: u64,
}

/// Bytes of all calls, and how many there may be.
#[derive(Debug)]
pub(super) struct UnderWay {
    bytes: AtomicU64,
    most: u64,
    moves: AtomicU64,
    holders: Mutex<HashMap<u64, Weak<dyn Holder>>>,
}

/// This part of the store's capacity, and as much as two of the longest answers in any case.
const PART: u64 = 4;
/// Where room is made, this part of it stays free: not each piece that comes is to look at every holder.
const SPARE: u64 = 8;

impl UnderWay {
    /// `entry`: the longest body that is stored, for a store that does not say what it takes.
    pub(super) fn beside(store: StoreUsage, entry: usize) -> Self {
        let longest = store.largest.max(entry as u64);
        let most = (store.capacity / PART).max(longest.saturating_mul(2));
        Self { bytes: AtomicU64::new(0), most, moves: AtomicU64::new(0), holders: Mutex::default() }
    }

    fn holders(&self) -> MutexGuard<'_, HashMap<u64, Weak<dyn Holder>>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that is larger than those before it.
    fn next(&self) -> u64 {
        self.moves.fetch_add(1, Relaxed)
    }

    /// Has those give up that have stood still for longest, at first of those that keep more than their share. Who has
    /// just moved comes last, so that clients that stand still take nothing from the others. Not for under a holder's
    /// lock.
    #[cold]
    pub(super) fn make_room(&self) {
        let mut all: Vec<_> = self.holders().values().filter_map(Weak::upgrade).collect();
        let share = self.most / (all.len() as u64).max(1);
        all.sort_by_cached_key(|holder| {
            let Held { bytes, moved } = holder.held();
            (bytes < share, moved)
        });
        let enough = self.most - self.most / SPARE;
        for holder in all {
            if self.bytes.load(Relaxed) <= enough {
                return;
            }
            holder.give_up();
        }
    }
}

/// What one call keeps.
#[derive(Debug)]
pub(super) struct Kept {
    of: Arc<UnderWay>,
    number: u64,
    held: Held,
}

impl Kept {
    pub(super) fn nothing_of(all: &Arc<UnderWay>, holder: Weak<dyn Holder>) -> Self {
        let number = all.next();
        all.holders().insert(number, holder);
        Self { of: Arc::clone(all), number, held: Held { bytes: 0, moved: number } }
    }

    pub(super) fn held(&self) -> Held {
        self.held
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.held = Held { bytes: self.held.bytes + bytes, moved: self.of.next() };
        self.of.bytes.fetch_add(bytes, Relaxed);
    }

    /// Whether it is not too much, with what all the others keep.
    pub(super) fn fits(&self) -> bool {
        self.of.bytes.load(Relaxed) <= self.of.most
    }

    /// Keeps nothing any more, but what somebody has yet to read.
    pub(super) fn release(&mut self) {
        self.of.bytes.fetch_sub(mem::take(&mut self.held.bytes), Relaxed);
        let holder = self.of.holders().remove(&self.number);
        drop(holder);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it is told to.
    struct Reader(Mutex<Kept>);

    impl Holder for Reader {
        fn held(&self) -> Held {
            self.0.lock().unwrap().held()
        }

        fn give_up(&self) {
            self.0.lock().unwrap().release();
        }
    }

    /// With room for 800 bytes.
    fn all() -> Arc<UnderWay> {
        let store = StoreUsage { capacity: 3_200, largest: 10, ..StoreUsage::default() };
        Arc::new(UnderWay::beside(store, 10))
    }

    fn reader(all: &Arc<UnderWay>, bytes: u64) -> Arc<Reader> {
        let reader = Arc::new_cyclic(|reader: &Weak<Reader>| {
            Reader(Mutex::new(Kept::nothing_of(all, reader.clone())))
        });
        reader.0.lock().unwrap().add(bytes);
        reader
    }

    fn bytes_of(all: &UnderWay) -> (u64, usize) {
        (all.bytes.load(Relaxed), all.holders().len())
    }

    #[test]
    fn what_is_kept_is_counted_until_it_is_released_or_dropped_and_once() {
        let all = all();
        let (first, second) = (reader(&all, 300), reader(&all, 400));
        assert_eq!(bytes_of(&all), (700, 2));
        first.give_up();
        first.give_up();
        assert_eq!(bytes_of(&all), (400, 1));
        drop(first);
        assert_eq!(bytes_of(&all), (400, 1));
        drop(second);
        assert_eq!(bytes_of(&all), (0, 0));
    }

    #[test]
    fn who_stands_still_for_longest_gives_up_and_who_keeps_little_does_not() {
        let all = all();
        let little = reader(&all, 5);
        let [first, second, third] = [300, 300, 300].map(|bytes| reader(&all, bytes));
        first.0.lock().unwrap().add(1);
        assert!(!third.0.lock().unwrap().fits());
        all.make_room();
        let left = [&little, &first, &second, &third].map(|reader| reader.held().bytes);
        assert_eq!(left, [5, 301, 0, 300]);
        assert!(third.0.lock().unwrap().fits());
        all.make_room();
        assert_eq!(bytes_of(&all), (606, 3), "there is room");
    }

    #[test]
    fn small_ones_give_up_where_that_is_all_there_is() {
        let all = all();
        let many: Vec<_> = (0..100).map(|_| reader(&all, 9)).collect();
        all.make_room();
        assert_eq!(bytes_of(&all), (693, 77), "an eighth is free");
        assert_eq!((many[22].held().bytes, many[23].held().bytes), (0, 9));
    }

    #[test]
    fn the_bound_is_a_quarter_or_two_of_the_longest() {
        let most = |capacity, largest, entry| {
            UnderWay::beside(StoreUsage { capacity, largest, ..StoreUsage::default() }, entry).most
        };
        assert_eq!((most(1_000, 100, 90), most(1_000, 200, 90)), (250, 400));
        assert_eq!(most(0, 0, 90), 180, "of a store that does not say");
    }
}

//! Counters of threads that do not meet: each thread counts on lines of its own, and a reader adds up.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Threads share them in turn. So what counts must be exact whichever thread counts beside it, and is seldom held up by it.
const STRIPES: usize = 8;

/// A `T` for each eighth of the threads, made when the first of them needs it. A line that two threads write to costs
/// more than what most of them count.
#[derive(Debug)]
pub(crate) struct Striped<T> {
    stripes: [OnceLock<Box<Apart<T>>>; STRIPES],
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Default for Striped<T> {
    fn default() -> Self {
        Self { stripes: [const { OnceLock::new() }; STRIPES] }
    }
}

impl<T: Default> Striped<T> {
    /// Where this thread counts.
    pub(crate) fn mine(&self) -> &T {
        &self.stripes[stripe()].get_or_init(Box::default).0
    }
}

impl<T> Striped<T> {
    /// All that there are.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.stripes.iter().filter_map(OnceLock::get).map(|stripe| &stripe.0)
    }
}

fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Relaxed) % STRIPES;
    }
    MINE.with(|mine| *mine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicU64, thread};

    #[test]
    fn what_threads_count_that_have_ended_is_kept_and_nothing_is_made_for_those_that_did_not() {
        let counts = Striped::<AtomicU64>::default();
        assert_eq!(counts.iter().count(), 0);
        for round in 1..=3 {
            thread::scope(|scope| {
                for _ in 0..20 {
                    scope.spawn(|| (0..1_000).for_each(|_| _ = counts.mine().fetch_add(1, Relaxed)));
                }
            });
            assert_eq!(counts.iter().map(|count| count.load(Relaxed)).sum::<u64>(), round * 20_000);
            assert!(counts.iter().count() <= STRIPES);
        }
    }

    #[test]
    fn a_thread_stays_where_it_is_and_the_next_one_counts_elsewhere() {
        let counts = Striped::<AtomicU64>::default();
        let mine = || std::ptr::from_ref(counts.mine()).addr();
        let own = mine();
        let others: Vec<_> =
            thread::scope(|scope| (0..2 * STRIPES).map(|_| scope.spawn(mine).join().unwrap()).collect());
        assert_eq!(mine(), own);
        assert!(others.iter().any(|other| *other != own));
        assert!(others.iter().all(|place| place % 128 == 0));
    }
}

//! All series by their labels, within the label budget.

use super::series::{Labels, Series};
use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// Chains at most: above, they grow longer.
const MOST_CHAINS: usize = 1 << 16;

/// Series are added and never removed, so whoever counts finds its own without a lock: a slot is empty, or it holds what
/// it holds for good.
#[derive(Debug)]
pub(super) struct Table {
    /// By the lowest bits of the hash. As many as the budget, so that most are short.
    chains: Box<[Chain]>,
    budget: usize,
    /// Series that count against the budget. Written by whoever holds `adding`.
    used: AtomicU64,
    adding: Mutex<()>,
    folded: AtomicU64,
}

type Chain = OnceLock<Box<Link>>;

#[derive(Debug)]
struct Link {
    hash: u64,
    series: Series,
    next: Chain,
}

impl Table {
    pub(super) fn within(budget: usize) -> Self {
        let chains = budget.clamp(1, MOST_CHAINS).next_power_of_two();
        Self {
            chains: (0..chains).map(|_| Chain::new()).collect(),
            budget,
            used: AtomicU64::new(0),
            adding: Mutex::default(),
            folded: AtomicU64::new(0),
        }
    }

    /// The series of these labels where it is known, or new and within the budget; else that of the folded ones.
    pub(super) fn series(&self, labels: Labels<'_>) -> &Series {
        let hash = labels.hash();
        self.find(labels, hash).unwrap_or_else(|| {
            self.add(labels, hash).unwrap_or_else(|| {
                self.folded.fetch_add(1, Relaxed);
                self.folded_series(labels.folded())
            })
        })
    }

    /// Series that are kept apart.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Acquire)
    }

    /// Requests that went to folded labels.
    pub(super) fn folded(&self) -> u64 {
        self.folded.load(Relaxed)
    }

    /// In no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Series> {
        self.chains.iter().flat_map(links).map(|link| &link.series)
    }

    fn chain(&self, hash: u64) -> &Chain {
        &self.chains[hash as usize & (self.chains.len() - 1)]
    }

    fn find(&self, labels: Labels<'_>, hash: u64) -> Option<&Series> {
        let mut next = self.chain(hash);
        while let Some(link) = next.get() {
            if link.hash == hash && link.series.has(labels) {
                return Some(&link.series);
            }
            next = &link.next;
        }
        None
    }

    /// `None` where the budget is spent.
    fn add(&self, labels: Labels<'_>, hash: u64) -> Option<&Series> {
        if self.used() >= self.budget as u64 {
            // The thread that took the last place meanwhile may have taken it for the same labels.
            return self.find(labels, hash);
        }
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = self.find(labels, hash) {
            return Some(found);
        }
        if self.used() >= self.budget as u64 {
            return None;
        }
        let added = self.append(labels, hash);
        // Afterwards: who finds the budget spent finds all that it was spent for.
        self.used.fetch_add(1, Release);
        Some(added)
    }

    /// Folded labels are few, and do not count against the budget.
    fn folded_series(&self, labels: Labels<'_>) -> &Series {
        let hash = labels.hash();
        self.find(labels, hash).unwrap_or_else(|| {
            let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
            self.find(labels, hash).unwrap_or_else(|| self.append(labels, hash))
        })
    }

    /// At the end of its chain. Only for who holds `adding`.
    fn append(&self, labels: Labels<'_>, hash: u64) -> &Series {
        let chain = self.chain(hash);
        let end = links(chain).last().map_or(chain, |link| &link.next);
        let link = || Box::new(Link { hash, series: Series::new(labels), next: Chain::new() });
        &end.get_or_init(link).series
    }
}

fn links(chain: &Chain) -> impl Iterator<Item = &Link> {
    std::iter::successors(chain.get(), |link| link.next.get()).map(|link| &**link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, thread};

    /// A chain for all: whoever adds at the same time appends to the same end.
    #[test]
    fn threads_that_add_the_same_labels_find_the_same_series_in_one_chain() {
        let table = Table { chains: Box::new([Chain::new()]), ..Table::within(50) };
        let routes: Vec<_> = (0..60).map(|number| format!("/r{number}")).collect();
        let each = |routes: &[String]| {
            for route in routes {
                let labels = Labels { stage: "prod", method: "GET", route, status: 200 };
                table.series(labels).counts.mine().response_bytes.add(1);
            }
        };
        thread::scope(|scope| (0..4).for_each(|_| _ = scope.spawn(|| each(&routes))));
        let known: HashSet<_> = table.iter().map(|series| series.labels().route).collect();
        assert_eq!((table.used(), table.iter().count(), known.len()), (50, 51, 51));
        let count = |series: &Series| series.sums().response_bytes;
        let folded = table.iter().find(|series| series.labels().route == "other").map(count);
        assert_eq!((folded, table.folded()), (Some(40), 40));
        assert!(table.iter().all(|series| [4, 40].contains(&count(series))));
    }

    #[test]
    fn a_budget_larger_than_the_table_is_a_budget_all_the_same() {
        let table = Table::within(usize::MAX);
        assert_eq!(table.chains.len(), MOST_CHAINS);
        table.series(Labels { stage: "prod", method: "GET", route: "/", status: 200 });
        assert_eq!((table.used(), table.folded(), table.iter().count()), (1, 0, 1));
    }
}

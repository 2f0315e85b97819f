//! Counts by a name out of the configuration: of a plan, of an authorizer.

use super::{
    count::Count,
    histogram::{Durations, Shares},
    series::OTHER,
};
use crate::context::{AuthorizerUse, PlanHeadroom};
use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

/// As many names as the label budget allows; the others share one place.
#[derive(Debug)]
pub(super) struct Named<T> {
    by_name: RwLock<BTreeMap<Box<str>, T>>,
    budget: usize,
}

impl<T: Default> Named<T> {
    pub(super) fn within(budget: usize) -> Self {
        Self { by_name: RwLock::default(), budget }
    }

    /// Without a lock of its own where the name is known.
    pub(super) fn count(&self, name: &str, count: impl FnOnce(&T)) {
        let known = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = known.get(name) {
            return count(counts);
        }
        drop(known);
        let mut all = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let has_room = all.len() < self.budget || all.contains_key(name);
        count(all.entry(if has_room { name } else { OTHER }.into()).or_default());
    }

    /// Every name with its counts, by name; up to the first error.
    pub(super) fn try_each<E>(&self, mut each: impl FnMut(&str, &T) -> Result<(), E>) -> Result<(), E> {
        let all = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().try_for_each(|(name, counts)| each(name, counts))
    }
}

/// How near callers are to the limits of a plan.
#[derive(Debug, Default)]
pub(super) struct PlanCounts {
    pub(super) throttle: Shares,
    pub(super) quota: Shares,
}

impl PlanCounts {
    pub(super) fn record(&self, headroom: &PlanHeadroom) {
        if let Some(left) = headroom.throttle_ratio() {
            self.throttle.record(left);
        }
        if let Some(left) = headroom.quota_ratio() {
            self.quota.record(left);
        }
    }
}

/// What an authorizer was asked.
#[derive(Debug, Default)]
pub(super) struct AuthorizerCounts {
    pub(super) calls: Durations,
    pub(super) cached: Count,
}

impl AuthorizerCounts {
    pub(super) fn record(&self, authorizer: AuthorizerUse<'_>) {
        match authorizer.latency {
            Some(latency) => self.calls.record(latency),
            None => self.cached.add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_budget_share_a_place() {
        let named = Named::<Count>::within(2);
        for name in ["a", "b", "c", "d", "a"] {
            named.count(name, |count| count.add(1));
        }
        let mut read = Vec::new();
        let each = |name: &str, count: &Count| {
            read.push((name.to_owned(), count.get()));
            Ok::<_, ()>(())
        };
        named.try_each(each).unwrap();
        assert_eq!(read, [("a", 2), ("b", 1), ("other", 2)].map(|(name, count)| (name.to_owned(), count)));
    }
}

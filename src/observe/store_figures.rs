//! What stores count, among the figures of metrics.

use super::samples::Samples;
use crate::store::StoreCounts;

const STORE_CALLS: &str = "tower_gateway_store_calls_total";
const STORE_LEFT: &str = "tower_gateway_store_left_alone_total";
const STORE_DECISIONS: &str = "tower_gateway_store_decisions_total";

impl Samples {
    /// How a store did, under its name: calls by what became of them, how often it was left alone, and the decisions
    /// that were made without it.
    ///
    /// ```
    /// use tower_gateway::{observe::Samples, store::StoreCounts};
    ///
    /// // In a source: `samples.store("usage", &plans.store_counts().unwrap_or_default())`.
    /// let mut samples = Samples::new(1_000);
    /// samples.store("usage", &StoreCounts::default());
    /// assert!(samples.iter().any(|sample| sample.name() == "tower_gateway_store_decisions_total"));
    /// ```
    pub fn store(&mut self, store: &str, counts: &StoreCounts) {
        let answered = counts.calls.saturating_sub(counts.errors).saturating_sub(counts.timeouts);
        let calls = [
            ("answered", answered),
            ("error", counts.errors),
            ("timeout", counts.timeouts),
            ("left_alone", counts.skipped),
        ];
        for (result, count) in calls {
            self.counter(STORE_CALLS, "Calls of a store.", &[("store", store), ("result", result)], count);
        }
        self.counter(STORE_LEFT, "How often a store was left alone.", &[("store", store)], counts.opened);
        let decisions = [
            ("allow", counts.allowed),
            ("deny", counts.denied),
            ("degrade_admitted", counts.degraded),
            ("degrade_refused", counts.degraded_refused),
        ];
        for (decision, count) in decisions {
            let labels = [("store", store), ("decision", decision)];
            self.counter(STORE_DECISIONS, "Requests decided without their store.", &labels, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::samples::tests::rows;

    #[test]
    fn a_store_is_told_by_its_calls_and_by_what_was_decided_without_it() {
        let counts = StoreCounts {
            calls: 10,
            errors: 2,
            timeouts: 3,
            skipped: 4,
            opened: 1,
            degraded: 6,
            degraded_refused: 7,
            ..StoreCounts::default()
        };
        let mut samples = Samples::new(100);
        samples.store("usage", &counts);
        let rows = rows(&samples);
        for wanted in [
            "calls_total counter store=usage,result=answered 5",
            "calls_total counter store=usage,result=error 2",
            "calls_total counter store=usage,result=timeout 3",
            "calls_total counter store=usage,result=left_alone 4",
            "left_alone_total counter store=usage 1",
            "decisions_total counter store=usage,decision=degrade_admitted 6",
            "decisions_total counter store=usage,decision=degrade_refused 7",
            "decisions_total counter store=usage,decision=deny 0",
        ] {
            assert!(rows.contains(&format!("tower_gateway_store_{wanted}")), "{wanted}: {rows:?}");
        }
    }
}

//! What came of telling every process something.

/// Which processes have taken note of a change: the answer to a purge, a revocation, a change of keys or plans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledgement {
    /// How many processes have, this one included.
    pub acknowledged: usize,
    /// The live ones that have not, in time.
    pub silent: Vec<String>,
    /// Those that were cut off. They take note when they come back; until then, an authorizer's answers are not used by
    /// them, and stored answers are. What one of them has itself changed of the same key or plan meanwhile counts as the
    /// later change.
    pub cut_off: Vec<String>,
}

impl Acknowledgement {
    /// Only this process: there are no others.
    pub fn alone() -> Self {
        Self { acknowledged: 1, ..Self::default() }
    }

    /// With these counts, for a store.
    pub fn new(acknowledged: usize, silent: Vec<String>, cut_off: Vec<String>) -> Self {
        Self { acknowledged, silent, cut_off }
    }

    /// Whether every process that could be reached has taken note.
    pub fn is_complete(&self) -> bool {
        self.silent.is_empty()
    }
}

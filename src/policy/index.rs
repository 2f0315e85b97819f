//! Which resource patterns may match an ARN: an index by the literal text they begin with.

/// Prefixes in order, each with the next shorter one that it begins with. Looking up costs one binary search and a
/// walk over the prefixes that really are prefixes, however many patterns there are.
#[derive(Clone, Debug)]
pub(super) struct PrefixIndex {
    nodes: Box<[Node]>,
}

#[derive(Clone, Debug)]
struct Node {
    prefix: Box<str>,
    parent: Option<u32>,
    entries: Box<[Entry]>,
}

/// A pattern of a statement, or all patterns of a statement that must be looked at together (`NotResource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) statement: u32,
    pub(super) pattern: Option<u32>,
}

impl PrefixIndex {
    pub(super) fn new(mut entries: Vec<(&str, Entry)>) -> Self {
        entries.sort_unstable();
        let mut nodes: Vec<Node> = Vec::new();
        for same in entries.chunk_by(|one, other| one.0 == other.0) {
            let prefix = same[0].0;
            let mut parent = nodes.len().checked_sub(1).map(|last| last as u32);
            while let Some(index) = parent
                && !prefix.starts_with(&*nodes[index as usize].prefix)
            {
                parent = nodes[index as usize].parent;
            }
            let entries = same.iter().map(|(_, entry)| *entry).collect();
            nodes.push(Node { prefix: prefix.into(), parent, entries });
        }
        Self { nodes: nodes.into() }
    }

    /// Every entry whose prefix the text begins with, longest prefix first.
    ///
    /// The last prefix that is not greater than the text has all of them among itself and its parents: whatever
    /// stands in order between a prefix of the text and the text begins with that prefix.
    pub(super) fn candidates<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Entry> + 'a {
        let behind = self.nodes.partition_point(|node| *node.prefix <= *text);
        let first = behind.checked_sub(1).map(|index| &self.nodes[index]);
        let chain =
            std::iter::successors(first, |node| node.parent.map(|parent| &self.nodes[parent as usize]));
        chain
            .filter(move |node| text.starts_with(&*node.prefix))
            .flat_map(|node| node.entries.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_candidates_are_the_prefixes(
            prefixes in prop::collection::vec("[ab]{0,5}", 0..12),
            text in "[ab]{0,8}",
        ) {
            let entry = |index: usize| Entry { statement: index as u32, pattern: None };
            let entries = prefixes.iter().enumerate().map(|(index, prefix)| (prefix.as_str(), entry(index)));
            let index = PrefixIndex::new(entries.collect());
            let mut found: Vec<_> = index.candidates(&text).map(|entry| entry.statement as usize).collect();
            found.sort_unstable();
            let expected: Vec<_> = (0..prefixes.len()).filter(|at| text.starts_with(&prefixes[*at])).collect();
            prop_assert_eq!(found, expected);
        }
    }
}

//! Where the variables of a matched path are: byte ranges, kept inline.

use std::ops::Range;

/// Byte ranges of the path variables, in template order. Four are inline; more spill to the heap.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathParams {
    len: u8,
    inline: [(u32, u32); 4],
    spilled: Vec<(u32, u32)>,
}

impl PathParams {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub(crate) fn push(&mut self, range: Range<usize>) {
        let pair = (range.start as u32, range.end as u32);
        match self.inline.get_mut(usize::from(self.len)) {
            Some(slot) => *slot = pair,
            None => self.spilled.push(pair),
        }
        self.len += 1;
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.spilled.truncate(len.saturating_sub(self.inline.len()));
        self.len = self.len.min(len as u8);
    }

    pub(crate) fn range(&self, index: usize) -> Option<Range<usize>> {
        let spilled = || self.spilled.get(index - self.inline.len());
        let (start, end) =
            if index >= self.len() { None } else { self.inline.get(index).or_else(spilled).copied() }?;
        Some(start as usize..end as usize)
    }
}

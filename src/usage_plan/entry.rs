//! What is kept of one key on one plan, and where: chunks, so that growing never copies.

use crate::throttle::bucket::Bucket;

/// No entry, no name.
pub(super) const NONE: u32 = u32::MAX;
/// No day and no period yet.
pub(super) const NEVER: i32 = i32::MIN;

/// 80 bytes.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// In two halves, which need no alignment to 16.
    subject: [u64; 2],
    /// Of the plan's general throttle.
    pub(super) bucket: Bucket,
    /// Against the quota of the period: what was used, less what was granted. Below zero where more was granted.
    pub(super) charged: i64,
    pub(super) used_today: u64,
    /// Slot of the plan; `NONE` marks a free entry.
    pub(super) plan: u32,
    /// The same subject on another plan, or the next free entry.
    pub(super) next: u32,
    /// First day of the period that `charged` is of.
    pub(super) period: i32,
    /// The day that `used_today` is of.
    pub(super) today: i32,
    /// Where the key's id stands in [`Names`]; `NONE`: made on demand, for a principal.
    pub(super) name: u32,
    /// Where its holding of a shared quota was when it was last used (see `Leases`).
    pub(super) holding: u32,
}

impl Entry {
    pub(super) fn new(subject: u128, plan: u32, next: u32, name: u32) -> Self {
        Self {
            subject: [(subject >> 64) as u64, subject as u64],
            bucket: Bucket::default(),
            charged: 0,
            used_today: 0,
            plan,
            next,
            period: NEVER,
            today: NEVER,
            name,
            holding: NONE,
        }
    }

    pub(super) fn subject(&self) -> u128 {
        u128::from(self.subject[0]) << 64 | u128::from(self.subject[1])
    }

    pub(super) fn is_free(&self) -> bool {
        self.plan == NONE
    }

    pub(super) fn is_on_demand(&self) -> bool {
        self.name == NONE
    }
}

const CHUNK: usize = 256;

/// Entries by index; freed ones are used again.
#[derive(Debug)]
pub(super) struct Slab {
    /// The first chunk grows as it fills, and is reached without a look at the list of the others.
    first: Vec<Entry>,
    others: Vec<Vec<Entry>>,
    free: u32,
    length: u32,
}

impl Default for Slab {
    fn default() -> Self {
        Self { first: Vec::new(), others: Vec::new(), free: NONE, length: 0 }
    }
}

impl Slab {
    /// Entries in use and free ones.
    pub(super) fn len(&self) -> u32 {
        self.length
    }

    pub(super) fn get(&self, index: u32) -> Option<&Entry> {
        let index = index as usize;
        match index.checked_sub(CHUNK) {
            None => self.first.get(index),
            Some(later) => self.others.get(later / CHUNK)?.get(later % CHUNK),
        }
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Entry> {
        let index = index as usize;
        match index.checked_sub(CHUNK) {
            None => self.first.get_mut(index),
            Some(later) => self.others.get_mut(later / CHUNK)?.get_mut(later % CHUNK),
        }
    }

    pub(super) fn insert(&mut self, entry: Entry) -> u32 {
        let index = self.free;
        if let Some(free) = self.get_mut(index) {
            let next = free.next;
            *free = entry;
            self.free = next;
            return index;
        }
        if self.length as usize == (self.others.len() + 1) * CHUNK {
            self.others.push(Vec::with_capacity(CHUNK));
        }
        self.others.last_mut().unwrap_or(&mut self.first).push(entry);
        self.length += 1;
        self.length - 1
    }

    pub(super) fn free(&mut self, index: u32) {
        let next = self.free;
        if let Some(entry) = self.get_mut(index) {
            *entry = Entry::new(0, NONE, next, NONE);
            self.free = index;
        }
    }

    /// Entries in use with their index, from an index on.
    pub(super) fn iter_from(&self, start: u32) -> impl Iterator<Item = (u32, &Entry)> {
        (start..self.length)
            .filter_map(|index| Some((index, self.get(index)?)).filter(|(_, entry)| !entry.is_free()))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.first.iter_mut().chain(self.others.iter_mut().flatten()).filter(|entry| !entry.is_free())
    }
}

/// Ids of attached keys, one after the other, each behind its length: for reports. Ids are short, and a pointer, a
/// length and an allocation of their own would cost more than they do.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    garbage: usize,
}

/// Longest id that is kept.
pub(super) const LONGEST_NAME: usize = u16::MAX as usize;

impl Names {
    pub(super) fn push(&mut self, name: &str) -> u32 {
        let name = &name.as_bytes()[..name.len().min(LONGEST_NAME)];
        let needed = 2 + name.len();
        if self.bytes.capacity() - self.bytes.len() < needed {
            self.bytes.reserve_exact(needed + self.bytes.len() / 8);
        }
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(name);
        at
    }

    pub(super) fn get(&self, at: u32) -> Option<&str> {
        let rest = self.bytes.get(at as usize..)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        std::str::from_utf8(rest.get(..usize::from(u16::from_le_bytes(*length)))?).ok()
    }

    pub(super) fn remove(&mut self, at: u32) {
        self.garbage += self.get(at).map_or(0, |name| name.len() + 2);
    }

    /// Half of it is of keys that have left.
    pub(super) fn wants_compaction(&self) -> bool {
        self.garbage > 1024 && self.garbage > self.bytes.len() / 2
    }

    /// Moves the names that are in use together.
    pub(super) fn compact(&mut self, entries: &mut Slab) {
        let mut kept = Self::default();
        kept.bytes.reserve_exact(self.bytes.len() - self.garbage);
        for entry in entries.iter_mut() {
            if let Some(name) = self.get(entry.name) {
                entry.name = kept.push(name);
            }
        }
        *self = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 80);
        let subject = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;
        assert_eq!(Entry::new(subject, 0, NONE, NONE).subject(), subject);
    }

    #[test]
    fn free_entries_are_used_again() {
        let mut slab = Slab::default();
        let indices: Vec<_> = (0..200).map(|index| slab.insert(Entry::new(index, 0, NONE, NONE))).collect();
        assert_eq!(indices, (0..200).collect::<Vec<_>>());
        slab.free(7);
        slab.free(130);
        assert_eq!(slab.iter_from(0).count(), 198);
        assert_eq!(slab.insert(Entry::new(1, 0, NONE, NONE)), 130);
        assert_eq!(slab.insert(Entry::new(1, 0, NONE, NONE)), 7);
        assert_eq!(slab.insert(Entry::new(1, 0, NONE, NONE)), 200);
    }

    #[test]
    fn names_survive_compaction() {
        let (mut names, mut slab) = (Names::default(), Slab::default());
        let text = |number: u32| format!("key-{number}-{}", "x".repeat(number as usize % 40));
        for number in 0..200 {
            let name = names.push(&text(number));
            slab.insert(Entry::new(number.into(), 0, NONE, name));
        }
        for number in (0..200).filter(|number| number % 3 != 0) {
            names.remove(slab.get(number).unwrap().name);
            slab.free(number);
        }
        assert!(names.wants_compaction());
        names.compact(&mut slab);
        assert!(!names.wants_compaction());
        for (number, entry) in slab.iter_from(0) {
            assert_eq!(names.get(entry.name).unwrap(), text(number));
        }
        assert_eq!(names.get(NONE), None);
    }
}

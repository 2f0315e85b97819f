//! From a subject to its first entry: one cache miss a look-up, ten bytes a subject.
//!
//! Open addressing with linear probing over words of a tag and an index. A place follows from the tag alone, so growing
//! and removing never read an entry.

use std::hash::{BuildHasher, RandomState};

/// At most this share of the places is taken, in percent.
const FULLEST: usize = 88;
const FEWEST: usize = 8;

/// Places of entries by subject.
#[derive(Debug)]
pub(super) struct Index {
    /// Tag in the upper half, index plus one in the lower; 0 is free.
    words: Vec<u64>,
    taken: usize,
    /// Random in every process, so that nobody can choose ids to land in one place.
    seed: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self { words: Vec::new(), taken: 0, seed: RandomState::new().hash_one("subject") }
    }
}

fn word(tag: u32, index: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(index.wrapping_add(1))
}

fn tag_of(word: u64) -> u32 {
    (word >> 32) as u32
}

fn index_of(word: u64) -> u32 {
    (word as u32).wrapping_sub(1)
}

impl Index {
    fn tag(&self, subject: u128) -> u32 {
        let product = u128::from(subject as u64 ^ self.seed) * 0x9e37_79b9_7f4a_7c15;
        ((product as u64 ^ (product >> 64) as u64) >> 32) as u32
    }

    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.words.len() as u64) >> 32) as usize
    }

    fn after(&self, place: usize) -> usize {
        if place + 1 == self.words.len() { 0 } else { place + 1 }
    }

    /// Where the subject stands; `is` tells whether an entry is the subject's.
    fn place(&self, subject: u128, is: impl Fn(u32) -> bool) -> Option<usize> {
        if self.taken == 0 {
            return None;
        }
        let tag = self.tag(subject);
        let mut place = self.home(tag);
        loop {
            match self.words[place] {
                0 => return None,
                word if tag_of(word) == tag && is(index_of(word)) => return Some(place),
                _ => place = self.after(place),
            }
        }
    }

    /// The subject's first entry.
    pub(super) fn find(&self, subject: u128, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.place(subject, is).map(|place| index_of(self.words[place]))
    }

    /// Puts another entry in the place of the subject's first; `false` if it has none.
    pub(super) fn replace(&mut self, subject: u128, index: u32, is: impl Fn(u32) -> bool) -> bool {
        let Some(place) = self.place(subject, is) else { return false };
        self.words[place] = word(tag_of(self.words[place]), index);
        true
    }

    /// The first entry of a subject that has none.
    pub(super) fn insert(&mut self, subject: u128, index: u32) {
        if (self.taken + 1) * 100 > self.words.len() * FULLEST {
            self.grow();
        }
        self.put(word(self.tag(subject), index));
        self.taken += 1;
    }

    fn put(&mut self, word: u64) {
        let mut place = self.home(tag_of(word));
        while self.words[place] != 0 {
            place = self.after(place);
        }
        self.words[place] = word;
    }

    /// By a twelfth, to exactly that size: room that is not used would cost more than growing more often.
    fn grow(&mut self) {
        let length = (self.words.len() + self.words.len() / 12 + 1).max(FEWEST);
        let old = std::mem::replace(&mut self.words, vec![0; length]);
        old.into_iter().filter(|word| *word != 0).for_each(|word| self.put(word));
    }

    /// Takes the subject out. Words behind it move up, so that no search ends early.
    pub(super) fn remove(&mut self, subject: u128, is: impl Fn(u32) -> bool) {
        let Some(mut gap) = self.place(subject, is) else { return };
        self.taken -= 1;
        let mut place = self.after(gap);
        while self.words[place] != 0 {
            let from_home = self.distance(self.home(tag_of(self.words[place])), place);
            if from_home >= self.distance(gap, place) {
                self.words[gap] = self.words[place];
                gap = place;
            }
            place = self.after(place);
        }
        self.words[gap] = 0;
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.words.len() - from }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Any history of changes reads like a plain map, also where tags collide.
        #[test]
        fn it_reads_like_a_map(changes in proptest::collection::vec((0_u128..60, any::<bool>()), 0..400)) {
            let (mut index, mut model, mut subjects) = (Index::default(), HashMap::new(), Vec::new());
            for (number, put) in changes {
                // Three subjects share the bits that the tag is made of.
                let subject = (number % 20) | ((number / 20) << 64);
                let is = |entry: u32| subjects.get(entry as usize) == Some(&subject);
                match (put, model.contains_key(&subject)) {
                    (true, false) => {
                        index.insert(subject, subjects.len() as u32);
                        model.insert(subject, subjects.len() as u32);
                        subjects.push(subject);
                    }
                    (true, true) => {
                        prop_assert!(index.replace(subject, subjects.len() as u32, is));
                        model.insert(subject, subjects.len() as u32);
                        subjects.push(subject);
                    }
                    (false, _) => {
                        index.remove(subject, is);
                        model.remove(&subject);
                    }
                }
                prop_assert_eq!(index.taken, model.len());
            }
            for number in 0..60 {
                let subject = (number % 20) | ((number / 20) << 64);
                let found = index.find(subject, |entry| subjects[entry as usize] == subject);
                prop_assert_eq!(found, model.get(&subject).copied());
            }
        }
    }

    #[test]
    fn it_costs_ten_bytes_a_subject() {
        let mut index = Index::default();
        (0..100_000_u128).for_each(|subject| index.insert(subject << 3, subject as u32));
        assert!(index.words.len() * 8 <= 100_000 * 10, "{}", index.words.len());
        assert!(
            (0..100_000_u128)
                .all(|subject| index.find(subject << 3, |at| u128::from(at) == subject).is_some())
        );
    }
}

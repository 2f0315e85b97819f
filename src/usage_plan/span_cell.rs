//! The present day of a calendar, read on every request and written once a day.

use super::quota::Span;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// A [`Span`] that readers copy without a lock: a sequence lock over plain words. A reader that meets a writer gets
/// nothing and asks the calendar; a writer that meets another leaves it to that one.
#[derive(Debug, Default)]
pub(super) struct SpanCell {
    /// Odd while a writer is at work.
    version: AtomicU64,
    words: [AtomicU64; 6],
}

impl SpanCell {
    pub(super) fn load(&self) -> Option<Span> {
        let version = self.version.load(Acquire);
        let words = self.words.each_ref().map(|word| word.load(Relaxed));
        fence(Acquire);
        let unchanged = version.is_multiple_of(2) && self.version.load(Relaxed) == version;
        unchanged.then(|| unpack(words))
    }

    pub(super) fn store(&self, span: &Span) {
        let version = self.version.load(Relaxed);
        if !version.is_multiple_of(2)
            || self.version.compare_exchange(version, version + 1, Acquire, Relaxed).is_err()
        {
            return;
        }
        fence(Release);
        for (word, value) in self.words.iter().zip(pack(span)) {
            word.store(value, Relaxed);
        }
        self.version.store(version + 2, Release);
    }
}

fn pack(span: &Span) -> [u64; 6] {
    let days = u64::from(span.day as u32) << 32 | u64::from(span.window_day as u32);
    let next = u64::from(span.next_window_day as u32);
    let times = [span.day_start, span.day_end, span.window_start, span.window_end].map(|time| time as u64);
    [days, next, times[0], times[1], times[2], times[3]]
}

fn unpack([days, next, day_start, day_end, window_start, window_end]: [u64; 6]) -> Span {
    Span {
        day: (days >> 32) as i32,
        window_day: days as i32,
        next_window_day: next as i32,
        day_start: day_start as i64,
        day_end: day_end as i64,
        window_start: window_start as i64,
        window_end: window_end as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(number: i32) -> Span {
        let time = i64::from(number) * 86_400;
        Span {
            day: number,
            window_day: number - 1,
            next_window_day: -number,
            day_start: time,
            day_end: time + 86_400,
            window_start: -time,
            window_end: time * 3,
        }
    }

    #[test]
    fn what_is_stored_is_loaded() {
        let cell = SpanCell::default();
        assert_eq!(cell.load(), Some(Span::default()));
        for number in [-700_000, -1, 0, 20_000] {
            cell.store(&span(number));
            assert_eq!(cell.load(), Some(span(number)));
        }
    }

    #[test]
    fn readers_never_see_half_of_a_span() {
        let cell = SpanCell::default();
        cell.store(&span(1));
        std::thread::scope(|scope| {
            for start in [2, 3] {
                let cell = &cell;
                scope.spawn(move || (start..20_000).step_by(2).for_each(|number| cell.store(&span(number))));
            }
            for seen in (0..50_000).filter_map(|_| cell.load()) {
                assert_eq!(seen, span(seen.day));
            }
        });
        let last = cell.load().unwrap();
        assert_eq!(last, span(last.day));
    }
}

//! The one place that knows what time it is.
//!
//! Every decision of this crate takes its time as an argument ([`Timestamp`]); every layer takes a [`Clock`]
//! when it is built. In production that is [`Clock::system`]; in a test it is [`ManualClock::clock`], and month
//! ends, token refills and timeouts are then tested in virtual time without a sleep:
//!
//! ```
//! use std::time::Duration;
//! use tower_gateway::clock::ManualClock;
//!
//! let manual = ManualClock::at_unix_seconds(1_700_000_000);
//! let clock = manual.clock();
//! let before = clock.now();
//! manual.advance(Duration::from_secs(90));
//! assert_eq!(clock.now().since(before), Duration::from_secs(90));
//! assert_eq!(clock.now().unix_seconds(), 1_700_000_090);
//! ```

#[cfg(any(
    feature = "timeout",
    feature = "payload-limit",
    feature = "authorizer",
    feature = "cache",
    feature = "usage-plan",
    feature = "firehose"
))]
pub(crate) mod timer;

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{
            AtomicI64, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::Waker,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// One reading of a [`Clock`]: a monotonic part for intervals and a wall part for calendars.
///
/// The monotonic part never goes back; the wall part follows the machine's clock and may jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    monotonic_nanos: u64,
    unix_nanos: i64,
}

impl Timestamp {
    /// Builds a reading from its two parts, for pure functions under test.
    pub const fn new(monotonic_nanos: u64, unix_nanos: i64) -> Self {
        Self { monotonic_nanos, unix_nanos }
    }

    /// Nanoseconds on a scale that never goes back; its zero has no meaning.
    pub const fn monotonic_nanos(self) -> u64 {
        self.monotonic_nanos
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.unix_nanos.div_euclid(1_000_000_000)
    }

    /// Whole milliseconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn unix_millis(self) -> i64 {
        self.unix_nanos.div_euclid(1_000_000)
    }

    /// Whole microseconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn unix_micros(self) -> i64 {
        self.unix_nanos.div_euclid(1_000)
    }

    /// Time that passed since `earlier`, zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.monotonic_nanos.saturating_sub(earlier.monotonic_nanos))
    }
}

/// A cheap handle to a source of time; see the [module docs](self).
#[derive(Clone, Debug, Default)]
pub struct Clock(Repr);

#[derive(Clone, Debug, Default)]
enum Repr {
    #[default]
    System,
    Manual(Arc<ManualState>),
}

impl Clock {
    /// The machine's clock. This is the default of every layer.
    pub const fn system() -> Self {
        Self(Repr::System)
    }

    /// Reads the clock. Costs one monotonic reading; the wall part is re-synchronised once per second.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Repr::System => system_now(),
            Repr::Manual(state) => state.now(),
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z, if time is virtual.
    #[cfg(feature = "usage-plan")]
    pub(crate) fn virtual_unix_micros(&self) -> Option<u64> {
        match &self.0 {
            Repr::System => None,
            Repr::Manual(state) => u64::try_from(state.now().unix_nanos / 1_000).ok(),
        }
    }

    /// Whether both tell the same time: the system's, or one manual clock's.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::System, Repr::System) => true,
            (Repr::Manual(one), Repr::Manual(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

/// How long a wall-clock offset is trusted before it is read again.
const RESYNC_NANOS: u64 = 1_000_000_000;

#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clocks")]
fn system_now() -> Timestamp {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    static OFFSET: AtomicI64 = AtomicI64::new(0);
    static NEXT_SYNC: AtomicU64 = AtomicU64::new(0);
    let elapsed = ORIGIN.get_or_init(Instant::now).elapsed();
    // 584 years, and without the 128 bits of `as_nanos`.
    let monotonic_nanos = elapsed.as_secs() * 1_000_000_000 + u64::from(elapsed.subsec_nanos());
    // A thread that sees that the offset is fresh must see the offset too: the first one would be 1970's.
    if monotonic_nanos >= NEXT_SYNC.load(Acquire) {
        OFFSET.store(wall_nanos(SystemTime::now()) - monotonic_nanos as i64, Relaxed);
        NEXT_SYNC.store(monotonic_nanos + RESYNC_NANOS, Release);
    }
    Timestamp { monotonic_nanos, unix_nanos: OFFSET.load(Relaxed) + monotonic_nanos as i64 }
}

fn wall_nanos(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}

/// A clock that stands still until it is moved by hand.
///
/// Timers made from it complete when the clock is moved past them, at once and in order of their polling.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<ManualState>);

#[derive(Debug)]
struct ManualState {
    monotonic_nanos: AtomicU64,
    wall_offset: AtomicI64,
    /// Timers that wait for the clock to be moved.
    sleepers: Mutex<Vec<Waker>>,
}

impl ManualState {
    fn now(&self) -> Timestamp {
        let monotonic_nanos = self.monotonic_nanos.load(Relaxed);
        Timestamp { monotonic_nanos, unix_nanos: self.wall_offset.load(Relaxed) + monotonic_nanos as i64 }
    }

    fn wake_all(&self) {
        let woken = std::mem::take(&mut *self.sleepers.lock().unwrap_or_else(PoisonError::into_inner));
        woken.into_iter().for_each(Waker::wake);
    }
}

impl ManualClock {
    /// A clock whose wall part starts at `seconds` since 1970-01-01T00:00:00Z.
    pub fn at_unix_seconds(seconds: i64) -> Self {
        Self(Arc::new(ManualState {
            monotonic_nanos: AtomicU64::new(0),
            wall_offset: AtomicI64::new(seconds * 1_000_000_000),
            sleepers: Mutex::default(),
        }))
    }

    /// The handle to give to layers and builders.
    pub fn clock(&self) -> Clock {
        Clock(Repr::Manual(Arc::clone(&self.0)))
    }

    /// Moves both parts forward and wakes the timers that this may complete.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.0.monotonic_nanos.fetch_add(nanos, Relaxed);
        self.0.wake_all();
    }

    /// Sets the wall part alone, as an operator or NTP would; intervals are not affected.
    pub fn set_unix_seconds(&self, seconds: i64) {
        let monotonic = self.0.monotonic_nanos.load(Relaxed) as i64;
        self.0.wall_offset.store(seconds * 1_000_000_000 - monotonic, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_and_monotonic_move_together_but_can_be_set_apart() {
        let manual = ManualClock::at_unix_seconds(100);
        let clock = manual.clock();
        let start = clock.now();
        manual.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now().unix_millis(), 101_500);
        manual.set_unix_seconds(50);
        assert_eq!(clock.now().unix_seconds(), 50);
        assert_eq!(clock.now().since(start), Duration::from_millis(1_500));
        assert_eq!(start.since(clock.now()), Duration::ZERO);
    }

    #[test]
    fn the_system_clock_agrees_with_the_machine() {
        #[allow(clippy::disallowed_methods, reason = "the oracle of this test")]
        let machine = wall_nanos(SystemTime::now());
        let ours = Clock::system().now().unix_nanos;
        assert!((ours - machine).abs() < 2_000_000_000, "{ours} {machine}");
        assert_eq!(Timestamp::new(0, -1).unix_seconds(), -1);
    }
}

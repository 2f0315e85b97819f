//! The open database: borrowed by whoever reads or writes, and opened anew after a write has failed.
//!
//! After an error of the disk the engine takes nothing more, since it cannot know what is on it. Opened anew, the file
//! has what was committed last, checked page by page; statements of leases say what holds, so they go on from either.

use super::{
    error::StateFileError,
    rows::Rows,
    tables,
    writer::{Task, commit},
};
use crate::clock::Clock;
use ::redb::{Database, DatabaseError, Error};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Opens the file that is there.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

pub(super) struct Engine {
    path: PathBuf,
    open: Opener,
    clock: Clock,
    /// How often the file was opened by a process, this one included.
    run: u64,
    state: Mutex<State>,
    rows: OnceLock<Arc<Rows>>,
    /// How often it was opened anew.
    pub(super) reopened: AtomicU64,
}

enum State {
    Open(Arc<Database>),
    /// A write failed; it may be opened anew from then on, in monotonic nanoseconds.
    Failed {
        retry_at: u64,
    },
    Closed,
}

/// Between two attempts to open a file anew: all of it is read each time.
const PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn new(path: PathBuf, database: Database, (open, clock): (Opener, Clock), run: u64) -> Self {
        let state = Mutex::new(State::Open(Arc::new(database)));
        Self { path, open, clock, run, state, rows: OnceLock::new(), reopened: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        self.clock.now().monotonic_nanos()
    }

    /// The cache's table, which all stores of the file share, and each transaction begins with from now on. `bytes`: what
    /// is in it, for the first of them.
    pub(super) fn rows(&self, bytes: u64) -> Arc<Rows> {
        Arc::clone(self.rows.get_or_init(|| Arc::new(Rows::new(bytes))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For reading what is committed.
    pub(super) fn database(&self) -> Result<Arc<Database>, StateFileError> {
        match &*self.lock() {
            State::Open(database) => Ok(Arc::clone(database)),
            State::Failed { .. } => Err(self.failed()),
            State::Closed => Err(StateFileError::Closed { path: self.path.clone() }),
        }
    }

    pub(super) fn close(&self) {
        *self.lock() = State::Closed;
    }

    fn failed(&self) -> StateFileError {
        StateFileError::engine(&self.path, &Error::PreviousIo)
    }

    /// Writes a batch; once more in a file that was opened anew, if the disk refused it only now. What of it was on the
    /// disk already is not done twice: each piece says what is to be, not what is to be added.
    pub(super) fn write(&self, batch: &mut [Box<dyn Task>]) -> Result<(), StateFileError> {
        self.open_anew(false);
        let mut outcome = self.try_write(batch);
        if outcome.as_ref().is_err_and(|error| self.give_up(error)) {
            self.open_anew(true);
            outcome = self.try_write(batch);
            if let Err(error) = &outcome {
                self.give_up(error);
            }
        }
        outcome.map_err(|error| StateFileError::engine(&self.path, &error))
    }

    fn try_write(&self, batch: &mut [Box<dyn Task>]) -> Result<(), Error> {
        let database = match &*self.lock() {
            State::Open(database) => Arc::clone(database),
            State::Failed { .. } => return Err(Error::PreviousIo),
            State::Closed => return Err(Error::DatabaseClosed),
        };
        commit(&database, self.rows.get().map(Arc::as_ref), batch)
    }

    /// Lets go of a database whose disk has failed; `false` if the failure is no news, or not the disk's.
    fn give_up(&self, error: &Error) -> bool {
        let mut state = self.lock();
        let is_news = is_of_disk(error) && matches!(*state, State::Open(_));
        if is_news {
            *state = State::Failed { retry_at: self.next_retry() };
            self.log_failure(error);
        }
        is_news
    }

    fn next_retry(&self) -> u64 {
        self.now().saturating_add(PAUSE.as_nanos() as u64)
    }

    /// Opens a database that was let go of, if its time has come or there is haste. Whoever wants to read meanwhile is
    /// told that it failed and does not wait: all of the file is read here.
    fn open_anew(&self, in_haste: bool) {
        if !self.is_due(in_haste) {
            return;
        }
        let Ok(database) = (self.open)() else { return };
        // Nobody had it locked for a moment: another process that came in between has taken over.
        let Ok(run) = tables::run_of(&database) else { return };
        let mut state = self.lock();
        if run != Some(self.run) {
            *state = State::Closed;
        } else if matches!(*state, State::Failed { .. }) {
            *state = State::Open(Arc::new(database));
            self.reopened.fetch_add(1, Relaxed);
            self.log_recovery();
        }
    }

    /// Whether to open it now; then not again before another pause.
    fn is_due(&self, in_haste: bool) -> bool {
        let State::Failed { retry_at } = &mut *self.lock() else { return false };
        let is_due = in_haste || self.now() >= *retry_at;
        if is_due {
            *retry_at = self.next_retry();
        }
        is_due
    }

    #[cfg(feature = "tracing")]
    fn log_failure(&self, error: &Error) {
        tracing::warn!(target: "tower_gateway::redb", path = %self.path.display(), %error, "a write failed");
    }

    #[cfg(not(feature = "tracing"))]
    fn log_failure(&self, _: &Error) {}

    #[cfg(feature = "tracing")]
    fn log_recovery(&self) {
        tracing::warn!(target: "tower_gateway::redb", path = %self.path.display(), "opened anew");
    }

    #[cfg(not(feature = "tracing"))]
    fn log_recovery(&self) {}
}

/// Of the disk, and not of what is in the file.
fn is_of_disk(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::PreviousIo)
}

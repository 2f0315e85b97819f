//! The open database: borrowed by whoever reads or writes, and opened anew after a write has failed.
//!
//! After an error of the disk the engine takes nothing more, since it cannot know what is on it. Opened anew, the file
//! has what was committed last, checked page by page; statements of leases say what holds, so they go on from either.

use super::{
    error::StateFileError,
    tables,
    writer::{Task, commit},
};
use crate::clock::Clock;
use ::redb::{Database, DatabaseError, Error};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Opens the file.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

pub(super) struct Engine {
    path: PathBuf,
    open: Opener,
    /// How often the file was opened by a process, this one included.
    run: u64,
    state: Mutex<State>,
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
    pub(super) fn new(path: PathBuf, open: Opener, run: u64, database: Database) -> Self {
        let state = Mutex::new(State::Open(Arc::new(database)));
        Self { path, open, run, state, reopened: AtomicU64::new(0) }
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

    /// Writes a batch; once more in a file that was opened anew, if the disk refused it. What of it was on the disk
    /// already is not done twice: each piece says what is to be, not what is to be added.
    pub(super) fn write(&self, batch: &mut [Box<dyn Task>]) -> Result<(), StateFileError> {
        self.open_anew(false);
        match self.try_write(batch) {
            Err(error) if is_of_disk(&error) => {
                self.give_up(&error);
                self.open_anew(true);
                self.try_write(batch).map_err(|error| {
                    self.give_up(&error);
                    StateFileError::engine(&self.path, &error)
                })
            }
            outcome => outcome.map_err(|error| StateFileError::engine(&self.path, &error)),
        }
    }

    fn try_write(&self, batch: &mut [Box<dyn Task>]) -> Result<(), Error> {
        let database = match &*self.lock() {
            State::Open(database) => Arc::clone(database),
            State::Failed { .. } => return Err(Error::PreviousIo),
            State::Closed => return Err(Error::DatabaseClosed),
        };
        commit(&database, batch)
    }

    /// Lets go of a database whose disk has failed.
    fn give_up(&self, error: &Error) {
        let mut state = self.lock();
        if is_of_disk(error) && matches!(*state, State::Open(_)) {
            *state = State::Failed { retry_at: now().saturating_add(PAUSE.as_nanos() as u64) };
            self.log_failure(error);
        }
    }

    /// Opens a database that was let go of, if its time has come or there is haste.
    fn open_anew(&self, now_or_never: bool) {
        let mut state = self.lock();
        let State::Failed { retry_at } = &mut *state else { return };
        let moment = now();
        if moment < *retry_at && !now_or_never {
            return;
        }
        *retry_at = moment.saturating_add(PAUSE.as_nanos() as u64);
        let Ok(database) = (self.open)() else { return };
        // Nobody had it locked for a moment: another process that came in between has taken over.
        match tables::run_of(&database) {
            Ok(run) if run == Some(self.run) => {
                *state = State::Open(Arc::new(database));
                self.reopened.fetch_add(1, Relaxed);
                self.log_recovery();
            }
            Ok(_) => *state = State::Closed,
            Err(_) => {}
        }
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

fn now() -> u64 {
    Clock::system().now().monotonic_nanos()
}

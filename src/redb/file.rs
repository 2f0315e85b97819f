//! `StateFile`: opening, writing, closing.

use super::{
    engine::{Engine, Opener},
    error::StateFileError,
    queue::{Full, Haste, Queue, Refused},
    tables,
    writer::{Call, Counts, Tasks, write_all},
};
use crate::clock::Clock;
use ::redb::{Builder, Database, DatabaseError, Error, WriteTransaction};
use std::{
    fmt,
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

const DEFAULT_PAUSE: Duration = Duration::from_millis(50);
const DEFAULT_QUEUE: usize = 16 * 1024 * 1024;
const DEFAULT_PAGES: usize = 16 * 1024 * 1024;

/// One file with the state of one process; see the [module docs](super). A clone is a reference count. The file is
/// closed when the last clone is dropped, those included that the handles whose changes it keeps hold.
#[derive(Clone)]
pub struct StateFile(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) path: PathBuf,
    /// How often the file was opened, this time included.
    pub(super) run: u64,
    /// For how long nobody had it open; `None` where throttles start full.
    pub(super) idle: Option<Duration>,
    pub(super) engine: Arc<Engine>,
    pub(super) tasks: Arc<Tasks>,
    pub(super) counts: Arc<Counts>,
    writer: Mutex<Option<JoinHandle<()>>>,
    pub(super) keeps_keys: AtomicBool,
    pub(super) keeps_plans: AtomicBool,
}

/// What was written since the file was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateFileStats {
    /// Transactions, each of which was forced to the disk.
    pub batches: u64,
    /// Changes in them.
    pub writes: u64,
    /// Changes that are not in the file because a transaction failed. Callers that waited for one were told.
    pub failed: u64,
    /// Cache entries that were not written because too much was waiting.
    pub dropped: u64,
    /// How often the file was opened anew after a write had failed.
    pub reopened: u64,
}

/// Opens a [`StateFile`]; every step says its default.
#[derive(Clone, Debug)]
#[must_use]
pub struct StateFileBuilder {
    path: PathBuf,
    pause: Duration,
    queue: usize,
    pages: usize,
    full_throttles: bool,
}

impl StateFileBuilder {
    /// How long what nobody waits for (cache entries) may lie before it is written. Default: 50 ms.
    pub fn batch_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Bytes that may wait to be written. Beyond that, operators' calls wait, leases fail, cache entries are dropped
    /// and counted. Default: 16 MiB.
    pub fn queue_capacity(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }

    /// Whether throttles start with a full burst after a restart, which a client may then have had twice. Default: no,
    /// they start empty as of the end of the process before, see the [module docs](super).
    pub fn full_throttles(mut self, full: bool) -> Self {
        self.full_throttles = full;
        self
    }

    /// Memory for pages of the file. Default: 16 MiB.
    pub fn page_cache(mut self, bytes: usize) -> Self {
        self.pages = bytes;
        self
    }

    /// Opens the file, or makes it, readable by its owner only. All of it is read and checked first.
    ///
    /// # Errors
    ///
    /// As [`StateFile::open`].
    pub fn open(self) -> Result<StateFile, StateFileError> {
        create_private(&self.path).map_err(|error| StateFileError::io(&self.path, error))?;
        let database = settings(self.pages).create(&self.path);
        let again = opener(self.path.clone(), self.pages);
        self.start(database, again, Clock::system())
    }

    /// `again` opens the file after a failure, in pauses of this clock.
    pub(super) fn start(
        self,
        database: Result<Database, DatabaseError>,
        again: Opener,
        clock: Clock,
    ) -> Result<StateFile, StateFileError> {
        let database = database.map_err(|error| StateFileError::opening(&self.path, error))?;
        let start = tables::start(&database, &self.path)?;
        let idle = (start.run > 1 && !self.full_throttles).then(|| idle_since(start.ended));
        let engine = Arc::new(Engine::new(self.path.clone(), database, (again, clock), start.run));
        let (tasks, counts) = (Arc::new(Queue::new(self.queue)), Arc::default());
        let writer = spawn(&engine, (&tasks, &counts), self.pause)
            .map_err(|error| StateFileError::io(&self.path, error))?;
        Ok(StateFile(Arc::new(Inner {
            path: self.path,
            run: start.run,
            idle,
            engine,
            tasks,
            counts,
            writer: Mutex::new(Some(writer)),
            keeps_keys: AtomicBool::new(false),
            keeps_plans: AtomicBool::new(false),
        })))
    }
}

fn settings(pages: usize) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(pages).set_check_integrity_on_open(true);
    builder
}

/// Never makes a file: one that was deleted while it was open is not to come back empty.
pub(super) fn opener(path: PathBuf, pages: usize) -> Opener {
    Box::new(move || settings(pages).open(&path))
}

/// A process that died may have served until now.
fn idle_since(ended: Option<i64>) -> Duration {
    let now = Clock::system().now().unix_millis();
    let idle = ended.map_or(0, |ended| u64::try_from(now.saturating_sub(ended)).unwrap_or(0));
    Duration::from_millis(idle)
}

/// Makes the file where there is none; the permissions of one that exists are its owner's choice.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => sync_directory(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// A new file is there after a crash of the machine only when its directory was written too.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    if cfg!(unix) { File::open(directory.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}

fn spawn(
    engine: &Arc<Engine>,
    (tasks, counts): (&Arc<Tasks>, &Arc<Counts>),
    pause: Duration,
) -> io::Result<JoinHandle<()>> {
    let engine = Arc::clone(engine);
    let (tasks, counts) = (Arc::clone(tasks), Arc::clone(counts));
    std::thread::Builder::new()
        .name("gateway-state".to_owned())
        .spawn(move || write_all(&engine, (&tasks, &counts), pause))
}

impl StateFile {
    /// Opens the file at a path, or makes it, with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// Another process has it open ([`StateFileError::InUse`]), it is no state file ([`StateFileError::Foreign`]), a
    /// newer version of this crate wrote it ([`StateFileError::Version`]), it is damaged
    /// ([`StateFileError::Damaged`]), or the system refuses ([`StateFileError::Io`]).
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateFileError> {
        Self::builder(path).open()
    }

    /// Starts with the path.
    pub fn builder(path: impl Into<PathBuf>) -> StateFileBuilder {
        let path = path.into();
        StateFileBuilder {
            path,
            pause: DEFAULT_PAUSE,
            queue: DEFAULT_QUEUE,
            pages: DEFAULT_PAGES,
            full_throttles: false,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What was written since it was opened.
    pub fn stats(&self) -> StateFileStats {
        let counts = &self.0.counts;
        StateFileStats {
            batches: counts.batches.load(Relaxed),
            writes: counts.writes.load(Relaxed),
            failed: counts.failed.load(Relaxed),
            dropped: counts.dropped.load(Relaxed),
            reopened: self.0.engine.reopened.load(Relaxed),
        }
    }

    /// Waits until all that was given to the file before is on the disk.
    ///
    /// # Errors
    ///
    /// It could not be written, or the file was closed.
    pub fn flush(&self) -> Result<(), StateFileError> {
        self.write_and_wait(64, |_| Ok(()))
    }

    /// Writes what waits, ends the writer and lets go of the file, so that it can be opened again. Changes that come
    /// later are refused; purges that come later are in force for this process and not in the file. Units of quotas that
    /// this process still holds are then unknown to the next one: hand them back first, as the [module docs](super) say.
    pub fn close(&self) {
        self.0.close();
    }

    /// Has the writer do something, and waits until that is on the disk.
    pub(super) fn write_and_wait<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnMut(&WriteTransaction) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, StateFileError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let done = move |result| drop(sender.send(result));
        self.push(weight, (Haste::Now, Full::Wait), work, done)?;
        receiver.recv().unwrap_or_else(|_| Err(self.closed()))
    }

    pub(super) fn push<T: Send + 'static>(
        &self,
        weight: usize,
        (haste, full): (Haste, Full),
        work: impl FnMut(&WriteTransaction) -> Result<T, Error> + Send + 'static,
        done: impl FnOnce(Result<T, StateFileError>) + Send + 'static,
    ) -> Result<(), StateFileError> {
        let pushed = self.0.tasks.push(Box::new(Call::new(work, done)), weight, haste, full);
        pushed.map_err(|refused| match refused {
            Refused::Full => StateFileError::Busy { path: self.0.path.clone() },
            Refused::Closed => self.closed(),
        })
    }

    pub(super) fn closed(&self) -> StateFileError {
        StateFileError::Closed { path: self.0.path.clone() }
    }

    pub(super) fn engine(&self, error: &Error) -> StateFileError {
        match error {
            Error::DatabaseClosed => self.closed(),
            error => StateFileError::engine(&self.0.path, error),
        }
    }

    /// The same where the engine's errors are collected.
    pub(super) fn database_or_closed(&self) -> Result<Arc<Database>, Error> {
        self.database().map_err(|error| match error {
            StateFileError::Closed { .. } => Error::DatabaseClosed,
            _ => Error::PreviousIo,
        })
    }

    /// For reading what is committed.
    pub(super) fn database(&self) -> Result<Arc<Database>, StateFileError> {
        self.0.engine.database()
    }
}

impl Inner {
    fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some() {
            let now = Clock::system().now().unix_millis();
            let end = Call::new(move |transaction: &WriteTransaction| tables::end(transaction, now), |_| ());
            let _last = self.tasks.push(Box::new(end), 64, Haste::Now, Full::Exceed);
        }
        self.tasks.close();
        if let Some(writer) = writer {
            // A writer that has panicked has told nobody that something was written.
            let _ended = writer.join();
        }
        self.engine.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for StateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateFile")
            .field("path", &self.0.path)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

//! The one thread that writes: a batch is one transaction, and durable when it is answered.

use super::{engine::Engine, error::StateFileError, queue::Queue, rows::Rows};
use ::redb::{Database, Error, WriteTransaction};
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// One piece of a batch.
pub(super) trait Task: Send {
    /// Its part of the transaction.
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), Error>;

    /// After the commit: all of the batch is in the file, or nothing is.
    fn done(self: Box<Self>, outcome: Result<(), StateFileError>);
}

/// Boxed: a function of the transaction, and one of its result.
pub(super) struct Call<T, W, D> {
    work: W,
    result: Option<T>,
    done: D,
}

impl<T, W, D> Call<T, W, D>
where
    W: FnMut(&WriteTransaction) -> Result<T, Error>,
    D: FnOnce(Result<T, StateFileError>),
{
    pub(super) fn new(work: W, done: D) -> Self {
        Self { work, result: None, done }
    }
}

impl<T, W, D> Task for Call<T, W, D>
where
    T: Send,
    W: FnMut(&WriteTransaction) -> Result<T, Error> + Send,
    D: FnOnce(Result<T, StateFileError>) + Send,
{
    fn run(&mut self, transaction: &WriteTransaction) -> Result<(), Error> {
        self.result = Some((self.work)(transaction)?);
        Ok(())
    }

    fn done(self: Box<Self>, outcome: Result<(), StateFileError>) {
        let Self { result, done, .. } = *self;
        match (outcome, result) {
            (Ok(()), Some(result)) => done(Ok(result)),
            (Err(error), _) => done(Err(error)),
            (Ok(()), None) => {}
        }
    }
}

/// What the writer did, for operators.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) batches: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) dropped: AtomicU64,
}

pub(super) type Tasks = Queue<Box<dyn Task>>;

impl fmt::Debug for dyn Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

/// Until the queue is closed and empty.
pub(super) fn write_all(engine: &Engine, (tasks, counts): (&Tasks, &Counts), pause: Duration) {
    while let Some(batch) = tasks.take(pause) {
        let mut batch = Vec::from(batch);
        let outcome = engine.write(&mut batch);
        let kept = if outcome.is_ok() { &counts.writes } else { &counts.failed };
        kept.fetch_add(batch.len() as u64, Relaxed);
        counts.batches.fetch_add(1, Relaxed);
        for task in batch {
            task.done(outcome.as_ref().copied().map_err(StateFileError::again));
        }
    }
}

/// Two phases: a commit is the newest when the file is read again only after all of it was on the disk, so that no
/// damage can make the file fall back to an older one unseen.
pub(super) fn commit(
    database: &Database,
    rows: Option<&Rows>,
    batch: &mut [Box<dyn Task>],
) -> Result<(), Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    rows.map_or(Ok(()), |rows| rows.pay(&transaction))?;
    batch.iter_mut().try_for_each(|task| task.run(&transaction))?;
    rows.map_or(Ok(()), |rows| rows.end(&transaction))?;
    transaction.commit()?;
    rows.iter().for_each(|rows| rows.paid());
    Ok(())
}

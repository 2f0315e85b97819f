//! Use and quotas in the file: [`UsageStore`] for one process.

use super::{
    error::StateFileError,
    file::StateFile,
    ledger::{KeptLedger, Lost},
    queue::{Full, Haste},
    tables::{ATTACHMENTS, USAGE},
};
use crate::{
    clock::Clock,
    context::subject,
    store::{FailurePolicy, StoreError, StoreFuture, StoreOptions},
    usage_plan::{
        UsagePlansBuilder,
        store::{
            BucketLevel, Counter, Lease, LeaseAsk, RemainingAsk, StoredUsage, ThrottleAsk, UsageAsk,
            UsageStore,
        },
    },
};
use ::redb::{Error, ReadableDatabase, ReadableTable, WriteTransaction};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Use and quota counters in a [`StateFile`]; see [`StateFile::keep_usage`].
#[derive(Clone, Debug)]
pub struct FileUsageStore(StateFile);

/// Units of a quota that a process had reserved when it died: nobody knows how many of them were used. They count as
/// used until they are reconciled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownUsage {
    /// The plan.
    pub plan_id: String,
    /// The key; `None` for a principal, or a key that is no longer in the plan.
    pub key_id: Option<String>,
    /// At most so many were used.
    pub units: u64,
    /// The last day on which they can have been used, counted from 1970-01-01, as far as is known.
    pub day: i32,
    counter: Counter,
    lost: Lost,
}

const WEIGHT: usize = 512;
/// A disk that is busy with others answers late; that is no failure yet.
const DEADLINE: Duration = Duration::from_secs(2);

impl StateFile {
    /// Has plans keep what was used in the file: gives them [`usage_store`](Self::usage_store) as their store, with
    /// options that never admit too much. A request waits for the disk only where nothing is reserved for its key, and
    /// as long as 2 s; while the file cannot be written, requests that it would have to be asked about are answered
    /// with 503 ([`FailurePolicy::Deny`]). This replaces the store and the options that the builder was given before:
    /// set options of your own on what comes back.
    ///
    /// Throttles stay in memory, see the [module docs](super).
    pub fn keep_usage(&self, plans: UsagePlansBuilder) -> UsagePlansBuilder {
        let options = StoreOptions::new().failure(FailurePolicy::Deny).deadline(DEADLINE);
        let plans = plans.store(self.usage_store()).store_options(options);
        self.0.idle.into_iter().fold(plans, UsagePlansBuilder::resumed)
    }

    /// For `UsagePlansBuilder::store`, with options of your own. With [`FailurePolicy::Degrade`] or
    /// [`FailurePolicy::Allow`] what is admitted while the file does not answer is not in it: a crash then forgets it.
    pub fn usage_store(&self) -> FileUsageStore {
        FileUsageStore(self.clone())
    }

    /// What is unknown since a process died.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a record in it is damaged.
    pub fn unknown_usage(&self) -> Result<Vec<UnknownUsage>, StateFileError> {
        self.read_unknown().map_err(|error| self.engine(&error))
    }

    /// Ends what is unknown: `used` says of each entry how many units were used (by an access log, say; more than
    /// [`UnknownUsage::units`] counts as that many). Those are in the reports from here on, and the others come back to
    /// the quota. The answer is how many came back. `|unknown| unknown.units` takes all of it for used.
    ///
    /// # Errors
    ///
    /// As [`unknown_usage`](Self::unknown_usage), and if it could not be written: then nothing has changed.
    pub fn reconcile(&self, mut used: impl FnMut(&UnknownUsage) -> u64) -> Result<u64, StateFileError> {
        let unknown = self.unknown_usage()?;
        let decided: Vec<_> =
            unknown.into_iter().map(|unknown| (used(&unknown).min(unknown.units), unknown)).collect();
        let run = self.0.run;
        self.write_and_wait(WEIGHT * decided.len(), move |transaction| {
            let mut back = 0;
            for (used, unknown) in &decided {
                change(transaction, &unknown.counter, run, |kept| {
                    if kept.reconcile(&unknown.lost, *used) {
                        back += unknown.units - used;
                    }
                })?;
            }
            Ok(back)
        })
    }

    fn read_unknown(&self) -> Result<Vec<UnknownUsage>, Error> {
        let transaction = self.database_or_closed()?.begin_read()?;
        let mut unknown = Vec::new();
        for row in transaction.open_table(USAGE)?.iter()? {
            let (place, bytes) = row?;
            let (plan, subject) = place.value();
            let kept = read(bytes.value(), plan)?.of_run(self.0.run);
            let counter = Counter { plan: plan.into(), subject };
            unknown.extend(kept.lost().iter().map(|lost| UnknownUsage {
                plan_id: plan.to_owned(),
                key_id: None,
                units: lost.units,
                day: lost.day,
                counter: counter.clone(),
                lost: *lost,
            }));
        }
        if !unknown.is_empty() {
            name_keys(&transaction, &mut unknown)?;
        }
        Ok(unknown)
    }
}

/// Counters know digests of ids; the ids are those of the attached keys.
fn name_keys(transaction: &::redb::ReadTransaction, unknown: &mut [UnknownUsage]) -> Result<(), Error> {
    let mut names: HashMap<(String, u128), String> = HashMap::new();
    for row in transaction.open_table(ATTACHMENTS)?.iter()? {
        let (place, _) = row?;
        let (plan, key) = place.value();
        names.insert((plan.to_owned(), subject("key", key)), key.to_owned());
    }
    for unknown in unknown {
        unknown.key_id = names.get(&(unknown.plan_id.clone(), unknown.counter.subject)).cloned();
    }
    Ok(())
}

fn read(bytes: &[u8], plan: &str) -> Result<KeptLedger, Error> {
    KeptLedger::from_bytes(bytes)
        .ok_or_else(|| Error::Corrupted(format!("the record of a use of plan {plan}")))
}

/// Reports go back 90 days; what was over even then is of no use to anybody.
const SWEEP_AFTER_MICROS: u64 = 90 * 86_400 * 1_000_000;

/// Takes out keys and principals that were not seen for long.
pub(super) fn sweep(transaction: &WriteTransaction, run: u64, now: u64) -> Result<(), Error> {
    let mut table = transaction.open_table(USAGE)?;
    let then = now.saturating_sub(SWEEP_AFTER_MICROS);
    table.retain(|_, bytes| {
        // A record that cannot be read stays, and is named by whoever needs it.
        KeptLedger::from_bytes(bytes).is_none_or(|kept| !kept.of_run(run).is_over(then))
    })?;
    Ok(())
}

/// Reads a counter, changes it and writes it.
fn change<T>(
    transaction: &WriteTransaction,
    counter: &Counter,
    run: u64,
    change: impl FnOnce(&mut KeptLedger) -> T,
) -> Result<T, Error> {
    let mut table = transaction.open_table(USAGE)?;
    let place = (&*counter.plan, counter.subject);
    let kept = table.get(place)?.map(|bytes| read(bytes.value(), &counter.plan)).transpose()?;
    let mut kept = kept.unwrap_or_default().of_run(run);
    let result = change(&mut kept);
    table.insert(place, kept.to_bytes().as_slice())?;
    Ok(result)
}

/// Microseconds since 1970, by the system.
pub(super) fn system_micros() -> u64 {
    u64::try_from(Clock::system().now().unix_millis()).unwrap_or(0).saturating_mul(1000)
}

impl FileUsageStore {
    /// Microseconds since 1970: the ask's, or the system's.
    fn now(now: Option<u64>) -> u64 {
        now.unwrap_or_else(system_micros)
    }

    /// Has the writer execute an ask, now, whether somebody awaits the answer or not.
    fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&WriteTransaction) -> Result<T, Error> + Send + 'static,
    ) -> StoreFuture<T> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done = move |result| drop(sender.send(result));
        let pushed = self.0.push(WEIGHT, (Haste::Now, Full::Refuse), work, done);
        let closed = self.0.closed();
        Box::pin(async move {
            pushed.map_err(away)?;
            receiver.await.unwrap_or(Err(closed)).map_err(away)
        })
    }
}

/// All that is known of the use of all keys on a plan.
pub(super) fn forget_plan(transaction: &WriteTransaction, plan: &str) -> Result<(), Error> {
    let mut usage = transaction.open_table(USAGE)?;
    usage.retain_in((plan, 0)..=(plan, u128::MAX), |_, _| false)?;
    Ok(())
}

fn away(error: StateFileError) -> StoreError {
    StoreError::caused_by("the state file does not take it", error)
}

impl UsageStore for FileUsageStore {
    /// No: buckets stay in memory.
    fn shares_throttles(&self) -> bool {
        false
    }

    fn lease(&self, ask: LeaseAsk) -> StoreFuture<Lease> {
        let (now, run) = (Self::now(ask.now), self.0.0.run);
        self.write(move |transaction| change(transaction, &ask.counter, run, |kept| kept.ask(&ask, now)))
    }

    fn throttle(&self, _: ThrottleAsk) -> StoreFuture<Vec<BucketLevel>> {
        Box::pin(std::future::ready(Err(StoreError::new("a state file keeps no throttles"))))
    }

    /// What is committed, read at once: every lease that was answered is.
    fn usage(&self, ask: UsageAsk) -> StoreFuture<StoredUsage> {
        let read = || -> Result<StoredUsage, Error> {
            let table = self.0.database_or_closed()?.begin_read()?.open_table(USAGE)?;
            let kept = table.get((&*ask.counter.plan, ask.counter.subject))?;
            let kept = kept.map(|bytes| read(bytes.value(), &ask.counter.plan)).transpose()?;
            let mut kept = kept.unwrap_or_default().of_run(self.0.0.run);
            Ok(kept.usage(&ask, Self::now(ask.now)))
        };
        let usage = read().map_err(|error| away(self.0.engine(&error)));
        Box::pin(std::future::ready(usage))
    }

    fn set_remaining(&self, ask: RemainingAsk) -> StoreFuture<()> {
        let (now, run) = (Self::now(ask.now), self.0.0.run);
        self.write(move |transaction| {
            change(transaction, &ask.counter, run, |kept| kept.set_remaining(&ask, now))
        })
    }

    fn forget(&self, counter: Counter) -> StoreFuture<()> {
        self.write(move |transaction| {
            transaction.open_table(USAGE)?.remove((&*counter.plan, counter.subject))?;
            Ok(())
        })
    }

    fn forget_plan(&self, plan: Arc<str>) -> StoreFuture<()> {
        self.write(move |transaction| forget_plan(transaction, &plan))
    }
}

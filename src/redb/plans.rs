//! Plans and attachments in the file: merged with those that are configured, and written before they change.

use super::{
    error::StateFileError,
    file::StateFile,
    kept::{Counts, Row, Seed, seed_of, which},
    tables::{ATTACHMENTS, META, PLANS, USAGE},
    usage::forget_plan,
};
use crate::{
    context::subject,
    error::ConfigError,
    usage_plan::{AccountThrottle, PlanChange, PlanObserver, PlansImage, UsagePlan, UsagePlans},
};
use ::redb::{Error, ReadableDatabase, ReadableTable, WriteTransaction};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering::SeqCst},
};

/// Of the account's throttle, in the table of what there is once.
const ACCOUNT: &str = "account";

/// What a row of an attachment says.
const ATTACHED: u8 = 1;
const CONFIGURED: u8 = 2;

type Pair = (Arc<str>, Arc<str>);

impl StateFile {
    /// Keeps the plans of a handle and the keys attached to them: those of the file come into it, and every change
    /// that is made through it from here on is on the disk before it counts and before the call returns. What there is
    /// in the handle already is its configuration; the rules are those of [`keep_keys`](Self::keep_keys). The
    /// account's throttle is kept like a plan.
    ///
    /// What keys have used is kept by [`usage_store`](Self::usage_store).
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, a record in it is damaged, it does not go together with the configuration
    /// (a key in two plans of one stage), or the file keeps the plans of a handle already.
    pub fn keep_plans(&self, plans: &UsagePlans) -> Result<(), StateFileError> {
        self.once(&self.0.keeps_plans, "usage plans")?;
        let kept = plans.observe(Arc::new(Keeper(self.clone())), |configured| {
            let merged = self.merge_plans(&configured)?;
            self.write_and_wait(merged.weight(), move |transaction| {
                merged.writes.write(transaction).map(|()| merged.changes.clone())
            })
        });
        if kept.is_err() {
            self.0.keeps_plans.store(false, SeqCst);
        }
        kept
    }

    fn merge_plans(&self, configured: &PlansImage) -> Result<Merged, StateFileError> {
        let (plans, attachments) = self.read_plans().map_err(|error| self.engine(&error))?;
        let mut merged = Merged::default();
        merged.merge_account(self.account_row()?, configured.account);
        merged.merge_plans(self.decoded(plans)?, &configured.plans)?;
        merged.merge_attachments(attachments, &configured.attachments);
        Ok(merged)
    }

    #[allow(clippy::type_complexity, reason = "two tables as they are")]
    fn read_plans(&self) -> Result<(Vec<(String, Vec<u8>)>, Vec<(Pair, u8)>), Error> {
        let transaction = self.database_or_closed()?.begin_read()?;
        let mut plans = Vec::new();
        for row in transaction.open_table(PLANS)?.iter()? {
            let (id, row) = row?;
            plans.push((id.value().to_owned(), row.value().to_vec()));
        }
        let mut attachments = Vec::new();
        for row in transaction.open_table(ATTACHMENTS)?.iter()? {
            let (place, state) = row?;
            let (plan, key) = place.value();
            attachments.push(((plan.into(), key.into()), state.value()));
        }
        Ok((plans, attachments))
    }

    fn account_row(&self) -> Result<Option<KeptAccount>, StateFileError> {
        let read = || -> Result<Option<Vec<u8>>, Error> {
            let meta = self.database_or_closed()?.begin_read()?.open_table(META)?;
            Ok(meta.get(ACCOUNT)?.map(|row| row.value().to_vec()))
        };
        let Some(bytes) = read().map_err(|error| self.engine(&error))? else { return Ok(None) };
        let kept = Row::from_bytes(&bytes).and_then(|row| {
            let account = row.record.as_deref().map(AccountThrottle::from_bytes);
            Some(KeptAccount { seed: row.seed, account: account.map_or(Some(None), |read| read.map(Some))? })
        });
        let damaged = || StateFileError::damaged(&self.0.path, "the record of the account's throttle");
        kept.map(Some).ok_or_else(damaged)
    }

    fn decoded(&self, rows: Vec<(String, Vec<u8>)>) -> Result<BTreeMap<String, KeptPlan>, StateFileError> {
        rows.into_iter()
            .map(|(id, bytes)| {
                let damaged =
                    || StateFileError::damaged(&self.0.path, format!("the record of usage plan {id}"));
                let row = Row::from_bytes(&bytes).ok_or_else(damaged)?;
                let plan = match row.record.as_deref() {
                    Some(record) => Some(
                        UsagePlan::from_bytes(record)?
                            .filter(|plan| *plan.id() == *id)
                            .ok_or_else(damaged)?,
                    ),
                    None => None,
                };
                Ok((id, KeptPlan { row, plan }))
            })
            .collect()
    }
}

/// A row, read.
struct KeptPlan {
    row: Row,
    plan: Option<UsagePlan>,
}

/// The row of the account's throttle, read.
struct KeptAccount {
    seed: Option<Seed>,
    account: Option<AccountThrottle>,
}

/// What is to be written.
#[derive(Default)]
struct Writes {
    /// `Some(None)` is taken out.
    account: Option<Option<Row>>,
    /// `None` is taken out.
    plans: Vec<(String, Option<Row>)>,
    /// 0 is taken out.
    attachments: Vec<(Pair, u8)>,
}

/// What follows from the file and the configuration.
#[derive(Default)]
struct Merged {
    /// To the handle.
    changes: Vec<PlanChange>,
    writes: Writes,
    /// Plans that there are afterwards.
    plans: BTreeSet<String>,
}

impl Merged {
    fn weight(&self) -> usize {
        64 * (self.writes.plans.len() + self.writes.attachments.len() + 1)
    }

    fn merge_plans(
        &mut self,
        mut rows: BTreeMap<String, KeptPlan>,
        configured: &[UsagePlan],
    ) -> Result<(), StateFileError> {
        for plan in configured {
            let record = plan.to_bytes();
            let seed = seed_of(&record);
            let kept = rows.remove(plan.id());
            match (which(kept.as_ref().map(|kept| kept.row.seed), Some(seed)), kept) {
                (Counts::File, Some(KeptPlan { plan: Some(plan), .. })) => self.put(plan),
                (Counts::File, _) => self.changes.push(PlanChange::Delete(plan.id().into())),
                _ => {
                    let row = Row { seed: Some(seed), record: Some(record) };
                    self.writes.plans.push((plan.id().to_owned(), Some(row)));
                    self.plans.insert(plan.id().to_owned());
                }
            }
        }
        for (id, kept) in rows {
            match (which(Some(kept.row.seed), None), kept.plan) {
                (Counts::File, Some(plan)) => self.put(plan),
                _ => self.writes.plans.push((id, None)),
            }
        }
        Ok(())
    }

    fn merge_account(&mut self, kept: Option<KeptAccount>, configured: Option<AccountThrottle>) {
        let record = configured.map(AccountThrottle::to_bytes);
        let seed = record.as_deref().map(seed_of);
        match (which(kept.as_ref().map(|kept| kept.seed), seed), kept) {
            (Counts::File, Some(kept)) => self.changes.push(PlanChange::Account(kept.account)),
            (Counts::Configuration, _) => self.writes.account = Some(Some(Row { seed, record })),
            (_, Some(_)) => self.writes.account = Some(None),
            (_, None) => {}
        }
    }

    fn put(&mut self, plan: UsagePlan) {
        self.plans.insert(plan.id().to_owned());
        self.changes.push(PlanChange::Put(plan));
    }

    /// Keys leave their plans before others enter, so that a key may have changed plans.
    fn merge_attachments(&mut self, rows: Vec<(Pair, u8)>, configured: &[Pair]) {
        let mut rows: BTreeMap<_, _> = rows.into_iter().collect();
        let mut leave = Vec::new();
        for pair in configured {
            match rows.remove(pair) {
                Some(state) if state & CONFIGURED != 0 && state & ATTACHED == 0 => {
                    leave.push(PlanChange::Detach(Arc::clone(&pair.0), Arc::clone(&pair.1)));
                }
                Some(state) if state == ATTACHED | CONFIGURED => {}
                _ if self.plans.contains(&*pair.0) => {
                    self.writes.attachments.push((pair.clone(), ATTACHED | CONFIGURED));
                }
                _ => {}
            }
        }
        let mut enter: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
        for (pair, state) in rows {
            match state {
                ATTACHED if self.plans.contains(&*pair.0) => enter.entry(pair.0).or_default().push(pair.1),
                _ => self.writes.attachments.push((pair, 0)),
            }
        }
        leave.append(&mut self.changes);
        self.changes = leave;
        self.changes.extend(enter.into_iter().map(|(plan, keys)| PlanChange::Attach(plan, keys)));
    }
}

impl Writes {
    fn write(&self, transaction: &WriteTransaction) -> Result<(), Error> {
        if let Some(row) = &self.account {
            write_account(transaction, row.as_ref())?;
        }
        let mut plans = transaction.open_table(PLANS)?;
        for (id, row) in &self.plans {
            match row {
                Some(row) => drop(plans.insert(&**id, row.to_bytes().as_slice())?),
                None => drop(plans.remove(&**id)?),
            }
        }
        let mut attachments = transaction.open_table(ATTACHMENTS)?;
        for ((plan, key), state) in &self.attachments {
            match state {
                0 => drop(attachments.remove((&**plan, &**key))?),
                state => drop(attachments.insert((&**plan, &**key), state)?),
            }
        }
        Ok(())
    }
}

/// Writes changes of the handle.
struct Keeper(StateFile);

impl PlanObserver for Keeper {
    fn changing(&self, change: &PlanChange) -> Result<(), ConfigError> {
        let change = change.clone();
        let weight = match &change {
            PlanChange::Attach(_, keys) => 64 * keys.len(),
            _ => 256,
        };
        let written = self.0.write_and_wait(weight, move |transaction| match &change {
            PlanChange::Put(plan) => put(transaction, plan),
            PlanChange::Delete(id) => delete(transaction, id),
            PlanChange::Attach(plan, keys) => attach(transaction, plan, keys),
            PlanChange::Detach(plan, key) => detach(transaction, plan, key),
            PlanChange::Account(account) => put_account(transaction, *account),
        });
        written.map_err(ConfigError::from)
    }
}

fn put(transaction: &WriteTransaction, plan: &UsagePlan) -> Result<(), Error> {
    let mut table = transaction.open_table(PLANS)?;
    let seed = table.get(plan.id())?.and_then(|row| Row::from_bytes(row.value())).and_then(|row| row.seed);
    let row = Row { seed, record: Some(plan.to_bytes()) };
    table.insert(plan.id(), row.to_bytes().as_slice())?;
    Ok(())
}

/// That it was configured is remembered, so that it does not come back with the configuration.
fn put_account(transaction: &WriteTransaction, account: Option<AccountThrottle>) -> Result<(), Error> {
    let seed = {
        let meta = transaction.open_table(META)?;
        let row = meta.get(ACCOUNT)?;
        row.and_then(|row| Row::from_bytes(row.value())).and_then(|row| row.seed)
    };
    let row = Row { seed, record: account.map(AccountThrottle::to_bytes) };
    write_account(transaction, Some(&row).filter(|row| row.seed.is_some() || row.record.is_some()))
}

fn write_account(transaction: &WriteTransaction, row: Option<&Row>) -> Result<(), Error> {
    let mut meta = transaction.open_table(META)?;
    match row {
        Some(row) => drop(meta.insert(ACCOUNT, row.to_bytes().as_slice())?),
        None => drop(meta.remove(ACCOUNT)?),
    }
    Ok(())
}

/// With its attachments and all that is known of its use.
fn delete(transaction: &WriteTransaction, id: &str) -> Result<(), Error> {
    let mut table = transaction.open_table(PLANS)?;
    let seed = table.get(id)?.and_then(|row| Row::from_bytes(row.value())).and_then(|row| row.seed);
    match seed {
        Some(_) => drop(table.insert(id, Row { seed, record: None }.to_bytes().as_slice())?),
        None => drop(table.remove(id)?),
    }
    let mut attachments = transaction.open_table(ATTACHMENTS)?;
    let mut keys = Vec::new();
    for row in attachments.range((id, "")..)? {
        let (place, _) = row?;
        let (plan, key) = place.value();
        if plan != id {
            break;
        }
        keys.push(key.to_owned());
    }
    keys.iter().try_for_each(|key| take_out(&mut attachments, id, key))?;
    forget_plan(transaction, id)
}

fn attach(transaction: &WriteTransaction, plan: &str, keys: &[Arc<str>]) -> Result<(), Error> {
    let mut table = transaction.open_table(ATTACHMENTS)?;
    for key in keys {
        let before = table.get((plan, &**key))?.map_or(0, |state| state.value());
        table.insert((plan, &**key), before | ATTACHED)?;
    }
    Ok(())
}

/// With what it has used.
fn detach(transaction: &WriteTransaction, plan: &str, key: &str) -> Result<(), Error> {
    take_out(&mut transaction.open_table(ATTACHMENTS)?, plan, key)?;
    transaction.open_table(USAGE)?.remove((plan, subject("key", key)))?;
    Ok(())
}

/// That it was configured is remembered, so that it does not come back with the configuration.
fn take_out(
    table: &mut ::redb::Table<'_, (&'static str, &'static str), u8>,
    plan: &str,
    key: &str,
) -> Result<(), Error> {
    let before = table.get((plan, key))?.map_or(0, |state| state.value());
    match before & CONFIGURED {
        0 => drop(table.remove((plan, key))?),
        configured => drop(table.insert((plan, key), configured)?),
    }
    Ok(())
}

//! Answers that processes share, behind the memory of each.
//!
//! For each call of one identity that memory has no answer to:
//!
//! 1. The store is asked, once for everybody in the process who waits, within a deadline. What it has is read as strictly
//!    as what the function says, held against the revocations that it has not seen, and goes into memory for the rest of
//!    its time.
//! 2. If it has nothing, one process makes the call for all (a claim, which ends by itself), and the others ask again for
//!    as long as a claim lasts. Then they call the function themselves.
//! 3. What is kept of the call goes into memory, and behind the request's back into the store.
//!
//! A revocation counts in this process from when it was asked for, and elsewhere from when the store has its number. An
//! answer knows the number of the last record before its call began, so an answer that is read later is held against every
//! revocation after that. While one of our own revocations has no number yet, nothing is read and nothing written.
//!
//! Somebody who can write to the store, but does not know the secret, can forge nothing there. What they can do is put an
//! answer back that lay in the same place before, until its TTL and 60 s are over since its call, by the clocks of the two
//! processes, which may stand so far apart.

mod lead;
mod seal;
mod stats;
mod value;

#[cfg(test)]
mod tests;

pub use stats::SharedAnswerStats;

use super::{
    Authorizer, AuthorizerError, AuthorizerEvent,
    cache::{Entry, Finished, Keep},
    handle::Inner,
    key::{self, CacheKey},
    peers::{Peers, Revocation},
};
use crate::{
    clock::Timestamp,
    store::{Next, RecordLog, StoreCounts, StoreFuture, StoreGuard, StoreOptions, until_told},
};
use bytes::Bytes;
use lead::Lead;
use seal::Seal;
use stats::{Counters, count};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use value::Shared as SharedValue;

pub(crate) use seal::Place;

/// Where answers of all processes lie.
pub(crate) trait AnswerStore: Send + Sync {
    /// What is kept in a place, or a claim: both in one step.
    fn ask(&self, place: Place, claim: Claim) -> StoreFuture<Asked>;

    /// Keeps a value for so long; the claim ends with that. Nothing happens if the claim has passed to another process.
    fn keep(&self, place: Place, value: Bytes, ttl: Duration, token: u128) -> StoreFuture<()>;

    /// Ends a claim, if it is still there.
    fn release(&self, place: Place, token: u128) -> StoreFuture<()>;

    /// Whether all of our own revocations have a number.
    fn has_numbered(&self) -> bool;

    /// Does what nobody waits for.
    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>);
}

/// The wish to make the call for all processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) token: u128,
    pub(crate) lasts: Duration,
    /// Made though there is a value, which is of no use.
    pub(crate) instead: bool,
}

/// What was in a place, and the number of the last record at that moment.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) number: u64,
    pub(crate) found: Found,
}

#[derive(Debug)]
pub(crate) enum Found {
    /// A value, and what is left of its time.
    Value(Bytes, Duration),
    /// Nothing, and the claim is ours.
    Nothing,
    /// Another process is at it.
    Claimed,
}

/// So long a claim lasts and another process's call is waited for: a function that takes longer is called by each.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes that may be on their way into the store; what would be more is not written.
const MOST_UNDER_WAY: usize = 8 * 1024 * 1024;

/// How an authorizer shares its answers, and by what once it does.
pub(super) struct Sharing {
    secret: Option<[u8; 16]>,
    is_wanted: bool,
    options: StoreOptions,
    answers: OnceLock<Arc<SharedAnswers>>,
}

impl Sharing {
    pub(super) fn new(secret: Option<[u8; 16]>, is_wanted: bool, options: StoreOptions) -> Self {
        Self { secret, is_wanted, options, answers: OnceLock::new() }
    }

    pub(super) fn answers(&self) -> Option<&Arc<SharedAnswers>> {
        self.answers.get()
    }

    /// A revocation is about to be in force: what was asked for before is not used any more.
    pub(super) fn revoking(&self) {
        if let Some(answers) = self.answers() {
            answers.revocations.fetch_add(1, SeqCst);
        }
    }
}

/// The shared answers of one authorizer.
pub(super) struct SharedAnswers {
    store: Arc<dyn AnswerStore>,
    seal: Seal,
    guard: StoreGuard,
    log: Mutex<RecordLog<Revocation>>,
    /// How many have been in force here.
    revocations: AtomicU64,
    under_way: AtomicUsize,
    counters: Counters,
}

/// What comes of asking the store.
enum Told {
    Answer(Arc<Entry>),
    Lead(Lead),
    /// The call is to be made for this process only.
    Alone,
}

/// What is wanted of the store.
struct Question<'a> {
    inner: &'a Inner,
    shared: &'a Arc<SharedAnswers>,
    place: Place,
    identity: CacheKey,
}

/// One call for everybody who waits, in whatever process.
pub(super) async fn call(
    inner: Arc<Inner>,
    shared: Arc<SharedAnswers>,
    key: CacheKey,
    event: AuthorizerEvent,
) -> Finished {
    let identity = key::identity(&inner.cache.hash, event.identity());
    let question = Question { inner: &inner, shared: &shared, place: shared.seal.place(key), identity };
    let lead = match question.ask().await {
        Told::Answer(entry) => return finished(entry),
        Told::Lead(lead) => Some(lead),
        Told::Alone => None,
    };
    count(if lead.is_some() { &shared.counters.led } else { &shared.counters.alone });
    let told = inner.ask(event).await;
    let lead = lead.map(|lead| (lead, value::said(&told.answered)));
    let finished = inner.finish(told, identity);
    if let (Some((lead, Some(said))), Keep::Answer(entry)) = (lead, &finished.keep) {
        lead.keep(&said, entry, inner.clock.now());
    }
    finished
}

/// As if memory had had it: nothing was called.
fn finished(entry: Arc<Entry>) -> Finished {
    let outcome = entry.grant.clone().ok_or(AuthorizerError::Unauthorized);
    Finished { outcome, call: None, keep: Keep::Answer(entry) }
}

impl Question<'_> {
    async fn ask(&self) -> Told {
        let counters = &self.shared.counters;
        let asked = until_told(&self.inner.clock, PATIENCE, |instead| self.ask_once(instead)).await;
        let Some((told, waited)) = asked else { return Told::Alone };
        if matches!(told, Told::Answer(_)) {
            count(if waited { &counters.followed } else { &counters.found });
        }
        told
    }

    /// `Err`: that was it.
    async fn ask_once(&self, instead: bool) -> Result<Next, Told> {
        let shared = self.shared;
        // Looked at in this order: what is revoked after the first is counted by the second.
        let revocations = shared.revocations.load(SeqCst);
        if !shared.store.has_numbered() {
            return Err(Told::Alone);
        }
        let mut lead = Lead::new(shared, self.place);
        let asked_at = self.inner.clock.now();
        let asked = shared.guard.call(shared.guard.deadline(), || lead.ask(instead)).await;
        let Asked { number, found } = asked.map_err(|_away| Told::Alone)?;
        match found {
            Found::Nothing => Err(Told::Lead(lead.begun(number))),
            Found::Claimed => {
                lead.never_made();
                Ok(Next::Wait)
            }
            Found::Value(bytes, left) => {
                lead.never_made();
                let found = FoundValue { bytes, left, number, asked_at, revocations };
                let Some(entry) = self.read(&found) else {
                    count(&shared.counters.unusable);
                    return Ok(Next::Instead);
                };
                Err(Told::Answer(entry))
            }
        }
    }

    /// `None`: it is none, another's, over, or revoked.
    fn read(&self, found: &FoundValue) -> Option<Arc<Entry>> {
        let text = self.shared.seal.open(self.place, &found.bytes)?;
        let value = SharedValue::from_bytes(&text)?;
        let entry = self.entry(&value, found)?;
        let hash = &self.inner.cache.hash;
        let is_revoked = self
            .shared
            .log()
            .after(value.seen, found.number)?
            .any(|revocation| revocation.means(hash, &entry));
        let is_good = !is_revoked && self.shared.revocations.load(SeqCst) == found.revocations;
        is_good.then(|| Arc::new(entry))
    }

    /// What the value says, for as long as it may still be used: by the store's time, by what the process that made it
    /// would have used it for, and by what this one would.
    fn entry(&self, value: &SharedValue, found: &FoundValue) -> Option<Entry> {
        if value.is_over(found.asked_at) {
            return None;
        }
        let grant = value.grant(self.inner.form)?;
        let grant = grant.map(|grant| Arc::new(grant.known_by(&self.inner.known_by)));
        let age = value.ttl.saturating_sub(found.left);
        let own = self.inner.ttl_of(grant.as_deref()).saturating_sub(age);
        let ttl = found.left.min(value.ttl).min(own);
        let entry = Entry { grant, invoked: found.asked_at, ttl, identity: self.identity };
        (!ttl.is_zero()).then_some(entry)
    }
}

/// What a place had, before it is looked at.
struct FoundValue {
    bytes: Bytes,
    left: Duration,
    number: u64,
    asked_at: Timestamp,
    /// How many revocations had been in force when it was asked for.
    revocations: u64,
}

impl SharedAnswers {
    fn log(&self) -> MutexGuard<'_, RecordLog<Revocation>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, bytes: usize) -> bool {
        let before = self.under_way.fetch_add(bytes, SeqCst);
        let fits = before.saturating_add(bytes) <= MOST_UNDER_WAY;
        if !fits {
            self.under_way.fetch_sub(bytes, SeqCst);
        }
        fits
    }
}

impl Authorizer {
    /// What became of answers that other processes might have had; `None` where none are shared.
    pub fn shared_answers(&self) -> Option<SharedAnswerStats> {
        self.0.sharing.answers().map(|answers| answers.counters.snapshot())
    }

    /// How often the store of shared answers failed; `None` where none are shared.
    pub fn store_counts(&self) -> Option<StoreCounts> {
        self.0.sharing.answers().map(|answers| answers.guard.counts())
    }
}

/// For the fleet.
impl Authorizer {
    /// Whether identities are known by a secret that others may share.
    pub(crate) fn is_shareable(&self) -> bool {
        self.0.sharing.secret.is_some()
    }

    /// `false`: it has some already.
    pub(crate) fn set_peers(&self, peers: Arc<dyn Peers>) -> bool {
        self.0.peers.set(peers).is_ok()
    }

    /// How long the store of answers is waited for; `None`: answers are not to be shared.
    pub(crate) fn answers_deadline(&self) -> Option<Duration> {
        let is_wanted = self.0.sharing.is_wanted && !self.0.ttl.is_zero();
        is_wanted.then_some(self.0.sharing.options.deadline)
    }

    /// From now on, answers are shared. Nothing is read before it is known how far the log is.
    pub(crate) fn share_answers(&self, store: Arc<dyn AnswerStore>) {
        let sharing = &self.0.sharing;
        let Some(secret) = &sharing.secret else { return };
        let guard =
            StoreGuard::new("shared authorizer answers", sharing.options.clone(), self.0.clock.clone());
        let _once = sharing.answers.set(Arc::new(SharedAnswers {
            store,
            seal: Seal::new(secret, self.name()),
            guard,
            log: Mutex::default(),
            revocations: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            counters: Counters::default(),
        }));
    }

    /// The revocation of that number. One of our own has long been in force; it is put in force again, so that nothing
    /// hangs on what was read in between.
    pub(crate) fn heard(&self, number: u64, revocation: Revocation) {
        self.0.forget(revocation);
        if let Some(answers) = self.0.sharing.answers() {
            answers.log().push(number, revocation);
        }
    }

    /// Numbers up to that one are of other things.
    pub(crate) fn passed(&self, number: u64) {
        self.0.sharing.answers().into_iter().for_each(|answers| answers.log().pass(number));
    }

    /// Revocations up to that number may have been missed.
    pub(crate) fn missed(&self, number: u64) {
        self.0.forget(Revocation::All);
        self.0.sharing.answers().into_iter().for_each(|answers| answers.log().reset(number));
    }
}

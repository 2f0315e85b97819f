//! State that all processes hold whole and Redis keeps for new ones: fields of a hash, and who is told of them.
//!
//! A change that is made here counts here at once. It is written behind, in order, together with its record; until Redis
//! has said its version, or that record comes back, what others say of the same field is passed over, since ours will
//! count in the end, and taken afterwards if it is the newer one. So all processes come to the same, which is what Redis
//! took last ([`Versions`]); and where Redis has forgotten it, whoever still knows it says it again.

use super::{
    listener::{Listener, Reloading},
    member::{Member, Writes},
    versions::{Versioned, Versions},
};
use crate::redis::{RedisError, race::sleep, reply};
use bytes::{Buf, BufMut, Bytes};
use std::{
    collections::HashMap,
    future::ready,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// A field and its value; without a value it was deleted.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// Fields that come from elsewhere.
pub(super) type Others = Vec<(Bytes, Option<Bytes>)>;

/// A change on its way, by its number in this process.
type Step = (u64, Vec<Field>);
type Steps = mpsc::UnboundedReceiver<Step>;

/// A handle whose state this is.
pub(super) trait Holder: Send + Sync + 'static {
    /// Puts fields in force that come from elsewhere. Asks which, once, under the lock under which changes are made here:
    /// so none of ours is undone by one that is older. A value that cannot be read counts as deleted.
    fn apply(&self, _others: &mut dyn FnMut() -> Others) {}

    /// All there is.
    fn fields(&self) -> Vec<Field>;

    /// Of a state that is kept nowhere: a record.
    fn heard(&self, _number: u64, _fields: Others) {}

    /// The others' records have passed up to that number.
    fn passed(&self, _number: u64) {}

    /// Changes up to that number may have been missed, and Redis keeps no state to read them from.
    fn begin_anew(&self, _number: u64) {}
}

/// See the module's page.
pub(super) struct State {
    member: Weak<Member>,
    topic: String,
    /// `None`: changes are told, and kept nowhere.
    hash: Option<String>,
    holder: Box<dyn Holder>,
    queue: mpsc::UnboundedSender<Step>,
    /// Under its lock changes get their steps and go into the queue: so they stand there in the order of these.
    versions: Mutex<Versions>,
    steps: AtomicU64,
    /// The last step that was sent, and the number of the last record.
    sent: watch::Sender<(u64, u64)>,
}

/// Fields that travel in one record.
const MOST_FIELDS: usize = 500;
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl State {
    pub(super) fn new(member: &Arc<Member>, topic: &str, holder: impl Holder) -> Arc<Self> {
        let hash = member.redis.names().name(topic, &[]);
        Self::build(member, topic.to_owned(), Some(hash), holder)
    }

    #[cfg(feature = "authorizer")]
    pub(super) fn without_hash(member: &Arc<Member>, topic: String, holder: impl Holder) -> Arc<Self> {
        Self::build(member, topic, None, holder)
    }

    fn build(member: &Arc<Member>, topic: String, hash: Option<String>, holder: impl Holder) -> Arc<Self> {
        let (state, steps) = Self::unsent(member, topic, hash, holder);
        member.add_state(&state);
        member.runtime.spawn(send_all(Arc::downgrade(&state), steps));
        state
    }

    /// One whose changes nobody sends yet.
    fn unsent(
        member: &Arc<Member>,
        topic: String,
        hash: Option<String>,
        holder: impl Holder,
    ) -> (Arc<Self>, Steps) {
        let (queue, steps) = mpsc::unbounded_channel();
        let state = Arc::new(Self {
            member: Arc::downgrade(member),
            topic,
            hash,
            holder: Box::new(holder),
            queue,
            versions: Mutex::default(),
            steps: AtomicU64::new(0),
            sent: watch::Sender::new((0, 0)),
        });
        (state, steps)
    }

    /// Whether Redis has the state of the fleet to begin with: nothing is begun without.
    pub(super) async fn reach(member: &Member) -> Result<(), RedisError> {
        member.redis.ping(PATIENCE).await
    }

    pub(super) async fn join(self: &Arc<Self>, member: &Member) -> Result<(), RedisError> {
        let listener: Arc<dyn Listener> = Arc::clone(self) as _;
        member.listen(&self.topic, self.hash.as_deref(), listener).await
    }

    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a change behind. Called in the order in which changes count here, where there is one.
    pub(super) fn change(&self, fields: &[Field]) {
        let mut versions = self.versions();
        for chunk in fields.chunks(MOST_FIELDS) {
            let step = self.steps.fetch_add(1, SeqCst) + 1;
            if self.hash.is_some() {
                versions.begin(chunk, step);
            }
            // The queue ends with the state itself.
            let _is_open = self.queue.send((step, chunk.to_vec()));
        }
    }

    /// Whether all changes up to now are in Redis.
    #[cfg(feature = "authorizer")]
    pub(super) fn is_sent(&self) -> bool {
        self.sent.borrow().0 >= self.steps.load(SeqCst)
    }

    /// Waits until all changes up to now are in Redis; the number of the last record.
    pub(super) async fn sent(&self) -> u64 {
        let step = self.steps.load(SeqCst);
        let mut sent = self.sent.subscribe();
        let reached = sent.wait_for(|(last, _)| *last >= step).await;
        reached.map_or(0, |sent| sent.1)
    }

    async fn send(&self, step: u64, fields: &[Field]) -> Result<(), RedisError> {
        let member = self.member.upgrade().ok_or(RedisError::Away)?;
        let mut words = step.to_be_bytes().to_vec();
        let writes = match self.hash.as_deref() {
            Some(hash) => Writes { hash: Some(hash), fields, repairs: false },
            None => {
                fields.iter().for_each(|field| put(&mut words, field));
                Writes::default()
            }
        };
        let announced = member.announce(&self.topic, &words, writes).await?;
        if self.hash.is_some() {
            self.versions().sent(fields, announced.version);
            // Its record does not come back where all is read anew meanwhile.
            self.returned(step);
        }
        self.sent.send_replace((step, announced.number));
        Ok(())
    }

    /// What others said, but for what is older than what is known, and what we have said after them. Together: what is
    /// attached may stand on an earlier page than what it is attached to.
    fn apply(&self, fields: Vec<Versioned>) {
        let mut fields = Some(fields);
        self.holder.apply(&mut || {
            let mut versions = self.versions();
            let newer = fields.take().into_iter().flatten().filter(|field| versions.take(field));
            newer.map(|Versioned { field, value, .. }| (field, value)).collect()
        });
    }

    /// Redis has our changes up to that step.
    fn returned(&self, step: u64) {
        let passed_over = self.versions().returned(step);
        if !passed_over.is_empty() {
            self.apply(passed_over);
        }
    }

    /// All that the handle has.
    pub(super) fn fields(&self) -> Vec<Field> {
        self.holder.fields()
    }

    /// All of the hash into the handle, and what the hash lacks or has older into it.
    async fn reload(&self, hash: &str) -> Result<(), RedisError> {
        let member = self.member.upgrade().ok_or(RedisError::Away)?;
        let all = scan(&member, hash).await?;
        let there: HashMap<_, _> = all.iter().map(|other| (other.field.clone(), other.version)).collect();
        self.apply(all);
        // Its lock is never asked for under ours.
        let own = self.holder.fields();
        let repairs = self.versions().repairs(&there, own);
        for fields in repairs.chunks(MOST_FIELDS) {
            let writes = Writes { hash: Some(hash), fields, repairs: true };
            member.announce(&self.topic, &0_u64.to_be_bytes(), writes).await?;
        }
        Ok(())
    }
}

/// All of a hash, page by page.
async fn scan(member: &Member, hash: &str) -> Result<Vec<Versioned>, RedisError> {
    let mut all = Vec::new();
    let mut cursor = Bytes::from_static(b"0");
    loop {
        let mut scan = ::redis::cmd("HSCAN");
        scan.arg(hash).arg(&*cursor).arg("COUNT").arg(MOST_FIELDS);
        let (next, pairs) = reply::page(member.redis.call(&scan, PATIENCE).await?)?;
        cursor = next;
        all.extend(reply::pairs(pairs)?.into_iter().map(|(field, stored)| Versioned::new(field, stored)));
        if *cursor == *b"0" {
            return Ok(all);
        }
    }
}

/// As the script writes them.
fn put(words: &mut Vec<u8>, (field, value): &Field) {
    for part in [field, value] {
        words.put_u32(part.len() as u32);
        words.put_slice(part);
    }
}

/// The step and the fields of a record.
fn read(mut words: Bytes) -> Option<(u64, Vec<(Bytes, Bytes)>)> {
    let step = words.try_get_u64().ok()?;
    let mut fields = Vec::new();
    while !words.is_empty() {
        let mut part = || {
            let length = words.try_get_u32().ok()? as usize;
            (length <= words.len()).then(|| words.split_to(length))
        };
        fields.push((part()?, part()?));
    }
    Some((step, fields))
}

impl Listener for State {
    fn heard(&self, number: u64, words: &Bytes, own: bool) -> bool {
        let Some((step, fields)) = read(words.clone()) else { return false };
        if self.hash.is_none() {
            let given = |value: Bytes| (!value.is_empty()).then_some(value);
            let fields = fields.into_iter().map(|(field, value)| (field, given(value))).collect();
            self.holder.heard(number, fields);
            return true;
        }
        if own {
            self.returned(step);
        }
        self.apply(fields.into_iter().map(|(field, stored)| Versioned::new(field, stored)).collect());
        true
    }

    fn passed(&self, number: u64) {
        self.holder.passed(number);
    }

    fn missed(&self, number: u64) -> Reloading<'_> {
        match &self.hash {
            Some(hash) => Box::pin(self.reload(hash)),
            None => {
                self.holder.begin_anew(number);
                Box::pin(ready(Ok(())))
            }
        }
    }
}

/// Sends what is changed here, in order, each step until Redis has it.
async fn send_all(state: Weak<State>, mut steps: Steps) {
    while let Some((step, fields)) = steps.recv().await {
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(state) = state.upgrade() else { return };
            if state.send(step, &fields).await.is_ok() {
                break;
            }
            drop(state);
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::{Fleet, Redis};
    use std::thread;

    struct Nothing;

    impl Holder for Nothing {
        fn fields(&self) -> Vec<Field> {
            Vec::new()
        }
    }

    /// Revocations are made without a lock. One that overtook another would leave `sent` behind `steps` for good.
    #[tokio::test]
    async fn changes_of_many_threads_are_queued_in_the_order_of_their_steps() {
        const THREADS: u64 = 4;
        const EACH: u64 = 5_000;
        // Nobody listens there.
        let fleet = Fleet::join(&Redis::new("redis://127.0.0.1:1").unwrap()).unwrap();
        for hash in [None, Some("hash".to_owned())] {
            let (state, mut steps) = State::unsent(&fleet.0, "topic".to_owned(), hash, Nothing);
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| (0..EACH).for_each(|_| state.change(&[(vec![1], vec![1])])));
                }
            });
            for step in 1..=THREADS * EACH {
                assert_eq!(steps.try_recv().unwrap().0, step);
            }
            assert!(steps.try_recv().is_err());
        }
    }
}

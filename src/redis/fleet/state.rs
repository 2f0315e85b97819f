//! State that all processes hold whole and Redis keeps for new ones: fields of a hash, and who is told of them.
//!
//! A change that is made here counts here at once. It is written behind, in order, together with its record; until that
//! record comes back, what others say of the same field is passed over, since theirs stands before ours in the log and
//! ours will count in the end. So all processes come to the same, which is what the log says last.

use super::{
    listener::{Listener, Reloading},
    member::{Member, Writes},
    reply,
};
use crate::redis::{RedisError, race::sleep};
use bytes::{Buf, BufMut, Bytes};
use std::{
    collections::{HashMap, HashSet},
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

/// A handle whose state this is.
pub(super) trait Holder: Send + Sync + 'static {
    /// Puts fields in force that come from elsewhere. A value that cannot be read counts as deleted.
    fn apply(&self, fields: Others);

    /// All there is.
    fn fields(&self) -> Vec<Field>;

    /// Changes may have been missed, and Redis keeps no state to read them from.
    fn begin_anew(&self) {}
}

/// See the module's page.
pub(super) struct State {
    member: Weak<Member>,
    topic: String,
    /// `None`: changes are told, and kept nowhere.
    hash: Option<String>,
    holder: Box<dyn Holder>,
    queue: mpsc::UnboundedSender<(u64, Vec<Field>)>,
    /// By field: the last step of ours whose record has not come back.
    pending: Mutex<HashMap<Vec<u8>, u64>>,
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
        let (queue, steps) = mpsc::unbounded_channel();
        let state = Arc::new(Self {
            member: Arc::downgrade(member),
            topic,
            hash,
            holder: Box::new(holder),
            queue,
            pending: Mutex::default(),
            steps: AtomicU64::new(0),
            sent: watch::Sender::new((0, 0)),
        });
        member.add_state(&state);
        member.runtime.spawn(send_all(Arc::downgrade(&state), steps));
        state
    }

    /// Whether Redis has the state of the fleet to begin with: nothing is begun without.
    pub(super) async fn reach(member: &Member) -> Result<(), RedisError> {
        member.redis.ping(PATIENCE).await
    }

    pub(super) async fn join(self: &Arc<Self>, member: &Member) -> Result<(), RedisError> {
        let listener: Arc<dyn Listener> = Arc::clone(self) as _;
        member.listen(&self.topic, self.hash.as_deref(), listener).await
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<Vec<u8>, u64>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a change behind. Called in the order in which changes count here.
    pub(super) fn change(&self, fields: &[Field]) {
        for chunk in fields.chunks(MOST_FIELDS) {
            let step = self.steps.fetch_add(1, SeqCst) + 1;
            if self.hash.is_some() {
                self.pending().extend(chunk.iter().map(|(field, _)| (field.clone(), step)));
            }
            // The queue ends with the state itself.
            let _is_open = self.queue.send((step, chunk.to_vec()));
        }
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
            Some(hash) => Writes { hash: Some(hash), fields, seeds: false },
            None => {
                fields.iter().for_each(|field| put(&mut words, field));
                Writes::default()
            }
        };
        let number = member.announce(&self.topic, &words, writes).await?;
        self.sent.send_replace((step, number));
        Ok(())
    }

    /// What others said, but for what we have said after them.
    fn apply(&self, fields: Vec<(Bytes, Option<Bytes>)>) {
        let pending = self.pending();
        let others: Vec<_> =
            fields.into_iter().filter(|(field, _)| !pending.contains_key(&**field)).collect();
        drop(pending);
        if !others.is_empty() {
            self.holder.apply(others);
        }
    }

    /// All that the handle has.
    pub(super) fn fields(&self) -> Vec<Field> {
        self.holder.fields()
    }

    fn returned(&self, step: u64) {
        self.pending().retain(|_, last| *last > step);
    }

    /// All of the hash into the handle, and what the hash lacks into it.
    async fn reload(&self) -> Result<(), RedisError> {
        let Some(hash) = &self.hash else {
            self.holder.begin_anew();
            return Ok(());
        };
        let member = self.member.upgrade().ok_or(RedisError::Away)?;
        // What was sent is in the hash.
        self.returned(self.sent.borrow().0);
        let mut all: Vec<(Bytes, Option<Bytes>)> = Vec::new();
        let mut cursor = Bytes::from_static(b"0");
        loop {
            let mut scan = ::redis::cmd("HSCAN");
            scan.arg(hash).arg(&*cursor).arg("COUNT").arg(MOST_FIELDS);
            let mut answer = reply::list(member.redis.call(&scan, PATIENCE).await?)?;
            cursor = reply::bytes(answer.next())?;
            let pairs = reply::pairs(answer.next().ok_or(RedisError::Reply)?)?;
            all.extend(pairs.into_iter().map(|(field, value)| (field, given(value))));
            if *cursor == *b"0" {
                break;
            }
        }
        let known: HashSet<_> = all.iter().map(|(field, _)| field.to_vec()).collect();
        // Together: what is attached may stand on an earlier page than what it is attached to.
        self.apply(all);
        let lacking = |fields: Vec<Field>| fields.into_iter().filter(|(field, _)| !known.contains(field));
        let seeds: Vec<_> = lacking(self.holder.fields()).collect();
        for fields in seeds.chunks(MOST_FIELDS) {
            let writes = Writes { hash: Some(hash), fields, seeds: true };
            member.announce(&self.topic, &0_u64.to_be_bytes(), writes).await?;
        }
        Ok(())
    }
}

/// As the script writes them.
fn put(words: &mut Vec<u8>, (field, value): &Field) {
    for part in [field, value] {
        words.put_u32(part.len() as u32);
        words.put_slice(part);
    }
}

fn given(value: Bytes) -> Option<Bytes> {
    (!value.is_empty()).then_some(value)
}

/// The step and the fields of a record.
fn read(mut words: Bytes) -> Option<(u64, Others)> {
    let step = words.try_get_u64().ok()?;
    let mut fields = Vec::new();
    while !words.is_empty() {
        let mut part = || {
            let length = words.try_get_u32().ok()? as usize;
            (length <= words.len()).then(|| words.split_to(length))
        };
        fields.push((part()?, given(part()?)));
    }
    Some((step, fields))
}

impl Listener for State {
    fn heard(&self, _: u64, words: &Bytes, own: bool) -> bool {
        let Some((step, fields)) = read(words.clone()) else { return false };
        if own {
            self.returned(step);
        }
        // What is kept nowhere has been in force here since before it was told.
        if !own || self.hash.is_some() {
            self.apply(fields);
        }
        true
    }

    fn missed(&self, _: u64) -> Reloading<'_> {
        Box::pin(self.reload())
    }
}

/// Sends what is changed here, in order, each step until Redis has it.
async fn send_all(state: Weak<State>, mut steps: mpsc::UnboundedReceiver<(u64, Vec<Field>)>) {
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

//! This process as one of the fleet.

use super::{listener::Listener, record::Record, scripts::Scripts, state::State};
use crate::{
    clock::Clock,
    error::ConfigError,
    redis::{
        Redis, RedisError,
        race::{before, sleep, within},
        reply,
        subscription::{Notice, Subscription},
    },
    store::{Acknowledgement, StoreError},
};
use ::redis::Value;
use bytes::Bytes;
use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::sync::{Mutex as Turn, Notify};

/// So long a process counts as alive after its last sign of life.
const LEASE: Duration = Duration::from_secs(3);
/// ... and so long it believes so itself: less, by more than clocks run apart.
const OWN_LEASE: Duration = Duration::from_millis(2_700);
const BEAT: Duration = Duration::from_secs(1);
/// Nobody's request waits for these calls.
const PATIENCE: Duration = Duration::from_secs(1);
const LOG: &str = "1024";
/// 30 days in milliseconds.
const KEEP: &str = "2592000000";
/// A message can be lost: acknowledgements are looked up so often.
const LOOK: Duration = Duration::from_millis(50);

/// The processes with one prefix in one Redis; see the [module docs](super). A clone is a reference count; with the last
/// one the process leaves.
#[derive(Clone)]
pub struct Fleet(pub(super) Arc<Member>);

/// What the clones share.
pub(super) struct Member {
    pub(super) redis: Redis,
    pub(super) scripts: Scripts,
    id: String,
    names: [String; 3],
    channel: String,
    applied: AtomicU64,
    /// The greatest number that a record of ours was given.
    announced: AtomicU64,
    /// Of the last record that was applied; empty where that is not known.
    mark: Mutex<Bytes>,
    /// On our monotonic clock: until then, no record can have been acknowledged without us.
    current_until: AtomicU64,
    live: AtomicU64,
    /// Records are delivered one after the other, and never while a listener is being added.
    listeners: Turn<Vec<(String, Arc<dyn Listener>)>>,
    acknowledged: Notify,
    kept: Mutex<Vec<String>>,
    /// Where changes of this process wait to be sent.
    states: Mutex<Vec<Weak<State>>>,
    pub(super) runtime: tokio::runtime::Handle,
}

impl Fleet {
    /// Joins the processes with the same prefix. Nothing has to be there yet: it connects in the background, and again.
    ///
    /// # Errors
    ///
    /// There is no tokio runtime, or the system has no randomness for the process's name.
    pub fn join(redis: &Redis) -> Result<Self, ConfigError> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| ConfigError::of_system("fleet", "", "needs a tokio runtime", error))?;
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| ConfigError::of_system("fleet", "", "no randomness for a name", error))?;
        let id = format!("{}-{:016x}", std::process::id(), u64::from_le_bytes(random));
        let name = |part| redis.names().name("fleet", &[part]);
        let member = Arc::new(Member {
            redis: redis.clone(),
            scripts: Scripts::new(),
            id,
            names: ["number", "log", "members"].map(name),
            channel: name("news"),
            applied: AtomicU64::new(0),
            announced: AtomicU64::new(0),
            mark: Mutex::default(),
            current_until: AtomicU64::new(0),
            live: AtomicU64::new(1),
            listeners: Turn::default(),
            acknowledged: Notify::new(),
            kept: Mutex::default(),
            states: Mutex::default(),
            runtime: runtime.clone(),
        });
        runtime.spawn(run(Arc::downgrade(&member), redis.subscribe(&member.channel)));
        Ok(Self(member))
    }

    /// The name of this process in acknowledgements: its process id, and what is random.
    pub fn member_id(&self) -> &str {
        &self.0.id
    }

    /// How many processes there are, this one included, as far as it knows.
    pub fn live(&self) -> u64 {
        self.0.live.load(SeqCst)
    }

    /// Waits until all that this process has changed (keys, plans, attachments) is in force in every live process, or
    /// until the time is over.
    ///
    /// # Errors
    ///
    /// Redis did not take it in time. It is tried again for as long as the process lives.
    pub async fn settled(&self, time: Duration) -> Result<Acknowledgement, StoreError> {
        let ends = now().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let mut over = sleep(time);
        let mut last = 0;
        for state in self.0.states() {
            let sent = before(&mut over, state.sent()).await;
            last = last.max(sent.ok_or_else(|| StoreError::new("changes are still on their way to Redis"))?);
        }
        // It ends by itself when the time is over, and says who was silent until then.
        let left = Duration::from_nanos(ends.saturating_sub(now()));
        Ok(self.0.acknowledged(last, left).await?)
    }

    /// Whether nothing can have changed without this process: it has spoken to Redis within the last 2.7 s.
    pub fn is_current(&self) -> bool {
        self.0.is_current()
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("member", &self.0.id)
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        Self::caused_by("Redis did not do it", error)
    }
}

fn now() -> u64 {
    Clock::system().now().monotonic_nanos()
}

impl Member {
    pub(super) fn is_current(&self) -> bool {
        now() < self.current_until.load(SeqCst)
    }

    pub(super) fn number_key(&self) -> &str {
        &self.names[0]
    }

    /// Adds a listener, which begins with all that there is.
    pub(super) async fn listen(
        &self,
        topic: &str,
        keeps: Option<&str>,
        listener: Arc<dyn Listener>,
    ) -> Result<(), RedisError> {
        let mut listeners = self.listeners.lock().await;
        let begun = listener.missed(self.applied.load(SeqCst)).await;
        keeps.into_iter().for_each(|key| self.kept().push(key.to_owned()));
        listeners.push((topic.to_owned(), listener));
        if begun.is_err() {
            // The next beat has everybody begin anew.
            self.reached(0, Bytes::new());
        }
        begun
    }

    pub(super) fn add_state(&self, state: &Arc<State>) {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(state));
    }

    fn states(&self) -> Vec<Arc<State>> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().filter_map(Weak::upgrade).collect()
    }

    fn reached(&self, number: u64, mark: Bytes) {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = mark;
        self.applied.store(number, SeqCst);
    }

    fn mark(&self) -> Bytes {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<String>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells every process, and writes fields of a hash in the same step.
    pub(super) async fn announce(
        &self,
        topic: &str,
        words: &[u8],
        writes: Writes<'_>,
    ) -> Result<Announced, RedisError> {
        let [number, log, _] = &self.names;
        let record = Record::to_bytes(&self.id, topic, words);
        let mode: &[u8] = if writes.repairs { b"repair" } else { b"set" };
        let mut arguments: Vec<&[u8]> =
            vec![&record, LOG.as_bytes(), KEEP.as_bytes(), self.channel.as_bytes(), mode];
        arguments.extend(writes.fields.iter().flat_map(|(field, value)| [&**field, &**value]));
        let keys = [number, log, writes.hash.unwrap_or(log)];
        let answer = self.redis.run(&self.scripts.announce, &keys, &arguments, PATIENCE).await?;
        let mut answer = reply::list(answer)?;
        let announced =
            Announced { number: reply::number(answer.next())?, version: reply::number(answer.next())? };
        self.announced.fetch_max(announced.number, SeqCst);
        Ok(announced)
    }

    /// Waits until every live process has applied a number.
    pub(super) async fn acknowledged(
        &self,
        number: u64,
        within: Duration,
    ) -> Result<Acknowledgement, RedisError> {
        let mut over = sleep(within);
        loop {
            let told = self.acknowledged.notified();
            let standing = self.standing(number).await?;
            if standing.is_complete() {
                return Ok(standing);
            }
            let looked = before(&mut over, pause_for(told)).await;
            if looked.is_none() {
                return Ok(standing);
            }
        }
    }

    async fn standing(&self, number: u64) -> Result<Acknowledgement, RedisError> {
        let number = number.to_string();
        let answer =
            self.redis.run(&self.scripts.members, &[&self.names[2]], &[number.as_bytes()], PATIENCE).await?;
        let mut answer = reply::list(answer)?;
        let have = reply::number(answer.next())?;
        let (silent, cut_off) = (reply::texts(answer.next())?, reply::texts(answer.next())?);
        Ok(Acknowledgement::new(usize::try_from(have).unwrap_or(usize::MAX), silent, cut_off))
    }

    /// A sign of life, and what its answer brings; `true`: there is something to say at once.
    async fn beat(&self) -> Result<bool, RedisError> {
        let mut listeners = self.listeners.lock().await;
        listeners.retain(|(_, listener)| listener.is_alive());
        let sent = now();
        // Looked at before it asks: a server that has given these numbers knows them when it answers.
        let (before, announced) = (self.applied.load(SeqCst), self.announced.load(SeqCst));
        let Heard { number, standing, live, last, records } = self.ask(before).await?;
        self.live.store(live, SeqCst);
        match standing {
            // A record of ours was answered and then lost, before anybody had applied it.
            Standing::InStep if number < announced => {
                self.begin_anew(announced).await?;
                return Ok(true);
            }
            Standing::InStep => {}
            Standing::Missing => {
                for (_, listener) in &*listeners {
                    listener.missed(number).await?;
                }
                self.reached(number, last);
                return Ok(true);
            }
            Standing::Ahead => {
                self.begin_anew(before).await?;
                return Ok(true);
            }
        }
        for (next, record) in (before + 1..).zip(records) {
            self.deliver(&listeners, next, record).await?;
        }
        // All that there was when the answer was made is in force now.
        if self.applied.load(SeqCst) == number {
            self.current_until.fetch_max(sent + OWN_LEASE.as_nanos() as u64, SeqCst);
        }
        Ok(self.applied.load(SeqCst) != before)
    }

    async fn ask(&self, applied: u64) -> Result<Heard, RedisError> {
        let (applied, mark) = (applied.to_string(), self.mark());
        let lease = LEASE.as_millis().to_string();
        let kept = self.kept().clone();
        let keys: Vec<&str> = self.names.iter().chain(&kept).map(String::as_str).collect();
        let [id, lease, channel] = [&self.id, &lease, &self.channel].map(|text| text.as_bytes());
        let arguments = [applied.as_bytes(), &mark, id, lease, KEEP.as_bytes(), channel];
        Heard::of(self.redis.run(&self.scripts.beat, &keys, &arguments, PATIENCE).await?)
    }

    /// The server has come back older than it was, and does not know that number: none of before may be taken for one of
    /// after.
    async fn begin_anew(&self, known: u64) -> Result<(), RedisError> {
        let [number, log, _] = &self.names;
        let (known, mark) = (known.to_string(), self.mark());
        let record = Record::to_bytes(&self.id, "", &[]);
        let arguments = [known.as_bytes(), &mark, &record, KEEP.as_bytes(), self.channel.as_bytes()];
        self.redis.run(&self.scripts.anew, &[number, log], &arguments, PATIENCE).await.map(drop)
    }

    async fn deliver(
        &self,
        listeners: &[(String, Arc<dyn Listener>)],
        number: u64,
        record: Bytes,
    ) -> Result<(), RedisError> {
        let record = Record::from_bytes(record);
        let mark = record.as_ref().map(|record| record.mark.clone()).unwrap_or_default();
        for (topic, listener) in listeners {
            let is_understood = match &record {
                Some(record) if record.topic == topic.as_bytes() => {
                    listener.heard(number, &record.words, record.from == self.id.as_bytes())
                }
                Some(_) => {
                    listener.passed(number);
                    true
                }
                // Of a newer version of this crate: it might concern anybody.
                None => false,
            };
            if !is_understood {
                listener.missed(number).await?;
            }
        }
        self.reached(number, mark);
        Ok(())
    }
}

/// What is written together with a record.
#[derive(Clone, Copy, Default)]
pub(super) struct Writes<'a> {
    pub(super) hash: Option<&'a str>,
    pub(super) fields: &'a [(Vec<u8>, Vec<u8>)],
    /// The values begin with their versions, and count where those are the greatest.
    pub(super) repairs: bool,
}

/// A record that was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    pub(super) number: u64,
    /// Of the fields that were written with it.
    pub(super) version: u64,
}

/// How a process stands to the server.
enum Standing {
    InStep,
    Missing,
    /// It knows records that the server does not.
    Ahead,
}

/// The answer to a sign of life.
struct Heard {
    number: u64,
    standing: Standing,
    live: u64,
    /// The last record's mark.
    last: Bytes,
    records: Vec<Bytes>,
}

impl Heard {
    fn of(answer: Value) -> Result<Self, RedisError> {
        let mut answer = reply::list(answer)?;
        Ok(Self {
            number: reply::number(answer.next())?,
            standing: match reply::number(answer.next())? {
                0 => Standing::InStep,
                1 => Standing::Missing,
                _ => Standing::Ahead,
            },
            live: reply::number(answer.next())?,
            last: reply::bytes(answer.next())?,
            records: reply::all_bytes(answer.next())?,
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut leave = ::redis::cmd("HDEL");
        leave.arg(&self.names[2]).arg(&self.id);
        let redis = self.redis.clone();
        self.runtime.spawn(async move { redis.call(&leave, PATIENCE).await.map(drop) });
    }
}

/// Until it is over, or time to look.
async fn pause_for(told: impl Future<Output = ()>) {
    let _either = within(LOOK, told).await;
}

/// Beats, and listens in between, as long as somebody holds the handle.
async fn run(fleet: Weak<Member>, mut news: Subscription) {
    loop {
        let Some(member) = fleet.upgrade() else { return };
        // A server that is away is asked again with the next beat.
        let goes_on = member.beat().await.unwrap_or(false);
        drop(member);
        if !goes_on {
            pause(&fleet, &mut news).await;
        }
    }
}

/// Until it is time for the next beat, or there is something new.
async fn pause(fleet: &Weak<Member>, news: &mut Subscription) {
    let waiting = async {
        while let Notice::Message(message) = news.next().await {
            match fleet.upgrade() {
                Some(member) if *message == *b"a" => member.acknowledged.notify_waiters(),
                _ => return,
            }
        }
    };
    let _either = within(BEAT, waiting).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::tests::server::{RedisServer, eventually_async};

    #[tokio::test]
    async fn a_record_that_was_lost_before_anybody_had_applied_it_is_noticed() {
        let Some(server) = RedisServer::start() else { return };
        let redis = Redis::new(&server.url()).unwrap().prefix("test").unwrap();
        let fleet = Fleet::join(&redis.connect_timeout(5 * LEASE)).unwrap();
        eventually_async("it is in step", || fleet.is_current()).await;
        // No beat hears of it.
        let listeners = fleet.0.listeners.lock().await;
        let announced = fleet.0.announce("topic", b"words", Writes::default()).await.unwrap();
        let [number, log, _] = &fleet.0.names;
        server.command::<()>(&["SET", number, &(announced.number - 1).to_string()]);
        server.command::<()>(&["RPOP", log]);
        drop(listeners);
        eventually_async("all begin anew", || fleet.0.applied.load(SeqCst) > announced.number).await;
        assert!(server.command::<u64>(&["GET", number]) > announced.number);
    }
}

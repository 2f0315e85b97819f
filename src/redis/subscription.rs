//! Channels: what other processes publish, over a connection that comes back by itself.

use super::{
    connection::Redis,
    race::{sleep, within},
};
use ::redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use bytes::Bytes;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc,
};

/// What a subscriber learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// From now on nothing is missed. What was published before may have been: the first thing that a subscriber
    /// hears, and again after each time that the connection was lost or the subscriber was too slow.
    Joined,
    /// Somebody published this.
    Message(Bytes),
}

/// One subscriber of one channel; dropped, it leaves.
#[derive(Debug)]
pub(crate) struct Subscription {
    notices: broadcast::Receiver<Notice>,
    has_joined: bool,
    feed: Arc<Shared>,
}

impl Subscription {
    /// The next notice; waits as long as it takes. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Notice {
        if std::mem::take(&mut self.has_joined) {
            return Notice::Joined;
        }
        self.feed.ensure_running();
        match self.notices.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(_)) => Notice::Joined,
            // The sender stays in the table as long as there is a receiver.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Notices that a slow subscriber may be behind.
const BACKLOG: usize = 1024;
/// A silent connection is tried so often, and given up after so long without an answer.
const HEARTBEAT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The subscriptions of a handle.
#[derive(Debug)]
pub(super) struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    connect_timeout: Duration,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    channels: HashMap<String, Channel>,
    /// To the task, while there is one.
    events: Option<mpsc::UnboundedSender<Event>>,
}

#[derive(Debug)]
struct Channel {
    notices: broadcast::Sender<Notice>,
    has_joined: bool,
}

#[derive(Debug)]
enum Event {
    Wanted(String),
    /// With the number of the connection that it came from.
    Pushed(u64, PushInfo),
}

impl Feed {
    pub(super) fn new(client: Client, connect_timeout: Duration) -> Self {
        Self(Arc::new(Shared { client, connect_timeout, table: Mutex::default() }))
    }

    fn subscribe(&self, name: &str) -> Subscription {
        let mut table = self.0.lock();
        let channel = table
            .channels
            .entry(name.to_owned())
            .or_insert_with(|| Channel { notices: broadcast::Sender::new(BACKLOG), has_joined: false });
        let (notices, has_joined) = (channel.notices.subscribe(), channel.has_joined);
        // Asking again for a channel that is joined already would tell all the others that they may have missed something.
        if !has_joined && let Some(events) = &table.events {
            let _has_ended = events.send(Event::Wanted(name.to_owned()));
        }
        drop(table);
        self.0.ensure_running();
        Subscription { notices, has_joined, feed: Arc::clone(&self.0) }
    }
}

impl Redis {
    /// Subscribes to a channel. Needs a tokio runtime, on which one task serves all subscriptions of this handle.
    pub(crate) fn subscribe(&self, channel: &str) -> Subscription {
        self.feed().subscribe(channel)
    }

    /// Publishes, as scripts do; how many subscribers (of this server) were told.
    ///
    /// # Errors
    ///
    /// See [`RedisError`](super::RedisError).
    #[cfg(test)]
    pub(crate) async fn publish(
        &self,
        channel: &str,
        message: &[u8],
        within: Duration,
    ) -> Result<u64, super::RedisError> {
        let mut command = ::redis::cmd("PUBLISH");
        command.arg(channel).arg(message);
        match self.call(&command, within).await? {
            Value::Int(told) => Ok(told.unsigned_abs()),
            _ => Err(super::RedisError::Reply),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the task, if none is running: at first, and when the runtime of the last one has ended.
    fn ensure_running(self: &Arc<Self>) {
        let mut table = self.lock();
        if table.events.as_ref().is_some_and(|events| !events.is_closed()) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (sender, events) = mpsc::unbounded_channel();
        table.events = Some(sender.clone());
        runtime.spawn(run(Arc::downgrade(self), sender, events));
    }

    fn names(&self) -> Vec<String> {
        self.lock().channels.keys().cloned().collect()
    }

    fn tell(&self, name: &[u8], notice: Notice) {
        let mut table = self.lock();
        let name = std::str::from_utf8(name).unwrap_or_default();
        if let Some(channel) = table.channels.get_mut(name) {
            channel.has_joined |= notice == Notice::Joined;
            let _nobody_listens = channel.notices.send(notice);
        }
    }

    fn all_left(&self) {
        self.lock().channels.values_mut().for_each(|channel| channel.has_joined = false);
    }

    /// Takes channels out that nobody listens to any more.
    fn take_abandoned(&self) -> Vec<String> {
        let mut table = self.lock();
        let abandoned = table.channels.iter().filter(|(_, channel)| channel.notices.receiver_count() == 0);
        let names: Vec<_> = abandoned.map(|(name, _)| name.clone()).collect();
        names.iter().for_each(|name| drop(table.channels.remove(name)));
        names
    }
}

/// Connects, serves until the connection is lost, and begins again, as long as somebody holds the handle.
async fn run(
    shared: Weak<Shared>,
    sender: mpsc::UnboundedSender<Event>,
    mut events: mpsc::UnboundedReceiver<Event>,
) {
    let (mut generation, mut pause) = (0, FIRST_PAUSE);
    loop {
        generation += 1;
        let Some(connecting) = shared.upgrade() else { return };
        if let Some(connection) = connect(&connecting, &sender, generation).await {
            drop(connecting);
            pause = FIRST_PAUSE;
            serve(&shared, connection, &mut events, generation).await;
        }
        let Some(left) = shared.upgrade() else { return };
        left.all_left();
        drop(left);
        sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn connect(
    shared: &Shared,
    sender: &mpsc::UnboundedSender<Event>,
    generation: u64,
) -> Option<MultiplexedConnection> {
    let sender = sender.clone();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(Some(PATIENCE))
        .set_push_sender(move |push| sender.send(Event::Pushed(generation, push)));
    let connecting = shared.client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = within(shared.connect_timeout, connecting).await?.ok()?;
    for name in shared.names() {
        connection.subscribe(name).await.ok()?;
    }
    Some(connection)
}

/// Until the connection is lost or nobody holds the handle.
async fn serve(
    shared: &Weak<Shared>,
    mut connection: MultiplexedConnection,
    events: &mut mpsc::UnboundedReceiver<Event>,
    generation: u64,
) {
    loop {
        let event = within(HEARTBEAT, events.recv()).await.flatten();
        let Some(shared) = shared.upgrade() else { return };
        let works = match event {
            Some(Event::Wanted(name)) => connection.subscribe(name).await.is_ok(),
            Some(Event::Pushed(from, push)) if from == generation => hear(&shared, push),
            Some(Event::Pushed(..)) => true,
            None => {
                for name in shared.take_abandoned() {
                    let _noticed_below = connection.unsubscribe(name).await;
                }
                connection.send_packed_command(&::redis::cmd("PING")).await.is_ok()
            }
        };
        if !works {
            return;
        }
    }
}

/// Whether the connection still works.
fn hear(shared: &Shared, push: PushInfo) -> bool {
    let mut parts = push.data.into_iter().filter_map(|part| match part {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    });
    match (push.kind, parts.next(), parts.next()) {
        (PushKind::Disconnection, ..) => return false,
        (PushKind::Subscribe, Some(channel), _) => shared.tell(&channel, Notice::Joined),
        (PushKind::Message, Some(channel), Some(message)) => {
            shared.tell(&channel, Notice::Message(message.into()));
        }
        _ => {}
    }
    true
}

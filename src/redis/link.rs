//! The one connection behind a handle: made by a background task, waited for by calls, replaced when it is lost.

use super::{
    error::RedisError,
    race::{sleep, within},
};
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, PushInfo, PushKind, Value,
    aio::MultiplexedConnection,
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::watch;

/// A connection that worked when it was handed out.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    /// Connections are numbered, so that a late failure of an old one is not taken for one of its successor.
    pub(super) generation: u64,
    /// The server's clock, as it was first seen on this connection: taken by one call.
    time: Arc<AtomicI64>,
}

impl Live {
    /// Microseconds since 1970 on the server's clock, just once and only to the first who asks.
    pub(super) fn fresh_time(&self) -> Option<i64> {
        // The common case does not write.
        (self.time.load(Relaxed) != 0).then(|| self.time.swap(0, Relaxed)).filter(|time| *time != 0)
    }
}

#[derive(Clone)]
enum State {
    /// Nobody has asked yet, or the task that connected has ended with its runtime.
    Idle,
    /// A task is at it; `failed` if its last attempt was in vain.
    Connecting {
        failed: bool,
    },
    Live(Live),
}

/// See the module's page.
pub(super) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    /// Where a cluster has sent us: the next attempt goes there, and those after it home.
    node: Mutex<Option<Client>>,
    connect_timeout: Duration,
    state: watch::Sender<State>,
    /// The number of the next connection; locked while the state changes.
    generation: Mutex<u64>,
}

/// Pauses between attempts: doubled up to the longest, of which a random half is waited, so that many processes do not
/// come back in one moment.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Link {
    pub(super) fn new(client: Client, connect_timeout: Duration) -> Self {
        let state = watch::Sender::new(State::Idle);
        let (node, generation) = (Mutex::default(), Mutex::new(0));
        Self { shared: Arc::new(Shared { client, node, connect_timeout, state, generation }) }
    }

    /// The connection; waits for the attempt that is being made, unless the one before it failed.
    pub(super) async fn live(&self) -> Result<Live, RedisError> {
        if let State::Live(live) = &*self.shared.state.borrow() {
            return Ok(live.clone());
        }
        self.shared.connect()?;
        let mut state = self.shared.state.subscribe();
        let known = state.wait_for(|state| !matches!(state, State::Connecting { failed: false })).await;
        match known.as_deref() {
            Ok(State::Live(live)) => Ok(live.clone()),
            _ => Err(RedisError::Away),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(*self.shared.state.borrow(), State::Live(_))
    }

    /// The connection of this number does not work any more.
    pub(super) fn lost(&self, generation: u64) {
        self.shared.lost(generation);
    }

    /// Another node of a cluster serves our slot. `told`: the slot, and the node's address.
    pub(super) fn moved(&self, generation: u64, told: &str) {
        let there = elsewhere(self.shared.client.get_connection_info(), told);
        self.shared.leave(generation, there.and_then(|there| Client::open(there).ok()));
    }
}

/// The address that a cluster tells, reached in the way in which ours is.
fn elsewhere(home: &ConnectionInfo, told: &str) -> Option<ConnectionInfo> {
    let (host, port) = told.split_ascii_whitespace().nth(1)?.rsplit_once(':')?;
    let (mut address, port) = (home.addr().clone(), port.parse().ok()?);
    match &mut address {
        ConnectionAddr::Tcp(own, at) | ConnectionAddr::TcpTls { host: own, port: at, .. } => {
            *at = port;
            // A node that does not know its own name means the one that was asked.
            if !matches!(host, "" | "?") {
                host.clone_into(own);
            }
        }
        _ => return None,
    }
    Some(home.clone().set_addr(address))
}

impl Drop for Link {
    fn drop(&mut self) {
        // The task that may be connecting sees it and ends.
        let _one_at_a_time = self.shared.lock();
        self.shared.state.send_replace(State::Idle);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.generation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self) -> MutexGuard<'_, Option<Client>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, generation: u64) {
        self.leave(generation, None);
    }

    /// Ends the connection of this number, and goes to that node, unless that was done before.
    fn leave(&self, generation: u64, node: Option<Client>) {
        let _one_at_a_time = self.lock();
        let was_live = self.state.send_if_modified(|state| {
            let was_live = matches!(state, State::Live(live) if live.generation == generation);
            if was_live {
                *state = State::Idle;
            }
            was_live
        });
        if was_live {
            *self.node() = node;
        }
    }

    /// Starts the task that connects, if none is at it.
    fn connect(self: &Arc<Self>) -> Result<(), RedisError> {
        let mut next = self.lock();
        if !matches!(*self.state.borrow(), State::Idle) {
            return Ok(());
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| RedisError::Away)?;
        *next += 1;
        self.state.send_replace(State::Connecting { failed: false });
        runtime.spawn(Attempt { shared: Arc::clone(self), generation: *next }.run());
        Ok(())
    }
}

/// The task that connects. Dropped unfinished, as with its runtime, it leaves the work to the next who asks.
struct Attempt {
    shared: Arc<Shared>,
    generation: u64,
}

impl Attempt {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        while self.is_wanted() {
            if let Some((connection, time)) = self.try_once().await {
                let live = Live { connection, generation: self.generation, time: Arc::new(time.into()) };
                return self.set(State::Live(live));
            }
            self.set(State::Connecting { failed: true });
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn is_wanted(&self) -> bool {
        *self.shared.lock() == self.generation
            && matches!(*self.shared.state.borrow(), State::Connecting { .. })
    }

    fn set(&self, new: State) {
        let last = self.shared.lock();
        let mine =
            *last == self.generation && matches!(*self.shared.state.borrow(), State::Connecting { .. });
        if mine {
            self.shared.state.send_replace(new);
        }
    }

    /// A connection, and what the server's clock shows.
    async fn try_once(&self) -> Option<(MultiplexedConnection, i64)> {
        let timeout = self.shared.connect_timeout;
        let (weak, generation) = (Arc::downgrade(&self.shared), self.generation);
        // A connection that breaks while nobody uses it must not cost the next caller a failure.
        let on_push = move |push: PushInfo| {
            let shared = weak.upgrade().filter(|_| push.kind == PushKind::Disconnection);
            shared.into_iter().for_each(|shared| shared.lost(generation));
            Ok::<_, std::convert::Infallible>(())
        };
        // Calls bring their own deadlines; another timer for each would only cost.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(on_push);
        let client = self.shared.node().take().unwrap_or_else(|| self.shared.client.clone());
        let connect = async {
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.ok()?;
            let time = connection.send_packed_command(&::redis::cmd("TIME")).await.ok()?;
            Some((connection, micros_of(time)?))
        };
        within(timeout, connect).await.flatten()
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.set(State::Idle);
    }
}

fn micros_of(time: Value) -> Option<i64> {
    let (seconds, micros): (i64, i64) = ::redis::from_redis_value(time).ok()?;
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::redis::IntoConnectionInfo;

    #[test]
    fn a_node_is_not_gone_to_for_a_connection_that_is_gone() {
        let link = Link::new(Client::open("redis://here:7000").unwrap(), Duration::from_secs(1));
        link.moved(0, "866 there:7001");
        assert!(link.shared.node().is_none());
    }

    #[test]
    fn a_node_of_a_cluster_is_reached_as_the_first_one_is() {
        let home = "redis://user:secret@here:7000".into_connection_info().unwrap();
        for (told, address) in [
            ("866 10.0.0.7:7001", Some("10.0.0.7:7001")),
            ("866 fd00::7:7001", Some("fd00::7:7001")),
            ("866 :7001", Some("here:7001")),
            ("866 ?:7001", Some("here:7001")),
            ("866 there:x", None),
            ("866", None),
        ] {
            let there = elsewhere(&home, told);
            assert_eq!(there.as_ref().map(|there| there.addr().to_string()).as_deref(), address, "{told}");
            assert!(there.is_none_or(|there| there.redis_settings().password() == Some("secret")));
        }
        let local = "redis+unix:///run/redis".into_connection_info().unwrap();
        assert!(elsewhere(&local, "866 10.0.0.7:7001").is_none());
    }
}

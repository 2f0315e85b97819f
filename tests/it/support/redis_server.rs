//! A redis-server of a test's own: started on a free port, stopped, frozen, killed, restarted and cut off at will.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "real processes live in real time")]

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// Longest wait for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `is_so`, and panics with `what` when that takes too long.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// `eventually` that lets the other tasks of a runtime run meanwhile.
pub async fn eventually_async(what: &str, mut is_so: impl FnMut() -> bool) {
    let so = read_until(|| std::future::ready(is_so()), |so| *so).await;
    assert!(so, "not within {PATIENCE:?}: {what}");
}

/// Reads until that is as it should be; what was read last, if that takes too long.
pub async fn read_until<F: Future>(
    mut read: impl FnMut() -> F,
    is_good: impl Fn(&F::Output) -> bool,
) -> F::Output {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let last = read().await;
        if is_good(&last) || Instant::now() > deadline {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A server; killed when it is dropped, with its files.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    options: Vec<String>,
    directory: PathBuf,
    process: Mutex<Option<Child>>,
}

impl RedisServer {
    /// Without persistence; `None` and one line where there is no redis-server.
    pub fn start() -> Option<Self> {
        Self::with(&["--save", "", "--appendonly", "no"])
    }

    /// Every write is on disk before it is answered, so that nothing is lost by a kill and a restart.
    pub fn persistent() -> Option<Self> {
        Self::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"])
    }

    /// With options of redis-server's command line.
    pub fn with(options: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            let _nobody_reads = writeln!(std::io::stderr(), "left out: no redis-server here");
            return None;
        }
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        // Another process may take the port before the server does: then it is tried with the next one.
        let server = (0..20).find_map(|_| Self::try_start(&options));
        Some(server.expect("redis-server starts"))
    }

    fn try_start(options: &[String]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let number = NUMBER.fetch_add(1, SeqCst);
        let directory =
            std::env::temp_dir().join(format!("tower-gateway-redis-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let server = Self { port, options: options.to_vec(), directory, process: Mutex::default() };
        server.launch().then_some(server)
    }

    /// Whether it came up.
    fn launch(&self) -> bool {
        let port = self.port.to_string();
        let mut child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--daemonize", "no"])
            .arg("--dir")
            .arg(&self.directory)
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is there");
        let mut has_ended = false;
        eventually("redis-server is up, or has given up", || {
            has_ended = child.try_wait().unwrap().is_some();
            // Somebody else's server on this port would answer too.
            has_ended || self.pid_that_answers() == Some(child.id())
        });
        *self.lock() = Some(child);
        !has_ended
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pid_that_answers(&self) -> Option<u32> {
        let mut connection = self.try_connect()?;
        let info: String = ::redis::cmd("INFO").arg("server").query(&mut connection).ok()?;
        info.lines().find_map(|line| line.strip_prefix("process_id:"))?.trim().parse().ok()
    }

    fn try_connect(&self) -> Option<::redis::Connection> {
        let client = ::redis::Client::open(self.url()).unwrap();
        client.get_connection_with_timeout(Duration::from_secs(5)).ok()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A blocking connection, for what a test looks up itself.
    pub fn connection(&self) -> ::redis::Connection {
        let mut connection = None;
        eventually("the server answers", || {
            connection = self.try_connect();
            connection.is_some()
        });
        connection.expect("it has answered")
    }

    /// One command, by words.
    pub fn command<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = ::redis::Cmd::new();
        command.arg(words);
        command.query(&mut self.connection()).unwrap()
    }

    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.command(&["KEYS", "*"]);
        keys.sort();
        keys
    }

    /// Every key has an expiry: call it at the end of every test.
    #[track_caller]
    pub fn assert_all_expire(&self) {
        let mut connection = self.connection();
        for keys in self.keys().chunks(1_000) {
            let mut pipeline = ::redis::pipe();
            for key in keys {
                pipeline.cmd("PTTL").arg(key);
            }
            let left: Vec<i64> = pipeline.query(&mut connection).unwrap();
            for (key, left) in keys.iter().zip(left) {
                // -2: it has expired meanwhile.
                assert!(left >= 0 || left == -2, "{key} has no expiry");
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.lock().as_ref().expect("the server runs").id().to_string();
        // A shell's own `kill`: there may be no program of that name.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    pub fn is_running(&self) -> bool {
        self.lock().is_some()
    }

    /// Stands still, with all its connections open and nothing answered.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Whatever was done to it: it runs again.
    pub fn thaw_or_restart(&self) {
        if self.lock().is_some() {
            return self.thaw();
        }
        self.restart();
    }

    /// Ends it as an operator would.
    pub fn stop(&self) {
        self.signal("TERM");
        let mut process = self.lock();
        if let Some(mut child) = process.take() {
            child.wait().unwrap();
        }
    }

    /// `kill -9`.
    pub fn kill(&self) {
        let mut process = self.lock();
        if let Some(mut child) = process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same port, with what it has on disk.
    pub fn restart(&self) {
        self.kill();
        eventually("the server comes up again", || self.launch());
    }

    /// A way to this server that can be cut.
    pub fn proxy(&self) -> Proxy {
        Proxy::to(SocketAddr::from(([127, 0, 0, 1], self.port)))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _may_be_gone = std::fs::remove_dir_all(&self.directory);
    }
}

/// A TCP proxy in front of a server, on a port of its own.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<Way>,
}

#[derive(Debug)]
struct Way {
    server: SocketAddr,
    mode: Mutex<Mode>,
    changed: Condvar,
    ended: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Connections stay and nothing passes: a network that swallows packets.
    Silent,
    /// Connections are ended, new ones at once: a network that refuses.
    Cut,
}

impl Proxy {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Way {
            server,
            mode: Mutex::new(Mode::Open),
            changed: Condvar::new(),
            ended: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let way = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if way.ended.load(SeqCst) {
                    return;
                }
                way.carry(client);
            }
        });
        Self { port, state }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Nothing passes any more, and nobody is told.
    pub fn silence(&self) {
        self.state.set(Mode::Silent);
    }

    /// All connections end, and new ones end at once.
    pub fn cut(&self) {
        self.state.set(Mode::Cut);
        self.state.end_all();
    }

    /// As at first. What was held back in silence arrives now.
    pub fn heal(&self) {
        self.state.set(Mode::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, SeqCst);
        self.cut();
        let _wakes_the_listener = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Way {
    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        self.changed.notify_all();
    }

    fn end_all(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _may_be_gone = stream.shutdown(Shutdown::Both);
        }
    }

    fn carry(self: &Arc<Self>, client: TcpStream) {
        if *self.mode.lock().unwrap() == Mode::Cut {
            return;
        }
        let Ok(server) = TcpStream::connect(self.server) else { return };
        let _not_so_important = (client.set_nodelay(true), server.set_nodelay(true));
        let copies = |from: &TcpStream, to: &TcpStream| (from.try_clone().unwrap(), to.try_clone().unwrap());
        for (from, to) in [copies(&client, &server), copies(&server, &client)] {
            let way = Arc::clone(self);
            thread::spawn(move || way.copy(from, to));
        }
        self.streams.lock().unwrap().extend([client, server]);
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let mode = self.changed.wait_while(self.mode.lock().unwrap(), |mode| *mode == Mode::Silent);
            if *mode.unwrap() == Mode::Cut || to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _may_be_gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}

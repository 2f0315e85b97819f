//! What a disk does that fails: for a moment, for long, and while another process opens the file.

use super::{Place, a_key, keys, start};
use crate::{
    cache::{Cache, CacheBuilder, CacheLayer, Purge, rfc::Rfc9111},
    clock::ManualClock,
    redb::{StateFile, StateFileError, file::opener},
};
use ::redb::{Database, StorageBackend, backends::FileBackend};
use std::{
    error::Error as _,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

/// A disk that fails when it is told to.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    fails: Arc<AtomicBool>,
    held: Arc<Mutex<()>>,
}

impl Disk {
    fn check(&self) -> Result<(), io::Error> {
        match self.fails.load(SeqCst) {
            true => Err(io::Error::other("no")),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let _until_let_go = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.file.close()
    }
}

/// A file on such a disk, the time it knows, and how often it was opened after it had been made.
struct Bad {
    file: StateFile,
    fails: Arc<AtomicBool>,
    /// As long as it is locked, nothing reaches the disk.
    held: Arc<Mutex<()>>,
    clock: ManualClock,
    opened: Arc<AtomicU64>,
}

impl Bad {
    /// `once`: the disk fails until the file is opened anew.
    fn new(place: &Place, once: bool) -> Self {
        let (path, fails, opened) = (place.0.clone(), Arc::<AtomicBool>::default(), Arc::default());
        let (told, counted) = (Arc::clone(&fails), Arc::<AtomicU64>::clone(&opened));
        let held = Arc::<Mutex<()>>::default();
        let holds = Arc::clone(&held);
        let open = move || {
            let mut options = std::fs::OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path).unwrap();
            told.fetch_and(!once, SeqCst);
            let disk =
                Disk { file: FileBackend::new(file)?, fails: Arc::clone(&told), held: Arc::clone(&holds) };
            let mut builder = Database::builder();
            builder.set_check_integrity_on_open(true);
            builder.create_with_backend(disk)
        };
        let database = open();
        let again = move || {
            counted.fetch_add(1, SeqCst);
            open()
        };
        let clock = ManualClock::at_unix_seconds(0);
        let file = StateFile::builder(&place.0).start(database, Box::new(again), clock.clock()).unwrap();
        Self { file, fails, held, clock, opened }
    }

    fn opened(&self) -> u64 {
        self.opened.load(SeqCst)
    }
}

#[test]
fn a_write_that_failed_is_made_in_a_file_that_is_opened_anew() {
    let place = Place::new("once");
    let bad = Bad::new(&place, true);
    let keys = keys([a_key("a")]);
    bad.file.keep_keys(&keys).unwrap();
    bad.fails.store(true, SeqCst);
    keys.set_enabled("a", false).unwrap();
    assert_eq!((bad.file.stats().reopened, bad.file.stats().failed), (1, 0));
    keys.add(a_key("b")).map(drop).unwrap();
    bad.file.close();
    let (_file, keys) = start(&place, [a_key("a")]);
    assert!(!keys.get("a").unwrap().enabled() && keys.get("b").is_some());
}

#[test]
fn a_disk_that_fails_for_long_refuses_changes_until_it_works_again() {
    let place = Place::new("for-long");
    let bad = Bad::new(&place, false);
    let keys = keys([a_key("a")]);
    bad.file.keep_keys(&keys).unwrap();
    bad.fails.store(true, SeqCst);
    assert!(keys.set_enabled("a", false).is_err());
    assert!(keys.get("a").unwrap().enabled(), "nothing has changed");
    assert_eq!((bad.file.stats().failed, bad.opened()), (1, 1));
    bad.clock.advance(Duration::from_millis(999));
    for failed in 2..5 {
        assert!(keys.set_enabled("a", false).is_err());
        assert_eq!((bad.file.stats().failed, bad.opened()), (failed, 1), "a pause between two attempts");
    }
    bad.clock.advance(Duration::from_millis(1));
    assert!(keys.set_enabled("a", false).is_err());
    assert_eq!(bad.opened(), 2);
    bad.fails.store(false, SeqCst);
    assert!(
        keys.set_enabled("a", false).is_err(),
        "whether it works again is not asked before another pause"
    );
    assert_eq!((bad.opened(), bad.file.stats().reopened), (2, 0));
    bad.clock.advance(Duration::from_secs(1));
    keys.set_enabled("a", false).unwrap();
    assert_eq!((bad.opened(), bad.file.stats().reopened), (3, 1));
    assert!(!keys.get("a").unwrap().enabled());
}

#[test]
fn who_has_opened_the_file_meanwhile_has_it() {
    let place = Place::new("taken");
    let bad = Bad::new(&place, false);
    let keys = keys([a_key("a")]);
    bad.file.keep_keys(&keys).unwrap();
    bad.fails.store(true, SeqCst);
    assert!(keys.set_enabled("a", false).is_err());
    drop(place.open().unwrap());
    bad.fails.store(false, SeqCst);
    let error = bad.file.flush().unwrap_err();
    assert!(matches!(error, StateFileError::Io { .. }), "it is not looked at yet");
    assert_eq!(error.path(), Some(&*place.0));
    let (text, cause) = (error.to_string(), error.source().map(ToString::to_string).unwrap_or_default());
    assert!(text.ends_with(": cannot be read or written") && !text.contains(&cause), "{text}: {cause}");
    bad.clock.advance(Duration::from_secs(1));
    assert!(matches!(bad.file.flush(), Err(StateFileError::Closed { .. })));
    assert!(keys.set_enabled("a", false).is_err());
}

#[test]
fn a_file_that_was_deleted_is_not_made_anew() {
    let place = Place::new("deleted");
    drop(place.open().unwrap());
    let again = opener(place.0.clone(), 1 << 20);
    assert!(again().is_ok());
    std::fs::remove_file(&place.0).unwrap();
    assert!(again().is_err() && !place.0.exists());
}

/// A cache on a file, and what it answers: the number of the run that stored it.
struct Cached {
    cache: Cache,
    layer: CacheLayer,
    run: &'static str,
}

impl Cached {
    fn on(file: &StateFile, run: &'static str) -> Self {
        Self::with(file, run, |cache| cache)
    }

    fn with(file: &StateFile, run: &'static str, set: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let store = file.cache_store(4 << 20, 1 << 20).unwrap();
        let cache = set(Cache::builder().store(store)).build().unwrap();
        Self { layer: CacheLayer::new(cache.clone()), cache, run }
    }

    fn ask(&self, path: &str) -> bytes::Bytes {
        self.send("GET", path)
    }

    fn send(&self, method: &str, path: &str) -> bytes::Bytes {
        use http_body_util::{BodyExt, Full};
        use tower::{Layer, ServiceExt};
        let run = self.run;
        let service = self.layer.layer(tower::service_fn(move |_| async move {
            let answer = http::Response::builder().header("cache-control", "max-age=600");
            Ok::<_, std::convert::Infallible>(answer.body(Full::<bytes::Bytes>::from(run)).unwrap())
        }));
        let request =
            http::Request::builder().method(method).uri(path).body(Full::<bytes::Bytes>::default()).unwrap();
        let answered = async { service.oneshot(request).await.unwrap().into_body().collect().await };
        futures_util::FutureExt::now_or_never(answered).unwrap().unwrap().to_bytes()
    }
}

/// What an earlier run has stored, and cannot be read while it is purged.
#[test]
fn a_purge_of_a_file_that_cannot_be_read_is_one() {
    let place = Place::new("purged-unread");
    let earlier = |place: &Place| {
        let file = place.open().unwrap();
        let cached = Cached::on(&file, "first");
        ["/a", "/b"].iter().for_each(|path| drop(cached.ask(path)));
    };
    earlier(&place);
    let bad = Bad::new(&place, false);
    let cached = Cached::on(&bad.file, "second");
    bad.fails.store(true, SeqCst);
    assert!(bad.file.flush().is_err());
    cached.cache.purge(&Purge::all().path("/a"));
    bad.fails.store(false, SeqCst);
    bad.clock.advance(Duration::from_secs(1));
    bad.file.flush().unwrap();
    assert_eq!(cached.ask("/a"), "second", "it was purged");
    assert_eq!(cached.ask("/b"), "second", "nobody could tell that it was not meant");
    bad.file.close();
    drop((cached, bad));
    let file = place.open().unwrap();
    let cached = Cached::on(&file, "third");
    assert_eq!((cached.ask("/a"), cached.ask("/b")), ("second".into(), "second".into()));
}

/// What is in memory, and in a file that does not take that it is gone.
#[test]
fn what_was_purged_while_the_disk_failed_leaves_the_file_when_it_works_again() {
    for closes in [true, false] {
        let place = Place::new("purged-unwritten");
        let bad = Bad::new(&place, false);
        let cached = Cached::on(&bad.file, "first");
        ["/a", "/b"].iter().for_each(|path| drop(cached.ask(path)));
        bad.file.flush().unwrap();
        bad.fails.store(true, SeqCst);
        // The file can still be read: only the writer has seen that the disk fails.
        cached.cache.purge(&Purge::all().path("/a"));
        assert!(bad.file.flush().is_err());
        bad.fails.store(false, SeqCst);
        bad.clock.advance(Duration::from_secs(1));
        match closes {
            true => bad.file.close(),
            false => bad.file.flush().unwrap(),
        }
        drop((cached, bad));
        let file = place.open().unwrap();
        let cached = Cached::on(&file, "second");
        assert_eq!(cached.ask("/a"), "second", "{closes}");
    }
}

/// An answer that is newer and could not be written does not let an older one come back.
#[test]
fn what_could_not_be_replaced_leaves_the_file() {
    let place = Place::new("unreplaced");
    let bad = Bad::new(&place, false);
    let first = Cached::on(&bad.file, "first");
    assert_eq!(first.ask("/a"), "first");
    bad.file.flush().unwrap();
    bad.fails.store(true, SeqCst);
    first.cache.purge(&Purge::all().softly());
    let newer = Cached { run: "newer", ..first };
    assert_eq!(newer.ask("/a"), "newer");
    assert!(bad.file.flush().is_err());
    bad.fails.store(false, SeqCst);
    bad.clock.advance(Duration::from_secs(1));
    bad.file.flush().unwrap();
    drop((newer, bad));
    let file = place.open().unwrap();
    assert_eq!(Cached::on(&file, "next").ask("/a"), "next");
}

/// Nor does it serve meanwhile what it has made invalid.
#[test]
fn a_change_waits_for_no_disk() {
    let place = Place::new("behind");
    let rfc = |cache: CacheBuilder| cache.rfc9111(Rfc9111::new());
    {
        let file = place.open().unwrap();
        let first = Cached::with(&file, "first", rfc);
        ["/a", "/b", "/c"].iter().for_each(|path| drop(first.ask(path)));
    }
    let bad = Bad::new(&place, false);
    let second = Arc::new(Cached::with(&bad.file, "second", rfc));
    assert_eq!(second.ask("/b"), "first");
    let held = bad.held.lock().unwrap();
    let (asked, answered) = mpsc::channel();
    let client = Arc::clone(&second);
    let requests = std::thread::spawn(move || {
        for (method, path) in [("DELETE", "/a"), ("GET", "/a"), ("DELETE", "/b"), ("GET", "/b")] {
            asked.send(client.send(method, path)).unwrap();
        }
    });
    for _ in 0..4 {
        let answer = answered.recv_timeout(Duration::from_secs(60));
        assert_eq!(
            answer.as_deref(),
            Ok(&b"second"[..]),
            "the disk was waited for, or what was changed is served"
        );
    }
    drop(held);
    requests.join().unwrap();
    bad.file.flush().unwrap();
    assert_eq!(second.ask("/c"), "first", "it was not meant");
    drop((second, bad));
    let file = place.open().unwrap();
    let third = Cached::with(&file, "third", rfc);
    assert_eq!(third.ask("/c"), "first");
    assert!(["/a", "/b"].iter().all(|path| third.ask(path) != "first"));
}

/// While the rest is written, what an earlier run has stored can still be read.
#[test]
fn what_is_changed_while_the_file_is_being_closed_is_not_served() {
    let place = Place::new("closing");
    let rfc = |cache: CacheBuilder| cache.rfc9111(Rfc9111::new());
    {
        let file = place.open().unwrap();
        let first = Cached::with(&file, "first", rfc);
        ["/a", "/b"].iter().for_each(|path| drop(first.ask(path)));
    }
    let file = place.open().unwrap();
    let second = Cached::with(&file, "second", rfc);
    // The first thing that `close` does.
    file.0.tasks.close();
    assert_eq!(second.ask("/b"), "first", "it is there to be read");
    assert_eq!(second.send("DELETE", "/a"), "second");
    assert_eq!(second.ask("/a"), "second", "it was changed");
}

#[test]
fn a_transaction_that_failed_takes_nothing_off_the_count_of_what_is_there() {
    let place = Place::new("counted");
    let bad = Bad::new(&place, false);
    let cached = Cached::with(&bad.file, "first", |cache| cache.rfc9111(Rfc9111::new()));
    ["/a", "/b"].iter().for_each(|path| drop(cached.ask(path)));
    bad.file.flush().unwrap();
    bad.fails.store(true, SeqCst);
    cached.send("DELETE", "/a");
    assert!(bad.file.flush().is_err());
    bad.fails.store(false, SeqCst);
    bad.clock.advance(Duration::from_secs(1));
    bad.file.flush().unwrap();
    let (left, bytes) = bad.file.cached().unwrap();
    assert_eq!((left.len(), bad.file.0.engine.rows(0).committed()), (1, bytes));
}

#[test]
fn stores_of_one_file_count_what_is_there_together() {
    let place = Place::new("together");
    let file = place.open().unwrap();
    let [one, other] = ["one", "other"].map(|run| Cached::on(&file, run));
    assert_eq!((one.ask("/a"), other.ask("/b")), ("one".into(), "other".into()));
    file.flush().unwrap();
    let (all, bytes) = file.cached().unwrap();
    assert_eq!((all.len(), file.0.engine.rows(0).committed()), (2, bytes));
}

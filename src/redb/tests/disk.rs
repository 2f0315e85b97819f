//! What a disk does that fails: for a moment, for long, and while another process opens the file.

use super::{Place, a_key, keys, start};
use crate::{
    clock::ManualClock,
    redb::{StateFile, StateFileError, file::opener},
};
use ::redb::{Database, StorageBackend, backends::FileBackend};
use std::{
    error::Error as _,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

/// A disk that fails when it is told to.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    fails: Arc<AtomicBool>,
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
    clock: ManualClock,
    opened: Arc<AtomicU64>,
}

impl Bad {
    /// `once`: the disk fails until the file is opened anew.
    fn new(place: &Place, once: bool) -> Self {
        let (path, fails, opened) = (place.0.clone(), Arc::<AtomicBool>::default(), Arc::default());
        let (told, counted) = (Arc::clone(&fails), Arc::<AtomicU64>::clone(&opened));
        let open = move || {
            let mut options = std::fs::OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path).unwrap();
            told.fetch_and(!once, SeqCst);
            let disk = Disk { file: FileBackend::new(file)?, fails: Arc::clone(&told) };
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
        Self { file, fails, clock, opened }
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

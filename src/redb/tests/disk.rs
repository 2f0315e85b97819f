//! What a disk does that fails: for a moment, for long, and while another process opens the file.

use super::{Place, a_key, keys, start};
use crate::{
    clock::Clock,
    redb::{StateFile, StateFileError},
};
use ::redb::{Database, StorageBackend, backends::FileBackend};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
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

/// A file on such a disk, and how to make the disk fail and work; `once` fails until the file is opened anew.
fn on_a_bad_disk(place: &Place, once: bool) -> (StateFile, Arc<AtomicBool>) {
    let (path, fails) = (place.0.clone(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&fails);
    let open = move || {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        told.fetch_and(!once, SeqCst);
        let disk = Disk { file: FileBackend::new(file)?, fails: Arc::clone(&told) };
        let mut builder = Database::builder();
        builder.set_check_integrity_on_open(true);
        builder.create_with_backend(disk)
    };
    (StateFile::builder(&place.0).open_with(Box::new(open)).unwrap(), fails)
}

#[test]
fn a_write_that_failed_is_made_in_a_file_that_is_opened_anew() {
    let place = Place::new("once");
    let (file, fails) = on_a_bad_disk(&place, true);
    let keys = keys([a_key("a")]);
    file.keep_keys(&keys).unwrap();
    fails.store(true, SeqCst);
    keys.set_enabled("a", false).unwrap();
    assert_eq!((file.stats().reopened, file.stats().failed), (1, 0));
    keys.add(a_key("b")).map(drop).unwrap();
    file.close();
    let (_file, keys) = start(&place, [a_key("a")]);
    assert!(!keys.get("a").unwrap().enabled() && keys.get("b").is_some());
}

#[test]
fn a_disk_that_fails_for_long_refuses_changes_until_it_works_again() {
    let place = Place::new("for-long");
    let (file, fails) = on_a_bad_disk(&place, false);
    let keys = keys([a_key("a")]);
    file.keep_keys(&keys).unwrap();
    fails.store(true, SeqCst);
    assert!(keys.set_enabled("a", false).is_err());
    assert!(keys.get("a").unwrap().enabled(), "nothing has changed");
    assert!(file.stats().failed >= 1);
    fails.store(false, SeqCst);
    // It is opened anew with the first change that comes a second later.
    let deadline = Clock::system().now().monotonic_nanos() + 20_000_000_000;
    while keys.set_enabled("a", false).is_err() {
        assert!(Clock::system().now().monotonic_nanos() < deadline, "it works again");
        std::thread::yield_now();
    }
    assert!(file.stats().reopened >= 1);
}

#[test]
fn who_has_opened_the_file_meanwhile_has_it() {
    let place = Place::new("taken");
    let (file, fails) = on_a_bad_disk(&place, false);
    let keys = keys([a_key("a")]);
    file.keep_keys(&keys).unwrap();
    fails.store(true, SeqCst);
    assert!(keys.set_enabled("a", false).is_err());
    drop(place.open().unwrap());
    fails.store(false, SeqCst);
    let deadline = Clock::system().now().monotonic_nanos() + 20_000_000_000;
    while !matches!(file.flush(), Err(StateFileError::Closed { .. })) {
        assert!(Clock::system().now().monotonic_nanos() < deadline, "it is taken for closed");
        std::thread::yield_now();
    }
    assert!(keys.set_enabled("a", false).is_err());
}

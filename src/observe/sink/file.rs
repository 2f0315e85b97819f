//! A file that starts anew when it is full.

use crate::error::ConfigError;
use std::{
    ffi::OsString,
    fmt::Display,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file of at most `max_bytes`, then the next one: `access.log`, and the older ones as `access.log.1` to
/// `access.log.N`. A file is cut between lines. Give it to a [`LogWriter`](super::LogWriter), which writes whole lines.
///
/// The next file is made, as `access.log.new`, before anything is renamed: as long as that fails (no descriptor is left,
/// the disk is full) the older ones stay as they are, and the file goes on to twice its size. What comes then is an error.
///
/// New files can be read by their owner and group only: a log holds addresses of people.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    max_bytes: u64,
    keep: usize,
    file: File,
    size: u64,
}

impl RotatingFile {
    /// Opens or creates the file at `path` and appends to it; `keep` older ones stay.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] with the path where the file cannot be opened, or for a size of zero.
    pub fn open(path: impl Into<PathBuf>, max_bytes: u64, keep: usize) -> Result<Self, ConfigError> {
        let path = path.into();
        if max_bytes == 0 {
            return Err(ConfigError::new("size of a rotating file", max_bytes, "is zero"));
        }
        let opened = open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = opened.map_err(|error| {
            ConfigError::of_system("access log file", path.display(), "cannot be opened", error)
        })?;
        Ok(Self { path, max_bytes, keep, file, size })
    }

    /// Begins the next file, which `open` makes. Whatever fails, trying again moves nothing twice.
    fn rotate(&mut self, open: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<()> {
        let next = self.named("new");
        let file = open(&next)?;
        // One that was left by a failure has never been written to by us.
        file.set_len(0)?;
        self.make_room()?;
        fs::rename(next, &self.path)?;
        (self.file, self.size) = (file, 0);
        Ok(())
    }

    /// Moves the files up to the first gap among the older ones, so that the name of the current one is free. Whoever else
    /// looks after the directory may have taken it away.
    fn make_room(&self) -> io::Result<()> {
        if self.keep == 0 || !self.path.try_exists()? {
            return Ok(());
        }
        let gap = (1..self.keep).find(|number| !self.named(number).exists()).unwrap_or(self.keep);
        for number in (1..gap).rev() {
            rename_if_there(&self.named(number), &self.named(number + 1))?;
        }
        rename_if_there(&self.path, &self.named(1))
    }

    /// `access.log.1`.
    fn named(&self, end: impl Display) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{end}"));
        name.into()
    }

    /// How many of the bytes still go into this file up to a size: whole lines, and one at least where the file is empty.
    fn fitting(&self, bytes: &[u8], max_bytes: u64) -> usize {
        let room = usize::try_from(max_bytes.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            return bytes.len();
        }
        let last = bytes[..room].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        let first = || bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        last.unwrap_or_else(|| if self.size == 0 { first() } else { 0 })
    }
}

/// Whoever else looks after the directory may have been quicker.
fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut fitting = self.fitting(bytes, self.max_bytes);
        if fitting == 0 && !bytes.is_empty() {
            let rotated = self.rotate(open);
            let times = if rotated.is_ok() { 1 } else { 2 };
            fitting = self.fitting(bytes, self.max_bytes.saturating_mul(times));
            if fitting == 0 {
                rotated?;
            }
        }
        self.file.write_all(&bytes[..fitting])?;
        self.size += fitting as u64;
        Ok(fitting)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_cut_between_lines_and_old_ones_go() {
        let directory = std::env::temp_dir().join(format!("tower-gateway-{}", fastrand::u64(..)));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("access.log");
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        {
            let mut file = RotatingFile::open(&path, 10, 2).unwrap();
            file.write_all(b"one\ntwo\nthree\nfour\n").unwrap();
            file.write_all(b"a line of more than ten bytes\nfive\n").unwrap();
        }
        assert_eq!(read("access.log"), "five\n");
        assert_eq!(read("access.log.1"), "a line of more than ten bytes\n");
        assert_eq!(read("access.log.2"), "four\n");
        assert!(!directory.join("access.log.3").exists());
        let mut again = RotatingFile::open(&path, 10, 0).unwrap();
        again.write_all(b"six\nseven\n").unwrap();
        assert_eq!(read("access.log"), "seven\n", "appended to what was there, then started anew");
        fs::remove_file(&path).unwrap();
        again.write_all(b"eight\nnine\n").unwrap();
        assert_eq!(read("access.log"), "nine\n", "begins anew though it was removed from outside");
        assert_eq!(RotatingFile::open(&path, 0, 1).unwrap_err().value(), "0");
        assert!(RotatingFile::open(directory.join("no/such"), 1, 1).is_err());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_cannot_be_rotated_costs_no_older_file() {
        let directory = std::env::temp_dir().join(format!("tower-gateway-{}", fastrand::u64(..)));
        fs::create_dir(&directory).unwrap();
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        let files = || ["access.log", "access.log.1", "access.log.2", "access.log.3"].map(read);
        let mut file = RotatingFile::open(directory.join("access.log"), 4, 3).unwrap();
        file.write_all(b"one\ntwo\nsix\n").unwrap();
        let before = files();
        assert_eq!(before, ["six\n", "two\n", "one\n", ""]);
        for _ in 0..4 {
            file.rotate(|_| Err(io::Error::other("no descriptor is left"))).unwrap_err();
        }
        assert_eq!(files(), before);

        // The same of a file that cannot be made: the lines of that time go on in the one that is there, within a bound.
        fs::create_dir(directory.join("access.log.new")).unwrap();
        file.write_all(b"ten\n").unwrap();
        assert!(file.write_all(b"lost\n").is_err());
        assert_eq!(files(), ["six\nten\n", "two\n", "one\n", ""]);
        fs::remove_dir(directory.join("access.log.new")).unwrap();
        file.write_all(b"end\n").unwrap();
        assert_eq!(files(), ["end\n", "six\nten\n", "two\n", "one\n"]);

        // What a failure has left behind is begun anew, however full it is.
        fs::write(directory.join("access.log.new"), "left\nbehind\n").unwrap();
        file.write_all(b"one\n").unwrap();
        assert_eq!(files(), ["one\n", "end\n", "six\nten\n", "two\n"]);

        // A gap is filled, and nothing behind it moved.
        fs::remove_file(directory.join("access.log.1")).unwrap();
        file.write_all(b"new\n").unwrap();
        assert_eq!(files(), ["new\n", "one\n", "six\nten\n", "two\n"]);
        fs::remove_dir_all(directory).unwrap();
    }
}

//! A file that starts anew when it is full.

use crate::error::{ConfigError, ConfigErrorKind};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file of at most `max_bytes`, then the next one: `access.log`, and the older ones as `access.log.1` to
/// `access.log.N`. A file is cut between lines. Give it to a [`LogWriter`](super::LogWriter), which writes whole lines.
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
            ConfigError::new("access log file", path.display(), "cannot be opened")
                .with_kind(ConfigErrorKind::System)
                .with_source(error)
        })?;
        Ok(Self { path, max_bytes, keep, file, size })
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            rename_if_there(&self.numbered(number), &self.numbered(number + 1))?;
        }
        if self.keep > 0 {
            rename_if_there(&self.path, &self.numbered(1))?;
        } else {
            if_there(fs::remove_file(&self.path))?;
        }
        self.file = open(&self.path)?;
        self.size = 0;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }

    /// How many of the bytes still go into this file: whole lines, and one at least where the file is empty.
    fn fitting(&self, bytes: &[u8]) -> usize {
        let room = usize::try_from(self.max_bytes.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            return bytes.len();
        }
        let last = bytes[..room].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        let first = || bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        last.unwrap_or_else(|| if self.size == 0 { first() } else { 0 })
    }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    if_there(fs::rename(from, to))
}

/// Whoever else looks after the directory may have been quicker.
fn if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
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
        let mut fitting = self.fitting(bytes);
        if fitting == 0 && !bytes.is_empty() {
            self.rotate()?;
            fitting = self.fitting(bytes);
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
}

//! What can be wrong with a state file.

use crate::error::{ConfigError, ConfigErrorKind};
use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

/// Why a [`StateFile`](super::StateFile) cannot be used, or did not take a change. Each names the file.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateFileError {
    /// Another process has it open, or another handle of this one.
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It holds something else: no database, or a database of another program. Nothing in it was changed.
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this crate has written it. Nothing in it was changed.
    Version {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        found: u32,
        /// The newest that is known here.
        newest: u32,
    },
    /// Its bytes are not those that were written: a disk error, or somebody else wrote to it. Nothing of it is used.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// The operating system says no.
    Io {
        /// The file.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
    /// More is waiting to be written than may wait.
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// It was closed.
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// What it holds does not fit what is configured: a key in two plans of a stage, a time zone that this machine
    /// does not know.
    Config(ConfigError),
}

impl StateFileError {
    /// The file; of [`Config`](Self::Config) none.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::InUse { path }
            | Self::Foreign { path }
            | Self::Version { path, .. }
            | Self::Damaged { path, .. }
            | Self::Io { path, .. }
            | Self::Busy { path }
            | Self::Closed { path } => Some(path),
            Self::Config(_) => None,
        }
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }

    /// The same, for the next who is told.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::InUse { path } => Self::InUse { path: path.clone() },
            Self::Foreign { path } => Self::Foreign { path: path.clone() },
            Self::Version { path, found, newest } => {
                Self::Version { path: path.clone(), found: *found, newest: *newest }
            }
            Self::Damaged { path, problem } => Self::damaged(path, problem.clone()),
            Self::Io { path, source } => Self::io(path, io::Error::new(source.kind(), source.to_string())),
            Self::Busy { path } => Self::Busy { path: path.clone() },
            Self::Closed { path } => Self::Closed { path: path.clone() },
            Self::Config(error) => Self::Config(error.clone()),
        }
    }

    /// What opening says. A file that is no database at all is invalid data to the engine.
    pub(super) fn opening(path: &Path, error: ::redb::DatabaseError) -> Self {
        use ::redb::{DatabaseError, StorageError};
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                Self::InUse { path: path.to_owned() }
            }
            DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Self::Foreign { path: path.to_owned() }
            }
            error => Self::engine(path, &error.into()),
        }
    }

    /// What reading and writing say.
    pub(super) fn engine(path: &Path, error: &::redb::Error) -> Self {
        match error {
            ::redb::Error::Io(source) => Self::io(path, io::Error::new(source.kind(), source.to_string())),
            ::redb::Error::DatabaseClosed => Self::Closed { path: path.to_owned() },
            ::redb::Error::PreviousIo => Self::io(path, io::Error::other("an earlier write has failed")),
            error => Self::damaged(path, error.to_string()),
        }
    }
}

impl fmt::Display for StateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path } => write!(f, "{}: another process has it open", path.display()),
            Self::Foreign { path } => write!(f, "{}: is no state file of tower-gateway", path.display()),
            Self::Version { path, found, newest } => {
                write!(f, "{}: has format {found}, and {newest} is the newest known here", path.display())
            }
            Self::Damaged { path, problem } => write!(f, "{}: is damaged: {problem}", path.display()),
            Self::Io { path, .. } => write!(f, "{}: cannot be read or written", path.display()),
            Self::Busy { path } => write!(f, "{}: too much is waiting to be written", path.display()),
            Self::Closed { path } => write!(f, "{}: was closed", path.display()),
            Self::Config(error) => error.fmt(f),
        }
    }
}

impl Error for StateFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Config(error) => error.source(),
            _ => None,
        }
    }
}

impl From<ConfigError> for StateFileError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// For the handles whose changes are kept: the change was refused, and why.
impl From<StateFileError> for ConfigError {
    fn from(error: StateFileError) -> Self {
        match error {
            StateFileError::Config(error) => error,
            error => {
                let path = error.path().unwrap_or(Path::new("")).display();
                Self::new("state file", path, "the change could not be written")
                    .with_kind(ConfigErrorKind::Store)
                    .with_source(error)
            }
        }
    }
}

//! Why a call to Redis gave no answer.

use std::{borrow::Cow, error::Error, fmt};

/// A call that failed. Holds no key, argument or address: an error code of the server at most.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisError {
    /// No answer within the caller's deadline. Whether the server has acted is not known, unless it was a script with
    /// a deadline of its own (all of this crate's are), which does nothing once that has passed.
    Deadline,
    /// There is no connection, or it broke.
    Away,
    /// The server answered with an error: its code (`NOAUTH`, `OOM`, `CROSSSLOT`).
    Server(Cow<'static, str>),
    /// The answer has another shape than it must have.
    Reply,
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline => f.write_str("Redis did not answer in time"),
            Self::Away => f.write_str("there is no connection to Redis"),
            Self::Server(code) => write!(f, "Redis answered with the error {code}"),
            Self::Reply => f.write_str("Redis answered in an unexpected shape"),
        }
    }
}

impl Error for RedisError {}

impl RedisError {
    /// What the client library says; the text of the server stays behind, for it may quote arguments.
    pub(super) fn of(error: &::redis::RedisError) -> Self {
        match error.code() {
            Some(code) => Self::Server(Cow::Owned(code.to_owned())),
            None if error.is_timeout() => Self::Deadline,
            None if error.is_unrecoverable_error() => Self::Away,
            None => Self::Reply,
        }
    }

    pub(super) fn is_server(&self, code: &str) -> bool {
        matches!(self, Self::Server(own) if own == code)
    }
}

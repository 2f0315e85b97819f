//! State that many processes share, in Redis or Valkey: [`Redis`] is the connection.

mod connection;
mod error;
mod link;
mod names;
mod race;
mod script;
mod subscription;
#[cfg(test)]
mod tests;

pub use connection::Redis;
pub use error::RedisError;

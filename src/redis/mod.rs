//! State that many processes share, in Redis or Valkey: [`Redis`] is the connection.

mod connection;
mod error;
pub mod fleet;
mod link;
mod names;
mod race;
mod script;
mod subscription;
#[cfg(test)]
mod tests;

pub use connection::Redis;
pub use error::RedisError;
pub use fleet::{Fleet, RedisCache};

//! State that many processes share, in Redis or Valkey: [`Redis`] is the connection.

mod buckets;
mod connection;
mod counters;
mod error;
pub mod fleet;
mod link;
mod names;
mod news;
mod race;
mod script;
mod subscription;
#[cfg(test)]
mod tests;
mod usage;

pub use connection::Redis;
pub use error::RedisError;
pub use fleet::{Fleet, RedisCache};
pub use usage::RedisUsage;

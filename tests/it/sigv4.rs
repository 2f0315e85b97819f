//! Signed requests at the door: who passes, who is refused and with which words.

#[cfg(all(feature = "cache", feature = "gateway"))]
mod caching;
mod costs;
mod live;
mod permission;
mod refusals;
mod streaming;
pub(crate) mod support;
mod transport;

//! The RFC 9111 mode: what a shared cache may store and reuse, by the words of the service and of the client.

mod condition;
mod config;
mod control;
mod date;
mod freshness;
mod invalidation;
mod lexer;
mod mode;
mod range;
mod reuse;
mod status;
mod storage;
mod targeted;
pub(super) mod vary;

pub use config::{Rfc9111, SetCookie};
pub use control::{Qualified, RequestControl, ResponseControl};
pub use date::parse_http_date;
pub use range::{ByteRange, byte_range};
pub use storage::hop_by_hop_fields;
pub use targeted::parse_targeted;
pub use vary::vary_fields;

#[cfg(test)]
mod tests;

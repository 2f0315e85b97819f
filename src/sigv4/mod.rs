//! SigV4.
mod canonical;
mod claims;
mod credentials;
mod date;
mod encode;
mod error;
mod key;
mod sink;
mod store;
mod verifier;

pub use canonical::{CanonicalTexts, RequestHead};
pub use credentials::{Credentials, CredentialsBuilder};
pub use error::SignatureError;
pub use store::{CredentialsAsyncFn, CredentialsFn, CredentialsStore, Lookup, LookupFuture, MemoryCredentialsStore};
pub use verifier::{Payload, SigV4Verifier};

#[cfg(test)]
mod tests;

//! API keys: who is calling, for usage plans and reports.
//!
//! An API key identifies a caller; it is not authentication of a person (developer guide, "API keys and usage
//! plans"). How a request is judged:
//!
//! 1. Behind a stage, or with [`ApiKeyLayer::routes`]: if the method that matches needs no key, the request passes
//!    and whatever stands in `x-api-key` is ignored. Without either, every request needs a key
//!    ([`ApiKeyLayer::require`] says it outright). A request that no declared method matches needs one. So does a request
//!    that another layer changed on its way: behind a stage if its method was changed; with `routes` if it was changed to a
//!    method or path that is not declared, or has dot segments.
//! 2. The value comes from the one `x-api-key` header, or from the authorizer ([`ApiKeyLayer::source`]).
//! 3. It must look like a key: 20 to 128 visible ASCII characters, or the configured [`KeyFormat`].
//! 4. Its SHA-256 digest must be known, the key enabled, and the value not rotated away.
//! 5. [`VerifiedApiKey`](crate::context::VerifiedApiKey) is set in the context for the layers inside. The header
//!    still reaches the service, marked as sensitive.
//!
//! | case | answer | [`Cause`](crate::response::Cause) |
//! |---|---|---|
//! | valid key, or none needed | the service's | |
//! | no value | 403 `{"message":"Forbidden"}`, `x-amzn-errortype: ForbiddenException` | `ApiKeyMissing` |
//! | more than one header field | the same | `ApiKeyRepeated` |
//! | not the form of a key | the same | `ApiKeyMalformed` |
//! | no such key | the same | `ApiKeyUnknown` |
//! | disabled, or the end of the old value's overlap is reached | the same | `ApiKeyDisabled` |
//!
//! A client cannot tell the refusals apart; logs and gateway responses see the cause, and configure the answer as
//! `INVALID_API_KEY`. Several values joined by commas in one field are one unknown value. Whether a plan covers the
//! stage is the usage plan's question.
//!
//! Keys are kept as digests by [`ApiKeys`], which is also the place to add, disable, rotate, delete and import them
//! while traffic flows. Other places to look them up: [`ApiKeyStore`].
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{
//!     api_key::{ApiKey, ApiKeyLayer, ApiKeys},
//!     context::RequestContext,
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let keys = ApiKeys::builder().key(ApiKey::new("acme").value("0123456789abcdefghij")).build()?;
//! let service = ApiKeyLayer::new(keys.clone()).layer(service_fn(|request: Request<()>| async move {
//!     let key = RequestContext::of(request.extensions()).and_then(|context| context.api_key());
//!     let id = key.map(|key| key.id().to_owned()).unwrap_or_default();
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(id)))
//! }));
//! let request = || Request::builder().header("x-api-key", "0123456789abcdefghij").body(()).unwrap();
//!
//! assert_eq!(service.clone().oneshot(request()).await.unwrap().status(), 200);
//! keys.set_enabled("acme", false)?;
//! let refused = service.oneshot(request()).await.unwrap();
//! assert_eq!(refused.status(), 403);
//! assert_eq!(refused.headers()["x-amzn-errortype"], "ForbiddenException");
//! # Ok::<(), tower_gateway::ConfigError>(())
//! # }).unwrap();
//! ```

mod csv;
mod digest;
mod format;
mod image;
mod import;
mod keys;
mod layer;
mod observer;
mod record;
mod store;
mod table;

pub use digest::KeyDigest;
pub use format::KeyFormat;
pub use import::{ImportOptions, ImportReport};
pub use keys::{ApiKeys, ApiKeysBuilder};
pub use layer::{ApiKeyLayer, ApiKeyService, ApiKeySource, KeyRequirement, UsageIdentifierKey};
pub use record::{ApiKey, ApiKeyRecord, KeyUpdate, NewKey};
pub use store::{ApiKeyStore, KeyEntry};

#[cfg(any(feature = "redb", feature = "redis"))]
#[allow(unused_imports, reason = "for the stores outside of the process")]
pub(crate) use self::{
    image::KeyImage,
    observer::{KeyChange, KeyObserver},
};

#[cfg(test)]
mod tests;

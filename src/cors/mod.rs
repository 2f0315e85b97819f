//! CORS: which pages of other origins may call the API and read its answers.
//!
//! The protocol of the Fetch standard (<https://fetch.spec.whatwg.org/#http-cors-protocol>), answered as API Gateway's
//! HTTP APIs do ("Configure CORS for HTTP APIs" in the developer guide). What happens to a request:
//!
//! 1. The configuration is the one of the request's resource, else the layer's default. Switched off: the request
//!    and its answer pass untouched.
//! 2. A preflight (`OPTIONS` with exactly one `Origin`, and `Access-Control-Request-Method`) is answered here with 204. The
//!    service is not called, so no authorization, key or route is needed.
//! 3. Every other request reaches the service, an `OPTIONS` that is not a preflight too. A foreign origin is not
//!    refused: its page just cannot read the answer.
//! 4. The answer loses the CORS headers of the back end (see [`BackEndHeaders`]) and gets ours if the origin is
//!    allowed. Refusals of the layers inside this one get them too, else a browser would hide the status.
//! 5. An answer that depends on `Origin` says so in `Vary`, also when no `Origin` was sent or it is not allowed.
//!
//! An origin is allowed if it is listed, byte for byte, or has a listed scheme (`https://*`), or if `*` is listed. More than
//! one `Origin` field, or a comma in it, is never on a list. The layer enforces nothing in place of the browser: a
//! preflight for a method that is not allowed gets the list of those that are.
//!
//! | request | status | body | headers |
//! |---|---|---|---|
//! | preflight, origin allowed | 204 | empty | `Access-Control-Allow-Origin`, and as configured `-Allow-Credentials`, `-Allow-Methods`, `-Allow-Headers`, `-Max-Age`, `-Allow-Private-Network`; `Vary` |
//! | preflight, origin not allowed | 204 | empty | `Vary` |
//! | other, origin allowed | the service's | the service's | `Access-Control-Allow-Origin`, and as configured `-Allow-Credentials`, `-Expose-Headers`; `Vary: Origin` |
//! | other, origin not allowed or none | the service's | the service's | `Vary: Origin` |
//! | other, where `*` is allowed | the service's | the service's | `Access-Control-Allow-Origin: *`, whatever `Origin` says: a constant, so that no cache needs `Vary` |
//!
//! `Vary` of a preflight is `Origin, Access-Control-Request-Method, Access-Control-Request-Headers`; it is left out
//! where `*` is allowed, since that answer is constant too.
//!
//! With credentials a browser takes `*` in a list for a name, so it is never sent. A configured `*` then becomes: the
//! requested method; the requested header names, but `Authorization` only if it is listed (as in browsers without
//! credentials); the names of the answer's own headers.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use http::{Method, Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::cors::Cors;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let cors = Cors::new()
//!     .allow_origins(["https://shop.example"])
//!     .allow_methods(["GET", "PUT"])
//!     .allow_headers(["content-type", "x-api-key"])
//!     .max_age(600)
//!     .build()
//!     .unwrap();
//! let pets = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("pets"))) });
//! let service = cors.layer(pets);
//! let request = |method: Method, origin: &str| Request::builder().method(method).header("origin", origin);
//!
//! let preflight = request(Method::OPTIONS, "https://shop.example").header("access-control-request-method", "PUT");
//! let answer = service.clone().oneshot(preflight.body(()).unwrap()).await.unwrap();
//! assert_eq!(answer.status(), 204);
//! assert_eq!(answer.headers()["access-control-allow-origin"], "https://shop.example");
//! assert_eq!(answer.headers()["access-control-allow-methods"], "GET,PUT");
//!
//! let shop = service.clone().oneshot(request(Method::GET, "https://shop.example").body(()).unwrap()).await.unwrap();
//! assert_eq!(shop.headers()["access-control-allow-origin"], "https://shop.example");
//! let other = service.oneshot(request(Method::GET, "https://other.example").body(()).unwrap()).await.unwrap();
//! assert!(!other.headers().contains_key("access-control-allow-origin"));
//! assert_eq!(other.headers()["vary"], "Origin");
//! # });
//! ```

mod config;
mod future;
mod layer;
mod origin;
#[cfg(feature = "gateway")]
mod phase;
mod policy;
mod touch;

pub use config::{BackEndHeaders, Cors};
pub use future::CorsFuture;
#[cfg(feature = "gateway")]
pub(crate) use future::no_content;
pub use layer::{CorsLayer, CorsService};
#[cfg(feature = "gateway")]
pub(crate) use phase::{CorsDecision, PendingTouch};

#[cfg(test)]
mod tests;

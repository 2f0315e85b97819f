//! The RFC 9111 mode: a shared cache that obeys the cache headers of the service and of the client.
//!
//! For each request, in this order:
//!
//! 1. `GET` and `HEAD` are for the cache. Another method goes to the service; a method that is not known to be safe
//!    then makes its own URI invalid, and those of `Location` and `Content-Location` at the same host, unless it failed
//!    (RFC 9111 section 4.4). Conditions that only the service can judge (`If-Match`, `If-Unmodified-Since`) go to it.
//! 2. Of the stored answers whose `Vary` fields the request repeats, the newest is looked at. It is used while fresh,
//!    as far as the request's `max-age`, `min-fresh`, `no-cache` (or `Pragma: no-cache`) let it be; when stale only by
//!    the client's `max-stale` or the service's `stale-while-revalidate`, and never against `must-revalidate`,
//!    `proxy-revalidate`, `s-maxage` or `no-cache`. A client that reloads (`max-age=0`) a fresh `immutable` answer gets
//!    it. `only-if-cached` ends here: a stored answer, or 504.
//! 3. What is stale but has a validator is asked about with `If-None-Match` and `If-Modified-Since`, once for all requests
//!    that wait for it. An answer that must be validated at each use serves the requests that came before that question was
//!    sent; those that came while it was on its way share the next one. A request with `no-store` asks alone, and requests
//!    with credentials that their key does not have ask among themselves. A 304 brings the stored fields up to date
//!    (section 3.2), unless it names another answer: then what is stored is gone, and only the client that asked gets it
//!    once more. The answer to a `HEAD` may bring fields up to date, too (section 4.3.5), and one that shows another entity
//!    tag, date or length makes the stored answer stale.
//! 4. Where the service fails (an error, or 500, 502, 503, 504, or the integration timeout inside the cache ends the call),
//!    the stale answer stands in for as long as its own `stale-if-error`, the request's, or [`Rfc9111::stale_if_error`]
//!    say: for each request that waits by its own words. This and `stale-while-revalidate` count from when the answer
//!    became stale, by its age or by a soft purge.
//! 5. A new answer is stored unless one of these speaks against it:
//!    * `no-store` on either side (but not on an answer with `must-understand` whose status is understood), `private`,
//!      `Vary: *`;
//!    * a status that no cache keeps (206, 304, 428, 429, 431, 511 among them);
//!    * credentials in the request that its key does not have (rule 3 of [`cache`](super)), unless the answer says
//!      `public`, `s-maxage` or `must-revalidate` (section 3.5);
//!    * `Set-Cookie` (see [`SetCookie`]);
//!    * no lifetime, and no permission to guess one; or a `Cache-Control` that cannot be read to its end.
//!
//!    Fields of the connection are not stored, nor those named by `private="..."` or `no-cache="..."`: only the client that
//!    caused the answer gets these (and nobody does where they are trailers).
//! 6. What is sent from the store carries its `Age`, and answers the client's own conditions (304) and byte ranges (206,
//!    416). Every answer carries `Cache-Status` (RFC 9211); `fwd` is `request` where something fresh was stored and the
//!    request did not accept it.
//!
//! | the client gets | status, fields | body |
//! |---|---|---|
//! | a stored answer | as stored, `Age`, `Cache-Status: tower-gateway; hit; ttl=..` | as stored |
//! | the same, which it has already | 304 without the fields that describe content | none |
//! | one range of it | 206, `Content-Range` | the part |
//! | a range behind its end | 416, `Content-Range: bytes */length` | none |
//! | a confirmed answer | as stored, with the 304's fields; `fwd=stale; fwd-status=304` | as stored |
//! | a new answer | as the service sent it; `fwd=uri-miss; stored`, or without `stored` and with a `detail` | as sent |
//! | nothing, having said `only-if-cached` | 504, `Cache-Status: tower-gateway; detail=only-if-cached` | none, or the gateway's |
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, header};
//! use http_body_util::Full;
//! use std::{convert::Infallible, sync::atomic::{AtomicUsize, Ordering}};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::cache::{Cache, CacheLayer, rfc::Rfc9111};
//!
//! static CALLS: AtomicUsize = AtomicUsize::new(0);
//! let service = service_fn(|_: Request<Full<Bytes>>| async {
//!     CALLS.fetch_add(1, Ordering::SeqCst);
//!     let answer = Response::builder().header(header::CACHE_CONTROL, "max-age=60").header(header::ETAG, "\"1\"");
//!     Ok::<_, Infallible>(answer.body(Full::<Bytes>::from("hello")).expect("a valid answer"))
//! });
//! let cached = CacheLayer::new(Cache::builder().rfc9111(Rfc9111::new()).build()?).layer(service);
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let ask = || Request::get("/x");
//! cached.clone().oneshot(ask().body(Full::default())?).await?;
//! let hit = cached.clone().oneshot(ask().header(header::IF_NONE_MATCH, "\"1\"").body(Full::default())?).await?;
//! assert_eq!((hit.status().as_u16(), CALLS.load(Ordering::SeqCst)), (304, 1));
//! assert_eq!(hit.headers()["cache-status"], "tower-gateway; hit; ttl=60");
//!
//! // A request with credentials gets nobody else's answer, and leaves none behind.
//! let mine = || ask().header(header::AUTHORIZATION, "Bearer alice").header(header::CACHE_CONTROL, "no-cache");
//! cached.clone().oneshot(mine().body(Full::default())?).await?;
//! // Nothing stored, and the client wants nothing else: refused.
//! let only = Request::get("/y").header(header::CACHE_CONTROL, "only-if-cached").body(Full::default())?;
//! assert_eq!(cached.oneshot(only).await?.status(), 504);
//! assert_eq!(CALLS.load(Ordering::SeqCst), 2);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is read how
//!
//! * The lifetime is the first of `s-maxage`, `max-age`, `Expires` minus `Date`, and the heuristic, which is off unless
//!   [`Rfc9111::heuristic_freshness`] is set. A duration or an `Expires` that cannot be read is in the past. A directive
//!   that is repeated counts as first written.
//! * `CDN-Cache-Control`, or the fields of [`Rfc9111::targets`], count in place of `Cache-Control` and `Expires` (RFC
//!   9213). One that is not a dictionary of structured fields counts as absent.
//! * The age is the larger of what `Date` shows and of `Age` plus the time the service took (section 4.2.3). Of a list
//!   in `Age` the first member counts, an invalid one is passed over.
//! * Dates are read in all three formats, strictly, names in any case.
//! * Requests are equal in a `Vary` field if its lines are, byte for byte. Only in `Accept`, `Accept-Charset`,
//!   `Accept-Encoding` and `Accept-Language` does the space around commas not count; order and weights do everywhere.
//! * Entity tags are compared weakly for a 304, strongly for `If-Range`.
//!
//! # What RFC 9111 allows and this cache does not do
//!
//! * An answer to `POST` is never stored, not even with `Content-Location`.
//! * Parts (206) are not stored, and several ranges in one request are answered with the whole.
//! * A request with `Cookie` counts as one with credentials, and an answer with `Set-Cookie` is not stored, unless
//!   [`Rfc9111::cookies_are_credentials`] and [`Rfc9111::set_cookie`] say otherwise: more sites are careless with
//!   `max-age` than the RFC hopes.
//! * `s-maxage` forbids stale answers, as the RFC says, even beside `stale-while-revalidate`.

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

pub use super::answer::hop_by_hop_fields;
pub use config::{Rfc9111, SetCookie};
pub(super) use control::trim;
pub use control::{Qualified, RequestControl, ResponseControl};
pub use date::parse_http_date;
pub use range::{ByteRange, byte_range};
pub use targeted::parse_targeted;
pub use vary::vary_fields;

#[cfg(test)]
mod tests;

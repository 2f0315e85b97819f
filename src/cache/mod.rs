//! `CacheLayer`: answers are stored, and served again without calling the service.
//!
//! [`Cache`] is the handle: entries, counters and settings of all layers that are made from it, and the run-time API.
//! It has two modes: AWS's, which is the default and this page's subject, and that of RFC 9111 ([`rfc`]).
//!
//! For each request, in this order:
//!
//! 1. The method's settings say whether it is cached: those of the stage or of [`CacheLayer::routes`]
//!    ([`CacheSettings`](crate::route::CacheSettings)), else the cache's own. Settings that do not name a method hold
//!    for its `GET` only. A request with `Upgrade`, `Range`, `If-Match` or `If-Unmodified-Since`, a `GET`
//!    with a body, or one whose `Connection` lists fields beside those of a connection (a proxy inside would take them
//!    off, and answer another request), goes to the service.
//! 2. `Cache-Control: max-age=0` invalidates the entry if [`CacheBuilder::may_invalidate`] says so, or the caller's
//!    policies do (`CacheBuilder::may_invalidate_by_policy`: `execute-api:InvalidateCache`), or if settings require no
//!    authorization: the entry goes at once, whatever comes of the call. Otherwise the settings' strategy says what is
//!    answered. It holds for requests with `Range`, `If-Match` or `If-Unmodified-Since` and for those of rule 3, too; these
//!    go to the service and never invalidate anything.
//! 3. A request that **carries credentials** goes to the service, unless each of them is in the key. Credentials are:
//!    * `Authorization`, `Cookie`, `Proxy-Authorization`, `x-api-key`, `x-amz-security-token`, and fields named by
//!      [`CacheBuilder::credential`];
//!    * presigned or `access_token` queries that the key leaves out;
//!    * the fields and parameters by which an authorizer outside knows its callers (its identity sources). An authorizer
//!      that names no principal and goes by something else, such as an address, makes every request one with credentials.
//!
//!    The caller that an outer layer has established (principal with its issuer, API key, client certificate) is part of
//!    every key. Sharing between callers is explicit, for each method:
//!    [`CacheKey::shared_between_callers`](crate::route::CacheKey::shared_between_callers); it is needed, too, where mutual
//!    TLS lets in clients between which the service makes no difference. **Behind an authorizer** every request carries
//!    credentials, a token for example, and nothing is cached until the method's key says for whom:
//!    [`CacheKey::principal`](crate::route::CacheKey::principal) keeps one entry for each caller, whatever the token. A
//!    field of an authorizer that is declared with [`CacheKey::header`](crate::route::CacheKey::header) instead stands in
//!    the key as a digest, as every credential does.
//! 4. The key ([`CacheKey`](crate::route::CacheKey)): stage, deployment, resource, method, then host, path and query, or
//!    what is declared; byte for byte, but for the host, which is the same in any case, in `Host` or in the URI, with
//!    or without the default port of the URI's scheme. A canary has keys of its own, unless its `use_stage_cache` says
//!    otherwise. A fresh entry is the answer. `Vary` is heeded: the entry is one whose nominated request fields had the
//!    same values.
//! 5. Else the service is called, **once for everybody who asks the same**, without the client's conditions. Every client
//!    that waits drives the call and reads the body as it arrives. One that goes away takes nothing along; the last one to
//!    go ends the call, unless only the end of an announced body is to come. An answer that is not storable is for the
//!    client that made the call: the others make their own at once, and for 120 s nobody waits on that key. Where a call
//!    fails, or its body breaks off before anything of it was sent to those who wait, the next of them makes one. A wait
//!    lasts 5 s at most.
//! 6. The answer is stored when its body is complete: status 200, 203, 204, 300, 301 or 308; at most 1 MiB; no
//!    `no-store`, `private`, `no-cache`, `Set-Cookie`, `Vary: *`, `text/event-stream`; as long as `Content-Length` said;
//!    not a refusal of a gateway layer; and neither was it purged meanwhile nor has a later call brought a newer one.
//!    An older call's answer does not take a newer one away either. Trailers are stored with it.
//!
//! | request | status | body | fields |
//! |---|---|---|---|
//! | hit | as stored | as stored | as stored, none of ours (AWS has no marker of a hit) |
//! | miss | the service's | the service's, as it comes | the service's, without those of one connection (`Connection`, ...) |
//! | may not invalidate, `FAIL_WITH_403` | 403 | `{"Message":"User is not authorized to access this resource"}` | `x-amzn-ErrorType: AccessDeniedException` |
//! | may not invalidate, `SUCCEED_WITH_RESPONSE_HEADER` | as without the wish | | `Warning: 199 ...` |
//! | may not invalidate, `SUCCEED_WITHOUT_RESPONSE_HEADER` | as without the wish | | |
//!
//! The body of the 403 and the words of the `Warning` are not documented by AWS.
//!
//! # What differs from AWS
//!
//! | | here | as on AWS by |
//! |---|---|---|
//! | key of a method that declares nothing | host, path, query | [`CacheKey::only_declared`](crate::route::CacheKey::only_declared): one entry |
//! | path and host beside declared parameters | in the key | the same |
//! | caller in the key | yes, or not cached | [`CacheKey::shared_between_callers`](crate::route::CacheKey::shared_between_callers) |
//! | errors of the service | not stored | [`CacheBuilder::aws_exact`] |
//! | the service's `Cache-Control`, `Set-Cookie`, `Vary` | heeded | [`CacheBuilder::aws_exact`] |
//! | misses at one time | share one call | [`CacheBuilder::coalesce`] |
//! | TTL, size of an entry | any | |
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use std::{convert::Infallible, sync::{Arc, atomic::{AtomicU32, Ordering}}};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::cache::{Cache, CacheLayer, NoCacheReason, Purge};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let calls = Arc::new(AtomicU32::new(0));
//! let service = service_fn(move |_: Request<Full<Bytes>>| {
//!     let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
//!     async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!("call {call}")))) }
//! });
//! let cache = Cache::builder().build().unwrap();
//! let cached = CacheLayer::new(cache.clone()).layer(service);
//! let ask = async |headers: &[(&str, &str)]| {
//!     let mut request = Request::get("/time?zone=utc");
//!     for (name, value) in headers {
//!         request = request.header(*name, *value);
//!     }
//!     let answer = cached.clone().oneshot(request.body(Full::default()).unwrap()).await.unwrap();
//!     answer.into_body().collect().await.unwrap().to_bytes()
//! };
//! assert_eq!(ask(&[]).await, "call 1");
//! assert_eq!(ask(&[]).await, "call 1");
//! // A caller's answer is nobody else's.
//! assert_eq!(ask(&[("authorization", "ada")]).await, "call 2");
//! assert_eq!(cache.stats().missed(NoCacheReason::IdentityNotInKey), 1);
//! // A client that may not invalidate the entry gets it.
//! assert_eq!(ask(&[("cache-control", "max-age=0")]).await, "call 1");
//! cache.purge(&Purge::all().path("/time"));
//! assert_eq!(ask(&[]).await, "call 3");
//! # });
//! ```
//!
//! # Caveats
//!
//! * The service must be `Clone`, its future, error and body `Send + 'static` (as axum and hyper want them, too): a call
//!   may outlive the request that made it. A waiter keeps the instance that was polled ready, should it have to call.
//! * A router that takes a prefix off the path (axum's `nest`) hides it from layers inside. Give each nested router a
//!   layer of its own ([`CacheLayer::new`]; clones are one layer), or let one of our layers stand outside: the context
//!   has the path as received, and then it is part of the key.
//! * The layer stands **inside** of every layer that refuses or says who is calling: outside of a resource policy or a
//!   filter it serves stored answers to callers whom they would refuse, and outside of an authorizer it does not know the
//!   caller (see [layers stacked by hand](crate#layers-stacked-by-hand)).
//! * What the service reads from a request and the key does not have is shared: a `Forwarded` field, a language, the
//!   scheme. Let the service say `Vary`, or declare it.
//! * An answer without `Content-Length` may outgrow the limit. A client that waits for another one's call gets the head
//!   once the body is complete, or 250 ms later; if the body has outgrown the limit by then, the client makes its own
//!   call. Where readers share a body that outgrows it only later, the fastest waits for the slowest, which is cut off if
//!   it takes nothing for a minute.
//! * A body that is ready is read up to 64 KiB before its head is sent: most answers are complete by then.
//!
//! Several processes share their entries through a second tier ([`tier`], [`CacheBuilder::second_tier`]): one call for
//! one key over all of them, and purges that hold everywhere ([`Cache::purge_everywhere`]).
//!
//! For logs and metrics: `$context.cache.status`, `$context.cache.reason`, `$context.cache.age` (names of ours; AWS has
//! none), [`RequestContext::cache_status`](crate::context::RequestContext::cache_status), and [`Cache::stats`], with the
//! counts that AWS calls `CacheHitCount` and `CacheMissCount`.
//!
//! AWS: "Enabling API caching to enhance responsiveness" in the developer guide.

// Each decision of a mode is a function of `rules::Rules`; `future` asks them in the order that page gives.

mod answer;
mod aws;
mod codec;
mod config;
mod core;
mod credentials;
mod entry;
mod flight;
mod future;
mod handle;
mod instance;
mod invalidate;
mod key;
mod layer;
mod memory;
mod note;
mod plan;
mod present;
mod purge;
mod reason;
mod releases;
mod respond;
pub mod rfc;
mod rules;
#[cfg(feature = "cache-encryption")]
mod seal;
mod seat;
mod selection;
mod stats;
mod store;
mod tags;
pub mod tier;
mod under_way;

pub use aws::InvalidationRequest;
pub use codec::StoredFor;
pub use config::CacheBuilder;
pub use future::CacheFuture;
pub use handle::Cache;
pub use key::{StoreKey, StoredKey};
pub use layer::{CacheLayer, CacheService};
pub use memory::MemoryCacheStore;
pub use purge::Purge;
pub use reason::{CacheStatus, NoCacheReason};
#[cfg(feature = "cache-encryption")]
pub use seal::EncryptionKeys;
pub use stats::CacheStats;
pub use store::{CacheStore, KeepValue, StoreUsage, StoredValue};
pub use tier::{CacheTier, TierStats};

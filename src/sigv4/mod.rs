//! AWS Signature Version 4: who signed the request, and whether they may call.
//!
//! [`SigV4AuthLayer`] lets pass what the AWS SDKs, `curl --aws-sigv4` and botocore sign, in the `Authorization` field or
//! in the query of a presigned request. How a request is judged, the first failure being the answer:
//!
//! 1. Dot segments in the path are refused, as by `StageRouter` ([`SigV4AuthBuilder::allow_dot_segments`]). Every request
//!    needs a signature, or those of `AWS_IAM` methods do ([`SigV4AuthBuilder::require`]).
//! 2. There is one signature, complete, with a date.
//! 3. The date is within the clock skew ([`SigV4Verifier::clock_skew`]); a presigned request is valid from then on for as
//!    long as it says, a week at most.
//! 4. The host is signed; the algorithm is `AWS4-HMAC-SHA256`; the credential has five parts, and its Region, service,
//!    terminator and day are the expected ones.
//! 5. The [`CredentialsStore`] knows the access key. Up to here no byte of the body has been read.
//! 6. The body is collected, up to a limit ([`SigV4AuthBuilder::body_limit`]), while it is hashed. Trailers are dropped: no
//!    signature covers them.
//! 7. The signature that the request should have is compared with the one it has, in constant time. It is made from method
//!    and target *as received* (with stage and base path), so the layer stands where our first layer has seen those.
//! 8. The session token is the access key's, and has not expired. It may be unsigned, since it is compared itself.
//! 9. Where replays are refused ([`SigV4AuthBuilder::refuse_replays`]), the signature is new.
//! 10. Identity policies and the API's resource policy allow the call ([`policy::combine`](crate::policy::combine)). The
//!     ARN is made from the path that is *routed*, in the spelling that is matched (`/admin` for `/admin/` and `/%61dmin`);
//!     an explicit deny of the path as received, or decoded, counts too. What the condition keys stand for:
//!     [`RequestKeys`](crate::policy::RequestKeys), and the caller's.
//! 11. [`CallerIdentity`](crate::context::CallerIdentity) and a [`Principal`](crate::context::Principal) (the caller's ARN)
//!     are set in the context, the signature is taken off, and the service is called, on the instance that was ready.
//!
//! | case | answer (REST) | [`Cause`](crate::response::Cause) |
//! |---|---|---|
//! | verified and allowed | the service's | |
//! | dot segment, or `..` above the root | 400 `Bad Request` | `DotSegment` |
//! | no signature | 403 `MissingAuthenticationTokenException` `Missing Authentication Token` | `SignatureMissing` |
//! | header and query, or the header twice | 403 `InvalidSignatureException`, `IncompleteSignatureException` | `SignatureAmbiguous` |
//! | parameters missing or malformed, other algorithm | 403 `IncompleteSignatureException`, which names all that are missing | `SignatureIncomplete` |
//! | date or lifetime malformed | 403 `IncompleteSignatureException` | `SignatureDateMalformed` |
//! | too old, too early | 403 `InvalidSignatureException` `Signature expired: ...`, `Signature not yet current: ...` | `SignatureExpired`, `SignatureNotYetCurrent` |
//! | host unsigned | 403 `InvalidSignatureException` | `SignatureHostUnsigned` |
//! | other Region, service, terminator, day | 403 `InvalidSignatureException`, all faults in one sentence each | `SignatureScope` |
//! | unknown access key | 403 `UnrecognizedClientException` `The security token included in the request is invalid.` | `AccessKeyUnknown` |
//! | signature or signed part changed | 403 `InvalidSignatureException` `The request signature we calculated does not match ...` | `SignatureMismatch` |
//! | token missing, wrong, not asked for | 403 `UnrecognizedClientException` | `SessionTokenInvalid` |
//! | token expired | 403 `EXPIRED_TOKEN` | `SessionTokenExpired` |
//! | policies do not allow | 403 `{"Message":"User: <ARN> is not authorized to perform: ..."}` | `IdentityPolicySilent`, `IdentityPolicyDenied`, `ResourcePolicySilent`, `ResourcePolicyDenied` |
//! | body above the limit | 413 | `ContentLengthTooLarge`, `BodyTooLarge` |
//! | body breaks off | 400 | `BodyUnreadable` |
//! | ARN above 1,600 bytes | 414 | `ResourceArnTooLong` |
//! | signature used before; no room to remember it | 403, 429 | `SignatureReplayed`, `ReplayWindowFull` |
//! | the store fails | 500 | `CredentialsUnavailable` |
//!
//! Operators find an [`AccessDenial`](crate::policy::AccessDenial) in the extensions of a refusal by policies: the
//! statement that decided, and those that would have allowed but for one thing. An HTTP API
//! ([`ApiKind::Http`](crate::context::ApiKind)) answers all of the 403s with `{"message":"Forbidden"}`.
//!
//! # What is signed
//!
//! The path as received is normalised and encoded once more (`%20` is signed as `%2520`), S3's is not
//! ([`SigV4Verifier::normalize_path`]). Parameters are decoded, encoded and sorted; `+` is itself and not a space. Signed
//! fields are trimmed, runs of spaces become one, and fields of one name are joined by commas. The payload is the hash of
//! the received body, whatever `X-Amz-Content-Sha256` says, unless [`SigV4Verifier::allow_unsigned_payload`] is set.
//! Chunked (`STREAMING-...`) and asymmetric signatures (SigV4A) are not accepted. So what may be changed on the way
//! without notice is what means the same: the case of an escape's digits in the query (not in the path), the order of
//! parameters, spaces around signed values, and what separates the parameters of `Authorization`.
//!
//! Clients that sign otherwise are refused, as by AWS: `curl` before 8.3 does not sort parameters nor encode paths twice.
//! [`SigV4Verifier::lenient`] lets a `+` that was signed as a space, and repeated slashes that were left in, pass.
//!
//! # Bodies that stream
//!
//! A method may ask for its bodies while they arrive
//! ([`ApiMethod::stream_signed_payload`](crate::route::ApiMethod::stream_signed_payload)). That is **weaker**, and done
//! only for requests that name the hash of their body in `X-Amz-Content-Sha256`: their signature is verified by that hash
//! before the service is called, so the caller is known. The body is hashed on its way and its last frame held back. If
//! the hash is another, the service gets an error in place of the last frame, and the client a 403 if no answer has
//! begun; what the service has done with the frames before is its own affair. Requests that name no hash are collected as
//! elsewhere. The length of a body that streams is for a [`PayloadLimitLayer`](crate::payload_limit) to limit.
//!
//! # Caveats
//!
//! A signature proves who made a request, not that it arrives once or soon: within five minutes it can be repeated. A body
//! that stalls keeps its request waiting; a [`PayloadLimitLayer`](crate::payload_limit) outside ends it. Under
//! `axum::Router::nest` the prefix is gone before the layer sees the path: place the layer, or a
//! [`RequestContextLayer`](crate::context::RequestContextLayer), outside.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{
//!     GatewayBody,
//!     clock::ManualClock,
//!     context::RequestContext,
//!     policy::{ExecuteApi, Policy},
//!     sigv4::{Credentials, MemoryCredentialsStore, SigV4AuthLayer},
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let api = ExecuteApi::new("us-east-1", "111122223333", "a1b2c3d4e5")?;
//! let policy = Policy::identity_for(&api, r#"{"Version": "2012-10-17", "Statement":
//!     {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "execute-api:/prod/GET/*"}}"#)?;
//! let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
//! let ada = Credentials::builder("AKIDEXAMPLE", secret, "arn:aws:iam::111122223333:user/ada").policy(policy).build()?;
//! let clock = ManualClock::at_unix_seconds(1_795_350_896); // 2026-11-22T12:34:56Z
//! let layer = SigV4AuthLayer::builder(MemoryCredentialsStore::new([ada]), api).stage("prod").clock(clock.clock()).build()?;
//! let service = layer.layer(service_fn(|request: Request<GatewayBody<Full<Bytes>>>| async move {
//!     let caller = RequestContext::of(request.extensions()).and_then(|context| context.caller());
//!     let arn = caller.map(|caller| caller.user_arn().to_owned()).unwrap_or_default();
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(arn)))
//! }));
//!
//! let signed = || {
//!     Request::get("/prod/pets/a%20b%2Fc?b=2&a=x%20y&a=1&empty")
//!         .header("host", "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com")
//!         .header("x-amz-date", "20261122T123456Z")
//!         .header(
//!             "authorization",
//!             "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/execute-api/aws4_request, \
//!              SignedHeaders=host;x-amz-date, \
//!              Signature=07580aca0da35b15decc627f2527dc71432bf3076263cc6eaef30cb4d42102e5",
//!         )
//! };
//! let allowed = service.clone().oneshot(signed().body(Full::default())?).await?;
//! assert_eq!(allowed.status(), 200);
//! let altered = service.clone().oneshot(signed().uri("/prod/pets/2").body(Full::default())?).await?;
//! assert_eq!(altered.headers()["x-amzn-errortype"], "InvalidSignatureException");
//! let unsigned = service.oneshot(Request::get("/prod/pets").body(Full::default())?).await?;
//! assert_eq!((unsigned.status().as_u16(), &unsigned.headers()["x-amzn-errortype"]), (403, &"MissingAuthenticationTokenException".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! AWS: "Signature Version 4 for API requests" in the IAM user guide, "Control access to a REST API with IAM permissions"
//! in the API Gateway developer guide.

mod authorization;
mod caller_keys;
mod canonical;
mod claims;
mod collect;
mod config;
mod credentials;
mod date;
mod encode;
mod error;
mod fields;
mod future;
mod id_hash;
mod key;
mod layer;
mod permissions;
mod reading;
mod refusal;
mod replay;
mod service;
mod sha;
mod sink;
mod store;
mod stream;
mod strip;
mod token;
mod verifier;

pub use canonical::{CanonicalTexts, RequestHead};
#[cfg(feature = "stage")]
pub(crate) use claims::unreadable;
pub use credentials::{Credentials, CredentialsBuilder};
pub use error::SignatureError;
pub use future::SigV4AuthFuture;
pub use layer::{SigV4AuthBuilder, SigV4AuthLayer, SignatureRequirement};
#[cfg(feature = "cache")]
pub(crate) use permissions::Routed;
pub use service::{BodyMap, Keep, SigV4AuthService, Wrap};
pub use store::{
    CredentialsAsyncFn, CredentialsFn, CredentialsStore, Lookup, LookupFuture, MemoryCredentialsStore,
};
pub use verifier::{Payload, SigV4Verifier};

#[cfg(test)]
mod tests;

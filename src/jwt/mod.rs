//! JWT authorizers of HTTP APIs and Cognito authorizers of REST APIs: who is calling, by a signed token.
//!
//! # How a token is judged
//!
//! 1. Behind a stage, or with [`JwtAuthorizerLayer::routes`]: only where the method's
//!    [`Authorization`](crate::route::Authorization) names one of the layer's authorizers. Without either, every request
//!    is asked. A request that no declared method matches is asked too: a route that was forgotten stays closed.
//!    Used alone with `routes`, the layer refuses dot segments and malformed escapes in the path, as a stage does.
//! 2. There is exactly one token, in the header or query parameter of the identity source; `Bearer ` before it, in any
//!    case, is dropped.
//! 3. A token that passed before, with keys that are still in force and within its own dates, passes step 4 at once.
//! 4. Three segments of exact base64url; one JSON object as header, no name twice, no `crit` or `b64`; an `alg` that is
//!    configured; a key by the token's `kid` that is for exactly this `alg`; its signature; claims that are one JSON
//!    object; `iss`; `aud`, or `client_id` only where there is no `aud`; `token_use`; `exp`, which must be there, `nbf`,
//!    `iat`. Keys and addresses of keys that the token itself carries (`jwk`, `jku`, `x5c`, `x5u`) are not read.
//! 5. The method's scopes: one of them stands in `scope`, or in `scp` where there is no `scope`.
//!
//! | HTTP API ([`JwtAuthorizerLayer`]) | answer | `www-authenticate` |
//! |---|---|---|
//! | good | the service's | |
//! | no token | 401 `{"message":"Unauthorized"}` | `Bearer` |
//! | refused | 401 `{"message":"Unauthorized"}` | `Bearer scope="<the method's>" error="invalid_token" error_description="<text>"` |
//! | no such scope | 403 `{"message":"Forbidden"}` | `Bearer scope="a b" error="insufficient_scope" error_description="expected scopes: [a b]"` |
//! | the method names an authorizer that the layer has not | 500 `{"message":"Internal Server Error"}` | |
//! | dot segment, malformed escape (layer alone, with `routes`) | 400 `{"message":"Bad Request"}` | |
//!
//! | REST API ([`CognitoAuthorizerLayer`]) | answer |
//! |---|---|
//! | no scopes on the method: a good ID token; scopes: a good access token with one of them | the service's |
//! | expired, the signature being right | 401 `{"message":"The incoming token has expired"}`, `UnauthorizedException` |
//! | everything else | 401 `{"message":"Unauthorized"}`, `UnauthorizedException`; never a challenge |
//! | the method names an authorizer that the layer has not | 500 `{"message":null}`, `AuthorizerConfigurationException` |
//! | dot segment, malformed escape (layer alone, with `routes`) | 400 `{"message":"Bad Request"}` |
//!
//! The texts are those of [`JwtError::description`]. The cause is in the answer's extensions for operators:
//! [`GatewayError`](crate::response::GatewayError) with its `Cause`, and [`TokenRefusal`] with what would have been
//! needed. What was established is in the context: `$context.authorizer.claims.<name>`, `$context.authorizer.principalId`
//! (`sub`), [`AuthorizerContext`](crate::context::AuthorizerContext); the claims with their types are
//! [`token_claims`](crate::context::AuthorizerContext::token_claims).
//!
//! # Keys
//!
//! They come from a [`JwkSource`]: a set, a file, an issuer ([`RemoteJwks`]). A key's `use`, `key_ops` and `alg` are
//! obeyed; private keys, secrets among public keys, short and weak ones and two of one name are not used, and
//! [`JwkSet::unused`] says why. Which algorithm verifies is decided by the key and the configured list, never by the
//! token alone. HS256 and its like need keys that are configured as secrets ([`JwkSet::secrets_from_json`]).
//!
//! # Tokens that were verified
//!
//! They are remembered until their `exp`, for five minutes at most
//! ([`remember_for`](JwtAuthorizerBuilder::remember_for)), under a hash of 128 bits with a key drawn at the start; the
//! token itself is not kept. A change of the issuer's keys ends it. So a request with a token seen before costs a hash
//! and a look-up, and no allocation. As on AWS, a token that its issuer revoked stays good until its `exp`.
//!
//! The layers need a service that can be cloned: a request that waits for keys takes the ready instance along.
//!
//! AWS: "Control access to HTTP APIs with JWT authorizers", "Control access to REST APIs using Amazon Cognito user
//! pools as an authorizer".
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{
//!     context::RequestContext,
//!     jwt::{Algorithm, JwkSet, JwkSource, JwtAuthorizer, JwtAuthorizerLayer, JwtVerifier},
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! // An issuer of our own that signs with a secret; one of others publishes its keys: `JwkSource::remote`.
//! let secret = r#"{"keys":[{"kty":"oct","kid":"k","alg":"HS256","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;
//! let keys = JwkSource::fixed(JwkSet::secrets_from_json(secret)?);
//! let verifier = JwtVerifier::builder("https://issuer.example")
//!     .audience("client-1")
//!     .algorithms([Algorithm::Hs256])
//!     .build()?;
//! let authorizer = JwtAuthorizer::builder(verifier, keys).build()?;
//!
//! let handler = service_fn(|request: Request<()>| async move {
//!     let context = RequestContext::of(request.extensions()).expect("made by the layer");
//!     let subject = context.variable("authorizer.claims.sub").unwrap_or_default().into_owned();
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(subject)))
//! });
//! let service = JwtAuthorizerLayer::new("accounts", authorizer).layer(handler);
//!
//! let refused = service.clone().oneshot(Request::new(())).await?;
//! assert_eq!((refused.status().as_u16(), &refused.headers()["www-authenticate"]), (401, &"Bearer".parse()?));
//!
//! # let key = jsonwebtoken::EncodingKey::from_secret(&[0; 32]);
//! # let header = jsonwebtoken::Header { kid: Some("k".to_owned()), ..Default::default() };
//! let claims = serde_json::json!({
//!     "iss": "https://issuer.example", "aud": "client-1", "sub": "ada", "exp": 4_000_000_000_u64,
//! });
//! # let token = jsonwebtoken::encode(&header, &claims, &key)?;
//! let request = Request::get("/me").header("authorization", format!("Bearer {token}")).body(())?;
//! assert_eq!(service.oneshot(request).await?.status(), 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod algorithm;
mod authorizer;
mod cache;
mod cognito;
mod engine;
mod error;
mod future;
mod jwk;
mod jwk_set;
mod layer;
mod refusal;
mod roca;
mod segments;
mod service;
mod signature;
mod source;
mod token_source;
mod verifier;

pub use crate::context::{ClaimStyle, Claims};
pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use authorizer::{JwtAuthorizer, JwtAuthorizerBuilder};
pub use cognito::{CognitoAuthorizer, CognitoAuthorizerBuilder, UserPool};
pub use error::{AlgorithmName, JwtError};
pub use future::TokenFuture;
pub use jwk::JwkProblem;
pub use jwk_set::{JwkSet, UnusedJwk};
pub use layer::{CognitoAuthorizerLayer, JwtAuthorizerLayer};
pub use refusal::TokenRefusal;
pub use service::TokenService;
pub use source::{JwkSource, JwksClient, RemoteJwks};
pub use verifier::{JwtVerifier, JwtVerifierBuilder};

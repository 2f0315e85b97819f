//! Mutual TLS: only clients with a certificate of the trust store come in.
//!
//! The TLS library does the proof, in the listener; it puts a
//! [`ClientCertificate`](crate::context::ClientCertificate) into the extensions of every request. The context shows
//! it as `$context.identity.clientCert.*`, and policies ask for it by condition keys of the same names
//! (`context:identity.clientCert.subjectDN`, see `policy::RequestKeys`). How [`MutualTlsLayer`] judges a request:
//!
//! 1. If the layer is only for some [domains](MutualTlsLayer::domains): a request for another host passes. The host is
//!    that of the request target, or of the one `Host` field, without its port and one final dot. It is compared as
//!    custom domains of stages are; what is no host name (`a.example..`) is for no open domain.
//! 2. There must be a certificate in the extensions.
//! 3. If the listener noted the name that the client asked for in the handshake (SNI), the host must be that name: a
//!    certificate that one domain's trust store accepted says nothing about another domain.
//!
//! | case | answer | [`Cause`](crate::response::Cause) |
//! |---|---|---|
//! | certificate, right host | the service's | |
//! | no certificate | 403 `{"message":"Forbidden"}`, `x-amzn-errortype: ForbiddenException` | `ClientCertificateMissing` |
//! | another host than in the handshake, or no single host | the same | `ClientCertificateForeign` |
//!
//! A listener that *requires* a certificate ends the handshake of a client without one with an alert, and this layer
//! only guards against a second, open listener. (On AWS, too, an API stays reachable without a certificate until its
//! default endpoint is disabled.) A listener that only *asks* for one lets this layer answer 403. Both are in
//! `examples/mtls.rs`. Whether AWS answers with an alert or with 403 is unconfirmed. Revocation is not checked, as on
//! AWS; do it in an authorizer, which finds the serial number in the context.
//!
//! Around a [`Gateway`](crate::gateway) the layer stands in
//! [`GatewayBuilder::mutual_tls`](crate::gateway::GatewayBuilder::mutual_tls): its refusals then have request ids and
//! stand in the access log. Used as a layer of its own outside of a gateway or another layer with settings, it leaves kind
//! of API, trusted proxies and peer address to them.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{context::{ClientCertificate, RequestContext}, mtls::MutualTlsLayer};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let service = MutualTlsLayer::new().layer(service_fn(|request: Request<()>| async move {
//!     let context = RequestContext::of(request.extensions()).expect("made by the layer");
//!     let subject = context.variable("identity.clientCert.subjectDN").unwrap().into_owned();
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(subject)))
//! }));
//! assert_eq!(service.clone().oneshot(Request::new(())).await.unwrap().status(), 403);
//!
//! let key = rcgen::KeyPair::generate()?;
//! let mut params = rcgen::CertificateParams::new(Vec::new())?;
//! params.distinguished_name.push(rcgen::DnType::CommonName, "ada");
//! let certificate = ClientCertificate::from_verified_chain(&[params.self_signed(&key)?.der()])?;
//! let request = Request::builder().extension(certificate).body(())?;
//! assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod layer;

pub use layer::{MutualTlsLayer, MutualTlsService};

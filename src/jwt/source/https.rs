//! The ready client of the feature `jwks-http`.

use super::JwksClient;
use crate::ConfigError;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

impl JwksClient {
    /// A client for `https` and, for issuers of your own on the same machine, `http`: HTTP/1.1, TLS 1.2 or newer,
    /// Mozilla's roots, no redirects. It needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// The TLS library does not take its own defaults.
    pub fn https() -> Result<Self, ConfigError> {
        // Named, so that a second TLS library elsewhere in the program cannot make the choice ambiguous.
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(|error| ConfigError::of_system("HTTPS client", "", "no TLS", error))?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self::new(Client::builder(TokioExecutor::new()).build::<_, String>(connector)))
    }
}

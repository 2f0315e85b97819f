//! Callers, an API, and AWS's own signer.

use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use axum::Extension;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::time::{Duration, UNIX_EPOCH};
use tower_gateway::{
    clock::ManualClock,
    context::RequestContext,
    policy::{ExecuteApi, Policy},
    sigv4::{Credentials, CredentialsBuilder, MemoryCredentialsStore, SigV4AuthBuilder, SigV4AuthLayer},
};

pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2026-11-22T12:34:56Z
pub(super) const NOW: i64 = 1_795_350_896;
pub(super) const HOST: &str = "api.example:8080";

pub(super) fn api() -> ExecuteApi {
    ExecuteApi::new("us-east-1", "111122223333", "a1b2c3d4e5").unwrap()
}

pub(super) fn policy(statements: &str) -> Policy {
    Policy::identity_for(&api(), format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#))
        .unwrap()
}

pub(super) const ALLOW_ALL: &str =
    r#"{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"}"#;

pub(super) fn builder(id: &str, name: &str) -> CredentialsBuilder {
    Credentials::builder(id, SECRET, format!("arn:aws:iam::111122223333:user/{name}"))
}

/// Somebody who may call everything.
pub(super) fn credentials(id: &str, name: &str) -> Credentials {
    builder(id, name).policy(policy(ALLOW_ALL)).build().unwrap()
}

/// Ada and Bob, who may call everything, at [`NOW`].
pub(super) fn layer() -> SigV4AuthBuilder {
    layer_of([credentials("AKIDADA", "ada"), credentials("AKIDBOB", "bob")])
}

pub(super) fn layer_of(credentials: impl IntoIterator<Item = Credentials>) -> SigV4AuthBuilder {
    let store = MemoryCredentialsStore::new(credentials);
    SigV4AuthLayer::builder(store, api()).clock(ManualClock::at_unix_seconds(NOW).clock())
}

/// What AWS's signer makes of a request.
pub(super) struct Signer<'a> {
    pub(super) key: &'a str,
    pub(super) secret: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) presign: bool,
    pub(super) time: i64,
    pub(super) headers: &'a [(&'a str, &'a str)],
}

impl Default for Signer<'_> {
    fn default() -> Self {
        Self { key: "AKIDADA", secret: SECRET, token: None, presign: false, time: NOW, headers: &[] }
    }
}

impl Signer<'_> {
    pub(super) fn sign(&self, method: &str, target: &str, body: &'static str) -> Request<Full<Bytes>> {
        let token = self.token.map(str::to_owned);
        let identity =
            aws_credential_types::Credentials::new(self.key, self.secret, token, None, "test").into();
        let mut settings = SigningSettings::default();
        if self.presign {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(300));
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("execute-api")
            .time(UNIX_EPOCH + Duration::from_secs(self.time as u64))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = format!("http://{HOST}{target}");
        let fields = || self.headers.iter().copied().chain([("host", HOST)]);
        let signable =
            SignableRequest::new(method, uri.clone(), fields(), SignableBody::Bytes(body.as_bytes()));
        let (instructions, _) = sign(signable.unwrap(), &params).unwrap().into_parts();
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields() {
            request = request.header(name, value);
        }
        let mut request = request.body(Full::from(body)).unwrap();
        instructions.apply_to_request_http1x(&mut request);
        // In HTTP/1.1 the target has no host.
        *request.uri_mut() = request.uri().path_and_query().unwrap().as_str().parse().unwrap();
        request
    }
}

/// Ada's signed GET.
pub(super) fn get(target: &str) -> Request<Full<Bytes>> {
    Signer::default().sign("GET", target, "")
}

pub(super) async fn echo(
    Extension(context): Extension<RequestContext>,
) -> ([(&'static str, &'static str); 1], String) {
    let arn = context.caller().map(|caller| caller.user_arn().to_owned()).unwrap_or_default();
    ([("content-type", "application/json")], format!(r#"{{"arn":"{arn}"}}"#))
}

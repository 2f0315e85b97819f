//! Signature Version 4, key cached on both sides, beside scratchstack-aws-signature and beside the hashes alone.

use crate::{
    measure::{Goal, MakeRequest, Row, Subject},
    rows::{MakeRow, Side, row, side},
    services::{bare, empty, request, with_context},
};
use axum::{
    Router,
    body::{Body, to_bytes},
};
use bytes::Bytes;
use chrono::Utc;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use http::{Method, Request, Response, header};
use scratchstack_aws_principal::User;
use scratchstack_aws_signature::{
    GetSigningKeyRequest, GetSigningKeyResponse, KSecretKey, NO_ADDITIONAL_SIGNED_HEADERS, SignatureOptions,
    sigv4_validate_request,
};
use sha2::{Digest, Sha256};
use std::{convert::Infallible, fmt::Write as _, future::ready, hint::black_box, str::FromStr, sync::Arc};
use tower::{BoxError, Layer, Service, ServiceBuilder, service_fn};
use tower_gateway::{
    policy::{ExecuteApi, Policy},
    sigv4::{Credentials, MemoryCredentialsStore, SigV4AuthLayer, SigV4Verifier},
};

pub const ROWS: [(&str, MakeRow); 5] = [
    ("sigv4-get", |name| against_peer(name, Job::get())),
    ("sigv4-post-1k", |name| against_peer(name, Job::post())),
    ("sigv4-get-with-policy", get_with_policy),
    ("sigv4-get-hashes", |name| against_hashes(name, Job::get())),
    ("sigv4-post-1k-hashes", |name| against_hashes(name, Job::post())),
];

const AGAINST_PEER: Goal = Goal::OverFloor(0.25);
const AGAINST_HASHES: Goal = Goal::OverFloor(3.5);
const MOST_ALLOCATIONS: Option<f64> = Some(2.0);

const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-west-1";
const SERVICE: &str = "execute-api";
const QUERY: &str = "limit=10&status=available";
const SIGNED_HEADERS: &str = "host;x-amz-date";
const BODY_LIMIT: usize = 10 * 1024 * 1024;

fn against_peer(name: &'static str, job: Job) -> Row {
    let peer = side(with_context(scratchstack(bare())));
    let made = row(name, job.requests(), authenticating(), peer, AGAINST_PEER);
    Row { most_allocations: MOST_ALLOCATIONS, ..made }
}

/// Ours also asks an identity policy, which the peer cannot.
fn get_with_policy(name: &'static str) -> Row {
    Row { ours: authorizing(), ..against_peer(name, Job::get()) }
}

fn against_hashes(name: &'static str, job: Job) -> Row {
    let requests = job.requests();
    let peer = side(with_context(job.hashes(bare())));
    row(name, requests, authenticating(), peer, AGAINST_HASHES)
}

fn credentials() -> tower_gateway::sigv4::CredentialsBuilder {
    Credentials::builder(ACCESS_KEY, SECRET, format!("arn:aws:iam::{ACCOUNT}:user/ada"))
}

/// What the peer does, and no more: the caller is established.
fn authenticating() -> Side {
    let store = MemoryCredentialsStore::new([credentials().build().expect("valid credentials")]);
    let verifier = SigV4Verifier::new(REGION, SERVICE).expect("a valid scope");
    let layer = SigV4AuthLayer::authenticate_only(store, verifier).build().expect("a valid layer");
    side(with_context(layer.layer(bare())))
}

fn authorizing() -> Side {
    let api = ExecuteApi::new(REGION, ACCOUNT, "a1b2c3d4e5").expect("a valid API");
    let document = r#"{"Version": "2012-10-17", "Statement":
        {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "execute-api:/*/GET/*"}}"#;
    let policy = Policy::identity_for(&api, document).expect("a valid policy");
    let caller = credentials().policy(policy).build().expect("valid credentials");
    let layer = SigV4AuthLayer::builder(MemoryCredentialsStore::new([caller]), api);
    side(with_context(layer.build().expect("a valid layer").layer(bare())))
}

/// The peer as its users put it into a service: the body is collected, the key comes from a table, the caller goes into
/// the extensions.
fn scratchstack(
    inner: Router,
) -> impl Subject + Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone {
    let day = Utc::now().date_naive();
    let key = KSecretKey::from_str(SECRET).expect("a secret").to_ksigning(day, REGION, SERVICE);
    let user = User::new("aws", ACCOUNT, "/", "ada").expect("a user");
    let known = GetSigningKeyResponse::builder().principal(user).signing_key(key).build().expect("complete");
    let known = Arc::new(known);
    service_fn(move |request| verified_by_peer(inner.clone(), request, Arc::clone(&known)))
}

fn verified_by_peer(
    mut inner: Router,
    request: Request<Body>,
    known: Arc<GetSigningKeyResponse>,
) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
    Box::pin(async move {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, BODY_LIMIT).await.expect("a body within the limit");
        let mut keys = service_fn(move |asked: GetSigningKeyRequest| {
            let found = (asked.access_key() == ACCESS_KEY).then(|| GetSigningKeyResponse::clone(&known));
            ready(found.ok_or_else(|| BoxError::from("unknown access key")))
        });
        let request = Request::from_parts(parts, body);
        let (required, options) = (NO_ADDITIONAL_SIGNED_HEADERS, SignatureOptions::default());
        let now = Utc::now();
        match sigv4_validate_request(request, REGION, SERVICE, &mut keys, now, &required, options).await {
            Ok((mut parts, body, caller)) => {
                parts.extensions.insert(caller.principal().clone());
                inner.call(Request::from_parts(parts, Body::from(body))).await
            }
            Err(_) => Ok(Response::builder().status(403).body(Body::empty()).expect("a response")),
        }
    })
}

/// One request, signed when the row is made, and what its signature is made of.
#[derive(Clone)]
struct Job {
    method: Method,
    body: Bytes,
    /// `20261127T090000Z`
    time: String,
    key: Hmac<Sha256>,
}

impl Job {
    fn get() -> Self {
        Self::new(Method::GET, Bytes::new())
    }

    fn post() -> Self {
        Self::new(Method::POST, Bytes::from_static(&[b'x'; 1024]))
    }

    fn new(method: Method, body: Bytes) -> Self {
        let time = Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
        let start = format!("AWS4{SECRET}").into_bytes();
        let parts = [&time[..8], REGION, SERVICE, "aws4_request"];
        let derived = parts.iter().fold(start, |key, part| mac(&keyed(&key), part).to_vec());
        Self { method, body, time, key: keyed(&derived) }
    }

    fn scope(&self) -> String {
        format!("{}/{REGION}/{SERVICE}/aws4_request", &self.time[..8])
    }

    fn canonical(&self) -> String {
        let payload = hex(&Sha256::digest(&self.body));
        let (method, time) = (&self.method, &self.time);
        format!(
            "{method}\n/pets\n{QUERY}\nhost:api.example\nx-amz-date:{time}\n\n{SIGNED_HEADERS}\n{payload}"
        )
    }

    fn to_sign(&self, canonical_hash: &str) -> String {
        format!("AWS4-HMAC-SHA256\n{}\n{}\n{canonical_hash}", self.time, self.scope())
    }

    fn authorization(&self) -> String {
        let to_sign = self.to_sign(&hex(&Sha256::digest(self.canonical())));
        let signature = hex(&mac(&self.key, &to_sign));
        let scope = self.scope();
        format!(
            "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={SIGNED_HEADERS}, Signature={signature}"
        )
    }

    fn requests(&self) -> MakeRequest {
        let (job, authorization) = (self.clone(), self.authorization());
        Box::new(move |_| {
            let builder = request(job.method.clone(), "/").uri(format!("/pets?{QUERY}"));
            let builder =
                builder.header("x-amz-date", &job.time).header(header::AUTHORIZATION, &authorization);
            if job.body.is_empty() {
                return empty(builder);
            }
            let builder = builder.header(header::CONTENT_LENGTH, job.body.len());
            builder.body(Body::from(job.body.clone())).expect("a valid request")
        })
    }

    /// The least there is to compute: the hashes of texts that are there already, with the key prepared. That of an
    /// empty body is known.
    fn hashes(
        self,
        inner: Router,
    ) -> impl Subject + Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone {
        let (canonical, to_sign) = (self.canonical(), self.to_sign(&"0".repeat(64)));
        let (body, key) = (self.body, self.key);
        let compute = move |request: Request<Body>| {
            if !body.is_empty() {
                black_box(Sha256::digest(black_box(&body)));
            }
            black_box(Sha256::digest(black_box(&canonical)));
            black_box(mac(&key, black_box(&to_sign)));
            request
        };
        ServiceBuilder::new().map_request(compute).service(inner)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("keys of any length")
}

fn mac(key: &Hmac<Sha256>, text: &str) -> [u8; 32] {
    let mut mac = key.clone();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

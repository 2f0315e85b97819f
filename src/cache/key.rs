//! The key of a request: borrowed parts, length-prefixed, in one buffer on the stack.
//!
//! Two requests have the same key only if every part is the same, byte for byte: lengths and tags keep parts from
//! running into each other, and the table compares the whole key, so a hash can collide without harm. Nothing but the
//! host is decoded or normalised, since the service might tell the forms apart.

mod reader;

pub(super) use reader::KeyReader;

use super::{credentials::Credentials, rules::RequestView};
#[cfg(feature = "mtls")]
use crate::context::ClientCertificate;
use crate::{
    context::RequestContext,
    percent::{Decoded, Plus},
    route::{CacheKey, MatchedRoute},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{GetAll, HOST},
};
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};

/// Longer keys go to the heap.
const INLINE: usize = 384;
/// In place of a length: a list of values ends. One that is absent ends at once, and differs from an empty value.
const END: u32 = u32::MAX;

/// Parts that every key has, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyHead<'a> {
    /// Which layer: two layers share entries only where they were given the same name.
    pub(super) instance: &'a [u8],
    pub(super) stage: &'a [u8],
    pub(super) deployment: &'a [u8],
    pub(super) namespace: &'a [u8],
    pub(super) method: &'a [u8],
    /// Empty where the key has declared parameters only.
    pub(super) path: &'a [u8],
}

/// What follows the head: a tag, a name, a value.
pub(super) mod tag {
    pub(in crate::cache) const CANARY: u8 = b'C';
    pub(in crate::cache) const HOST: u8 = b'H';
    pub(in crate::cache) const RECEIVED: u8 = b'R';
    pub(in crate::cache) const WHOLE_QUERY: u8 = b'Q';
    pub(in crate::cache) const QUERY: u8 = b'q';
    pub(in crate::cache) const HEADER: u8 = b'h';
    pub(in crate::cache) const DIGEST: u8 = b'd';
    pub(in crate::cache) const PATH: u8 = b'p';
    pub(in crate::cache) const WHOLE_PATH: u8 = b'W';
    pub(in crate::cache) const PRINCIPAL: u8 = b'P';
    pub(in crate::cache) const ISSUER: u8 = b'I';
    pub(in crate::cache) const API_KEY: u8 = b'K';
    #[cfg(feature = "mtls")]
    pub(in crate::cache) const CERTIFICATE: u8 = b'T';
}

/// A key under construction. No allocation up to [`INLINE`] bytes.
pub(super) struct KeyBuffer {
    inline: [u8; INLINE],
    len: usize,
    spilled: Vec<u8>,
    has_identity: bool,
}

impl fmt::Debug for KeyBuffer {
    /// A key may tell who is asking.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyBuffer").field("len", &self.bytes().len()).finish_non_exhaustive()
    }
}

impl KeyBuffer {
    pub(super) fn new() -> Self {
        Self { inline: [0; INLINE], len: 0, spilled: Vec::new(), has_identity: false }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        if self.spilled.is_empty() { &self.inline[..self.len] } else { &self.spilled }
    }

    /// Whether the key is of one caller only.
    pub(super) fn has_identity(&self) -> bool {
        self.has_identity
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.inline.get_mut(self.len..end) {
            Some(room) if self.spilled.is_empty() => {
                room.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.spill(bytes),
        }
    }

    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        if self.spilled.is_empty() {
            self.spilled.reserve(2 * INLINE + bytes.len());
            self.spilled.extend_from_slice(&self.inline[..self.len]);
        }
        self.spilled.extend_from_slice(bytes);
    }

    fn part(&mut self, bytes: &[u8]) {
        self.push(&length(bytes));
        self.push(bytes);
    }

    fn part_in_lower_case(&mut self, bytes: &[u8]) {
        self.part(bytes);
        let written =
            if self.spilled.is_empty() { &mut self.inline[..self.len] } else { &mut self.spilled[..] };
        let start = written.len() - bytes.len();
        written[start..].make_ascii_lowercase();
    }

    fn tagged(&mut self, tag: u8, name: &[u8]) {
        self.push(&[tag]);
        self.part(name);
    }

    fn end(&mut self) {
        self.push(&END.to_le_bytes());
    }

    /// The head of the key.
    fn head(&mut self, head: &KeyHead<'_>) {
        for part in [head.instance, head.stage, head.deployment, head.namespace, head.method, head.path] {
            self.part(part);
        }
    }

    fn values(&mut self, tag: u8, name: &HeaderName, values: GetAll<'_, HeaderValue>) {
        self.tagged(tag, name.as_str().as_bytes());
        values.into_iter().for_each(|value| self.part(value.as_bytes()));
        self.end();
    }

    fn digest(&mut self, name: &HeaderName, headers: &HeaderMap) {
        self.tagged(tag::DIGEST, name.as_str().as_bytes());
        if let Some(digest) = digest(headers.get_all(name)) {
            self.has_identity = true;
            self.part(&digest);
        }
        self.end();
    }
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(END - 1).to_le_bytes()
}

/// A credential in a form that may lie around; `None` where there is none.
fn digest(values: GetAll<'_, HeaderValue>) -> Option<[u8; 32]> {
    let mut hash = None;
    for value in values {
        let hash = hash.get_or_insert_with(Sha256::new);
        hash.update(length(value.as_bytes()));
        hash.update(value.as_bytes());
    }
    Some(hash?.finalize().into())
}

/// What the layer knows of where the request belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyScope<'a> {
    pub(super) instance: &'a [u8],
    pub(super) route: Option<&'a MatchedRoute>,
    /// The path that the route's variables are cut from.
    pub(super) received: &'a str,
}

impl<'a> KeyScope<'a> {
    /// The declared one, or the resource path.
    pub(super) fn namespace(&self, spec: &'a CacheKey) -> &'a str {
        let resource = || self.route.map(|route| &*route.declared().resource_path);
        spec.namespace.as_deref().or_else(resource).unwrap_or_default()
    }

    /// A path variable, cut from the path as received, or from the one that the service sees where the two have no
    /// common end (something outside has rewritten it).
    fn variable(&self, name: &str, request: RequestView<'a>) -> Option<&'a str> {
        let route = self.route?;
        let rewritten = || route.path_parameter_of(name, request.method, request.uri.path());
        route.path_parameter(name, self.received).or_else(rewritten)
    }
}

/// Writes the key of a request; `method` is `GET` for a `HEAD` that is answered from a `GET`.
pub(super) fn encode(
    buffer: &mut KeyBuffer,
    scope: KeyScope<'_>,
    (spec, credentials): (&CacheKey, &Credentials),
    request: RequestView<'_>,
    method: &str,
) {
    buffer.head(&head_of(scope, spec, request, method));
    if scope.route.and_then(|route| route.scope.stage.as_ref()).is_some_and(|stage| stage.has_own_cache) {
        buffer.push(&[tag::CANARY]);
        buffer.end();
    }
    if spec.target {
        host(buffer, request);
        received(buffer, scope.received, request.uri.path());
    }
    if spec.whole_query {
        whole_query(buffer, request.uri.query());
    }
    for name in &spec.queries {
        query(buffer, name, request.uri.query().unwrap_or_default());
    }
    path_variables(buffer, scope, spec, request);
    spec.headers
        .iter()
        .for_each(|name| header(buffer, name, request.headers, credentials.hides(name, request)));
    if !spec.shared {
        identities(buffer, request);
    }
}

fn head_of<'a>(
    scope: KeyScope<'a>,
    spec: &'a CacheKey,
    request: RequestView<'a>,
    method: &'a str,
) -> KeyHead<'a> {
    let stage = scope.route.and_then(|route| route.scope.stage.as_ref());
    KeyHead {
        instance: scope.instance,
        stage: stage.map_or(b"", |stage| stage.name.as_bytes()),
        deployment: stage.map_or(b"", |stage| stage.deployment_id.as_bytes()),
        namespace: scope.namespace(spec).as_bytes(),
        method: method.as_bytes(),
        path: if spec.target { request.uri.path().as_bytes() } else { b"" },
    }
}

/// The host can stand in two places and be written in several ways: in lower case, without the default port of a scheme
/// that the request names. Where the places disagree, the service may look at either, and all stand there as received.
fn host(buffer: &mut KeyBuffer, request: RequestView<'_>) {
    buffer.push(&[tag::HOST]);
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    let fields = || request.headers.get_all(HOST).into_iter().map(HeaderValue::as_bytes);
    let port = default_port(request.uri);
    let mut all = authority.into_iter().chain(fields()).map(|host| host.strip_suffix(port).unwrap_or(host));
    match all.next() {
        Some(first) if !first.contains(&b'@') && all.all(|other| other.eq_ignore_ascii_case(first)) => {
            buffer.part_in_lower_case(first);
        }
        Some(_) => {
            buffer.part(authority.unwrap_or_default());
            fields().for_each(|field| buffer.part(field));
            // One that stands alone would look like one that all agree upon.
            buffer.part(b"");
        }
        None => {}
    }
    buffer.end();
}

fn default_port(uri: &Uri) -> &'static [u8] {
    match uri.scheme_str() {
        Some("http") => b":80",
        Some("https") => b":443",
        _ => b"",
    }
}

/// The path as received, where an outer layer or router has taken a part of it off: what lies below two prefixes is
/// not the same.
fn received(buffer: &mut KeyBuffer, received: &str, path: &str) {
    if received != path {
        buffer.tagged(tag::RECEIVED, received.as_bytes());
    }
}

fn whole_query(buffer: &mut KeyBuffer, query: Option<&str>) {
    buffer.push(&[tag::WHOLE_QUERY]);
    query.into_iter().for_each(|query| buffer.part(query.as_bytes()));
    buffer.end();
}

/// Every pair that some service might read as `name`, as received.
fn query(buffer: &mut KeyBuffer, name: &str, query: &str) {
    buffer.tagged(tag::QUERY, name.as_bytes());
    query.split('&').filter(|pair| names(pair, name)).for_each(|pair| buffer.part(pair.as_bytes()));
    buffer.end();
}

/// The declared variables. Where one has no value (no route was matched, or no variable of it has that name), the whole
/// path stands for it: what a key is declared to tell apart is never left out of it.
fn path_variables(buffer: &mut KeyBuffer, scope: KeyScope<'_>, spec: &CacheKey, request: RequestView<'_>) {
    let mut is_whole = true;
    for name in &spec.paths {
        let value = scope.variable(name, request);
        is_whole &= value.is_some();
        path_variable(buffer, name, value);
    }
    if !is_whole && !spec.target {
        buffer.tagged(tag::WHOLE_PATH, request.uri.path().as_bytes());
        received(buffer, scope.received, request.uri.path());
    }
}

fn path_variable(buffer: &mut KeyBuffer, name: &str, value: Option<&str>) {
    buffer.tagged(tag::PATH, name.as_bytes());
    value.into_iter().for_each(|value| buffer.part(value.as_bytes()));
    buffer.end();
}

fn header(buffer: &mut KeyBuffer, name: &HeaderName, headers: &HeaderMap, is_secret: bool) {
    match is_secret {
        true => buffer.digest(name, headers),
        false => buffer.values(tag::HEADER, name, headers.get_all(name)),
    }
}

/// Who is calling, as far as outer layers have proved it: part of every key, unless its method is declared to be
/// shared.
fn identities(buffer: &mut KeyBuffer, request: RequestView<'_>) {
    let principal = request.context.and_then(RequestContext::principal);
    let id = principal.map(|principal| (tag::PRINCIPAL, principal.id()));
    // The same id at another issuer is somebody else's.
    let issuer = principal.and_then(|principal| Some((tag::ISSUER, principal.issuer()?)));
    let api_key = request.context.and_then(|context| Some((tag::API_KEY, context.api_key()?.id())));
    for (tag, id) in id.into_iter().chain(issuer).chain(api_key) {
        buffer.tagged(tag, id.as_bytes());
        buffer.has_identity = true;
    }
    #[cfg(feature = "mtls")]
    if let Some(certificate) = certificate(request) {
        buffer.tagged(tag::CERTIFICATE, certificate.digest());
        buffer.has_identity = true;
    }
}

/// That of the connection, which the service may look at, whether or not a layer asks for it.
#[cfg(feature = "mtls")]
fn certificate(request: RequestView<'_>) -> Option<&ClientCertificate> {
    match request.context {
        Some(context) => context.client_certificate(),
        None => request.extensions?.get(),
    }
}

/// Whether a pair of a query may be read as parameter `name`: escapes, case, `+`, and the old separator `;`.
pub(super) fn names(pair: &str, name: &str) -> bool {
    pair.split(';').any(|part| {
        let raw = part.split('=').next().unwrap_or_default();
        Decoded::new(raw.as_bytes(), Plus::Blank)
            .map(|byte| byte.to_ascii_lowercase())
            .eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
    })
}

/// The encoding of one declared query parameter with one value, as it stands in keys.
pub(super) fn query_part(name: &str, value: &str) -> Vec<u8> {
    let mut buffer = KeyBuffer::new();
    query(&mut buffer, name, &format!("{name}={value}"));
    buffer.bytes().to_vec()
}

/// The encoding of one declared path variable with its value, as it stands in keys.
pub(super) fn path_part(name: &str, value: &str) -> Vec<u8> {
    let mut buffer = KeyBuffer::new();
    path_variable(&mut buffer, name, Some(value));
    buffer.bytes().to_vec()
}

/// The encoding of one declared header field with one value, as it stands in keys: in the clear, or in digest.
pub(super) fn header_part(name: &HeaderName, value: &HeaderValue, is_secret: bool) -> Vec<u8> {
    let mut buffer = KeyBuffer::new();
    header(&mut buffer, name, &HeaderMap::from_iter([(name.clone(), value.clone())]), is_secret);
    buffer.bytes().to_vec()
}

/// The encoding of a host that a request names in one way, as it stands in keys.
pub(super) fn host_part(host: &str) -> Vec<u8> {
    let mut buffer = KeyBuffer::new();
    buffer.push(&[tag::HOST]);
    buffer.part_in_lower_case(host.as_bytes());
    buffer.end();
    buffer.bytes().to_vec()
}

/// The encoding of a caller, as it stands in keys: `tag` is that of a principal or of an API key.
pub(super) fn caller_part(tag: u8, id: &str) -> Vec<u8> {
    let mut buffer = KeyBuffer::new();
    buffer.tagged(tag, id.as_bytes());
    buffer.bytes().to_vec()
}

/// The encoding of a whole query, as it stands in keys.
pub(super) fn whole_query_part(query: Option<&str>) -> Vec<u8> {
    let mut buffer = KeyBuffer::new();
    whole_query(&mut buffer, query);
    buffer.bytes().to_vec()
}

/// A key with its hash, borrowed.
#[derive(Clone, Copy)]
pub struct StoreKey<'a> {
    hash: u64,
    bytes: &'a [u8],
}

impl<'a> StoreKey<'a> {
    pub(super) fn new(hash: u64, bytes: &'a [u8]) -> Self {
        Self { hash, bytes }
    }

    /// A hash under a secret of this process: nobody can choose keys that collide.
    pub fn hash(self) -> u64 {
        self.hash
    }

    /// The whole key, to be compared.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    #[cfg(feature = "redb")]
    pub(crate) fn to_stored(self) -> StoredKey {
        self.to_owned()
    }

    pub(super) fn to_owned(self) -> StoredKey {
        StoredKey { hash: self.hash, bytes: self.bytes.into() }
    }
}

/// A key with its hash, owned. A clone is a reference count.
#[derive(Clone)]
pub struct StoredKey {
    hash: u64,
    bytes: Arc<[u8]>,
}

impl StoredKey {
    /// The key, borrowed.
    pub fn borrowed(&self) -> StoreKey<'_> {
        StoreKey { hash: self.hash, bytes: &self.bytes }
    }
}

impl fmt::Debug for StoreKey<'_> {
    /// Only the hash: a key may tell who is asking.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKey({:016x})", self.hash)
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrowed().fmt(f)
    }
}

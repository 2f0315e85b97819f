//! The verifier against outside vectors, and properties of it.

mod clients;
mod errors;
mod mutated;
mod properties;
mod suite;

use super::{Credentials, Payload, RequestHead, SigV4Verifier, SignatureError};
use crate::{clock::Timestamp, context::CallerIdentity};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use std::{io::Write as _, path::PathBuf};

pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(super) const ARN: &str = "arn:aws:iam::111122223333:user/ada";

/// `shared/vectors/<path>`, where it is present.
fn vectors(path: &str) -> Option<PathBuf> {
    let found = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors").join(path);
    if found.exists() {
        return Some(found);
    }
    // Past the capture of test output.
    let _nobody_reads = writeln!(std::io::stderr(), "left out: no ../shared/vectors/{path} here");
    None
}

fn credentials(token: Option<&str>) -> Credentials {
    let builder = Credentials::builder("AKIDEXAMPLE", SECRET, ARN);
    let builder = token.into_iter().fold(builder, |builder, token| builder.session_token(token, i64::MAX));
    builder.build().unwrap()
}

/// A request as text, read the way a server does.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) method: Method,
    /// As it stands in the request line; not every vector's is one that HTTP could carry.
    pub(super) target: Vec<u8>,
    pub(super) headers: Vec<(HeaderName, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

impl Raw {
    /// Lines end with LF or CRLF; a line that starts with a space goes on with the one before (obs-fold).
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let text: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'\r').collect();
        let end = text.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = end.map_or((&*text, &b""[..]), |end| (&text[..end], &text[end + 2..]));
        let mut lines = head.split(|byte| *byte == b'\n');
        let start = lines.next().unwrap();
        let method_end = start.iter().position(|byte| *byte == b' ').unwrap();
        let target_end = start.len() - b" HTTP/1.1".len();
        let mut headers: Vec<(HeaderName, Vec<u8>)> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            match (line[0], headers.last_mut()) {
                (b' ' | b'\t', Some((_, value))) => value.extend_from_slice(line),
                _ => headers.push(header(line)),
            }
        }
        Self {
            method: Method::from_bytes(&start[..method_end]).unwrap(),
            target: start[method_end + 1..target_end].to_vec(),
            headers,
            body: body.to_vec(),
        }
    }

    pub(super) fn uri(&self) -> Option<Uri> {
        Uri::try_from(self.target.as_slice()).ok()
    }

    pub(super) fn header_map(&self) -> Option<HeaderMap> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            map.append(name.clone(), HeaderValue::from_bytes(value.trim_ascii()).ok()?);
        }
        Some(map)
    }

    pub(super) fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(own, _)| own == name)?;
        Some(String::from_utf8_lossy(found.1.trim_ascii()).into_owned())
    }

    /// What the verifier says; `None` where HTTP cannot carry the request.
    pub(super) fn verify(
        &self,
        verifier: &SigV4Verifier,
        now: i64,
        credentials: &Credentials,
    ) -> Option<Result<CallerIdentity, SignatureError>> {
        let (uri, headers) = (self.uri()?, self.header_map()?);
        let head = RequestHead { method: &self.method, uri: &uri, headers: &headers };
        let lookup = |id: &str| (id == credentials.access_key_id()).then(|| credentials.clone());
        Some(verifier.verify(&head, Payload::of(&self.body), at(now), lookup))
    }
}

fn at(unix_seconds: i64) -> Timestamp {
    Timestamp::new(0, unix_seconds * 1_000_000_000)
}

fn header(line: &[u8]) -> (HeaderName, Vec<u8>) {
    let colon = line.iter().position(|byte| *byte == b':').unwrap();
    (HeaderName::from_bytes(&line[..colon]).unwrap(), line[colon + 1..].to_vec())
}

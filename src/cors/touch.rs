//! What is done to the answer of an ordinary request.

use super::{
    config::BackEndHeaders,
    origin::Allowed,
    policy::{ALLOW_PRIVATE_NETWORK, Policy, TRUE, joined, push_item},
};
use crate::response::is_cors_field;
use http::{
    HeaderMap, HeaderValue,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
    },
};
use std::sync::Arc;

const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// `Access-Control-Expose-Headers`.
#[derive(Debug)]
pub(super) enum Expose {
    Nothing,
    Fixed(HeaderValue),
    /// `*` with credentials: the names of the answer's own headers stand for it, and these.
    Everything {
        besides: String,
    },
}

/// The ids (and the gateway's `RateLimit`) are put on the answer further outside, so they are not seen here.
const SET_LATER: &str = "x-amzn-RequestId,x-amz-apigw-id,apigw-requestid,RateLimit";

impl Expose {
    pub(super) fn compile(names: &[String], credentials: bool) -> Self {
        let star = names.iter().any(|name| name == "*");
        match joined(names) {
            Some(_) if star && credentials => {
                let mut besides = SET_LATER.to_owned();
                names.iter().filter(|name| *name != "*").for_each(|name| push_item(&mut besides, name));
                Self::Everything { besides }
            }
            Some(list) => Self::Fixed(list),
            None => Self::Nothing,
        }
    }

    fn value(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        match self {
            Self::Nothing => None,
            Self::Fixed(list) => Some(list.clone()),
            Self::Everything { besides } => {
                let mut names = besides.clone();
                let own = headers.keys().filter(|name| !is_cors_field(name) && *name != "*");
                own.for_each(|name| push_item(&mut names, name.as_str()));
                HeaderValue::try_from(names).ok()
            }
        }
    }
}

/// Adds our headers to an answer; see the [module docs](super).
#[derive(Debug)]
pub(crate) struct Touch {
    policy: Arc<Policy>,
    allowed: Allowed,
    /// The request's own origin, where that is the allowed one.
    own: Option<HeaderValue>,
}

impl Touch {
    pub(super) fn new(policy: &Arc<Policy>, allowed: Allowed, own: Option<HeaderValue>) -> Self {
        Self { policy: Arc::clone(policy), allowed, own }
    }

    pub(super) fn apply(self, headers: &mut HeaderMap) {
        touch(&self.policy, self.policy.value(self.allowed, self.own.as_ref()), headers);
    }
}

/// What the policy does to an answer, with the allowed origin of its request.
pub(super) fn touch(policy: &Policy, origin: Option<HeaderValue>, headers: &mut HeaderMap) {
    let found = Found::among(headers);
    if policy.varies() && !found.vary_on_origin {
        headers.append(VARY, VARY_ORIGIN);
    }
    if found.cors_answer {
        // All of theirs or all of ours: their credentials would count for our origin.
        let is_kept = origin.is_none() || headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
        if policy.back_end == BackEndHeaders::Keep && is_kept {
            return;
        }
        strip(headers);
    }
    if let Some(origin) = origin {
        allow(policy, origin, headers);
    }
}

/// What the answer has already; one walk over a few names costs less than looking up each.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    cors_answer: bool,
    vary_on_origin: bool,
}

impl Found {
    fn among(headers: &HeaderMap) -> Self {
        let (mut cors_answer, mut varies) = (false, false);
        for name in headers.keys() {
            cors_answer |= is_cors_field(name);
            varies |= *name == VARY;
        }
        let vary_on_origin = varies && headers.get_all(VARY).iter().any(covers_origin);
        Self { cors_answer, vary_on_origin }
    }
}

fn allow(policy: &Policy, origin: HeaderValue, headers: &mut HeaderMap) {
    if let Some(names) = policy.expose.value(headers) {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if policy.credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
    }
}

/// Removes what the back end said.
fn strip(headers: &mut HeaderMap) {
    for name in [
        ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE,
    ] {
        headers.remove(name);
    }
    headers.remove(&ALLOW_PRIVATE_NETWORK);
}

/// Whether a `Vary` says `Origin`, or everything.
fn covers_origin(value: &HeaderValue) -> bool {
    let mut items = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    items.any(|item| item == b"*" || item.eq_ignore_ascii_case(b"origin"))
}

//! Which of the fields that the cache looks at are there: one pass over the names of a head, since most heads have fewer
//! fields than there are look-ups to make.

use http::{HeaderMap, HeaderName};

/// A set of fields, made of one head and asked about that head alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Present(u32);

impl Present {
    const NONE: Self = Self(0);
    pub(crate) const UPGRADE: Self = Self(1);
    pub(crate) const TRANSFER_ENCODING: Self = Self(1 << 1);
    const PROXY_AUTHORIZATION: Self = Self(1 << 2);
    const OTHER_OF_CONNECTION: Self = Self(1 << 3);
    const OTHER_CREDENTIAL: Self = Self(1 << 4);
    pub(crate) const CONTENT_LENGTH: Self = Self(1 << 5);
    pub(crate) const RANGE: Self = Self(1 << 6);
    pub(crate) const CACHE_CONTROL: Self = Self(1 << 7);
    /// `If-None-Match` or `If-Modified-Since`.
    pub(crate) const CONDITION: Self = Self(1 << 8);
    pub(crate) const SET_COOKIE: Self = Self(1 << 9);
    pub(crate) const VARY: Self = Self(1 << 10);
    pub(crate) const TAGS: Self = Self(1 << 11);
    pub(crate) const TRACE_ID: Self = Self(1 << 12);
    /// `If-Match` or `If-Unmodified-Since`, which only the service can judge.
    pub(crate) const PRECONDITION: Self = Self(1 << 13);
    pub(crate) const CONNECTION: Self = Self(1 << 14);
    /// Fields that concern one connection only.
    pub(crate) const HOP_BY_HOP: Self = Self::OTHER_OF_CONNECTION
        .or(Self::CONNECTION)
        .or(Self::UPGRADE)
        .or(Self::TRANSFER_ENCODING)
        .or(Self::PROXY_AUTHORIZATION);
    /// Fields that are credentials wherever they stand.
    pub(crate) const CREDENTIAL: Self = Self::OTHER_CREDENTIAL.or(Self::PROXY_AUTHORIZATION);

    pub(crate) fn of(headers: &HeaderMap) -> Self {
        headers.keys().fold(Self::NONE, |all, name| all.or(Self::named(name)))
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one of those is there.
    pub(crate) const fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    fn named(name: &HeaderName) -> Self {
        match name.as_str() {
            "upgrade" => Self::UPGRADE,
            "transfer-encoding" => Self::TRANSFER_ENCODING,
            "proxy-authorization" => Self::PROXY_AUTHORIZATION,
            "connection" => Self::CONNECTION,
            "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "te"
            | "trailer" => Self::OTHER_OF_CONNECTION,
            "authorization" | "cookie" | "x-api-key" | "x-amz-security-token" => Self::OTHER_CREDENTIAL,
            "content-length" => Self::CONTENT_LENGTH,
            "range" => Self::RANGE,
            "cache-control" => Self::CACHE_CONTROL,
            "if-none-match" | "if-modified-since" => Self::CONDITION,
            "if-match" | "if-unmodified-since" => Self::PRECONDITION,
            "set-cookie" => Self::SET_COOKIE,
            "vary" => Self::VARY,
            "surrogate-key" | "cache-tag" => Self::TAGS,
            "x-amzn-trace-id" => Self::TRACE_ID,
            _ => Self::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{answer::HOP_BY_HOP, credentials};
    use http::HeaderValue;

    fn of(names: &[&HeaderName]) -> Present {
        Present::of(&names.iter().map(|name| ((*name).clone(), HeaderValue::from_static("1"))).collect())
    }

    #[test]
    fn a_set_has_what_stands_there_and_nothing_else() {
        let some = of(&[&http::header::VARY, &http::header::ETAG, &http::header::RANGE]);
        assert!(some.any(Present::VARY) && some.any(Present::RANGE));
        assert!(!some.any(Present::CREDENTIAL.or(Present::HOP_BY_HOP).or(Present::CACHE_CONTROL)));
        assert_eq!(of(&[&http::header::ETAG]), of(&[]));
    }

    #[test]
    fn the_lists_of_the_cache_are_in_it() {
        assert!(HOP_BY_HOP.iter().all(|name| of(&[name]).any(Present::HOP_BY_HOP)));
        assert!(credentials::HEADERS.iter().all(|name| of(&[name]).any(Present::CREDENTIAL)));
    }
}

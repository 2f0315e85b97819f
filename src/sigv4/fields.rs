//! The header fields that signatures are about, found in one pass over all.

use http::{HeaderMap, HeaderValue};

/// A field, which may be there once, several times, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Found<'a> {
    #[default]
    Absent,
    Once(&'a HeaderValue),
    Repeated,
}

impl<'a> Found<'a> {
    fn see(&mut self, value: &'a HeaderValue) {
        *self = if *self == Self::Absent { Self::Once(value) } else { Self::Repeated };
    }
}

/// See the module's first line. Looking each up by its name takes twice as long.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) authorization: Found<'a>,
    pub(super) amz_date: Found<'a>,
    pub(super) date: Found<'a>,
    pub(super) host: Found<'a>,
    pub(super) security_token: Found<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                "authorization" => fields.authorization.see(value),
                "x-amz-date" => fields.amz_date.see(value),
                "date" => fields.date.see(value),
                "host" => fields.host.see(value),
                "x-amz-security-token" => fields.security_token.see(value),
                _ => {}
            }
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_repeated_or_absent() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("host", "a"), ("x-amz-date", "1"), ("date", "2"), ("x-amz-date", "1"), ("x", "y")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        let fields = Fields::of(&headers);
        assert_eq!(fields.host, Found::Once(&HeaderValue::from_static("a")));
        assert_eq!(fields.date, Found::Once(&HeaderValue::from_static("2")));
        assert_eq!((fields.amz_date, fields.authorization), (Found::Repeated, Found::Absent));
    }
}

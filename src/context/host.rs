//! The host that a request is for, in the one form in which hosts are compared.

use super::short_text::ShortText;
#[cfg(any(feature = "stage", feature = "mtls"))]
use crate::error::ConfigError;
#[cfg(any(feature = "stage", feature = "mtls"))]
use std::borrow::Cow;

/// A `Host` field.
pub(crate) type HostText = ShortText<46>;

/// `example.com` of `example.com:8080`.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// How a host is compared: without port and one final dot, in lower case. `None` of what is neither a name of labels nor an
/// address in brackets (RFC 3986 section 3.2.2): which domain a service would take it for, nobody knows.
#[cfg(any(feature = "stage", feature = "mtls"))]
pub(crate) fn comparable_host(host: &str) -> Option<Cow<'_, str>> {
    let host = without_port(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    if !is_name(host) && !is_in_brackets(host) {
        return None;
    }
    let is_upper = host.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if is_upper { host.to_ascii_lowercase().into() } else { host.into() })
}

/// Whether a comparable host is of a domain, a name or `*.example.com` for every name of one more label.
#[cfg(any(feature = "stage", feature = "mtls"))]
pub(crate) fn is_of_domain(host: &str, domain: &str) -> bool {
    match domain.strip_prefix("*.") {
        None => domain == host,
        Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
    }
}

/// Refuses the name of a domain that no comparable host is of.
#[cfg(any(feature = "stage", feature = "mtls"))]
pub(crate) fn check_domain(location: &'static str, name: &str) -> Result<(), ConfigError> {
    let is_valid = is_name(name.strip_prefix("*.").unwrap_or(name));
    is_valid.then_some(()).ok_or_else(|| ConfigError::new(location, name, "is not a host name"))
}

#[cfg(any(feature = "stage", feature = "mtls"))]
fn is_name(text: &str) -> bool {
    let is_in_labels = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.split('.').all(|label| !label.is_empty() && label.bytes().all(is_in_labels))
}

#[cfg(any(feature = "stage", feature = "mtls"))]
fn is_in_brackets(text: &str) -> bool {
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_of_address = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.');
    inside.is_some_and(|inside| !inside.is_empty() && inside.bytes().all(is_of_address))
}

#[cfg(all(test, any(feature = "stage", feature = "mtls")))]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_form_or_none() {
        for (given, form) in [
            ("A.Example", Some("a.example")),
            ("a.example.:8443", Some("a.example")),
            ("a.example:", Some("a.example")),
            ("203.0.113.7:80", Some("203.0.113.7")),
            ("[2001:DB8::1]:80", Some("[2001:db8::1]")),
            ("[2001:db8::1]", Some("[2001:db8::1]")),
            ("a.example..", None),
            ("a.example..:443", None),
            (".", None),
            ("", None),
            (":443", None),
            (".a.example", None),
            ("a..example", None),
            ("a.example:1:2", None),
            ("a.example:x", None),
            ("u@a.example", None),
            ("a%2eexample", None),
            (" a.example", None),
            ("[]", None),
            ("[::1", None),
        ] {
            assert_eq!(comparable_host(given).as_deref(), form, "{given:?}");
        }
    }

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(is_of_domain("a.example.com", "*.example.com"));
        for host in ["a.b.example.com", "example.com", "aexample.com"] {
            assert!(!is_of_domain(host, "*.example.com"), "{host}");
        }
    }

    #[test]
    fn a_name_that_no_host_can_be_is_refused() {
        for name in ["a.example", "*.a.example", "203.0.113.7"] {
            assert!(check_domain("domain", name).is_ok(), "{name}");
        }
        for name in
            ["a.example:443", "a.example.", "https://a.example", " a.example", "*", "a.*.example", "*a.b", ""]
        {
            assert_eq!(check_domain("domain", name).unwrap_err().value(), name);
        }
    }
}

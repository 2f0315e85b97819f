//! The signed header fields.

use super::{
    super::{
        encode::{has_blank, has_capital},
        fields::{Fields, Found},
        sink::Sink,
    },
    RequestHead,
};
use http::{HeaderMap, HeaderValue};

/// Why the list of signed names cannot be right, or a field cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Not sorted, repeated, empty, or not in lower case.
    List,
    /// Listed but not sent, or (the host) not sent once.
    Missing,
}

/// Names are in lower case, sorted, and none stands twice: any other list is not what the signer was told to make.
pub(crate) fn check_list(names: &[u8]) -> Result<(), HeaderFault> {
    let mut last: &[u8] = b"";
    for name in listed(names) {
        if name <= last {
            return Err(HeaderFault::List);
        }
        last = name;
    }
    if has_capital(names) { Err(HeaderFault::List) } else { Ok(()) }
}

/// Whether the host is among the signed names.
pub(crate) fn signs_host(names: &[u8]) -> bool {
    names.starts_with(b"host;") || listed(names).any(is_host)
}

/// The names of a list.
pub(crate) fn listed(names: &[u8]) -> impl Iterator<Item = &[u8]> {
    names.split(|byte| *byte == b';')
}

fn is_host(name: &[u8]) -> bool {
    matches!(name, b"host" | b":authority")
}

/// Writes `name:value` lines in the order of the list.
pub(super) fn write_headers(
    sink: &mut impl Sink,
    request: &RequestHead<'_>,
    fields: &Fields<'_>,
    names: &[u8],
) -> Result<(), HeaderFault> {
    for name in listed(names) {
        sink.put(name);
        sink.put_byte(b':');
        match (name, fields.amz_date) {
            (b"x-amz-date", Found::Once(value)) => write_value(sink, value.as_bytes()),
            _ if is_host(name) => write_value(sink, host(request, fields).ok_or(HeaderFault::Missing)?),
            _ => write_fields(sink, request.headers, name)?,
        }
        sink.put_byte(b'\n');
    }
    Ok(())
}

/// The one host of a request: the `Host` field or the authority of the target (HTTP/2); where both are sent they
/// must agree, and two `Host` fields are none.
fn host<'a>(request: &RequestHead<'a>, fields: &Fields<'a>) -> Option<&'a [u8]> {
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (fields.host, authority) {
        (Found::Once(field), None) => Some(field.as_bytes()),
        (Found::Once(field), Some(name)) => {
            Some(field.as_bytes()).filter(|field| field.eq_ignore_ascii_case(name))
        }
        (Found::Absent, authority) => authority,
        (Found::Repeated, _) => None,
    }
}

/// Several fields of one name are joined by commas, in the order received.
fn write_fields(sink: &mut impl Sink, headers: &HeaderMap, name: &[u8]) -> Result<(), HeaderFault> {
    let name = std::str::from_utf8(name).map_err(|_| HeaderFault::Missing)?;
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    write_value(sink, values.next().ok_or(HeaderFault::Missing)?);
    for value in values {
        sink.put_byte(b',');
        write_value(sink, value);
    }
    Ok(())
}

/// Blanks at the ends go, a run of them (a folded line too) becomes one.
fn write_value(sink: &mut impl Sink, value: &[u8]) {
    let value = value.trim_ascii();
    if !has_blank(value) {
        return sink.put(value);
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\r' | b'\n');
    for (index, word) in value.split(is_blank).filter(|word| !word.is_empty()).enumerate() {
        if index > 0 {
            sink.put_byte(b' ');
        }
        sink.put(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Uri, header::HOST};

    fn value(text: &str) -> String {
        let mut out = Vec::new();
        write_value(&mut out, text.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn blanks_are_trimmed_and_collapsed_also_in_quotes_and_folds() {
        assert_eq!(value("  a   b  \"c   d\"  "), r#"a b "c d""#);
        assert_eq!(value("value1\r\n  value2\n     value3"), "value1 value2 value3");
        assert_eq!(value("\ta\tb\t"), "a\tb");
        assert_eq!(value("   "), "");
    }

    #[test]
    fn lists_are_sorted_unique_and_in_lower_case() {
        for list in ["host", "content-type;host;x-amz-date", ":authority;host"] {
            assert_eq!(check_list(list.as_bytes()), Ok(()), "{list}");
        }
        for list in ["", ";host", "host;", "host;host", "x-amz-date;host", "Host", "host;;x-amz-date"] {
            assert_eq!(check_list(list.as_bytes()), Err(HeaderFault::List), "{list}");
        }
        assert!(signs_host(b"a;host") && signs_host(b":authority") && !signs_host(b"a;hosts;ahost"));
    }

    fn host_of(uri: &str, fields: &[&'static str]) -> Option<String> {
        let (uri, mut headers): (Uri, _) = (uri.parse().unwrap(), HeaderMap::new());
        for field in fields {
            headers.append(HOST, HeaderValue::from_static(field));
        }
        let request = RequestHead { method: &Method::GET, uri: &uri, headers: &headers };
        host(&request, &Fields::of(&headers)).map(|host| String::from_utf8(host.to_vec()).unwrap())
    }

    #[test]
    fn there_is_one_host() {
        assert_eq!(host_of("/a", &["h:80"]).as_deref(), Some("h:80"));
        assert_eq!(host_of("https://h/a", &[]).as_deref(), Some("h"));
        assert_eq!(host_of("https://h/a", &["H"]).as_deref(), Some("H"));
        assert_eq!(host_of("https://h/a", &["evil"]), None);
        assert_eq!(host_of("/a", &["h", "h"]), None);
        assert_eq!(host_of("/a", &[]), None);
    }
}

//! Forwarded headers: nobody behind a trusted proxy chooses the address that counts.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use std::{net::IpAddr, sync::LazyLock};
use tower_gateway::context::{ForwardedHeader, TrustedProxies};

static PROXIES: LazyLock<TrustedProxies> =
    LazyLock::new(|| TrustedProxies::new(["10.0.0.0/8", "2001:db8::/32"]).expect("valid networks"));

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const CASES: [(ForwardedHeader, HeaderName, &[u8]); 2] = [
    (ForwardedHeader::XForwardedFor, X_FORWARDED_FOR, b",203.0.113.9"),
    (ForwardedHeader::Forwarded, header::FORWARDED, b",for=203.0.113.9"),
];

fuzz_target!(|values: (&[u8], &[u8], &[u8])| {
    let (values, host) = ((values.0, values.1), values.2);
    let quoted = quoted_host(host);
    let with_host = (ForwardedHeader::Forwarded, header::FORWARDED, quoted.as_slice());
    for (kind, name, appended) in CASES.into_iter().chain([with_host]) {
        let proxies = PROXIES.clone().header(kind);
        let headers = fields(&name, &[values.0, values.1]);
        the_client_is_named_by_the_header(&proxies, &headers);
        an_untrusted_peer_is_the_client(&proxies, &headers);
        what_the_proxy_appends_counts(&proxies, &name, values, appended);
    }
});

/// What a proxy appends that names the client's `Host` too, quoted as RFC 7239 asks.
fn quoted_host(host: &[u8]) -> Vec<u8> {
    let mut element = b",for=203.0.113.9;host=\"".to_vec();
    for byte in host {
        if matches!(byte, b'"' | b'\\') {
            element.push(b'\\');
        }
        element.push(*byte);
    }
    element.push(b'"');
    element
}

fn fields(name: &HeaderName, values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok()) {
        headers.append(name, value);
    }
    headers
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The answer is the peer, or some piece of the header reads as that address.
fn the_client_is_named_by_the_header(proxies: &TrustedProxies, headers: &HeaderMap) {
    let peer = address("10.0.0.1");
    let client = proxies.client(peer, headers);
    let occurs = headers.values().any(|value| mentions(value.as_bytes(), client));
    assert!(client == peer || occurs, "{client} {headers:?}");
}

fn mentions(value: &[u8], client: IpAddr) -> bool {
    let text = String::from_utf8_lossy(value);
    let separator = |character: char| matches!(character, ',' | ';' | '=' | '"' | '[' | ']' | ' ' | '\t');
    text.split(separator).any(|word| reads_as(word, client))
}

fn reads_as(word: &str, client: IpAddr) -> bool {
    let without_port = word.rsplit_once(':').map_or(word, |(host, _port)| host);
    [word, without_port]
        .iter()
        .any(|text| text.parse().is_ok_and(|found: IpAddr| found.to_canonical() == client))
}

fn an_untrusted_peer_is_the_client(proxies: &TrustedProxies, headers: &HeaderMap) {
    let stranger = address("198.51.100.1");
    assert_eq!(proxies.client(stranger, headers), stranger);
}

fn what_the_proxy_appends_counts(
    proxies: &TrustedProxies,
    name: &HeaderName,
    values: (&[u8], &[u8]),
    appended: &[u8],
) {
    let last = [values.1, appended].concat();
    if HeaderValue::from_bytes(&last).is_ok() {
        let headers = fields(name, &[values.0, &last]);
        assert_eq!(proxies.client(address("10.0.0.1"), &headers), address("203.0.113.9"));
    }
}

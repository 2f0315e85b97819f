//! The proxies that are believed about a client's address.

use super::forwarded::{Pieces, forwarded_for};
use crate::error::ConfigError;
use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    sync::Arc,
};

/// The header in which trusted proxies name the client. Exactly one is read: a proxy that writes one of them passes
/// a client's forgery of the other through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, what most proxies write.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), its `for=` parameters.
    Forwarded,
}

/// Proxies whose word on the client's address is taken. The default trusts nobody: the address is the peer's.
///
/// The chain is walked from the right: as long as the address at hand is trusted, the next one to the left is
/// taken; the first that is not trusted is the client. An entry that is not an address ends the walk at the proxy
/// that sent it, and so does a `Forwarded` field whose quotes do not balance. Whatever a client writes stands left of
/// what the proxies write, or inside the quotes of a parameter that they write, and is never reached.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use tower_gateway::context::TrustedProxies;
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8"])?;
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6, 203.0.113.9, 10.0.0.7"));
/// let client = |peer: &str| proxies.client(peer.parse().unwrap(), &headers).to_string();
/// assert_eq!(client("10.0.0.1"), "203.0.113.9");
/// assert_eq!(client("198.51.100.1"), "198.51.100.1", "not a trusted proxy: its header means nothing");
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Arc<[IpNet]>,
    header: ForwardedHeader,
}

impl TrustedProxies {
    /// Trusts the given addresses and networks (`10.0.0.0/8`, `2001:db8::1`).
    ///
    /// # Errors
    ///
    /// Something that is neither an address nor a network.
    pub fn new<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let networks = networks.into_iter().map(parse_network).collect::<Result<_, _>>()?;
        Ok(Self { networks, header: ForwardedHeader::default() })
    }

    /// Which header the proxies write. Default: `X-Forwarded-For`.
    #[must_use]
    pub fn header(mut self, header: ForwardedHeader) -> Self {
        self.header = header;
        self
    }

    /// The client's address, given the connection's peer. IPv4-mapped addresses become IPv4.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        for value in headers.get_all(self.header_name()).iter().rev() {
            let walked = match self.header {
                ForwardedHeader::XForwardedFor => {
                    let entries = value.as_bytes().rsplit(|byte| *byte == b',');
                    self.walk(client, entries.map(|entry| parse_address(text_of(entry)?)))
                }
                ForwardedHeader::Forwarded => {
                    let elements = Pieces::elements(value.as_bytes());
                    self.walk(client, elements.map(|element| parse_address(forwarded_for(element?)?)))
                }
            };
            match walked {
                ControlFlow::Continue(hop) => client = hop,
                ControlFlow::Break(client) => return client,
            }
        }
        client
    }

    /// Goes on from `client` along one field line; breaks with the address at which the chain ends.
    fn walk(
        &self,
        mut client: IpAddr,
        entries: impl Iterator<Item = Option<IpAddr>>,
    ) -> ControlFlow<IpAddr, IpAddr> {
        for entry in entries {
            let Some(address) = entry else { return ControlFlow::Break(client) };
            client = address;
            if !self.trusts(client) {
                return ControlFlow::Break(client);
            }
        }
        ControlFlow::Continue(client)
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    fn header_name(&self) -> HeaderName {
        match self.header {
            ForwardedHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ForwardedHeader::Forwarded => header::FORWARDED,
        }
    }
}

fn text_of(entry: &[u8]) -> Option<&str> {
    std::str::from_utf8(entry).ok().map(|text| text.trim_matches([' ', '\t']))
}

fn parse_network(text: &str) -> Result<IpNet, ConfigError> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let fault = |_| ConfigError::new("trusted proxy", text, "is neither an address nor a network");
    network.map(canonical).map_err(fault)
}

/// IPv4 written as IPv6, as a socket for both shows it, is IPv4: so are the addresses that are compared with it.
fn canonical(network: IpNet) -> IpNet {
    let IpAddr::V6(address) = network.addr() else { return network };
    let mapped = address.to_ipv4_mapped().zip(network.prefix_len().checked_sub(96));
    mapped.and_then(|(address, prefix)| IpNet::new(address.into(), prefix).ok()).unwrap_or(network)
}

/// An address with or without port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    bare().or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn client(header: ForwardedHeader, values: &[&str]) -> String {
        let proxies = TrustedProxies::new(["10.0.0.0/8", "2001:db8::/32"]).unwrap().header(header);
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(proxies.header_name(), HeaderValue::from_str(value).unwrap());
        }
        proxies.client("10.0.0.1".parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn x_forwarded_for_is_walked_from_the_right_over_all_fields() {
        let walk = |values: &[&str]| client(ForwardedHeader::XForwardedFor, values);
        assert_eq!(walk(&[]), "10.0.0.1");
        assert_eq!(walk(&["1.1.1.1"]), "1.1.1.1");
        assert_eq!(walk(&["6.6.6.6, 1.1.1.1", "10.2.2.2,10.3.3.3:443"]), "1.1.1.1");
        assert_eq!(walk(&["1.1.1.1, garbage, 10.2.2.2"]), "10.2.2.2");
        assert_eq!(walk(&["1.1.1.1, , 10.2.2.2"]), "10.2.2.2");
        assert_eq!(walk(&["10.9.9.9, [2001:db8::5]:99"]), "10.9.9.9");
        assert_eq!(walk(&["::ffff:203.0.113.7"]), "203.0.113.7");
    }

    #[test]
    fn forwarded_takes_one_for_per_element() {
        let walk = |values: &[&str]| client(ForwardedHeader::Forwarded, values);
        assert_eq!(walk(&["for=1.1.1.1;proto=https, For=\"[2001:db8::1]:4711\""]), "1.1.1.1");
        assert_eq!(walk(&["for=1.1.1.1, for=unknown"]), "10.0.0.1");
        assert_eq!(walk(&["for=1.1.1.1, for=_hidden"]), "10.0.0.1");
        assert_eq!(walk(&["for=1.1.1.1;for=2.2.2.2"]), "10.0.0.1");
        assert_eq!(walk(&["proto=http"]), "10.0.0.1");
    }

    /// RFC 7239 has a proxy quote a `Host` that is no token, and a client chooses it.
    #[test]
    fn what_a_proxy_quotes_of_a_client_is_no_element() {
        let walk = |values: &[&str]| client(ForwardedHeader::Forwarded, values);
        assert_eq!(walk(&[r#"for=203.0.113.9;host="a,for=6.6.6.6;b""#]), "203.0.113.9");
        assert_eq!(walk(&[r#"for=203.0.113.9;host="a;for=6.6.6.6;b""#]), "203.0.113.9");
        assert_eq!(walk(&[r#"for=203.0.113.9;host="\",for=6.6.6.6,\"""#]), "203.0.113.9");
        assert_eq!(walk(&[r#"for=6.6.6.6;host="a, for=203.0.113.9;host="b", for=10.0.0.2"#]), "203.0.113.9");
        assert_eq!(walk(&[r#"for=6.6.6.6;host="a, for=10.0.0.2"#]), "10.0.0.2", "an odd quote ends the walk");
        assert_eq!(walk(&["for=6.6.6.6", r#"for=10.0.0.3", for=10.0.0.2"#]), "10.0.0.2");
    }

    #[test]
    fn mapped_addresses_and_networks_are_those_of_ipv4() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.9, ::ffff:10.1.2.3"));
        for trusted in ["::ffff:10.0.0.0/104", "10.0.0.0/8"] {
            let proxies = TrustedProxies::new([trusted]).unwrap();
            for peer in ["10.0.0.1", "::ffff:10.0.0.1"] {
                let client = proxies.client(peer.parse().unwrap(), &headers);
                assert_eq!(client.to_string(), "203.0.113.9", "{trusted} {peer}");
            }
        }
        let one = TrustedProxies::new(["::ffff:10.0.0.1"]).unwrap();
        assert_eq!(one.client("10.0.0.1".parse().unwrap(), &headers).to_string(), "10.1.2.3");
        let everybody = TrustedProxies::new(["::/0"]).unwrap();
        assert_eq!(everybody.client("10.0.0.1".parse().unwrap(), &headers).to_string(), "10.0.0.1");
    }

    #[test]
    fn nobody_is_trusted_by_default_and_nonsense_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
        let peer = "127.0.0.1".parse().unwrap();
        assert_eq!(TrustedProxies::default().client(peer, &headers), peer);
        assert_eq!(TrustedProxies::new(["10.0.0.0/99"]).unwrap_err().value(), "10.0.0.0/99");
    }

    proptest! {
        /// What a client prepends, to the line or as lines of its own, and what a proxy quotes of it never change the
        /// outcome once a proxy has appended an untrusted address.
        #[test]
        fn a_prefix_never_matters(prefix in "[ -~]{0,40}", odd in "[\",;=\\\\a ]{0,12}", host in "[\",;=\\\\a ]{0,12}") {
            let escaped = host.replace('\\', "\\\\").replace('"', "\\\"");
            let quoted = format!("for=203.0.113.9;host=\"{escaped},for=6.6.6.6;\";proto=https");
            let appended = [
                (ForwardedHeader::XForwardedFor, "203.0.113.9"),
                (ForwardedHeader::Forwarded, "for=203.0.113.9"),
                (ForwardedHeader::Forwarded, &quoted),
            ];
            for (header, suffix) in appended {
                for prefix in [&prefix, &odd, &format!("for=6.6.6.6;host=\"{odd}")] {
                    prop_assert_eq!(client(header, &[&format!("{prefix},{suffix}")]), "203.0.113.9");
                    prop_assert_eq!(client(header, &[prefix, suffix]), "203.0.113.9");
                }
            }
        }
    }
}

//! What a request says about the global condition keys: the context, two headers, and where it came in.

use super::{ConditionKey, ConditionKeys, ConditionValue};
use crate::context::{Ingress, RequestContext};
use http::{Extensions, HeaderMap, HeaderName, header};

/// What the keys of a client certificate begin with. AWS documents none.
#[cfg(feature = "mtls")]
const CLIENT_CERTIFICATE: &str = "context:identity.clientCert.";

/// The condition keys of a request, read where they are asked for.
///
/// | key | value |
/// |---|---|
/// | `aws:CurrentTime`, `aws:EpochTime` | when the first of our layers saw the request, in whole seconds |
/// | `aws:SourceIp` | [`RequestContext::source_ip`]; absent for a call through a [private](Ingress::private) entry |
/// | `aws:SecureTransport` | what [`Ingress`] says; `false` where nobody says anything |
/// | `aws:SourceVpc`, `aws:SourceVpce`, `aws:VpcSourceIp` | what [`Ingress`] says |
/// | `aws:Referer`, `aws:UserAgent` | the header, if it is there once; two fields, or bytes that are not UTF-8, are [unreadable](ConditionValue::Unreadable). Clients can write what they like into both |
/// | `context:identity.clientCert.subjectDN`, `.issuerDN`, `.serialNumber`, `.validity.notBefore`, `.validity.notAfter`, `.clientCertPem` | what [`ClientCertificate`](crate::context::ClientCertificate) says (feature `mtls`); absent without a certificate. AWS has no such keys; these are named after its `$context` variables |
///
/// Keys of the caller (`aws:PrincipalArn` and others) come from whoever established the caller; join both as a pair:
/// `(caller, RequestKeys::new(..))`.
#[derive(Clone, Copy, Debug)]
pub struct RequestKeys<'a> {
    context: &'a RequestContext,
    headers: &'a HeaderMap,
    ingress: Option<&'a Ingress>,
}

impl<'a> RequestKeys<'a> {
    /// The keys of one request, given its context, headers and extensions.
    pub fn new(context: &'a RequestContext, headers: &'a HeaderMap, extensions: &'a Extensions) -> Self {
        Self { context, headers, ingress: extensions.get() }
    }

    /// Whether the call came through a VPC endpoint.
    #[cfg(any(feature = "sigv4", feature = "authorizer"))]
    pub(crate) fn is_private(&self) -> bool {
        self.ingress.is_some_and(Ingress::is_private)
    }

    #[cfg(feature = "mtls")]
    fn client_certificate(&self, key: &str) -> Option<ConditionValue<'_>> {
        let (prefix, field) = key.split_at_checked(CLIENT_CERTIFICATE.len())?;
        let certificate =
            self.context.client_certificate().filter(|_| prefix.eq_ignore_ascii_case(CLIENT_CERTIFICATE))?;
        certificate.condition_value(field).map(ConditionValue::Text)
    }

    fn header(&self, name: &HeaderName) -> Option<ConditionValue<'_>> {
        let mut fields = self.headers.get_all(name).iter();
        let first = fields.next()?;
        let text = std::str::from_utf8(first.as_bytes()).ok().filter(|_| fields.next().is_none());
        Some(text.map_or(ConditionValue::Unreadable, ConditionValue::Text))
    }

    fn source_ip(&self) -> Option<ConditionValue<'_>> {
        let is_private = self.ingress.is_some_and(Ingress::is_private);
        self.context.source_ip().filter(|_| !is_private).map(ConditionValue::Ip)
    }
}

impl ConditionKeys for RequestKeys<'_> {
    fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>> {
        match key {
            ConditionKey::CurrentTime | ConditionKey::EpochTime => {
                Some(ConditionValue::Time(self.context.arrived().unix_seconds()))
            }
            ConditionKey::SourceIp => self.source_ip(),
            ConditionKey::SecureTransport => {
                Some(ConditionValue::Bool(self.ingress.is_some_and(Ingress::is_secure)))
            }
            ConditionKey::SourceVpc => self.ingress?.vpc_id().map(ConditionValue::Text),
            ConditionKey::SourceVpce => self.ingress?.vpc_endpoint_id().map(ConditionValue::Text),
            ConditionKey::VpcSourceIp => self.ingress?.vpc_source_ip().map(ConditionValue::Ip),
            ConditionKey::Referer => self.header(&header::REFERER),
            ConditionKey::UserAgent => self.header(&header::USER_AGENT),
            #[cfg(feature = "mtls")]
            ConditionKey::Other(name) => self.client_certificate(name),
            _ => None,
        }
    }
}

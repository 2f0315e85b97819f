//! Who is calling by the client certificate of the connection: `$context.identity.clientCert`.

use super::variables::{MONTHS, civil_from_days};
use crate::ConfigError;
#[cfg(feature = "cache")]
use std::sync::OnceLock;
use std::{
    fmt::{self, Write},
    sync::Arc,
};
use x509_parser::{
    certificate::X509Certificate,
    prelude::{FromDer, X509Name},
    time::ASN1Time,
};

/// Longest chain, the client's own certificate included (API Gateway quotas).
const MAX_CHAIN: usize = 4;
/// What [`ClientCertificate::variable`] knows.
#[cfg(feature = "policy")]
const FIELDS: [&str; 6] =
    ["clientCertPem", "subjectDN", "issuerDN", "serialNumber", "validity.notBefore", "validity.notAfter"];
/// Bytes of a line of base64 in PEM: 64 characters.
const PEM_LINE: usize = 48;

/// The certificate with which a client proved who it is (mutual TLS).
///
/// Made by the listener, once a connection, from the chain that its TLS library has **verified** against the trust
/// store, and put into the extensions of every request of that connection. Nothing here verifies anything: a chain
/// that was not verified must not be given.
///
/// What AWS prints: names as `C=US,O=Example,CN=client`, in the order of the certificate; the serial number as pairs
/// of hexadecimal digits joined by colons; times as `May 28 12:30:02 2019 GMT`, the day padded with a space.
///
/// ```
/// use http::Request;
/// use tower_gateway::{ConfigError, context::ClientCertificate};
///
/// // With rustls, `verified_chain` is `connection.peer_certificates()` of a server that has a client verifier.
/// fn listener(verified_chain: &[Vec<u8>], request: &mut Request<()>) -> Result<(), ConfigError> {
///     let certificate = ClientCertificate::from_verified_chain(verified_chain)?;
///     request.extensions_mut().insert(certificate);
///     Ok(())
/// }
///
/// // What is no certificate is not taken for one.
/// let mut request = Request::new(());
/// assert!(listener(&[b"not DER".to_vec()], &mut request).is_err());
/// assert!(request.extensions().is_empty());
/// ```
#[derive(Clone)]
pub struct ClientCertificate(Arc<Inner>);

struct Inner {
    pem: String,
    subject: String,
    issuer: String,
    serial: String,
    not_before: String,
    not_after: String,
    server_name: Option<Box<str>>,
    /// Made when it is asked for, once a connection.
    #[cfg(feature = "cache")]
    digest: OnceLock<[u8; 32]>,
}

impl ClientCertificate {
    /// Reads the client's certificate: the first of the chain, as the TLS library verified it; all in DER.
    ///
    /// # Errors
    ///
    /// An empty chain, one of more than four certificates, or a first certificate that is not X.509 in DER.
    pub fn from_verified_chain<T: AsRef<[u8]>>(chain: &[T]) -> Result<Self, ConfigError> {
        if chain.len() > MAX_CHAIN {
            return Err(ConfigError::new(
                "client certificate",
                chain.len(),
                "a chain of at most 4 certificates",
            ));
        }
        let der = chain.first().map(AsRef::as_ref).unwrap_or_default();
        let (rest, certificate) = X509Certificate::from_der(der)
            .map_err(|_| ConfigError::new("client certificate", "(not shown)", "not X.509 in DER"))?;
        if !rest.is_empty() {
            return Err(ConfigError::new(
                "client certificate",
                "(not shown)",
                "more than one certificate in one",
            ));
        }
        Ok(Self(Arc::new(Inner::read(&certificate, der))))
    }

    /// Notes the name of the server that the client asked for in the handshake (SNI), so that
    /// [`MutualTlsLayer`](crate::mtls::MutualTlsLayer) can refuse a request for another host on this connection.
    #[must_use]
    pub fn with_server_name(self, name: &str) -> Self {
        let Inner { pem, subject, issuer, serial, not_before, not_after, .. } = &*self.0;
        Self(Arc::new(Inner {
            pem: pem.clone(),
            subject: subject.clone(),
            issuer: issuer.clone(),
            serial: serial.clone(),
            not_before: not_before.clone(),
            not_after: not_after.clone(),
            server_name: Some(name.to_ascii_lowercase().into()),
            #[cfg(feature = "cache")]
            digest: OnceLock::new(),
        }))
    }

    /// The SHA-256 of the certificate's text.
    #[cfg(feature = "cache")]
    pub(crate) fn digest(&self) -> &[u8; 32] {
        use sha2::Digest as _;
        self.0.digest.get_or_init(|| sha2::Sha256::digest(&self.0.pem).into())
    }

    /// `$context.identity.clientCert.clientCertPem`.
    pub fn pem(&self) -> &str {
        &self.0.pem
    }

    /// `$context.identity.clientCert.subjectDN`.
    pub fn subject_dn(&self) -> &str {
        &self.0.subject
    }

    /// `$context.identity.clientCert.issuerDN`.
    pub fn issuer_dn(&self) -> &str {
        &self.0.issuer
    }

    /// `$context.identity.clientCert.serialNumber`.
    pub fn serial_number(&self) -> &str {
        &self.0.serial
    }

    /// `$context.identity.clientCert.validity.notBefore`.
    pub fn not_before(&self) -> &str {
        &self.0.not_before
    }

    /// `$context.identity.clientCert.validity.notAfter`.
    pub fn not_after(&self) -> &str {
        &self.0.not_after
    }

    /// The name of the server that the client asked for, in lower case.
    pub fn server_name(&self) -> Option<&str> {
        self.0.server_name.as_deref()
    }

    /// The same for a condition key, whose name has no case.
    #[cfg(feature = "policy")]
    pub(crate) fn condition_value(&self, field: &str) -> Option<&str> {
        let named = |name: &&&str| name.eq_ignore_ascii_case(field);
        FIELDS.iter().find(named).and_then(|name| self.variable(name))
    }

    /// `$context.identity.clientCert.<field>`.
    pub(super) fn variable(&self, field: &str) -> Option<&str> {
        Some(match field {
            "clientCertPem" => self.pem(),
            "subjectDN" => self.subject_dn(),
            "issuerDN" => self.issuer_dn(),
            "serialNumber" => self.serial_number(),
            "validity.notBefore" => self.not_before(),
            "validity.notAfter" => self.not_after(),
            _ => return None,
        })
    }
}

impl Inner {
    fn read(certificate: &X509Certificate<'_>, der: &[u8]) -> Self {
        Self {
            pem: pem(der),
            subject: distinguished_name(certificate.subject()),
            issuer: distinguished_name(certificate.issuer()),
            serial: serial_number(certificate.raw_serial()),
            not_before: time_text(&certificate.validity().not_before),
            not_after: time_text(&certificate.validity().not_after),
            server_name: None,
            #[cfg(feature = "cache")]
            digest: OnceLock::new(),
        }
    }
}

/// The names of the attributes that have one (RFC 4514 section 3, and what AWS's TLS library adds).
const ATTRIBUTES: [(&str, &str); 12] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// `C=US,O=Example,CN=client`. Characters that have a meaning there are escaped (RFC 4514 section 2.4), so that a
/// value cannot pass for another attribute.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for part in name.iter() {
        for (index, attribute) in part.iter().enumerate() {
            if !text.is_empty() {
                text.push(if index == 0 { ',' } else { '+' });
            }
            let oid = attribute.attr_type().to_id_string();
            let known = ATTRIBUTES.iter().find(|(own, _)| *own == oid).map(|(_, name)| *name);
            text.push_str(known.unwrap_or(&oid));
            text.push('=');
            match attribute.as_str() {
                Ok(value) => escape(value, &mut text),
                Err(_) => hex(attribute.as_slice(), &mut text),
            }
        }
    }
    text
}

fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        let is_special = matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=');
        let is_edge = (index == 0 && matches!(character, ' ' | '#')) || (index == last && character == ' ');
        if is_special || is_edge {
            text.push('\\');
        }
        if character.is_control() {
            let _infallible = write!(text, "\\{:02X}", u32::from(character));
        } else {
            text.push(character);
        }
    }
}

fn hex(bytes: &[u8], text: &mut String) {
    text.push('#');
    bytes.iter().for_each(|byte| {
        let _infallible = write!(text, "{byte:02x}");
    });
}

/// `a1:0b:…`, the bytes of the number without a leading zero that only keeps it positive.
fn serial_number(bytes: &[u8]) -> String {
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// `May 28 12:30:02 2019 GMT`; a day of one digit is padded with a space.
fn time_text(time: &ASN1Time) -> String {
    let seconds = time.timestamp();
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{} {day:2} {hour:02}:{minute:02}:{second:02} {year} GMT", MONTHS[month - 1])
}

/// RFC 7468, with a line break at the end.
fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(PEM_LINE) {
        base64(line, &mut text);
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// RFC 4648 section 4. Few lines, so that the feature needs no library for them.
fn base64(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let value = group.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..4_usize {
            let digit = DIGITS[(value >> (18 - 6 * index) & 63) as usize];
            text.push(if index <= group.len() { char::from(digit) } else { '=' });
        }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("subject_dn", &self.subject_dn())
            .field("serial_number", &self.serial_number())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber, date_time_ymd};

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "US");
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.not_before = date_time_ymd(2019, 5, 28);
        params.not_after = date_time_ymd(2031, 8, 5);
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn fields_read_as_on_aws() {
        let der = certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "www.example.com");
            params.serial_number = Some(SerialNumber::from(vec![0xa1, 0x0b, 0xff]));
        });
        let found = ClientCertificate::from_verified_chain(&[&der]).unwrap();
        assert_eq!(found.subject_dn(), "C=US,O=Example,CN=www.example.com");
        assert_eq!(found.issuer_dn(), found.subject_dn());
        assert_eq!(found.serial_number(), "a1:0b:ff");
        assert_eq!(found.not_before(), "May 28 00:00:00 2019 GMT");
        assert_eq!(found.not_after(), "Aug  5 00:00:00 2031 GMT");
        let (_, read) = x509_parser::pem::parse_x509_pem(found.pem().as_bytes()).unwrap();
        assert_eq!(read.contents, der);
        assert!(found.pem().lines().all(|line| line.len() <= 64) && found.pem().ends_with("-----\n"));
    }

    #[test]
    fn a_name_cannot_pass_for_two() {
        let der =
            certificate(|params| params.distinguished_name.push(DnType::CommonName, "x,CN=admin+O=\"a\\b"));
        let found = ClientCertificate::from_verified_chain(&[der]).unwrap();
        assert_eq!(found.subject_dn(), r#"C=US,O=Example,CN=x\,CN\=admin\+O\=\"a\\b"#);
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        let der = certificate(|_| {});
        assert!(ClientCertificate::from_verified_chain::<Vec<u8>>(&[]).is_err());
        assert!(ClientCertificate::from_verified_chain(&[b"no"]).is_err());
        assert!(ClientCertificate::from_verified_chain(&[[der.clone(), der.clone()].concat()]).is_err());
        assert!(ClientCertificate::from_verified_chain(&vec![der.clone(); 4]).is_ok());
        assert!(ClientCertificate::from_verified_chain(&vec![der.clone(); 5]).is_err());
        for length in 0..der.len() {
            assert!(ClientCertificate::from_verified_chain(&[&der[..length]]).is_err());
        }
    }

    #[test]
    fn base64_pads() {
        for (bytes, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            let mut text = String::new();
            base64(bytes.as_bytes(), &mut text);
            assert_eq!(text, expected);
        }
    }
}

//! Keys that verify, parsed once, and what they do: aws-lc.
//!
//! The one file that knows the library. `jsonwebtoken` has the same one inside, but takes an RSA key apart again for
//! every token (2.2 of 17.6 microseconds) and knows no ES512; it is the second opinion of the tests.

use super::{algorithm::Algorithm, error::JwtError};
use aws_lc_rs::{
    hmac,
    signature::{self, EcdsaVerificationAlgorithm, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents},
};

/// A key for exactly one algorithm.
#[derive(Debug)]
pub(super) enum VerifyingKey {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

impl VerifyingKey {
    /// An RSA key of 2048 to 8192 bits (RFC 7518 section 3.3 asks for at least 2048).
    pub(super) fn rsa(algorithm: Algorithm, n: &[u8], e: &[u8]) -> Option<Self> {
        let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa_parameters(algorithm)?).ok()?;
        Some(Self::Public(key))
    }

    /// A point of the algorithm's curve.
    pub(super) fn ec(algorithm: Algorithm, x: &[u8], y: &[u8]) -> Option<Self> {
        let (parameters, length) = ec_parameters(algorithm)?;
        if x.len() != length || y.len() != length {
            return None;
        }
        let point = [&[4], x, y].concat();
        ParsedPublicKey::new(parameters, point).ok().map(Self::Public)
    }

    pub(super) fn ed25519(x: &[u8]) -> Option<Self> {
        if x.len() != 32 {
            return None;
        }
        ParsedPublicKey::new(&signature::ED25519, x).ok().map(Self::Public)
    }

    /// A secret at least as long as the algorithm's hash (RFC 7518 section 3.2).
    pub(super) fn secret(algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        let (parameters, length) = mac_parameters(algorithm)?;
        (secret.len() >= length).then(|| Self::Secret(Box::new(hmac::Key::new(parameters, secret))))
    }

    pub(super) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), JwtError> {
        match self {
            Self::Public(key) => key.verify_sig(signed, signature),
            Self::Secret(key) => hmac::verify(key, signed, signature),
        }
        .map_err(|_| JwtError::Signature)
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// The curve, and the length of a coordinate in bytes.
fn ec_parameters(algorithm: Algorithm) -> Option<(&'static EcdsaVerificationAlgorithm, usize)> {
    Some(match algorithm {
        Algorithm::Es256 => (&signature::ECDSA_P256_SHA256_FIXED, 32),
        Algorithm::Es384 => (&signature::ECDSA_P384_SHA384_FIXED, 48),
        Algorithm::Es512 => (&signature::ECDSA_P521_SHA512_FIXED, 66),
        _ => return None,
    })
}

fn mac_parameters(algorithm: Algorithm) -> Option<(hmac::Algorithm, usize)> {
    Some(match algorithm {
        Algorithm::Hs256 => (hmac::HMAC_SHA256, 32),
        Algorithm::Hs384 => (hmac::HMAC_SHA384, 48),
        Algorithm::Hs512 => (hmac::HMAC_SHA512, 64),
        _ => return None,
    })
}

//! One JSON Web Key (RFC 7517): whether it may verify signatures, and with which algorithms.

use super::{
    algorithm::{Algorithm, Algorithms},
    roca,
    signature::VerifyingKey,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};
use std::{borrow::Cow, fmt};

/// A key that may verify: its name, and one prepared key for each algorithm.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) kid: Option<Box<str>>,
    pub(super) by_algorithm: Vec<(Algorithm, VerifyingKey)>,
}

/// Which keys a document may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Public keys: what an issuer publishes.
    Public,
    /// Shared secrets: what the operator configures.
    Secret,
}

/// Why a key of a set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JwkProblem {
    /// Not a JWK: a member is missing, of the wrong type, twice, or not base64url.
    Malformed,
    /// `kty` or `crv` is none that signs with an algorithm of [`Algorithm`].
    Unsupported,
    /// `use` is not `sig`.
    Use,
    /// `key_ops` is without `verify`.
    KeyOps,
    /// `alg` is no signature algorithm, or not one of this kind of key.
    Alg,
    /// The private part of a key: published by mistake, and so no longer worth trust.
    Private,
    /// A secret among public keys, or a public key among secrets.
    Mixed,
    /// Too short: RSA below 2048 bits, a secret below the length of the hash.
    TooShort,
    /// Not a key: no point of the curve, an RSA modulus that can be factored (ROCA).
    Weak,
    /// Another key has the same `kid` for the same algorithm; neither is used.
    Ambiguous,
}

impl fmt::Display for JwkProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a JWK",
            Self::Unsupported => "neither a kind of key nor a curve that is supported",
            Self::Use => "`use` is not `sig`",
            Self::KeyOps => "`key_ops` is without `verify`",
            Self::Alg => "`alg` is not a signature algorithm of this kind of key",
            Self::Private => "the private part is in it",
            Self::Mixed => "secret and public keys do not mix",
            Self::TooShort => "the key is too short",
            Self::Weak => "the key is weak or no key at all",
            Self::Ambiguous => "another key has the same `kid`",
        })
    }
}

/// The members that matter; others are ignored (RFC 7517 section 4).
#[derive(Deserialize)]
pub(super) struct Jwk<'t> {
    #[serde(borrow)]
    kty: Cow<'t, str>,
    #[serde(borrow)]
    kid: Option<Cow<'t, str>>,
    #[serde(borrow, rename = "use")]
    public_key_use: Option<Cow<'t, str>>,
    #[serde(borrow)]
    key_ops: Option<Vec<Cow<'t, str>>>,
    #[serde(borrow)]
    alg: Option<Cow<'t, str>>,
    #[serde(borrow)]
    crv: Option<Cow<'t, str>>,
    #[serde(borrow)]
    n: Option<Cow<'t, str>>,
    #[serde(borrow)]
    e: Option<Cow<'t, str>>,
    #[serde(borrow)]
    x: Option<Cow<'t, str>>,
    #[serde(borrow)]
    y: Option<Cow<'t, str>>,
    #[serde(borrow)]
    k: Option<Cow<'t, str>>,
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
}

impl Jwk<'_> {
    /// The key's name, for reports.
    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn into_key(self, kind: Kind) -> Result<Key, JwkProblem> {
        self.check_purpose(kind)?;
        let algorithms = self.algorithms()?;
        let mut by_algorithm = Vec::new();
        for algorithm in algorithms.iter() {
            if let Some(key) = self.prepare(algorithm)? {
                by_algorithm.push((algorithm, key));
            }
        }
        if by_algorithm.is_empty() {
            return Err(self.why_none());
        }
        Ok(Key { kid: self.kid.map(|kid| kid.into_owned().into()), by_algorithm })
    }

    fn check_purpose(&self, kind: Kind) -> Result<(), JwkProblem> {
        if (self.kty == "oct") != (kind == Kind::Secret) {
            return Err(JwkProblem::Mixed);
        }
        if self.d.is_some() || self.p.is_some() || self.q.is_some() || (self.k.is_some() && self.kty != "oct")
        {
            return Err(JwkProblem::Private);
        }
        if self.public_key_use.as_ref().is_some_and(|purpose| purpose != "sig") {
            return Err(JwkProblem::Use);
        }
        if self.key_ops.as_ref().is_some_and(|operations| operations.iter().all(|name| name != "verify")) {
            return Err(JwkProblem::KeyOps);
        }
        Ok(())
    }

    /// The algorithms of this kind of key, narrowed by its `alg`.
    fn algorithms(&self) -> Result<Algorithms, JwkProblem> {
        use Algorithm as A;
        let fitting = match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => Algorithms::of(&[A::Rs256, A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512]),
            ("EC", Some("P-256")) => Algorithms::of(&[A::Es256]),
            ("EC", Some("P-384")) => Algorithms::of(&[A::Es384]),
            ("EC", Some("P-521")) => Algorithms::of(&[A::Es512]),
            ("OKP", Some("Ed25519")) => Algorithms::of(&[A::EdDsa]),
            ("oct", _) => Algorithms::of(&[A::Hs256, A::Hs384, A::Hs512]),
            _ => return Err(JwkProblem::Unsupported),
        };
        let Some(name) = self.alg.as_deref() else { return Ok(fitting) };
        // Keys for P-521 are seen with the curve's number in the name; Wycheproof counts them as valid.
        let name = if name == "ES521" { "ES512" } else { name };
        let named = Algorithm::named(name).filter(|algorithm| fitting.contains(*algorithm));
        named.map(|algorithm| Algorithms::of(&[algorithm])).ok_or(JwkProblem::Alg)
    }

    /// `None` where the material does not do for this algorithm.
    fn prepare(&self, algorithm: Algorithm) -> Result<Option<VerifyingKey>, JwkProblem> {
        Ok(match &*self.kty {
            "RSA" => {
                let n = decode(self.n.as_ref())?;
                let e = decode(self.e.as_ref())?;
                is_sound_rsa(&n, &e)?;
                VerifyingKey::rsa(algorithm, &n, &e)
            }
            "EC" => VerifyingKey::ec(algorithm, &decode(self.x.as_ref())?, &decode(self.y.as_ref())?),
            "OKP" => VerifyingKey::ed25519(&decode(self.x.as_ref())?),
            _ => VerifyingKey::secret(algorithm, &decode(self.k.as_ref())?),
        })
    }

    fn why_none(&self) -> JwkProblem {
        if self.kty == "oct" { JwkProblem::TooShort } else { JwkProblem::Weak }
    }
}

fn decode(text: Option<&Cow<'_, str>>) -> Result<Vec<u8>, JwkProblem> {
    let text = text.ok_or(JwkProblem::Malformed)?;
    URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(|_| JwkProblem::Malformed)
}

/// An exponent of 1 would make every message its own signature.
fn is_sound_rsa(n: &[u8], e: &[u8]) -> Result<(), JwkProblem> {
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if bits < 2048 {
        return Err(JwkProblem::TooShort);
    }
    if bits > 8192 {
        return Err(JwkProblem::Unsupported);
    }
    let is_odd = e.last().is_some_and(|last| last & 1 == 1);
    if !is_odd || matches!(e, [.., 1] if e[..e.len() - 1].iter().all(|byte| *byte == 0)) || roca::is_weak(n) {
        return Err(JwkProblem::Weak);
    }
    Ok(())
}

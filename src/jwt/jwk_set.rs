//! A set of keys (RFC 7517 section 5), parsed once.

use super::{
    algorithm::{Algorithm, Algorithms},
    error::{AlgorithmName, JwtError},
    jwk::{Jwk, JwkProblem, Key, Kind},
    segments::Segments,
    signature::VerifyingKey,
};
use crate::ConfigError;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};

/// The keys of one issuer, parsed. Immutable, cheap to clone; `Debug` shows names only.
///
/// ```
/// use tower_gateway::jwt::{JwkProblem, JwkSet};
///
/// let set = JwkSet::from_json(r#"{"keys":[{"kty":"RSA","kid":"a","use":"enc","n":"AQAB","e":"AQAB"}]}"#)?;
/// assert_eq!(set.len(), 0);
/// assert_eq!((set.unused()[0].kid(), set.unused()[0].problem()), (Some("a"), JwkProblem::Use));
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct JwkSet(Arc<Inner>);

struct Inner {
    keys: Vec<Key>,
    unused: Vec<UnusedJwk>,
    /// Of the document: an issuer that sends the same again has changed nothing.
    digest: [u8; 32],
}

/// A key of a set that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusedJwk {
    kid: Option<Box<str>>,
    problem: JwkProblem,
}

impl UnusedJwk {
    /// The key's name, where it could be read.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Why it is not used.
    pub fn problem(&self) -> JwkProblem {
        self.problem
    }
}

#[derive(Deserialize)]
struct Document<'t> {
    #[serde(borrow)]
    keys: Vec<&'t RawValue>,
}

impl JwkSet {
    /// The public keys of a JWK set. Keys that are not for verifying signatures, that are private, secret, weak,
    /// ambiguous or of an unknown kind are left out, and listed by [`unused`](Self::unused).
    ///
    /// # Errors
    ///
    /// The text is not a JWK set.
    pub fn from_json(json: &str) -> Result<Self, ConfigError> {
        Self::parse(json, Kind::Public).ok_or_else(not_a_set)
    }

    /// Shared secrets (`kty` `oct`) for HS256, HS384 and HS512: for an issuer that is part of your own system.
    /// Everybody who can verify with these can sign with them. Public keys are left out.
    ///
    /// # Errors
    ///
    /// The text is not a JWK set.
    pub fn secrets_from_json(json: &str) -> Result<Self, ConfigError> {
        Self::parse(json, Kind::Secret).ok_or_else(not_a_set)
    }

    pub(super) fn parse(json: &str, kind: Kind) -> Option<Self> {
        let document: Document<'_> = serde_json::from_str(json).ok()?;
        let mut inner =
            Inner { keys: Vec::new(), unused: Vec::new(), digest: Sha256::digest(json.as_bytes()).into() };
        document.keys.iter().for_each(|jwk| inner.add(jwk.get(), kind));
        inner.drop_ambiguous();
        Some(Self(Arc::new(inner)))
    }

    /// How many keys are used.
    pub fn len(&self) -> usize {
        self.0.keys.len()
    }

    /// Whether no key is used: every token is refused.
    pub fn is_empty(&self) -> bool {
        self.0.keys.is_empty()
    }

    /// The keys that are left out.
    pub fn unused(&self) -> &[UnusedJwk] {
        &self.0.unused
    }

    pub(super) fn is_same_document(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }

    /// The key that a token names. One without `kid` fits only a set of a single key.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&VerifyingKey, JwtError> {
        let keys = &self.0.keys;
        let mut of_name = keys.iter().filter(|key| match kid {
            Some(kid) => key.kid.as_deref() == Some(kid),
            None => keys.len() == 1,
        });
        let mut found = Err(JwtError::UnknownKey);
        for key in &mut of_name {
            match key.by_algorithm.iter().find(|(own, _)| *own == algorithm) {
                Some((_, key)) => return Ok(key),
                None => found = Err(JwtError::Algorithm(AlgorithmName::of(algorithm.as_str()))),
            }
        }
        found
    }

    /// Verifies a JWS in compact form and gives back its payload; no claim is looked at. For payloads that are not
    /// JWTs; an authorizer does more.
    ///
    /// # Errors
    ///
    /// Why the token is refused.
    pub fn verify(&self, token: &[u8], algorithms: &[Algorithm]) -> Result<Vec<u8>, JwtError> {
        let parts = Segments::split(token)?;
        self.verify_parts(&parts, Algorithms::of(algorithms))?;
        parts.payload()
    }

    pub(super) fn verify_parts(&self, parts: &Segments<'_>, allowed: Algorithms) -> Result<(), JwtError> {
        let key = parts.with_header(|header| {
            let algorithm = header.algorithm(|algorithm| allowed.contains(algorithm))?;
            self.find(header.kid()?.as_deref(), algorithm)
        })?;
        parts.with_signature(|signature| key.verify(parts.signed, signature))
    }
}

fn not_a_set() -> ConfigError {
    // The document may hold secrets: it is not repeated.
    ConfigError::new("JWK set", "(not shown)", "not a JSON object with an array `keys`")
}

impl Inner {
    fn add(&mut self, json: &str, kind: Kind) {
        let Ok(jwk) = serde_json::from_str::<Jwk<'_>>(json) else {
            self.unused.push(UnusedJwk { kid: None, problem: JwkProblem::Malformed });
            return;
        };
        let kid = jwk.kid().map(Into::into);
        match jwk.into_key(kind) {
            Ok(key) => self.keys.push(key),
            Err(problem) => self.unused.push(UnusedJwk { kid, problem }),
        }
    }

    /// Two keys of one name may only differ in their algorithms (RFC 7517 section 4.5).
    fn drop_ambiguous(&mut self) {
        let names: Vec<_> = self.keys.iter().map(|key| (key.kid.clone(), key.algorithms())).collect();
        let clashes = |kid: &Option<Box<str>>, algorithms: Algorithms| {
            let alike = names.iter().filter(|(other, theirs)| {
                other == kid && theirs.iter().any(|algorithm| algorithms.contains(algorithm))
            });
            kid.is_some() && alike.count() > 1
        };
        let (dropped, kept) = std::mem::take(&mut self.keys)
            .into_iter()
            .partition(|key: &Key| clashes(&key.kid, key.algorithms()));
        self.keys = kept;
        let dropped: Vec<Key> = dropped;
        let unused =
            dropped.into_iter().map(|key| UnusedJwk { kid: key.kid, problem: JwkProblem::Ambiguous });
        self.unused.extend(unused);
    }
}

impl Key {
    fn algorithms(&self) -> Algorithms {
        let list: Vec<Algorithm> = self.by_algorithm.iter().map(|(algorithm, _)| *algorithm).collect();
        Algorithms::of(&list)
    }
}

impl fmt::Debug for JwkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<_> = self.0.keys.iter().map(|key| key.kid.as_deref()).collect();
        f.debug_struct("JwkSet").field("keys", &kids).field("unused", &self.0.unused).finish()
    }
}

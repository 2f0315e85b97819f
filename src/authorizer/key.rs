//! The key of a cached answer: a keyed hash of the identity sources' values and the stage. No token is kept.

use super::identity::{Asked, IdentitySource, Presence, Repeated};
use crate::{
    keyed_hash::{Fields, KeyedHash},
    response::Cause,
};

/// 128 bits under which an answer is kept, or an identity is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey(u128);

impl CacheKey {
    pub(super) fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }
}

/// A call of one identity on one stage: the same hash, gone on with over method and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallKey(u128);

impl CallKey {
    pub(super) fn halves(self) -> [u64; 2] {
        [self.0 as u64, (self.0 >> 64) as u64]
    }

    #[cfg(test)]
    pub(super) fn from_halves([low, high]: [u64; 2]) -> Self {
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

/// A hash over the identity, to which stage and call are still to be added.
pub(super) struct IdentityDigest(Fields);

impl IdentityDigest {
    /// The digest over all values of all sources, or what is wrong with them. Each source ends with a mark: no two
    /// identities are written alike.
    pub(super) fn of(
        hash: &KeyedHash,
        sources: &[IdentitySource],
        asked: Asked<'_>,
        repeated: Repeated,
    ) -> Result<Self, Cause> {
        let mut fields = hash.fields();
        for source in sources {
            let mut presence = Presence::default();
            source.visit(asked, |value| {
                presence.see(value);
                fields.text(value.as_bytes());
            })?;
            if !presence.is_there(source, repeated) {
                return Err(Cause::IdentityMissing);
            }
            fields.mark();
        }
        Ok(Self(fields))
    }

    /// The key on a stage.
    pub(super) fn on_stage(&mut self, stage: Option<&str>) -> CacheKey {
        if let Some(stage) = stage {
            self.0.text(stage.as_bytes());
        }
        CacheKey(self.0.clone().finish())
    }

    /// The key of a call, behind the stage.
    pub(super) fn of_call(mut self, method: &str, path: &str) -> CallKey {
        self.0.text(method.as_bytes());
        self.0.text(path.as_bytes());
        CallKey(self.0.finish())
    }
}

/// An identity as the function is told it and an operator names it, whatever the stage: for revocations.
pub(super) fn identity<'a>(hash: &KeyedHash, values: impl Iterator<Item = &'a str>) -> CacheKey {
    let mut fields = hash.fields();
    values.for_each(|value| fields.text(value.as_bytes()));
    CacheKey(fields.finish())
}

/// A principal, for revocations; no identity is written like it.
pub(super) fn principal(hash: &KeyedHash, id: &str) -> CacheKey {
    let mut fields = hash.fields();
    fields.mark();
    fields.text(id.as_bytes());
    CacheKey(fields.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ContextConfig;
    use http::{HeaderMap, HeaderValue, Request};
    use proptest::prelude::*;

    /// Two headers of any number of values each, on a stage.
    fn key(hash: &KeyedHash, one: &[&str], two: &[&str], stage: Option<&str>) -> CacheKey {
        let mut headers = HeaderMap::new();
        for (name, values) in [("one", one), ("two", two)] {
            for value in values {
                headers.append(name, HeaderValue::from_str(value).unwrap());
            }
        }
        let sources: Vec<_> = ["one", "two"].map(|name| IdentitySource::Header(name.parse().unwrap())).into();
        let context = ContextConfig::default().find_or_create(&mut Request::new(()));
        let asked = Asked { headers: &headers, query: None, context: &context };
        IdentityDigest::of(hash, &sources, asked, Repeated::Joined).unwrap().on_stage(stage)
    }

    #[test]
    fn calls_of_one_identity_differ_in_method_and_path() {
        let hash = KeyedHash::random("test").unwrap();
        let of = |method: &str, path: &str| IdentityDigest(hash.fields()).of_call(method, path);
        assert_eq!(of("GET", "/a"), of("GET", "/a"));
        for (method, path) in [("GET", "/b"), ("GET", "/a/"), ("POST", "/a"), ("GET/", "a"), ("", "GET/a")] {
            assert_ne!(of("GET", "/a"), of(method, path), "{method} {path}");
        }
    }

    #[test]
    fn no_two_identities_share_a_key() {
        let hash = KeyedHash::random("test").unwrap();
        let all = [
            key(&hash, &["ab"], &["c"], None),
            key(&hash, &["a"], &["bc"], None),
            key(&hash, &["abc"], &[""], None),
            key(&hash, &[""], &["abc"], None),
            key(&hash, &["a,b"], &["c"], None),
            key(&hash, &["a", "b"], &["c"], None),
            key(&hash, &["b", "a"], &["c"], None),
            key(&hash, &["a"], &["b", "c"], None),
            key(&hash, &["ab"], &["c"], Some("prod")),
            key(&hash, &["ab"], &["c"], Some("test")),
            key(&hash, &["ab"], &["c", "prod"], None),
            key(&hash, &["ab"], &["cprod"], None),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| one != other), "{index}");
        }
    }

    #[test]
    fn every_process_has_keys_of_its_own() {
        let of = |hash: &KeyedHash| identity(hash, ["token"].into_iter());
        assert_ne!(of(&KeyedHash::random("test").unwrap()), of(&KeyedHash::random("test").unwrap()));
    }

    proptest! {
        #[test]
        fn keys_are_equal_only_for_equal_identities(
            one in proptest::collection::vec("[ab,]{0,3}", 1..4),
            other in proptest::collection::vec("[ab,]{0,3}", 1..4),
            split in 1_usize..3,
        ) {
            let hash = KeyedHash::random("test").unwrap();
            let of = |values: &[String]| {
                let values: Vec<&str> = values.iter().map(String::as_str).chain(["last"]).collect();
                let (first, second) = values.split_at(split.min(values.len() - 1));
                (key(&hash, first, second, Some("prod")), identity(&hash, values.iter().copied()))
            };
            prop_assert_eq!(of(&one).0 == of(&other).0, one == other);
            prop_assert_eq!(of(&one).1 == of(&other).1, one == other);
        }
    }
}

//! Custom domain names and their base path mappings.

use super::config::check_stage_name;
use crate::{
    context::{check_domain, is_of_domain},
    error::ConfigError,
    route::decode_unreserved,
};

/// A host name whose paths are mapped to stages; the stage is then not part of the client's path.
///
/// The mapping with the longest base path that is a prefix of the path, segment by segment and with regard to case,
/// is taken, and its base path is stripped. No mapping: 403 `{"message":"Forbidden"}`.
///
/// ```
/// use tower_gateway::stage::CustomDomain;
///
/// let domain = CustomDomain::new("api.example.com").mapping("orders/v1", "prod").mapping("", "web");
/// ```
///
/// AWS: "Custom domain name for public REST APIs in API Gateway" in the developer guide.
#[derive(Clone, Debug)]
pub struct CustomDomain {
    name: String,
    /// Longest base path first, so that the first that fits is the one.
    mappings: Vec<Mapping>,
}

#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) base_path: String,
    pub(super) stage: String,
}

impl CustomDomain {
    /// A host name, or `*.example.com` for one label in place of the star; an exact name outranks a wildcard.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into().to_ascii_lowercase(), mappings: Vec::new() }
    }

    /// Maps a base path (`orders/v1`; empty for all other paths) to a stage.
    #[must_use]
    pub fn mapping(mut self, base_path: &str, stage: impl Into<String>) -> Self {
        self.mappings
            .push(Mapping { base_path: base_path.trim_matches('/').to_owned(), stage: stage.into() });
        self
    }

    /// The host name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Base path and stage of each mapping; of a domain that is served, the longest base path first.
    pub fn mappings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.mappings.iter().map(|mapping| (&*mapping.base_path, &*mapping.stage))
    }

    pub(super) fn compile(mut self) -> Result<Self, ConfigError> {
        check_domain("custom domain", &self.name)?;
        self.mappings.iter().try_for_each(check_mapping)?;
        self.mappings.sort_by_key(|mapping| std::cmp::Reverse(mapping.base_path.len()));
        let twice = self.mappings.windows(2).find(|pair| pair[0].base_path == pair[1].base_path);
        match twice {
            Some(pair) => Err(ConfigError::new("base path", &pair[0].base_path, "is mapped twice")),
            None => Ok(self),
        }
    }

    /// Whether a comparable host is this domain's.
    pub(super) fn is_host(&self, host: &str) -> bool {
        is_of_domain(host, &self.name)
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.name.starts_with("*.")
    }

    /// The mapping of a path, and where in it the rest begins.
    pub(super) fn resolve(&self, path: &str) -> Option<(&Mapping, usize)> {
        self.mappings.iter().find_map(|mapping| Some((mapping, base_path_end(&mapping.base_path, path)?)))
    }
}

/// Where `path` goes on after `base_path`; `None` if it is not under it.
fn base_path_end(base_path: &str, path: &str) -> Option<usize> {
    if base_path.is_empty() {
        return Some(0);
    }
    let mut at = 0;
    for wanted in base_path.split('/') {
        let start = at + 1;
        let end = path.get(start..)?.find('/').map_or(path.len(), |slash| start + slash);
        if *decode_unreserved(&path[start..end]) != *wanted.as_bytes() {
            return None;
        }
        at = end;
    }
    Some(at)
}

fn check_mapping(mapping: &Mapping) -> Result<(), ConfigError> {
    check_stage_name(&mapping.stage)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"$-_.+!*'()/".contains(&byte);
    let path = &mapping.base_path;
    let segments = path.is_empty() || path.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    if path.len() <= 300 && path.bytes().all(allowed) && segments {
        return Ok(());
    }
    Err(ConfigError::new("base path", path, "is not up to 300 letters, digits and `$-_.+!*'()/` in segments"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_base_path_wins_by_whole_segments() {
        let domain = CustomDomain::new("a.example")
            .mapping("orders", "a")
            .mapping("/orders/v1/", "b")
            .mapping("", "c")
            .compile()
            .unwrap();
        let resolve = |path| domain.resolve(path).map(|(mapping, end)| (mapping.stage.as_str(), end));
        assert_eq!(resolve("/orders/v1/7"), Some(("b", 10)));
        assert_eq!(resolve("/orders/v2"), Some(("a", 7)));
        assert_eq!(resolve("/ordersX"), Some(("c", 0)));
        assert_eq!(resolve("/Orders"), Some(("c", 0)));
    }

    #[test]
    fn faults() {
        for domain in [
            CustomDomain::new("a b"),
            CustomDomain::new("a.example").mapping("x//y", "s"),
            CustomDomain::new("a.example").mapping("x", "s").mapping("/x", "t"),
            CustomDomain::new("a.example").mapping("x", "no stage"),
        ] {
            assert!(domain.compile().is_err());
        }
    }
}

//! Per-method settings of a stage, keyed the way AWS keys them.

#[cfg(feature = "tracing")]
use super::ExecutionLogging;
use super::{CacheSettings, Declared, table::ANY};
use crate::{
    error::ConfigError,
    throttle::{SharedBucket, Throttle, id_of},
};
use http::Method;
use std::collections::BTreeMap;

/// Settings of a method on a stage (AWS: `MethodSetting`). What a method's own entry does not say, that of `*/*` says, as
/// on AWS, where a new entry begins as a copy of it. Of a verb under a declared `ANY` it is that of `*/*` too, and not that
/// of `ANY`.
///
/// They take effect without a new deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MethodSettings {
    /// The method's own token bucket (`throttlingRateLimit`, `throttlingBurstLimit`). Absent: that of
    /// `*/*`, with its `shadow`, then no limit at this level. Under `*/*` every method gets a bucket of its own.
    pub throttle: Option<Throttle>,
    /// The throttle only counts what it would have refused (see `Stages::shadow_count` and
    /// [`Routes::shadow_count`](super::Routes::shadow_count)) and refuses nothing.
    pub shadow: bool,
    /// The method's cache settings. Absent: those of `*/*`, then those of the cache. Under `*/*` they hold for `GET` only.
    pub caching: Option<CacheSettings>,
    /// The method's execution log (`loggingLevel`, `dataTraceEnabled`). Absent: that of `*/*`, then that of the
    /// `ExecutionLog`.
    #[cfg(feature = "tracing")]
    pub execution_logging: Option<ExecutionLogging>,
    /// Whether CloudWatch keeps metrics of the method (`metricsEnabled`). Absent: that of `*/*`, then that of the
    /// `EmfLog`.
    #[cfg(feature = "emf")]
    pub metrics_enabled: Option<bool>,
}

impl MethodSettings {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the method's token bucket.
    #[must_use]
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = Some(throttle);
        self
    }

    /// Only counts what the throttle would have refused. Default: off.
    #[must_use]
    pub fn shadow_throttle(mut self, shadow: bool) -> Self {
        self.shadow = shadow;
        self
    }

    /// What the entry of a method says, and of the rest what that of `*/*` says.
    fn or(self, of_stage: Self) -> Self {
        let (throttle, shadow) = match self.throttle {
            Some(_) => (self.throttle, self.shadow),
            None => (of_stage.throttle, of_stage.shadow),
        };
        Self {
            throttle,
            shadow,
            caching: self.caching.or(of_stage.caching),
            #[cfg(feature = "tracing")]
            execution_logging: self.execution_logging.or(of_stage.execution_logging),
            #[cfg(feature = "emf")]
            metrics_enabled: self.metrics_enabled.or(of_stage.metrics_enabled),
        }
    }

    /// The throttle in force; `bucket` finds or makes its state.
    fn bucket(self, name: &str, make: impl FnOnce(&str, Throttle) -> SharedBucket) -> Option<SharedBucket> {
        let (shadow, id) = (self.shadow, id_of(name.bytes()));
        self.throttle.map(|throttle| SharedBucket { shadow, id, ..make(name, throttle) })
    }

    /// Sets the method's caching.
    #[must_use]
    pub fn caching(mut self, caching: CacheSettings) -> Self {
        self.caching = Some(caching);
        self
    }

    /// Sets what is logged of the method's executions.
    #[cfg(feature = "tracing")]
    #[must_use]
    pub fn execution_logging(mut self, logging: ExecutionLogging) -> Self {
        self.execution_logging = Some(logging);
        self
    }

    /// Sets whether CloudWatch keeps metrics of the method.
    #[cfg(feature = "emf")]
    #[must_use]
    pub fn metrics_enabled(mut self, enabled: bool) -> Self {
        self.metrics_enabled = Some(enabled);
        self
    }
}

/// Settings by normalised key: `*/*`, or a resource path, a space and a method.
#[derive(Clone, Debug, Default)]
pub(crate) struct SettingsMap(BTreeMap<String, (String, MethodSettings)>);

pub(crate) const ALL_METHODS: &str = "*/*";

impl SettingsMap {
    pub(crate) fn insert(&mut self, key: &str, settings: MethodSettings) {
        self.0.insert(normalise(key), (key.to_owned(), settings));
    }

    /// Keys as they were given, with their settings.
    #[cfg(feature = "stage")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &MethodSettings)> {
        self.0.values().map(|(given, settings)| (given.as_str(), settings))
    }

    #[cfg(feature = "stage")]
    pub(crate) fn remove(&mut self, key: &str) -> bool {
        self.0.remove(&normalise(key)).is_some()
    }

    /// Every key names a method that is declared in one of the tables (or a verb of a declared `ANY`).
    pub(crate) fn check(&self, tables: &[&[Declared]]) -> Result<(), ConfigError> {
        match self.unknown(tables).next() {
            Some(given) => Err(ConfigError::new("method settings", given, "names no declared method")),
            None => Ok(()),
        }
    }

    /// The keys, as they were given, that name none.
    pub(crate) fn unknown<'a>(&'a self, tables: &'a [&'a [Declared]]) -> impl Iterator<Item = &'a str> {
        let is_known = |key: &str| tables.iter().copied().flatten().any(|method| is_key_of(key, method));
        let unknown = self.0.iter().filter(move |(key, _)| *key != ALL_METHODS && !is_known(key));
        unknown.map(|(_, (given, _))| given.as_str())
    }

    fn of(&self, key: &str) -> MethodSettings {
        self.0.get(key).map(|entry| entry.1).unwrap_or_default()
    }

    /// Settings for each declared method; `bucket` finds or makes the state of a bucket by its name.
    pub(crate) fn resolve(
        &self,
        declared: &[Declared],
        mut bucket: impl FnMut(&str, Throttle) -> SharedBucket,
    ) -> Box<[ResolvedSettings]> {
        declared.iter().map(|method| self.resolve_one(method, &mut bucket)).collect()
    }

    fn resolve_one(
        &self,
        method: &Declared,
        bucket: &mut impl FnMut(&str, Throttle) -> SharedBucket,
    ) -> ResolvedSettings {
        if self.0.is_empty() {
            return ResolvedSettings::default();
        }
        let own = key_of(&method.resource_path, method.verb_name());
        let of_method = self.of(&own);
        let settings = of_method.or(self.of(ALL_METHODS));
        let of_all = OfVerb {
            throttle: settings.bucket(&own, &mut *bucket),
            caching: settings.caching,
            // AWS: what is not said of a method by name is said of its GET only.
            caches_any_verb: of_method.caching.is_some() && method.verb.is_some(),
            #[cfg(feature = "tracing")]
            logging: settings.execution_logging,
            #[cfg(feature = "emf")]
            metrics: settings.metrics_enabled,
        };
        let by_verb = if method.verb.is_some() { Vec::new() } else { self.resolve_verbs(method, bucket) };
        ResolvedSettings { of_all, by_verb }
    }

    /// Settings of single verbs under a declared `ANY`.
    fn resolve_verbs(
        &self,
        method: &Declared,
        bucket: &mut impl FnMut(&str, Throttle) -> SharedBucket,
    ) -> Vec<(Method, OfVerb)> {
        let prefix = key_of(&method.resource_path, "");
        let of_stage = self.of(ALL_METHODS);
        let mut verbs = Vec::new();
        for (key, (_, of_verb)) in self.0.range(prefix.clone()..) {
            let Some(verb) = key.strip_prefix(&prefix) else { break };
            if verb != "ANY"
                && let Ok(verb) = Method::from_bytes(verb.as_bytes())
            {
                let settings = of_verb.or(of_stage);
                let resolved = OfVerb {
                    throttle: settings.bucket(key, &mut *bucket),
                    caching: settings.caching,
                    caches_any_verb: of_verb.caching.is_some(),
                    #[cfg(feature = "tracing")]
                    logging: settings.execution_logging,
                    #[cfg(feature = "emf")]
                    metrics: settings.metrics_enabled,
                };
                verbs.push((verb, resolved));
            }
        }
        verbs
    }
}

/// The settings in force for one declared method.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResolvedSettings {
    of_all: OfVerb,
    by_verb: Vec<(Method, OfVerb)>,
}

#[derive(Clone, Debug, Default)]
struct OfVerb {
    throttle: Option<SharedBucket>,
    caching: Option<CacheSettings>,
    caches_any_verb: bool,
    #[cfg(feature = "tracing")]
    logging: Option<ExecutionLogging>,
    #[cfg(feature = "emf")]
    metrics: Option<bool>,
}

impl ResolvedSettings {
    fn of(&self, verb: &Method) -> &OfVerb {
        self.by_verb.iter().find(|(own, _)| own == verb).map_or(&self.of_all, |(_, settings)| settings)
    }

    /// Whether a verb under a declared `ANY` has settings of its own.
    #[cfg(feature = "usage-plan")]
    pub(crate) fn names(&self, verb: &Method) -> bool {
        self.by_verb.iter().any(|(own, _)| own == verb)
    }

    pub(crate) fn throttle(&self, verb: &Method) -> Option<&SharedBucket> {
        self.of(verb).throttle.as_ref()
    }

    /// The throttle of any verb whose bucket has this number.
    #[cfg(feature = "gateway")]
    pub(crate) fn throttle_of(&self, number: u64) -> Option<&SharedBucket> {
        let all = std::iter::once(&self.of_all).chain(self.by_verb.iter().map(|(_, of)| of));
        all.filter_map(|of| of.throttle.as_ref()).find(|throttle| throttle.number() == number)
    }

    /// Every throttle with the verb it is for; `declared` is the method's own.
    #[cfg(feature = "stage")]
    pub(crate) fn throttles<'a>(
        &'a self,
        declared: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a SharedBucket)> {
        let own = self.of_all.throttle.iter().map(move |bucket| (declared, bucket));
        own.chain(self.by_verb.iter().filter_map(|(verb, of)| Some((verb.as_str(), of.throttle.as_ref()?))))
    }

    /// The cache settings of a verb, and whether they name it (or only its `GET`).
    #[cfg(feature = "cache")]
    pub(crate) fn caching(&self, verb: &Method) -> Option<(CacheSettings, bool)> {
        let settings = self.of(verb);
        Some((settings.caching?, settings.caches_any_verb))
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn logging(&self, verb: &Method) -> Option<ExecutionLogging> {
        self.of(verb).logging
    }

    #[cfg(feature = "emf")]
    pub(crate) fn metrics_enabled(&self, verb: &Method) -> Option<bool> {
        self.of(verb).metrics
    }

    /// How often the throttle of a method would have refused, by its key; of all methods for `*/*`.
    pub(super) fn shadowed(&self, method: &Declared, key: &str) -> u64 {
        let own = self.of_all.throttle.iter().map(|bucket| (method.verb_name(), bucket));
        let verbs = self.by_verb.iter().filter_map(|(verb, of)| Some((verb.as_str(), of.throttle.as_ref()?)));
        let wanted = |verb: &str| key == ALL_METHODS || key == key_of(&method.resource_path, verb);
        own.chain(verbs).filter(|(verb, _)| wanted(verb)).map(|(_, bucket)| bucket.slot.shadowed()).sum()
    }
}

fn key_of(resource_path: &str, verb: &str) -> String {
    format!("{resource_path} {verb}")
}

pub(super) fn is_key_of(key: &str, method: &Declared) -> bool {
    let Some(verb) = key.strip_prefix(&*method.resource_path).and_then(|rest| rest.strip_prefix(' ')) else {
        return false;
    };
    // Of an `ANY`, what it stands for: settings of another verb would hold for no request.
    verb == method.verb_name() || method.verb.is_none() && ANY.iter().any(|any| any.as_str() == verb)
}

/// `pets/GET`, `/pets/GET`, `~1pets/GET` and the root's `//GET`, `~1/GET`: one form for all.
pub(crate) fn normalise(key: &str) -> String {
    if key == ALL_METHODS {
        return ALL_METHODS.to_owned();
    }
    let unescaped = key.replace("~1", "/").replace("~0", "~");
    let (path, verb) = unescaped.rsplit_once('/').unwrap_or(("", &unescaped));
    key_of(&format!("/{}", path.trim_start_matches('/')), verb)
}

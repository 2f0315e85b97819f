//! What a stage is made of, and the rules its parts obey.

use crate::{
    error::ConfigError,
    route::{MethodSettings, Routes, SettingsMap},
    throttle::Throttle,
};
use std::collections::BTreeMap;

/// The stage that serves requests whose first path segment names no stage.
pub const DEFAULT_STAGE: &str = "$default";

/// A named pointer to a deployment, with its own variables and settings. Changes of a stage take effect at once;
/// changes of resources and methods need a new deployment.
///
/// ```
/// use tower_gateway::stage::Stage;
///
/// let stage = Stage::new("prod", "v1").variable("backend", "pets-v1.internal");
/// ```
#[derive(Clone, Debug)]
pub struct Stage {
    pub(super) name: String,
    pub(super) deployment_id: String,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) settings: SettingsMap,
    pub(super) canary: Option<CanarySettings>,
}

impl Stage {
    /// A stage (letters, digits, `_`, `-`, at most 128; or `$default`) on a deployment.
    pub fn new(name: impl Into<String>, deployment_id: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            deployment_id: deployment_id.into(),
            variables: BTreeMap::new(),
            settings: SettingsMap::default(),
            canary: None,
        }
    }

    /// A stage variable: name of letters, digits and `_` (at most 64), value of `A-Za-z0-9-._~:/?#&=,` (at most
    /// 512). Configuration, not secrets.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Settings of a method (`pets/GET`, `/pets/GET` or `~1pets/GET`; the root is `//GET`) or of all (`*/*`).
    /// What the method's own entry does not say, that of `*/*` says. The verb of a declared `ANY` may be named (`pets/GET`);
    /// what its entry does not say, that of `*/*` says too, and not that of `pets/ANY`.
    #[must_use]
    pub fn settings(mut self, method_path: &str, settings: MethodSettings) -> Self {
        self.settings.insert(method_path, settings);
        self
    }

    /// Starts with a canary.
    #[must_use]
    pub fn canary(mut self, canary: CanarySettings) -> Self {
        self.canary = Some(canary);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The deployment that it points to.
    pub fn deployment_id(&self) -> &str {
        &self.deployment_id
    }

    /// Names and values of its variables, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Its settings by the method they are for, as it was given; `*/*` is for all.
    pub fn all_settings(&self) -> impl Iterator<Item = (&str, &MethodSettings)> {
        self.settings.iter()
    }

    /// The canary, if there is one.
    pub fn canary_settings(&self) -> Option<&CanarySettings> {
        self.canary.as_ref()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_stage_name(&self.name)?;
        self.variables.iter().try_for_each(|(name, value)| check_variable(name, value))?;
        self.canary.as_ref().map_or(Ok(()), CanarySettings::check)
    }
}

/// A share of a stage's requests, chosen at random and without stickiness, that another deployment serves.
#[derive(Clone, Debug)]
pub struct CanarySettings {
    pub(super) percent_traffic: f64,
    pub(super) deployment_id: String,
    pub(super) overrides: BTreeMap<String, String>,
    pub(super) uses_stage_cache: bool,
}

impl CanarySettings {
    /// `percent_traffic` from 0.0 to 100.0 of the stage's requests go to the deployment.
    pub fn new(deployment_id: impl Into<String>, percent_traffic: f64) -> Self {
        let deployment_id = deployment_id.into();
        Self { percent_traffic, deployment_id, overrides: BTreeMap::new(), uses_stage_cache: false }
    }

    /// A stage variable that is different on the canary (`stageVariableOverrides`).
    #[must_use]
    pub fn override_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.overrides.insert(name.into(), value.into());
        self
    }

    /// The deployment that serves the share.
    pub fn deployment_id(&self) -> &str {
        &self.deployment_id
    }

    /// The share, from 0.0 to 100.0 percent.
    pub fn percent_traffic(&self) -> f64 {
        self.percent_traffic
    }

    /// Names and values of the variables that are different on it, by name.
    pub fn overrides(&self) -> impl Iterator<Item = (&str, &str)> {
        self.overrides.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether cached answers are shared with the stage's other requests (`useStageCache`), as far as both are served by
    /// one deployment: answers of two deployments are never taken for each other. Default: no, as on AWS; the canary's
    /// answers are cached apart. A shared answer may have been made with the other's variables.
    #[must_use]
    pub fn use_stage_cache(mut self, uses: bool) -> Self {
        self.uses_stage_cache = uses;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(0.0..=100.0).contains(&self.percent_traffic) {
            let problem = "must be a number from 0.0 to 100.0";
            return Err(ConfigError::new("canary percent traffic", self.percent_traffic, problem));
        }
        self.overrides.iter().try_for_each(|(name, value)| check_variable(name, value))
    }
}

/// The state of one throttle of a stage at a moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StageThrottle {
    /// The resource path as declared.
    pub resource_path: String,
    /// The verb, or `ANY`.
    pub method: String,
    /// The numbers in force.
    pub throttle: Throttle,
    /// Tokens left.
    pub tokens_left: u32,
    /// Whether it only counts what it would have refused.
    pub shadow: bool,
    /// As a store knows it.
    #[cfg_attr(not(feature = "admin"), allow(dead_code, reason = "nobody asks a store"))]
    pub(crate) id: u64,
    #[cfg_attr(not(feature = "admin"), allow(dead_code, reason = "nobody asks a store"))]
    pub(crate) past: crate::throttle::PastRates,
}

/// An immutable snapshot of an API's resources and methods.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub(super) id: String,
    pub(super) routes: Routes,
    pub(super) description: String,
}

impl Deployment {
    /// A deployment with resources.
    pub fn new(id: impl Into<String>, routes: Routes) -> Self {
        Self { id: id.into(), routes, description: String::new() }
    }

    /// A deployment that declares no resource: it acts as `ANY /` and `ANY /{proxy+}`.
    pub fn catch_all(id: impl Into<String>) -> Self {
        Self::new(id, Routes::catch_all())
    }

    /// A sentence for the history.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }
}

/// What an unmatched path or method is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoRoute {
    /// 403 `{"message":"Missing Authentication Token"}`, as a REST API says it (an HTTP API: 404 `Not Found`). Where the
    /// request has an `Authorization` field that is no complete signature, a REST API says what it lacks; so does this one,
    /// with the feature `sigv4`.
    #[default]
    MissingAuthenticationToken,
    /// 404 `RESOURCE_NOT_FOUND`: honest, unlike AWS.
    NotFound,
}

pub(super) fn check_stage_name(name: &str) -> Result<(), ConfigError> {
    let characters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if name == DEFAULT_STAGE || (characters && (1..=128).contains(&name.len())) {
        return Ok(());
    }
    Err(ConfigError::new("stage name", name, "is not 1 to 128 letters, digits, `_` and `-`, nor `$default`"))
}

pub(super) fn check_variable(name: &str, value: &str) -> Result<(), ConfigError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !(1..=64).contains(&name.len()) || !name.bytes().all(word) {
        return Err(ConfigError::new("stage variable name", name, "is not 1 to 64 letters, digits and `_`"));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#&=,".contains(&byte);
    if !(1..=512).contains(&value.len()) || !value.bytes().all(allowed) {
        let problem = "is not 1 to 512 of A-Za-z0-9-._~:/?#&=,";
        return Err(ConfigError::new(format!("stage variable `{name}`"), value, problem));
    }
    Ok(())
}

//! What stages, deployments and domains are configured to be, and the snapshot of it that requests read. Pure.

use super::{
    config::{Deployment, NoRoute, Stage},
    domain::CustomDomain,
    snapshot::{CanarySnapshot, Snapshot, StageSnapshot},
};
use crate::{
    error::{ConfigError, ConfigErrorKind},
    route::{Scope, SettingsMap, StageScope},
    throttle::SharedBucket,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What edits work on.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) deployments: BTreeMap<String, Deployment>,
    pub(super) stages: BTreeMap<String, StageState>,
    pub(super) domains: Vec<CustomDomain>,
    pub(super) default_endpoint_disabled: bool,
    pub(super) no_route: NoRoute,
    pub(super) history_limit: HistoryLimit,
}

/// How many deployments a stage remembers, the one that runs among them.
#[derive(Clone, Copy, Debug)]
pub(super) struct HistoryLimit(pub(super) usize);

impl Default for HistoryLimit {
    fn default() -> Self {
        Self(100)
    }
}

/// A stage, and what it remembers.
#[derive(Clone, Debug)]
pub(super) struct StageState {
    pub(super) stage: Stage,
    /// Deployments this stage pointed to, oldest first, the present one last; never empty.
    pub(super) history: Vec<String>,
    /// Throttles by method, with the numbers that were last in force; their state outlives deployments and edits.
    pub(super) buckets: HashMap<String, SharedBucket>,
}

/// What an edit may have to take back. Deployments are never part of an edit that rebuilds.
pub(super) type Backup = (Vec<(String, StageState)>, Vec<CustomDomain>);

impl State {
    pub(super) fn backup(&self) -> Backup {
        let stages = self.stages.iter().map(|(name, entry)| (name.clone(), entry.clone()));
        (stages.collect(), self.domains.clone())
    }

    pub(super) fn restore(&mut self, (stages, domains): Backup) {
        self.domains = domains;
        self.stages = stages.into_iter().collect();
    }

    pub(super) fn stage(&mut self, name: &str) -> Result<&mut StageState, ConfigError> {
        self.stages.get_mut(name).ok_or_else(|| unknown_stage(name))
    }

    pub(super) fn add_deployment(&mut self, deployment: Deployment) -> Result<(), ConfigError> {
        if self.deployments.contains_key(&deployment.id) {
            return Err(ConfigError::new(
                "deployment",
                deployment.id,
                "exists already, and deployments are immutable",
            )
            .with_kind(ConfigErrorKind::Exists));
        }
        self.deployments.insert(deployment.id.clone(), deployment);
        Ok(())
    }

    pub(super) fn add_stage(&mut self, stage: Stage) -> Result<(), ConfigError> {
        stage.check()?;
        if self.stages.contains_key(&stage.name) {
            return Err(
                ConfigError::new("stage", stage.name, "exists already").with_kind(ConfigErrorKind::Exists)
            );
        }
        self.check_settings(&stage.settings)?;
        let history = vec![stage.deployment_id.clone()];
        let entry = StageState { history, buckets: HashMap::new(), stage };
        self.stages.insert(entry.stage.name.clone(), entry);
        Ok(())
    }

    /// A setting is of a method that some deployment declares; the one that runs may be without it.
    pub(super) fn check_settings(&self, settings: &SettingsMap) -> Result<(), ConfigError> {
        let tables: Vec<_> =
            self.deployments.values().map(|deployment| deployment.routes.all_declared()).collect();
        settings.check(&tables)
    }

    /// Deletes a deployment; no roll back leads to it any more.
    pub(super) fn delete_deployment(&mut self, id: &str) -> Result<(), ConfigError> {
        self.deployments.remove(id).ok_or_else(|| unknown_deployment(id))?;
        for stage in self.stages.values_mut() {
            stage.history.retain(|step| step != id);
            stage.history.dedup();
        }
        Ok(())
    }

    pub(super) fn add_domain(&mut self, domain: CustomDomain) -> Result<(), ConfigError> {
        if self.domains.iter().any(|own| own.name() == domain.name()) {
            return Err(ConfigError::new("custom domain", domain.name(), "is given twice")
                .with_kind(ConfigErrorKind::Exists));
        }
        self.set_domain(domain)
    }

    pub(super) fn set_domain(&mut self, domain: CustomDomain) -> Result<(), ConfigError> {
        if let Some((_, unknown)) = domain.mappings().find(|(_, stage)| !self.stages.contains_key(*stage)) {
            return Err(unknown_stage(unknown));
        }
        self.domains.retain(|own| own.name() != domain.name());
        self.domains.push(domain);
        Ok(())
    }

    pub(super) fn snapshot(&mut self) -> Result<Snapshot, ConfigError> {
        let (deployments, stages) = (&self.deployments, &mut self.stages);
        let stages = stages
            .values_mut()
            .map(|entry| Ok((entry.stage.name.as_str().into(), entry.build(deployments)?)));
        Ok(Snapshot {
            stages: stages.collect::<Result<_, ConfigError>>()?,
            domains: self.domains.clone(),
            default_endpoint_disabled: self.default_endpoint_disabled,
            no_route: self.no_route,
        })
    }
}

impl StageState {
    /// The same deployment again is no step that could be rolled back. The oldest steps are forgotten.
    pub(super) fn point_to(&mut self, deployment: &str, limit: HistoryLimit) {
        deployment.clone_into(&mut self.stage.deployment_id);
        if self.history.last().is_none_or(|last| last != deployment) {
            self.history.push(deployment.to_owned());
            self.history.drain(..self.history.len().saturating_sub(limit.0));
        }
    }

    pub(super) fn points_to(&self, deployment: &str) -> bool {
        let canary = self.stage.canary.as_ref().is_some_and(|canary| canary.deployment_id == deployment);
        canary || self.stage.deployment_id == deployment
    }

    fn build(&mut self, deployments: &BTreeMap<String, Deployment>) -> Result<StageSnapshot, ConfigError> {
        let (has_canary, variables) = (self.stage.canary.is_some(), self.stage.variables.clone());
        let deployment = self.stage.deployment_id.clone();
        let main = self.scope(deployments, &deployment, variables, has_canary.then_some(false), false)?;
        let Some(canary) = self.stage.canary.clone() else { return Ok(StageSnapshot { main, canary: None }) };
        let mut variables = self.stage.variables.clone();
        variables.extend(canary.overrides);
        let scope =
            self.scope(deployments, &canary.deployment_id, variables, Some(true), !canary.uses_stage_cache)?;
        let threshold = (canary.percent_traffic / 100.0 * (1_u64 << 32) as f64).round() as u64;
        Ok(StageSnapshot { main, canary: Some(CanarySnapshot { threshold, scope }) })
    }

    fn scope(
        &mut self,
        deployments: &BTreeMap<String, Deployment>,
        deployment_id: &str,
        variables: BTreeMap<String, String>,
        canary: Option<bool>,
        has_own_cache: bool,
    ) -> Result<Arc<Scope>, ConfigError> {
        let deployment = deployments.get(deployment_id).ok_or_else(|| unknown_deployment(deployment_id))?;
        let (settings, buckets) = (&self.stage.settings, &mut self.buckets);
        let settings = settings.resolve(deployment.routes.all_declared(), |name, throttle| {
            let kept = buckets.entry(name.to_owned()).or_insert_with(|| SharedBucket::new(throttle));
            *kept = kept.edited_now(throttle);
            kept.clone()
        });
        let stage = StageScope {
            name: self.stage.name.as_str().into(),
            deployment_id: deployment_id.into(),
            variables: Arc::new(variables),
            canary,
            has_own_cache,
        };
        Ok(Arc::new(Scope { stage: Some(stage), routes: deployment.routes.clone(), settings }))
    }
}

pub(super) fn unknown_stage(name: &str) -> ConfigError {
    missing("stage", name, "does not exist")
}

pub(super) fn unknown_deployment(id: &str) -> ConfigError {
    missing("deployment", id, "Deployment id does not exist")
}

/// Something that was named and is not there.
pub(super) fn missing(
    location: &'static str,
    value: &str,
    problem: impl Into<Cow<'static, str>>,
) -> ConfigError {
    ConfigError::new(location, value, problem).with_kind(ConfigErrorKind::NotFound)
}

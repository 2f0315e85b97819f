//! `StagesBuilder`: what `Stages` start with.

use super::{
    config::{Deployment, NoRoute, Stage},
    domain::CustomDomain,
    state::{HistoryLimit, State},
    store::Stages,
};
use crate::error::ConfigError;

/// Collects what [`Stages`] start with.
#[derive(Debug, Default)]
pub struct StagesBuilder {
    deployments: Vec<Deployment>,
    stages: Vec<Stage>,
    domains: Vec<CustomDomain>,
    default_endpoint_disabled: bool,
    no_route: NoRoute,
    history_limit: HistoryLimit,
}

impl StagesBuilder {
    /// Adds a deployment.
    #[must_use]
    pub fn deployment(mut self, deployment: Deployment) -> Self {
        self.deployments.push(deployment);
        self
    }

    /// Adds a stage.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stages.push(stage);
        self
    }

    /// Adds a custom domain.
    #[must_use]
    pub fn domain(mut self, domain: CustomDomain) -> Self {
        self.domains.push(domain);
        self
    }

    /// Serves custom domains only (`disableExecuteApiEndpoint`): other hosts get 403 `Forbidden`. Default: off.
    #[must_use]
    pub fn disable_default_endpoint(mut self, disabled: bool) -> Self {
        self.default_endpoint_disabled = disabled;
        self
    }

    /// What an unmatched path or method is told. Default: 403 `Missing Authentication Token`.
    #[must_use]
    pub fn no_route(mut self, answer: NoRoute) -> Self {
        self.no_route = answer;
        self
    }

    /// How many deployments each stage remembers, the one that runs among them: one less is how often it can be rolled
    /// back. Deployments themselves stay until they are deleted ([`Stages::prune_deployments`]). Default: 100.
    #[must_use]
    pub fn history_limit(mut self, deployments: usize) -> Self {
        self.history_limit = HistoryLimit(deployments);
        self
    }

    /// Checks everything and makes the handle.
    ///
    /// # Errors
    ///
    /// A history of no deployment; two of a name, an unknown deployment or stage, an invalid name, variable, setting or
    /// mapping, or no stage.
    pub fn build(self) -> Result<Stages, ConfigError> {
        if self.history_limit.0 == 0 {
            return Err(ConfigError::new("history limit", 0, "leaves no room for the deployment that runs"));
        }
        let mut state = State {
            history_limit: self.history_limit,
            default_endpoint_disabled: self.default_endpoint_disabled,
            no_route: self.no_route,
            ..State::default()
        };
        self.deployments.into_iter().try_for_each(|deployment| state.add_deployment(deployment))?;
        self.stages.into_iter().try_for_each(|stage| state.add_stage(stage))?;
        self.domains.into_iter().try_for_each(|domain| state.add_domain(domain.compile()?))?;
        Stages::start(state)
    }
}

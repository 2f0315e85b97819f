//! `Stages`: the handle through which stages are read by requests and changed at run time.

use super::{
    builder::StagesBuilder,
    config::{CanarySettings, Deployment, Stage, StageThrottle, check_variable},
    domain::CustomDomain,
    snapshot::Snapshot,
    state::{State, missing, unknown_stage},
};
use crate::{
    clock::Clock,
    error::{ConfigError, ConfigErrorKind},
    route::{ALL_METHODS, MethodSettings, Routes, SettingsMap, normalise},
};
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All stages of a gateway, their deployments and domains: one handle for requests and for changes at run time.
/// A clone is a reference count.
///
/// Requests read an immutable snapshot without waiting; a request keeps the snapshot it started on to its end. A
/// change builds a new snapshot and swaps it in, so no request sees half of it.
#[derive(Clone, Debug)]
pub struct Stages(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    snapshot: ArcSwap<Snapshot>,
    state: Mutex<State>,
}

impl Stages {
    /// Starts with nothing.
    pub fn builder() -> StagesBuilder {
        StagesBuilder::default()
    }

    /// One stage, one deployment: what most services need.
    ///
    /// # Errors
    ///
    /// An invalid stage name.
    pub fn single(stage: &str, routes: Routes) -> Result<Self, ConfigError> {
        Self::builder()
            .deployment(Deployment::new("initial", routes))
            .stage(Stage::new(stage, "initial"))
            .build()
    }

    /// Of checked parts, with the first snapshot of them.
    pub(super) fn start(mut state: State) -> Result<Self, ConfigError> {
        if state.stages.is_empty() {
            return Err(ConfigError::new("stages", "", "there is no stage: every request would be refused"));
        }
        let snapshot = ArcSwap::from_pointee(state.snapshot()?);
        Ok(Self(Arc::new(Shared { snapshot, state: Mutex::new(state) })))
    }

    pub(super) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.0.snapshot.load()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a deployment to the history without serving it yet.
    ///
    /// # Errors
    ///
    /// Its id is taken: deployments are immutable.
    pub fn create_deployment(&self, deployment: Deployment) -> Result<(), ConfigError> {
        self.state().add_deployment(deployment)
    }

    /// Deletes a deployment that no stage points to. Roll backs pass it by.
    ///
    /// # Errors
    ///
    /// It does not exist, or a stage (or its canary) points to it.
    pub fn delete_deployment(&self, id: &str) -> Result<(), ConfigError> {
        let mut state = self.state();
        if state.stages.values().any(|stage| stage.points_to(id)) {
            let problem = "Active stages pointing to this deployment must be moved or deleted";
            return Err(in_use("deployment", id, problem));
        }
        state.delete_deployment(id)
    }

    /// Deletes every deployment that no stage and no canary points to and no roll back could need; their ids. One that was
    /// created and never served is among them.
    pub fn prune_deployments(&self) -> Vec<String> {
        let mut state = self.state();
        let State { deployments, stages, .. } = &mut *state;
        let unused =
            |id: &String| !stages.values().any(|stage| stage.points_to(id) || stage.history.contains(id));
        let pruned: Vec<_> = deployments.keys().filter(|id| unused(id)).cloned().collect();
        deployments.retain(|id, _| !pruned.contains(id));
        pruned
    }

    /// Ids and descriptions of all deployments, by id.
    pub fn deployments(&self) -> Vec<(String, String)> {
        let state = self.state();
        state.deployments.values().map(|found| (found.id.clone(), found.description.clone())).collect()
    }

    /// Adds a stage.
    ///
    /// # Errors
    ///
    /// Its name is taken or invalid, its deployment unknown, a setting names no method of any deployment, a variable is
    /// invalid.
    pub fn create_stage(&self, stage: Stage) -> Result<(), ConfigError> {
        self.change(|state| state.add_stage(stage))
    }

    /// Deletes a stage; requests in flight on it finish.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn delete_stage(&self, name: &str) -> Result<(), ConfigError> {
        self.change(|state| state.stages.remove(name).map(drop).ok_or_else(|| unknown_stage(name)))
    }

    /// A stage as it is configured.
    pub fn stage(&self, name: &str) -> Option<Stage> {
        self.state().stages.get(name).map(|entry| entry.stage.clone())
    }

    /// The throttles of a stage's methods (not the canary's) and what is left of each at this moment of `clock`, which is
    /// that of the `UsagePlans` that charge them; in the order of their resources. Empty for an unknown stage.
    pub fn throttles(&self, stage: &str, clock: &Clock) -> Vec<StageThrottle> {
        let snapshot = self.snapshot();
        let Some(found) = snapshot.stage(stage.as_bytes()) else { return Vec::new() };
        let now = clock.now().monotonic_nanos();
        let declared = found.main.routes.all_declared().iter().zip(&found.main.settings);
        let throttles = declared.flat_map(|(method, settings)| {
            settings.throttles(method.verb_name()).map(move |(verb, bucket)| StageThrottle {
                resource_path: method.resource_path.to_string(),
                method: verb.to_owned(),
                throttle: bucket.throttle,
                tokens_left: bucket.settled(*bucket.slot.lock()).available(bucket.throttle, now),
                shadow: bucket.shadow,
                id: bucket.id,
                past: bucket.past.clone(),
            })
        });
        throttles.collect()
    }

    /// Names of all stages.
    pub fn stage_names(&self) -> Vec<String> {
        self.state().stages.keys().cloned().collect()
    }

    /// Moves a stage to a deployment: new requests are served by it, requests in flight finish where they started.
    ///
    /// # Errors
    ///
    /// Stage or deployment is unknown, or the stage has a canary (promote or remove it first).
    pub fn deploy(&self, stage: &str, deployment_id: &str) -> Result<(), ConfigError> {
        self.change(|state| {
            let limit = state.history_limit;
            let entry = state.stage(stage)?;
            if entry.stage.canary.is_some() {
                let problem = "the stage has a canary: promote or remove it before another deployment";
                return Err(in_use("stage", stage, problem));
            }
            entry.point_to(deployment_id, limit);
            Ok(())
        })
    }

    /// Moves a stage back to the deployment it had before the present one and returns that one's id.
    ///
    /// # Errors
    ///
    /// As for [`deploy`](Self::deploy); or there was none before.
    pub fn roll_back(&self, stage: &str) -> Result<String, ConfigError> {
        self.change(|state| {
            let entry = state.stage(stage)?;
            if entry.stage.canary.is_some() {
                let problem = "the stage has a canary: promote or remove it before a roll back";
                return Err(in_use("stage", stage, problem));
            }
            if entry.history.len() < 2 {
                return Err(missing("stage", stage, "there is no earlier deployment to roll back to"));
            }
            entry.history.pop();
            let previous = entry.history.last().cloned().unwrap_or_default();
            entry.stage.deployment_id.clone_from(&previous);
            Ok(previous)
        })
    }

    /// The deployments that roll backs lead through, oldest first, the present one last: as many as
    /// [`StagesBuilder::history_limit`] says. [`roll_back`](Self::roll_back) takes the one that it leaves off the end, so
    /// that the next one goes further back, and a deployment that is deployed again stands here again. All that there
    /// are: [`deployments`](Self::deployments).
    pub fn history(&self, stage: &str) -> Vec<String> {
        self.state().stages.get(stage).map(|entry| entry.history.clone()).unwrap_or_default()
    }

    /// Sets a stage variable.
    ///
    /// # Errors
    ///
    /// The stage is unknown, name or value invalid.
    pub fn set_variable(&self, stage: &str, name: &str, value: &str) -> Result<(), ConfigError> {
        check_variable(name, value)?;
        self.change(|state| {
            state.stage(stage)?.stage.variables.insert(name.to_owned(), value.to_owned());
            Ok(())
        })
    }

    /// Removes a stage variable.
    ///
    /// # Errors
    ///
    /// The stage is unknown, or has no variable of that name.
    pub fn remove_variable(&self, stage: &str, name: &str) -> Result<(), ConfigError> {
        self.change(|state| {
            let removed = state.stage(stage)?.stage.variables.remove(name);
            removed.map(drop).ok_or_else(|| missing("stage variable name", name, "is not set"))
        })
    }

    /// Sets the settings of a method or of `*/*`. A bucket keeps its state when its numbers change. Settings of a method
    /// that the deployment does not declare wait for one that does ([`unused_settings`](Self::unused_settings)), as on
    /// AWS.
    ///
    /// # Errors
    ///
    /// The stage is unknown, or the key names no method of any deployment.
    pub fn set_settings(&self, stage: &str, key: &str, settings: MethodSettings) -> Result<(), ConfigError> {
        self.change(|state| {
            let mut given = SettingsMap::default();
            given.insert(key, settings);
            state.stage(stage)?.stage.settings.insert(key, settings);
            state.check_settings(&given)
        })
    }

    /// Settings that apply to nothing at this moment, by stage and key as they were given: the stage's deployment
    /// declares no such method, nor does its canary's.
    pub fn unused_settings(&self) -> Vec<(String, String)> {
        let (state, snapshot) = (self.state(), self.snapshot());
        let mut unused = Vec::new();
        for (name, entry) in &state.stages {
            let Some(running) = snapshot.stage(name.as_bytes()) else { continue };
            let scopes = running.canary.iter().map(|canary| &canary.scope).chain([&running.main]);
            let tables: Vec<_> = scopes.map(|scope| scope.routes.all_declared()).collect();
            unused.extend(entry.stage.settings.unknown(&tables).map(|key| (name.clone(), key.to_owned())));
        }
        unused
    }

    /// Removes settings.
    ///
    /// # Errors
    ///
    /// The stage is unknown, or there are no settings under that key.
    pub fn remove_settings(&self, stage: &str, key: &str) -> Result<(), ConfigError> {
        self.change(|state| {
            let removed = state.stage(stage)?.stage.settings.remove(key);
            // AWS's words, with its trailing space.
            let problem = || {
                format!(
                    "Cannot remove method setting {key} because there is no method setting for this method "
                )
            };
            removed.then_some(()).ok_or_else(|| missing("method settings", key, problem()))
        })
    }

    /// How often the throttle of a method (`pets/GET`), or of all (`*/*`), would have refused in shadow mode since the
    /// stage was created.
    ///
    /// # Errors
    ///
    /// The stage is unknown.
    pub fn shadow_count(&self, stage: &str, method_path: &str) -> Result<u64, ConfigError> {
        let (mut state, key) = (self.state(), normalise(method_path));
        let buckets = &state.stage(stage)?.buckets;
        let wanted = buckets.iter().filter(|(name, _)| key == ALL_METHODS || **name == key);
        Ok(wanted.map(|(_, bucket)| bucket.slot.shadowed()).sum())
    }

    /// Creates or replaces the stage's canary.
    ///
    /// # Errors
    ///
    /// Stage or deployment is unknown, the share is not from 0 to 100, an override is invalid.
    pub fn set_canary(&self, stage: &str, canary: CanarySettings) -> Result<(), ConfigError> {
        canary.check()?;
        self.change(|state| {
            state.stage(stage)?.stage.canary = Some(canary);
            Ok(())
        })
    }

    /// Makes the canary's deployment and variables those of the stage. Overrides are merged into the variables; the
    /// canary stays, at 0.0 percent, as on AWS: [`remove_canary`](Self::remove_canary) ends it.
    ///
    /// # Errors
    ///
    /// The stage is unknown or has no canary.
    pub fn promote_canary(&self, stage: &str) -> Result<(), ConfigError> {
        self.change(|state| {
            let limit = state.history_limit;
            let entry = state.stage(stage)?;
            let Some(canary) = &mut entry.stage.canary else {
                return Err(missing("stage", stage, "Promotion not available. Canary does not exist."));
            };
            canary.percent_traffic = 0.0;
            let deployment = canary.deployment_id.clone();
            entry.stage.variables.extend(canary.overrides.clone());
            entry.point_to(&deployment, limit);
            Ok(())
        })
    }

    /// Ends the canary: all requests go to the stage's own deployment.
    ///
    /// # Errors
    ///
    /// The stage is unknown or has no canary.
    pub fn remove_canary(&self, stage: &str) -> Result<(), ConfigError> {
        self.change(|state| {
            let removed = state.stage(stage)?.stage.canary.take();
            removed.map(drop).ok_or_else(|| missing("stage", stage, "has no canary"))
        })
    }

    /// All custom domains, by name.
    pub fn domains(&self) -> Vec<CustomDomain> {
        let mut domains = self.state().domains.clone();
        domains.sort_by(|one, other| one.name().cmp(other.name()));
        domains
    }

    /// Adds or replaces a custom domain.
    ///
    /// # Errors
    ///
    /// The name or a mapping is invalid, or a stage unknown.
    pub fn set_domain(&self, domain: CustomDomain) -> Result<(), ConfigError> {
        let domain = domain.compile()?;
        self.change(|state| state.set_domain(domain))
    }

    /// Removes a custom domain: its host is one like any other from then on.
    ///
    /// # Errors
    ///
    /// There is no domain of that name.
    pub fn remove_domain(&self, name: &str) -> Result<(), ConfigError> {
        self.change(|state| {
            let before = state.domains.len();
            state.domains.retain(|own| !own.name().eq_ignore_ascii_case(name));
            let removed = state.domains.len() < before;
            removed.then_some(()).ok_or_else(|| missing("custom domain", name, "does not exist"))
        })
    }

    /// The tables that a stage runs on: its own and its canary's.
    #[cfg(feature = "gateway")]
    pub(crate) fn routes_of(&self, stage: &str) -> Vec<Routes> {
        let snapshot = self.snapshot();
        let Some(found) = snapshot.stage(stage.as_bytes()) else { return Vec::new() };
        let canary = found.canary.iter().map(|canary| &canary.scope);
        std::iter::once(&found.main).chain(canary).map(|scope| scope.routes.clone()).collect()
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn all_routes(&self) -> Vec<Routes> {
        let state = self.state();
        state.deployments.values().map(|deployment| deployment.routes.clone()).collect()
    }

    /// One edit: changes a copy of what is stored, rebuilds, and swaps; on an error nothing has changed.
    fn change<T>(&self, edit: impl FnOnce(&mut State) -> Result<T, ConfigError>) -> Result<T, ConfigError> {
        let mut state = self.state();
        let before = state.backup();
        let edited = edit(&mut state).and_then(|value| Ok((value, state.snapshot()?)));
        match edited {
            Ok((value, snapshot)) => {
                self.0.snapshot.store(Arc::new(snapshot));
                Ok(value)
            }
            Err(error) => {
                state.restore(before);
                Err(error)
            }
        }
    }
}

fn in_use(location: &'static str, value: &str, problem: &'static str) -> ConfigError {
    ConfigError::new(location, value, problem).with_kind(ConfigErrorKind::InUse)
}

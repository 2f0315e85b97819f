//! Stages and method throttles of plans that would never apply: what they name is known only where plans and stages meet.

use super::{BuildError, Gateway, Phases, builder::conflict};
use crate::{
    route::Routes,
    usage_plan::{NamedMethod, UsagePlanLayer},
};

impl Phases {
    fn method_throttles(&self) -> Vec<NamedMethod> {
        self.usage_plan.as_ref().map(|layer| layer.named_methods()).unwrap_or_default()
    }

    /// What a plan names must be there. Of plans that a file or a fleet keeps, stages and methods may be created yet.
    pub(super) fn check_plans(&self) -> Result<(), BuildError> {
        if self.usage_plan.as_ref().is_some_and(UsagePlanLayer::are_plans_kept) {
            return Ok(());
        }
        self.check_plan_stages()?;
        self.check_method_throttles()
    }

    /// A plan for a stage that there is not: its keys would be refused everywhere.
    fn check_plan_stages(&self) -> Result<(), BuildError> {
        let named = self.usage_plan.as_ref().map(|layer| layer.named_stages()).unwrap_or_default();
        match named.into_iter().find(|(_, stage)| self.stages.stage(stage).is_none()) {
            Some((plan, stage)) => conflict(
                format!("stage `{stage}` of usage plan `{plan}`"),
                "stages",
                "there is no such stage: the plan would never apply to it",
            ),
            None => Ok(()),
        }
    }

    /// Another deployment may be about to bring the method; a name that none declares is a mistake.
    fn check_method_throttles(&self) -> Result<(), BuildError> {
        let tables = self.stages.all_routes();
        let is_known = |method: &NamedMethod| {
            self.stages.stage(&method.stage).is_some()
                && tables.iter().any(|table| table.declares(&method.key))
        };
        match self.method_throttles().into_iter().find(|method| !is_known(method)) {
            Some(method) => conflict(
                method.to_string(),
                "stages",
                "there is no such stage, or no deployment declares the method: the throttle would never apply",
            ),
            None => Ok(()),
        }
    }
}

impl<C> Gateway<C> {
    /// Method throttles of plans that apply to nothing at this moment, by what the deployments that run declare (a
    /// canary's among them): edits of plans and stages at run time are not held against each other. Each as a sentence's
    /// subject: ``method throttle `/pets POST` on stage `prod` of usage plan `gold` ``.
    pub fn unused_method_throttles(&self) -> Vec<String> {
        let runs = |stage: &str| self.phases.stages.routes_of(stage);
        let is_used = |method: &NamedMethod| {
            runs(&method.stage).iter().any(|table: &Routes| table.declares(&method.key))
        };
        let methods = self.phases.method_throttles().into_iter();
        methods.filter(|method| !is_used(method)).map(|method| method.to_string()).collect()
    }
}

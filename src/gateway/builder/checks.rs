//! Parts that make no sense together.

use super::{BuildError, Parts, conflict};
#[cfg(feature = "sigv4")]
use crate::sigv4::SigV4AuthLayer;
use crate::{api_key::ApiKeyLayer, route::ApiMethod, usage_plan::UsagePlanLayer};

impl Parts {
    pub(super) fn check(&self) -> Result<(), BuildError> {
        if self.stages.is_some() && self.routes.is_some() {
            return conflict("routes", "stages", "stages bring their own routes in their deployments");
        }
        if let Some(method) = self.method_with_key().filter(|_| self.api_key.is_none()) {
            return conflict(
                method,
                "api_keys",
                "the method requires a key, and there are no keys to check it by",
            );
        }
        self.check_authorizers()?;
        self.check_unread()?;
        if self.api_key.as_ref().is_some_and(ApiKeyLayer::reads_authorizer) && !self.authorizers.gives_keys()
        {
            return conflict(
                "api_key with ApiKeySource::Authorizer",
                "authorizer",
                "keys come from the result of a Lambda-style authorizer, and there is none",
            );
        }
        let Some(plans) = &self.usage_plan else { return Ok(()) };
        if plans.is_by_principal() && self.principal.is_none() && self.authorizers.is_empty() {
            return conflict("plan by principal", "principal", "nothing establishes a principal");
        }
        match plans.first_plan_id() {
            Some(plan) if self.api_key.is_none() && !plans.is_by_principal() => conflict(
                format!("usage plan `{plan}`"),
                "api_keys or plan_by_principal",
                "a plan applies to keys or, by your choice, to principals, and there are neither",
            ),
            _ => self.check_keys_are_asked_for(plans),
        }
    }

    /// Plans of keys that nobody is asked for limit nobody: an open gateway, where the contrary was meant.
    fn check_keys_are_asked_for(&self, plans: &UsagePlanLayer) -> Result<(), BuildError> {
        let asks =
            self.api_key.as_ref().is_some_and(ApiKeyLayer::asks_always) || self.method_with_key().is_some();
        match plans.first_with_keys().filter(|_| !asks && !plans.is_by_principal() && !plans.are_plans_kept())
        {
            Some(plan) => conflict(
                format!("usage plan `{plan}`"),
                "routes or stages",
                "it has keys, and no method requires one (`ApiMethod::api_key_required`): none is ever asked for",
            ),
            None => Ok(()),
        }
    }

    /// What methods are guarded by must be there, and judge by what guards the API.
    fn check_authorizers(&self) -> Result<(), BuildError> {
        let unserved = |method: &ApiMethod| !self.authorizers.serves(&method.authorization);
        if let Some(method) = self.first_method(unserved) {
            return conflict(
                method,
                "sigv4, authorizer, jwt_authorizer or cognito_authorizer",
                "the method names an authorization that nothing here asks for",
            );
        }
        #[cfg(feature = "sigv4")]
        if self.authorizers.sigv4.as_ref().is_some_and(SigV4AuthLayer::asks_always)
            && let Some(method) = self.first_method(|method| method.authorization.authorizer().is_some())
        {
            return conflict(
                method,
                "sigv4",
                "the method names another authorizer, and the layer asks every request for a signature (`PerMethod` does not)",
            );
        }
        Ok(())
    }

    /// The first declared method that requires a key.
    fn method_with_key(&self) -> Option<String> {
        self.first_method(|method| method.api_key_required)
    }
}

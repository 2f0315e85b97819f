//! The phase that asks who is calling: every kind of authorizer, each for the methods that name it.

#[cfg(any(feature = "sigv4", feature = "authorizer"))]
use super::BuildError;
#[cfg(any(feature = "sigv4", feature = "authorizer"))]
use super::slot::Slot;
use super::slot::SlotService;
#[cfg(feature = "authorizer")]
use crate::authorizer::{AuthorizerLayer, AuthorizerService};
#[cfg(feature = "jwt")]
use crate::jwt::{CognitoAuthorizerLayer, JwtAuthorizerLayer, TokenService};
#[cfg(any(feature = "sigv4", feature = "authorizer"))]
use crate::resource_policy::{ResourcePolicy, ResourcePolicyLayer};
use crate::route::Authorization;
#[cfg(feature = "sigv4")]
use crate::sigv4::{Keep, SigV4AuthLayer, SigV4AuthService};
#[cfg(any(feature = "sigv4", feature = "authorizer"))]
use tower_layer::Layer;

/// The authorizers of a gateway. A method has one authorization, so at most one of them acts on a request, and their
/// order says nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Authorizers {
    #[cfg(feature = "sigv4")]
    pub(super) sigv4: Option<SigV4AuthLayer>,
    #[cfg(feature = "authorizer")]
    pub(super) custom: Option<AuthorizerLayer>,
    #[cfg(feature = "jwt")]
    pub(super) jwt: Option<JwtAuthorizerLayer>,
    #[cfg(feature = "jwt")]
    pub(super) cognito: Option<CognitoAuthorizerLayer>,
}

/// Gives a layer the gateway's policy, if the layer is there.
#[cfg(any(feature = "sigv4", feature = "authorizer"))]
fn give<L>(
    other: &'static str,
    slot: &mut Option<L>,
    policy: &ResourcePolicy,
    give: impl FnOnce(L, &ResourcePolicy) -> Result<L, &'static str>,
) -> Result<(), BuildError> {
    let Some(layer) = slot.take() else { return Ok(()) };
    let conflict = |problem| BuildError::Conflict { part: "resource_policy".into(), other, problem };
    *slot = Some(give(layer, policy).map_err(conflict)?);
    Ok(())
}

#[cfg(feature = "sigv4")]
type Signed<S> = SlotService<SigV4AuthService<S, Keep>, S>;
#[cfg(not(feature = "sigv4"))]
type Signed<S> = S;
#[cfg(feature = "authorizer")]
type Custom<S> = SlotService<AuthorizerService<S>, S>;
#[cfg(not(feature = "authorizer"))]
type Custom<S> = S;
#[cfg(feature = "jwt")]
type Tokens<S> = SlotService<TokenService<S>, S>;
#[cfg(not(feature = "jwt"))]
type Tokens<S> = S;

/// All authorizers around a service, or the service: a gateway without any goes past them in one step, because each slot
/// moves the future of the request once more.
pub type Authorized<S> = SlotService<Signed<Custom<Tokens<Tokens<S>>>>, S>;

impl Authorizers {
    /// Those that know a caller judge by the gateway's resource policy and what they know, together.
    #[cfg(any(feature = "sigv4", feature = "authorizer"))]
    pub(super) fn judging_by(mut self, policy: Option<&ResourcePolicyLayer>) -> Result<Self, BuildError> {
        let Some(policy) = policy.map(ResourcePolicyLayer::policy) else { return Ok(self) };
        #[cfg(feature = "sigv4")]
        give("sigv4", &mut self.sigv4, policy, SigV4AuthLayer::with_policy_of)?;
        #[cfg(feature = "authorizer")]
        give("authorizer", &mut self.custom, policy, AuthorizerLayer::with_policy_of)?;
        Ok(self)
    }

    pub(super) fn layer<S>(&self, service: S) -> Authorized<S> {
        if self.is_empty() {
            return SlotService::Empty(service);
        }
        #[cfg(feature = "jwt")]
        let service = Slot(self.cognito.clone()).layer(Slot(self.jwt.clone()).layer(service));
        #[cfg(feature = "authorizer")]
        let service = Slot(self.custom.clone()).layer(service);
        #[cfg(feature = "sigv4")]
        let service = Slot(self.sigv4.clone().map(SigV4AuthLayer::in_gateway)).layer(service);
        SlotService::Filled(service)
    }

    /// Whether there is one whose result may name an API key.
    pub(super) fn gives_keys(&self) -> bool {
        self.serves(&Authorization::custom(""))
    }

    /// Whether there is none, so that nothing can wait before the phases behind.
    pub(super) fn is_empty(&self) -> bool {
        let kinds = [
            Authorization::AwsIam,
            Authorization::custom(""),
            Authorization::jwt(""),
            Authorization::cognito_user_pools(""),
        ];
        !kinds.iter().any(|kind| self.serves(kind))
    }

    /// Whether somebody asks for what a method wants. Which name it has is the authorizer's own question.
    pub(super) fn serves(&self, authorization: &Authorization) -> bool {
        match authorization {
            Authorization::None => true,
            #[cfg(feature = "sigv4")]
            Authorization::AwsIam => self.sigv4.is_some(),
            #[cfg(feature = "authorizer")]
            Authorization::Custom(_) => self.custom.is_some(),
            #[cfg(feature = "jwt")]
            Authorization::Jwt(_) => self.jwt.is_some(),
            #[cfg(feature = "jwt")]
            Authorization::CognitoUserPools(_) => self.cognito.is_some(),
            #[cfg(not(all(feature = "sigv4", feature = "authorizer", feature = "jwt")))]
            _ => false,
        }
    }
}

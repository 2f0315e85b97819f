//! `UsagePlanLayer`: who pays, how much, and moving the data.

use super::{
    admit::{Limits, Refusal, SharedThrottle, Spent},
    directory::{Directory, PlanState},
    headers::{RateLimitFields, Report, write_retry_after},
    plans::UsagePlans,
    reservation::{Charged, UsageReservation},
    shard::{Demand, charge_shared},
};
use crate::{
    context::{ContextConfig, Principal, RequestContext, subject},
    filter::Head,
    future::ResponseFuture,
    response::{Cause, GatewayError, ResponseType},
    route::{MatchedRoute, Routes, Scope},
    throttle::SharedBucket,
};
use bytes::Bytes;
use http::{Method, Request, Response};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

type CostFn = dyn Fn(Head<'_>, &RequestContext) -> u32 + Send + Sync;
type ReserveFn = dyn Fn(Head<'_>, &RequestContext) -> Option<u32> + Send + Sync;
type PlanFn = dyn Fn(&Principal) -> Option<String> + Send + Sync;

/// Charges requests to throttles and quotas; see the [module docs](super).
#[derive(Clone)]
pub struct UsagePlanLayer {
    config: Arc<Config>,
}

#[derive(Clone)]
struct Config {
    plans: UsagePlans,
    scope: Option<Arc<Scope>>,
    context: ContextConfig,
    cost: Option<Arc<CostFn>>,
    reserve: Option<Arc<ReserveFn>>,
    by_principal: Option<Arc<PlanFn>>,
    headers: bool,
    /// Whether the gateway's outermost phase writes the `RateLimit` field.
    in_gateway: bool,
}

impl UsagePlanLayer {
    /// Every request costs 1, and is charged to the plan of its verified API key.
    pub fn new(plans: UsagePlans) -> Self {
        let context = ContextConfig::with_clock(plans.clock().clone());
        let headers = plans.sends_headers();
        let config = Config {
            plans,
            scope: None,
            context,
            cost: None,
            reserve: None,
            by_principal: None,
            headers,
            in_gateway: false,
        };
        Self { config: Arc::new(config) }
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Resources with their settings, for a layer used alone: the method throttles of plans and of
    /// [`RoutesBuilder::settings`](crate::route::RoutesBuilder::settings) need them. Behind a stage, the stage's own
    /// take their place.
    #[must_use]
    pub fn routes(self, routes: &Routes) -> Self {
        self.change(|config| config.scope = Some(routes.scope()))
    }

    /// The weight of a request, in place of 1. What costs 0 is free.
    #[must_use]
    pub fn cost(self, cost: impl Fn(Head<'_>, &RequestContext) -> u32 + Send + Sync + 'static) -> Self {
        self.change(|config| config.cost = Some(Arc::new(cost)))
    }

    /// For a cost that is known only afterwards: `Some(estimate)` is charged now, and a [`UsageReservation`] in the
    /// extensions of the request lets the handler commit the real cost. `None`: the request has a fixed cost.
    #[must_use]
    pub fn reserve(
        self,
        estimate: impl Fn(Head<'_>, &RequestContext) -> Option<u32> + Send + Sync + 'static,
    ) -> Self {
        self.change(|config| config.reserve = Some(Arc::new(estimate)))
    }

    /// The plan of a caller without an API key, by its principal. `None`: no plan, so only the throttles of stage
    /// and account apply. A plan that does not exist or does not cover the stage refuses, like a key in no plan.
    #[must_use]
    pub fn plan_by_principal(
        self,
        choose: impl Fn(&Principal) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.change(|config| config.by_principal = Some(Arc::new(choose)))
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn in_gateway(self, aws_exact: bool) -> Self {
        self.change(|config| (config.headers, config.in_gateway) = (config.headers && !aws_exact, true))
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn is_by_principal(&self) -> bool {
        self.config.by_principal.is_some()
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn first_plan_id(&self) -> Option<String> {
        self.config.plans.first_plan_id()
    }
}

impl fmt::Debug for UsagePlanLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsagePlanLayer").field("plans", &self.config.plans).finish_non_exhaustive()
    }
}

/// An admitted request: what its answer will say, and the handle of a reserved cost.
struct Admitted {
    fields: RateLimitFields,
    reservation: Option<UsageReservation>,
}

/// A refused one.
struct Refused {
    cause: Cause,
    retry_after: Option<u64>,
    fields: RateLimitFields,
}

impl Refused {
    /// A key in no plan of the stage: the same answer as for no key.
    fn not_in_plan() -> Self {
        Self::forbidden(Cause::ApiKeyNotInPlan)
    }

    fn forbidden(cause: Cause) -> Self {
        Self { cause, retry_after: None, fields: RateLimitFields::default() }
    }

    fn new(refusal: Refusal, fields: RateLimitFields) -> Self {
        Self { cause: refusal.cause, retry_after: refusal.retry_after, fields }
    }

    fn through(mut self, context: Option<&RequestContext>) -> Self {
        self.fields = self.fields.through(context);
        self
    }

    fn into_response<R: From<Bytes>>(self, context: &RequestContext, headers: bool) -> Response<R> {
        let response_type = match self.cause {
            Cause::Quota => ResponseType::QuotaExceeded,
            Cause::ApiKeyNotInPlan | Cause::ApiKeyMissing => ResponseType::InvalidApiKey,
            _ => ResponseType::Throttled,
        };
        let mut response = GatewayError::new(response_type, self.cause).refuse(context);
        self.fields.write(response.headers_mut());
        if let Some(seconds) = self.retry_after.filter(|_| headers) {
            write_retry_after(response.headers_mut(), seconds);
        }
        response
    }
}

/// Whose state a request is charged to.
enum Payer<'a> {
    Key(u128),
    Principal(u128, &'a PlanState),
    Nobody,
}

impl Config {
    fn decide<B>(&self, context: &RequestContext, request: &Request<B>) -> Result<Admitted, Refused> {
        let route = context.route_or_match(self.scope.as_ref(), request.uri().path());
        let stage = route.and_then(|route| route.scope.stage.as_ref()).map(|stage| &*stage.name);
        let directory = self.plans.directory();
        let payer = self.payer(context, &directory, route, stage)?;
        let (cost, reserved) = self.cost_of(context, request);
        let demand = Demand {
            stage: stage_bucket(route, request.method()),
            account: directory.account.as_ref(),
            now: self.plans.now(),
            cost,
        };
        let place = Place { stage, route, verb: request.method() };
        let through = self.in_gateway.then_some(context);
        let charged = self.charge(&directory, &payer, &place, &demand);
        let (fields, charged) = charged.map_err(|refused| refused.through(through))?;
        let fields = fields.through(through);
        let reservation = reserved
            .then(|| UsageReservation::new(self.plans.clone(), cost, charged, demand.stage, demand.account));
        Ok(Admitted { fields, reservation })
    }

    fn payer<'a>(
        &self,
        context: &RequestContext,
        directory: &'a Directory,
        route: Option<&MatchedRoute>,
        stage: Option<&str>,
    ) -> Result<Payer<'a>, Refused> {
        if let Some(key) = context.api_key() {
            return Ok(Payer::Key(key.subject()));
        }
        // `ApiKeyLayer` has refused such a request; without one, nobody may call what needs a key.
        if route.is_some_and(|route| route.declared().method.api_key_required) {
            return Err(Refused::forbidden(Cause::ApiKeyMissing));
        }
        let (Some(choose), Some(principal)) = (&self.by_principal, context.principal()) else {
            return Ok(Payer::Nobody);
        };
        let Some(plan_id) = choose(principal) else { return Ok(Payer::Nobody) };
        let plan = directory.named(&plan_id).filter(|plan| plan.plan.covers(stage));
        let plan = plan.ok_or_else(Refused::not_in_plan)?;
        Ok(Payer::Principal(subject("principal", principal.id()), plan))
    }

    /// The cost, and whether it is an estimate.
    fn cost_of<B>(&self, context: &RequestContext, request: &Request<B>) -> (u32, bool) {
        let estimate = self.reserve.as_ref().and_then(|estimate| estimate(Head::of(request), context));
        let fixed = || self.cost.as_ref().map_or(1, |cost| cost(Head::of(request), context));
        estimate.map_or_else(|| (fixed(), false), |estimate| (estimate, true))
    }

    fn charge(
        &self,
        directory: &Directory,
        payer: &Payer<'_>,
        place: &Place<'_>,
        demand: &Demand<'_>,
    ) -> Result<(RateLimitFields, Option<Charged>), Refused> {
        let (mut shard, index, plan) = match payer {
            Payer::Nobody => return charge_nobody(demand),
            Payer::Key(subject) => {
                let shard = self.plans.table().lock(*subject);
                let covers = |slot| directory.at(slot).is_some_and(|plan| plan.plan.covers(place.stage));
                let index = shard.find(*subject, covers).ok_or_else(Refused::not_in_plan)?;
                let plan = shard.plan_at(index).and_then(|slot| directory.at(slot));
                (shard, index, plan.ok_or_else(Refused::not_in_plan)?)
            }
            Payer::Principal(subject, plan) => {
                let mut shard = self.plans.table().lock(*subject);
                let index = shard.find_or_insert(*subject, plan, directory, demand.now);
                (shard, index, *plan)
            }
        };
        let in_force = plan.in_force(place.stage, place.route, place.verb);
        let outcome = shard.charge(index, plan, in_force, demand).ok_or_else(Refused::not_in_plan)?;
        drop(shard);
        let fields = self.fields(in_force.policy, outcome.report);
        match outcome.refusal {
            Some(refusal) => Err(Refused::new(refusal, fields)),
            None => Ok((fields, Some(outcome.charged))),
        }
    }

    fn fields(&self, policy: Option<&http::HeaderValue>, report: Report) -> RateLimitFields {
        if self.headers { RateLimitFields::new(policy, report) } else { RateLimitFields::default() }
    }
}

/// Where a request goes.
struct Place<'a> {
    stage: Option<&'a str>,
    route: Option<&'a MatchedRoute>,
    verb: &'a Method,
}

fn stage_bucket<'a>(route: Option<&'a MatchedRoute>, verb: &Method) -> Option<&'a SharedBucket> {
    route?.settings()?.throttle(verb)
}

/// Without a plan, stage and account still apply.
fn charge_nobody(demand: &Demand<'_>) -> Result<(RateLimitFields, Option<Charged>), Refused> {
    let throttle = |shared: Option<&SharedBucket>| shared.map(SharedThrottle::of);
    let limits =
        Limits { stage: throttle(demand.stage), account: throttle(demand.account), ..Limits::default() };
    let verdict = charge_shared(&limits, &mut Spent::default(), demand);
    verdict.map_err(|refusal| Refused::new(refusal, RateLimitFields::default()))?;
    Ok((RateLimitFields::default(), None))
}

impl<S> Layer<S> for UsagePlanLayer {
    type Service = UsagePlanService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        UsagePlanService { inner, layer: self.clone() }
    }
}

/// The service of [`UsagePlanLayer`].
#[derive(Clone, Debug)]
pub struct UsagePlanService<S> {
    inner: S,
    layer: UsagePlanLayer,
}

impl<S, B, R> Service<Request<B>> for UsagePlanService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, RateLimitFields, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let config = &*self.layer.config;
        let context = config.context.find_or_create(&mut request);
        match config.decide(&context, &request) {
            Ok(admitted) => {
                if let Some(reservation) = admitted.reservation {
                    request.extensions_mut().insert(reservation);
                }
                ResponseFuture::forwarded(self.inner.call(request), admitted.fields)
            }
            Err(refused) => ResponseFuture::refused(refused.into_response(&context, config.headers)),
        }
    }
}

//! `UsagePlanLayer`: who pays, how much, and moving the data.

#[cfg(feature = "gateway")]
use super::shard::Change;
use super::{
    admit::{Limits, SharedThrottle, Spent, TookShared},
    directory::{Directory, PlanState},
    future::{ChargedFuture, Waiting},
    headers::RateLimitFields,
    numbers::Numbers,
    plans::UsagePlans,
    reservation::{Charged, UsageReservation},
    shard::{Demand, Shard, charge_shared},
    verdict::{Admitted, Halt, Refused},
    wait::note_headroom,
};
use crate::{
    clock::Timestamp,
    context::{
        Announced, ContextConfig, Head, KeptCharge, MethodInForce, PlainCharge, Principal, RateLimit,
        RequestContext,
    },
    response::Cause,
    route::{Routes, Scope},
    throttle::SharedBucket,
};
#[cfg(feature = "gateway")]
use crate::{context::VerifiedApiKey, route::MatchedRoute};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use std::{
    fmt,
    mem::ManuallyDrop,
    num::NonZeroU32,
    sync::{Arc, MutexGuard},
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
    pub(super) config: Arc<Config>,
}

#[derive(Clone)]
pub(super) struct Config {
    pub(super) plans: UsagePlans,
    scope: Option<Arc<Scope>>,
    context: ContextConfig,
    cost: Option<Arc<CostFn>>,
    reserve: Option<Arc<ReserveFn>>,
    by_principal: Option<Arc<PlanFn>>,
    pub(super) headers: bool,
    /// The gateway that this is in, where nothing waits between the arrival and this phase: of a context that it made, the
    /// arrival is the present time.
    maker: Option<NonZeroU32>,
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
            maker: None,
        };
        Self { config: Arc::new(config) }
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Resources with their settings, for a layer used alone: the method throttles of plans and of
    /// [`RoutesBuilder::settings`](crate::route::RoutesBuilder::settings) need them. Behind a stage, the stage's own
    /// take their place; tables of other layers do not. A `HEAD` that is not declared goes by `GET`.
    #[must_use]
    pub fn routes(self, routes: &Routes) -> Self {
        self.change(|config| config.scope = Some(routes.scope()))
    }

    /// Whether it has a table of its own.
    #[cfg(feature = "gateway")]
    pub(crate) fn has_routes(&self) -> bool {
        self.config.scope.is_some()
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

    /// The plan of a caller without an API key, by its principal, whose use is counted by id and
    /// [issuer](Principal::issuer). `None`: no plan, so only the throttles of stage and account apply. A plan that does not
    /// exist or does not cover the stage refuses, like a key in no plan.
    ///
    /// Principals are limited, but not reported: [`UsagePlans::usage`], [`limits`](UsagePlans::limits) and
    /// [`update_remaining`](UsagePlans::update_remaining) know API keys only.
    #[must_use]
    pub fn plan_by_principal(
        self,
        choose: impl Fn(&Principal) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.change(|config| config.by_principal = Some(Arc::new(choose)))
    }

    /// The layer as a phase of `Gateway`. `contexts` are what it makes contexts from, where nothing waits between the
    /// arrival of a request and this phase.
    #[cfg(feature = "gateway")]
    pub(crate) fn in_gateway(self, aws_exact: bool, contexts: Option<&ContextConfig>) -> Self {
        let same_clock = contexts.filter(|contexts| self.config.plans.clock().is_same(&contexts.clock));
        let maker = same_clock.and_then(|contexts| contexts.maker);
        self.change(|config| (config.headers, config.maker) = (config.headers && !aws_exact, maker))
    }

    #[cfg(feature = "gateway")]
    pub(crate) fn named_methods(&self) -> Vec<super::NamedMethod> {
        self.config.plans.named_methods()
    }

    /// Plans with the stages that they are for.
    #[cfg(feature = "gateway")]
    pub(crate) fn named_stages(&self) -> Vec<(String, String)> {
        self.config.plans.named_stages()
    }

    /// Whether plans are there that this program did not give.
    #[cfg(feature = "gateway")]
    pub(crate) fn are_plans_kept(&self) -> bool {
        self.config.plans.are_kept()
    }

    /// A plan that keys are attached to.
    #[cfg(feature = "gateway")]
    pub(crate) fn first_with_keys(&self) -> Option<String> {
        self.config.plans.first_with_keys()
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

/// Whose state a request is charged to.
pub(super) enum Payer<'a> {
    Key(u128),
    Principal(u128, &'a PlanState),
    Nobody,
}

impl Config {
    pub(super) fn decide<B>(&self, context: &RequestContext, request: &Request<B>) -> Result<Admitted, Halt> {
        let (own, path) = (self.scope.as_ref(), request.uri().path());
        let method = context.method_in_force(own, request.method(), path);
        let stage = method.and_then(|method| method.stage()).map(|stage| &*stage.name);
        let directory = self.plans.directory();
        let payer = self.payer(context, &directory, method, stage)?;
        let (cost, reserved) = self.cost_of(context, request);
        let bucket = stage_bucket(method, request.method());
        bucket.into_iter().for_each(|bucket| bucket.slot.is_charged_by(self.plans.clock()));
        let demand = Demand {
            stage: bucket,
            account: directory.account.as_ref(),
            now: self.now(context),
            cost,
            reserved: reserved || context.may_be_refused_late(),
            resumed: self.plans.resumed(),
        };
        let place = Place { context, stage, method, verb: request.method() };
        if let Some(lending) = self.plans.lending() {
            return self.decide_leased(lending, &directory, &payer, &place, &demand, reserved);
        }
        let (rate_limit, charged, shared) = self.charge(&directory, &payer, &place, &demand)?;
        Ok(Admitted { rate_limit, reservation: self.keep(context, &demand, charged, shared, reserved) })
    }

    /// The handle of a reserved cost. What a request that may yet be refused was charged is noted in its context.
    pub(super) fn keep(
        &self,
        context: &RequestContext,
        demand: &Demand<'_>,
        charged: Option<Charged>,
        shared: TookShared,
        reserved: bool,
    ) -> Option<UsageReservation> {
        let (stage, account) = shared.only(demand.stage, demand.account);
        let cost = demand.cost;
        let reservation =
            reserved.then(|| UsageReservation::new(self.plans.clone(), cost, charged, stage, account, None));
        if context.may_be_refused_late() {
            context.set_charge(match &reservation {
                Some(reservation) => KeptCharge::Handle(reservation.handle()),
                None => KeptCharge::Plain(PlainCharge {
                    plans: self.plans.address(),
                    stage: stage.map_or(0, SharedBucket::number),
                    account: account.map_or(0, SharedBucket::number),
                    cost,
                    of_plan: charged.map(|charged| charged.keep()),
                }),
            });
        }
        reservation
    }

    /// What a request was charged goes back to where it was taken from.
    #[cfg(feature = "gateway")]
    pub(super) fn give_back(&self, context: &RequestContext, charge: &PlainCharge) {
        if charge.plans != self.plans.address() || charge.cost == 0 {
            return;
        }
        let directory = self.plans.directory();
        let charged = charge.of_plan.map(|kept| Charged::of_kept(subject_of_payer(context), kept));
        // By number: the method may have been rewritten since, and what was removed and set anew was not charged.
        let settings = context.route().and_then(MatchedRoute::settings);
        let stage = settings.and_then(|settings| settings.throttle_of(charge.stage));
        let account = directory.account.as_ref().filter(|account| account.number() == charge.account);
        let change = Change::GiveBack(charge.cost);
        self.plans.settle(charged.as_ref(), stage.into_iter().chain(account), None, change);
    }

    fn now(&self, context: &RequestContext) -> Timestamp {
        if self.maker.is_some() && context.maker() == self.maker {
            context.arrived()
        } else {
            self.plans.now()
        }
    }

    fn payer<'a>(
        &self,
        context: &RequestContext,
        directory: &'a Directory,
        method: Option<MethodInForce<'_>>,
        stage: Option<&str>,
    ) -> Result<Payer<'a>, Refused> {
        if let Some(key) = context.api_key() {
            return Ok(Payer::Key(key.subject()));
        }
        // `ApiKeyLayer` has refused such a request; without one, nobody may call what needs a key.
        if method.is_some_and(|method| method.method().api_key_required) {
            return Err(Refused::forbidden(Cause::ApiKeyMissing));
        }
        let Some(choose) = &self.by_principal else {
            // Inside of this layer, or nowhere, keys are looked at too late: their plans would limit nobody.
            return match context.is_key_seen() || !directory.has_keys(stage) {
                true => Ok(Payer::Nobody),
                false => Err(Refused::forbidden(Cause::ApiKeyMissing)),
            };
        };
        let Some(principal) = context.principal() else { return Ok(Payer::Nobody) };
        let Some(plan_id) = choose(principal) else { return Ok(Payer::Nobody) };
        let plan = directory.named(&plan_id).filter(|plan| plan.plan.covers(stage));
        let plan = plan.ok_or_else(Refused::not_in_plan)?;
        Ok(Payer::Principal(principal.subject(), plan))
    }

    /// The cost, and whether it is an estimate.
    fn cost_of<B>(&self, context: &RequestContext, request: &Request<B>) -> (u32, bool) {
        let estimate = self.reserve.as_ref().and_then(|estimate| estimate(Head::of(request), context));
        let fixed = || self.cost.as_ref().map_or(1, |cost| cost(Head::of(request), context));
        estimate.map_or_else(|| (fixed(), false), |estimate| (estimate, true))
    }

    /// Where the payer's state stands, locked; nobody has none.
    #[inline(always)]
    pub(super) fn entry_of<'a>(
        &'a self,
        directory: &'a Directory,
        payer: &Payer<'a>,
        place: &Place<'_>,
        demand: &Demand<'_>,
    ) -> Result<Option<Found<'a>>, Refused> {
        Ok(match payer {
            Payer::Nobody => None,
            Payer::Key(subject) => {
                let shard = self.plans.table().lock(*subject);
                let (index, plan) =
                    plan_of_key(&shard, *subject, directory, place.stage).ok_or_else(Refused::not_in_plan)?;
                Some((shard, index, plan))
            }
            Payer::Principal(subject, plan) => {
                let mut shard = self.plans.table().lock(*subject);
                let index = shard.find_or_insert(*subject, plan, directory, demand.now);
                Some((shard, index, *plan))
            }
        })
    }

    fn charge(
        &self,
        directory: &Directory,
        payer: &Payer<'_>,
        place: &Place<'_>,
        demand: &Demand<'_>,
    ) -> Result<(Option<RateLimit>, Option<Charged>, TookShared), Refused> {
        let Some((mut shard, index, plan)) = self.entry_of(directory, payer, place, demand)? else {
            return Ok((None, None, charge_nobody(place.context, demand)?));
        };
        let in_force = plan.in_force(place);
        let outcome = shard.charge(index, plan, in_force, demand).ok_or_else(Refused::not_in_plan)?;
        drop(shard);
        let numbers = || Numbers::new(Some(plan), in_force.throttle, demand);
        note_headroom(place.context, numbers, &outcome);
        let rate_limit = self.rate_limit(in_force.policy, outcome.announced);
        match outcome.refusal {
            Some(refusal) => Err(Refused::new(refusal, rate_limit, place.context, numbers)),
            None => Ok((rate_limit, outcome.charged, outcome.shared)),
        }
    }

    pub(super) fn rate_limit(&self, policy: Option<&HeaderValue>, announced: Announced) -> Option<RateLimit> {
        let policy = policy.filter(|_| self.headers)?;
        Some(RateLimit { policy: policy.clone(), announced })
    }
}

/// The entry of a key on the plan that covers the stage, and that plan.
fn plan_of_key<'a>(
    shard: &Shard,
    subject: u128,
    directory: &'a Directory,
    stage: Option<&str>,
) -> Option<(u32, &'a PlanState)> {
    let mut found = None;
    let index = shard.find(subject, |slot| {
        found = directory.at(slot).filter(|plan| plan.plan.covers(stage));
        found.is_some()
    })?;
    Some((index, found?))
}

/// The locked shard of a payer, its entry in it, and the plan that the entry is on.
type Found<'a> = (MutexGuard<'a, Shard>, u32, &'a PlanState);

/// Where a request goes.
pub(super) struct Place<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) stage: Option<&'a str>,
    pub(super) method: Option<MethodInForce<'a>>,
    pub(super) verb: &'a Method,
}

/// Of a request that a plan has charged: the key before the principal.
#[cfg(feature = "gateway")]
fn subject_of_payer(context: &RequestContext) -> u128 {
    let key = context.api_key().map(VerifiedApiKey::subject);
    key.or_else(|| context.principal().map(Principal::subject)).unwrap_or_default()
}

fn stage_bucket<'a>(method: Option<MethodInForce<'a>>, verb: &Method) -> Option<&'a SharedBucket> {
    let (method, settings) = (method?, method?.settings()?);
    settings.throttle(method.stand_in(verb).filter(|_| !settings.names(verb)).unwrap_or(verb))
}

/// Without a plan, stage and account still apply.
pub(super) fn charge_nobody(context: &RequestContext, demand: &Demand<'_>) -> Result<TookShared, Refused> {
    let throttle = |shared: Option<&SharedBucket>| shared.map(SharedThrottle::of);
    let limits =
        Limits { stage: throttle(demand.stage), account: throttle(demand.account), ..Limits::default() };
    let verdict = charge_shared(&limits, &mut Spent::default(), demand);
    let numbers = || Numbers::new(None, None, demand);
    verdict.map_err(|refusal| Refused::new(refusal, None, context, numbers))?;
    Ok(TookShared::of(&limits, verdict))
}

pub(super) fn insert_reservation<B>(request: &mut Request<B>, reservation: Option<UsageReservation>) {
    if let Some(reservation) = reservation {
        request.extensions_mut().insert(reservation);
    }
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
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ChargedFuture<S, B, S::Future, RateLimitFields, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let config = &*self.layer.config;
        let context = config.context.find_or_create(&mut request);
        match config.decide(&context, &request) {
            Ok(admitted) => {
                insert_reservation(&mut request, admitted.reservation);
                drop(context);
                // What must be dropped if the call panics has the future copied; see `future`. All that is lost with these
                // then is a count of a plan's text.
                let fields = ManuallyDrop::new(RateLimitFields::new(admitted.rate_limit));
                ChargedFuture::forwarded(self.inner.call(request), ManuallyDrop::into_inner(fields))
            }
            Err(Halt::Refused(refused)) => {
                ChargedFuture::refused(refused.into_response(&context, &mut request, config.headers))
            }
            Err(Halt::Wait(verdict)) => {
                // The service that was polled ready waits with the request; its clone takes its place.
                let clone = self.inner.clone();
                let service = std::mem::replace(&mut self.inner, clone);
                let headers = config.headers;
                ChargedFuture::waiting(Waiting { verdict, service, request, context, headers })
            }
        }
    }
}

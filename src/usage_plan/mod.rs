//! Usage plans: how much, and how fast.
//!
//! When does a request pass [`UsagePlanLayer`]?
//!
//! 1. A verified API key is charged to the one plan it is in for this stage; a key in none is refused like no key.
//! 2. Without a key, a plan may be chosen by principal; otherwise no plan applies. The layer that verifies the key or names
//!    the principal stands **outside** of this one (see [layers stacked by hand](crate#layers-stacked-by-hand)). Where keys
//!    are attached to a plan for the stage, nothing chooses by principal and no `ApiKeyLayer` stands outside of this layer,
//!    the request is refused: keys would be looked at too late, and the plans limit nobody.
//! 3. Every limit of the request is looked at under its lock: the plan's throttle for the method (in place of the
//!    plan's general one), the stage's throttle for the method, the account's, the quota.
//! 4. If all of them can cover the cost, all are charged. If one cannot, none is charged, and the first such one in that
//!    order is reported.
//! 5. A refusal that comes later, for a body that was read after the charge (413, 408), is the gateway's matter:
//!    `Gateway` gives the charge back. Layers that are stacked by hand do not know of each other, and such a request stays
//!    charged. The `RateLimit` field tells of the moment of admission.
//!
//! | refused by | REST | `Cause` |
//! |---|---|---|
//! | any throttle | 429 `{"message":"Too Many Requests"}`, `TooManyRequestsException` | `PlanMethodThrottle`, `PlanThrottle`, `StageMethodThrottle`, `AccountThrottle` |
//! | quota | 429 `{"message":"Limit Exceeded"}`, `LimitExceededException` | `Quota` |
//! | no plan for this stage | 403 `{"message":"Forbidden"}`, `ForbiddenException` | `ApiKeyNotInPlan` |
//! | a method that requires a key, and none was verified; plans with keys, and no layer outside that looks at keys | the same 403 | `ApiKeyMissing` |
//!
//! Answers carry `RateLimit-Policy` (`"throttle";q=20;w=2, "quota";q=1000;w=2592000`) and `RateLimit`
//! (`"throttle";r=19;t=1, "quota";r=999;t=86400`; draft-ietf-httpapi-ratelimit-headers), refusals `Retry-After` where
//! waiting helps. AWS sends none of them; [`UsagePlansBuilder::rate_limit_headers`] and the gateway's `aws_exact`
//! switch them off.
//!
//! Many processes share plans' limits through a [`store`] ([`UsagePlansBuilder::store`]). Then:
//!
//! 1. A process holds a block of a key's quota and spends it without asking; it asks for more before the block is used
//!    up, reports what it has used, and hands back what it does not need. A request waits only where nothing is in hand.
//! 2. The sum of what is admitted never exceeds the limit. Near its end nothing is held ahead, and a process that has units
//!    is asked to hand them back before anybody is refused. An exhausted key is refused without asking, and looked at again
//!    in the background once a second.
//! 3. A store that [`shares_throttles`](store::UsageStore::shares_throttles) is asked for all tokens of a request at
//!    once; the quota's units are reserved before, and given back where a throttle refuses. So where both would refuse,
//!    the quota is reported, which costs no question. Where no units are in hand, units and tokens are asked for in one
//!    call, if the store can ([`UsageStore::take`](store::UsageStore::take)). With other stores buckets stay in this
//!    process, and the order is the one above.
//! 4. A store that fails costs a request at most the deadline (20 ms), and after a few failures nothing; what then
//!    happens is the plan's ([`UsagePlan::store_failure`]) or the store's [`FailurePolicy`](crate::store::FailurePolicy).
//!    Under `Deny` that is 503 `{"message": "Service Unavailable"}`, `ServiceUnavailableException`,
//!    `Cause::UsageStoreUnavailable`. `UsagePlans::store_counts` says how often. If a store answers, but a further question
//!    does not fit into what is left of the deadline, its last answer counts.
//! 5. A cost that is [committed](UsageReservation::commit) late is reported for the day of its request. It counts against
//!    the quota if that day belongs to the present period, at once in this process, and elsewhere when the store has heard.
//! 6. What is left (`RateLimit`) is what this process knows: units in hand and in the pool, without those that others hold.
//! 7. [`UsagePlans::limits`] says what this process knows; [`UsagePlans::shared_limits`] asks the store, within its
//!    deadline. Each figure says whose it is ([`LimitScope`]).
//!
//! Limits are exact at any number of threads: a throttle admits `burst + rate x time`, a quota its limit. Absent is
//! never zero. An edit of a plan keeps its counts. A quota's day, week or month is a calendar one, in UTC or a given
//! time zone. State lives in memory: for a key that was never used on an earlier day about 95 bytes and the length of
//! its id. Reports and the limits of a caller are those of API keys: there are none by principal.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_gateway::{
//!     context::PrincipalLayer,
//!     throttle::Throttle,
//!     usage_plan::{UsagePlan, UsagePlanLayer, UsagePlans},
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let one = UsagePlan::new("one").throttle(Throttle::new(0.1, 1).unwrap());
//! let plans = UsagePlans::builder().plan(one).build().unwrap();
//! let service = ServiceBuilder::new()
//!     .layer(PrincipalLayer::new(|_| Some("alice".to_owned())))
//!     .layer(UsagePlanLayer::new(plans).plan_by_principal(|_| Some("one".to_owned())))
//!     .service(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok"))) }));
//!
//! let allowed = service.clone().oneshot(Request::new(())).await.unwrap();
//! assert_eq!(allowed.status(), 200);
//! assert_eq!(allowed.headers()["ratelimit"], "\"throttle\";r=0;t=10");
//! let refused = service.oneshot(Request::new(())).await.unwrap();
//! assert_eq!(refused.status(), 429);
//! assert_eq!(refused.headers()["retry-after"], "10");
//! # });
//! ```
//!
//! AWS: "Usage plans and API keys for REST APIs in API Gateway" and "Throttle requests to your REST APIs" in the
//! developer guide.

mod account;
mod admit;
mod builder;
mod claim;
mod days;
mod directory;
mod entry;
mod future;
mod headers;
#[cfg(any(feature = "redb", feature = "redis"))]
#[allow(dead_code, reason = "for the stores outside of the process")]
mod image;
mod index;
mod layer;
mod lease;
mod leased;
mod leases;
mod lending;
mod limits;
mod methods;
mod numbers;
mod observer;
mod plan;
mod plans;
mod quota;
mod report;
mod reservation;
mod resumed;
mod shard;
mod shared;
mod shared_limits;
mod span_cell;
pub mod store;
mod table;
mod verdict;
mod wait;

pub use builder::UsagePlansBuilder;
pub use directory::ShadowCounts;
pub use future::ChargedFuture;
#[cfg(feature = "gateway")]
pub(crate) use future::Waiting;
pub use headers::RateLimitFields;
pub use layer::{UsagePlanLayer, UsagePlanService};
pub use lease::LeaseLedger;
#[cfg(feature = "redb")]
pub(crate) use lease::{HolderRecord, PeriodLedger};
#[cfg(feature = "gateway")]
pub(crate) use limits::NamedMethod;
pub use limits::{LimitScope, MethodThrottleState, PlanLimits, QuotaState, ThrottleState};
pub use plan::{ThrottleScope, UsagePlan};
pub use plans::UsagePlans;
pub use quota::{Quota, QuotaPeriod, Window};
pub use report::{DailyUsage, UsageReport};
pub use reservation::UsageReservation;
pub use shared::SharedUsageError;
pub use shared_limits::SharedLimits;
#[cfg(feature = "gateway")]
pub(crate) use verdict::Stop;

#[cfg(feature = "redb")]
pub(crate) use account::AccountThrottle;
#[cfg(any(feature = "redb", feature = "redis"))]
#[allow(unused_imports, reason = "for the stores outside of the process")]
pub(crate) use observer::{PlanChange, PlanObserver, PlansImage};

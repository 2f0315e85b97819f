//! [`Gateway`]: every layer in the one right order, each optional.
//!
//! The order is stated once, in [`Gateway::layer`]. From outside to inside, and what each phase answers:
//!
//! | # | phase | builder | refuses with |
//! |---|---|---|---|
//! | 1 | context, route match, body | always | nothing yet |
//! | 2 | gateway responses, request ids | [`gateway_responses`](GatewayBuilder::gateway_responses) | re-renders refusals |
//! | 3 | CORS | [`cors`](GatewayBuilder::cors) | answers preflights, whatever the method |
//! | 4 | request filter | [`filter`](GatewayBuilder::filter) | 403 `WAF_FILTERED` |
//! | 5 | stage and route | [`stages`](GatewayBuilder::stages) | 400, 403 `Forbidden`, 403 `Missing Authentication Token` |
//! | 6 | URL, header and payload limits | on by default | 414, 431, 413, 408 |
//! | 7 | principal | [`principal`](GatewayBuilder::principal) | nothing: it only says who |
//! | 8 | API key | [`api_keys`](GatewayBuilder::api_keys) | 403 `INVALID_API_KEY` |
//! | 9 | throttles, then quota | [`usage_plans`](GatewayBuilder::usage_plans) | 429 |
//! | 10 | integration timeout | on by default | 504 |
//!
//! The payload limit stands after the route because limits are per method; the filter stands where AWS WAF does,
//! before every access control. A refused request is charged nothing.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Method, Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_gateway::{
//!     api_key::{ApiKey, ApiKeys},
//!     gateway::Gateway,
//!     route::{ApiMethod, Routes},
//!     stage::Stages,
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let pets = ApiMethod::new().api_key_required(true);
//! let routes = Routes::builder().method("/pets", Method::GET, pets).build().unwrap();
//! let gateway = Gateway::builder()
//!     .stages(Stages::single("prod", routes).unwrap())
//!     .api_keys(ApiKeys::builder().key(ApiKey::new("gold").value("0123456789abcdefghij")).build().unwrap())
//!     .build()
//!     .unwrap();
//! let service = gateway.layer(service_fn(|_: Request<_>| async {
//!     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("cat, dog")))
//! }));
//!
//! let allowed = Request::get("/prod/pets").header("x-api-key", "0123456789abcdefghij");
//! let answer = service.clone().oneshot(allowed.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
//! assert_eq!(answer.status(), 200);
//! let refused = service.oneshot(Request::get("/prod/pets").body(Full::<Bytes>::default()).unwrap()).await.unwrap();
//! assert_eq!(refused.status(), 403);
//! assert!(refused.headers().contains_key("x-amzn-requestid"));
//! # });
//! ```

mod builder;
mod entry;
mod slot;

pub use builder::{BuildError, GatewayBuilder};
pub use entry::{GatewayService, RouteRefusalLayer, RouteRefusalService};
pub use slot::{Slot, SlotFuture, SlotService};

use crate::{
    api_key::{ApiKeyLayer, ApiKeyService},
    body::{BodyLayer, BodyService},
    context::{PrincipalLayer, PrincipalService},
    cors::{CorsLayer, CorsService},
    filter::{FilterLayer, FilterService},
    payload_limit::{InGateway, PayloadLimitInGateway},
    response::{GatewayResponseLayer, GatewayResponseService},
    timeout::{TimeoutLayer, TimeoutService},
    usage_plan::{UsagePlanLayer, UsagePlanService},
};
use entry::Entry;
use std::sync::Arc;
use tower_layer::Layer;

/// The assembled gateway: a layer to put around a whole router (`gateway.layer(router)`), not inside one. A clone
/// is a reference count; see the [module docs](self).
#[derive(Clone, Debug)]
pub struct Gateway {
    phases: Arc<Phases>,
}

/// The phases, outermost first.
#[derive(Debug)]
struct Phases {
    entry: Arc<Entry>,
    responses: GatewayResponseLayer,
    cors: Slot<CorsLayer>,
    filter: Slot<FilterLayer>,
    payload_limit: Slot<InGateway>,
    principal: Slot<PrincipalLayer>,
    api_key: Slot<ApiKeyLayer>,
    usage_plan: Slot<UsagePlanLayer>,
    timeout: Slot<TimeoutLayer>,
}

/// The integration timeout around the service.
type Timed<S> = SlotService<TimeoutService<BodyService<S>>, BodyService<S>>;
/// Throttles and quota around the timeout.
type Metered<S> = SlotService<UsagePlanService<Timed<S>>, Timed<S>>;
/// Key and principal around the plan.
type Keyed<S> = SlotService<ApiKeyService<Metered<S>>, Metered<S>>;
type Known<S> = SlotService<PrincipalService<Keyed<S>>, Keyed<S>>;
/// Limits, then the refusal of unmatched routes.
type Limited<S> = SlotService<PayloadLimitInGateway<Known<S>>, Known<S>>;
type Routed<S> = RouteRefusalService<Limited<S>>;
/// The filter, CORS and gateway responses outside of all that refuses.
type Filtered<S> = SlotService<FilterService<Routed<S>>, Routed<S>>;
type Cors<S> = SlotService<CorsService<Filtered<S>>, Filtered<S>>;
/// All phases around a service.
pub type Stack<S> = GatewayResponseService<Cors<S>>;

impl Gateway {
    /// Starts with the limits and the timeout that AWS has, and nothing else.
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }
}

impl<S: Clone> Layer<S> for Gateway {
    type Service = GatewayService<Stack<S>>;

    /// The one place that states the order; read from the bottom, requests pass upwards from the last line.
    fn layer(&self, service: S) -> Self::Service {
        let phases = &*self.phases;
        // Answers become `GatewayBody` once, so that every phase can refuse whatever the service's body is.
        let stack = BodyLayer.layer(service);
        // Innermost: only the integration is timed, not the wait for a slow client before it.
        let stack = phases.timeout.layer(stack);
        // After the key, whose plan it charges; before anything that costs more than a charge.
        let stack = phases.usage_plan.layer(stack);
        let stack = phases.api_key.layer(stack);
        // Who is calling comes before what a caller may use.
        let stack = phases.principal.layer(stack);
        // After the route: limits are per method.
        let stack = phases.payload_limit.layer(stack);
        let stack = RouteRefusalLayer.layer(stack);
        // In the place of AWS WAF: before the route and every access control.
        let stack = phases.filter.layer(stack);
        // Preflights carry no key and are nobody's traffic; refusals need CORS headers to be readable.
        let stack = phases.cors.layer(stack);
        let stack = phases.responses.layer(stack);
        GatewayService { stack, entry: Arc::clone(&phases.entry) }
    }
}

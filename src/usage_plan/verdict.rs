//! What becomes of a request: admitted, refused, or not known before the store is asked.

use super::{
    admit::Refusal,
    future::Verdict,
    headers::{RateLimitFields, write_retry_after},
    numbers::Numbers,
    reservation::UsageReservation,
};
#[cfg(feature = "gateway")]
use crate::context::KeptCharge;
use crate::{
    context::{RateLimit, RequestContext},
    response::{Cause, GatewayError, Remains, ResponseType},
};
use bytes::Bytes;
use http::{Request, Response};

/// An admitted request: what its answer will say, and the handle of a reserved cost.
pub(crate) struct Admitted {
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) reservation: Option<UsageReservation>,
}

/// Why a request does not go on at once.
pub(super) enum Halt {
    Refused(Refused),
    /// The store must be asked.
    Wait(Verdict),
}

impl From<Refused> for Halt {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// The same, for the phase of `Gateway`.
#[cfg(feature = "gateway")]
pub(crate) enum Stop<R> {
    Refused(Response<R>),
    /// The verdict, and whether refusals carry fields of their own.
    Wait(Verdict, bool),
}

#[cfg(feature = "gateway")]
impl<R> From<Response<R>> for Stop<R> {
    fn from(response: Response<R>) -> Self {
        Self::Refused(response)
    }
}

/// A refused one.
pub(crate) struct Refused {
    cause: Cause,
    retry_after: Option<u64>,
    rate_limit: Option<RateLimit>,
}

impl Refused {
    /// A key in no plan of the stage: the same answer as for no key.
    pub(super) fn not_in_plan() -> Self {
        Self::forbidden(Cause::ApiKeyNotInPlan)
    }

    pub(super) fn forbidden(cause: Cause) -> Self {
        Self { cause, retry_after: None, rate_limit: None }
    }

    /// The limit behind it goes into the context, for whoever looks into it.
    pub(super) fn new(
        refusal: Refusal,
        rate_limit: Option<RateLimit>,
        context: &RequestContext,
        numbers: impl FnOnce() -> Numbers,
    ) -> Self {
        context.note_refused_limit(|| numbers().behind(refusal.cause));
        Self { cause: refusal.cause, retry_after: refusal.retry_after, rate_limit }
    }

    /// What the answer says of the limits, for whoever lets the context carry it.
    pub(super) fn take_rate_limit(&mut self) -> Option<RateLimit> {
        self.rate_limit.take()
    }

    fn error(&self) -> GatewayError {
        let response_type = match self.cause {
            Cause::Quota => ResponseType::QuotaExceeded,
            Cause::ApiKeyNotInPlan | Cause::ApiKeyMissing => ResponseType::InvalidApiKey,
            Cause::UsageStoreUnavailable => return GatewayError::unavailable(self.cause),
            _ => ResponseType::Throttled,
        };
        GatewayError::new(response_type, self.cause)
    }

    pub(super) fn into_response<B, R: From<Bytes>>(
        self,
        context: &RequestContext,
        request: &mut Request<B>,
        headers: bool,
    ) -> Response<R> {
        let mut response = self.error().refuse_with(context, Remains::of(request));
        RateLimitFields::new(self.rate_limit).write(response.headers_mut());
        if let Some(seconds) = self.retry_after.filter(|_| headers) {
            write_retry_after(response.headers_mut(), seconds);
        }
        response
    }
}

#[cfg(feature = "gateway")]
impl super::UsagePlanLayer {
    /// Gives back what a request was charged that was refused after the charge: for its body. Once.
    pub(crate) fn give_back_if_refused(&self, context: &RequestContext) {
        match context.revoked_charge() {
            Some(KeptCharge::Plain(charge)) => self.config.give_back(context, charge),
            Some(KeptCharge::Handle(kept)) => kept.give_back(),
            None => {}
        }
    }

    /// The phase of `Gateway`: charges the request, notes what its answer will say of the limits in the context, and
    /// gives back the answer to a request that is refused.
    pub(crate) fn admit<B, R: From<Bytes>>(
        &self,
        context: &RequestContext,
        request: &mut Request<B>,
    ) -> Result<(), Stop<R>> {
        use super::future::AfterCharge;
        let config = &*self.config;
        match config.decide(context, request) {
            Ok(admitted) => {
                crate::future::Untouched::admitted(admitted.rate_limit, context);
                super::layer::insert_reservation(request, admitted.reservation);
                Ok(())
            }
            Err(Halt::Refused(refused)) => Err(Stop::Refused(crate::future::Untouched::refused(
                refused,
                context,
                request,
                config.headers,
            ))),
            Err(Halt::Wait(verdict)) => Err(Stop::Wait(verdict, config.headers)),
        }
    }
}

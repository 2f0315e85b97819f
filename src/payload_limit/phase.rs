//! The payload limit as a phase of `Gateway`, where bodies are [`GatewayBody`] already.

use super::{PayloadLimitLayer, future::watch};
use crate::{body::GatewayBody, context::RequestContext, response::GatewayError};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::task::{Context, Poll};

impl PayloadLimitLayer {
    /// Whether the body is metered, so that the answer has to be watched; or the refusal.
    pub(crate) fn admit<B>(
        &self,
        context: &RequestContext,
        request: &mut Request<GatewayBody<B>>,
    ) -> Result<bool, GatewayError>
    where
        GatewayBody<B>: Body,
    {
        let meter =
            self.config.check(Some(context), request)?.map(|limit| self.config.meter(limit, context.clone()));
        let watched = meter.is_some();
        meter.into_iter().for_each(|meter| request.body_mut().set_meter(meter));
        Ok(watched)
    }

    /// Our answer in place of the service's, where the body was cut off.
    pub(crate) fn replace<R: From<Bytes>, E>(
        &self,
        context: &RequestContext,
        polled: &Poll<Result<Response<R>, E>>,
        cx: &Context<'_>,
    ) -> Option<Response<R>> {
        watch(context, self.config.limits.as_json, polled, cx)
    }
}

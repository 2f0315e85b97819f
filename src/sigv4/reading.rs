//! A request whose body has to be read before its signature can be judged.

use super::{
    collect::{Collector, check_announced},
    config::{Admitted, Config, Known, Parts, store_failed, unknown_key},
    refusal::Refusal,
    store::{Lookup, LookupFuture},
};
use crate::context::RequestContext;
use bytes::Bytes;
use http::Request;
use http_body::Body;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The head of the request, and the service that is ready for it.
pub(super) struct Reading<S> {
    pub(super) head: Request<()>,
    pub(super) context: RequestContext,
    pub(super) inner: S,
    pub(super) config: Arc<Config>,
    waiting: Waiting,
}

/// What is waited for.
enum Waiting {
    /// Nothing so far. Most bodies are there when they are asked for first, and it stays at that.
    Not,
    Key {
        lookup: LookupFuture,
        now: i64,
    },
    /// Boxed: it is rare, and the future of every request has room for it.
    Body(Box<Arriving>),
}

/// A body on its way.
struct Arriving {
    known: Known,
    collector: Collector,
}

/// The whole body, and that its request may pass.
pub(super) type Read = Result<(Bytes, Admitted), Refusal>;

impl<S> Reading<S> {
    pub(super) fn new(head: Request<()>, context: RequestContext, inner: S, config: Arc<Config>) -> Self {
        Self { head, context, inner, config, waiting: Waiting::Not }
    }

    /// Examines the head, has the access key looked up, reads the body to its end, and judges, in this order.
    pub(super) fn poll<B>(&mut self, body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Read>
    where
        B: Body<Data = Bytes>,
    {
        match self.waiting {
            Waiting::Not => self.begin(body, cx),
            Waiting::Key { .. } | Waiting::Body(_) => self.go_on(body, cx),
        }
    }

    /// Where everything is there already, the head is read once, and nothing kept.
    fn begin<B>(&mut self, mut body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Read>
    where
        B: Body<Data = Bytes>,
    {
        let Self { head, context, config, waiting, .. } = self;
        let (parts, now) = (Parts::of(context, head), config.context.clock.now().unix_seconds());
        let read = config.examined(&parts, now, |claims| {
            let known = match config.store.lookup(claims.credential.access_key()) {
                Lookup::Found(credentials) => Known { credentials, now },
                Lookup::Unknown => return Err(unknown_key()),
                Lookup::Pending(lookup) => {
                    *waiting = Waiting::Key { lookup, now };
                    return Ok(None);
                }
            };
            let mut collector = begin_to_collect(config, &parts, &*body)?;
            if collector.poll(body.as_mut(), cx)?.is_pending() {
                *waiting = Waiting::Body(Box::new(Arriving { known, collector }));
                return Ok(None);
            }
            let (bytes, payload) = collector.finish();
            Ok(Some((bytes, config.judge(&parts, claims, &known, &payload)?)))
        })?;
        match (read, &self.waiting) {
            (Some(read), _) => Poll::Ready(Ok(read)),
            (None, Waiting::Key { .. }) => self.go_on(body, cx),
            (None, _) => Poll::Pending,
        }
    }

    fn go_on<B>(&mut self, body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Read>
    where
        B: Body<Data = Bytes>,
    {
        let Self { head, context, config, waiting, .. } = self;
        let parts = Parts::of(context, head);
        if let Waiting::Key { lookup, now } = waiting {
            let found = ready!(lookup.as_mut().poll(cx)).map_err(|_| store_failed())?;
            let known = Known { credentials: found.ok_or_else(unknown_key)?, now: *now };
            let collector = begin_to_collect(config, &parts, &*body)?;
            *waiting = Waiting::Body(Box::new(Arriving { known, collector }));
        }
        let Waiting::Body(arriving) = waiting else { return Poll::Pending };
        ready!(arriving.collector.poll(body, cx))?;
        let (bytes, payload) = arriving.collector.finish();
        Poll::Ready(Ok((bytes, config.judge_late(&parts, &arriving.known, &payload)?)))
    }
}

/// Refuses a body that is announced above its limit.
fn begin_to_collect<B: Body>(config: &Config, parts: &Parts<'_>, body: &B) -> Result<Collector, Refusal> {
    let limit = config.body_limit(parts);
    check_announced(parts.headers, body, limit)?;
    Ok(Collector::new(limit))
}

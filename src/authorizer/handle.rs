//! The authorizer: its function, its settings, its cache. The handle is the runtime API.

#[cfg(feature = "redis")]
use super::shared::{self, Sharing};
use super::{
    AuthorizerError, AuthorizerEvent,
    answer::{self, AnswerForm, Grant},
    cache::{Entry, Finished, Freshness, Joined, Keep, ResultCache, Waiter},
    call,
    event::EventParts,
    flight::BoxFuture,
    function::{Answered, Function},
    identity::{Asked, IdentitySource, Repeated},
    judge,
    key::{self, CacheKey, CallKey, IdentityDigest},
    peers::{Peers, Revocation},
};
#[cfg(feature = "tracing")]
use crate::context::Credentials;
use crate::{
    clock::{Clock, Timestamp, timer::Sleep},
    context::{AuthorizerCall, KnownBy},
    policy::ExecuteApi,
    response::Cause,
};
use http::{HeaderMap, Method};
use regex_lite::Regex;
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

/// What is told when a cached policy names a single method: the authorizer's name.
pub(super) type SingleMethodHook = dyn Fn(&str) + Send + Sync;

/// A Lambda-style authorizer: a handle, of which a clone is a reference count. Made by
/// [`token`](Self::token), [`request`](Self::request) or [`http_request`](Self::http_request); see the
/// [module docs](super).
#[derive(Clone)]
pub struct Authorizer(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) name: Arc<str>,
    pub(super) form: AnswerForm,
    pub(super) sources: Box<[IdentitySource]>,
    /// The same for those behind.
    pub(super) known_by: Arc<KnownBy>,
    pub(super) validation: Option<Regex>,
    pub(super) ttl: Duration,
    pub(super) negative_ttl: Option<Duration>,
    pub(super) stale_while_revalidate: Duration,
    pub(super) timeout: Duration,
    pub(super) clock: Clock,
    pub(super) function: Box<dyn Function>,
    pub(super) cache: Arc<ResultCache>,
    pub(super) single_method_hook: Option<Box<SingleMethodHook>>,
    pub(super) single_method_policies: AtomicU64,
    pub(super) calls: AtomicU64,
    /// Processes that share revocations.
    pub(super) peers: OnceLock<Arc<dyn Peers>>,
    #[cfg(feature = "redis")]
    pub(super) sharing: Sharing,
}

/// What an authorizer is asked about one request.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) asked: Asked<'a>,
    /// Method and path as they reach the service.
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) api: &'a ExecuteApi,
}

/// How an authorizer answers: at once, or after a call.
pub(super) enum Reply {
    Known(Arc<Entry>, CallKey),
    Ticket(Ticket),
}

/// A call to wait for.
pub(super) enum Ticket {
    /// Of this request alone: nothing is cached.
    Alone(BoxFuture<Finished>),
    Shared(Waiter),
}

impl Ticket {
    /// The result; `None` if the function panicked in another request.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arc<Finished>>> {
        match self {
            Self::Alone(future) => future.as_mut().poll(cx).map(|finished| Some(Arc::new(finished))),
            Self::Shared(waiter) => waiter.poll(cx),
        }
    }
}

impl Authorizer {
    /// The name that methods ask for by [`Authorization::custom`](crate::route::Authorization::custom).
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Forgets every answer. Requests that come from now on wait for a new call; one that already waits for a call
    /// still gets its answer, which is not kept.
    pub fn flush(&self) {
        self.revoke(Revocation::All);
    }

    /// Forgets the answers for a principal, on every stage; how many there were. The id is one that this authorizer's
    /// function has named, whoever else has an id like it. As with [`flush`](Self::flush), no
    /// call that has begun before is kept.
    pub fn revoke_principal(&self, principal_id: &str) -> usize {
        self.revoke(Revocation::Principal(key::principal(&self.0.cache.hash, principal_id)))
    }

    /// Forgets the answers for an identity, on every stage; how many there were. `values` are those of the identity
    /// sources in their order: for a TOKEN authorizer the one token, with its scheme (`Bearer ..`).
    pub fn revoke_identity(&self, values: &[&str]) -> usize {
        let identity = key::identity(&self.0.cache.hash, values.iter().copied());
        self.revoke(Revocation::Identity(identity))
    }

    /// How many answers are cached, expired ones included.
    pub fn cached(&self) -> usize {
        self.0.cache.len()
    }

    /// How often the function has been called.
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Relaxed)
    }

    /// How many answers have been cached whose policy allows a single method. Behind an authorizer with more than one
    /// method that is a defect: the second method is refused until the TTL is over.
    pub fn single_method_policies(&self) -> u64 {
        self.0.single_method_policies.load(Relaxed)
    }

    /// Answers from the cache, or with a ticket for a call.
    pub(super) fn reply(&self, question: Question<'_>) -> Result<Reply, Cause> {
        let inner = &self.0;
        let mut digest =
            IdentityDigest::of(&inner.cache.hash, &inner.sources, question.asked, inner.repeated())?;
        if inner.ttl.is_zero() {
            return Ok(Reply::Ticket(Ticket::Alone(self.call(inner.event(question)?))));
        }
        let key = digest.on_stage(question.asked.context.stage());
        let now = inner.clock.now();
        let known = inner.cache.get(&key).filter(|_| inner.is_current());
        let call = digest.of_call(question.method.as_str(), question.path);
        if let Some(entry) = known {
            match entry.freshness(now, inner.stale_while_revalidate) {
                Freshness::Fresh => return Ok(Reply::Known(entry, call)),
                Freshness::Stale if self.refresh(key, question)? => return Ok(Reply::Known(entry, call)),
                Freshness::Stale | Freshness::Dead => {}
            }
        }
        self.join(key, call, question)
    }

    fn join(&self, key: CacheKey, call: CallKey, question: Question<'_>) -> Result<Reply, Cause> {
        let inner = &self.0;
        let event = inner.event(question)?;
        // A call that others have begun may be older than a revocation that has not come through.
        if !inner.is_current() {
            return Ok(Reply::Ticket(Ticket::Alone(self.call(event))));
        }
        let usable = |entry: &Entry| {
            entry.freshness(inner.clock.now(), Duration::ZERO) == Freshness::Fresh && inner.is_current()
        };
        let joined = inner.cache.join(key, usable, || self.call_for_all(key, event));
        Ok(match joined {
            Joined::Cached(entry) => Reply::Known(entry, call),
            Joined::Waiting(waiter) => Reply::Ticket(Ticket::Shared(waiter)),
        })
    }

    /// Has what is stale refreshed behind the request's back. Only this needs a task of its own: the request that
    /// notices goes on and nobody waits. Without a tokio runtime there is no such task, and the caller waits instead.
    fn refresh(&self, key: CacheKey, question: Question<'_>) -> Result<bool, Cause> {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Ok(false) };
        let event = self.0.event(question)?;
        let waiter = self.0.cache.refresh(key, || self.call_for_all(key, event));
        if let Some(mut waiter) = waiter {
            drop(runtime.spawn(async move { poll_fn(|cx| waiter.poll(cx)).await }));
        }
        Ok(true)
    }

    /// One call of the function, read and judged for the cache.
    fn call(&self, event: AuthorizerEvent) -> BoxFuture<Finished> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let identity = key::identity(&inner.cache.hash, event.identity());
            let said = inner.ask(event).await;
            inner.finish(said, identity)
        })
    }

    /// The same for everybody who waits; of all processes, where they share answers.
    #[cfg_attr(not(feature = "redis"), allow(unused_variables, reason = "nobody shares answers"))]
    fn call_for_all(&self, key: CacheKey, event: AuthorizerEvent) -> BoxFuture<Finished> {
        #[cfg(feature = "redis")]
        if let Some(shared) = self.0.sharing.answers() {
            return Box::pin(shared::call(Arc::clone(&self.0), Arc::clone(shared), key, event));
        }
        self.call(event)
    }
}

/// What the function says, when it was asked, and what is kept of the call.
pub(super) struct Said {
    pub(super) answered: Answered,
    pub(super) invoked: Timestamp,
    call: AuthorizerCall,
}

impl Inner {
    /// Asks the function, within its deadline.
    pub(super) async fn ask(&self, event: AuthorizerEvent) -> Said {
        self.calls.fetch_add(1, Relaxed);
        let invoked = self.clock.now();
        let answered = Deadline::new(self.function.call(event.clone()), self).await;
        let call = call::over(&event, &answered, self.clock.now().since(invoked));
        Said { answered, invoked, call }
    }

    pub(super) fn finish(&self, said: Said, identity: CacheKey) -> Finished {
        let outcome = said.answered.and_then(|answer| answer::read(answer, self.form));
        let outcome = outcome.map(|grant| Arc::new(grant.known_by(&self.known_by)));
        let keep = self.keep(&outcome, said.invoked, identity);
        Finished { outcome, call: Some(Arc::new(said.call)), keep }
    }
}

impl Inner {
    pub(super) fn repeated(&self) -> Repeated {
        if self.form.event.is_http_api() { Repeated::Joined } else { Repeated::LastParameter }
    }

    /// Marks what identifies the caller as sensitive, so that nobody behind prints it.
    pub(super) fn mark_credentials(&self, headers: &mut HeaderMap) {
        let repeats = headers.len() > headers.keys_len();
        for name in self.sources.iter().filter_map(IdentitySource::header) {
            if repeats {
                let named = headers.iter_mut().filter(|(own, _)| *own == name);
                named.for_each(|(_, value)| value.set_sensitive(true));
            } else if let Some(value) = headers.get_mut(name) {
                value.set_sensitive(true);
            }
        }
    }

    /// By what the caller is known, for an execution log: as far as it is text.
    #[cfg(feature = "tracing")]
    pub(super) fn credentials(&self, asked: Asked<'_>) -> Credentials {
        let shown = self.sources.iter().filter_map(|source| source.value(asked, self.repeated()).ok());
        let sent = self.sources.iter().flat_map(|source| source.sent(asked));
        let parameters = self.sources.iter().filter_map(IdentitySource::parameter);
        Credentials {
            shown: shown.collect(),
            sent: sent.collect(),
            parameters: parameters.map(Into::into).collect(),
        }
    }

    /// The event for a call; also where a token is held against the validation expression. Tokens that do not match
    /// are never called for, so no cached one has to be looked at again.
    fn event(&self, question: Question<'_>) -> Result<AuthorizerEvent, Cause> {
        let Question { asked, method, path, api } = question;
        let value = |source: &IdentitySource| source.value(asked, self.repeated());
        let identity = self.sources.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        if let (Some(expression), Some(token)) = (&self.validation, identity.first())
            && !expression.is_match(token)
        {
            return Err(Cause::IdentityMalformed);
        }
        Ok(AuthorizerEvent::new(EventParts {
            form: self.form.event,
            method_arn: judge::arns(api, asked.context, method, path).matched().to_owned(),
            identity,
            headers: asked.headers,
            path,
            query: asked.query,
            context: asked.context,
            api,
        }))
    }

    /// Failures and malformed answers are never kept; a credential that is rejected only for the negative TTL.
    fn keep(
        &self,
        outcome: &Result<Arc<Grant>, AuthorizerError>,
        invoked: Timestamp,
        identity: CacheKey,
    ) -> Keep {
        if self.ttl.is_zero() {
            return Keep::AsItWas;
        }
        let entry = |grant, ttl: Duration| match ttl.is_zero() {
            true => Keep::Forget,
            false => Keep::Answer(Arc::new(Entry { grant, invoked, ttl, identity })),
        };
        match outcome {
            Ok(grant) => {
                self.warn_of_single_method(grant);
                entry(Some(Arc::clone(grant)), self.ttl_of(Some(grant)))
            }
            Err(AuthorizerError::Unauthorized) => entry(None, self.ttl_of(None)),
            Err(_) => Keep::AsItWas,
        }
    }

    /// For how long an answer is used; `None`: `Unauthorized`.
    pub(super) fn ttl_of(&self, grant: Option<&Grant>) -> Duration {
        match grant {
            Some(grant) if grant.allows => self.ttl,
            Some(_) => self.negative_ttl.unwrap_or(self.ttl),
            None => self.negative_ttl.unwrap_or_default(),
        }
    }

    fn warn_of_single_method(&self, grant: &Grant) {
        if !grant.single_method || self.single_method_policies.fetch_add(1, Relaxed) > 0 {
            return;
        }
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "tower_gateway::authorizer",
            authorizer = &*self.name,
            "a cached policy allows a single method: the next one is refused until the TTL is over"
        );
        if let Some(hook) = &self.single_method_hook {
            hook(&self.name);
        }
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer")
            .field("name", &self.name())
            .field("cached", &self.cached())
            .finish_non_exhaustive()
    }
}

/// A call with a timer, which is made at its first `Pending`.
struct Deadline {
    call: BoxFuture<Answered>,
    timer: Option<Sleep>,
    clock: Clock,
    timeout: Duration,
}

impl Deadline {
    fn new(call: BoxFuture<Answered>, inner: &Inner) -> Self {
        Self { call, timer: None, clock: inner.clock.clone(), timeout: inner.timeout }
    }
}

impl Future for Deadline {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let Self { call, timer, clock, timeout } = &mut *self;
        if let Poll::Ready(answered) = call.as_mut().poll(cx) {
            return Poll::Ready(answered);
        }
        let timer = timer.get_or_insert_with(|| clock.sleep(*timeout));
        Pin::new(timer).poll(cx).map(|()| Err(AuthorizerError::Timeout))
    }
}

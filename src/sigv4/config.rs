//! The decisions about one request, step by step; nothing here waits.

use super::{
    canonical::RequestHead,
    claims::{Claims, Form},
    credentials::Credentials,
    error::SignatureError,
    permissions::{Permissions, Routed},
    refusal::Refusal,
    replay::ReplayWindow,
    store::{CredentialsStore, Lookup, LookupFuture},
    strip::{strip_headers, strip_query},
    token::check_token,
    verifier::{Payload, SigV4Verifier},
};
use crate::{
    context::{ContextConfig, Phase, RequestContext},
    response::{Cause, GatewayError, ResponseType},
    route::{ApiMethod, Authorization, Scope, check_path},
};
use http::{Extensions, HeaderMap, Method, Request, Uri};
use std::{fmt, sync::Arc};

/// What a layer is made of.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) verifier: SigV4Verifier,
    pub(super) store: Arc<dyn CredentialsStore>,
    pub(super) permissions: Option<Permissions>,
    pub(super) rules: Rules,
    pub(super) scope: Option<Arc<Scope>>,
    pub(super) context: ContextConfig,
}

/// For which requests a signature is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureRequirement {
    /// For every request.
    #[default]
    Always,
    /// Where [`ApiMethod::authorization`](crate::route::ApiMethod::authorization) is
    /// [`AwsIam`](crate::route::Authorization::AwsIam), by the stage or by
    /// [`SigV4AuthBuilder::routes`](super::SigV4AuthBuilder::routes); other methods pass as they are. A request that no
    /// declared method matches needs one, and so does every request without either.
    PerMethod,
}

/// What does not concern the signature itself.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) body_limit: u64,
    pub(super) long_mismatch: bool,
    pub(super) keep_query: bool,
    pub(super) dot_segments: bool,
    pub(super) requirement: SignatureRequirement,
    /// Of all that this layer becomes.
    pub(super) replay: Option<Arc<ReplayWindow>>,
}

/// The head of a request, in parts that may be borrowed from it or from what is kept of it.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) extensions: &'a Extensions,
}

impl<'a> Parts<'a> {
    pub(super) fn of<B>(context: &'a RequestContext, request: &'a Request<B>) -> Self {
        let (method, uri) = (request.method(), request.uri());
        Self { context, method, uri, headers: request.headers(), extensions: request.extensions() }
    }

    /// What the client signed: method and target as received, whatever outer layers have made of them.
    fn signed(&self) -> RequestHead<'a> {
        RequestHead { method: self.context.method(), uri: self.context.received_uri(), headers: self.headers }
    }
}

/// Whose signature it must be, and the time by which the request is judged.
pub(super) struct Known {
    pub(super) credentials: Credentials,
    pub(super) now: i64,
}

/// A payload that is known before the body is read.
#[derive(Clone, Copy)]
pub(super) enum Ahead {
    /// There is no body, or it does not count.
    Known(Payload),
    /// The hash that the request names for it: the body is checked on its way.
    Named([u8; 32]),
}

impl Ahead {
    pub(super) fn payload(&self) -> Payload {
        match *self {
            Self::Known(payload) => payload,
            Self::Named(hash) => Payload::Sha256(hash),
        }
    }
}

/// Verified and authorized, and what the service need not see of the signature.
#[derive(Clone, Copy)]
pub(super) struct Admitted {
    form: Form,
    has_token: bool,
}

/// What comes of a request whose payload is known.
pub(super) enum Judged {
    Admitted(Admitted),
    Fetch(LookupFuture),
}

impl Config {
    /// Rows 1 to 10 of AWS's order, and what comes next for a request that passes them: nothing is looked up and no body
    /// read for one that fails. The claims are lent where they were read, since whatever gives them on copies them.
    pub(super) fn examined<'a, T>(
        &self,
        parts: &Parts<'a>,
        now: i64,
        next: impl FnOnce(&Claims<'a>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if !self.rules.dot_segments {
            check_path(parts.uri.path()).map_err(|_| GatewayError::bad_request(Cause::DotSegment))?;
        }
        let signed = parts.signed();
        match self.verifier.read(&signed) {
            Ok(ref claims) => {
                self.verifier.examine(&signed, claims, now)?;
                next(claims)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The payload, if it is known ahead; otherwise the body is collected first.
    pub(super) fn ahead(&self, parts: &Parts<'_>, is_empty: bool) -> Option<Ahead> {
        if self.verifier.is_unsigned(&parts.signed()) {
            return Some(Ahead::Known(Payload::Unsigned));
        }
        if is_empty {
            return Some(Ahead::Known(Payload::EMPTY));
        }
        self.streamed_hash(parts).map(Ahead::Named)
    }

    /// Judges a request whose payload is known, unless the store has to fetch the access key.
    pub(super) fn judge_now(
        &self,
        parts: &Parts<'_>,
        payload: &Payload,
        now: i64,
    ) -> Result<Judged, Refusal> {
        self.examined(parts, now, |claims| match self.store.lookup(claims.credential.access_key()) {
            Lookup::Found(credentials) => {
                let known = Known { credentials, now };
                self.judge(parts, claims, &known, payload).map(Judged::Admitted)
            }
            Lookup::Unknown => Err(unknown_key()),
            Lookup::Pending(lookup) => Ok(Judged::Fetch(lookup)),
        })
    }

    /// The same when the access key, or the body, has come later: the head is read once more, because nothing of it was
    /// kept.
    pub(super) fn judge_late(
        &self,
        parts: &Parts<'_>,
        known: &Known,
        payload: &Payload,
    ) -> Result<Admitted, Refusal> {
        self.examined(parts, known.now, |claims| self.judge(parts, claims, known, payload))
    }

    /// The access key and the payload are known: the signature, the token, replays, permission, in this order. Then the
    /// context knows the caller.
    pub(super) fn judge(
        &self,
        parts: &Parts<'_>,
        claims: &Claims<'_>,
        known: &Known,
        payload: &Payload,
    ) -> Result<Admitted, Refusal> {
        let (signed, Known { credentials, now }) = (parts.signed(), known);
        let signature = match self.verifier.check_signature(&signed, claims, credentials, payload) {
            Ok(signature) => signature,
            Err(error) => return Err(self.explained(error, parts, *payload)),
        };
        check_token(&signed, claims, credentials, *now).map_err(SignatureError::from)?;
        self.check_replay(claims, &signature)?;
        parts.context.end_authentication(&self.context.clock, true);
        parts.context.set_caller(credentials.proof().clone());
        self.check_permissions(parts, credentials)?;
        Ok(Admitted { form: claims.form, has_token: credentials.session_token().is_some() })
    }

    fn check_permissions(&self, parts: &Parts<'_>, credentials: &Credentials) -> Result<(), Refusal> {
        let Some(permissions) = &self.permissions else { return Ok(()) };
        let routed = Routed {
            context: parts.context,
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            extensions: parts.extensions,
        };
        parts.context.in_phase(Phase::Authorize, &self.context.clock, || {
            permissions.decide(&routed, credentials.subject())
        })
    }

    /// By the present and not by the arrival of the head: the window forgets what has expired, and the body of a repeated
    /// request may have been held back until then.
    fn check_replay(&self, claims: &Claims<'_>, signature: &[u8; 32]) -> Result<(), Refusal> {
        let (Some(window), Form::Header) = (&self.rules.replay, claims.form) else { return Ok(()) };
        let now = self.context.clock.now().unix_seconds();
        let until = self.verifier.check_replayable(claims, now)?;
        Ok(window.admit(signature, until, now)?)
    }

    fn explained(&self, error: SignatureError, parts: &Parts<'_>, payload: Payload) -> Refusal {
        if self.rules.long_mismatch
            && error.cause() == Cause::SignatureMismatch
            && let Ok(texts) = self.verifier.canonical_texts(&parts.signed(), payload)
        {
            return error.with_texts(&texts).into();
        }
        error.into()
    }

    /// What the service needs to see no more.
    pub(super) fn strip<B>(&self, request: &mut Request<B>, admitted: Admitted) {
        strip_headers(request.headers_mut(), admitted.has_token);
        if admitted.form != Form::Header && !self.rules.keep_query {
            strip_query(request.uri_mut());
        }
    }

    /// Whether this request needs a signature. One that no declared method matches does: a route that was forgotten
    /// stays closed.
    pub(super) fn is_required(&self, context: &RequestContext, method: &Method, path: &str) -> bool {
        if self.rules.requirement == SignatureRequirement::Always {
            return true;
        }
        let method = self.method(context, method, path);
        method.is_none_or(|method| method.authorization == Authorization::AwsIam)
    }

    /// The stage's method, or that of the layer's own table. The table of another layer does not count: it may know
    /// nothing of authorization.
    fn method<'a>(
        &'a self,
        context: &'a RequestContext,
        method: &Method,
        path: &str,
    ) -> Option<&'a ApiMethod> {
        let on_stage = context.route().is_some_and(|route| route.scope.stage.is_some());
        if !on_stage && self.scope.is_none() {
            return None;
        }
        context.method_or_match(self.scope.as_ref(), method, path)
    }

    /// What the request says its body's hash is, where the method has bodies stream; to be believed only if the signature
    /// fits it. Without it the caller would not be known before the body's end, and no service must be called for a
    /// stranger.
    fn streamed_hash(&self, parts: &Parts<'_>) -> Option<[u8; 32]> {
        let method = self.method(parts.context, parts.method, parts.uri.path())?;
        if !method.stream_signed_payload {
            return None;
        }
        SigV4Verifier::declared_hash(&parts.signed())
    }

    /// The method's own limit, or the layer's.
    pub(super) fn body_limit(&self, parts: &Parts<'_>) -> u64 {
        let method = self.method(parts.context, parts.method, parts.uri.path());
        method.and_then(|method| method.payload_limit).unwrap_or(self.rules.body_limit)
    }
}

/// Whoever keeps the keys did not answer: nobody is let in.
pub(super) fn store_failed() -> Refusal {
    GatewayError::new(ResponseType::AuthorizerFailure, Cause::CredentialsUnavailable).into()
}

pub(super) fn unknown_key() -> Refusal {
    SignatureError::unknown_access_key().into()
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Config");
        out.field("verifier", &self.verifier).field("permissions", &self.permissions);
        out.field("rules", &self.rules).finish_non_exhaustive()
    }
}

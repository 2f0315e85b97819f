//! Authorizers of a fleet: their answers, and what is revoked of them.

use super::{
    Fleet,
    member::Member,
    state::{Field, Holder, Others, State},
    values::Values,
};
use crate::{
    authorizer::{AnswerStore, Asked, Authorizer, Claim, Found, Peers, Place, Revocation},
    cache::tier::{TierAnswer, TierClaim, TierFound},
    redis::RedisError,
    store::{StoreError, StoreFuture},
};
use bytes::Bytes;
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

impl Fleet {
    /// Shares an authorizer: authorizers of one name and one secret are one in all processes.
    ///
    /// **Revocations**: what one process revokes ([`Authorizer::revoke_principal`],
    /// [`revoke_identity`](Authorizer::revoke_identity), [`flush`](Authorizer::flush)) is revoked in all;
    /// [`settled`](Self::settled) waits for that.
    ///
    /// **Answers**, unless [`share_answers`](crate::authorizer::AuthorizerBuilder::share_answers) says no: what the
    /// function has said to one process need not be asked again by another, for as long as it is kept; the function is
    /// called once, whichever process is asked first. What lies in Redis is the answer and not a verdict, encrypted,
    /// under keyed digests: neither tokens nor principals nor policies can be read or forged there without the secret. An
    /// answer takes its JSON and about 250 bytes, and lives no longer than its TTL; one that somebody puts back there
    /// later is refused 60 s after that, so the clocks of the processes should not stand further apart than that. A Redis
    /// that is away costs a request that would have called the function anyway at most the deadline, and after a few
    /// requests nothing. A revoked answer is used by nobody, whether it was written before the revocation or by a call
    /// that had begun before it.
    ///
    /// **Fails closed**: while this process cannot have heard of every revocation, it uses no cached answer and asks the
    /// authorizer's function about each request; when it comes back, it first forgets what was revoked meanwhile, or
    /// everything. So 3 s after a revocation was written to Redis it is in force everywhere, whoever was cut off.
    ///
    /// ```
    /// use std::{error::Error, time::Duration};
    /// use tower_gateway::{
    ///     authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, authorizer_fn},
    ///     redis::{Fleet, Redis},
    /// };
    ///
    /// async fn who(event: AuthorizerEvent) -> Result<AuthorizerAnswer, &'static str> {
    ///     Ok(AuthorizerAnswer::allow(event.authorization_token(), ["arn:aws:execute-api:*:*:*/prod/*"]))
    /// }
    ///
    /// async fn share(fleet: &Fleet, who: &Authorizer) -> Result<(), Box<dyn Error>> {
    ///     fleet.share_authorizer(who).await?;
    ///     who.revoke_principal("ada");
    ///     let told = fleet.settled(Duration::from_secs(5)).await?;
    ///     assert!(told.is_complete(), "{:?} may still use what was said of ada", told.silent);
    ///     Ok(())
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// // Nobody listens there.
    /// let fleet = Fleet::join(&Redis::new("redis://127.0.0.1:1")?.prefix("shop")?)?;
    /// let who = Authorizer::token("who", authorizer_fn(who)).shared_secret([7; 16]).build()?;
    /// assert!(share(&fleet, &who).await.is_err());
    /// # Ok::<_, Box<dyn Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Redis does not answer; the authorizer has no
    /// [`shared_secret`](crate::authorizer::AuthorizerBuilder::shared_secret), or is shared already.
    pub async fn share_authorizer(&self, authorizer: &Authorizer) -> Result<(), StoreError> {
        if !authorizer.is_shareable() {
            return Err(StoreError::new("the authorizer has no shared secret"));
        }
        State::reach(&self.0).await?;
        let deadline = authorizer.answers_deadline();
        let values = Values::new("authorizer", authorizer.name(), deadline.unwrap_or_default());
        let state = State::without_hash(&self.0, values.topic(), AuthorizerHolder(authorizer.clone()));
        let sharing =
            Arc::new(Sharing { member: Arc::downgrade(&self.0), state: Arc::downgrade(&state), values });
        if !authorizer.set_peers(Arc::clone(&sharing) as _) {
            return Err(StoreError::new("the authorizer is shared already"));
        }
        if deadline.is_some() {
            authorizer.share_answers(sharing);
        }
        Ok(state.join(&self.0).await?)
    }
}

struct AuthorizerHolder(Authorizer);

impl Holder for AuthorizerHolder {
    fn fields(&self) -> Vec<Field> {
        Vec::new()
    }

    fn heard(&self, number: u64, fields: Others) {
        // Each is told in a record of its own.
        let revocation = match &*fields {
            [(revocation, _)] => Revocation::from_bytes(revocation),
            _ => Revocation::All,
        };
        self.0.heard(number, revocation);
    }

    fn passed(&self, number: u64) {
        self.0.passed(number);
    }

    fn begin_anew(&self, number: u64) {
        self.0.missed(number);
    }
}

/// The authorizer's side. A fleet that was left is not current any more: what is not heard of must not be used.
struct Sharing {
    member: Weak<Member>,
    state: Weak<State>,
    values: Values,
}

impl Peers for Sharing {
    fn is_current(&self) -> bool {
        self.member.upgrade().is_some_and(|member| member.is_current())
    }

    fn revoked(&self, revocation: Revocation) {
        if let Some(state) = self.state.upgrade() {
            state.change(&[(revocation.to_bytes(), vec![1])]);
        }
    }
}

impl Sharing {
    /// Does something with Redis, if there is still a fleet.
    fn with_member<T, F>(&self, call: impl FnOnce(Values, Arc<Member>) -> F) -> StoreFuture<T>
    where
        F: Future<Output = Result<T, RedisError>> + Send + 'static,
    {
        let called = self.member.upgrade().map(|member| call(self.values.clone(), member));
        Box::pin(async move { Ok(called.ok_or(RedisError::Away)?.await?) })
    }
}

impl AnswerStore for Sharing {
    fn ask(&self, place: Place, claim: Claim) -> StoreFuture<Asked> {
        let Claim { token, lasts, instead } = claim;
        let claim = Some(TierClaim { token, lasts, instead });
        self.with_member(move |values, member| async move {
            Ok(asked(values.ask(&member, place.as_bytes(), claim).await?))
        })
    }

    fn keep(&self, place: Place, value: Bytes, ttl: Duration, token: u128) -> StoreFuture<()> {
        self.with_member(move |values, member| async move {
            values.store(&member, place.as_bytes(), &value, ttl, Some(token)).await
        })
    }

    fn release(&self, place: Place, token: u128) -> StoreFuture<()> {
        self.with_member(move |values, member| async move {
            values.last(&member, place.as_bytes(), token, None).await
        })
    }

    fn has_numbered(&self) -> bool {
        self.state.upgrade().is_some_and(|state| state.is_sent())
    }

    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if let Some(member) = self.member.upgrade() {
            drop(member.runtime.spawn(work));
        }
    }
}

fn asked(TierAnswer { purges: number, found }: TierAnswer) -> Asked {
    let found = match found {
        TierFound::Value(bytes, left) => Found::Value(bytes, left),
        TierFound::Nothing => Found::Nothing,
        TierFound::Claimed => Found::Claimed,
    };
    Asked { number, found }
}

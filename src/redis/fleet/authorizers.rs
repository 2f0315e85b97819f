//! Revocations of authorizers in a fleet.

use super::{
    Fleet,
    member::Member,
    state::{Field, Holder, State},
};
use crate::{
    authorizer::{Authorizer, Peers, Revocation},
    store::StoreError,
};
use bytes::Bytes;
use std::sync::{Arc, Weak};

impl Fleet {
    /// Shares revocations: what one process revokes ([`Authorizer::revoke_principal`],
    /// [`revoke_identity`](Authorizer::revoke_identity), [`flush`](Authorizer::flush)) is revoked in all;
    /// [`settled`](Self::settled) waits for that. Authorizers of one name are one. The answers stay each process's own.
    ///
    /// **Fails closed**: while this process cannot have heard of every revocation, it uses no cached answer and asks the
    /// authorizer's function about each request; when it comes back, it first forgets what was revoked meanwhile, or
    /// everything. So 3 s after a revocation was written to Redis it is in force everywhere, whoever was cut off.
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
        let topic = format!("authorizer:{}", authorizer.name());
        let state = State::without_hash(&self.0, topic, AuthorizerHolder(authorizer.clone()));
        let peers = Sharing { member: Arc::downgrade(&self.0), state: Arc::downgrade(&state) };
        if !authorizer.set_peers(Arc::new(peers)) {
            return Err(StoreError::new("the authorizer is shared already"));
        }
        Ok(state.join(&self.0).await?)
    }
}

struct AuthorizerHolder(Authorizer);

impl Holder for AuthorizerHolder {
    fn apply(&self, fields: Vec<(Bytes, Option<Bytes>)>) {
        fields.iter().for_each(|(field, _)| self.0.forget(&Revocation::from_bytes(field)));
    }

    fn fields(&self) -> Vec<Field> {
        Vec::new()
    }

    fn begin_anew(&self) {
        self.0.forget(&Revocation::All);
    }
}

/// The authorizer's side. A fleet that was left is not current any more: what is not heard of must not be used.
struct Sharing {
    member: Weak<Member>,
    state: Weak<State>,
}

impl Peers for Sharing {
    fn is_current(&self) -> bool {
        self.member.upgrade().is_some_and(|member| member.is_current())
    }

    fn revoked(&self, revocation: &Revocation) {
        if let Some(state) = self.state.upgrade() {
            state.change(&[(revocation.to_bytes(), vec![1])]);
        }
    }
}

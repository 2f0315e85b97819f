//! A body that streams: its hash was signed, and is compared at its end.

use super::error::SignatureError;
use crate::{
    body::{BodyCheck, BoxError, Judge},
    context::RequestContext,
};
use bytes::Bytes;
use http::Response;
use sha2::{Digest, Sha256};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
};
use subtle::ConstantTimeEq;

/// Compares the hash of a body with the one that was signed.
#[derive(Debug)]
struct SignedHash {
    hash: Sha256,
    signed: [u8; 32],
    differs: Arc<AtomicBool>,
}

impl Judge for SignedHash {
    fn update(&mut self, data: &[u8]) {
        self.hash.update(data);
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        let hash: [u8; 32] = std::mem::take(&mut self.hash).finalize().into();
        if hash.ct_eq(&self.signed).into() {
            return Ok(());
        }
        self.differs.store(true, Relaxed);
        Err(SignatureError::mismatch().into())
    }
}

/// Answers in the service's place where the body was not the signed one and no answer is out yet.
#[derive(Debug)]
pub(super) struct Watch {
    differs: Arc<AtomicBool>,
    context: RequestContext,
}

/// The check of a body whose signed hash this is, and what watches the answer meanwhile.
pub(super) fn check(signed: [u8; 32], context: &RequestContext) -> (BodyCheck, Watch) {
    context.expect_late_refusal();
    let differs = Arc::new(AtomicBool::new(false));
    let judge = SignedHash { hash: Sha256::new(), signed, differs: Arc::clone(&differs) };
    (BodyCheck::new(judge), Watch { differs, context: context.clone() })
}

impl Watch {
    /// Whatever the service made of the body's error, an error of its own too: it was caused by the body.
    pub(super) fn replace<R, E>(&self, polled: Poll<Result<Response<R>, E>>) -> Poll<Result<Response<R>, E>>
    where
        R: From<Bytes>,
    {
        if !self.differs.load(Relaxed) {
            return polled;
        }
        self.context.note_late_refusal();
        let error = crate::response::GatewayError::from(SignatureError::mismatch());
        Poll::Ready(Ok(error.refuse(&self.context)))
    }
}

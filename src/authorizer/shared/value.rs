//! An answer as it travels: what the function said, not what was made of it, so that every process reads it for itself.

use crate::{
    authorizer::{
        AuthorizerAnswer, AuthorizerError,
        answer::{self, AnswerForm, Grant, MAX_ANSWER},
        function::Answered,
    },
    clock::Timestamp,
    codec::{Reader, Writer},
};
use std::time::Duration;

const VERSION: u8 = 2;

/// So far the clocks of two processes may stand apart.
const SKEW: Duration = Duration::from_secs(60);

/// Larger ones are not shared: the context that was added by hand has no limit of its own.
const MOST: usize = 2 * MAX_ANSWER;

/// What a function said, in bytes.
pub(super) struct SharedText(Vec<u8>);

/// `None`: it is not to be shared, a failure or too much.
pub(super) fn said(answered: &Answered) -> Option<SharedText> {
    let mut out = Writer::default();
    match answered {
        Ok(answer) => answer.write(out.flag(true)),
        Err(AuthorizerError::Unauthorized) => drop(out.flag(false)),
        Err(_) => return None,
    }
    Some(SharedText(out.finish())).filter(|text| text.0.len() <= MOST)
}

impl SharedText {
    /// With the last record before the call, when that was, and for how long the answer is used from then on.
    pub(super) fn to_bytes(&self, seen: u64, invoked: Timestamp, ttl: Duration) -> Vec<u8> {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Writer::new(VERSION).u64(seen).i64(invoked.unix_millis()).u64(ttl).raw(&self.0).finish()
    }
}

/// One on its way out of the store.
#[derive(Debug)]
pub(super) struct Shared {
    /// The last record before its call began.
    pub(super) seen: u64,
    /// When it began: Unix milliseconds, by the clock of the process that made it.
    invoked: i64,
    pub(super) ttl: Duration,
    /// `None`: the function said `Unauthorized`.
    answer: Option<AuthorizerAnswer>,
}

impl Shared {
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::of_version(bytes, VERSION)?;
        let (seen, invoked, ttl) = (reader.u64()?, reader.i64()?, Duration::from_millis(reader.u64()?));
        let answer = reader.option(AuthorizerAnswer::read)?;
        reader.end().map(|()| Self { seen, invoked, ttl, answer })
    }

    /// Whether its time must be over, whatever the store says: who can write there can put an old one back.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        let age = u64::try_from(now.unix_millis().saturating_sub(self.invoked)).unwrap_or(0);
        Duration::from_millis(age) > self.ttl.saturating_add(SKEW)
    }

    /// Read as strictly as if the function had said it to us. `None`: malformed; `Some(None)`: it said `Unauthorized`.
    #[allow(clippy::option_option, reason = "that is what an entry holds")]
    pub(super) fn grant(&self, form: AnswerForm) -> Option<Option<Grant>> {
        match &self.answer {
            None => Some(None),
            Some(answer) => answer::read(answer.clone(), form).ok().map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorizer::event::EventForm;
    use proptest::prelude::*;

    const REST: AnswerForm = AnswerForm { event: EventForm::Token, simple_responses: false };
    const SIMPLE: AnswerForm = AnswerForm { event: EventForm::Http2, simple_responses: true };

    fn travelled(answered: &Answered) -> Shared {
        let text = said(answered).unwrap();
        Shared::from_bytes(&text.to_bytes(7, Timestamp::new(0, 5_000_000_000), Duration::from_secs(3)))
            .unwrap()
    }

    #[test]
    fn an_answer_arrives_with_all_that_it_said() {
        let by_hand = AuthorizerAnswer::allow("ada", ["*"])
            .context("plan", "gold")
            .context("seats", 7)
            .context("admin", true)
            .usage_identifier_key("0123456789abcdefghij");
        let json = r#"{"principalId":"ada","policyDocument":{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}},"context":{"plan":"gold"}}"#;
        for answer in [by_hand, AuthorizerAnswer::from_json(json)] {
            let there = travelled(&Ok(answer.clone()));
            assert_eq!((there.seen, there.ttl), (7, Duration::from_secs(3)));
            let (here, there) = (answer::read(answer, REST).unwrap(), there.grant(REST).unwrap().unwrap());
            let values = |grant: &Grant| {
                let values = grant.context.values();
                values.map(|(name, value)| (name.to_owned(), value.clone())).collect::<Vec<_>>()
            };
            assert_eq!(here.context.principal_id(), there.context.principal_id());
            assert_eq!((values(&here), here.allows), (values(&there), there.allows));
            #[cfg(feature = "api-key")]
            assert_eq!(here.usage_identifier_key.is_some(), there.usage_identifier_key.is_some());
        }
        let yes = travelled(&Ok(AuthorizerAnswer::simple(true)));
        assert!(yes.grant(SIMPLE).unwrap().unwrap().allows);
        assert!(yes.grant(REST).is_none(), "another authorizer of that name reads it by its own rules");
        assert!(travelled(&Err(AuthorizerError::Unauthorized)).grant(REST).unwrap().is_none());
    }

    #[test]
    fn its_time_is_over_after_its_ttl_and_what_clocks_may_stand_apart() {
        let answer = travelled(&Ok(AuthorizerAnswer::allow("ada", ["*"])));
        let at = |millis: i64| Timestamp::new(0, millis * 1_000_000);
        for (now, is_over) in [(68_000, false), (68_001, true), (5_000, false), (-1_000_000, false)] {
            assert_eq!(answer.is_over(at(now)), is_over, "{now}");
        }
        for (invoked, now) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN)] {
            let answer = Shared { seen: 0, invoked, ttl: Duration::MAX, answer: None };
            assert!(!answer.is_over(Timestamp::new(0, now)));
        }
    }

    #[test]
    fn failures_and_giants_do_not_travel() {
        for error in [AuthorizerError::Timeout, AuthorizerError::Failed("x".into())] {
            assert!(said(&Err(error)).is_none());
        }
        let giant = AuthorizerAnswer::allow("ada", ["*"]).context("x", "y".repeat(MOST));
        assert!(said(&Ok(giant)).is_none());
    }

    proptest! {
        #[test]
        fn garbage_is_none(bytes in proptest::collection::vec(any::<u8>(), 0..60), cut in 1_usize..40) {
            if let Some(value) = Shared::from_bytes(&bytes) {
                let _any = value.grant(REST);
            }
            let text = said(&Ok(AuthorizerAnswer::allow("ada", ["*"]))).unwrap();
            let whole = text.to_bytes(1, Timestamp::new(0, 0), Duration::MAX);
            prop_assert!(Shared::from_bytes(&whole[..whole.len() - cut]).is_none());
            prop_assert!(Shared::from_bytes(&[&whole[..], &[0]].concat()).is_none());
        }
    }
}

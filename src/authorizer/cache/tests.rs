//! Landing, leaving and revoking, in every order that matters.

use super::*;
use crate::authorizer::key;
use std::{
    future::{pending, ready},
    task::Waker,
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::new(seconds * 1_000_000_000, 0)
}

fn cache() -> Arc<ResultCache> {
    Arc::new(ResultCache::new(100, None).unwrap())
}

fn key(cache: &ResultCache, token: &str) -> CacheKey {
    key::identity(&cache.hash, [token].into_iter())
}

fn entry(key: CacheKey) -> Arc<Entry> {
    Arc::new(Entry { grant: None, invoked: at(0), ttl: Duration::from_secs(60), identity: key })
}

fn finished(keep: Keep) -> Finished {
    Finished { outcome: Err(AuthorizerError::Unauthorized), call: Some(Arc::default()), keep }
}

fn waiter(joined: Joined) -> Waiter {
    match joined {
        Joined::Waiting(waiter) => waiter,
        Joined::Cached(_) => panic!("cached"),
    }
}

fn poll(waiter: &mut Waiter) -> bool {
    waiter.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_flight_is_shared_and_its_answer_kept() {
    let cache = cache();
    let key = key(&cache, "a");
    let mut first = waiter(cache.join(key, |_| true, || Box::pin(ready(finished(Keep::Answer(entry(key)))))));
    let mut second = waiter(cache.join(key, |_| true, || panic!("one call only")));
    assert!(poll(&mut first) && poll(&mut second));
    assert!(cache.get(&key).is_some() && cache.flights().is_empty());
    assert!(matches!(cache.join(key, |_| true, || panic!("cached")), Joined::Cached(_)));
    waiter(cache.join(key, |_| false, || Box::pin(pending())));
    assert!(cache.flights().is_empty(), "given up by its only waiter");
}

#[test]
fn a_flight_lives_as_long_as_somebody_waits() {
    let cache = cache();
    let key = key(&cache, "a");
    let first = waiter(cache.join(key, |_| true, || Box::pin(pending())));
    let second = waiter(cache.join(key, |_| true, || panic!("one call only")));
    drop(first);
    assert_eq!(cache.flights().len(), 1);
    drop(second);
    assert!(cache.flights().is_empty());
}

#[test]
fn a_revocation_is_not_undone_by_a_call_that_began_before_it() {
    let cache = cache();
    let key = key(&cache, "a");
    let answer = || finished(Keep::Answer(entry(key)));
    let mut old = waiter(cache.join(key, |_| true, || Box::pin(ready(answer()))));
    cache.revoke(|_| true);
    let mut new = waiter(cache.join(key, |_| true, || Box::pin(pending())));
    assert!(poll(&mut old), "who waits still gets an answer");
    assert!(cache.get(&key).is_none(), "which is not kept");
    drop(old);
    assert!(!poll(&mut new) && cache.flights().len() == 1, "the new call is not touched");
    drop(new);
    cache.entries.insert(key, entry(key));
    assert_eq!(cache.revoke(|entry| entry.identity != key), 0);
    assert_eq!(cache.revoke(|entry| entry.identity == key), 1);
}

#[test]
fn a_failed_refresh_leaves_what_was_there_and_a_rejection_takes_it_away() {
    let cache = cache();
    let key = key(&cache, "a");
    for (keep, left) in [(Keep::AsItWas, true), (Keep::Forget, false)] {
        cache.entries.insert(key, entry(key));
        let mut refresh = cache.refresh(key, || Box::pin(ready(finished(keep)))).unwrap();
        assert!(cache.refresh(key, || panic!("one at a time")).is_none());
        assert!(poll(&mut refresh));
        assert_eq!(cache.get(&key).is_some(), left);
    }
}

#[test]
fn a_panic_takes_the_flight_with_it() {
    let cache = cache();
    let key = key(&cache, "a");
    let mut first = waiter(cache.join(key, |_| true, || Box::pin(async { panic!("the function") })));
    let mut second = waiter(cache.join(key, |_| true, || panic!("one call only")));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut first))).is_err());
    assert!(poll(&mut second));
    assert!(cache.flights().is_empty() && cache.get(&key).is_none());
}

#[test]
fn an_entry_ends_on_the_nanosecond() {
    let entry = |grant| Entry { grant, ..Arc::into_inner(entry(key(&cache(), "a"))).unwrap() };
    let stale = Duration::from_secs(10);
    let rejected = entry(None);
    let before = Timestamp::new(59_999_999_999, 0);
    assert_eq!(rejected.freshness(before, stale), Freshness::Fresh);
    assert_eq!(rejected.freshness(at(60), stale), Freshness::Dead, "a refusal is never stale");
    let answer = crate::authorizer::AuthorizerAnswer::simple(true);
    let form = crate::authorizer::answer::AnswerForm {
        event: crate::authorizer::event::EventForm::Http2,
        simple_responses: true,
    };
    let grant = crate::authorizer::answer::read(answer, form).unwrap();
    let allowed = entry(Some(Arc::new(grant)));
    assert_eq!(allowed.freshness(at(60), stale), Freshness::Stale);
    assert_eq!(allowed.freshness(at(60), Duration::ZERO), Freshness::Dead);
    assert_eq!(allowed.freshness(at(70), stale), Freshness::Dead);
}

#[test]
fn the_number_of_entries_is_bounded() {
    let cache = cache();
    for token in 0..1_000 {
        let key = key(&cache, &token.to_string());
        cache.entries.insert(key, entry(key));
    }
    assert!((1..=128).contains(&cache.len()), "{}", cache.len());
}

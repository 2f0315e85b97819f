//! Bytes pass as they come; only what is complete and not too large is stored.

use super::*;
use crate::support::{get, run};
use futures_util::FutureExt;
use http::HeaderMap;
use std::sync::Mutex;
use tower_gateway::cache::NoCacheReason;

const LIMIT: usize = 1_048_576;

fn chunks(size: usize, count: usize) -> TestBody {
    let chunk = Bytes::from(vec![7; size]);
    Steps((0..count).flat_map(|_| [None, Some(Ok(Frame::data(chunk.clone())))]).collect()).boxed_unsync()
}

#[test]
fn the_limit_is_exact_however_the_body_comes() {
    run(async {
        for (length, stored) in [(LIMIT, true), (LIMIT + 1, false)] {
            for form in ["whole", "stream", "announced"] {
                let origin = Origin::sync(move |_, _| match form {
                    "whole" => answer(vec![7; length]),
                    "stream" => answer("").map(|_| {
                        Steps([None, Some(Ok(Frame::data(vec![7; length].into())))].into()).boxed_unsync()
                    }),
                    _ => with(answer(vec![7; length]), "content-length", &length.to_string()),
                });
                let (service, cache, _) = cached(&origin, |cache| cache);
                for _ in 0..2 {
                    assert_eq!(ask(&service, get("/")).await.body().len(), length);
                }
                assert_eq!(origin.calls(), if stored { 1 } else { 2 }, "{form} {length}");
                let too_large = cache.stats().not_stored(NoCacheReason::TooLarge);
                assert_eq!(too_large, if stored { 0 } else { 2 });
                assert!(stored || cache.usage().bytes < 1_000);
            }
        }
    });
}

#[test]
fn the_first_client_gets_bytes_as_they_come() {
    run(async {
        let origin = Origin::sync(|_, _| answer("").map(|_| Steps::slow(&["one", "two"])));
        let (service, cache, _) = cached(&origin, |cache| cache);
        let mut body = send(&service, get("/")).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        assert_eq!(cache.usage().keys, 0, "not stored before it is complete");
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
        assert!(body.frame().await.is_none());
        assert!(body.is_end_stream());
        assert_eq!((text(&service, "/").await.as_str(), origin.calls()), ("onetwo", 1));
    });
}

#[test]
fn a_body_that_breaks_off_or_lies_about_its_length_is_not_stored() {
    run(async {
        let broken =
            || Steps([Some(Ok(Frame::data("one".into()))), None, Some(Err("broke off".into()))].into());
        let origin = Origin::sync(move |_, _| answer("").map(|_| broken().boxed_unsync()));
        let (service, cache, _) = cached(&origin, |cache| cache);
        let leader = send(&service, get("/")).await.unwrap();
        let follower = send(&service, get("/")).await.unwrap();
        assert_eq!(leader.into_body().collect().await.unwrap_err().to_string(), "broke off");
        // Nothing had been sent to the one that waited, and so it has tried for itself.
        let error = follower.into_body().collect().await.unwrap_err();
        assert_eq!((error.to_string().as_str(), origin.calls()), ("broke off", 2));
        assert_eq!(cache.stats().not_stored(NoCacheReason::Incomplete), 2);

        let late = || {
            let pauses = std::iter::repeat_with(|| None).take(20);
            let start = std::iter::once(Some(Ok(Frame::data("one".into()))));
            Steps(start.chain(pauses).chain([Some(Err("broke off".into()))]).collect()).boxed_unsync()
        };
        let origin = Origin::sync(move |_, _| answer("").map(|_| late()));
        let (service, _, clock) = cached(&origin, |cache| cache);
        let leader = send(&service, get("/")).await.unwrap();
        let follower = shared(&service, &clock).await;
        let error = follower.collect().await.unwrap_err();
        assert_eq!((error.to_string().as_str(), origin.calls()), ("the shared answer broke off", 1));
        drop(leader);

        let at_once = || Steps([Some(Ok(Frame::data("one".into()))), Some(Err("broke off".into()))].into());
        let origin = Origin::sync(move |_, _| answer("").map(|_| at_once().boxed_unsync()));
        let (service, _, _) = cached(&origin, |cache| cache);
        let mut body = send(&service, get("/")).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "broke off");
        assert!(body.frame().await.is_none());

        for length in ["2", "4"] {
            let origin = Origin::sync(move |_, _| with(answer("one"), "content-length", length));
            let (service, cache, _) = cached(&origin, |cache| cache);
            ask(&service, get("/")).await;
            ask(&service, get("/")).await;
            assert_eq!(
                (origin.calls(), cache.stats().not_stored(NoCacheReason::Incomplete)),
                (2, 2),
                "{length}"
            );
        }
    });
}

#[test]
fn trailers_are_stored_with_their_answer() {
    run(async {
        let trailers: HeaderMap = [("x-sum".parse().unwrap(), "1".parse().unwrap())].into_iter().collect();
        for pause in [false, true] {
            let end = trailers.clone();
            let origin = Origin::sync(move |_, _| {
                let mut steps: VecDeque<_> =
                    [Some(Ok(Frame::data("one".into()))), Some(Ok(Frame::trailers(end.clone())))].into();
                if pause {
                    steps.insert(1, None);
                }
                answer("").map(|_| Steps(steps).boxed_unsync())
            });
            let (service, _, _) = cached(&origin, |cache| cache);
            for _ in 0..2 {
                let whole = send(&service, get("/")).await.unwrap().into_body().collect().await.unwrap();
                assert_eq!(
                    (whole.trailers().cloned(), whole.to_bytes()),
                    (Some(trailers.clone()), Bytes::from("one"))
                );
            }
            assert_eq!(origin.calls(), 1);
        }
    });
}

/// A server stops reading when it has as many bytes as the head announced, and drops the body.
#[test]
fn an_answer_is_complete_when_its_announced_length_is_read() {
    run(async {
        let origin = Origin::sync(|_, _| {
            with(answer("").map(|_| Steps::slow(&["one", "two"])), "content-length", "6")
        });
        let (service, cache, _) = cached(&origin, |cache| cache);
        let mut body = send(&service, get("/")).await.unwrap().into_body();
        body.frame().await;
        body.frame().await;
        drop(body);
        settled().await;
        assert_eq!(cache.stats().stored(), 1);
        assert_eq!((text(&service, "/").await.as_str(), origin.calls()), ("onetwo", 1));
    });
}

#[test]
fn the_length_is_known_where_the_service_knew_it() {
    run(async {
        let origin = Origin::sync(|_, _| answer(vec![1; 200_000]));
        let (service, _, _) = cached(&origin, |cache| cache);
        for _ in 0..2 {
            let body = send(&service, get("/")).await.unwrap().into_body();
            assert_eq!(body.size_hint().exact(), Some(200_000));
        }
    });
}

#[test]
fn an_endless_body_passes_and_nobody_waits_for_the_next() {
    run(async {
        let origin = Origin::sync(|_, _| answer("").map(|_| chunks(100_000, 1_000)));
        let (service, cache, _) = cached(&origin, |cache| cache);
        let mut body = send(&service, get("/")).await.unwrap().into_body();
        for _ in 0..100 {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 100_000);
        }
        assert_eq!(cache.stats().not_stored(NoCacheReason::TooLarge), 1);
        drop(body);
        let (one, other) = (send(&service, get("/")).await.unwrap(), send(&service, get("/")).await.unwrap());
        assert_eq!(origin.calls(), 3);
        assert_eq!(cache.stats().missed(NoCacheReason::HitForMiss), 2);
        drop((one, other));
    });
}

#[test]
fn events_are_not_shared() {
    run(async {
        let origin = Origin::sync(|_, _| {
            with(answer("data: 1\n\n"), "content-type", "Text/Event-Stream; charset=utf-8")
        });
        let (service, cache, _) = cached(&origin, |cache| cache.aws_exact(true));
        ask(&service, get("/")).await;
        ask(&service, get("/")).await;
        assert_eq!((origin.calls(), cache.stats().not_stored(NoCacheReason::EventStream)), (2, 2));
    });
}

#[test]
fn what_is_ready_at_once_is_held_to_the_limit_too() {
    run(async {
        for (size, count, stored) in
            [(5_000, 2, true), (5_000, 3, false), (10_001, 1, false), (30_000, 2, false)]
        {
            let ready = move || (0..count).map(move |_| Ok(Frame::data(Bytes::from(vec![7; size]))));
            let origin = Origin::sync(move |_, _| {
                let body = http_body_util::StreamBody::new(futures_util::stream::iter(ready()));
                answer("").map(|_| body.boxed_unsync())
            });
            let (service, cache, _) = cached(&origin, |cache| cache.entry_limit(10_000));
            for _ in 0..2 {
                assert_eq!(ask(&service, get("/")).await.body().len(), size * count);
            }
            assert_eq!(origin.calls(), if stored { 1 } else { 2 }, "{size} {count}");
            let too_large = cache.stats().not_stored(NoCacheReason::TooLarge);
            assert_eq!((cache.stats().stored(), too_large), if stored { (1, 0) } else { (0, 2) });
        }
    });
}

/// A body that stands still for a moment before it turns out to be too large.
fn behind_a_pause() -> TestBody {
    let chunk = Bytes::from(vec![7; 1_000]);
    let pauses = std::iter::repeat_with(|| None).take(20);
    let chunks = (0..100).flat_map(move |_| [None, Some(Ok(Frame::data(chunk.clone())))]);
    Steps(pauses.chain(chunks).collect()).boxed_unsync()
}

/// Whoever waits for somebody's answer of unknown length learns first whether it is too large: then it reads one of its
/// own, at its own pace, and nobody holds up or cuts off anybody.
#[test]
fn a_body_that_is_soon_too_large_is_not_shared() {
    run(async {
        for announced in [false, true] {
            let origin = Origin::new(move |_, _| async move {
                pauses(9).await;
                let answer = answer("").map(|_| chunks(1_000, 100));
                Ok(if announced { with(answer, "content-length", "100000") } else { answer })
            });
            let (service, cache, _) = cached(&origin, |cache| cache.entry_limit(10_000));
            let mut slow = Box::pin(send(&service, get("/")));
            assert!(poll_some(&mut slow).await.is_pending());
            let fast = send(&service, get("/"));
            let (slow, fast) = tokio::join!(slow, fast);
            let (mut slow, fast) = (slow.unwrap().into_body(), fast.unwrap().into_body());
            assert_eq!(origin.calls(), 2, "{announced}");
            // One that has hardly been read: the other is not kept waiting, nor the first cut off.
            assert_eq!(slow.frame().await.unwrap().unwrap().into_data().unwrap().len(), 1_000);
            assert_eq!(fast.collect().await.unwrap().to_bytes().len(), 100_000);
            assert_eq!(slow.collect().await.unwrap().to_bytes().len(), 99_000);
            assert_eq!((cache.stats().stored(), cache.usage().bytes < 1_000), (0, true));
            assert_eq!(cache.stats().missed(NoCacheReason::HitForMiss), 1);
        }
    });
}

/// Two read a body that is too large to be kept: the fast one waits for the slow one, but not for ever.
#[test]
fn a_reader_that_stands_still_is_cut_off_after_the_wait() {
    run(async {
        let origin = Origin::sync(|_, _| answer("").map(|_| behind_a_pause()));
        let (service, cache, clock) = cached(&origin, |cache| cache.entry_limit(10_000));
        let mut slow = send(&service, get("/")).await.unwrap().into_body();
        let mut fast = shared(&service, &clock).await;
        let mut read = 0;
        // The pauses of the body are Pending some times; standing still is Pending for good.
        let mut still = 0;
        while still < 30 {
            match fast.frame().now_or_never() {
                Some(frame) => {
                    read += frame.unwrap().unwrap().into_data().unwrap().len();
                    still = 0;
                }
                None => still += 1,
            }
        }
        assert_eq!(read, 11_000, "the limit and the frame that went over it");
        slow.frame().await.unwrap().unwrap();
        assert_eq!(fast.frame().await.unwrap().unwrap().into_data().unwrap().len(), 1_000);
        let mut next = Box::pin(fast.frame());
        assert!(poll_once(&mut next).await.is_pending());
        clock.advance(SECOND * 59);
        assert!(poll_some(&mut next).await.is_pending());
        clock.advance(SECOND);
        assert!(next.await.unwrap().is_ok());
        assert!(slow.frame().await.unwrap().unwrap_err().to_string().contains("too slowly"));
        assert_eq!(fast.collect().await.unwrap().to_bytes().len(), 100_000 - 13_000);
        assert_eq!(origin.calls(), 1);
        assert_eq!(cache.stats().stored(), 0);
    });
}

#[test]
fn a_wait_without_an_end_is_one() {
    run(async {
        // More than it says, so that the other shares it from the start.
        let lying = || with(answer("").map(|_| behind_a_pause()), "content-length", "5000");
        let origin = Origin::sync(move |_, _| lying());
        let (service, _, _) = cached(&origin, |cache| cache.entry_limit(10_000).wait_timeout(Duration::MAX));
        let slow = send(&service, get("/")).await.unwrap().into_body();
        let mut all = Box::pin(send(&service, get("/")).await.unwrap().into_body().collect());
        for _ in 0..100 {
            assert!(poll_once(&mut all).await.is_pending());
        }
        drop(slow);
        assert_eq!((all.await.unwrap().to_bytes().len(), origin.calls()), (100_000, 1));
    });
}

#[test]
fn a_slow_reader_that_leaves_frees_the_others() {
    run(async {
        let origin = Origin::sync(|_, _| answer("").map(|_| behind_a_pause()));
        let (service, _, clock) = cached(&origin, |cache| cache.entry_limit(10_000));
        let slow = send(&service, get("/")).await.unwrap().into_body();
        let fast = shared(&service, &clock).await;
        let mut all = Box::pin(fast.collect());
        for _ in 0..100 {
            assert!(poll_once(&mut all).await.is_pending());
        }
        drop(slow);
        assert_eq!(all.await.unwrap().to_bytes().len(), 100_000);
    });
}

/// Lets what was begun behind requests come to its end.
async fn settled() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// A body of four bytes, which are announced, and what comes after a pause.
fn announced(rest: impl IntoIterator<Item = Option<Result<Frame<Bytes>, TestError>>>) -> Answer {
    let frames = [None, Some(Ok(Frame::data("pets".into()))), None];
    with(answer(""), "content-length", "4")
        .map(|_| Steps(frames.into_iter().chain(rest).collect()).boxed_unsync())
}

/// The only reader leaves with all bytes, as a server of HTTP/1.1 does.
#[test]
fn what_announces_its_length_is_stored_with_the_trailers_that_were_to_come() {
    let trailers = || HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), "1".parse().unwrap())]);
    run(async {
        let origin = Origin::sync(move |_, _| announced([Some(Ok(Frame::trailers(trailers())))]));
        let (service, cache, _) = cached(&origin, |cache| cache);
        let mut body = send(&service, get("/")).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "pets");
        drop(body);
        assert_eq!(cache.usage().keys, 0, "the end has not come");
        settled().await;
        let again = send(&service, get("/")).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!((again.trailers(), origin.calls()), (Some(&trailers()), 1));
    });
}

/// One reader has driven the body to its last byte, the other leaves without having read any.
#[test]
fn what_the_last_reader_has_left_unread_is_stored_all_the_same() {
    run(async {
        let origin = Origin::sync(|_, _| announced([None, None]));
        let (service, cache, _) = cached(&origin, |cache| cache);
        let mut reads = send(&service, get("/")).await.unwrap().into_body();
        let leaves = send(&service, get("/")).await.unwrap().into_body();
        assert_eq!(reads.frame().await.unwrap().unwrap().into_data().unwrap(), "pets");
        drop(reads);
        drop(leaves);
        settled().await;
        assert_eq!((cache.usage().keys, origin.calls()), (1, 1));
    });
}

#[test]
fn the_end_of_a_body_without_readers_is_waited_for_as_long_as_a_head() {
    run(async {
        for waits in [true, false] {
            let more = || Some(Ok(Frame::data("more".into())));
            let rest: Vec<_> = (0..9_999).map(|_| if waits { None } else { more() }).collect();
            let rest = Mutex::new(Some(rest));
            let origin = Origin::sync(move |_, _| announced(rest.lock().unwrap().take().unwrap()));
            let (service, cache, clock) = cached(&origin, |cache| cache);
            let mut body = send(&service, get("/")).await.unwrap().into_body();
            body.frame().await;
            drop(body);
            settled().await;
            let abandoned = || cache.stats().not_stored(NoCacheReason::Abandoned);
            assert_eq!((abandoned(), cache.usage().keys), (u64::from(!waits), 0));
            clock.advance(SECOND * 5);
            settled().await;
            assert_eq!((abandoned(), cache.usage().keys), (1, 0));
        }
    });
}

/// A body of so many frames, all of them ready, and most of them empty.
struct Ready(Arc<AtomicUsize>, usize);

impl Body for Ready {
    type Data = Bytes;
    type Error = TestError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TestError>>> {
        let number = self.0.fetch_add(1, SeqCst);
        let data = if number == 1_000 { Bytes::from_static(b"pets") } else { Bytes::new() };
        Poll::Ready((number < self.1).then(|| Ok(Frame::data(data))))
    }
}

#[test]
fn frames_that_are_ready_and_empty_hold_up_nobody_and_are_not_kept() {
    const FRAMES: usize = 100_000;
    run(async {
        for announced in [false, true] {
            let read = Arc::new(AtomicUsize::new(0));
            let frames = Arc::clone(&read);
            let origin = Origin::sync(move |_, _| {
                let head = if announced { with(answer(""), "content-length", "4") } else { answer("") };
                head.map(|_| Ready(Arc::clone(&frames), FRAMES).boxed_unsync())
            });
            let (service, _, _) = cached(&origin, |cache| cache);
            let mut asked = Box::pin(ask(&service, get("/")));
            let (mut polls, mut before) = (0, 0);
            let answer = loop {
                let answer = poll_once(&mut asked).await;
                let now = read.load(SeqCst);
                assert!(now - before <= 1_024, "{} frames in one poll", now - before);
                (polls, before) = (polls + 1, now);
                if let Poll::Ready(answer) = answer {
                    break answer;
                }
            };
            assert_eq!(answer.body(), "pets");
            assert!(polls > FRAMES / 1_024);
            assert_eq!((text(&service, "/").await.as_str(), origin.calls()), ("pets", 1));
        }
    });
}

/// A body that is not as long as its head has said is for the client alone that made the call.
#[test]
fn who_waited_for_a_body_that_is_too_short_tries_for_itself() {
    for (length, is_rfc) in [("4", false), ("2", false), ("4", true), ("2", true)] {
        run(async {
            let origin = Origin::new(move |_, call| async move {
                pauses(5).await;
                let answer = answer(if call == 1 { "bad" } else { "good" });
                let answer = with(answer, "cache-control", "max-age=60");
                Ok(if call == 1 { with(answer, "content-length", length) } else { answer })
            });
            let (service, cache, _) = cached(&origin, |cache| in_mode(cache, is_rfc));
            let answers = futures_util::future::join_all((0..3).map(|_| ask(&service, get("/")))).await;
            let all: Vec<_> = answers.into_iter().map(said).collect();
            assert_eq!((all, origin.calls()), (["bad", "good", "good"].map(str::to_owned).to_vec(), 2));
            assert_eq!((cache.stats().stored(), text(&service, "/").await), (1, "good".to_owned()));
        });
    }
}

/// A call that is finished without a client takes a worker for one turn at a time.
#[test]
fn what_is_finished_for_nobody_lets_others_run() {
    run(async {
        let turns = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (count, log) = (Arc::clone(&turns), Arc::clone(&seen));
        let origin = Origin::sync(move |_, _| {
            let (turns, seen) = (Arc::clone(&turns), Arc::clone(&seen));
            let frames = (0..20_000).map(move |_| {
                seen.lock().unwrap().push(turns.load(SeqCst));
                Ok(Frame::data(Bytes::from_static(b"x")))
            });
            answer("")
                .map(|_| http_body_util::StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
        });
        let (service, cache, _) = cached(&origin, |cache| cache.finish_abandoned(true));
        let other = tokio::spawn(async move {
            loop {
                count.fetch_add(1, SeqCst);
                pauses(1).await;
            }
        });
        drop(send(&service, get("/")).await.unwrap());
        while cache.stats().stored() == 0 {
            tokio::task::yield_now().await;
        }
        other.abort();
        let mut turns = log.lock().unwrap().clone();
        turns.dedup();
        assert!(turns.len() > 50, "{}", turns.len());
    });
}

//! Asking a store for what another process may be making at this moment.

use crate::clock::Clock;
use std::{future::Future, time::Duration};

/// Somebody else's call is asked for so often: at first soon, since most calls are short.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// What is there is of no use: the claim is made all the same.
    Instead,
    /// Another process makes the call.
    Wait,
}

/// Asks until something is told (`Err`), and whether another process had to be waited for. The question says whether a
/// claim is to be made in place of what is there. `None`: not within that time.
pub(crate) async fn until_told<T, F>(
    clock: &Clock,
    within: Duration,
    ask: impl Fn(bool) -> F,
) -> Option<(T, bool)>
where
    F: Future<Output = Result<Next, T>>,
{
    let begun = clock.now();
    let (mut pause, mut instead, mut waited) = (FIRST_PAUSE, false, false);
    while clock.now().since(begun) < within {
        match ask(instead).await {
            Err(told) => return Some((told, waited)),
            Ok(Next::Instead) => instead = true,
            Ok(Next::Wait) => {
                (instead, waited) = (false, true);
                clock.sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::{
        cell::RefCell,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    const WITHIN: Duration = Duration::from_secs(1);

    /// What is told, and the questions: when, in milliseconds, and whether in place of what is there.
    type Asked = (Option<(u8, bool)>, Vec<(u64, bool)>);

    /// If the answers come in that order.
    fn asked(answers: &[Result<Next, u8>]) -> Asked {
        let clock = ManualClock::at_unix_seconds(0);
        let (watch, questions) = (clock.clock(), RefCell::new(Vec::new()));
        let begun = watch.now();
        let ask = |instead| {
            let at = questions.borrow().len();
            questions.borrow_mut().push((watch.now().since(begun).as_millis() as u64, instead));
            std::future::ready(answers.get(at).copied().unwrap_or(Ok(Next::Wait)))
        };
        let mut told = pin!(until_told(&watch, WITHIN, ask));
        let told = loop {
            match told.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(told) => break told,
                Poll::Pending => clock.advance(Duration::from_millis(1)),
            }
        };
        (told, questions.take())
    }

    #[test]
    fn the_others_are_asked_for_soon_and_then_seldom() {
        let wait = Ok(Next::Wait);
        assert_eq!(asked(&[Err(1)]), (Some((1, false)), vec![(0, false)]));
        assert_eq!(
            asked(&[Ok(Next::Instead), wait, wait, Ok(Next::Instead), Err(2)]),
            (Some((2, true)), vec![(0, false), (0, true), (2, false), (6, false), (6, true)])
        );
        let (told, questions) = asked(&[]);
        let times: Vec<u64> = questions.iter().map(|(at, _)| *at).collect();
        assert_eq!((told, &times[..8]), (None, &[0, 2, 6, 14, 30, 62, 112, 162][..]));
        assert!(times.last().is_some_and(|last| (950..1_000).contains(last)), "{times:?}");
    }
}

//! The question to the second tier that a request waits for, together with everybody in the process who asks the same.

use super::{
    TierAnswer, TierClaim, TierFound, TierPlace,
    front::{Found, Tier},
    lead::{LASTS, Lead},
    stats::count,
};
use crate::{
    cache::{
        core::Core,
        flight::FlightKey,
        plan::{Fetch, LayerState},
        purge::Purge,
    },
    store::{Next, until_told},
};
use http::HeaderName;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
};
use tokio::sync::watch;

/// Another process is waited for during this part of the time that a request waits: in the rest of it, those who waited
/// together share a call of this process.
const PART_OF_WAIT: u32 = 2;

/// What came of it. A clone is a reference count.
#[derive(Clone, Debug)]
pub(in crate::cache) enum Told {
    /// The answer is in memory now.
    Found,
    /// Answers vary by these fields.
    Varies(Arc<[HeaderName]>),
    /// The call is to be made; what it brings may go into the tier.
    Lead(Arc<Lead>),
    /// The call is to be made, for this process only.
    Alone,
}

/// Waits for what is told. Dropped, it leaves the question to the others.
pub(in crate::cache) struct Asking(Pin<Box<dyn Future<Output = Told> + Send>>);

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

impl Future for Asking {
    type Output = Told;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Told> {
        self.0.as_mut().poll(cx)
    }
}

impl LayerState {
    /// Asks the second tier, where there is one and it may know better than the service.
    pub(in crate::cache) fn ask_tier(&self, fetch: &Fetch) -> Option<Asking> {
        let core = &self.core;
        let tier = core.tier.as_ref()?;
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        if !self.instance.is_shared_between_processes() || !fetch.is_shared() {
            return None;
        }
        if fetch.lookup.reload {
            return Some(reload(core, tier, fetch));
        }
        if core.limits.coalesces && core.flights.has(&fetch.key) {
            return None;
        }
        Some(ask(core, tier, fetch, &runtime))
    }
}

/// The others are to forget what is replaced, before it is.
fn reload(core: &Arc<Core>, tier: &Arc<Tier>, fetch: &Fetch) -> Asking {
    let (core, tier) = (Arc::clone(core), Arc::clone(tier));
    let purge = Purge::exactly(fetch.key.primary.borrowed().bytes());
    let place = TierPlace::of(&fetch.key);
    Asking(Box::pin(async move {
        match tier.announce(&core, &purge).await {
            Ok(number) => Told::Lead(Lead::alone(&tier, place, number)),
            Err(_) => Told::Alone,
        }
    }))
}

/// Joins the question for a key, or asks it in a task of its own: it must not end with whoever asked first.
fn ask(core: &Arc<Core>, tier: &Arc<Tier>, fetch: &Fetch, runtime: &tokio::runtime::Handle) -> Asking {
    let mut asks = tier.asks.lock().unwrap_or_else(PoisonError::into_inner);
    let told = asks.entry(fetch.key.clone()).or_insert_with(|| {
        let (sender, told) = watch::channel(None);
        let question = Question { core: Arc::clone(core), tier: Arc::clone(tier), key: fetch.key.clone() };
        runtime.spawn(question.run(sender));
        told
    });
    let mut told = told.clone();
    drop(asks);
    Asking(Box::pin(async move {
        // The sender goes without a word only if its task panicked or its runtime ended.
        let told = told.wait_for(Option::is_some).await;
        told.ok().and_then(|told| told.clone()).unwrap_or(Told::Alone)
    }))
}

struct Question {
    core: Arc<Core>,
    tier: Arc<Tier>,
    key: FlightKey,
}

impl Question {
    async fn run(self, sender: watch::Sender<Option<Told>>) {
        let leaving = Leaving(&self);
        let told = self.answer().await;
        let counters = &self.tier.counters;
        match told {
            Told::Lead(_) => count(&counters.led),
            Told::Alone => count(&counters.alone),
            // Counted where it was found out whether somebody had to be waited for.
            Told::Found | Told::Varies(_) => {}
        }
        // First told, then out of the table: newcomers find a call of this process, or ask anew.
        sender.send_replace(Some(told));
        drop(leaving);
    }

    async fn answer(&self) -> Told {
        let (core, counters) = (&self.core, &self.tier.counters);
        let within = core.limits.wait / PART_OF_WAIT;
        let asked = until_told(&core.clock, within, |instead| self.ask_once(instead)).await;
        let Some((told, waited)) = asked else { return Told::Alone };
        if matches!(told, Told::Found) {
            count(if waited { &counters.followed } else { &counters.found });
        }
        told
    }

    /// `Err`: that was it.
    async fn ask_once(&self, instead: bool) -> Result<Next, Told> {
        let (core, tier) = (&self.core, &self.tier);
        let place = TierPlace::of(&self.key);
        let token = core.token();
        let claim = core.limits.coalesces.then_some(TierClaim { token, lasts: LASTS, instead });
        let Some(local_purges) = self.before_asking() else { return Err(Told::Alone) };
        let asked = tier.guarded(|| tier.store.ask(place, claim)).await;
        let TierAnswer { purges, found } = asked.map_err(|_away| Told::Alone)?;
        match found {
            TierFound::Value(bytes, left) => {
                let found = Found { bytes, left, purges, local_purges };
                if let Some(told) = tier.take(core, &self.key, found) {
                    return Err(told);
                }
                count(&tier.counters.unusable);
                match claim {
                    Some(_) if !instead => Ok(Next::Instead),
                    _ => Err(Told::Lead(Lead::alone(tier, place, purges))),
                }
            }
            TierFound::Nothing if claim.is_some() => {
                let lead = Lead::new(core, tier, place, token, purges);
                let newer = if instead { self.look_again(place).await } else { None };
                Err(newer.unwrap_or(Told::Lead(lead)))
            }
            TierFound::Nothing => Err(Told::Lead(Lead::alone(tier, place, purges))),
            TierFound::Claimed => Ok(Next::Wait),
        }
    }
}

impl Question {
    /// How many purges this process has seen. `None`: nobody can hold what the tier has against one of them yet.
    fn before_asking(&self) -> Option<u64> {
        // In this order: what is purged after the first is counted by the second.
        let local_purges = self.core.purges_of(self.key.primary.borrowed());
        if self.tier.outbox.may_mean(self.key.primary.borrowed().bytes()) {
            self.tier.send_behind();
            return None;
        }
        Some(local_purges)
    }

    /// Between the question that found something of no use and the claim, another process may have brought an answer.
    async fn look_again(&self, place: TierPlace) -> Option<Told> {
        let local_purges = self.before_asking()?;
        let TierAnswer { purges, found } =
            self.tier.guarded(|| self.tier.store.ask(place, None)).await.ok()?;
        let TierFound::Value(bytes, left) = found else { return None };
        let found = Found { bytes, left, purges, local_purges };
        self.tier.take(&self.core, &self.key, found)
    }
}

/// Takes the question out of the table, also where its task panics.
struct Leaving<'a>(&'a Question);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let Question { tier, key, .. } = self.0;
        tier.asks.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

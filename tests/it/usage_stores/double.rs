//! A deterministic store in memory, whose links to the processes can be cut, frozen and made deaf.

use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, Weak},
};
use tower_gateway::{
    store::{StoreError, StoreFuture},
    throttle::bucket::{Bucket, BucketVerdict},
    usage_plan::{
        LeaseLedger,
        store::{
            BucketAsk, BucketId, BucketLevel, Counter, Lease, LeaseAsk, RemainingAsk, StoredUsage, Taken,
            ThrottleAsk, Tokens, UsageAsk, UsageListener, UsageStore,
        },
    },
};

/// What the way between a process and the store does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    #[default]
    Up,
    /// Every ask fails at once.
    Refused,
    /// Asks arrive when the link is up again, long after everybody has stopped to wait for them.
    Frozen,
    /// Asks are executed, and nothing comes back.
    Deaf,
    /// Asks are executed, and the answers come when the link is up again.
    Slow,
}

/// One process's handle. Clones are the same process.
#[derive(Clone)]
pub struct Double {
    shared: Arc<Mutex<Shared>>,
    link: Arc<Mutex<Link>>,
    throttles: bool,
}

impl std::fmt::Debug for Double {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Double")
    }
}

/// Who listens at the end of which link.
type Listening = (Arc<Mutex<Link>>, Weak<dyn UsageListener>);

#[derive(Default)]
struct Shared {
    ledgers: HashMap<Counter, LeaseLedger>,
    buckets: HashMap<BucketId, Bucket>,
    listeners: Vec<Listening>,
    /// Asks on a link that was frozen.
    late: Vec<(Arc<Mutex<Link>>, LeaseAsk)>,
    calls: u64,
}

impl Double {
    /// The first process of a new store.
    pub fn new(throttles: bool) -> Self {
        Self { shared: Arc::default(), link: Arc::default(), throttles }
    }

    /// Another process of the same store.
    pub fn process(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), link: Arc::default(), throttles: self.throttles }
    }

    pub fn set_link(&self, link: Link) {
        *self.link.lock().unwrap() = link;
        if link == Link::Up {
            let mut shared = self.shared();
            let late = std::mem::take(&mut shared.late);
            for (of, ask) in late {
                if Arc::ptr_eq(&of, &self.link) {
                    shared.lease(&ask);
                } else {
                    shared.late.push((of, ask));
                }
            }
        }
    }

    fn link(&self) -> Link {
        *self.link.lock().unwrap()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    pub fn calls(&self) -> u64 {
        self.shared().calls
    }

    /// All that is known is lost.
    pub fn lose_everything(&self) {
        let mut shared = self.shared();
        shared.ledgers.clear();
        shared.buckets.clear();
    }

    fn answer<T: Send + 'static>(&self, execute: impl FnOnce(&mut Shared) -> T) -> StoreFuture<T> {
        match self.link() {
            Link::Up => {
                let answer = execute(&mut self.shared());
                Box::pin(async move { Ok(answer) })
            }
            Link::Refused => Box::pin(async { Err(StoreError::new("the link is down")) }),
            Link::Frozen => Box::pin(pending()),
            Link::Deaf => {
                execute(&mut self.shared());
                Box::pin(pending())
            }
            Link::Slow => {
                let (answer, this) = (execute(&mut self.shared()), self.clone());
                Box::pin(async move {
                    while this.link() == Link::Slow {
                        tokio::task::yield_now().await;
                    }
                    Ok(answer)
                })
            }
        }
    }

    /// Tells every other process that can be reached.
    fn tell(&self, tell: impl Fn(&dyn UsageListener)) {
        let mut listeners = Vec::new();
        for (link, listener) in &self.shared().listeners {
            if !Arc::ptr_eq(link, &self.link) && *link.lock().unwrap() == Link::Up {
                listeners.extend(listener.upgrade());
            }
        }
        listeners.iter().for_each(|listener| tell(&**listener));
    }
}

impl Shared {
    fn lease(&mut self, ask: &LeaseAsk) -> Lease {
        self.calls += 1;
        self.ledgers.entry(ask.counter.clone()).or_default().ask(ask, ask.now.unwrap())
    }

    fn take(&mut self, ask: &LeaseAsk, tokens: &ThrottleAsk) -> Taken {
        self.calls += 1;
        let (mut ledger, mut levels) = (self.ledgers.remove(&ask.counter).unwrap_or_default(), None);
        let lease = ledger.ask_if(ask, ask.now.unwrap(), || {
            let found = self.decide(tokens);
            let taken = !tokens.is_refused(&found);
            levels = Some(found);
            taken
        });
        self.ledgers.insert(ask.counter.clone(), ledger);
        Taken::new(lease, levels)
    }

    fn throttle(&mut self, ask: &ThrottleAsk) -> Vec<BucketLevel> {
        self.calls += 1;
        self.decide(ask)
    }

    fn decide(&mut self, ask: &ThrottleAsk) -> Vec<BucketLevel> {
        let now = ask.now.unwrap() * 1_000;
        let kept = |id: &BucketId| self.buckets.get(id).copied().unwrap_or_default();
        let mut next: Vec<(Bucket, bool)> = Vec::new();
        // As the last edit of its throttle found it.
        let settled = |bucket: &BucketAsk| {
            bucket.past.iter().fold(kept(&bucket.id), |bucket, past| {
                bucket.refilled(past.nano_rate(), past.until().unix_micros() as u64 * 1_000)
            })
        };
        for bucket in &ask.buckets {
            let old = settled(bucket);
            next.push(match ask.tokens {
                Tokens::GiveBack(tokens) => (old.refund(tokens), false),
                Tokens::Overdraw(tokens) => (old.overdraw(bucket.throttle, now, tokens), false),
                Tokens::Take(0) => (old, false),
                Tokens::Take(tokens) => match old.check(bucket.throttle, now, tokens) {
                    BucketVerdict::Admit(taken) => (taken, false),
                    BucketVerdict::Refuse { .. } => (old, true),
                },
                tokens => panic!("{tokens:?}"),
            });
        }
        let refused = ask.buckets.iter().zip(&next).any(|(bucket, next)| next.1 && !bucket.shadow);
        let levels = ask.buckets.iter().zip(&next).map(|(bucket, (changed, lacked))| {
            let after = if refused { settled(bucket) } else { *changed };
            BucketLevel::new(after.deficit_at(bucket.throttle, now), *lacked)
        });
        let levels = levels.collect();
        if !refused {
            self.buckets
                .extend(ask.buckets.iter().map(|bucket| bucket.id.clone()).zip(next.iter().map(|it| it.0)));
        }
        levels
    }
}

impl UsageStore for Double {
    fn shares_throttles(&self) -> bool {
        self.throttles
    }

    fn lease(&self, ask: LeaseAsk) -> StoreFuture<Lease> {
        if self.link() == Link::Frozen {
            self.shared().late.push((Arc::clone(&self.link), ask));
            return Box::pin(pending());
        }
        let this = self.clone();
        self.answer(move |shared| shared.lease(&ask).recalling(&ask, this))
    }

    fn take(&self, ask: &LeaseAsk, tokens: &ThrottleAsk) -> Option<StoreFuture<Taken>> {
        let this = self.clone();
        self.throttles.then(|| {
            self.answer(move |shared| {
                let Taken { lease, levels, .. } = shared.take(ask, tokens);
                let refused = levels.as_ref().is_some_and(|levels| tokens.is_refused(levels));
                Taken::new(if refused { lease } else { lease.recalling(ask, this) }, levels)
            })
        })
    }

    fn throttle(&self, ask: ThrottleAsk) -> StoreFuture<Vec<BucketLevel>> {
        self.answer(move |shared| shared.throttle(&ask))
    }

    fn usage(&self, ask: UsageAsk) -> StoreFuture<StoredUsage> {
        self.answer(move |shared| {
            shared.ledgers.entry(ask.counter.clone()).or_default().usage(&ask, ask.now.unwrap())
        })
    }

    fn set_remaining(&self, ask: RemainingAsk) -> StoreFuture<()> {
        let this = self.clone();
        let counter = ask.counter.clone();
        let set = self.answer(move |shared| {
            shared.ledgers.entry(ask.counter.clone()).or_default().set_remaining(&ask, ask.now.unwrap());
        });
        Box::pin(async move {
            set.await?;
            this.tell(|listener| listener.changed(&counter));
            Ok(())
        })
    }

    fn forget(&self, counter: Counter) -> StoreFuture<()> {
        self.answer(move |shared| {
            shared.ledgers.remove(&counter);
        })
    }

    fn forget_plan(&self, plan: Arc<str>) -> StoreFuture<()> {
        self.answer(move |shared| {
            shared.ledgers.retain(|counter, _| counter.plan != plan);
        })
    }

    fn listen(&self, listener: Weak<dyn UsageListener>) {
        self.shared().listeners.push((Arc::clone(&self.link), listener));
    }
}

trait Recalling {
    fn recalling(self, ask: &LeaseAsk, store: Double) -> Self;
}

impl Recalling for Lease {
    /// Tells the others once the store's lock is free.
    fn recalling(self, ask: &LeaseAsk, store: Double) -> Self {
        if self.granted < ask.need && self.out > 0 {
            let counter = ask.counter.clone();
            tokio::spawn(async move { store.tell(|listener| listener.recalled(&counter)) });
        }
        self
    }
}

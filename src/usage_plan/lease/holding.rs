//! The process's side of a lease: what is in hand, what was used, what the store last said.

mod due;

use super::{
    super::store::{KEPT_AFTER_END, Lease, LeaseAsk, Period, Standing},
    book::Book,
    hand::{Hand, Terms},
    manner::{Manner, Names},
};
use std::time::Duration;
use tokio::sync::oneshot;

/// A refusal is looked at again after so many nanoseconds, in the background.
const RECHECK: u64 = 1_000_000_000;
/// New units are asked for when this part of the last ones is left.
const REFILL_PART: u64 = 4;
/// By this part a lease ends earlier for its holder than for the store, so that clocks need not be equal.
const MARGIN_PART: u64 = 8;

/// What a key of this process has of a quota that is shared.
#[derive(Debug)]
#[repr(C)]
pub(in super::super) struct Holding {
    hand: Hand,
    period: Period,
    limit: Option<u64>,
    /// Holds while `hand.told`.
    anywhere: Anywhere,
    /// Without what is still in `hand.tally`.
    booked: Book,
    flight: Flight,
    holder: u128,
    fresh: bool,
    /// Others hold what is left, and a request has waited for it in vain: until then nobody need wait again.
    held_until: u64,
    /// Promised to requests that wait for something else.
    reserved: u64,
    /// What was held when the store last answered: at most so much lapsed if it was not heard of again.
    held: u64,
    /// Processes that hold units of this counter, as the store last said.
    holders: u64,
}

/// What the store last said of all units: in hand, in the pool, or on other leases.
#[derive(Clone, Copy, Debug, Default)]
struct Anywhere {
    units: u64,
    /// On other leases.
    out: u64,
    recheck_at: u64,
}

/// How many asks have ended in which way, ever: who waits sees what has happened meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Ends {
    pub(in super::super) answered: u32,
    pub(in super::super) failed: u32,
}

/// The one ask that may be under way, and who waits for it.
#[derive(Debug, Default)]
struct Flight {
    /// When it is looked at again, in monotonic nanoseconds.
    due: Option<u64>,
    /// When its place among the idle falls due, whether it was put forward since or not.
    idle: Option<u64>,
    recalled: bool,
    /// The last ask had no answer: the store may have lent what is not known here.
    unheard: bool,
    seq: u64,
    ends: Ends,
    /// Units that waiting requests need.
    queue: u64,
    waiting: Vec<oneshot::Sender<()>>,
}

/// Whether a cost can be paid from what is in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Usable {
    Enough,
    /// There is not so much left anywhere.
    Nowhere,
    /// Others hold it, and did not hand it back when they were told that it is wanted.
    Held,
    /// The store must be asked.
    Unknown,
}

/// What comes after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum After {
    Done,
    /// The record was gone: the statement is to be made again.
    Again,
    /// Somebody else waits for what is in hand.
    HandBack,
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Holding {
    pub(in super::super) fn new(period: Period, limit: Option<u64>, holder: u128) -> Self {
        Self {
            hand: Hand::default(),
            period,
            limit,
            anywhere: Anywhere::default(),
            booked: Book::default(),
            flight: Flight::default(),
            holder,
            fresh: true,
            held_until: 0,
            reserved: 0,
            held: 0,
            holders: 0,
        }
    }

    /// Whether it was brought to these terms before.
    pub(in super::super) fn is_under(&self, terms: Terms) -> bool {
        self.hand.terms == terms
    }

    /// The period and the limit are right for these terms.
    pub(in super::super) fn put_under(&mut self, terms: Terms) {
        self.book();
        self.hand.terms = terms;
    }

    /// What was used, all of it.
    fn book(&mut self) -> &mut Book {
        self.booked.enter(self.hand.terms.day, std::mem::take(&mut self.hand.tally));
        &mut self.booked
    }

    /// Another period begins. Who waits goes on waiting for units of this one.
    pub(in super::super) fn turn(&mut self, period: Period, limit: Option<u64>, holder: u128) {
        let Flight { ends, queue, due, idle, .. } = self.flight;
        let flight = Flight { ends, queue, due, idle, ..Flight::default() };
        let due_soon = self.hand.due_soon;
        *self = Self { flight, ..Self::new(period, limit, holder) };
        self.hand.due_soon = due_soon;
    }

    pub(in super::super) fn period(&self) -> Period {
        self.period
    }

    pub(in super::super) fn holders(&self) -> u64 {
        self.holders
    }

    /// What is certainly left, in hand and in the pool, if the store has said so.
    pub(in super::super) fn remaining(&self) -> Option<u64> {
        self.hand.told.then(|| self.hand.remaining())
    }

    /// Another limit: all that is in hand goes back, and what was said of the old one is void.
    pub(in super::super) fn set_limit(&mut self, limit: Option<u64>) {
        if self.limit != limit {
            self.limit = limit;
            (self.hand.left, self.hand.pool) = (0, 0);
            self.changed();
        }
    }

    /// What is left was set.
    pub(in super::super) fn changed(&mut self) {
        (self.hand.told, self.held_until) = (false, 0);
    }

    /// A request has waited for its units until its time was over, and heard of the store. Where that has said that others
    /// hold them, the next ones need not before an epoch is over: who has died hands nothing back before its lease has
    /// ended.
    pub(in super::super) fn waited_in_vain(&mut self, now: u64, epoch: Duration) {
        let is_held = self.hand.told && self.anywhere.out > 0;
        self.held_until = if is_held { now.saturating_add(nanos(epoch)) } else { 0 };
    }

    pub(in super::super) fn usable(&self, cost: u64, now: u64) -> Usable {
        if self.hand.usable(now) >= cost {
            return Usable::Enough;
        }
        if self.hand.told && cost > self.anywhere.units {
            return Usable::Nowhere;
        }
        let is_held = self.hand.told && now < self.held_until && cost > self.hand.remaining();
        if is_held { Usable::Held } else { Usable::Unknown }
    }

    /// Counts units, and takes them from what is in hand where the quota binds.
    pub(in super::super) fn spend(&mut self, bound: bool, day: i32, cost: u64) {
        if bound {
            self.hand.take(cost);
        }
        self.count(day, cost);
    }

    /// Counts units that were not in hand.
    pub(in super::super) fn count(&mut self, day: i32, cost: u64) {
        if day == self.hand.terms.day {
            self.hand.tally = self.hand.tally.saturating_add(cost);
        } else {
            self.book().enter(day, cost);
        }
    }

    /// Takes units from what is in hand for a request that is not decided yet.
    pub(in super::super) fn reserve(&mut self, cost: u64) {
        self.hand.take(cost);
        self.reserved = self.reserved.saturating_add(cost);
    }

    /// The request was admitted: so many units of it had been reserved.
    pub(in super::super) fn consume(&mut self, day: i32, cost: u64) {
        self.reserved = self.reserved.saturating_sub(cost);
        self.count(day, cost);
    }

    /// The request was refused or went away.
    pub(in super::super) fn release(&mut self, cost: u64, now: u64) {
        if let Some(reserved) = self.reserved.checked_sub(cost) {
            self.reserved = reserved;
            self.put_back(cost, now);
            self.wake();
        }
    }

    /// A lease that has ended takes nothing: the next statement says that it is not held. Nor is it spent again while more
    /// may be used than there is: only the store knows by how much.
    fn put_back(&mut self, units: u64, now: u64) {
        if self.hand.in_debt {
            // Whoever is alone knows what is left by its own use. Beside others, what is in hand stays what is surely left,
            // and that there may be more is for the store to say.
            self.hand.told &= self.holders > 1;
            self.held_until = 0;
        } else {
            self.hand.put(units, now);
        }
        self.anywhere.units = self.anywhere.units.saturating_add(units);
    }

    /// A cost became known afterwards: more (above zero) or less of the use of a day of this period. Of units that were not
    /// in hand the store only hears that they were not used.
    pub(in super::super) fn settle(&mut self, day: i32, difference: i64, from_hand: bool, now: u64) {
        let heard = !self.hand.asking && !self.flight.unheard;
        self.book().used.change(day, difference, heard);
        match u64::try_from(difference) {
            Ok(more) => self.hand.owe(more),
            Err(_) if from_hand => self.put_back(difference.unsigned_abs(), now),
            Err(_) => {}
        }
    }

    /// It is time to ask for more while nobody waits yet, or to look again at a refusal.
    pub(in super::super) fn wants_ask(&self, now: u64, usable: Usable) -> bool {
        let wants = match usable {
            Usable::Enough => self.hand.runs_low(now),
            Usable::Nowhere | Usable::Held => self.hand.told && now >= self.anywhere.recheck_at,
            Usable::Unknown => false,
        };
        wants && !self.hand.asking
    }

    /// Whether there is anything that the store does not know or that could go back to it.
    pub(in super::super) fn is_settled(&self) -> bool {
        self.hand.tally == 0
            && self.booked.used.is_confirmed()
            && self.hand.left == 0
            && self.reserved == 0
            && self.held == 0
            && !self.flight.unheard
            && !self.hand.asking
            && self.flight.queue == 0
    }

    /// The store has answered since then.
    pub(in super::super) fn touched_since(&self, then: u64) -> bool {
        self.booked.pace.since() > then
    }

    /// Nothing was used since the last ask.
    fn is_idle(&mut self) -> bool {
        self.book().pace.is_idle() && self.flight.queue == 0
    }
}

/// Asking.
impl Holding {
    pub(in super::super) fn is_asking(&self) -> bool {
        self.hand.asking
    }

    pub(in super::super) fn ends(&self) -> Ends {
        self.flight.ends
    }

    /// A request begins to wait for so many units.
    pub(in super::super) fn queue_up(&mut self, cost: u64) {
        self.flight.queue = self.flight.queue.saturating_add(cost);
    }

    pub(in super::super) fn leave_queue(&mut self, cost: u64) {
        self.flight.queue = self.flight.queue.saturating_sub(cost);
    }

    /// To be told when the ask under way has ended.
    pub(in super::super) fn follow(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.flight.waiting.retain(|waiting| !waiting.is_closed());
        self.flight.waiting.push(sender);
        receiver
    }

    fn wake(&mut self) {
        self.flight.waiting.clear();
    }

    /// An ask for requests that wait, of which one needs `least`. What is in hand was not enough, so it goes back: two
    /// processes that both hold a part of what each needs would wait for each other.
    pub(in super::super) fn ask_for_waiting(&mut self, manner: Manner, least: u64) -> LeaseAsk {
        self.hand.left = 0;
        let want = self.ahead(&manner);
        let need = self.flight.queue.max(least);
        self.statement(manner, need, least, want)
    }

    /// An ask for more before anybody waits.
    pub(in super::super) fn ask_ahead(&mut self, manner: Manner) -> LeaseAsk {
        let want = self.ahead(&manner).saturating_sub(self.hand.usable(manner.now));
        self.statement(manner, self.flight.queue, 0, want)
    }

    /// An ask after a refusal because others hold what is left: they hear of it, and what is in hand may be spent
    /// meanwhile.
    pub(in super::super) fn ask_for_refused(&mut self, manner: Manner, cost: u64) -> LeaseAsk {
        let least = cost.saturating_sub(self.hand.usable(manner.now));
        let need = self.flight.queue.max(least);
        self.statement(manner, need, least, 0)
    }

    fn ahead(&mut self, manner: &Manner) -> u64 {
        self.book().pace.ahead(manner.now, nanos(manner.epoch))
    }

    /// Says what was used, and hands back all that is not promised.
    pub(in super::super) fn hand_back(&mut self, manner: Manner) -> LeaseAsk {
        self.hand.left = 0;
        self.statement(manner, 0, 0, 0)
    }

    fn statement(&mut self, manner: Manner, need: u64, least: u64, want: u64) -> LeaseAsk {
        self.hand.tell(manner.now);
        (self.flight.seq, self.flight.recalled) = (manner.names.seq, false);
        let want = if self.limit.is_some() { want } else { 0 };
        LeaseAsk {
            counter: manner.counter,
            period: self.period,
            limit: self.limit,
            holder: self.holder,
            seq: manner.names.seq,
            fresh: self.fresh,
            used: self.book().used.statement(manner.day),
            hold: self.hand.left + self.reserved,
            need,
            least,
            want,
            epoch: manner.epoch,
            now: manner.virtual_now,
        }
    }

    /// The same ask for a record that starts anew.
    pub(in super::super) fn ask_again(&mut self, manner: Manner, ask: &LeaseAsk) -> LeaseAsk {
        self.statement(manner, ask.need, ask.least, ask.want)
    }

    /// Says what was used, and keeps what is in hand.
    pub(in super::super) fn report_only(&mut self, manner: Manner) -> LeaseAsk {
        self.statement(manner, self.flight.queue, 0, 0)
    }

    /// What is said when it is time to say something: what is used goes on, what is not goes back.
    pub(in super::super) fn report(&mut self, manner: Manner) -> LeaseAsk {
        if self.is_idle() {
            return self.hand_back(manner);
        }
        // The pace may have become slower.
        self.hand.left = self.hand.left.min(self.ahead(&manner));
        self.ask_ahead(manner)
    }

    /// Units are wanted elsewhere; `false` if an ask is under way, after which they go back.
    pub(in super::super) fn recall(&mut self) -> bool {
        self.flight.recalled = self.hand.asking;
        !self.hand.asking
    }

    fn is_of(&self, ask: &LeaseAsk) -> bool {
        (self.flight.seq, self.holder) == (ask.seq, ask.holder)
    }

    /// The ask was given up, or failed.
    pub(in super::super) fn unanswered(&mut self, ask: &LeaseAsk, failed: bool) {
        if self.is_of(ask) {
            (self.hand.asking, self.flight.unheard) = (false, true);
            if failed {
                self.flight.ends.failed = self.flight.ends.failed.wrapping_add(1);
                self.held_until = 0; // Nobody knows what others hold now.
            }
            self.wake();
        }
    }

    /// The store has answered an ask that was sent at `sent`. `own` is all that the process has used in the period,
    /// `names` those for a record that starts anew.
    pub(in super::super) fn answered(
        &mut self,
        ask: &LeaseAsk,
        lease: &Lease,
        sent: u64,
        now: u64,
        own: i64,
        names: Names,
    ) -> After {
        if !self.is_of(ask) {
            return After::Done;
        }
        (self.hand.asking, self.flight.unheard) = (false, false);
        match lease.standing {
            Standing::Stale => After::Again,
            Standing::Current => self.granted(ask, lease, sent, now),
            Standing::Settled if self.may_be_settled(now) => {
                // What lapsed unused stays used; what was given back did not lapse.
                let unconfirmed = self.book().used.unconfirmed();
                self.reserved = 0;
                self.restart(ask, (unconfirmed - signed(self.held)).max(unconfirmed.min(0)), names)
            }
            // A store that has lost the record too early has lost the counter, and learned of a new one from others.
            Standing::Settled | Standing::Lost => self.restart(ask, own, names),
        }
    }

    /// A store keeps a record for so long after it was last heard of.
    fn may_be_settled(&self, now: u64) -> bool {
        now.saturating_sub(self.booked.pace.since()) >= nanos(KEPT_AFTER_END)
    }

    fn restart(&mut self, ask: &LeaseAsk, units: i64, names: Names) -> After {
        let day = ask.used.last().map_or(0, |last| last.day);
        self.book().used.restart(day, units);
        (self.holder, self.fresh, self.hand.left, self.held) = (names.holder, true, 0, 0);
        After::Again
    }

    fn granted(&mut self, ask: &LeaseAsk, lease: &Lease, sent: u64, now: u64) -> After {
        let epoch = nanos(ask.epoch);
        self.fresh = false;
        self.flight.ends.answered = self.flight.ends.answered.wrapping_add(1);
        let book = self.book();
        book.used.confirm(&ask.used);
        book.pace.restart(sent);
        self.hand.until = sent.saturating_add(epoch - epoch / MARGIN_PART);
        (self.held, self.holders) = (ask.hold.saturating_add(lease.granted), lease.holders);
        if ask.limit == self.limit {
            self.take(lease, now);
        }
        self.wake();
        if self.flight.recalled { After::HandBack } else { After::Done }
    }

    fn take(&mut self, lease: &Lease, now: u64) {
        self.hand.put(lease.granted, now);
        self.hand.pool = lease.pool;
        if lease.granted > 0 || lease.out == 0 {
            self.held_until = 0;
        }
        self.hand.in_debt = lease.granted == 0 && lease.pool == 0;
        self.hand.refill_at = self.hand.left / REFILL_PART;
        let units =
            [self.hand.left, self.reserved, lease.out].into_iter().fold(lease.pool, u64::saturating_add);
        self.anywhere = Anywhere { units, out: lease.out, recheck_at: now.saturating_add(RECHECK) };
        self.hand.told = true;
    }
}

pub(super) fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

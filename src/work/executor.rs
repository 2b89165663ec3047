//! Gives users to `reconcile`: each at most once at a time, so many at once as are allowed, and again
//! when there is a reason.
//!
//! The one place where work on users is serialized; stream, sweep, retries and operators all come
//! through here. One task owns the queue and everything that is kept of a user between two looks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use prometheus::IntGauge;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::backoff;
use super::queue::Queue;
use crate::core::memory::Mint;
use crate::core::user::{AccessKeyId, FoldedName, UserId, UserName};
use crate::feed::{Change, Ticket};
use crate::heartbeat::Heartbeat;
use crate::ports::{ChangeKind, Clock, Ports};
use crate::reconcile::{AwsTime, Ledger, Look, Reconciler, Trigger};
use crate::registry::Report;
use crate::removals::Removal;

/// A user that failed this often in a row is parked: its stream records count as handled, because
/// its removal is recorded, and everything else of it is looked at by every sweep.
const PARK_AFTER: u32 = 5;

/// A user that waits longer than this is parked as well.
const PARK_WAIT: Duration = Duration::from_secs(5);

/// Pause before a user is looked at again that was left alone although something is due.
const OVERDUE_PAUSE: Duration = Duration::from_secs(5);

/// No look that has to wait is repeated sooner than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause after a failure while a key is in hand: it is given up when it is not published within
/// minutes, and a throttled SSM refuses many calls in a row.
const LONGEST_IN_HAND: Duration = Duration::from_secs(10);

/// How soon a user is looked at again for whom too little was left of the lease.
const LEASE_PAUSE: Duration = Duration::from_secs(1);

/// The loop turns at least this often, so that a loop that is stuck can be told from one that idles.
const TURN: Duration = Duration::from_secs(5);

/// Kept for whoever waits for a look; dropped once the look is over and leaves no key in hand. A look that
/// failed is told before.
pub type Hold = mpsc::UnboundedSender<LookFailed>;

/// What is told to whoever waits for a look, when a call in it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookFailed;

/// What is asked of the executor, besides the stream's changes.
#[derive(Debug)]
pub enum Request {
    /// Look at a user that is, or was, in the table.
    Look {
        /// Whom.
        name: UserName,
        /// Why.
        trigger: Trigger,
        /// Dropped after the look.
        hold: Option<Hold>,
    },
    /// Enough sweeps have found this user without an item.
    Orphan {
        /// Whom.
        name: UserName,
        /// The user that they found.
        user: UserId,
        /// Dropped after the look.
        hold: Option<Hold>,
    },
    /// AWS has quarantined these keys.
    Compromised {
        /// Whose.
        name: UserName,
        /// Which.
        keys: BTreeSet<AccessKeyId>,
    },
    /// A process before this one has left a removal unfinished.
    Restore {
        /// Whose.
        name: UserName,
        /// What.
        removal: Removal,
    },
    /// Look at everybody whose removal waits: deletions were resumed.
    Resume,
}

/// What has become known of a name since its last look.
#[derive(Debug)]
enum Note {
    Spelling,
    Removed(crate::core::time::Timestamp),
    Orphan(UserId),
    Compromised(BTreeSet<AccessKeyId>),
    Restore(Removal),
}

/// One user, in the executor's hands.
#[derive(Default)]
struct Slot {
    /// `None` while it is being worked on.
    ledger: Option<Ledger>,
    notes: Vec<(UserName, Note)>,
    trigger: Option<Trigger>,
    tickets: Vec<Ticket>,
    holds: Vec<Hold>,
    in_work: (Vec<Ticket>, Vec<Hold>),
    /// What must outlive a fault of the program in the work on it.
    at_risk: Vec<(UserName, Note)>,
}

struct Finished {
    ledger: Ledger,
    look: Look,
    parked: bool,
}

/// The executor; [`run`](Executor::run) is its task.
pub struct Executor<P: Ports> {
    reconciler: Arc<Reconciler<P>>,
    concurrency: NonZeroUsize,
    depth: IntGauge,
    beat: Heartbeat,
    last_change: Option<crate::core::time::Timestamp>,
    queue: Queue<FoldedName>,
    slots: BTreeMap<FoldedName, Slot>,
    running: JoinSet<Finished>,
    names: HashMap<Id, FoldedName>,
    stopping: bool,
}

impl<P: Ports> Executor<P> {
    /// An executor with nothing to do.
    ///
    /// `last_change` is the last time at which a leader before this one may have changed something.
    pub fn new(
        reconciler: Arc<Reconciler<P>>,
        concurrency: NonZeroUsize,
        depth: IntGauge,
        beat: Heartbeat,
        last_change: Option<crate::core::time::Timestamp>,
    ) -> Self {
        Self {
            reconciler,
            concurrency,
            depth,
            beat,
            last_change,
            queue: Queue::new(),
            slots: BTreeMap::new(),
            running: JoinSet::new(),
            names: HashMap::new(),
            stopping: false,
        }
    }

    /// Works until `stop`; then takes no new users, finishes those in hand and returns. Dropping the
    /// future abandons them, which is as safe as a crash.
    pub async fn run(
        mut self,
        mut changes: mpsc::Receiver<Change>,
        mut requests: mpsc::Receiver<Request>,
        stop: CancellationToken,
    ) {
        loop {
            self.beat.beat(self.reconciler.ports.clock().monotonic());
            self.start_work();
            if self.stopping && self.running.is_empty() && !self.holds_a_secret() {
                return;
            }
            let next = self.patience();
            let finished: OptionFuture<_> =
                (!self.running.is_empty()).then(|| self.running.join_next_with_id()).into();
            tokio::select! {
                biased;
                () = stop.cancelled(), if !self.stopping => self.stopping = true,
                Some(Some(result)) = finished => self.finish(result),
                Some(change) = changes.recv(), if !self.stopping => self.take_change(change),
                Some(request) = requests.recv(), if !self.stopping => self.take_request(request),
                () = time::sleep(next) => {}
            }
        }
    }

    /// When to look at the queue again, should nothing happen before. Without a free slot nothing can
    /// be begun, so that what is overdue then is no reason to look.
    fn patience(&self) -> Duration {
        if self.running.len() >= self.concurrency.get() {
            return TURN;
        }
        let now = self.reconciler.ports.clock().monotonic();
        self.queue.next_deadline().map_or(TURN, |at| at.saturating_sub(now).min(TURN))
    }

    fn take_change(&mut self, change: Change) {
        match UserName::parse(&change.name) {
            Ok(name) => {
                let note = match change.kind {
                    ChangeKind::Written => Note::Spelling,
                    ChangeKind::Removed => {
                        self.reconciler.brakes.announce(name.clone());
                        Note::Removed(change.created)
                    }
                };
                self.ask(&name, note, Trigger::Stream).tickets.push(change.ticket);
            }
            Err(error) => {
                match change.kind {
                    ChangeKind::Written => self.report_invalid(&change.name, &error.to_string()),
                    ChangeKind::Removed => self.reconciler.registry.remove(&change.name),
                }
                change.ticket.settle();
            }
        }
    }

    fn report_invalid(&self, name: &str, reason: &str) {
        let known = self.reconciler.registry.get(name).is_some();
        if !known {
            tracing::warn!(user = name, reason, "a row has a name that IAM does not accept");
        }
        let report = Report::invalid(reason, AwsTime::of(self.reconciler.ports.clock()).now);
        self.reconciler.registry.set(name, report);
    }

    fn take_request(&mut self, request: Request) {
        match request {
            Request::Look { name, trigger, hold } => {
                self.ask(&name, Note::Spelling, trigger).holds.extend(hold)
            }
            Request::Orphan { name, user, hold } => {
                self.ask(&name, Note::Orphan(user), Trigger::Sweep).holds.extend(hold);
            }
            Request::Compromised { name, keys } => {
                self.ask(&name, Note::Compromised(keys), Trigger::Sweep);
            }
            Request::Restore { name, removal } => {
                self.ask(&name, Note::Restore(removal), Trigger::Resume);
            }
            Request::Resume => {
                let waits = |slot: &Slot| {
                    let files = slot.ledger.iter().flat_map(|ledger| ledger.files.values());
                    files.clone().any(|file| file.has_obligation() || file.memory.orphan.is_some())
                };
                let waiting = self.slots.iter().filter(|(_, slot)| waits(slot)).map(|(key, _)| key.clone());
                for key in waiting.collect::<Vec<_>>() {
                    if let Some(slot) = self.slots.get_mut(&key) {
                        slot.trigger = Some(Trigger::Resume);
                    }
                    self.queue.add(key);
                }
            }
        }
    }

    fn ask(&mut self, name: &UserName, note: Note, trigger: Trigger) -> &mut Slot {
        let key = name.folded();
        self.queue.add(key.clone());
        let slot = self
            .slots
            .entry(key)
            .or_insert_with(|| Slot { ledger: Some(Ledger::default()), ..Slot::default() });
        slot.notes.push((name.clone(), note));
        slot.trigger = Some(trigger);
        slot
    }

    fn start_work(&mut self) {
        while self.running.len() < self.concurrency.get() {
            let now = self.reconciler.ports.clock().monotonic();
            let Some(key) = self.queue.take(now) else { break };
            let Some(slot) = self.slots.get_mut(&key) else {
                self.queue.done(&key);
                continue;
            };
            let Some(mut ledger) = slot.ledger.take() else { continue };
            if self.stopping && !in_hand(&ledger) {
                slot.ledger = Some(ledger);
                self.queue.done(&key);
                continue;
            }
            for (name, note) in slot.notes.drain(..) {
                take_note(&mut ledger, name, note, self.last_change);
            }
            slot.in_work = (std::mem::take(&mut slot.tickets), std::mem::take(&mut slot.holds));
            slot.at_risk = obligations(&ledger);
            let trigger = slot.trigger.take().unwrap_or(Trigger::Retry);
            let task = self.running.spawn(work(self.reconciler.clone(), ledger, trigger));
            self.names.insert(task.id(), key);
        }
        self.depth.set(i64::try_from(self.queue.ready()).unwrap_or(i64::MAX));
    }

    fn holds_a_secret(&self) -> bool {
        self.slots.values().any(|slot| slot.ledger.as_ref().is_some_and(in_hand))
    }

    fn finish(&mut self, result: Result<(Id, Finished), JoinError>) {
        let (id, finished) = match result {
            Ok((id, finished)) => (id, Some(finished)),
            Err(error) => {
                tracing::error!(%error, "the work on a user ended in a fault of the program; it is looked at again");
                (error.id(), None)
            }
        };
        let Some(key) = self.names.remove(&id) else { return };
        self.queue.done(&key);
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let (tickets, holds) = std::mem::take(&mut slot.in_work);
        if finished.as_ref().is_none_or(|finished| matches!(finished.look, Look::Failed(_))) {
            for hold in &holds {
                // Whoever waited may have gone.
                let _ = hold.send(LookFailed);
            }
        }
        let clock = self.reconciler.ports.clock();
        let (now, monotonic) = (AwsTime::of(clock).now, clock.monotonic());
        let Some(Finished { mut ledger, look, parked }) = finished else {
            // What it had done last is forgotten with it, so that reads may be late for everybody.
            self.last_change = Some(now);
            slot.ledger = Some(Ledger::default());
            slot.tickets.extend(tickets);
            slot.notes.splice(..0, std::mem::take(&mut slot.at_risk));
            self.queue.add_at(key, monotonic + backoff::delay(PARK_AFTER, clock.random()));
            return;
        };
        let settled = matches!(look, Look::Settled { .. });
        if settled || parked {
            tickets.into_iter().for_each(Ticket::settle);
        } else {
            slot.tickets.extend(tickets);
        }
        match look {
            Look::Settled { due } => {
                ledger.failures = 0;
                ledger.settled_at = Some(now);
                if let Some(due) = due {
                    slot.trigger.get_or_insert(Trigger::Due);
                    // What is due and was left alone, as by a clock that is off, is not asked for at once.
                    let pause = if due > now { due.since(now) } else { OVERDUE_PAUSE };
                    self.queue.add_at(key.clone(), monotonic + pause);
                }
            }
            Look::Again(at) => {
                // Who has a key in hand is not done with; what else has to wait may wait for days.
                if in_hand(&ledger) {
                    slot.holds.extend(holds);
                }
                slot.trigger.get_or_insert(Trigger::Retry);
                self.queue.add_at(key.clone(), monotonic + at.since(now).max(SHORTEST_PAUSE));
            }
            Look::Failed(error) => {
                let longest = if in_hand(&ledger) { LONGEST_IN_HAND } else { Duration::MAX };
                let pause = backoff::delay(ledger.failures, clock.random()).min(longest);
                ledger.failures = ledger.failures.saturating_add(1);
                tracing::warn!(user = %key, %error, failures = ledger.failures, retry_in = ?pause, "a look failed");
                slot.trigger.get_or_insert(Trigger::Retry);
                self.queue.add_at(key.clone(), monotonic + pause);
            }
            // A renewal that was slow may yet arrive; if none does, all of this ends with the lease.
            Look::Stopped => {
                slot.holds.extend(holds);
                slot.trigger.get_or_insert(Trigger::Retry);
                self.queue.add_at(key.clone(), monotonic + LEASE_PAUSE);
            }
        }
        // A key that nobody has but this process must not wait behind a whole account.
        if in_hand(&ledger) {
            self.queue.hurry(&key);
        }
        let idle = ledger.files.is_empty() && slot.notes.is_empty() && slot.tickets.is_empty();
        slot.ledger = Some(ledger);
        if idle {
            self.slots.remove(&key);
            self.queue.forget(&key);
        }
    }
}

fn in_hand(ledger: &Ledger) -> bool {
    ledger.files.values().any(|file| matches!(file.memory.mint, Mint::InHand(_)))
}

/// Every spelling, and what has to be removed under it.
fn obligations(ledger: &Ledger) -> Vec<(UserName, Note)> {
    let mut notes = Vec::new();
    for (name, file) in &ledger.files {
        let recorded = file.recorded.clone().map(Note::Restore);
        let removed = file.memory.revoke_before.map(Note::Removed);
        let known = [Some(Note::Spelling), recorded, removed];
        notes.extend(known.into_iter().flatten().map(|note| (name.clone(), note)));
    }
    notes
}

fn take_note(
    ledger: &mut Ledger,
    name: UserName,
    note: Note,
    last_change: Option<crate::core::time::Timestamp>,
) {
    let file = ledger.files.entry(name).or_default();
    let memory = &mut file.memory;
    memory.last_change = memory.last_change.or(last_change);
    match note {
        Note::Spelling => {}
        Note::Removed(at) => memory.revoke_before = memory.revoke_before.max(Some(at)),
        Note::Orphan(user) => memory.orphan = Some(user),
        Note::Compromised(keys) => memory.compromised = keys,
        Note::Restore(removal) => {
            removal.restore(memory);
            file.recorded = Some(removal);
        }
    }
}

/// One look, and what has to be stored before its stream records count as handled.
async fn work<P: Ports>(reconciler: Arc<Reconciler<P>>, mut ledger: Ledger, trigger: Trigger) -> Finished {
    let clock = reconciler.ports.clock();
    let begun = clock.monotonic();
    let mut look = reconciler.reconcile(&mut ledger, trigger).await;
    reconciler.metrics.looked(trigger, &look, clock.monotonic().saturating_sub(begun));
    let long = match &look {
        Look::Again(at) => at.since(AwsTime::of(clock).now) > PARK_WAIT,
        Look::Failed(_) => ledger.failures + 1 >= PARK_AFTER,
        Look::Settled { .. } | Look::Stopped => false,
    };
    let mut parked = long;
    if long {
        for (name, file) in &mut ledger.files {
            if let Err(failed) = reconciler.park_removal(name, file).await {
                look = failed;
                parked = false;
                break;
            }
        }
    }
    Finished { ledger, look, parked }
}

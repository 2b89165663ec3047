//! A simulated AWS account behind the ports: as strict as AWS, or stricter.
//!
//! One [`World`] holds the truth; every replica of the program sees it through its own
//! [`ReplicaPorts`], and every call goes through one gate (`gate.rs`) that counts it, may let it go
//! wrong, and has the invariants checked after it. Nothing here sleeps but in tokio's paused time,
//! and nothing is random but by the history's seed.

mod clock;
mod gate;
mod iam;
mod operator;
mod ssm;
mod state;
mod streams;
mod sts;
mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use iam_user_controller::core::time::Timestamp;
use iam_user_controller::ports::{CallError, Fault};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::faults::{Call, Faults, Kind};
use crate::invariants::{self, Book, Rules};
use crate::occasions::Occasions;
use crate::prng::Prng;
use crate::trace::Trace;

pub(crate) use gate::ReplicaPorts;
pub(crate) use iam::{Iam, Maker, SimKey, SimUser, is_owned, tag};
pub(crate) use ssm::Ssm;
pub(crate) use table::{RowLife, Table};

/// The account that everything is in.
pub(crate) const ACCOUNT: &str = "123456789012";
/// Every secret of the account begins so: it must be seen nowhere but in the vault.
pub(crate) const SECRET_MARK: &str = "s3kr1t/";
/// SSM: a name that was deleted may be refused for this long.
pub(crate) const RECREATE_AFTER_MS: u64 = 30_000;

/// How the account behaves where AWS leaves it open.
#[derive(Clone, Debug)]
pub(crate) struct Conduct {
    /// How far into the past an IAM read may look.
    pub(crate) stale_bound_ms: u64,
    /// How often it does, of a thousand reads of one thing.
    pub(crate) stale_per_mille: u32,
    /// For how long STS may refuse a new key.
    pub(crate) spread_ms: u64,
    /// How long a call is on its way, each way; (0, 0) only lets others run in between.
    pub(crate) travel_ms: (u64, u64),
    /// When the caller gives a call up.
    pub(crate) call_timeout_ms: u64,
    /// How long after that a call may still take effect.
    pub(crate) late_ms: u64,
    /// For how long a process stands still that freezes at a call.
    pub(crate) freeze_ms: u64,
    /// Users on a page of a glance, items on a page of a scan, shards on a page.
    pub(crate) page: usize,
    /// Records in an answer of GetRecords.
    pub(crate) batch: usize,
    /// How long a stream record or a new shard may take to be seen.
    pub(crate) stream_lag_ms: u64,
    /// After how long an open shard is closed and continued.
    pub(crate) shard_life_ms: u64,
    /// Whether DescribeStream knows a filter for children.
    pub(crate) shard_filter: bool,
    /// The user that the program runs as, by its folded name; `None`: a role.
    pub(crate) own_user: Option<String>,
    /// How many calls AWS takes in a second of those whose names begin so; the others are throttled.
    pub(crate) limits: &'static [(&'static str, u32)],
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            stale_bound_ms: 6_000,
            stale_per_mille: 0,
            spread_ms: 10_000,
            travel_ms: (0, 0),
            call_timeout_ms: 5_000,
            late_ms: 3_000,
            freeze_ms: 45_000,
            page: 3,
            batch: 4,
            stream_lag_ms: 0,
            shard_life_ms: 4 * 3_600_000,
            shard_filter: true,
            own_user: None,
            limits: &[],
        }
    }
}

/// Everything that a history begins with.
#[derive(Clone, Debug)]
pub(crate) struct AccountSettings {
    pub(crate) conduct: Conduct,
    pub(crate) rules: Rules,
    pub(crate) faults: Faults,
    /// The time between two sweeps.
    pub(crate) sweep_every: Duration,
    /// Whether a readable history is kept.
    pub(crate) keep_text: bool,
}

impl AccountSettings {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            conduct: Conduct::default(),
            rules,
            faults: Faults::default(),
            sweep_every: Duration::from_secs(3_600),
            keep_text: false,
        }
    }
}

/// One process of the program, as the account knows it.
#[derive(Debug, Default)]
struct ReplicaState {
    /// Which start of this replica is alive; calls of earlier ones never end.
    incarnation: u32,
    crashed: bool,
    paused: bool,
    /// Its machine sleeps.
    asleep: bool,
    /// Its clock less AWS's, in milliseconds.
    skew_ms: i64,
    /// How much faster its clock runs, in millionths.
    drift_ppm: i64,
    /// A clock that is worse than that.
    clock: Option<BadClock>,
    /// The process stands still until then: it begins nothing, and sees no answer.
    frozen_until_ms: u64,
}

/// A clock that is far off, or runs at a rate of its own.
#[derive(Clone, Copy, Debug)]
struct BadClock {
    /// Since when, since the history began.
    since_ms: u64,
    /// What it told then.
    monotonic_ms: u64,
    wall_ms: u64,
    /// 1,000 is right.
    rate: u64,
}

impl ReplicaState {
    /// What its clock tells that never goes back, so long after the history began.
    fn monotonic_ms(&self, elapsed_ms: u64) -> u64 {
        match self.clock {
            Some(clock) => clock.monotonic_ms + clock.passed_ms(elapsed_ms),
            None => elapsed_ms.saturating_add_signed(self.drift_ms(elapsed_ms)),
        }
    }

    /// What its wall clock tells when it is really `now`.
    fn wall_ms(&self, elapsed_ms: u64, now: u64) -> u64 {
        match self.clock {
            Some(clock) => clock.wall_ms + clock.passed_ms(elapsed_ms),
            None => now.saturating_add_signed(self.skew_ms + self.drift_ms(elapsed_ms)),
        }
    }

    fn drift_ms(&self, elapsed_ms: u64) -> i64 {
        i64::try_from(elapsed_ms).unwrap_or(i64::MAX) / 1_000 * self.drift_ppm / 1_000
    }
}

impl BadClock {
    fn passed_ms(&self, elapsed_ms: u64) -> u64 {
        elapsed_ms.saturating_sub(self.since_ms) * self.rate / 1_000
    }
}

type Effect = Box<dyn FnOnce(&mut World) + Send>;

/// A change that takes effect after its caller has given up.
struct Deferred {
    due_ms: u64,
    replica: usize,
    sent: Sent,
    effect: Effect,
}

/// A change on its way: of what, and under which lease. `None` of a user: of the state table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) user: Option<String>,
    pub(crate) token: u64,
}

/// A call that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) call: Call,
    /// Whether the replica that made it held the lease.
    pub(crate) leads: bool,
}

/// The truth.
pub(crate) struct World {
    /// Milliseconds since 1970, by AWS's clock.
    pub(crate) now: u64,
    pub(crate) prng: Prng,
    pub(crate) conduct: Conduct,
    pub(crate) rules: Rules,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) iam: Iam,
    pub(crate) ssm: Ssm,
    pub(crate) table: Table,
    pub(crate) streams: streams::StreamSet,
    pub(crate) state: state::State,
    /// Another table, which the program is to follow, or followed, by mistake.
    shelf: Option<operator::Shelf>,
    pub(crate) book: Book,
    pub(crate) occasions: Occasions,
    /// Calls so far.
    pub(crate) calls: u64,
    /// More calls than this are a loop that does not end.
    pub(crate) max_calls: u64,
    /// Calls so far that would change a user or a parameter.
    pub(crate) changes: u64,
    /// Which call was which, when text is kept.
    pub(crate) call_log: Vec<Made>,
    /// The second in which each of `Conduct::limits` last counted, and what it counted.
    spent: BTreeMap<&'static str, (u64, u32)>,
    /// The next IAM read answers from as far back as it may.
    forced_stale: bool,
    /// How the next GetRecords goes wrong.
    quirk: Option<Kind>,
    replicas: Vec<ReplicaState>,
    deferred: Vec<Deferred>,
    sweep_every_ms: u64,
    keep_text: bool,
    origin: Instant,
    origin_ms: u64,
    /// Nothing takes effect any more.
    ended: bool,
}

struct Shared {
    world: Mutex<World>,
    violated: Notify,
    /// A replica has crashed, or is paused no more: whom it concerns looks for itself.
    switched: Notify,
}

/// A handle to the account.
#[derive(Clone)]
pub(crate) struct Account(Arc<Shared>);

impl Account {
    /// An account with an empty users table. Call it inside a runtime with paused time.
    pub(crate) fn new(seed: u64, settings: AccountSettings) -> Self {
        let mut prng = Prng::new(seed);
        let AccountSettings { conduct, rules, faults, sweep_every, keep_text } = settings;
        // 2026-01-01, and a random part of a day so that every alignment to seconds occurs.
        let origin_ms = 1_767_225_600_000 + prng.below(86_400_000);
        let mut world = World {
            now: origin_ms,
            prng,
            conduct,
            iam: Iam::default(),
            ssm: Ssm::default(),
            table: Table::new(&rules.policy.table),
            streams: streams::StreamSet::default(),
            state: state::State::default(),
            shelf: None,
            book: Book::default(),
            occasions: Occasions::default(),
            faults,
            rules,
            trace: Trace::new(keep_text),
            calls: 0,
            max_calls: u64::MAX,
            changes: 0,
            call_log: Vec::new(),
            spent: BTreeMap::new(),
            forced_stale: false,
            quirk: None,
            replicas: Vec::new(),
            deferred: Vec::new(),
            sweep_every_ms: u64::try_from(sweep_every.as_millis()).unwrap_or(u64::MAX).max(1),
            keep_text,
            origin: clock::tokio_now(),
            origin_ms,
            ended: false,
        };
        world.iam.allow_policy(world.rules.policy.boundary.as_deref());
        world.enable_stream();
        Self(Arc::new(Shared { world: Mutex::new(world), violated: Notify::new(), switched: Notify::new() }))
    }

    /// The truth as of now: whatever was due has happened.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.0.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.catch_up();
        if world.book.violated() {
            self.0.violated.notify_one();
        }
        world
    }

    /// Does something to the account as its owner would, outside the program.
    pub(crate) fn operate<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.lock();
        let done = act(&mut world);
        if world.book.violated() {
            self.0.violated.notify_one();
        }
        done
    }

    /// Returns when an invariant is broken.
    pub(crate) async fn violated(&self) {
        self.0.violated.notified().await;
    }

    /// Adds a replica and returns its number.
    pub(crate) fn add_replica(&self, skew_ms: i64, drift_ppm: i64) -> usize {
        let mut world = self.lock();
        world.replicas.push(ReplicaState { crashed: true, skew_ms, drift_ppm, ..ReplicaState::default() });
        world.replicas.len() - 1
    }

    /// Ports for a new start of a replica.
    pub(crate) fn boot(&self, replica: usize) -> ReplicaPorts {
        let mut world = self.lock();
        let state = &mut world.replicas[replica];
        state.crashed = false;
        state.frozen_until_ms = 0;
        state.incarnation += 1;
        let incarnation = state.incarnation;
        let seed = world.prng.next();
        world.note(u64::from(incarnation), replica, "process", || "starts".to_owned());
        ReplicaPorts::new(self.clone(), replica, incarnation, seed)
    }

    /// The process ends here and now; its calls never return, and what is on its way may arrive.
    pub(crate) fn crash(&self, replica: usize) {
        let mut world = self.lock();
        world.replicas[replica].crashed = true;
        world.book.dies(replica);
        world.note(2, replica, "process", || "crashes".to_owned());
        drop(world);
        self.0.switched.notify_waiters();
    }

    /// Calls of the replica hang until [`resume`](Self::resume).
    pub(crate) fn pause(&self, replica: usize) {
        let mut world = self.lock();
        world.replicas[replica].paused = true;
        world.note(3, replica, "process", || "pauses".to_owned());
    }

    pub(crate) fn resume(&self, replica: usize) {
        let mut world = self.lock();
        world.replicas[replica].paused = false;
        world.note(4, replica, "process", || "goes on".to_owned());
        drop(world);
        self.0.switched.notify_waiters();
    }

    pub(crate) fn paused(&self, replica: usize) -> bool {
        let world = self.lock();
        let state = &world.replicas[replica];
        state.paused || state.frozen_until_ms > world.now
    }

    /// The process stands still for so long: it begins no call, and answers wait for it.
    pub(crate) fn freeze(&self, replica: usize, time: Duration) {
        let mut world = self.lock();
        let until = world.now + u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        world.replicas[replica].frozen_until_ms = until;
        world.note(6, replica, "process", || format!("stands still for {time:?}"));
    }

    /// A clock is `offset_ms` off from now on, and runs at a rate of so many thousandths.
    pub(crate) fn set_clock(&self, replica: usize, offset_ms: i64, rate: u64) {
        let mut world = self.lock();
        let (since_ms, now) = (world.elapsed_ms(), world.now);
        let state = &mut world.replicas[replica];
        let monotonic_ms = state.monotonic_ms(since_ms);
        let wall_ms = now.saturating_add_signed(offset_ms);
        state.clock = Some(BadClock { since_ms, monotonic_ms, wall_ms, rate });
        world.note(8, replica, "clock", || format!("is {offset_ms} ms off, and runs at {rate}/1000"));
    }

    /// Clocks that were far off are right from now on.
    pub(crate) fn set_clocks_right(&self) {
        let wrong = |(replica, state): (usize, &ReplicaState)| state.clock.map(|_| (replica, state.skew_ms));
        let wrong: Vec<_> = self.lock().replicas.iter().enumerate().filter_map(wrong).collect();
        for (replica, skew_ms) in wrong {
            self.set_clock(replica, skew_ms, 1_000);
        }
    }

    /// All machines fall asleep, or wake up. What was sent before arrives all the same.
    pub(crate) fn sleep(&self, asleep: bool) {
        let mut world = self.lock();
        for replica in &mut world.replicas {
            replica.asleep = asleep;
        }
        drop(world);
        self.0.switched.notify_waiters();
    }

    /// Returns when this start of the replica has crashed.
    pub(crate) async fn crashed(&self, replica: usize, incarnation: u32) {
        loop {
            let mut switched = std::pin::pin!(self.0.switched.notified());
            switched.as_mut().enable();
            let crashed = {
                let world = self.lock();
                let state = &world.replicas[replica];
                state.crashed || state.incarnation != incarnation
            };
            if crashed {
                return;
            }
            switched.await;
        }
    }

    /// Nothing takes effect from now on: the history is over.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
    }
}

impl World {
    fn catch_up(&mut self) {
        let elapsed = clock::tokio_now().duration_since(self.origin);
        let now = self.origin_ms + u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        while !self.deferred.is_empty() {
            let first = self.deferred.iter().enumerate().min_by_key(|(_, deferred)| deferred.due_ms);
            let Some((index, _)) = first.filter(|(_, deferred)| deferred.due_ms <= now) else { break };
            let Deferred { due_ms, replica, sent, effect } = self.deferred.remove(index);
            self.now = self.now.max(due_ms);
            self.note(5, replica, "network", || "a call that was given up arrives".to_owned());
            invariants::arrives(self, replica, &sent);
            self.take_effect(effect);
        }
        self.now = now;
    }

    /// A change by the program: whatever it does is judged.
    fn take_effect<T>(&mut self, effect: impl FnOnce(&mut World) -> T) -> T {
        self.book.program_acts(true);
        let done = effect(self);
        self.book.program_acts(false);
        invariants::after(self);
        done
    }

    /// How far into the past the next IAM read of one thing looks.
    fn lag(&mut self) -> u64 {
        if self.forced_stale {
            self.conduct.stale_bound_ms
        } else if !self.faults.off && self.prng.chance(self.conduct.stale_per_mille) {
            self.prng.between(1, self.conduct.stale_bound_ms)
        } else {
            0
        }
    }

    /// Writes an event into the trace.
    pub(crate) fn note(&mut self, word: u64, replica: usize, subject: &str, text: impl FnOnce() -> String) {
        let (now, began) = (self.now, self.origin_ms);
        self.trace.note(&[now, replica as u64, word], subject, || {
            let at = now - began;
            format!("{:>7}.{:03} r{replica} {subject}: {}", at / 1_000, at % 1_000, text())
        });
    }

    /// The time as AWS tells it.
    pub(crate) fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    /// Milliseconds since the history began.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.now - self.origin_ms
    }
}

/// A moment as IAM and the stream tell it: whole seconds.
pub(crate) fn whole_seconds(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms - ms % 1_000)
}

/// A failed call.
pub(crate) fn refused(call: Call, fault: Fault, detail: &str) -> CallError {
    CallError { fault, call: call.name(), detail: detail.to_owned() }
}

/// What a value was and is: reads may be answered from its past.
#[derive(Clone, Debug, Default)]
pub(crate) struct History<T> {
    now: T,
    /// Earlier values and until when they held, oldest first.
    past: Vec<(u64, T)>,
}

impl<T> History<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { now: value, past: Vec::new() }
    }

    /// The truth.
    pub(crate) fn get(&self) -> &T {
        &self.now
    }

    /// The value that held at a moment.
    pub(crate) fn at(&self, moment: u64) -> &T {
        self.past.iter().find(|(until, _)| *until > moment).map_or(&self.now, |(_, value)| value)
    }

    /// Changes the value; what nobody may read any more is forgotten.
    pub(crate) fn set(&mut self, now: u64, bound: u64, value: T) {
        self.past.retain(|(until, _)| until + bound > now);
        let before = std::mem::replace(&mut self.now, value);
        self.past.push((now, before));
    }
}

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

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use iam_user_controller::core::time::Timestamp;
use iam_user_controller::ports::{CallError, Fault};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::faults::{Call, Faults, Kind};
use crate::invariants::{self, Book, Rules};
use crate::prng::Prng;
use crate::trace::Trace;

pub(crate) use gate::ReplicaPorts;
pub(crate) use iam::{Iam, Maker, SimKey, SimUser, is_owned, tag};
pub(crate) use ssm::Ssm;
pub(crate) use table::Table;

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
            page: 3,
            batch: 4,
            stream_lag_ms: 0,
            shard_life_ms: 4 * 3_600_000,
            shard_filter: true,
            own_user: None,
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
}

type Effect = Box<dyn FnOnce(&mut World) + Send>;

/// A change that takes effect after its caller has given up.
struct Deferred {
    due_ms: u64,
    replica: usize,
    effect: Effect,
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
    /// Calls so far.
    pub(crate) calls: u64,
    /// More calls than this are a loop that does not end.
    pub(crate) max_calls: u64,
    /// Calls so far that would change a user or a parameter.
    pub(crate) changes: u64,
    /// Which call was which, when text is kept.
    pub(crate) call_log: Vec<Call>,
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
            faults,
            rules,
            trace: Trace::new(keep_text),
            calls: 0,
            max_calls: u64::MAX,
            changes: 0,
            call_log: Vec::new(),
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

    /// The clock of a replica's machine is set to be off by so many milliseconds.
    pub(crate) fn set_clock(&self, replica: usize, skew_ms: i64) {
        self.lock().replicas[replica].skew_ms = skew_ms;
    }

    pub(crate) fn paused(&self, replica: usize) -> bool {
        self.lock().replicas[replica].paused
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
            let Deferred { due_ms, replica, effect } = self.deferred.remove(index);
            self.now = self.now.max(due_ms);
            self.note(5, replica, "network", || "a call that was given up arrives".to_owned());
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

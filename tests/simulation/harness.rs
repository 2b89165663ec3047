//! Drives the program through one history: start, people's acts, faults, restarts; then faults off,
//! settle, and silence.
//!
//! The program is whatever `start` makes of the ports and a shutdown signal: `app::run` as it is, or
//! a wrong version of it. The harness kills it when the gate says so, starts it again, and reports.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use iam_user_controller::core::observed::{Leftover, Tags};
use iam_user_controller::core::user::UserName;
use tokio_util::sync::CancellationToken;

use crate::account::{Account, AccountSettings, Made, ReplicaPorts, World};
use crate::faults::{Call, Fired, Outage, Weather};
use crate::invariants::{self, Excuse};
use crate::occasions::Occasion;
use crate::prng::Prng;

/// What a process that was told to stop has left when it wakes up after its grace is over.
const AWAKE: Duration = Duration::from_secs(5);

/// A lease runs out, and its successor looks at everything, within this.
const LOOKED_AT: Duration = Duration::from_secs(25);

/// Keys that live for less than this grow old within a history.
const DAY: Duration = Duration::from_secs(86_400);

/// What was sent before a machine falls asleep has arrived within this.
const DELIVERED: Duration = Duration::from_secs(8);

/// Something that a person, or the machine, does to the account or to the program.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    PutRow(String),
    ModifyRow(String),
    RemoveRow(String),
    RecreateTable {
        keep_rows: bool,
    },
    DisableStream,
    EnableStream,
    SplitShards,
    MakeUser {
        name: String,
        boundary: Option<String>,
        tags: Tags,
    },
    DeleteUser(String),
    AddForeignKey(String),
    /// Number `1` of the user's keys, oldest first, from 0.
    DeleteKey(String, usize),
    DeactivateKey(String, usize),
    StripOwnership(String),
    StripKeyTags(String),
    StripAllTags(String),
    SetTag(String, String, String),
    SetBoundary(String, Option<String>),
    AddLeftover(String, Leftover),
    DeleteParameter(String),
    OverwriteParameter {
        name: String,
        text: String,
        secure: bool,
    },
    LegacyUser {
        name: String,
        current: Duration,
        pending: Option<Duration>,
        boundary: Option<String>,
        stored: bool,
    },
    /// A user as the controller left it, with a current key of this age and perhaps an older one.
    OwnedUser {
        name: String,
        current: Duration,
        pending: Option<Duration>,
    },
    /// These calls go wrong until [`Act::Mend`].
    Break(Vec<Outage>),
    Mend,
    DropTable,
    /// Another table of the same name, with these rows.
    RestoreTable(Vec<String>),
    /// The program is killed and started again for another table, or for its own again.
    SwapTable {
        name: String,
        rows: Vec<String>,
        own_state: bool,
    },
    /// Scans pass these rows over.
    Unscanned(Vec<String>),
    /// Calls of a replica hang.
    Pause(usize),
    Resume(usize),
    /// A replica stands still for so long, with whatever it was about to do.
    Freeze(usize, Duration),
    /// A replica's clock is so many milliseconds off, and runs at so many thousandths of its rate.
    Clock(usize, i64, u64),
    /// How the state table answers from now on.
    StateTable(Weather),
    /// SIGTERM; the replica is started again once it has ended.
    Terminate(usize),
    /// SIGKILL.
    Kill(usize),
    /// All of time goes on by so much at once, as when a machine sleeps.
    Jump(Duration),
    /// An operator looks at the brake and lets deletions go on. The state table is the program's
    /// own affair; see [`Scenario::resume`].
    ResumeDeletions,
}

/// One history to be.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) account: AccountSettings,
    /// Clock skew in milliseconds and drift in millionths of each replica.
    pub(crate) replicas: Vec<(i64, i64)>,
    /// Done before the first process starts.
    pub(crate) before: Vec<Act>,
    /// When after the start, and what.
    pub(crate) acts: Vec<(Duration, Act)>,
    /// How long after its end a process is started again.
    pub(crate) restart: (Duration, Duration),
    /// When faults end; never before the last act.
    pub(crate) faults_until: Duration,
    /// Everything is as it should be at most so long after that.
    pub(crate) settle_within: Duration,
    /// How long nothing must be changed then: longer than from one sweep to the next.
    pub(crate) silence: Duration,
    /// SIGTERM must be obeyed within this.
    pub(crate) shutdown_grace: Duration,
    /// More calls than this are a loop that does not end.
    pub(crate) max_calls: u64,
    /// How an operator resumes deletions: a change of the state table.
    pub(crate) resume: fn(&mut World),
    /// Whether an operator lets held deletions go on once the faults are over, again and again.
    pub(crate) resume_in_the_end: bool,
}

impl Scenario {
    pub(crate) fn new(name: &'static str, account: AccountSettings) -> Self {
        let sweep = account.sweep_every;
        Self {
            name,
            account,
            replicas: vec![(0, 0)],
            before: Vec::new(),
            acts: Vec::new(),
            restart: (Duration::from_millis(100), Duration::from_secs(5)),
            faults_until: Duration::ZERO,
            settle_within: 3 * sweep + Duration::from_secs(600),
            silence: sweep + Duration::from_secs(20),
            shutdown_grace: Duration::from_secs(30),
            max_calls: 50_000,
            resume: |_| {},
            resume_in_the_end: false,
        }
    }

    pub(crate) fn before(mut self, acts: impl IntoIterator<Item = Act>) -> Self {
        self.before.extend(acts);
        self
    }

    pub(crate) fn at(mut self, when: Duration, act: Act) -> Self {
        self.acts.push((when, act));
        self
    }
}

/// What became of a history.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    pub(crate) seed: u64,
    pub(crate) hash: u64,
    pub(crate) calls: u64,
    pub(crate) changes: u64,
    pub(crate) simulated: Duration,
    /// How long after the faults' end everything was as it should be.
    pub(crate) settled_after: Option<Duration>,
    pub(crate) fired: Fired,
    /// Whom the program has deleted, and when.
    pub(crate) deleted: Vec<(Duration, String)>,
    /// What the program sent to change whom, and when.
    pub(crate) sent: Vec<(Duration, Call, String)>,
    /// How often each record of the state table was written.
    pub(crate) written: BTreeMap<String, u64>,
    /// How often each kind of step was carried out.
    pub(crate) steps: BTreeMap<String, u64>,
    /// How often each excuse of the checker made the difference.
    pub(crate) excuses: BTreeMap<Excuse, u64>,
    /// Broken invariants; what never settled; changes in the silence. Empty when all is well.
    pub(crate) violations: Vec<String>,
    /// The readable history, when it was kept.
    pub(crate) trace: Vec<String>,
    /// Which call was which number, when text was kept.
    pub(crate) call_log: Vec<Made>,
    /// How many changes reached AWS after the lease under which they were sent.
    pub(crate) overtaken: u32,
    /// How often the lease was taken.
    pub(crate) leases: u64,
}

impl Report {
    pub(crate) fn ok(&self) -> bool {
        self.violations.is_empty()
    }

    /// For a person: what broke, how to replay it, and how it came to that.
    pub(crate) fn story(&self) -> String {
        let mut story = format!("{} seed {}:\n", self.scenario, self.seed);
        for violation in &self.violations {
            story.push_str(&format!("  {violation}\n"));
        }
        for line in &self.trace {
            story.push_str(line);
            story.push('\n');
        }
        story
    }
}

/// Runs one history in a runtime of its own.
pub(crate) fn run<F, Fut>(seed: u64, scenario: &Scenario, start: F) -> Report
where
    F: Fn(ReplicaPorts, CancellationToken) -> Fut,
    Fut: Future<Output = ()>,
{
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(history(seed, scenario, start))
}

/// One history; call it inside a runtime of one thread with paused time.
pub(crate) async fn history<F, Fut>(seed: u64, scenario: &Scenario, start: F) -> Report
where
    F: Fn(ReplicaPorts, CancellationToken) -> Fut,
    Fut: Future<Output = ()>,
{
    let account = Account::new(seed, scenario.account.clone());
    let stage = Stage {
        account: account.clone(),
        scenario,
        shutdowns: RefCell::new(vec![CancellationToken::new(); scenario.replicas.len()]),
        found: RefCell::new(Vec::new()),
    };
    account.operate(|world| world.max_calls = scenario.max_calls);
    for act in &scenario.before {
        stage.perform(act).await;
    }
    account.operate(|world| {
        // What was there before the first process has been there for ever.
        world.table.life.values_mut().for_each(|life| life.present_since_ms = 0);
        if scenario.replicas.iter().any(|clock| *clock != (0, 0)) {
            world.occasions.add(Occasion::ClockWrong, "");
        }
        if world.rules.policy.rotate_after < DAY {
            world.occasions.add(Occasion::Aged, "");
        }
    });
    let replicas: Vec<usize> =
        scenario.replicas.iter().map(|(skew, drift)| account.add_replica(*skew, *drift)).collect();
    let processes = join_all(replicas.iter().map(|replica| stage.supervise(*replica, seed, &start)));
    let settled_after = tokio::select! {
        biased;
        () = account.violated() => None,
        settled_after = stage.direct() => settled_after,
        _ = processes => None,
    };
    account.end();
    let world = account.lock();
    let mut violations = world.book.violations().to_vec();
    violations.append(&mut stage.found.borrow_mut());
    Report {
        scenario: scenario.name,
        seed,
        hash: world.trace.hash(),
        calls: world.calls,
        changes: world.changes,
        simulated: Duration::from_millis(world.elapsed_ms()),
        settled_after,
        fired: world.faults.fired.clone(),
        deleted: (world.book.deleted.iter())
            .map(|(at, name)| (Duration::from_millis(*at), name.clone()))
            .collect(),
        sent: (world.book.sent.iter())
            .map(|(at, call, name)| (Duration::from_millis(*at), *call, name.clone()))
            .collect(),
        written: world.book.written.clone(),
        steps: BTreeMap::new(),
        excuses: world.book.excuses.clone(),
        violations,
        trace: world.trace.lines().to_vec(),
        call_log: world.call_log.clone(),
        overtaken: world.book.overtaken(),
        leases: world.book.newest_token(),
    }
}

/// What the processes and the director share.
struct Stage<'a> {
    account: Account,
    scenario: &'a Scenario,
    /// The shutdown signal of each replica's process.
    shutdowns: RefCell<Vec<CancellationToken>>,
    /// What the harness itself finds wrong.
    found: RefCell<Vec<String>>,
}

impl Stage<'_> {
    /// Starts a replica's process, and again whenever it has ended.
    async fn supervise<F, Fut>(&self, replica: usize, seed: u64, start: &F)
    where
        F: Fn(ReplicaPorts, CancellationToken) -> Fut,
        Fut: Future<Output = ()>,
    {
        let mut prng = Prng::new(seed.wrapping_add(replica as u64 + 1));
        loop {
            let shutdown = CancellationToken::new();
            self.shutdowns.borrow_mut()[replica] = shutdown.clone();
            let ports = self.account.boot(replica);
            let incarnation = ports.incarnation();
            let process = AssertUnwindSafe(start(ports, shutdown.clone())).catch_unwind();
            let overdue = async {
                shutdown.cancelled().await;
                tokio::time::sleep(self.scenario.shutdown_grace).await;
                // A machine that slept, or a process that was stopped, has its grace after that.
                while self.account.paused(replica) {
                    self.account.operate(|world| invariants::excused(world, Excuse::StoodStill, ""));
                    tokio::time::sleep(AWAKE).await;
                }
                tokio::time::sleep(AWAKE).await;
            };
            tokio::select! {
                biased;
                () = self.account.crashed(replica, incarnation) => {}
                ended = process => {
                    if ended.is_err() {
                        self.found.borrow_mut().push(format!("replica {replica} panicked"));
                    }
                }
                () = overdue => {
                    let found = format!("replica {replica} had not ended within its grace");
                    self.found.borrow_mut().push(found);
                }
            }
            // What is left of it, if anything, is dead.
            self.account.crash(replica);
            let (least, most) = self.scenario.restart;
            let spread = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(0);
            tokio::time::sleep(least + Duration::from_millis(prng.below(spread + 1))).await;
        }
    }

    /// Lets people act, ends the faults, waits for everything to settle, and listens for silence.
    async fn direct(&self) -> Option<Duration> {
        let mut acts: Vec<&(Duration, Act)> = self.scenario.acts.iter().collect();
        acts.sort_by_key(|(when, _)| *when);
        let began = self.elapsed();
        for (when, act) in acts {
            let wait = (began + *when).saturating_sub(self.elapsed());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            self.perform(act).await;
        }
        tokio::time::sleep((began + self.scenario.faults_until).saturating_sub(self.elapsed())).await;
        self.account.operate(|world| world.faults.off = true);
        self.account.set_clocks_right();
        for replica in 0..self.scenario.replicas.len() {
            self.account.resume(replica);
        }
        let quiet_since = self.elapsed();
        // Nothing may be left to do because nobody leads yet, or because nobody has looked.
        loop {
            tokio::time::sleep(LOOKED_AT).await;
            let settled_after = self.settle(quiet_since).await?;
            self.only_the_leader_goes_on();
            tokio::time::sleep(LOOKED_AT).await;
            if self.account.operate(|world| invariants::unsettled(world)).breaks_nothing() {
                self.listen().await;
                return Some(settled_after);
            }
        }
    }

    async fn settle(&self, since: Duration) -> Option<Duration> {
        let mut resumed = since;
        loop {
            let often = self.scenario.settle_within / 8;
            if self.scenario.resume_in_the_end && self.elapsed().saturating_sub(resumed) >= often {
                resumed = self.elapsed();
                self.perform(&Act::ResumeDeletions).await;
            }
            let (left, calls) =
                self.account.operate(|world| (invariants::unsettled(world).broken(), world.calls));
            let passed = self.elapsed().saturating_sub(since);
            if left.is_empty() {
                return Some(passed);
            }
            let problem = if passed >= self.scenario.settle_within {
                "not settled in time"
            } else if calls > self.scenario.max_calls {
                "too many calls"
            } else {
                tokio::time::sleep(Duration::from_secs(1).max(self.scenario.settle_within / 500)).await;
                continue;
            };
            let mut found = self.found.borrow_mut();
            found.extend(left.into_iter().map(|what| format!("invariant 8: {problem}: {what}")));
            return None;
        }
    }

    /// The others would watch the lease and change nothing: half of all calls of a history.
    fn only_the_leader_goes_on(&self) {
        let Some(leader) = self.account.operate(|world| world.book.holder()) else { return };
        (0..self.scenario.replicas.len())
            .filter(|replica| *replica != leader)
            .for_each(|replica| self.account.pause(replica));
    }

    /// Nothing is changed any more, but of a user that there is an excuse for.
    async fn listen(&self) {
        let silence = self.scenario.silence;
        let (excuses, changes, since) = self
            .account
            .operate(|world| (invariants::may_change(world, silence), world.changes, world.book.sent.len()));
        tokio::time::sleep(silence).await;
        self.account.operate(|world| {
            let sent = world.book.sent.split_off(since);
            let mut unknown = world.changes - changes - sent.len() as u64;
            for (_, _, user) in &sent {
                match excuses.get(user) {
                    Some(excuse) => invariants::excused(world, *excuse, user),
                    None => unknown += 1,
                }
            }
            if unknown > 0 {
                invariants::violation(world, 8, format!("{unknown} changes in the silence"));
            }
            world.book.sent.extend(sent);
            let mut left = invariants::unsettled(world);
            left.excuse(|user| excuses.get(user).copied());
            left.pass(world);
        });
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.account.lock().elapsed_ms())
    }

    async fn perform(&self, act: &Act) {
        self.account.operate(|world| {
            world.note(7, 0, "somebody", || format!("{act:?}"));
            world.occasions.act(act);
        });
        match act {
            Act::Pause(replica) => self.account.pause(*replica),
            Act::Resume(replica) => self.account.resume(*replica),
            Act::Freeze(replica, time) => self.account.freeze(*replica, *time),
            Act::Clock(replica, offset_ms, rate) => self.account.set_clock(*replica, *offset_ms, *rate),
            Act::StateTable(weather) => self.account.operate(|world| world.faults.weather = *weather),
            Act::Kill(replica) => self.account.crash(*replica),
            Act::Terminate(replica) => self.shutdowns.borrow()[*replica].cancel(),
            Act::Jump(time) => {
                self.account.sleep(true);
                tokio::time::sleep(DELIVERED).await;
                tokio::time::advance(time.saturating_sub(DELIVERED)).await;
                self.account.sleep(false);
            }
            Act::SwapTable { name, rows, own_state } => {
                self.account.crash(0);
                self.account.operate(|world| world.swap_table(name, rows, *own_state));
            }
            Act::ResumeDeletions => self.account.operate(|world| {
                invariants::resume_deletions(world);
                (self.scenario.resume)(world);
            }),
            other => self.account.operate(|world| by_hand(world, other)),
        }
    }
}

fn by_hand(world: &mut World, act: &Act) {
    let folded = |name: &String| name.to_ascii_lowercase();
    let valid = |name: &String| UserName::parse(name).ok();
    let is_key = |key: &str| key.starts_with("AKIA");
    let is_ownership = |key: &str| key == "managed-by" || key == "iam-user-controller:table";
    match act {
        Act::PutRow(name) => world.put_row(name),
        Act::ModifyRow(name) => world.modify_row(name),
        Act::RemoveRow(name) => world.remove_row(name),
        Act::RecreateTable { keep_rows } => world.recreate_table(*keep_rows),
        Act::DisableStream => world.disable_stream(),
        Act::EnableStream => world.enable_stream(),
        Act::SplitShards => world.split_shards(),
        Act::MakeUser { name, boundary, tags } => {
            if let Some(name) = valid(name).filter(|name| world.iam.live(name.folded().as_str()).is_none()) {
                world.make_user(&name, boundary.as_deref(), tags.clone());
            }
        }
        Act::DeleteUser(name) => world.delete_user_by_hand(&folded(name)),
        Act::AddForeignKey(name) => drop(world.add_foreign_key(&folded(name))),
        Act::DeleteKey(name, which) => world.delete_key_by_hand(&folded(name), *which),
        Act::DeactivateKey(name, which) => world.deactivate_key_by_hand(&folded(name), *which),
        Act::StripOwnership(name) => world.strip_tags(&folded(name), is_ownership),
        Act::StripKeyTags(name) => world.strip_tags(&folded(name), is_key),
        Act::StripAllTags(name) => world.strip_tags(&folded(name), |_| true),
        Act::SetTag(name, key, value) => world.set_tag(&folded(name), key, value),
        Act::SetBoundary(name, boundary) => world.alter_boundary(&folded(name), boundary.as_deref()),
        Act::AddLeftover(name, leftover) => world.add_leftover(&folded(name), leftover.clone()),
        Act::DeleteParameter(name) => {
            if let Some(name) = valid(name) {
                world.delete_parameter_by_hand(&name);
            }
        }
        Act::OverwriteParameter { name, text, secure } => {
            if let Some(name) = valid(name) {
                world.overwrite_parameter(&name, text, *secure);
            }
        }
        Act::LegacyUser { name, current, pending, boundary, stored } => {
            if let Some(name) = valid(name).filter(|name| world.iam.live(name.folded().as_str()).is_none()) {
                world.make_legacy_user(&name, *current, *pending, boundary.as_deref(), *stored);
            }
        }
        Act::OwnedUser { name, current, pending } => {
            if let Some(name) = valid(name).filter(|name| world.iam.live(name.folded().as_str()).is_none()) {
                world.make_owned_user(&name, *current, *pending);
            }
        }
        Act::Break(outages) => world.faults.outages.clone_from(outages),
        Act::Mend => world.faults.outages.clear(),
        Act::DropTable => world.drop_table(),
        Act::RestoreTable(rows) => world.restore_table(rows),
        Act::Unscanned(rows) => world.table.unscanned = rows.iter().cloned().collect(),
        Act::SwapTable { .. }
        | Act::Pause(_)
        | Act::Resume(_)
        | Act::Freeze(..)
        | Act::Clock(..)
        | Act::StateTable(_)
        | Act::Kill(_)
        | Act::Terminate(_)
        | Act::Jump(_)
        | Act::ResumeDeletions => {}
    }
}

//! Invariants 1–9 of the architecture, judged at every change that the program makes.
//!
//! The account calls [`take_off`] when a change is sent, [`arrives`] when it reaches AWS, [`before`]
//! when it is about to take effect, [`after`] when it has, and [`published`], [`minted`],
//! [`state_written`] and [`swapped`] where those things happen. [`unsettled`] says what is left to do
//! when everything should be done.
//!
//! What an operator did by hand excuses the program until that user is as it should be again, and
//! what just changed excuses it for [`Rules::grace`]: it decides by what it saw a moment ago.

mod deletion;
mod excuses;
mod keys;
mod lease;
mod ownership;
mod secrets;
mod silence;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use iam_user_controller::core::observed::{Leftover, Tags};
use iam_user_controller::core::parameter_name::ParameterTemplate;
use iam_user_controller::core::policy::{Adopt, ForeignKeys, OrphanAction, OrphanScope, Policy};
use iam_user_controller::core::user::{AccessKeyId, UserId};
use iam_user_controller::ports::{NewUser, Record};

use crate::account::World;
use crate::faults::Call;

pub(crate) use deletion::resume_deletions;
pub(crate) use excuses::{Excuse, Verdict, excused};
pub(crate) use keys::{after, minted, published};
pub(crate) use lease::{arrives, swapped, take_off};
pub(crate) use ownership::meant_for;
pub(crate) use silence::{may_change, unsettled};

use lease::InFlight;

const MINTING: &str = "iam-user-controller:minting";
const OWNERSHIP: [&str; 2] = ["managed-by", "iam-user-controller:table"];

/// What the program cannot know better: IAM tells whole seconds, and so does the `Date` by which the program
/// sets its clock.
const ROUNDED_MS: u64 = 2_000;

/// AWS tells times in whole seconds, and the program's clock differs a little from it.
const ROUNDING: Duration = Duration::from_secs(5);

/// What the program was told to do, as far as the invariants depend on it.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    pub(crate) template: ParameterTemplate,
    pub(crate) scope: OrphanScope,
    pub(crate) action: OrphanAction,
    /// Names that no sweep deletes; a `*` at the end stands for anything.
    pub(crate) protect: Vec<String>,
    pub(crate) orphan_min_age: Duration,
    /// In how many sweeps running somebody has to be an orphan.
    pub(crate) orphan_sweeps: NonZeroU32,
    /// The deletion brake: count, percent, window.
    pub(crate) brake: (u32, u32, Duration),
    /// How long the program may act on what it saw before something changed.
    pub(crate) grace: Duration,
    /// How wrong the program's clock may be.
    pub(crate) clock_error: Duration,
    /// How late a due key may be when everything has settled: a sweep, and the time to work on it.
    pub(crate) lateness: Duration,
    /// How often every user is looked at in full.
    pub(crate) full_every: Duration,
    /// The record of the state table that says who leads.
    pub(crate) lease_record: String,
}

impl Rules {
    /// The contract's defaults, for a table and a boundary.
    pub(crate) fn contract() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            policy: Policy {
                table: "users".to_owned(),
                boundary: Some("arn:aws:iam::123456789012:policy/boundary".to_owned()),
                adopt: Adopt::Tagged,
                rotate_after: 15 * DAY,
                delete_after: 30 * DAY,
                min_overlap: 15 * DAY / 2,
                foreign: ForeignKeys::Report,
                verify: true,
                verify_timeout: Duration::from_secs(60),
                orphan_scope: iam_user_controller::core::policy::OrphanScope::Owned,
                include_console_users: false,
            },
            template: ParameterTemplate::parse("/iam_users/{UserName}_keys").expect("the contract's own"),
            scope: OrphanScope::Owned,
            action: OrphanAction::Delete,
            protect: Vec::new(),
            orphan_min_age: Duration::from_secs(900),
            orphan_sweeps: const { NonZeroU32::new(2).expect("not 0") },
            brake: (10, 20, Duration::from_secs(3_600)),
            grace: Duration::from_secs(60),
            clock_error: Duration::from_secs(2),
            lateness: Duration::from_secs(2 * 3_600),
            // Between the end of the faults and the end of the silence.
            full_every: Duration::from_secs(20),
            lease_record: "lease".to_owned(),
        }
    }

    fn protects(&self, name: &str) -> bool {
        self.protect.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        })
    }
}

/// A change of a user or of its parameter, about to take effect.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    CreateUser(&'a NewUser),
    TagUser(&'a Tags),
    UntagUser(&'a [String]),
    PutBoundary(&'a str),
    CreateKey,
    DeactivateKey(&'a AccessKeyId),
    DeleteKey(&'a AccessKeyId),
    Remove(&'a Leftover),
    DeleteUser,
    PutParameter,
    DeleteParameter,
}

impl Change<'_> {
    /// Whether it is a part of taking a user down.
    fn destroys(&self) -> bool {
        match self {
            Self::DeactivateKey(_)
            | Self::DeleteKey(_)
            | Self::Remove(_)
            | Self::DeleteUser
            | Self::DeleteParameter => true,
            Self::CreateUser(_)
            | Self::TagUser(_)
            | Self::UntagUser(_)
            | Self::PutBoundary(_)
            | Self::CreateKey
            | Self::PutParameter => false,
        }
    }
}

/// What the invariants remember.
#[derive(Debug, Default)]
pub(crate) struct Book {
    violations: Vec<String>,
    /// How often each excuse made the difference.
    pub(crate) excuses: BTreeMap<Excuse, u64>,
    in_flight: Vec<InFlight>,
    /// Users that the change under way touched.
    touched: Vec<String>,
    program_acts: bool,
    /// Which replica holds the lease, and since when.
    holder: Option<(usize, u64)>,
    /// It has given the lease back.
    given_back: bool,
    /// The last fencing token of each replica, and the newest of all.
    tokens: BTreeMap<usize, u64>,
    newest_token: u64,
    /// How many changes of a user have reached AWS under a token after there was a newer one.
    overtaken: BTreeMap<(String, u64), u32>,
    /// Which users the program deleted, or tried to.
    begun: BTreeSet<UserId>,
    /// Whose deletion was granted, and when that was first on record.
    granted: BTreeMap<UserId, u64>,
    /// Users who were given what was meant for another one of their name, whom somebody had deleted.
    strays: BTreeSet<UserId>,
    /// The parameters of those whom the program deleted.
    bereft: BTreeSet<String>,
    /// When it began with those that still count.
    deletions: VecDeque<u64>,
    /// Whom the program has deleted, and when in the history.
    pub(crate) deleted: Vec<(u64, String)>,
    /// What it sent to change whom, and when in the history.
    pub(crate) sent: Vec<(u64, Call, String)>,
    /// How often each record of the state table was written.
    pub(crate) written: BTreeMap<String, u64>,
    /// An operator let held deletions go on.
    pub(crate) deletions_resumed: bool,
    /// When that was last.
    resumed_ms: u64,
    /// Users whose row was not there then: their deletion is licensed, and uses up no budget.
    licensed: Vec<UserId>,
}

impl Book {
    pub(crate) fn violated(&self) -> bool {
        !self.violations.is_empty()
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Whether this replica holds the lease.
    pub(crate) fn leads(&self, replica: usize) -> bool {
        self.holder.is_some_and(|(holder, _)| holder == replica) && !self.given_back
    }

    /// The token that a replica took its last lease with.
    pub(crate) fn token(&self, replica: usize) -> u64 {
        self.tokens.get(&replica).copied().unwrap_or(0)
    }

    /// The newest fencing token.
    pub(crate) fn newest_token(&self) -> u64 {
        self.newest_token
    }

    /// The replica that took the lease last.
    pub(crate) fn holder(&self) -> Option<usize> {
        self.holder.map(|(replica, _)| replica)
    }

    /// How many changes have reached AWS after the lease under which they were sent.
    pub(crate) fn overtaken(&self) -> u32 {
        self.overtaken.values().sum()
    }

    pub(crate) fn program_acts(&mut self, acts: bool) {
        self.program_acts = acts;
    }

    /// Says that a user or its parameter has changed.
    pub(crate) fn touch(&mut self, folded: &str) {
        if self.program_acts {
            self.touched.push(folded.to_owned());
        }
    }

    /// The change has been answered, or its caller has given it up.
    pub(crate) fn lands(&mut self, number: u64) {
        self.in_flight.retain(|flight| flight.number != number);
    }

    /// A process is gone, and nobody waits for its answers.
    pub(crate) fn dies(&mut self, replica: usize) {
        self.in_flight.retain(|flight| flight.replica != replica);
    }

    /// An operator says that held deletions, which are of these users at most, may go on.
    pub(crate) fn resume_deletions(&mut self, licensed: Vec<UserId>, now: u64) {
        (self.deletions_resumed, self.resumed_ms) = (true, now);
        self.licensed.extend(licensed);
    }
}

/// Remembers a broken invariant, with its number.
pub(crate) fn violation(world: &mut World, number: u8, what: String) {
    remember(world, format!("invariant {number}: {what}"));
}

fn remember(world: &mut World, broken: String) {
    if world.book.violations.len() < 20 {
        world.note(0xBAD, 0, "VIOLATION", || broken.clone());
        world.book.violations.push(broken);
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A record of the state table is written.
pub(crate) fn state_written(world: &mut World, record: &Record) {
    deletion::state_written(world, record);
    secrets::state_written(world, record);
}

/// Judges a change that is about to take effect.
pub(crate) fn before(world: &mut World, folded: &str, change: &Change<'_>) {
    let mut verdict = Verdict::about(folded);
    let mut doomed = false;
    match (change, world.iam.live(folded)) {
        (Change::CreateUser(new), _) => ownership::creation(world, folded, new, &mut verdict),
        (_, None) => {}
        (change, Some(user)) => {
            let obstacles = deletion::obstacles(world, user);
            doomed = obstacles.iter().all(|(_, excuse)| excuse.is_some());
            ownership::ownership(world, folded, user, change, doomed, &mut verdict);
            match change {
                Change::PutBoundary(arn) if world.rules.policy.boundary.as_deref() != Some(*arn) => {
                    verdict.breaks(3, format!("the boundary of {folded} is set to {arn}"));
                }
                Change::CreateKey => keys::mint(world, folded, user, &mut verdict),
                Change::DeactivateKey(id) | Change::DeleteKey(id) => {
                    let mut loss = Verdict::about(folded);
                    keys::key_loss(world, folded, user, id, &mut loss);
                    verdict.append(deletion::unless_doomed(loss, &obstacles));
                }
                Change::Remove(leftover) => {
                    let meddled = keys::meddled(user);
                    for (why, excuse) in obstacles {
                        let what = format!("{leftover:?} of {folded} is removed, but {why}");
                        verdict.breaks_unless(excuse.or(meddled), 7, what);
                    }
                }
                Change::DeleteUser => {
                    for (why, excuse) in obstacles {
                        verdict.breaks_unless(excuse, 7, format!("user {folded} is deleted, but {why}"));
                    }
                }
                Change::CreateUser(_)
                | Change::TagUser(_)
                | Change::UntagUser(_)
                | Change::PutBoundary(_)
                | Change::PutParameter
                | Change::DeleteParameter => {}
            }
        }
    }
    secrets::tagged(folded, change, &mut verdict);
    verdict.pass(world);
    if change.destroys() {
        let now = world.now;
        if let Some(user) = world.iam.live_mut(folded) {
            user.doomed_ms = doomed.then(|| user.doomed_ms.unwrap_or(now));
        }
    }
    if matches!(change, Change::DeleteUser) {
        if let Some(user) = world.iam.live(folded) {
            let parameter = world.parameter_of(&user.name);
            world.book.bereft.insert(parameter);
        }
        deletion::brake(world, folded);
    }
}

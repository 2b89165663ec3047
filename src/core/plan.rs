//! What to do next about one user: a pure function of what is wanted, what is seen and the time.
//!
//! The table [`RULES`] is read from top to bottom; the first rule that has something to say decides.
//! Nothing here acts: `reconcile` carries the plan out and asks again.

use super::facts::Facts;
use super::memory::Memory;
use super::observed::Observed;
use super::policy::Policy;
use super::rules::{keys, mint, ownership, removal};
use super::step::Step;
use super::time::Timestamp;
use super::user::{UserId, UserName};

/// What the users table wants of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// There is an item: the user is to exist.
    Present,
    /// There is no item.
    Absent,
    /// There is an item, but one that differs only in case is served.
    Shadowed {
        /// The spelling that is served.
        by: UserName,
    },
}

/// Everything that a plan depends on.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Whom it is about.
    pub name: &'a UserName,
    /// What the table wants.
    pub desired: &'a Desired,
    /// What was seen.
    pub observed: &'a Observed,
    /// What this process remembers.
    pub memory: &'a Memory,
    /// What the operator wants.
    pub policy: &'a Policy,
    /// The time, by AWS's clock.
    pub now: Timestamp,
    /// Whether the local clock agrees with AWS's; else nothing is rotated or deleted.
    pub clock_trusted: bool,
    /// Whether what was seen of IAM cannot be older than the last change.
    pub reads_settled: bool,
    /// Number of the sweep under way or done last.
    pub sweep: u64,
    /// The user that the controller itself runs as, when it is one.
    pub own_user: Option<&'a UserId>,
}

/// What a user's state is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As wanted.
    Ready,
    /// On its way.
    Pending,
    /// The name is none that IAM accepts.
    Invalid,
    /// The name belongs to somebody else.
    Conflict,
    /// A person has to do something first.
    Blocked,
    /// Calls fail; they are tried again.
    Failed,
    /// Being removed, or waiting to be.
    Deleting,
}

impl State {
    /// All of them, in the order in which they are shown.
    pub const ALL: [State; 7] = [
        Self::Ready,
        Self::Pending,
        Self::Invalid,
        Self::Conflict,
        Self::Blocked,
        Self::Failed,
        Self::Deleting,
    ];

    /// The name in snake case, as in `/users` and the metric `users{state}`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Pending => "pending",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
        }
    }
}

/// Why a user may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A REMOVE record of this time.
    RemoveRecord(Timestamp),
    /// Enough sweeps have found no item.
    Orphan,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Make this change.
    Do(Step),
    /// Sign a call with the key in hand.
    Prove,
    /// List what stands in the way of DeleteUser.
    ListLeftovers,
    /// Ask the deletion brake.
    AskToDelete(UserId, Evidence),
    /// Nothing can be done before this time.
    WaitUntil(Timestamp, State),
    /// Nothing is left to do, until `due` at the latest.
    Rest {
        /// The user's state; `None` when there is no user and none is wanted.
        state: Option<State>,
        /// When a rule will have something to say again.
        due: Option<Timestamp>,
    },
}

/// A decision and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What to do.
    pub next: Next,
    /// The rule that says so.
    pub rule: &'static str,
    /// Its reason in words, for logs, `/users` and `plan`; empty when there is nothing to explain.
    pub why: String,
}

/// One rule: says what to do, or leaves it to those below it.
pub(super) type Rule = fn(&Facts<'_>) -> Option<(Next, String)>;

/// The rules, most urgent first.
const RULES: &[(&str, Rule)] = &[
    // Removal goes first: a credential that is to be revoked is revoked before anything is mended.
    ("teardown", removal::teardown),
    ("remove", removal::remove),
    ("settle_ownership", removal::settle_ownership),
    ("gone", removal::gone),
    ("delete_parameter", removal::delete_parameter),
    ("absent", removal::absent),
    // Who it is.
    ("case_twin", ownership::case_twin),
    ("name_taken", ownership::name_taken),
    ("create_user", ownership::create_user),
    ("other_spelling", ownership::other_spelling),
    ("own_principal", ownership::own_principal),
    ("adopt", ownership::adopt),
    ("boundary", ownership::boundary),
    // The key in hand: its secret exists nowhere else.
    ("reject_key", mint::reject_key),
    ("prove_key", mint::prove_key),
    ("publish_key", mint::publish_key),
    ("lost_mint", mint::lost_mint),
    // What is stored and tagged.
    ("not_secure", keys::not_secure),
    ("settle_current", keys::settle_current),
    ("expire", keys::expire),
    ("compromised", keys::compromised),
    ("forget", keys::forget),
    ("tags", keys::tags),
    ("untag", keys::untag),
    ("deactivated", keys::deactivated),
    ("foreign", keys::revoke_foreign),
    // A new key.
    ("mint_pause", mint::mint_pause),
    ("settle_reads", mint::settle_reads),
    ("free_slot", mint::free_slot),
    ("create_key", mint::create_key),
    ("open_mint", mint::open_mint),
    ("ready", keys::ready),
];

/// Decides what to do next about one user.
pub fn plan(view: &View<'_>) -> Plan {
    let facts = Facts::of(view);
    for (rule, decide) in RULES {
        if let Some((next, why)) = decide(&facts) {
            return Plan { next: rest_on_late_reads(next, &facts), rule, why };
        }
    }
    Plan { next: Next::Rest { state: Some(State::Ready), due: None }, rule: "ready", why: String::new() }
}

/// Who rests on reads that may be late is looked at once more when they cannot be.
fn rest_on_late_reads(next: Next, facts: &Facts<'_>) -> Next {
    match (next, facts.unsettled()) {
        (Next::Rest { state: Some(state), due }, Some(until)) => {
            Next::Rest { state: Some(state), due: Some(due.map_or(until, |due| due.min(until))) }
        }
        (next, _) => next,
    }
}

/// The names of all rules, most urgent first.
pub fn rules() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, _)| *name)
}

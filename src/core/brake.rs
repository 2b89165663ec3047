//! The deletion brake: decides whether a user may be deleted now.
//!
//! Every deletion, from the stream and from sweeps alike, asks here first. A few are let through at
//! once; many are weighed together, and held for a person when they are too many. Pure: it is told
//! the time, does no IO, and starts nothing by itself. `reconcile` asks, `sweep` tells what it saw,
//! the operator's `deletions resume` arrives at [`Brake::resume`].
//!
//! # Budget
//!
//! What counts is the number of deletions granted within the last `window`, and of those wanted now.
//!
//! - Up to `max_count`: granted at once.
//! - Beyond `max_count` *and* `max_percent` of the owned users: all are held, until somebody resumes
//!   or nothing that is held is wanted any more.
//! - In between: a mass deletion comes one record at a time, so nobody is let through until no further
//!   deletion has been asked for during a quiet time; then all of them are granted together.
//!
//! A sweep brings its orphans all at once ([`Brake::ask_many`]), so there is nothing to wait for. The
//! stream should name the users of its REMOVE records as soon as it has read them
//! ([`Brake::announce`]): looking at each of them takes calls to IAM, which are slow when they are
//! many, and that is just when the brake has to know.
//!
//! # Holds
//!
//! | cause | holds | ends by itself |
//! |---|---|---|
//! | [`HoldCause::TableIdentity`] | every deletion | when the remembered table is seen again |
//! | [`HoldCause::Budget`] | every deletion | when nothing that is held is wanted any more |
//! | [`HoldCause::EmptyTable`] | deletions of orphans | when a sweep finds a row, or no user |
//!
//! A deletion that was granted is carried through, whatever is held later; but an orphan's that has not
//! begun when a new leader takes over is asked for again, and is then held like any other while the
//! table is in doubt.
//!
//! A resumption licenses the deletion of the users that are held at that moment, by their ids; it
//! changes nothing for others, and does not use up the budget. A licence lasts for [`LICENCE`], and
//! ends when the row is back.
//!
//! # What has to be stored
//!
//! The brake is stored as one record of JSON. It is bounded: [`MAX_BYTES`] for the names and ids (as
//! they are written), at most 61 counts for the window, and the two identities; together less than
//! DynamoDB's 400 KB for an item. Names beyond that are told to wait, and are not remembered.
//!
//! - After [`Verdict::Go`], before the first call of the teardown.
//! - At once when a hold begins or ends ([`Brake::holds`]), and after [`Brake::resume`].
//! - All else may be stored late ([`Brake::may_be_stored_late`]): what is lost is asked for again.
//!
//! A record that is there but cannot be read is an error: starting with an empty brake would forget a
//! hold and the table's identity.

mod budget;
mod cases;
mod status;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::budget::Spent;
pub use self::cases::MAX_BYTES;
use self::cases::{Cases, Grounds, Standing};
pub use self::status::{Hold, LISTED, Status, SweepSeen};
use super::plan::Evidence;
use super::time::Timestamp;
use super::user::{FoldedName, UserId, UserName};

/// A batch of deletions is weighed when no further one has been asked for during this time, or
/// during a sixth of the window, whichever is shorter.
pub const QUIET: Duration = Duration::from_secs(10);

/// A batch of deletions is weighed at the latest this long after the first of them was asked for.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// How long a resumption is good for. A full account of users is torn down within a few hours.
pub const LICENCE: Duration = Duration::from_secs(24 * 3_600);

/// How many deletions are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrakeSettings {
    /// So many within the window are never too many.
    pub max_count: u32,
    /// So many percent of the owned users within the window are never too many.
    pub max_percent: u8,
    /// How long a granted deletion counts.
    pub window: Duration,
}

/// Whether a user may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes. Store the brake, then delete, then say [`Brake::granted_done`].
    Go,
    /// Not yet known: others may want to be deleted as well. Ask again then, or sooner when
    /// [`Brake::judge`] names the user.
    Wait {
        /// When the batch is weighed, unless more deletions are asked for until then.
        until: Timestamp,
    },
    /// No, until the hold ends.
    Held(HoldCause),
}

/// Why deletions are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldCause {
    /// The users table is not the one that it was.
    TableIdentity,
    /// Too many deletions are wanted.
    Budget,
    /// The users table is empty, while users exist.
    EmptyTable,
}

impl HoldCause {
    /// The name in snake case, as in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TableIdentity => "table_identity",
            Self::Budget => "budget",
            Self::EmptyTable => "empty_table",
        }
    }
}

/// What tells one table from another of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableIdentity {
    /// Partition, Region, account and name.
    pub arn: String,
    /// `TableId`; empty when the endpoint does not tell.
    pub id: String,
}

impl TableIdentity {
    /// An id that is not told is no difference.
    fn agrees_with(&self, other: &Self) -> bool {
        self.arn == other.arn && (self.id == other.id || self.id.is_empty() || other.id.is_empty())
    }
}

/// The brake's whole state; see the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "wire::Wire", into = "wire::Wire")]
pub struct Brake {
    /// Deletions that were granted and count against the budget.
    spent: Spent,
    /// Who is to be deleted, and how far that has come.
    cases: Cases,
    /// The deletions that nothing is decided about yet.
    batch: Option<Batch>,
    /// Since when too many deletions are wanted.
    over_budget: Option<Timestamp>,
    /// Since when the table is empty.
    table_empty: Option<Timestamp>,
    /// The table that evidence is believed from.
    table: Option<TableIdentity>,
    /// Another table that was seen in its place, and since when.
    other_table: Option<(TableIdentity, Timestamp)>,
    /// When deletions were resumed last.
    resumed: Option<Timestamp>,
    /// What the last complete sweep saw.
    sweep: Option<SweepSeen>,
    /// Whether some were cleared since [`Brake::judge`] named them. Not stored.
    untold: bool,
}

/// When a batch of deletions began, and last grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Batch {
    since: Timestamp,
    grown: Timestamp,
}

impl Brake {
    /// Somebody has removed a row: a deletion will be asked for, unless a look at the user finds
    /// nothing to delete, which is to end with [`Brake::withdraw`]. Counts as wanted meanwhile.
    pub fn announce(&mut self, name: &UserName, now: Timestamp) {
        if self.cases.announce(name) {
            self.grow(now);
        }
    }

    /// Asks to delete a user. Ask as often as you like: a user is counted once.
    ///
    /// `owned_users` is how many owned users exist at present, those included whose deletion was
    /// granted and is not done: the count of the last sweep, less the deletions done since. `None`
    /// before the first sweep, when nobody can say what a percentage of them is. Users that are not
    /// owned do not count, also where sweeps delete them (`orphans.scope = "account"`): the brake
    /// then holds sooner.
    pub fn ask(
        &mut self,
        name: &UserName,
        user: &UserId,
        evidence: Evidence,
        now: Timestamp,
        owned_users: Option<u32>,
        settings: BrakeSettings,
    ) -> Verdict {
        let grounds = Grounds::of(evidence);
        if self.cases.standing(name, user) == Some(Standing::Granted) {
            if !self.doubts(grounds) {
                // What was announced of it is dealt with.
                self.withdraw(name);
                return Verdict::Go;
            }
            self.cases.take_back(|case| case.user == *user);
        }
        if !self.want(name, user, grounds, now) {
            return self.refusal(grounds, now, settings);
        }
        self.weigh(now, owned_users, settings);
        let standing = self.cases.standing(name, user);
        let licensed = standing == Some(Standing::Licensed);
        let within_budget = standing == Some(Standing::Cleared) && owned_users.is_some();
        let cleared = within_budget && self.hold_on(grounds).is_none();
        if !licensed && !cleared {
            return self.refusal(grounds, now, settings);
        }
        if cleared {
            self.spent.add(now, settings.window);
        }
        self.cases.grant(name);
        Verdict::Go
    }

    /// Asks to delete the orphans of a whole sweep. They are weighed as one, and at once.
    ///
    /// [`Verdict::Go`] is leave to look at each of them again and then to [`Brake::ask`] for it;
    /// nothing may be deleted on this word alone.
    pub fn ask_many<'a>(
        &mut self,
        orphans: impl IntoIterator<Item = (&'a UserName, &'a UserId)>,
        now: Timestamp,
        owned_users: Option<u32>,
        settings: BrakeSettings,
    ) -> Verdict {
        let mut brought = BTreeSet::new();
        for (name, user) in orphans {
            if self.cases.standing(name, user).is_none() {
                self.want(name, user, Grounds::Orphan, now);
            }
            brought.insert(name.folded());
        }
        self.weigh(now, owned_users, settings);
        if owned_users.is_none() || self.hold_on(Grounds::Orphan).is_some() {
            return self.refusal(Grounds::Orphan, now, settings);
        }
        self.clear(|name, _| brought.contains(name));
        Verdict::Go
    }

    /// A deletion is no longer wanted: a look at the user has ended without asking for it, because
    /// the row is back or the user is gone. Has no effect on a deletion that was granted.
    pub fn withdraw(&mut self, name: &UserName) {
        self.cases.withdraw(name);
        if !self.cases.any_undecided() {
            self.over_budget = None;
        }
        self.close_batch_when_decided();
    }

    /// A granted deletion is over: the user is gone, and so is its parameter.
    pub fn granted_done(&mut self, name: &UserName, user: &UserId) {
        self.cases.finish(name, user);
    }

    /// The table was described. The first one ever is believed; another one in its place holds every
    /// deletion, and takes back what was licensed or cleared on the word of the first.
    pub fn table_seen(&mut self, arn: &str, id: &str, now: Timestamp) {
        let seen = TableIdentity { arn: arn.to_owned(), id: id.to_owned() };
        match &mut self.table {
            None => self.table = Some(seen),
            Some(known) if known.agrees_with(&seen) => {
                if known.id.is_empty() {
                    known.id = seen.id;
                }
                if self.other_table.take().is_some() {
                    self.reopen_batch(now);
                }
            }
            Some(_) => {
                let since = self.other_table.take().map_or(now, |(_, since)| since);
                self.other_table = Some((seen, since));
                self.cases.take_back(|case| matches!(case.standing, Standing::Cleared | Standing::Licensed));
            }
        }
    }

    /// Whether a table is remembered that another one would differ from.
    pub fn knows_table(&self) -> bool {
        self.table.is_some()
    }

    /// A sweep has read the whole table and the whole account: so many rows, owned users, and users
    /// that are orphans.
    pub fn sweep_saw(&mut self, rows: usize, owned: usize, orphans: usize, now: Timestamp) {
        self.sweep = Some(SweepSeen { at: now, rows, owned, orphans });
        let empty = rows == 0 && (owned > 0 || orphans > 0);
        match (empty, self.table_empty) {
            (true, None) => {
                self.table_empty = Some(now);
                self.cases
                    .take_back(|case| case.standing == Standing::Cleared && case.grounds == Grounds::Orphan);
            }
            (false, Some(_)) => {
                self.table_empty = None;
                self.reopen_batch(now);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Ends all holds by order of the operator, and believes the table that is there now.
    ///
    /// Licenses the deletion of each user that is held at this moment, and gives their names: look at
    /// them. A user that was announced only is not known by its id yet, so it is not among them.
    pub fn resume(&mut self, now: Timestamp) -> Vec<UserName> {
        let held: BTreeSet<FoldedName> = self.held().map(UserName::folded).collect();
        let licensed = self.cases.license(|name| held.contains(name));
        if let Some((table, _)) = self.other_table.take() {
            self.table = Some(table);
        }
        self.over_budget = None;
        self.table_empty = None;
        self.resumed = Some(now);
        self.reopen_batch(now);
        licensed
    }

    /// Weighs the batch, when its time has come, and gives the names of all users that have leave to
    /// be deleted and have not asked since: look at them. Call it at [`Brake::next_judgement`], so that
    /// those who wait need not ask again, each for itself, whenever the batch has grown.
    pub fn judge(
        &mut self,
        now: Timestamp,
        owned_users: Option<u32>,
        settings: BrakeSettings,
    ) -> Vec<UserName> {
        self.weigh(now, owned_users, settings);
        self.untold = false;
        self.cases.names(Standing::Cleared).cloned().collect()
    }

    /// When [`Brake::judge`] has something to say; may have passed. `None` when nobody waits, or only
    /// for the end of a hold.
    pub fn next_judgement(&self, settings: BrakeSettings) -> Option<Timestamp> {
        if self.untold && self.cases.count(Standing::Cleared) > 0 {
            return Some(Timestamp::default());
        }
        let waits = self.cases.wanted().any(|(_, case)| self.hold_on(case.grounds).is_none());
        let batch = self.batch.filter(|_| waits)?;
        Some(batch.weighed_at(settings))
    }

    /// Whether all that has changed since `before` may be stored late: who is wanted and who no longer
    /// is, and what a sweep has counted.
    pub fn may_be_stored_late(&self, before: &Self) -> bool {
        self.spent == before.spent
            && self.over_budget == before.over_budget
            && self.table_empty == before.table_empty
            && self.table == before.table
            && self.other_table == before.other_table
            && self.resumed == before.resumed
            && self.cases.decided().eq(before.cases.decided())
    }

    /// Deletions that were granted and are not over: to be carried through, also by the next leader.
    pub fn granted(&self) -> impl Iterator<Item = (&UserName, &UserId)> {
        self.cases.granted()
    }

    /// Whether the deletion of this user is wanted and not granted.
    pub fn wants(&self, name: &UserName) -> bool {
        self.cases.is_open(name)
    }

    /// Everybody whose deletion is wanted and not granted. After a sweep, [`Brake::withdraw`] those
    /// who have no user any more, and look at those who have a row: as long as a removal is to be
    /// honoured it would ask anew, and by then the hold that it was under might be over.
    pub fn wanted(&self) -> impl Iterator<Item = &UserName> {
        self.cases.not_granted()
    }
}

/// The decisions.
impl Brake {
    /// Notes that a deletion is wanted; false when there is no room for it.
    fn want(&mut self, name: &UserName, user: &UserId, grounds: Grounds, now: Timestamp) -> bool {
        match self.cases.want(name, user, grounds) {
            cases::Wanted::Before => true,
            cases::Wanted::New => {
                self.grow(now);
                true
            }
            cases::Wanted::NoRoom => false,
        }
    }

    /// Decides on everything that can be decided now.
    fn weigh(&mut self, now: Timestamp, owned_users: Option<u32>, settings: BrakeSettings) {
        self.spent.forget_before(now, settings.window);
        if self.resumed.is_some_and(|at| now.since(at) >= LICENCE) {
            self.resumed = None;
            self.cases.take_back(|case| case.standing == Standing::Licensed);
            self.reopen_batch(now);
        }
        let Some(owned_users) = owned_users else { return };
        if self.other_table.is_some() || self.over_budget.is_some() {
            return;
        }
        let orphans_held = self.table_empty.is_some();
        let in_question = self.cases.undecided(orphans_held) + self.cases.count(Standing::Cleared);
        let total = self.spent.count() + u64::try_from(in_question).unwrap_or(u64::MAX);
        // Those on their way out are among the owned still, and among the spent already.
        let going = u32::try_from(self.cases.count(Standing::Granted)).unwrap_or(u32::MAX);
        if self.spent.exceeded_by(total, owned_users.saturating_sub(going), settings) {
            self.over_budget = Some(now);
            self.cases.take_back(|case| case.standing == Standing::Cleared);
            return;
        }
        let few = total <= u64::from(settings.max_count);
        let complete = self.batch.is_some_and(|batch| batch.weighed_at(settings) <= now);
        if few || complete {
            self.clear(|_, grounds| !(orphans_held && grounds == Grounds::Orphan));
        }
    }

    fn clear(&mut self, chosen: impl Fn(&FoldedName, Grounds) -> bool) {
        self.untold |= self.cases.clear(chosen);
        self.close_batch_when_decided();
    }

    fn refusal(&self, grounds: Grounds, now: Timestamp, settings: BrakeSettings) -> Verdict {
        if let Some(cause) = self.hold_on(grounds) {
            return Verdict::Held(cause);
        }
        let weighed = self.batch.map_or(now, |batch| batch.weighed_at(settings));
        // Without a sweep, or without room, the time of the batch comes and decides nothing.
        let until = if weighed > now { weighed } else { now + quiet(settings) };
        Verdict::Wait { until }
    }

    /// What holds a deletion on these grounds.
    fn hold_on(&self, grounds: Grounds) -> Option<HoldCause> {
        if self.other_table.is_some() {
            return Some(HoldCause::TableIdentity);
        }
        if self.over_budget.is_some() {
            return Some(HoldCause::Budget);
        }
        (self.table_empty.is_some() && grounds == Grounds::Orphan).then_some(HoldCause::EmptyTable)
    }

    /// Whether what is held is the evidence itself, and not only the number of deletions.
    fn doubts(&self, grounds: Grounds) -> bool {
        grounds == Grounds::Orphan && (self.other_table.is_some() || self.table_empty.is_some())
    }

    fn grow(&mut self, now: Timestamp) {
        self.batch = Some(Batch { since: self.batch.map_or(now, |batch| batch.since), grown: now });
    }

    /// Lets those that were held or licensed wait like new ones.
    fn reopen_batch(&mut self, now: Timestamp) {
        self.batch = self.cases.any_undecided().then_some(Batch { since: now, grown: now });
    }

    fn close_batch_when_decided(&mut self) {
        if !self.cases.any_undecided() {
            self.batch = None;
        }
    }
}

impl Batch {
    fn weighed_at(self, settings: BrakeSettings) -> Timestamp {
        (self.grown + quiet(settings)).min(self.since + PATIENCE)
    }
}

fn quiet(settings: BrakeSettings) -> Duration {
    QUIET.min(settings.window / 6)
}

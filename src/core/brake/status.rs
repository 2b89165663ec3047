//! The brake as people see it: in `/status`, in `deletions status`, and in the log.

use serde::{Deserialize, Serialize};

use super::super::time::Timestamp;
use super::super::user::UserName;
use super::cases::Standing;
use super::{Brake, BrakeSettings, HoldCause, TableIdentity};

/// The status lists no more names than this; it always tells how many there are, and
/// [`Brake::held`] names them all.
pub const LISTED: usize = 100;

/// A reason why deletions are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// The reason.
    pub cause: HoldCause,
    /// Since when.
    pub since: Timestamp,
}

/// What a complete sweep saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepSeen {
    /// When.
    pub at: Timestamp,
    /// Rows of the table.
    pub rows: usize,
    /// Owned users of the account.
    pub owned: usize,
    /// Users without a row that a sweep would delete.
    pub orphans: usize,
}

/// The brake as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Why deletions are held, the gravest reason first; empty when they are not.
    pub holds: Vec<Hold>,
    /// How many users would be deleted, were they not held.
    pub held: usize,
    /// The first of their names, in byte order of the folded names; [`LISTED`] at most.
    pub names: Vec<UserName>,
    /// How many wait for the batch to be weighed.
    pub waiting: usize,
    /// How many rows were removed whose users have not been looked at since.
    pub announced: usize,
    /// How many were granted, cleared or licensed and are not gone yet.
    pub under_way: usize,
    /// How many deletions of the window count against the budget.
    pub spent: u64,
    /// `deletions.max_count`.
    pub max_count: u32,
    /// `deletions.max_percent`.
    pub max_percent: u8,
    /// The table that is remembered.
    pub table: Option<TableIdentity>,
    /// The table that was found in its place.
    pub other_table: Option<TableIdentity>,
    /// What the last complete sweep saw.
    pub sweep: Option<SweepSeen>,
}

impl Brake {
    /// Why deletions are held, the gravest reason first; empty when they are not.
    pub fn holds(&self) -> Vec<Hold> {
        let identity = self.other_table.as_ref().map(|(_, since)| *since);
        let causes = [
            (HoldCause::TableIdentity, identity),
            (HoldCause::Budget, self.over_budget),
            (HoldCause::EmptyTable, self.table_empty),
        ];
        causes.into_iter().filter_map(|(cause, since)| Some(Hold { cause, since: since? })).collect()
    }

    /// The users that would be deleted, were they not held.
    pub fn held(&self) -> impl Iterator<Item = &UserName> {
        let held = self.cases.wanted().filter(|(_, case)| self.hold_on(case.grounds).is_some());
        held.map(|(_, case)| &case.name)
    }

    /// All that there is to show.
    pub fn status(&self, now: Timestamp, settings: BrakeSettings) -> Status {
        let mut spent = self.spent.clone();
        spent.forget_before(now, settings.window);
        let held = self.held().count();
        let wanted = self.cases.count(Standing::Wanted);
        Status {
            holds: self.holds(),
            held,
            names: self.held().take(LISTED).cloned().collect(),
            waiting: wanted - held,
            announced: self.cases.announced().count(),
            under_way: self.cases.all().count() - wanted,
            spent: spent.count(),
            max_count: settings.max_count,
            max_percent: settings.max_percent,
            table: self.table.clone(),
            other_table: self.other_table.as_ref().map(|(table, _)| table.clone()),
            sweep: self.sweep,
        }
    }
}

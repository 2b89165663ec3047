//! What happened in a history, and not by the program's doing: only that can excuse the program.
//!
//! The harness notes what people and machines did, and the gate which calls went wrong. Nothing here looks at
//! what the account remembers of it, so that the checker's excuses are checked against something else.

use std::collections::BTreeSet;

use crate::faults::Kind;
use crate::harness::Act;

/// A kind of thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Occasion {
    /// An operator changed a user, its keys, its tags or its parameter by hand.
    Hand,
    /// An operator deleted a user.
    UserDeleted,
    /// An operator, or the function, made a user: with keys that are not new, perhaps.
    UserMade,
    /// A row was put.
    RowCame,
    /// A row was removed.
    RowWent,
    /// The users table was dropped, recreated or restored, or the program was led to another one.
    TableReplaced,
    /// The stream was switched off, and its records are lost.
    StreamOff,
    /// An operator let held deletions go on.
    Resumed,
    /// The clock of a process is not AWS's.
    ClockWrong,
    /// A process ended or stood still, its machine slept, its clock went wrong, or its calls hung.
    Standstill,
    /// A call was refused, lost, slow or late, or answered from the past.
    Fault,
    /// Keys grew old within the history: days passed at once, or a key's life is that short.
    Aged,
}

/// What has happened so far, and to whom.
#[derive(Debug, Default)]
pub(crate) struct Occasions(BTreeSet<(Occasion, String)>);

impl Occasions {
    /// It happened to all users when `user` is empty.
    pub(crate) fn add(&mut self, occasion: Occasion, user: &str) {
        self.0.insert((occasion, user.to_ascii_lowercase()));
    }

    pub(crate) fn act(&mut self, act: &Act) {
        for (occasion, user) in of(act) {
            self.add(occasion, user);
        }
    }

    pub(crate) fn fault(&mut self, kind: Kind) {
        let occasion = match kind {
            Kind::CrashBefore
            | Kind::CrashAfter
            | Kind::CrashLate
            | Kind::FreezeBefore
            | Kind::FreezeAfter
            | Kind::FreezeSending => Occasion::Standstill,
            Kind::Lost
            | Kind::Error
            | Kind::Late
            | Kind::Throttled
            | Kind::Denied
            | Kind::Stale
            | Kind::Slow
            | Kind::TimeOut
            | Kind::Duplicate
            | Kind::EmptyPage
            | Kind::Expired => Occasion::Fault,
        };
        self.add(occasion, "");
    }

    /// Whether it happened to this user, or to all.
    pub(crate) fn include(&self, occasion: Occasion, user: &str) -> bool {
        let happened = |user: &str| self.0.contains(&(occasion, user.to_owned()));
        happened("") || happened(user)
    }
}

/// What an act is an occasion for, and of which user.
fn of(act: &Act) -> Vec<(Occasion, &str)> {
    match act {
        Act::PutRow(name) => vec![(Occasion::RowCame, name)],
        Act::RemoveRow(name) => vec![(Occasion::RowWent, name)],
        Act::RecreateTable { .. } | Act::DropTable | Act::RestoreTable(_) | Act::SwapTable { .. } => {
            vec![(Occasion::TableReplaced, "")]
        }
        Act::DisableStream => vec![(Occasion::StreamOff, "")],
        Act::DeleteUser(name) => vec![(Occasion::UserDeleted, name)],
        Act::AddForeignKey(name)
        | Act::DeleteKey(name, _)
        | Act::DeactivateKey(name, _)
        | Act::StripOwnership(name)
        | Act::StripKeyTags(name)
        | Act::StripAllTags(name)
        | Act::SetTag(name, ..)
        | Act::SetBoundary(name, _)
        | Act::AddLeftover(name, _)
        | Act::DeleteParameter(name)
        | Act::OverwriteParameter { name, .. } => vec![(Occasion::Hand, name)],
        Act::MakeUser { name, .. } | Act::LegacyUser { name, .. } | Act::OwnedUser { name, .. } => {
            vec![(Occasion::UserMade, name)]
        }
        Act::Clock(..) => vec![(Occasion::ClockWrong, ""), (Occasion::Standstill, "")],
        Act::Pause(_) | Act::Freeze(..) | Act::StateTable(_) | Act::Terminate(_) | Act::Kill(_) => {
            vec![(Occasion::Standstill, "")]
        }
        Act::Jump(_) => vec![(Occasion::Standstill, ""), (Occasion::Aged, "")],
        Act::ResumeDeletions => vec![(Occasion::Resumed, "")],
        Act::ModifyRow(_)
        | Act::EnableStream
        | Act::SplitShards
        | Act::Break(_)
        | Act::Mend
        | Act::Unscanned(_)
        | Act::Resume(_) => Vec::new(),
    }
}

//! Why the checker lets something pass that breaks an invariant: counted, and itself judged.
//!
//! An excuse that is used in a history in which nothing happened that it is for is either too wide, or hides
//! a fault of the program.

use super::{remember, violation};
use crate::account::World;
use crate::occasions::Occasion::{
    self, Aged, ClockWrong, Fault, Hand, Resumed, RowCame, RowWent, Standstill, StreamOff, TableReplaced,
    UserDeleted, UserMade,
};

macro_rules! excuses {
    ($($(#[doc = $text:literal])+ $variant:ident [$($occasion:ident),+],)+) => {
        /// A reason to let something pass. Each is for an occasion: one of those named has happened to the
        /// user, or to all.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Excuse { $($(#[doc = $text])+ $variant,)+ }

        impl Excuse {
            pub(crate) const ALL: &[Excuse] = &[$(Excuse::$variant,)+];

            fn occasions(self) -> &'static [Occasion] {
                match self { $(Excuse::$variant => &[$($occasion),+],)+ }
            }
        }
    };
}

excuses! {
    // Of people who change a user by hand.

    /// 1, 2, 3, 7: somebody changed the user by hand, and it is not yet again as it should be.
    Meddled [Hand, UserDeleted],
    /// 4, 7: somebody changed the user within the grace; the program decides by what it saw before.
    MeddledLately [Hand, UserDeleted],
    /// 7: the deletion was granted, no key works any more, and nobody can tell who has taken them.
    Bare [Hand],
    /// 5: a late call was meant for a user that somebody has deleted, and uses up a mint of the next one.
    Stray [UserDeleted],
    /// 2: a key that somebody made during a mint, and that looks like the minted one, is taken away.
    Ambiguous [Hand],
    /// 8: nothing but the tag or the document that somebody took away named the key; it is a stranger's now.
    Disowned [Hand],
    /// 8: the parameter is not a SecureString, and only a person may replace it.
    NotSecure [Hand],
    /// 8: a person deactivated the current key.
    Deactivated [Hand],
    /// 8: two keys, no document that works, and no mint: consumers may use either.
    Crowded [Hand, Fault, Standstill],
    /// 8: a mint was cut off, and somebody made a key meanwhile: nobody can tell which is which.
    Puzzling [Hand],
    /// 8: a key of somebody else is where the next one should be.
    InTheWay [Hand],
    /// 8: a key that the document does not name is where the next one should be.
    NoRoom [Hand],
    /// 8: nothing tells any more when this key got a successor.
    DocumentLost [Hand],
    /// 8: nothing leads to this parameter any more: nobody lists parameters.
    Untraceable [Hand, UserDeleted, RowWent, TableReplaced],

    // Of rows that come and go.

    /// 4: the row went within the grace.
    RowWentLately [RowWent, TableReplaced],
    /// 7: the row came within the grace.
    RowCameLately [RowCame, TableReplaced],
    /// 7: the removal had begun with evidence before something spoke against it.
    Begun [RowCame, Hand, TableReplaced],
    /// 7, 8: user and removal of its row are of one second, which is all that AWS tells.
    SameSecond [RowWent],
    /// 7: the row was removed with a record once; what is made under its name later is no orphan of the sweeps'.
    Recorded [RowWent],
    /// 7: the table was empty for less than the grace.
    EmptyLately [RowWent, TableReplaced],
    /// 7: the row was asked for and not there right before it went into the table that was replaced.
    Missed [TableReplaced],
    /// 7: the row went with a table that the program had never seen, so that it could not miss it.
    NeverSeen [TableReplaced],
    /// 8: the record of the removal is lost with its stream, or the user was not owned then.
    RemovalLost [TableReplaced, StreamOff, Hand, UserMade],
    /// 8: the removal may have been held until the row was back, which is the end of it.
    MayBeHeld [RowWent, TableReplaced],

    // Of an operator's word.

    /// 7: an operator let held deletions go on.
    Resumed [Resumed],
    /// 7: the deletion was held when an operator said so, and uses up no budget.
    Licensed [Resumed],
    /// 7: the row went while the operator's word was on its way.
    WordArrives [Resumed],
    /// 7: the deletion was granted long ago, and carried out after a restart or two.
    GrantedLongAgo [Standstill, Fault],
    /// 7: the program counts users when it sweeps; one may have come or gone since.
    Counted [RowWent, RowCame, Hand, UserDeleted],

    // Of processes and clocks.

    /// 5: the call was begun before another replica took the lease.
    BegunBefore [Standstill, Fault],
    /// 5: one call of the last leader is still on its way.
    LastCall [Standstill, Fault],
    /// 5: one change of a user arrives under a lease that is over.
    LateCall [Standstill, Fault],
    /// 1, 7: it was a moment too early, and the clock of the process is wrong by as much.
    ClockError [ClockWrong],
    /// A process stood still when it was to stop.
    StoodStill [Standstill],

    // Of the silence.

    /// 8: a key comes of age during the silence.
    ComesOfAge [UserMade, Aged],
    /// 8: a REMOVE record that may not have been read yet is older than the user's adoption.
    MayBeRevoked [RowWent],
    /// 8: somebody changed the user so lately that no sweep may have seen it.
    MeddledBeforeSilence [Hand, UserDeleted],
}

/// Something that breaks an invariant, unless it is excused.
#[derive(Debug)]
struct Finding {
    number: u8,
    user: String,
    what: String,
    excuse: Option<Excuse>,
}

/// What a judgement finds.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Whom it is about at present.
    user: String,
    findings: Vec<Finding>,
}

impl Verdict {
    pub(super) fn about(user: &str) -> Self {
        Self { user: user.to_owned(), findings: Vec::new() }
    }

    /// Something breaks an invariant, which has this number, and nothing excuses it.
    pub(super) fn breaks(&mut self, number: u8, what: String) {
        self.breaks_unless(None, number, what);
    }

    /// Something breaks an invariant, unless there is an excuse.
    pub(super) fn breaks_unless(&mut self, excuse: Option<Excuse>, number: u8, what: String) {
        self.findings.push(Finding { number, user: self.user.clone(), what, excuse });
    }

    pub(super) fn append(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
    }

    /// Gives an excuse to what has none.
    pub(crate) fn excuse(&mut self, excuse: impl Fn(&str) -> Option<Excuse>) {
        for finding in &mut self.findings {
            finding.excuse = finding.excuse.or_else(|| excuse(&finding.user));
        }
    }

    /// What is broken, for a person; empty when all is well or excused.
    pub(crate) fn broken(&self) -> Vec<String> {
        let broken = self.findings.iter().filter(|finding| finding.excuse.is_none());
        broken.map(|finding| finding.what.clone()).collect()
    }

    pub(crate) fn breaks_nothing(&self) -> bool {
        self.findings.iter().all(|finding| finding.excuse.is_some())
    }

    /// Remembers what is broken, and counts what is excused.
    pub(crate) fn pass(self, world: &mut World) {
        for Finding { number, user, what, excuse } in self.findings {
            match excuse {
                Some(excuse) => excused(world, excuse, &user),
                None => violation(world, number, what),
            }
        }
    }
}

/// Counts an excuse that made the difference; it breaks the history when nothing happened that it is for.
pub(crate) fn excused(world: &mut World, excuse: Excuse, user: &str) {
    *world.book.excuses.entry(excuse).or_default() += 1;
    world.note(0xE, 0, user, || format!("is excused: {excuse:?}"));
    if !excuse.occasions().iter().any(|occasion| world.occasions.include(*occasion, user)) {
        remember(
            world,
            format!("excuse {excuse:?} is used for {user:?}, and nothing happened that it is for"),
        );
    }
}

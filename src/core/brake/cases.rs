//! Who is to be deleted, and how far that has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::plan::Evidence;
use super::super::user::{FoldedName, UserId, UserName};

/// The names and ids that are remembered take no more than this in the stored record. With names of
/// 20 characters that is 7,000 users; IAM has room for 5,000 in an account.
pub const MAX_BYTES: usize = 350_000;

/// `["",""],` around a name and an id.
const PUNCTUATION: usize = 8;

/// How far a deletion has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// Asked for, not decided.
    Wanted,
    /// Weighed, and found to be within the budget.
    Cleared,
    /// Held once, and resumed by the operator.
    Licensed,
    /// Told to go.
    Granted,
}

/// What makes a deletion right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Grounds {
    Removed,
    Orphan,
}

impl Grounds {
    pub(super) fn of(evidence: Evidence) -> Self {
        match evidence {
            Evidence::RemoveRecord(_) => Self::Removed,
            Evidence::Orphan => Self::Orphan,
        }
    }
}

/// One user that is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: UserName,
    pub(super) user: UserId,
    pub(super) grounds: Grounds,
    pub(super) standing: Standing,
}

impl Case {
    fn bytes(&self) -> usize {
        self.name.as_str().len() + self.user.0.len() + PUNCTUATION
    }
}

/// What has become of a wish.
pub(super) enum Wanted {
    Before,
    New,
    NoRoom,
}

/// One case a name at most, and names that were announced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cases {
    of: BTreeMap<FoldedName, Case>,
    announced: BTreeMap<FoldedName, UserName>,
    /// Of both, as they are written.
    bytes: usize,
}

impl Cases {
    /// False when it was known before, or there is no room.
    pub(super) fn announce(&mut self, name: &UserName) -> bool {
        let folded = name.folded();
        let wanted = self.of.get(&folded).is_some_and(|case| case.standing != Standing::Granted);
        let bytes = name.as_str().len() + PUNCTUATION;
        if wanted || self.announced.contains_key(&folded) || self.bytes + bytes > MAX_BYTES {
            return false;
        }
        self.bytes += bytes;
        self.announced.insert(folded, name.clone());
        true
    }

    fn unannounce(&mut self, folded: &FoldedName) -> bool {
        let Some(name) = self.announced.remove(folded) else { return false };
        self.bytes -= name.as_str().len() + PUNCTUATION;
        true
    }

    /// Opens a case, unless there is one; one of another user by this name makes way.
    pub(super) fn want(&mut self, name: &UserName, user: &UserId, grounds: Grounds) -> Wanted {
        let folded = name.folded();
        if let Some(case) = self.of.get_mut(&folded).filter(|case| case.user == *user) {
            // A row that came back, and was removed, is another removal than the one that was let go.
            let anew = case.standing == Standing::Licensed
                && (case.grounds, grounds) == (Grounds::Orphan, Grounds::Removed);
            if anew {
                case.standing = Standing::Wanted;
            }
            case.grounds = grounds;
            self.unannounce(&folded);
            return if anew { Wanted::New } else { Wanted::Before };
        }
        self.remove(&folded);
        let announced = self.unannounce(&folded);
        let case = Case { name: name.clone(), user: user.clone(), grounds, standing: Standing::Wanted };
        if !self.insert(case) {
            return Wanted::NoRoom;
        }
        if announced { Wanted::Before } else { Wanted::New }
    }

    /// False when there is no room.
    pub(super) fn insert(&mut self, case: Case) -> bool {
        if self.bytes + case.bytes() > MAX_BYTES {
            return false;
        }
        self.bytes += case.bytes();
        self.of.insert(case.name.folded(), case);
        true
    }

    fn remove(&mut self, folded: &FoldedName) {
        if let Some(case) = self.of.remove(folded) {
            self.bytes -= case.bytes();
        }
    }

    pub(super) fn withdraw(&mut self, name: &UserName) {
        let folded = name.folded();
        self.unannounce(&folded);
        if self.of.get(&folded).is_some_and(|case| case.standing != Standing::Granted) {
            self.remove(&folded);
        }
    }

    /// Of two spellings of one name only the one that was asked for: a look at the other one is no
    /// reason to withdraw it.
    pub(super) fn is_open(&self, name: &UserName) -> bool {
        let folded = name.folded();
        let wanted = |case: &Case| case.standing != Standing::Granted && case.name == *name;
        self.of.get(&folded).is_some_and(wanted) || self.announced.get(&folded) == Some(name)
    }

    pub(super) fn finish(&mut self, name: &UserName, user: &UserId) {
        if self.standing(name, user) == Some(Standing::Granted) {
            self.remove(&name.folded());
        }
    }

    pub(super) fn standing(&self, name: &UserName, user: &UserId) -> Option<Standing> {
        self.of.get(&name.folded()).filter(|case| case.user == *user).map(|case| case.standing)
    }

    /// Clears those of the wanted that are chosen; false when there is none.
    pub(super) fn clear(&mut self, chosen: impl Fn(&FoldedName, Grounds) -> bool) -> bool {
        let mut any = false;
        for (name, case) in &mut self.of {
            if case.standing == Standing::Wanted && chosen(name, case.grounds) {
                case.standing = Standing::Cleared;
                any = true;
            }
        }
        any
    }

    /// Licenses those of the wanted that are chosen, and names them.
    pub(super) fn license(&mut self, chosen: impl Fn(&FoldedName) -> bool) -> Vec<UserName> {
        let mut licensed = Vec::new();
        for (name, case) in &mut self.of {
            if case.standing == Standing::Wanted && chosen(name) {
                case.standing = Standing::Licensed;
                licensed.push(case.name.clone());
            }
        }
        licensed
    }

    /// Makes the chosen ones merely wanted.
    pub(super) fn take_back(&mut self, chosen: impl Fn(&Case) -> bool) {
        for case in self.of.values_mut().filter(|case| chosen(case)) {
            case.standing = Standing::Wanted;
        }
    }

    pub(super) fn grant(&mut self, name: &UserName) {
        if let Some(case) = self.of.get_mut(&name.folded()) {
            case.standing = Standing::Granted;
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Case> {
        self.of.values()
    }

    /// Those of which something is decided.
    pub(super) fn decided(&self) -> impl Iterator<Item = &Case> {
        self.all().filter(|case| case.standing != Standing::Wanted)
    }

    pub(super) fn announced(&self) -> impl Iterator<Item = &UserName> {
        self.announced.values()
    }

    pub(super) fn wanted(&self) -> impl Iterator<Item = (&FoldedName, &Case)> {
        self.of.iter().filter(|(_, case)| case.standing == Standing::Wanted)
    }

    /// How many are announced or wanted; without the wanted orphans when those are held on their own.
    pub(super) fn undecided(&self, without_orphans: bool) -> usize {
        let counts = |case: &Case| !(without_orphans && case.grounds == Grounds::Orphan);
        self.announced.len() + self.wanted().filter(|(_, case)| counts(case)).count()
    }

    pub(super) fn any_undecided(&self) -> bool {
        !self.announced.is_empty() || self.wanted().next().is_some()
    }

    pub(super) fn names(&self, standing: Standing) -> impl Iterator<Item = &UserName> {
        self.all().filter(move |case| case.standing == standing).map(|case| &case.name)
    }

    pub(super) fn count(&self, standing: Standing) -> usize {
        self.names(standing).count()
    }

    pub(super) fn granted(&self) -> impl Iterator<Item = (&UserName, &UserId)> {
        let granted = self.all().filter(|case| case.standing == Standing::Granted);
        granted.map(|case| (&case.name, &case.user))
    }

    pub(super) fn not_granted(&self) -> impl Iterator<Item = &UserName> {
        let cases = self.all().filter(|case| case.standing != Standing::Granted);
        cases.map(|case| &case.name).chain(self.announced.values())
    }
}

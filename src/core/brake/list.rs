//! The list of those that are held, as an operator consents to it.
//!
//! An operator looks at the list, thinks, and says: let these go. Meanwhile a name may have been added,
//! and a reason why deletions are held. So everything on the list has a mark, which grows with each
//! addition, and the list's digest is its newest mark. A digest that is not the newest any more is refused,
//! with what has a newer mark. What has left the list does not matter: it is not deleted.
//!
//! A mark is the second of the addition, by AWS's clock, or the next number when that is taken: so a list
//! that was lost with its record and begun anew has no digest of before.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::time::Timestamp;
use super::super::user::UserName;
use super::cases::{Grounds, Standing};
use super::{Brake, Hold, HoldCause};

/// How many hexadecimal digits a digest has.
const DIGITS: usize = 8;

/// What stands for a list until something is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(u32);

impl Digest {
    /// Reads a digest, as `deletions status` shows it.
    ///
    /// # Errors
    /// Says what a digest looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let hexadecimal = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u32::from_str_radix(text, 16).ok().filter(|_| hexadecimal);
        number.map(Self).ok_or_else(|| {
            format!("a digest has {DIGITS} digits of 0-9 a-f: `deletions status` shows it with its list")
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$x}", self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// What an operator consents to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// The list of this digest, and nothing that was added to it.
    Shown(Digest),
    /// Whatever is held now.
    All,
}

/// A consent that is not enough any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Users that are held and were not on the list.
    pub added: Vec<UserName>,
    /// Reasons for which deletions are held that were not shown with it.
    pub causes: Vec<HoldCause>,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.added.is_empty() && self.causes.is_empty() {
            return f.write_str("this is not the digest of the list of what is held");
        }
        f.write_str("this was added since that list was shown:")?;
        for cause in &self.causes {
            write!(f, "\n  a reason to hold: {}", cause.as_str())?;
        }
        for name in &self.added {
            write!(f, "\n  {name}")?;
        }
        Ok(())
    }
}

/// What is remembered of the list besides the marks of the users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct List {
    /// The newest mark that was ever given.
    newest: u32,
    /// Since when each reason is shown.
    causes: BTreeMap<HoldCause, u32>,
}

impl Brake {
    /// Marks what is on the list and was not `before`. To be called after each change: what is on the list
    /// without a mark would go unseen.
    pub fn mark_additions(&mut self, before: &Self, now: Timestamp) {
        let seconds = u32::try_from(now.as_millis() / 1_000).unwrap_or(u32::MAX);
        let mark = seconds.max(self.listed.newest.saturating_add(1));
        let holds = self.holds();
        let another_table = self.other_table.as_ref().map(|(table, _)| table)
            != before.other_table.as_ref().map(|(table, _)| table);
        self.listed.causes.retain(|cause, _| {
            let changed = *cause == HoldCause::TableIdentity && another_table;
            !changed && holds.iter().any(|hold| hold.cause == *cause)
        });
        let known = self.listed.causes.len();
        for Hold { cause, .. } in holds {
            self.listed.causes.entry(cause).or_insert(mark);
        }
        let removed = self.hold_on(Grounds::Removed).is_some();
        let orphans = self.hold_on(Grounds::Orphan).is_some();
        let held = |grounds| match grounds {
            Grounds::Removed => removed,
            Grounds::Orphan => orphans,
        };
        if self.cases.mark(held, mark) || self.listed.causes.len() > known {
            self.listed.newest = mark;
        }
    }

    /// The digest of the list of what is held; `None` while deletions are not held.
    pub fn digest(&self) -> Option<Digest> {
        (!self.holds().is_empty()).then_some(Digest(self.listed.newest))
    }

    /// Whether the operator has consented to all that is held.
    pub(super) fn still_agrees(&self, consent: Consent) -> Result<(), Stale> {
        let Consent::Shown(shown) = consent else { return Ok(()) };
        // With nothing on it, whatever was on the list has left it.
        if self.digest().is_none_or(|digest| digest == shown) {
            return Ok(());
        }
        let newer = |mark: u32| mark > shown.0;
        let wanted = self.cases.all().filter(|case| case.standing == Standing::Wanted);
        let causes = self.listed.causes.iter().filter(|(_, mark)| newer(**mark));
        Err(Stale {
            added: wanted.filter(|case| newer(case.listed)).map(|case| case.name.clone()).collect(),
            causes: causes.map(|(cause, _)| *cause).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::plan::Evidence;
    use super::super::super::user::UserId;
    use super::super::BrakeSettings;
    use super::*;

    const SETTINGS: BrakeSettings =
        BrakeSettings { max_count: 1, max_percent: 1, window: Duration::from_secs(3_600) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + seconds)
    }

    fn name(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    /// Changes the brake as `brakes` does.
    fn change<T>(brake: &mut Brake, now: Timestamp, change: impl FnOnce(&mut Brake) -> T) -> T {
        let before = brake.clone();
        let answer = change(brake);
        brake.mark_additions(&before, now);
        answer
    }

    fn remove(brake: &mut Brake, user: &str, id: &str, now: Timestamp) {
        let evidence = Evidence::RemoveRecord(now);
        let user = name(user);
        let id = UserId(id.to_owned());
        change(brake, now, |brake| brake.ask(&user, &id, evidence, now, Some(100), SETTINGS));
    }

    /// A brake that holds these users.
    fn holding(users: &[&str]) -> Brake {
        let mut brake = Brake::default();
        for user in users {
            brake.announce(&name(user), at(0));
        }
        for user in users {
            remove(&mut brake, user, user, at(0));
        }
        assert_eq!(brake.held().count(), users.len());
        brake
    }

    fn added(brake: &mut Brake, shown: Digest, now: Timestamp) -> Vec<String> {
        let stale = change(brake, now, |brake| brake.resume(Consent::Shown(shown), now)).unwrap_err();
        stale.added.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_list_that_was_shown_is_let_go_and_nothing_that_was_added_since() {
        let mut brake = holding(&["a", "b", "c"]);
        let shown = brake.digest().unwrap();
        remove(&mut brake, "d", "d", at(0));
        assert_ne!(brake.digest(), Some(shown));
        assert_eq!(added(&mut brake, shown, at(1)), ["d"]);
        assert_eq!(brake.held().count(), 4, "nothing has changed");
        let shown = brake.digest().unwrap();
        let resumed = change(&mut brake, at(2), |brake| brake.resume(Consent::Shown(shown), at(2)));
        assert_eq!(resumed.unwrap().len(), 4);
        assert_eq!(brake.digest(), None);
    }

    #[test]
    fn names_that_left_the_list_do_not_matter_and_one_that_comes_back_does() {
        let mut brake = holding(&["a", "b", "c"]);
        let shown = brake.digest().unwrap();
        change(&mut brake, at(5), |brake| brake.withdraw(&name("b")));
        assert_eq!(brake.digest(), Some(shown), "the same list, or a part of it");
        let mut other = brake.clone();
        let resumed = change(&mut other, at(6), |brake| brake.resume(Consent::Shown(shown), at(6)));
        assert_eq!(resumed.unwrap(), [name("a"), name("c")]);
        // The newest of the list has left it, and another one has come.
        change(&mut brake, at(6), |brake| brake.withdraw(&name("c")));
        remove(&mut brake, "b", "b", at(7));
        assert_eq!(added(&mut brake, shown, at(8)), ["b"]);
        // The same name, and another user.
        let shown = brake.digest().unwrap();
        remove(&mut brake, "a", "another", at(9));
        assert_eq!(added(&mut brake, shown, at(9)), ["a"]);
    }

    #[test]
    fn a_reason_that_was_not_shown_is_not_consented_to() {
        let mut brake = Brake::default();
        change(&mut brake, at(0), |brake| brake.table_seen("arn", "one", at(0)));
        for user in ["a", "b", "c"] {
            brake.announce(&name(user), at(0));
        }
        for user in ["a", "b", "c"] {
            remove(&mut brake, user, user, at(0));
        }
        let shown = brake.digest().unwrap();
        change(&mut brake, at(1), |brake| brake.table_seen("arn", "two", at(1)));
        let stale = brake.clone().resume(Consent::Shown(shown), at(2)).unwrap_err();
        assert_eq!((stale.added.len(), stale.causes.as_slice()), (0, &[HoldCause::TableIdentity][..]));
        // And then a third table.
        let shown = brake.digest().unwrap();
        change(&mut brake, at(3), |brake| brake.table_seen("arn", "three", at(3)));
        assert!(brake.clone().resume(Consent::Shown(shown), at(4)).is_err());
        let shown = brake.digest().unwrap();
        change(&mut brake, at(5), |brake| brake.table_seen("arn", "three", at(5)));
        assert!(brake.resume(Consent::Shown(shown), at(6)).is_ok());
    }

    #[test]
    fn a_digest_of_another_list_is_refused() {
        let mut brake = holding(&["a", "b"]);
        let shown = brake.digest().unwrap();
        // A slip of the hand.
        let wrong = Digest(shown.0 + 1);
        assert_eq!(
            brake.resume(Consent::Shown(wrong), at(1)).unwrap_err(),
            Stale { added: vec![], causes: vec![] }
        );
        // The record was lost, and the same users are held again.
        let mut lost = Brake::default();
        for user in ["a", "b"] {
            lost.announce(&name(user), at(60));
        }
        for user in ["a", "b"] {
            remove(&mut lost, user, user, at(60));
        }
        assert_eq!(added(&mut lost, shown, at(61)), ["a", "b"]);
    }

    #[test]
    fn a_digest_is_short_and_is_read_as_it_is_shown() {
        let digest = Digest(0x6927_f3a1);
        assert_eq!(digest.to_string(), "6927f3a1");
        assert_eq!(Digest::parse("6927f3a1"), Ok(digest));
        assert_eq!(Digest::parse("0000000a"), Ok(Digest(10)));
        for wrong in ["", "6927f3a", "6927f3a10", "+927f3a1", "resume!!"] {
            assert!(Digest::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn marks_outlive_a_restart() {
        let mut brake = holding(&["a", "b"]);
        let shown = brake.digest().unwrap();
        brake = serde_json::from_str(&serde_json::to_string(&brake).unwrap()).unwrap();
        assert_eq!(brake.digest(), Some(shown));
        remove(&mut brake, "c", "c", at(0));
        assert_eq!(added(&mut brake, shown, at(1)), ["c"]);
    }
}

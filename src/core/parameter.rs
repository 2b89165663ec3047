//! What a user's parameter is, by what reads have answered and by what this process has written itself.
//!
//! GetParameter is not promised to be read-after-write: a read may show an older version, none at all of a
//! parameter that was just made, and the old document of one that was just deleted. This process knows its
//! own last write better, for [`BELIEVED`]. The write of another process is believed as soon as it is seen.
//! Pure: `reconcile` reads and writes, and passes the time.

use std::time::Duration;

use super::document::KeyDocument;
use super::memory::{MINT_SLACK, SETTLE};
use super::observed::Stored;
use super::time::Timestamp;

/// For this long after a write of ours no read is believed that is older. Reads were seen to be late by
/// seconds; a parameter that somebody else has deleted must be missed at some time.
pub const BELIEVED: Duration = Duration::from_secs(60);

/// How far SSM's clock may be from ours, for dates that only the one or the other has told.
const CLOCK_SLACK: Duration = MINT_SLACK;

/// One version of a parameter.
///
/// Numbers begin at 1 again when a parameter is deleted and made anew, so a number says nothing without
/// its date: a read of the life before may show a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// When it was written, by SSM's clock.
    pub modified: Timestamp,
    /// SSM's number of it, from 1 in each life of the name.
    pub number: u64,
}

/// SSM's two kinds of parameters. A standard one can become advanced, never the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// 4 KB, at no cost.
    Standard,
    /// 8 KB.
    Advanced,
}

/// What a read of a parameter has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What is stored.
    pub stored: Stored,
    /// The version that was read; `None` when there is no parameter.
    pub version: Option<Version>,
}

/// What one process knows of a parameter between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Belief {
    known: Option<Known>,
    /// Before this, a read may be older than the last write of a leader before us.
    settled_at: Option<Timestamp>,
    /// The newest version that a read has shown.
    seen: Option<Version>,
    /// Until when a read that was older than what is believed has to be repeated.
    doubted: Option<Timestamp>,
}

/// Our own last write, or a later one of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    stored: Stored,
    /// The number of the version; `None` of a parameter that was deleted.
    number: Option<u64>,
    /// The version was made no earlier than this, and no later than that, by SSM's clock.
    made: (Timestamp, Timestamp),
    /// The newest version that was seen before.
    before: Option<Version>,
    until: Timestamp,
}

impl Belief {
    /// Somebody else may have sent a write of it until `at`: it may still arrive, and be seen late after that.
    pub fn written_by_others(&mut self, at: Timestamp) {
        self.settled_at = self.settled_at.or(Some(at + SETTLE * 2));
    }

    /// Notes that SSM has made version `number` of this document, between `begun` and `now`.
    pub fn wrote(&mut self, document: &KeyDocument, number: u64, begun: Timestamp, now: Timestamp) {
        let stored = Stored::Document { document: document.clone(), modified: now };
        self.know(stored, Some(number), begun, now);
    }

    /// Notes that SSM has deleted the parameter, between `begun` and `now`.
    pub fn deleted(&mut self, begun: Timestamp, now: Timestamp) {
        self.know(Stored::Missing, None, begun, now);
    }

    fn know(&mut self, stored: Stored, number: Option<u64>, begun: Timestamp, now: Timestamp) {
        let made = (begun - CLOCK_SLACK, now + CLOCK_SLACK);
        self.known = Some(Known { stored, number, made, before: self.seen, until: now + BELIEVED });
        self.doubted = None;
    }

    /// What the parameter is, when a read has answered this.
    pub fn judge(&mut self, read: Reading, now: Timestamp) -> Stored {
        self.doubted = None;
        if self.known.as_ref().is_some_and(|known| now >= known.until) {
            self.known = None;
        }
        let Some(known) = &mut self.known else {
            self.seen = read.version;
            return read.stored;
        };
        // A parameter that cannot be decrypted does not tell its version.
        if matches!(read.stored, Stored::Locked { .. }) {
            return read.stored;
        }
        if known.is_newer_than(&read) {
            self.doubted = (known.stored != Stored::Missing || read.version.is_some()).then_some(known.until);
            return known.stored.clone();
        }
        if let Some(version) = read.version {
            known.number = Some(version.number);
            known.made = (version.modified, version.modified);
            known.stored = read.stored.clone();
            self.seen = self.seen.max(Some(version));
        }
        read.stored
    }

    /// Until when a later read may show something newer than what is known now.
    pub fn unsettled_until(&self, now: Timestamp) -> Option<Timestamp> {
        let settled_at = self.settled_at.filter(|_| self.believed_until(now).is_none());
        settled_at.filter(|settled| now < *settled)
    }

    /// Until when the last read was not believed.
    pub fn doubted_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.doubted.filter(|until| now < *until)
    }

    /// Until when this process knows better than a read that is late.
    pub fn believed_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.known.as_ref().map(|known| known.until).filter(|until| now < *until)
    }

    /// When this process has deleted the parameter, at the latest, if nothing was written since.
    pub fn deleted_at(&self) -> Option<Timestamp> {
        let deleted = self.known.as_ref().filter(|known| known.number.is_none());
        deleted.map(|known| known.until - BELIEVED)
    }
}

impl Known {
    /// Whether what was read is older than what is known, so that the read was late.
    fn is_newer_than(&self, read: &Reading) -> bool {
        let Some(version) = read.version else { return true };
        let (first, last) = self.made;
        let seen_before = self.before.is_some_and(|before| version <= before);
        if version.modified < first || seen_before {
            return true;
        }
        if version.modified > last {
            return false;
        }
        match self.number {
            Some(number) if version.number == number => {
                // Of another life, when it holds something else and was made at nearly the same time.
                first != last && read.stored.document() != self.stored.document()
            }
            Some(number) => version.number < number,
            // Made after the deletion: numbers grow within one life.
            None => self.before.is_none_or(|before| version.number >= before.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::StoredKey;
    use super::super::secret::Secret;
    use super::super::user::AccessKeyId;
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + secs)
    }

    /// A document that is known by the number of its current key.
    fn document(n: u32) -> KeyDocument {
        let id = AccessKeyId::parse(&format!("AKIA{n:016}")).expect("a key id");
        KeyDocument { current: Some(StoredKey::new(id, Secret::new("s"))), ..KeyDocument::default() }
    }

    /// Version `number`, written at a second, with key `n`; no parameter without them.
    type Read = Option<(u64, i64, u32)>;
    const MISSING: Read = None;

    fn reading(read: Read) -> Reading {
        let Some((number, secs, n)) = read else { return Reading { stored: Stored::Missing, version: None } };
        let (document, modified) = (document(n), at(secs));
        Reading {
            stored: Stored::Document { document, modified },
            version: Some(Version { modified, number }),
        }
    }

    /// The key that is taken for current; 0 when the parameter is taken for missing.
    fn current(stored: &Stored) -> u32 {
        let current = stored.document().and_then(KeyDocument::current_id);
        current.map_or(0, |id| id.as_str()[4..].parse().expect("a number"))
    }

    #[derive(Clone, Copy, Debug)]
    enum Did {
        /// This process wrote this version with this key.
        Wrote(u64, u32),
        Deleted,
    }
    use Did::{Deleted, Wrote};

    /// What is made of `read`, so long after this process, which had seen `before`, did that in second 0.
    fn believe(before: Read, did: Did, after: i64, read: Read) -> (u32, Option<i64>) {
        let mut belief = Belief::default();
        belief.judge(reading(before), at(-1));
        match did {
            Wrote(number, n) => belief.wrote(&document(n), number, at(0), at(0)),
            Deleted => belief.deleted(at(0), at(0)),
        }
        let key = current(&belief.judge(reading(read), at(after)));
        let doubted = belief.doubted_until(at(after)).map(|until| until.since(at(0)).as_secs());
        (key, doubted.and_then(|secs| i64::try_from(secs).ok()))
    }

    #[test]
    #[rustfmt::skip] // The columns are the point.
    fn reads_that_are_older_than_our_own_write() {
        let check = |before, did, after, read, expected| {
            assert_eq!(believe(before, did, after, read), expected, "{before:?} {did:?} {after} {read:?}");
        };
        const OLD: Read = Some((4, -900, 1));
        //    seen before  did           s    a read shows          is taken for
        check(OLD,         Wrote(5, 2),  1,   OLD,                  (2, Some(60)));
        check(OLD,         Wrote(5, 2),  59,  OLD,                  (2, Some(60)));
        check(OLD,         Wrote(5, 2),  60,  OLD,                  (1, None));
        check(OLD,         Wrote(5, 2),  1,   Some((5, 0, 2)),      (2, None));
        check(OLD,         Wrote(5, 2),  1,   MISSING,              (2, Some(60)));
        check(OLD,         Wrote(5, 2),  60,  MISSING,              (0, None));
        check(MISSING,     Wrote(1, 2),  1,   MISSING,              (2, Some(60)));
        // Somebody else has written it since, or has deleted it and made it anew.
        check(OLD,         Wrote(5, 2),  3,   Some((6, 2, 3)),      (3, None));
        check(OLD,         Wrote(5, 2),  20,  Some((1, 19, 3)),     (3, None));
        // The life before had higher numbers; a version of it that was never seen, too.
        check(OLD,         Wrote(1, 2),  1,   OLD,                  (2, Some(60)));
        check(OLD,         Wrote(1, 2),  1,   Some((9, -40, 3)),    (2, Some(60)));
        check(Some((1, -40, 1)), Wrote(1, 2), 1, Some((1, -40, 1)), (2, Some(60)));
        check(Some((1, -2, 1)),  Wrote(1, 2), 1, Some((1, -2, 1)),  (2, Some(60)));
        // After our own deletion the old document is the deleted one.
        check(OLD,         Deleted,      1,   OLD,                  (0, Some(60)));
        check(OLD,         Deleted,      1,   Some((5, -1, 3)),     (0, Some(60)));
        check(OLD,         Deleted,      1,   MISSING,              (0, None));
        check(OLD,         Deleted,      60,  OLD,                  (1, None));
        check(OLD,         Deleted,      40,  Some((1, 35, 3)),     (3, None));
        check(OLD,         Deleted,      3,   Some((1, 2, 3)),      (3, None));
    }

    #[test]
    fn what_was_seen_is_not_unseen() {
        let mut belief = Belief::default();
        belief.judge(reading(Some((4, -900, 1))), at(-1));
        belief.wrote(&document(2), 5, at(0), at(0));
        // Ours, somebody else's, and then two reads that are late.
        for (read, expected) in [((5, 0, 2), 2), ((6, 3, 3), 3), ((5, 0, 2), 3), ((4, -900, 1), 3)] {
            assert_eq!(current(&belief.judge(reading(Some(read)), at(5))), expected, "{read:?}");
        }
        assert_eq!(belief.doubted_until(at(5)), Some(at(60)), "the last one is asked about again");
    }

    #[test]
    fn a_leader_before_us_may_have_written_last() {
        let mut belief = Belief::default();
        belief.written_by_others(at(0));
        assert_eq!(belief.unsettled_until(at(19)), Some(at(20)));
        assert_eq!(belief.unsettled_until(at(20)), None);
        belief.wrote(&document(1), 3, at(4), at(4));
        assert_eq!(belief.unsettled_until(at(5)), None, "what we have written ourselves is known");
    }

    #[test]
    fn a_parameter_rests_after_its_deletion() {
        let mut belief = Belief::default();
        belief.deleted(at(0), at(0));
        assert_eq!(belief.deleted_at(), Some(at(0)));
        belief.judge(reading(Some((1, 40, 3))), at(41));
        assert_eq!(belief.deleted_at(), None, "somebody has made it anew");
    }
}

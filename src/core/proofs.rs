//! What AWS has said to calls that were signed with a key in hand, and whether that is enough.
//!
//! IAM's servers learn of a new key one after another: that one host of STS accepts it says little about the
//! next host, or about another service. So acceptances are counted in a row, each on a connection of its own.

use std::time::Duration;

use super::time::Timestamp;

/// A key works when AWS has accepted it so often in a row.
pub const ACCEPTANCES: u32 = 3;

/// Pause after a proof that failed.
const RETRY: Duration = Duration::from_millis(500);

/// The longest pause between two proofs of a key that is accepted.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The proofs of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    accepted: u32,
    /// When the first and the last of these acceptances came.
    first: Timestamp,
    last: Timestamp,
    /// Why the last proof that failed did so.
    failure: Option<String>,
    /// The next proof is not due before.
    due: Timestamp,
}

impl Proofs {
    /// AWS has accepted the key. What is not waited for is proven over a time of `verify_for`.
    pub fn accepted(&mut self, now: Timestamp, verify_for: Duration) {
        if self.accepted == 0 {
            self.first = now;
        }
        self.accepted = self.accepted.saturating_add(1);
        self.last = self.last.max(now);
        self.due = if self.accepted < ACCEPTANCES {
            now
        } else {
            let pause = (verify_for / 5).clamp(RETRY, LONGEST_PAUSE);
            (now + pause).min(self.first + verify_for).max(now)
        };
    }

    /// AWS has refused the key, with this code: the count begins anew.
    pub fn refused(&mut self, code: &str, now: Timestamp) {
        let failure = Some(format!("refused with {code}"));
        *self = Self { failure, due: now + RETRY, ..Self::default() };
    }

    /// AWS has said nothing about the key.
    pub fn unanswered(&mut self, why: String, now: Timestamp) {
        self.failure = Some(why);
        self.due = now + RETRY;
    }

    /// When the next proof is due.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// Whether AWS has accepted the key often enough, over at least this time.
    pub fn suffice(&self, over: Duration) -> bool {
        self.accepted >= ACCEPTANCES && self.last.since(self.first) >= over
    }

    /// For people: how far it has come, and what failed last.
    pub fn told(&self) -> String {
        let over = match self.last.since(self.first).as_secs() {
            0 => String::new(),
            seconds => format!(" over {seconds} s"),
        };
        let counted = match self.accepted {
            0 => "no acceptance yet".to_owned(),
            1 => "accepted once".to_owned(),
            more => format!("accepted {more} times in a row{over}"),
        };
        match &self.failure {
            Some(failure) => format!("{counted}, last {failure}"),
            None => counted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;
    const FOR: Duration = Duration::from_secs(15);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000) + Duration::from_millis(millis.unsigned_abs())
    }

    #[test]
    fn a_first_key_takes_three_acceptances_in_a_row_and_a_refusal_begins_anew() {
        let mut proofs = Proofs::default();
        proofs.accepted(at(0), FOR);
        proofs.accepted(at(100), FOR);
        assert_eq!((proofs.suffice(NONE), proofs.due()), (false, at(100)), "the next one at once");
        proofs.refused("InvalidClientTokenId", at(200));
        assert_eq!(proofs.due(), at(700));
        assert_eq!(proofs.told(), "no acceptance yet, last refused with InvalidClientTokenId");
        for millis in [700, 800] {
            proofs.accepted(at(millis), FOR);
            assert!(!proofs.suffice(NONE));
        }
        assert_eq!(proofs.told(), "accepted 2 times in a row, last refused with InvalidClientTokenId");
        // What is no answer says nothing, for or against.
        proofs.unanswered("without an answer".to_owned(), at(900));
        assert_eq!(proofs.due(), at(1_400));
        proofs.accepted(at(1_400), FOR);
        assert!(proofs.suffice(NONE) && !proofs.suffice(FOR));
    }

    #[test]
    fn a_rotation_takes_acceptances_over_verify_for() {
        let mut proofs = Proofs::default();
        let mut moments = Vec::new();
        let mut now = at(0);
        while !proofs.suffice(FOR) {
            proofs.accepted(now, FOR);
            moments.push(now.since(at(0)).as_secs());
            now = proofs.due();
        }
        assert_eq!(moments, [0, 0, 0, 3, 6, 9, 12, 15]);
        assert_eq!(proofs.told(), "accepted 8 times in a row over 15 s");
        // A refusal in the middle begins anew, and the time with it.
        proofs.refused("InvalidClientTokenId", now);
        proofs.accepted(now, FOR);
        assert!(!proofs.suffice(NONE));
    }

    #[test]
    fn without_a_time_three_suffice_and_a_long_time_has_no_long_pauses() {
        let mut proofs = Proofs::default();
        (0..3).for_each(|_| proofs.accepted(at(0), NONE));
        assert!(proofs.suffice(NONE));
        let long = Duration::from_secs(450);
        let mut proofs = Proofs::default();
        (0..4).for_each(|_| proofs.accepted(at(0), long));
        assert_eq!(proofs.due(), at(5_000));
    }
}

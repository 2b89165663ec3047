//! REMOVE records of before the first start: no evidence, but counted, and named once.
//!
//! The stream keeps 24 hours. Of what happened in the days of the function before us, sweeps find what is
//! left to do; nothing is revoked by it.

use std::collections::BTreeSet;
use std::time::Duration;

use prometheus::IntCounter;

use crate::core::leadership::is_evidence;
use crate::core::time::Timestamp;
use crate::core::user::UserName;

/// More names than this are not told in one line: a line of the log has its limits, 256 KB in CloudWatch.
const NAMED: usize = 100;

/// More names than this are not kept; they are counted. IAM has 5,000 users an account.
const KEPT: usize = 5_000;

/// The names are told when no further record of the kind was read for so long.
const QUIET: Duration = Duration::from_secs(5);

/// Sorts REMOVE records by whether they are evidence.
pub struct BeforeFirst {
    first: Timestamp,
    passed: IntCounter,
    names: BTreeSet<UserName>,
    /// Records whose names are not told yet, and when the last of them was read, by the monotonic clock.
    untold: Option<(u64, Duration)>,
}

impl BeforeFirst {
    /// For a state table that has led for the users table since `first`.
    pub fn new(first: Timestamp, passed: IntCounter) -> Self {
        Self { first, passed, names: BTreeSet::new(), untold: None }
    }

    /// Whether the removal of a row at this time is evidence; what is not, is noted.
    pub(super) fn is_evidence(&mut self, name: &UserName, removed: Timestamp, now: Duration) -> bool {
        if is_evidence(removed, self.first) {
            return true;
        }
        self.passed.inc();
        let before = self.untold.map_or(0, |(records, _)| records);
        self.untold = Some((before + 1, now));
        if self.names.len() < KEPT {
            self.names.insert(name.clone());
        }
        false
    }

    /// Says in one line whose rows were removed before the first start, when all of it seems to be read.
    pub(super) fn tell(&mut self, now: Duration) {
        let Some((records, _)) = self.untold.filter(|(_, last)| now.saturating_sub(*last) >= QUIET) else {
            return;
        };
        self.untold = None;
        let names: Vec<&str> = self.names.iter().take(NAMED).map(UserName::as_str).collect();
        tracing::warn!(
            records,
            first_start = %self.first,
            names = names.join(" "),
            unnamed = self.names.len().saturating_sub(NAMED),
            "rows were removed before the first start of this controller: a row that is back revokes nothing, \
             one that is gone is left to sweeps"
        );
        self.names.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_before_the_first_start_is_counted_and_named_once() {
        let first = Timestamp::from_secs(1_800_000_000);
        let counter = IntCounter::new("passed", "Passed.").unwrap();
        let mut before = BeforeFirst::new(first, counter.clone());
        let name = |name: &str| UserName::parse(name).unwrap();
        let seconds = Duration::from_secs;
        assert!(before.is_evidence(&name("new"), first + seconds(60), seconds(1)));
        assert!(!before.is_evidence(&name("old"), first - seconds(60), seconds(1)));
        assert!(!before.is_evidence(&name("old"), first - seconds(50), seconds(2)));
        assert_eq!(counter.get(), 2);
        before.tell(seconds(6));
        assert!(before.untold.is_some(), "there may be more");
        before.tell(seconds(7));
        assert!(before.untold.is_none() && before.names.is_empty());
    }
}

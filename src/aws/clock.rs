//! The machine's clocks, AWS's clock as its answers tell it, and randomness.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_smithy_types::DateTime;

use crate::core::time::Timestamp;
use crate::ports::Clock;

/// A measurement counts for this long after the newest one, so that a service that is called once an
/// hour does not hold up what the others have seen mended since.
const MEASUREMENT_COUNTS_FOR: Duration = Duration::from_secs(600);

/// Real time. Clones share what was measured.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
    /// By service: the last measurement.
    skews: Arc<Mutex<BTreeMap<&'static str, Measurement>>>,
}

#[derive(Clone, Copy, Debug)]
struct Measurement {
    at: Duration,
    skew_millis: i64,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[allow(clippy::disallowed_methods, reason = "this is the edge where time comes in")]
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), skews: Arc::default() }
    }

    /// Takes in what an answer of `service` tells, which came `at` this monotonic time.
    pub(super) fn measured(&self, service: &'static str, skew_millis: i64, at: Duration) {
        let mut skews = self.skews.lock().unwrap_or_else(PoisonError::into_inner);
        skews.insert(service, Measurement { at, skew_millis });
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the edge where time comes in")]
    fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn skew_millis(&self) -> Option<i64> {
        let skews = self.skews.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = skews.values().map(|measurement| measurement.at).max()?;
        skews
            .values()
            .filter(|measurement| measurement.at + MEASUREMENT_COUNTS_FOR >= newest)
            .map(|measurement| measurement.skew_millis)
            .max_by_key(|millis| millis.unsigned_abs())
    }

    #[allow(clippy::disallowed_methods, reason = "this is the edge where randomness comes in")]
    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}

/// A time that AWS told; one that it did not tell, or that is out of range, is the epoch. Where an
/// age is counted from it, [`dated`](super::errors::dated) is to be used: nothing is that old.
pub(super) fn timestamp(time: Option<&DateTime>) -> Timestamp {
    let millis = time.and_then(|time| time.to_millis().ok()).and_then(|millis| u64::try_from(millis).ok());
    Timestamp::from_millis(millis.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_that_differs_most_tells_the_skew() {
        let clock = SystemClock::start();
        let at = Duration::from_secs;
        assert_eq!(clock.skew_millis(), None);
        clock.measured("iam", 400, at(1));
        clock.measured("ssm", -700_000, at(2));
        clock.measured("sts", 20, at(3));
        assert_eq!(clock.skew_millis(), Some(-700_000));
        // The next answer of the same service replaces it.
        clock.measured("ssm", -100, at(4));
        assert_eq!(clock.skew_millis(), Some(400));
        // The clock was set meanwhile, and only one service has been called since.
        clock.measured("sts", -3, at(5_000));
        assert_eq!(clock.skew_millis(), Some(-3));
    }

    #[test]
    fn times_out_of_range_are_the_epoch() {
        assert_eq!(timestamp(None), Timestamp::default());
        assert_eq!(timestamp(Some(&DateTime::from_secs(-1))), Timestamp::default());
        assert_eq!(timestamp(Some(&DateTime::from_secs_f64(1.5))), Timestamp::from_millis(1_500));
    }
}

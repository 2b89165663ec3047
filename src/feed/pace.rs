//! When to ask again. Pure: the caller passes the time and the random number.

use std::time::Duration;

use super::limits::{BACKOFF, FULL_PAGE, HOLD, IDLE_LEAD, POLL_SPACING};

/// The pace of polling one shard.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    poll: Duration,
    idle: Duration,
    interval: Duration,
    hold_until: Duration,
}

impl Pace {
    /// A shard that is new is polled as if it had just brought a record.
    pub(super) fn new(poll: Duration, idle: Duration, now: Duration) -> Self {
        let poll = poll.max(POLL_SPACING);
        let idle = idle.saturating_sub(IDLE_LEAD).max(poll);
        Self { poll, idle, interval: poll, hold_until: now + HOLD }
    }

    /// How long after the beginning of a poll the next one is due, when it brought so many records.
    ///
    /// `ending`: the shard gets no new records, so only its end can be ahead.
    pub(super) fn after_page(&mut self, records: usize, ending: bool, now: Duration) -> Duration {
        if records > 0 {
            self.interval = self.poll;
            self.hold_until = now + HOLD;
        } else if now >= self.hold_until {
            self.interval = (self.interval + self.interval / 4).min(self.idle);
        }
        if ending || records >= FULL_PAGE { POLL_SPACING } else { self.interval }
    }
}

/// How long to wait after so many failures in a row: doubling, with the upper half left to chance,
/// so that shards that failed together do not come back together.
pub(super) fn backoff(failures: u32, random: u64) -> Duration {
    let (first, longest) = BACKOFF;
    let ceiling = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    let half = ceiling / 2;
    half + half.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_millis(250);
    const IDLE: Duration = Duration::from_secs(1);

    /// Polls in the hour after the last record.
    fn calls_in_an_idle_hour(poll: Duration, idle: Duration) -> u32 {
        let mut now = Duration::ZERO;
        let mut pace = Pace::new(poll, idle, now);
        let mut calls = 0;
        while now < Duration::from_secs(3600) {
            now += pace.after_page(0, false, now);
            calls += 1;
        }
        calls
    }

    #[test]
    fn an_idle_hour_costs_no_more_than_it_may() {
        let calls = calls_in_an_idle_hour(POLL, IDLE);
        assert!((3_600..=3_700).contains(&calls), "{calls}");
    }

    #[test]
    fn no_setting_makes_more_than_five_calls_a_second() {
        for (poll, idle) in [(0, 0), (1, 1), (50, 100), (250, 10)] {
            let calls = calls_in_an_idle_hour(Duration::from_millis(poll), Duration::from_millis(idle));
            assert!(calls <= 5 * 3_600, "{poll} {idle}: {calls}");
        }
    }

    #[test]
    fn pages() {
        let second = Duration::from_secs(1);
        //    records, ending, seconds since the start → the next poll
        for (records, ending, at, next) in [
            (1, false, 1, POLL),
            (0, false, 10, POLL),
            (0, false, 11, POLL + POLL / 4),
            (0, true, 12, POLL_SPACING),
            (1_000, false, 13, POLL_SPACING),
            (0, false, 22, POLL),
        ] {
            let mut pace = Pace::new(POLL, IDLE, Duration::ZERO);
            pace.after_page(1, false, if at == 22 { 13 * second } else { second });
            assert_eq!(pace.after_page(records, ending, at * second), next, "{records} {ending} {at}");
        }
    }

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        assert_eq!(backoff(1, 0), BACKOFF.0 / 2);
        assert!(backoff(1, u64::MAX) <= BACKOFF.0);
        assert_eq!(backoff(3, 0), BACKOFF.0 * 2);
        for failures in [8, 20, u32::MAX] {
            assert!(backoff(failures, 0) >= BACKOFF.1 / 2 && backoff(failures, u64::MAX) <= BACKOFF.1);
        }
    }
}

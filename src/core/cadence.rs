//! How far sweeps lie apart, and who has to be looked at by this one so that nobody is looked at too late.
//! Pure: a sweep tells when it began.

use std::time::Duration;

use super::time::Timestamp;

/// The beginnings of the last sweeps that were not given up.
#[derive(Clone, Debug, Default)]
pub struct Cadence {
    last: Option<Timestamp>,
    before: Duration,
}

impl Cadence {
    /// A sweep that began at `started` asks for looks. A look that will be older than
    /// `sweep.full_every` at the time that this gives has to be repeated now: the next sweep may come
    /// too late for it.
    ///
    /// That is two intervals from now, the longer of the last two: looks take a while after their sweep
    /// has begun, and one sweep out of turn says nothing of the schedule.
    pub fn horizon(&mut self, started: Timestamp) -> Timestamp {
        let interval = self.last.map_or(Duration::ZERO, |last| started.since(last));
        let longest = interval.max(self.before);
        (self.last, self.before) = (Some(started), interval);
        started + longest * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn horizons() {
        let minute = |minute: i64| Timestamp::from_secs(1_800_000_000 + 60 * minute);
        let mut cadence = Cadence::default();
        //   began at, everybody is looked at whose look would be too old at
        for (started, horizon) in [
            (0, 0),
            (60, 180),
            (120, 240),
            // An operator's, shortly before the schedule's.
            (170, 290),
            (180, 280),
            (240, 360),
            // The clock was set back.
            (200, 320),
            (300, 500),
        ] {
            assert_eq!(cadence.horizon(minute(started)), minute(horizon), "{started}");
        }
    }

    #[test]
    fn nobody_is_looked_at_too_late() {
        let (day, hour) = (Duration::from_secs(86_400), Duration::from_secs(3_600));
        let took = Duration::from_secs(300);
        let mut cadence = Cadence::default();
        let mut started = Timestamp::from_secs(1_800_000_000);
        cadence.horizon(started);
        let mut looked_at = started + took;
        let mut looks = 0;
        for _ in 0..1_000 {
            started = started + hour;
            if cadence.horizon(started).since(looked_at) >= day {
                let now = started + took;
                assert!(now.since(looked_at) <= day, "{:?}", now.since(looked_at));
                (looked_at, looks) = (now, looks + 1);
            }
        }
        assert!(looks <= 1_000 / 22, "hardly more often than is asked for: {looks}");
    }
}

//! Whether every loop of the program still turns: what `/healthz` tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time;

/// A loop that has not turned for this long is stuck. No call lasts longer than a quarter of it.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);

/// A loop that waits turns at least this often.
const TURN: Duration = Duration::from_secs(5);

/// The last turn of every loop that runs now.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats(Arc<Mutex<BTreeMap<&'static str, Duration>>>);

impl Heartbeats {
    /// A pulse for the loop of this name, until it is dropped. `now` is monotonic.
    pub fn start(&self, name: &'static str, now: Duration) -> Heartbeat {
        let heartbeat = Heartbeat { name, beats: self.clone() };
        heartbeat.beat(now);
        heartbeat
    }

    /// The loops that are stuck, and for how long.
    pub fn stuck(&self, now: Duration) -> Vec<(&'static str, Duration)> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = beats.iter().map(|(name, beat)| (*name, now.saturating_sub(*beat)));
        silent.filter(|(_, silent)| *silent >= STUCK_AFTER).collect()
    }
}

/// One loop's pulse; dropped when the loop ends.
#[derive(Debug)]
pub struct Heartbeat {
    name: &'static str,
    beats: Heartbeats,
}

impl Heartbeat {
    /// The loop turns, at the monotonic time `now`.
    pub fn beat(&self, now: Duration) {
        self.beats.0.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name, now);
    }

    /// Beats while a future goes on. For work of which every call has a time limit, and the whole has
    /// none: what AWS or the limiter lets wait is slow, not stuck. `now` gives the monotonic time.
    pub async fn during<T>(&self, now: impl Fn() -> Duration, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            self.beat(now());
            if let Ok(done) = time::timeout(TURN, &mut work).await {
                return done;
            }
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.beats.0.lock().unwrap_or_else(PoisonError::into_inner).remove(self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slow_work_is_not_stuck() {
        // Tokio's clock is the only one here.
        #[allow(clippy::disallowed_methods)]
        let began = time::Instant::now();
        let now = || began.elapsed();
        let beats = Heartbeats::default();
        let beat = beats.start("survey", now());
        let watch = async {
            loop {
                time::sleep(Duration::from_secs(1)).await;
                assert_eq!(beats.stuck(now()), []);
            }
        };
        tokio::select! {
            () = beat.during(now, time::sleep(Duration::from_secs(600))) => {}
            () = watch => {}
        }
        time::sleep(STUCK_AFTER).await;
        assert_eq!(beats.stuck(now()).len(), 1);
        drop(beat);
        assert_eq!(beats.stuck(now()), []);
    }
}

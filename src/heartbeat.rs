//! Whether every loop of the program still turns: what `/healthz` tells.

mod panics;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time;

use panics::Panics;

/// A loop that has not turned for this long is stuck. What may take longer than a quarter of it beats while it
/// waits, by [`Heartbeat::during`]; so do pages of the whole account, which may take half of it each.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);

/// A loop that waits turns at least this often.
const TURN: Duration = Duration::from_secs(5);

/// The last turn of every loop that runs now, and what has panicked. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats {
    turns: Arc<Mutex<BTreeMap<&'static str, Duration>>>,
    panics: Panics,
}

impl Heartbeats {
    /// A pulse for the loop of this name, until it is dropped. `now` is monotonic.
    pub fn start(&self, name: &'static str, now: Duration) -> Heartbeat {
        let heartbeat = Heartbeat { name, beats: self.clone() };
        heartbeat.beat(now);
        heartbeat
    }

    /// A task of the loop of this name has panicked.
    pub fn panicked(&self, name: &'static str, now: Duration) {
        self.panics.note(name, now);
    }

    /// What keeps the program from being healthy, a sentence each.
    pub fn faults(&self, now: Duration) -> Vec<String> {
        let stuck = self.stuck(now).into_iter();
        let stuck =
            stuck.map(|(name, silent)| format!("the {name} loop has not turned for {} s", silent.as_secs()));
        let panicked = self.panics.too_many(now).into_iter().map(|(name, times)| {
            format!("the {name} has panicked {times} times within 5 minutes: the log says where")
        });
        stuck.chain(panicked).collect()
    }

    /// The loops that are stuck, and for how long.
    pub fn stuck(&self, now: Duration) -> Vec<(&'static str, Duration)> {
        let beats = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.beats.turns.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name, now);
    }

    /// A task of this loop has panicked, at the monotonic time `now`.
    pub fn panicked(&self, now: Duration) {
        self.beats.panicked(self.name, now);
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
        self.beats.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(self.name);
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

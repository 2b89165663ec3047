//! What the status page and the health check may know of the feed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::limits::STALLED_AFTER;
use crate::core::time::Timestamp;

/// A handle to the feed's last published state. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct FeedView(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    snapshot: FeedSnapshot,
    /// For each shard that is to be polled: until when (monotonic) nothing was wrong with it that a
    /// restart could mend.
    fine_until: Vec<(String, Duration)>,
    /// When the feed last published; `None` while it does not run.
    alive_at: Option<Duration>,
}

/// The feed at a glance.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct FeedSnapshot {
    /// ARN of the table's current stream, when there is one.
    pub stream: Option<String>,
    /// Whether that stream records changes.
    pub enabled: bool,
    /// Whether a position is stored in every shard of the current stream.
    pub positioned: bool,
    /// The age of the oldest change that is not fully handled, in seconds; 0 when caught up, however
    /// long ago the last change was. While that age cannot be known (a shard not yet read to its
    /// end, polls that fail), how long it has not been known.
    pub lag_seconds: f64,
    /// Changes handed over and not settled.
    pub unsettled: usize,
    /// Every shard that is not finished, of the current stream and of older ones.
    pub shards: Vec<ShardSnapshot>,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ShardSnapshot {
    /// Its id.
    pub id: String,
    /// The sequence number up to which everything is settled; `None` is TRIM_HORIZON.
    pub position: Option<String>,
    /// Where it stands.
    pub state: ShardState,
    /// Changes of it that are not settled, or wait for one that is not.
    pub unsettled: usize,
    /// Everything created before this is handled.
    pub through: Timestamp,
}

/// Where a shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardState {
    /// For its parent, its turn, or its stored position.
    Waiting,
    /// Being read.
    Reading,
    /// Being read; its last polls brought nothing.
    CaughtUp,
    /// Not polled until some of its changes are settled.
    Full,
    /// Read to its end; some changes are not settled yet.
    Settling,
}

impl FeedView {
    /// A view of a feed that does not run yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state of at most a second ago.
    pub fn snapshot(&self) -> FeedSnapshot {
        self.inner().snapshot.clone()
    }

    /// What is stuck, in a sentence; `None` when nothing is, or when the feed does not run.
    ///
    /// Stuck is an open shard that had no successful poll for 60 s although it could have been
    /// polled. One that waits for its parent, or for changes to be settled, is not; nor is one whose
    /// polls are all refused for load, which no restart would mend.
    pub fn stalled(&self, now: Duration) -> Option<String> {
        let inner = self.inner();
        let alive_at = inner.alive_at?;
        if now.saturating_sub(alive_at) > STALLED_AFTER {
            return Some(format!("the feed made no progress for {} s", (now - alive_at).as_secs()));
        }
        let stuck: Vec<_> =
            inner.fine_until.iter().filter(|(_, until)| now.saturating_sub(*until) > STALLED_AFTER).collect();
        let (shard, until) = stuck.iter().min_by_key(|(_, until)| *until)?;
        let others = match stuck.len() {
            1 => String::new(),
            n => format!(" (and {} others)", n - 1),
        };
        Some(format!("shard {shard}{others} had no successful poll for {} s", (now - *until).as_secs()))
    }

    /// `alive_at`: now, when the feed runs.
    pub(super) fn publish(
        &self,
        snapshot: FeedSnapshot,
        fine_until: Vec<(String, Duration)>,
        alive_at: Option<Duration>,
    ) {
        *self.inner() = Inner { snapshot, fine_until, alive_at };
    }

    /// The feed has ended.
    pub(super) fn retire(&self) {
        let mut inner = self.inner();
        inner.alive_at = None;
        inner.fine_until.clear();
        inner.snapshot.positioned = false;
    }

    /// Nothing that holds the lock can leave it half written, so a poisoned one is as good.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_stalled_after_a_minute_without_a_poll() {
        let at = Duration::from_secs;
        let view = FeedView::new();
        assert_eq!(view.stalled(at(1_000)), None);
        view.publish(
            FeedSnapshot::default(),
            vec![("a".to_owned(), at(40)), ("b".to_owned(), at(90))],
            Some(at(100)),
        );
        assert_eq!(view.stalled(at(100)), None);
        assert_eq!(view.stalled(at(101)).unwrap(), "shard a had no successful poll for 61 s");
        assert_eq!(view.stalled(at(155)).unwrap(), "shard a (and 1 others) had no successful poll for 115 s");
        assert_eq!(view.stalled(at(161)).unwrap(), "the feed made no progress for 61 s");
        view.retire();
        assert_eq!(view.stalled(at(500)), None);
    }
}

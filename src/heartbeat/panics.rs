//! Panics of the program's tasks. A task that panics again and again looks alive: it is begun anew each
//! time. `/healthz` tells of it, so that the container is restarted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// So many within [`WITHIN`] are no accident.
const TOO_MANY: usize = 3;

const WITHIN: Duration = Duration::from_secs(5 * 60);

/// When each task panicked last, by the monotonic clock. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Panics(Arc<Mutex<BTreeMap<&'static str, Vec<Duration>>>>);

impl Panics {
    /// The task of this name has panicked.
    pub(super) fn note(&self, task: &'static str, now: Duration) {
        let mut panics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = panics.entry(task).or_default();
        times.retain(|time| now.saturating_sub(*time) <= WITHIN);
        times.push(now);
    }

    /// The tasks that panicked too often within the last minutes, and how often.
    pub(super) fn too_many(&self, now: Duration) -> Vec<(&'static str, usize)> {
        let panics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent =
            |times: &[Duration]| times.iter().filter(|time| now.saturating_sub(**time) <= WITHIN).count();
        let counted = panics.iter().map(|(task, times)| (*task, recent(times)));
        counted.filter(|(_, times)| *times >= TOO_MANY).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_panics_of_one_task_within_five_minutes_are_too_many() {
        let panics = Panics::default();
        let secs = Duration::from_secs;
        panics.note("sweeps", secs(0));
        panics.note("feed", secs(10));
        panics.note("sweeps", secs(100));
        assert_eq!(panics.too_many(secs(100)), []);
        panics.note("sweeps", secs(301));
        assert_eq!(panics.too_many(secs(301)), [], "the first is longer ago");
        panics.note("sweeps", secs(400));
        assert_eq!(panics.too_many(secs(400)), [("sweeps", 3)]);
        assert_eq!(panics.too_many(secs(401)), []);
    }
}

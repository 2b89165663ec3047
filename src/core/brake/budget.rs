//! How many deletions were granted within the window, in bounded space.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::time::Timestamp;
use super::BrakeSettings;

/// The window is told apart into so many parts. A deletion counts until the window after the *end* of
/// its part is over, so up to a sixtieth longer than the window, never shorter.
const PARTS: u32 = 60;

/// Granted deletions that count against the budget: end of a part, and how many in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent(pub(super) BTreeMap<Timestamp, u32>);

impl Spent {
    /// Counts one deletion.
    pub(super) fn add(&mut self, now: Timestamp, window: Duration) {
        let part = u64::try_from((window / PARTS).as_millis()).unwrap_or(u64::MAX).max(1);
        let end = Timestamp::from_millis(now.as_millis().div_ceil(part).saturating_mul(part));
        let count = self.0.entry(end).or_default();
        *count = count.saturating_add(1);
    }

    /// Forgets what lies outside of the window. A time in the future, by a clock that was wrong,
    /// counts until it has come and the window after it has passed.
    pub(super) fn forget_before(&mut self, now: Timestamp, window: Duration) {
        self.0.retain(|end, _| now.since(*end) < window);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.values().copied().map(u64::from).sum()
    }

    /// Whether so many deletions, those granted included, are too many where so many users are left.
    pub(super) fn exceeded_by(&self, total: u64, left: u32, settings: BrakeSettings) -> bool {
        let users = u64::from(left) + self.count();
        let too_many = total > u64::from(settings.max_count);
        let too_large_a_part = total.saturating_mul(100) > users.saturating_mul(settings.max_percent.into());
        too_many && too_large_a_part
    }
}

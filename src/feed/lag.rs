//! How far behind the feed is, told truthfully. Pure.
//!
//! The lag is the largest of these, over all shards that are not finished:
//!
//! - A change was handed over and is not settled: now − its creation time.
//! - The shard is not known to be caught up (it was never read by this process, its last pages had
//!   records, or it is closed and not read to its end): now − the time until which everything of it
//!   is known to be read. That is an upper bound of the age of what is still unread.
//! - It was caught up, but polls fail, hang or are late: now − the last poll that succeeded. Until the next
//!   poll is due, nothing is late, also with a long `stream.idle_interval`.
//!
//! It is 0 when every open shard is caught up and polled, however long ago the last change was.

use std::time::Duration;

use crate::core::time::Timestamp;

/// What one shard contributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShardLag {
    /// Creation time of its oldest unsettled change.
    pub(super) oldest_unsettled: Option<Timestamp>,
    /// Not known to be caught up: everything created before this was read.
    pub(super) unread_since: Option<Timestamp>,
    /// How long ago a poll last succeeded, and whether polls have failed since or are late; `None` when
    /// it need not be polled now.
    pub(super) last_success: Option<(Duration, bool)>,
}

impl ShardLag {
    /// This shard's lag.
    pub(super) fn at(&self, now: Timestamp) -> Duration {
        let unsettled = self.oldest_unsettled.map(|created| now.since(created));
        let unread = self.unread_since.map(|until| now.since(until));
        let stuck = self.last_success.filter(|(_, late)| *late).map(|(ago, _)| ago);
        [unsettled, unread, stuck].into_iter().flatten().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag() {
        let now = Timestamp::from_secs(1_000);
        let ago = |secs: i64| Some(Timestamp::from_secs(1_000 - secs));
        let poll = |secs: u64, late: bool| Some((Duration::from_secs(secs), late));
        //   oldest unsettled, unread since, last successful poll → seconds
        for (oldest_unsettled, unread_since, last_success, expected) in [
            (None, None, None, 0),
            (None, None, poll(1, false), 0),
            (None, None, poll(5, false), 0),
            (None, None, poll(60, false), 0),
            (None, None, poll(6, true), 6),
            (None, None, poll(2, true), 2),
            (None, None, poll(90, true), 90),
            (ago(7), None, poll(1, false), 7),
            (ago(7), ago(3), poll(9, true), 9),
            (ago(2), ago(3_600), poll(0, false), 1_000),
            (ago(-5), None, poll(0, false), 0),
        ] {
            let shard = ShardLag { oldest_unsettled, unread_since, last_success };
            assert_eq!(shard.at(now), Duration::from_secs(expected), "{shard:?}");
        }
    }
}

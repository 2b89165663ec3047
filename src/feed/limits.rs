//! Every bound of the feed, with its reason.

use std::time::Duration;

/// DynamoDB Streams keeps a record for 24 hours.
#[cfg(test)]
pub(super) const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// A shard of which nothing has been read yet is surely whole when it was looked at within this time.
/// Less than the retention, because the last look may have missed what was written a little before.
pub(super) const LOOKED_AT_IN_TIME: Duration = Duration::from_secs(24 * 3600 - 600);

/// How long the checkpoint of a finished shard is kept. Twice the retention: by then no child of it
/// can appear whose records are still to be had.
pub(super) const KEEP_FINISHED: Duration = Duration::from_secs(48 * 3600);

/// GetRecords calls under way at once. At 20 ms a call this polls 1,600 shards a second.
pub(super) const CONCURRENT_POLLS: usize = 32;

/// State writes under way at once.
pub(super) const CONCURRENT_WRITES: usize = 8;

/// A shard with this many unsettled changes is not polled. A page adds at most 1,000 more.
///
/// More than a burst of 10,000, so that such a burst lies in the queue as a whole and each user of
/// it is looked at once.
pub(super) const UNSETTLED_PER_SHARD: usize = 10_000;

/// With this many unsettled changes, no shard is polled: about 20 MB at most, pages under way included.
pub(super) const UNSETTLED_IN_TOTAL: usize = 30_000;

/// AWS allows 5 GetRecords a second and shard. 220 ms apart they stay below it in any window of a
/// second, also when the network brings two of them a little closer together.
pub(super) const POLL_SPACING: Duration = Duration::from_millis(220);

/// How long after a change a shard is still polled at `poll_interval`. Ten seconds cost an idle hour
/// 30 calls, and whoever changes one row often changes the next one soon.
pub(super) const HOLD: Duration = Duration::from_secs(10);

/// An idle poll is due this much before `idle_interval` is over, so that a change is seen within it,
/// the call included.
pub(super) const IDLE_LEAD: Duration = Duration::from_millis(10);

/// A page at least this full means that more is waiting.
pub(super) const FULL_PAGE: usize = 500;

/// An empty page does not prove that an open shard has nothing more; this many in a row are taken
/// for it. About a second, while records come.
pub(super) const EMPTY_PAGES_WHEN_CAUGHT_UP: u32 = 4;

/// The shards are listed, and the table is asked for its current stream, this often.
pub(super) const DISCOVERY_INTERVAL: Duration = Duration::from_secs(60);

/// So soon after a shard has come into sight, or has ended and has no child in sight, the shards are
/// listed once more: a split makes two, which need not become visible at once.
pub(super) const LATE_SIBLINGS: Duration = Duration::from_secs(3);

/// A stream that was replaced is listed once more so long after, before it is taken for read to its end:
/// the shards that it made last need not have been visible at once.
pub(super) const LATE_SHARDS: Duration = Duration::from_secs(10);

/// While a stream is awaited (none yet, or ENABLING), it is asked about this often.
pub(super) const AWAIT_STREAM: Duration = Duration::from_secs(1);

/// After this many such questions they are asked ten times as rarely.
pub(super) const AWAIT_STREAM_EAGERLY: u32 = 60;

/// AWS allows 10 DescribeStream calls a second for the account; the feed makes at most 8.
pub(super) const DESCRIBE_SPACING: Duration = Duration::from_millis(125);

/// A standby looks at the stream for the first time this long after it began to stand by: whoever
/// finds the lease free leads before that. From then on every [`DISCOVERY_INTERVAL`].
pub(super) const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Between two pages of a standby's look, which is in no hurry: two of them and a leader's 8 a second
/// stay within the account's 10.
pub(super) const LOOK_SPACING: Duration = Duration::from_secs(1);

/// A standby keeps no list of more pages than this: 1,500 shards, which a table has that writes a
/// hundred thousand items a second.
pub(super) const LOOK_PAGES: u32 = 15;

/// What a standby has seen is good for this long: until the next look is over, which begins an interval
/// after this one ended, when both take as long as they may.
pub(super) const OUTLOOK_LIFE: Duration = Duration::from_secs(90);

/// With more ended shards than this to ask about, one listing answers for all of them.
pub(super) const CHILD_QUESTIONS: usize = 3;

/// A listing has 100 shards a page; a longer one than this is endless.
pub(super) const LISTING_PAGES: u32 = 500;

/// Failures of one page in a row after which the listing begins anew; its token may have gone bad.
pub(super) const PAGE_FAILURES: u32 = 5;

/// A checkpoint is written at most this often.
pub(super) const WRITE_SPACING: Duration = Duration::from_secs(1);

/// How often the checkpoint of a shard without changes is written, so that it tells until when
/// nothing was missed.
pub(super) const WRITE_IDLE: Duration = Duration::from_secs(600);

/// Longer than any call of an adapter with all its retries; after this the call counts as failed.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(20);

/// How long [`Feed::open`](super::Feed::open) waits for the stream. After that the first sweep may
/// begin, and positions opened later are followed by another (`opened_late`). For as long, what reads
/// ahead of its first listing gives nothing up without it.
pub(super) const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// How long the last checkpoints may take to be written at the end.
pub(super) const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// How often the lag and the status page are brought up to date.
pub(super) const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

/// An open shard without a successful poll for this long is stalled.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(60);

/// A poll that is this late, or takes this long, counts into the lag even if it did not fail.
pub(super) const LATE_POLL: Duration = Duration::from_secs(5);

/// Answers in a row that a shard is not there (or not from its very beginning), after which it is
/// given up. More than one, because a shard that is new may be unknown to some of AWS's servers.
pub(super) const DENIALS: u32 = 3;

/// A newer stream is not read before the older one is drained, unless that has brought nothing for
/// this long: an endpoint that never ends its shards must not hold up the present.
pub(super) const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// A stream that was replaced, and whose open shards have brought only empty pages for this long,
/// is drained.
pub(super) const DRAINED_WHEN_QUIET: Duration = Duration::from_secs(600);

/// First and longest wait after failures in a row.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

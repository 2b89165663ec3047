//! The feed: follows the table's stream and hands over every change, in order, at least once.
//!
//! It keeps a checkpoint for each shard in the state table. A checkpoint passes a change only when
//! whoever took it has settled its [`Ticket`]. What cannot be handed over any more is a [`Gap`]:
//! counted, logged, and handed to the caller, whose remedy is a sweep. The feed knows neither IAM
//! nor users, and decides nothing about them: a change only says "look at this name again".
//!
//! Called by `app`: [`Feed::open`] before the first sweep, then [`Feed::run`].
//!
//! # Order
//!
//! Within a shard, changes are handed over in its order. A shard is read only when its parent has
//! been read to its end, so for one key a parent's changes are handed over before a child's. A
//! child does *not* wait until its parent's changes are settled: the parent's own checkpoint stays
//! before those, and the queue of each user keeps the order from there. After a restart the parent
//! is unfinished and is read to its end again before its child goes on from the child's own
//! checkpoint; so is a grandparent, even if the parent between them is finished. So nothing unsettled
//! is ever passed, but changes that were settled out of order may come again, later than newer ones
//! of the same key. Whoever takes them must allow for that: a change carries its time, and a replayed
//! removal concerns only what is older than it.
//!
//! # Standing by
//!
//! The shard graph is kept warm in two places. Where reading stands is in the checkpoints, which are
//! read at the taking-over and at no other time. Which stream and which shards there are, a standby
//! sees by itself once a minute ([`Lookout`]): it costs as many calls as the leader's listing, and
//! writes nothing. With both, reading begins at once, and the leader's own listing comes meanwhile.
//! Until it is there nothing is given up for lost, for half a minute at most: what an
//! [`Outlook`] shows may have changed. One that is older than a listing of the leader can be, or that
//! is not of the stream of the checkpoints, is not used; then the shards are listed first, as after a
//! first start.
//!
//! # Layout
//!
//! Pure: `shard_graph` (which shards exist and which may be read), `low_water` (how far a
//! checkpoint may go), `checkpoint` (what is stored), `lag`, `pace`, `listing`, `succession`
//! (one stream after another), `outlook` (what a standby has seen). The rest is one task, [`Feed`],
//! that starts calls when they are due and applies their answers, one at a time: no lock, no second
//! task.

mod answer;
mod checkpoint;
mod discovery;
mod follower;
mod gap;
mod lag;
mod limits;
mod listing;
mod lookout;
mod low_water;
mod metrics;
mod outlook;
mod pace;
mod reader;
mod service;
mod shard_graph;
mod succession;
mod ticket;
mod view;
mod writer;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use gap::{Gap, GapCause};
pub use lookout::Lookout;
pub use metrics::FeedMetrics;
pub use outlook::Outlook;
pub use service::{Feed, FeedError, FeedSettings};
pub use ticket::Ticket;
pub use view::{FeedSnapshot, FeedView, ShardSnapshot, ShardState};

use crate::core::time::Timestamp;
use crate::ports::{ChangeKind, SequenceNumber};

/// One record of the stream, to be looked after.
#[derive(Debug)]
pub struct Change {
    /// The item's `UserName`, valid or not.
    pub name: String,
    /// What happened to the item.
    pub kind: ChangeKind,
    /// When, rounded down to the second.
    pub created: Timestamp,
    /// Its place in its shard.
    pub sequence: SequenceNumber,
    /// To be settled when the change is fully handled.
    pub ticket: Ticket,
}

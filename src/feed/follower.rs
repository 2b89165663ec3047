//! One stream that is being followed: its shards, and when each is to be called about again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::checkpoint::{ShardCheckpoint, StreamCheckpoint};
use super::limits::{LATE_POLL, LATE_SHARDS, UNSETTLED_PER_SHARD};
use super::listing::Listing;
use super::pace::Pace;
use super::service::FeedSettings;
use super::shard_graph::{Shard, ShardGraph};
use super::ticket::{Home, Settled};
use crate::core::time::Timestamp;
use crate::ports::{ShardId, ShardIterator, StreamStatus};

/// A stream and everything that is known about following it.
pub(super) struct Follower {
    /// Names this follower in answers and tickets; never used twice.
    pub(super) serial: u64,
    pub(super) arn: String,
    /// `TableId` at the time; empty when not told.
    pub(super) table_id: String,
    /// Whether it is the table's current stream, and not one before it.
    pub(super) current: bool,
    /// Since when this process knows that it is not.
    replaced: Option<Duration>,
    /// It was replaced, and was listed so late after that no shard of it was out of sight.
    pub(super) complete: bool,
    pub(super) status: Option<StreamStatus>,
    pub(super) graph: ShardGraph,
    pub(super) lanes: BTreeMap<ShardId, Lane>,
    /// Shards whose checkpoint may have to be written.
    pub(super) dirty: BTreeSet<ShardId>,
    pub(super) discovery: Discovery,
    pub(super) record: StreamRecord,
    /// Whether this process has stored, or found stored, a position in every shard.
    pub(super) positioned: bool,
    /// Before this, nothing is given up without a listing of this process.
    pub(super) gives_up_from: Duration,
    /// An older stream comes first.
    pub(super) held: bool,
    /// When a shard last brought a record, by the monotonic clock.
    pub(super) last_record: Duration,
}

/// When to look for shards.
pub(super) struct Discovery {
    pub(super) listing: Listing,
    pub(super) due: Duration,
    pub(super) running: bool,
    /// When the listing under way was begun.
    pub(super) began: Duration,
    /// A listing has been completed by this process.
    pub(super) completed: bool,
    /// Shards have come into sight since it was last settled when to list.
    pub(super) news: bool,
    /// A question about children is under way.
    pub(super) asking: bool,
    /// Whether the endpoint knows the filter CHILD_SHARDS.
    pub(super) filter: bool,
    /// How often in a row the stream was said to be gone.
    pub(super) gone: u32,
}

/// The stream's own record in the state table.
pub(super) struct StreamRecord {
    pub(super) saved: Option<StreamCheckpoint>,
    pub(super) writing: bool,
    pub(super) due: Duration,
    pub(super) failures: u32,
}

/// One shard's calls. What the shard is, the graph knows.
pub(super) struct Lane {
    pub(super) home: Arc<Home>,
    pub(super) pace: Pace,
    pub(super) iterator: Option<ShardIterator>,
    /// When it is to be polled.
    pub(super) due: Duration,
    /// A poll is under way.
    pub(super) polling: bool,
    pub(super) failures: u32,
    /// Whether those count into the lag.
    pub(super) failing: bool,
    /// How often in a row the shard was said not to be there.
    pub(super) denials: u32,
    /// When a poll last succeeded, or the shard last was not to be polled.
    pub(super) fine_until: Duration,
    /// Whether every poll that failed since the last success was refused for load.
    pub(super) only_throttled: bool,
    /// When that last happened.
    pub(super) throttled_at: Duration,
    /// When its checkpoint may be written.
    pub(super) write_due: Duration,
    pub(super) writing: bool,
    pub(super) write_failures: u32,
    /// When its children are to be asked for, once it has ended.
    pub(super) ask_due: Duration,
    pub(super) asks: u32,
}

impl Follower {
    pub(super) fn new(
        serial: u64,
        arn: String,
        checkpoints: Vec<ShardCheckpoint>,
        record: Option<StreamCheckpoint>,
        now: Duration,
    ) -> Self {
        let listed = record.as_ref().is_some_and(|record| record.listed);
        Self {
            serial,
            table_id: record.as_ref().map(|record| record.table_id.clone()).unwrap_or_default(),
            current: false,
            replaced: None,
            complete: false,
            status: None,
            graph: ShardGraph::restore(&arn, checkpoints, listed),
            arn,
            lanes: BTreeMap::new(),
            dirty: BTreeSet::new(),
            discovery: Discovery {
                listing: Listing::default(),
                due: now,
                running: false,
                began: now,
                completed: false,
                news: false,
                asking: false,
                filter: true,
                gone: 0,
            },
            record: StreamRecord { saved: record, writing: false, due: now, failures: 0 },
            positioned: false,
            gives_up_from: now,
            held: false,
            last_record: now,
        }
    }

    /// It is the table's current stream.
    pub(super) fn take_over(&mut self) {
        self.current = true;
        self.replaced = None;
    }

    /// It is not the table's current stream, or not any more. No new shards are made, but the last ones
    /// may not be visible yet.
    pub(super) fn replace(&mut self, now: Duration) {
        self.current = false;
        self.graph.set_closed(true);
        self.replaced.get_or_insert(now);
        self.list_late();
    }

    /// All shards of it that can be seen have been listed; the next listing is due then at the latest.
    pub(super) fn listed(&mut self, next: Duration) {
        self.discovery.completed = true;
        self.discovery.due = next;
        self.complete |= self.replaced.is_some_and(|at| self.discovery.began >= at + LATE_SHARDS);
        self.list_late();
    }

    fn list_late(&mut self) {
        if let Some(at) = self.replaced.filter(|_| !self.complete) {
            self.discovery.due = self.discovery.due.min(at + LATE_SHARDS);
        }
    }

    /// Gives each shard of the graph its lane.
    pub(super) fn complete_lanes(
        &mut self,
        settings: &FeedSettings,
        settled: &mpsc::UnboundedSender<Settled>,
        now: Duration,
    ) {
        for (id, shard) in self.graph.shards() {
            if !self.lanes.contains_key(id) {
                let home = Home { stream: self.serial, shard: id.clone(), settled: settled.clone() };
                self.lanes.insert(id.clone(), Lane::new(home, settings, now));
                self.discovery.news = true;
            }
            if !shard.is_saved() {
                self.dirty.insert(id.clone());
            }
        }
    }

    /// The stream's record as it should be.
    pub(super) fn wanted_record(&self, now: Timestamp) -> StreamCheckpoint {
        StreamCheckpoint {
            stream: self.arn.clone(),
            table_id: self.table_id.clone(),
            listed: self.wants_listed(),
            updated: now,
        }
    }

    /// Once true, a shard without a known parent is a gap: so not before all of the first are stored.
    fn wants_listed(&self) -> bool {
        self.record.saved.as_ref().is_some_and(|saved| saved.listed)
            || (self.graph.listed_once() && self.graph.shards().all(|(_, shard)| shard.is_saved()))
    }

    /// Whether the stored record says what it should.
    pub(super) fn record_is_saved(&self) -> bool {
        self.record
            .saved
            .as_ref()
            .is_some_and(|saved| saved.table_id == self.table_id && saved.listed == self.wants_listed())
    }

    /// Takes note when, after a complete listing, a position is stored in every shard.
    pub(super) fn note_position(&mut self) {
        self.positioned = self.positioned
            || (self.discovery.completed
                && self.record.saved.as_ref().is_some_and(|saved| saved.listed)
                && self.graph.shards().all(|(_, shard)| shard.is_saved()));
    }

    /// Whether what is said to be missing may be given up.
    pub(super) fn may_give_up(&self, now: Duration) -> bool {
        self.discovery.completed || now >= self.gives_up_from
    }

    /// Whether a shard may be polled, once it is due and no older stream comes first.
    pub(super) fn may_poll(&self, id: &ShardId) -> bool {
        self.graph.may_read(id)
            && self.graph.shard(id).is_some_and(|shard| shard.mark().outstanding() < UNSETTLED_PER_SHARD)
    }

    /// Whether nothing is left to be read of it.
    pub(super) fn read_out(&self) -> bool {
        self.graph.listed_once() && self.graph.shards().all(|(_, shard)| Shard::ended(shard))
    }
}

impl Lane {
    /// Whether the next poll failed, or did not come when it was due, so that nothing is known.
    pub(super) fn is_late(&self, now: Duration) -> bool {
        self.failing || now.saturating_sub(self.due.max(self.fine_until)) > LATE_POLL
    }

    /// Until when nothing was wrong that a restart could mend: it is not due yet, or is refused for load.
    pub(super) fn sound_until(&self) -> Duration {
        let due = if self.failing { Duration::ZERO } else { self.due };
        self.fine_until.max(self.throttled_at).max(due)
    }

    fn new(home: Home, settings: &FeedSettings, now: Duration) -> Self {
        Self {
            home: Arc::new(home),
            pace: Pace::new(settings.poll_interval, settings.idle_interval, now),
            iterator: None,
            due: now,
            polling: false,
            failures: 0,
            failing: false,
            denials: 0,
            fine_until: now,
            only_throttled: false,
            throttled_at: now,
            write_due: now,
            writing: false,
            write_failures: 0,
            ask_due: now,
            asks: 0,
        }
    }
}

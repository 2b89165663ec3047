//! The feed's one task: starts the calls that are due, and applies their answers one at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Change;
use super::answer::{Answer, Call};
use super::checkpoint::{Checkpoint, PREFIX, ShardCheckpoint, StreamCheckpoint};
use super::follower::{Follower, Lane};
use super::gap::{Gap, GapCause};
use super::lag::ShardLag;
use super::limits::{FLUSH_LIMIT, OPEN_LIMIT, PUBLISH_INTERVAL};
use super::metrics::FeedMetrics;
use super::outlook::Outlook;
use super::shard_graph::{Finding, Shard};
use super::ticket::Settled;
use super::view::{FeedSnapshot, FeedView, ShardSnapshot, ShardState};
use crate::core::time::Timestamp;
use crate::ports::{Clock, Ports, Record, ShardId};

/// What an operator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedSettings {
    /// How often a shard is polled while changes come.
    pub poll_interval: Duration,
    /// How often it is polled when none have come for a while.
    pub idle_interval: Duration,
}

/// Why the feed ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Another leader writes the checkpoints now.
    #[error("another replica has taken over the stream")]
    Fenced,
    /// Nobody takes changes or gaps any more.
    #[error("nobody takes the changes of the stream any more")]
    Abandoned,
}

/// How many gaps may wait to be taken. Their remedy is one sweep, so more of them say nothing more.
const GAPS_WAITING: usize = 64;

/// Follows the table's stream. See the [module](super).
pub struct Feed<P: Ports> {
    pub(super) ports: P,
    pub(super) settings: FeedSettings,
    pub(super) token: u64,
    pub(super) metrics: FeedMetrics,
    pub(super) view: FeedView,
    changes: mpsc::Sender<Change>,
    gaps: mpsc::Sender<Gap>,
    /// Changes that were read and wait to be taken.
    pub(super) outbox: VecDeque<Change>,
    gap_outbox: VecDeque<Gap>,
    pub(super) settled_sender: mpsc::UnboundedSender<Settled>,
    settled: mpsc::UnboundedReceiver<Settled>,
    pub(super) table: TableWatch,
    /// Stored checkpoints by stream, until the table is known and tells which of them are its own.
    pub(super) restored: BTreeMap<String, Restored>,
    /// Oldest first; the current one, when there is one, is the last.
    pub(super) followers: Vec<Follower>,
    pub(super) next_serial: u64,
    /// Records that are to be deleted, in this order.
    pub(super) deletions: VecDeque<String>,
    pub(super) deleting: Deleting,
    /// The earliest moment for another DescribeStream.
    pub(super) describe_free_at: Duration,
    /// [`Feed::open`] returned without a position: the first sweep may have come before it.
    late: bool,
    /// [`Feed::run`] has begun.
    running: bool,
    publish_due: Duration,
    pub(super) reads: FuturesUnordered<Call>,
    pub(super) polls_running: usize,
    pub(super) agenda: Agenda,
    pub(super) writes: FuturesUnordered<Call>,
}

/// Checkpoints as they were stored.
#[derive(Default)]
pub(super) struct Restored {
    pub(super) stream: Option<StreamCheckpoint>,
    pub(super) shards: Vec<ShardCheckpoint>,
}

/// What is known of the table, and when to ask again.
#[derive(Default)]
pub(super) struct TableWatch {
    pub(super) due: Duration,
    pub(super) running: bool,
    pub(super) failures: u32,
    /// Whether it has ever answered.
    pub(super) described: bool,
    /// Whether the current stream records changes.
    pub(super) enabled: bool,
    /// How often in a row it had no stream.
    pub(super) awaited: u32,
    /// The gap of a disabled stream has been told.
    pub(super) disabled_told: bool,
    /// That the table is missing has been logged.
    pub(super) missing_told: bool,
}

/// Which shards are to be polled next.
#[derive(Default)]
pub(super) struct Agenda {
    /// When, which stream, which shard. What is here may have changed since, and is checked again.
    pub(super) polls: BTreeSet<(Duration, u64, ShardId)>,
    /// When it is made anew from all shards.
    pub(super) renew_due: Duration,
    /// Unsettled changes: as of then, and those read since.
    pub(super) unsettled: usize,
}

/// The one deletion of a record that may be under way.
#[derive(Default)]
pub(super) struct Deleting {
    pub(super) running: bool,
    pub(super) due: Duration,
    pub(super) failures: u32,
}

/// What may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Everything but polls.
    Opening,
    /// Everything.
    Following,
    /// Only writes.
    Draining,
}

/// What a turn waits for.
enum Event {
    Answer(Answer),
    Settled(Settled),
    /// There is room for what waits to be taken; `false` when nobody takes it any more.
    Room(bool),
    Time,
}

impl<P: Ports> Feed<P> {
    /// Opens a position in every shard of the table's stream, and stores it.
    ///
    /// `records` are those of the state table; the ones of the feed go on where they stand, and
    /// shards that have none begin at TRIM_HORIZON. Reads no changes yet. Call it before the first
    /// sweep: what changes after it is in the stream, what changed before is in the table.
    ///
    /// With an `outlook` that fits the records, their positions are those of every shard, and it
    /// returns at once.
    ///
    /// Returns within half a minute. When the stream could not be opened by then, [`run`](Self::run)
    /// goes on trying, and a gap (`opened_late`) asks for another sweep once it is.
    ///
    /// # Errors
    /// [`FeedError::Fenced`] only.
    // Everything is passed once, by the composition root.
    #[allow(clippy::too_many_arguments)]
    pub async fn open(
        ports: P,
        settings: FeedSettings,
        records: &[Record],
        outlook: Option<Outlook>,
        token: u64,
        metrics: FeedMetrics,
        view: FeedView,
        changes: mpsc::Sender<Change>,
        gaps: mpsc::Sender<Gap>,
    ) -> Result<Self, FeedError> {
        let now = ports.clock().monotonic();
        let (settled_sender, settled) = mpsc::unbounded_channel();
        let mut feed = Self {
            ports,
            settings,
            token,
            metrics,
            view,
            changes,
            gaps,
            outbox: VecDeque::new(),
            gap_outbox: VecDeque::new(),
            settled_sender,
            settled,
            table: TableWatch { due: now, ..TableWatch::default() },
            restored: BTreeMap::new(),
            followers: Vec::new(),
            next_serial: 0,
            deletions: VecDeque::new(),
            deleting: Deleting::default(),
            describe_free_at: now,
            late: false,
            running: false,
            publish_due: now,
            reads: FuturesUnordered::new(),
            polls_running: 0,
            agenda: Agenda { renew_due: now, ..Agenda::default() },
            writes: FuturesUnordered::new(),
        };
        feed.restore(records);
        if let Some(outlook) = outlook {
            feed.read_ahead(&outlook);
        }
        while !feed.settled_on_a_position() {
            if feed.monotonic().saturating_sub(now) >= OPEN_LIMIT {
                break;
            }
            feed.turn(Phase::Opening).await?;
        }
        feed.late = !feed.positioned();
        if feed.late {
            tracing::warn!("the table's stream could not be opened yet; going on without, and trying again");
        }
        feed.publish(feed.monotonic());
        Ok(feed)
    }

    /// Follows the stream until `stop` is cancelled. Then nothing more is read or handed over, but
    /// settlements are taken until `drained` is cancelled; the last checkpoints are written, and it
    /// returns.
    ///
    /// # Errors
    /// [`FeedError::Fenced`] as soon as a write shows that another replica is the leader;
    /// [`FeedError::Abandoned`] when the receivers are gone.
    pub async fn run(mut self, stop: CancellationToken, drained: CancellationToken) -> Result<(), FeedError> {
        let now = self.monotonic();
        self.running = true;
        // Nothing was polled since it was opened, and nothing was to be.
        for lane in self.followers.iter_mut().flat_map(|follower| follower.lanes.values_mut()) {
            lane.fine_until = now;
        }
        self.follow(&stop, &drained).await
    }

    async fn follow(
        &mut self,
        stop: &CancellationToken,
        drained: &CancellationToken,
    ) -> Result<(), FeedError> {
        self.until(stop, Phase::Following).await?;
        // Calls under way may bring changes that nobody would take; unread, they come again.
        self.reads.clear();
        self.outbox.clear();
        self.until(drained, Phase::Draining).await?;
        self.flush().await
    }

    async fn until(&mut self, end: &CancellationToken, phase: Phase) -> Result<(), FeedError> {
        loop {
            tokio::select! {
                biased;
                () = end.cancelled() => return Ok(()),
                turn = self.turn(phase) => turn?,
            }
        }
    }

    /// Writes what is settled and not yet stored, for as long as that may take.
    async fn flush(&mut self) -> Result<(), FeedError> {
        while let Ok(settled) = self.settled.try_recv() {
            self.settle(&settled);
        }
        let deadline = self.monotonic() + FLUSH_LIMIT;
        loop {
            let now = self.monotonic();
            self.start_writes(now, true);
            if self.writes.is_empty() && self.nothing_to_write() {
                return Ok(());
            }
            if now >= deadline {
                tracing::warn!("some checkpoints could not be written; their changes will come again");
                return Ok(());
            }
            let wait = (deadline - now).min(Duration::from_millis(50));
            tokio::select! {
                biased;
                Some(answer) = self.writes.next(), if !self.writes.is_empty() => self.apply(answer)?,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Starts what is due, then waits for one thing to happen. May be dropped at any await.
    async fn turn(&mut self, phase: Phase) -> Result<(), FeedError> {
        let now = self.monotonic();
        let wake = self.start_due(phase, now);
        let wait = wake.saturating_sub(now).max(Duration::from_millis(1));
        let event = tokio::select! {
            biased;
            Some(answer) = self.reads.next(), if !self.reads.is_empty() => Event::Answer(answer),
            Some(answer) = self.writes.next(), if !self.writes.is_empty() => Event::Answer(answer),
            Some(settled) = self.settled.recv() => Event::Settled(settled),
            room = self.changes.reserve(), if phase == Phase::Following && !self.outbox.is_empty() => {
                Event::Room(room.is_ok())
            }
            room = self.gaps.reserve(), if phase != Phase::Draining && !self.gap_outbox.is_empty() => {
                Event::Room(room.is_ok())
            }
            () = tokio::time::sleep(wait) => Event::Time,
        };
        match event {
            Event::Answer(answer) => self.apply(answer),
            Event::Settled(settled) => {
                self.settle(&settled);
                while let Ok(settled) = self.settled.try_recv() {
                    self.settle(&settled);
                }
                Ok(())
            }
            Event::Room(true) => self.hand_over(phase),
            Event::Room(false) => Err(FeedError::Abandoned),
            Event::Time => Ok(()),
        }
    }

    /// Hands over as much as there is room for, the oldest first.
    fn hand_over(&mut self, phase: Phase) -> Result<(), FeedError> {
        let kept = give(&mut self.gap_outbox, &self.gaps, |_| {});
        if phase == Phase::Following {
            let metrics = &self.metrics;
            give(&mut self.outbox, &self.changes, |change| metrics.record(change.kind))?;
        }
        kept
    }

    /// Starts every call that is due. Returns when to look again, should nothing happen before.
    fn start_due(&mut self, phase: Phase, now: Duration) -> Duration {
        if now >= self.publish_due {
            self.tidy(now);
            self.publish(now);
        }
        let mut wake = self.publish_due;
        if phase != Phase::Draining {
            wake = wake.min(self.start_discovery(now));
        }
        if phase == Phase::Following {
            wake = wake.min(self.start_polls(now));
        }
        wake.min(self.start_writes(now, false))
    }

    fn apply(&mut self, answer: Answer) -> Result<(), FeedError> {
        match answer {
            Answer::Table(result) => self.apply_table(result),
            Answer::Page { stream, result } => {
                self.apply_page(stream, result);
                self.note_positions();
            }
            Answer::Children { stream, parent, result } => self.apply_children(stream, &parent, result),
            Answer::Polled { stream, shard, polled } => self.apply_polled(stream, &shard, polled),
            Answer::Saved { stream, checkpoint, result } => {
                let shard = match &checkpoint {
                    Checkpoint::Shard(at) => Some(at.shard.clone()),
                    Checkpoint::Stream(_) => None,
                };
                self.apply_saved(stream, checkpoint, result)?;
                self.note_positions();
                let index = self.followers.iter().position(|follower| follower.serial == stream);
                if let (Some(index), Some(shard)) = (index, shard) {
                    self.put_on_agenda(index, &shard);
                }
            }
            Answer::Deleted { id, result } => self.apply_deleted(id, result)?,
        }
        Ok(())
    }

    fn restore(&mut self, records: &[Record]) {
        for record in records.iter().filter(|record| record.id.starts_with(PREFIX)) {
            match Checkpoint::parse(record) {
                Ok(Checkpoint::Shard(at)) => {
                    self.restored.entry(at.stream.clone()).or_default().shards.push(at);
                }
                Ok(Checkpoint::Stream(at)) => {
                    let restored = self.restored.entry(at.stream.clone()).or_default();
                    restored.stream = Some(at);
                }
                Err(reason) => {
                    let detail = format!("the checkpoint {} cannot be read: {reason}", record.id);
                    self.gap(Finding { cause: GapCause::ForeignCheckpoint, from: None, detail });
                    self.deletions.push_back(record.id.clone());
                }
            }
        }
    }

    fn settle(&mut self, settled: &Settled) {
        let home = &settled.home;
        if let Some(follower) = self.followers.iter_mut().find(|follower| follower.serial == home.stream)
            && follower.graph.settle(&home.shard, settled.ordinal)
        {
            follower.dirty.insert(home.shard.clone());
        }
    }

    /// Takes note of positions that are all stored. If they came too late for the first sweep, asks
    /// for another.
    fn note_positions(&mut self) {
        for follower in self.followers.iter_mut().filter(|follower| !follower.positioned) {
            follower.note_position();
        }
        if self.late && self.positioned() {
            self.late = false;
            let detail = "positions were opened only after the first sweep could begin".to_owned();
            self.gap(Finding { cause: GapCause::OpenedLate, from: None, detail });
        }
    }

    /// Counts, logs and hands over what may have been missed.
    pub(super) fn gap(&mut self, finding: Finding) {
        let Finding { cause, from, detail } = finding;
        let to = self.ports.clock().now();
        let since = from.map_or_else(|| "an unknown time".to_owned(), |from| from.to_string());
        tracing::error!(
            cause = cause.as_str(),
            "changes between {since} and {to} may be missing from the stream, sweeping instead: {detail}"
        );
        self.metrics.gap(cause);
        if self.gap_outbox.len() < GAPS_WAITING {
            self.gap_outbox.push_back(Gap { cause, from, to, detail });
        }
    }

    pub(super) fn monotonic(&self) -> Duration {
        self.ports.clock().monotonic()
    }

    /// Whether opening need not go on: positions are stored, or there is no stream to open.
    fn settled_on_a_position(&self) -> bool {
        self.positioned() || (self.table.described && !self.followers.iter().any(|follower| follower.current))
    }

    pub(super) fn positioned(&self) -> bool {
        self.followers.last().is_some_and(|follower| follower.current && follower.positioned)
    }

    fn publish(&mut self, now: Duration) {
        self.publish_due = now + PUBLISH_INTERVAL;
        let wall = self.ports.clock().now();
        let mut shards = Vec::new();
        let mut fine_until = Vec::new();
        let (mut lag, mut open, mut unsettled) = (Duration::ZERO, 0, 0);
        for follower in &self.followers {
            for (id, shard) in follower.graph.shards().filter(|(_, shard)| !shard.finished()) {
                let Some(lane) = follower.lanes.get(id) else { continue };
                let state = state_of(follower, id, shard);
                let polled = matches!(state, ShardState::Reading | ShardState::CaughtUp);
                if polled {
                    fine_until.push((id.to_string(), lane.sound_until()));
                }
                lag = lag.max(lag_of(shard, lane, polled, now).at(wall));
                open += i64::from(!shard.ended());
                unsettled += shard.mark().outstanding();
                shards.push(snapshot_of(id, shard, state));
            }
        }
        self.metrics.lag.set(lag.as_secs_f64());
        self.metrics.open_shards.set(open);
        self.metrics.unsettled.set(i64::try_from(unsettled).unwrap_or(i64::MAX));
        let current = self.followers.last().filter(|follower| follower.current);
        let snapshot = FeedSnapshot {
            stream: current.map(|follower| follower.arn.clone()),
            enabled: current.is_some() && self.table.enabled,
            positioned: self.positioned(),
            lag_seconds: lag.as_secs_f64(),
            unsettled,
            shards,
        };
        self.view.publish(snapshot, fine_until, self.running.then_some(now));
    }
}

/// However the feed ends, also by being dropped in the middle: nothing of it is stuck any more, and
/// its state is another's to tell.
impl<P: Ports> Drop for Feed<P> {
    fn drop(&mut self) {
        self.view.retire();
        self.metrics.retire();
    }
}

/// Sends from the front of a queue while there is room.
fn give<T>(
    queue: &mut VecDeque<T>,
    to: &mpsc::Sender<T>,
    mut given: impl FnMut(&T),
) -> Result<(), FeedError> {
    while !queue.is_empty() {
        let permit = match to.try_reserve() {
            Ok(permit) => permit,
            Err(mpsc::error::TrySendError::Full(())) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(())) => return Err(FeedError::Abandoned),
        };
        if let Some(item) = queue.pop_front() {
            given(&item);
            permit.send(item);
        }
    }
    Ok(())
}

fn state_of(follower: &Follower, id: &ShardId, shard: &Shard) -> ShardState {
    if shard.ended() {
        ShardState::Settling
    } else if follower.held || !follower.graph.may_read(id) {
        ShardState::Waiting
    } else if !follower.may_poll(id) {
        ShardState::Full
    } else if shard.caught_up() {
        ShardState::CaughtUp
    } else {
        ShardState::Reading
    }
}

fn lag_of(shard: &Shard, lane: &Lane, polled: bool, now: Duration) -> ShardLag {
    ShardLag {
        oldest_unsettled: shard.mark().oldest(),
        unread_since: (!shard.caught_up()).then(|| shard.read_through()),
        last_success: polled.then(|| (now.saturating_sub(lane.fine_until), lane.is_late(now))),
    }
}

fn snapshot_of(id: &ShardId, shard: &Shard, state: ShardState) -> ShardSnapshot {
    ShardSnapshot {
        id: id.to_string(),
        position: shard.mark().low().map(ToString::to_string),
        state,
        unsettled: shard.mark().outstanding(),
        through: shard.through(),
    }
}

/// The time of a gap's beginning, when a whole stream is concerned.
pub(super) fn since(follower: Option<&Follower>) -> Option<Timestamp> {
    follower.and_then(|follower| follower.graph.through())
}

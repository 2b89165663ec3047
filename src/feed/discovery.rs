//! Finding streams and shards: when to ask, and what the answers mean.

use std::time::Duration;

use super::answer;
use super::checkpoint::{Checkpoint, PREFIX};
use super::follower::Follower;
use super::gap::GapCause;
use super::limits::{
    AWAIT_STREAM, AWAIT_STREAM_EAGERLY, BACKOFF, CHILD_QUESTIONS, DENIALS, DESCRIBE_SPACING,
    DISCOVERY_INTERVAL, DRAINED_WHEN_QUIET, LATE_SIBLINGS, OPEN_LIMIT,
};
use super::listing::Walk;
use super::outlook::Outlook;
use super::pace::backoff;
use super::service::{Feed, Restored, since};
use super::shard_graph::Finding;
use super::succession::{Followed, Origin, Succession, origin, succession};
use crate::ports::{
    CallError, Clock, Fault, Ports, ShardDescription, ShardId, ShardPage, StreamError, StreamStatus,
    TableDescription,
};

impl<P: Ports> Feed<P> {
    /// Starts the questions that are due. Returns when the next one is.
    pub(super) fn start_discovery(&mut self, now: Duration) -> Duration {
        let mut wake = Duration::MAX;
        if !self.table.running {
            if now >= self.table.due {
                self.table.running = true;
                self.reads.push(answer::table(self.ports.clone()));
            } else {
                wake = self.table.due;
            }
        }
        for follower in &mut self.followers {
            let asked = ask_for_children(follower, now, self.describe_free_at);
            let free_at = self.describe_free_at;
            let discovery = &mut follower.discovery;
            if let Some(due) = asked.next {
                wake = wake.min(due.max(free_at));
            }
            if let Some(parent) = asked.question {
                discovery.asking = true;
                self.describe_free_at = now + DESCRIBE_SPACING;
                let (serial, arn) = (follower.serial, follower.arn.clone());
                self.reads.push(answer::children(self.ports.clone(), serial, arn, parent));
            } else if !discovery.running {
                if now >= discovery.due.max(free_at) {
                    discovery.running = true;
                    self.describe_free_at = now + DESCRIBE_SPACING;
                    let after = discovery.listing.after().cloned();
                    if after.is_none() {
                        discovery.began = now;
                    }
                    let (serial, arn) = (follower.serial, follower.arn.clone());
                    self.reads.push(answer::page(self.ports.clone(), serial, arn, after));
                } else {
                    wake = wake.min(discovery.due.max(free_at));
                }
            }
        }
        wake
    }

    /// DescribeTable has answered.
    pub(super) fn apply_table(&mut self, result: Result<Option<TableDescription>, CallError>) {
        let now = self.monotonic();
        self.table.running = false;
        let table = match result {
            Ok(table) => table,
            Err(error) => {
                self.table.failures += 1;
                if self.table.failures == 1 {
                    tracing::warn!("the users table's stream is not known at present: {error}");
                }
                self.table.due = now + backoff(self.table.failures, self.ports.clock().random());
                return;
            }
        };
        self.table.failures = 0;
        self.table.described = true;
        let Some(table) = table else {
            if !self.table.missing_told {
                tracing::warn!("the users table does not exist; waiting for it and for its stream");
                self.table.missing_told = true;
            }
            self.table.due = now + self.await_stream();
            return;
        };
        self.table.missing_told = false;
        self.take_up_restored(&table);
        self.follow_current(&table);
        self.tell_disabled(&table);
        if self.table.enabled && self.followers.iter().any(|follower| follower.current) {
            self.table.awaited = 0;
            self.table.due = now + DISCOVERY_INTERVAL;
        } else {
            self.table.due = now + self.await_stream();
        }
    }

    /// How long to wait for a stream that is not there: it may come at once, or in a month.
    fn await_stream(&mut self) -> Duration {
        self.table.awaited = self.table.awaited.saturating_add(1);
        if self.table.awaited > AWAIT_STREAM_EAGERLY { AWAIT_STREAM * 10 } else { AWAIT_STREAM }
    }

    /// Sorts the stored checkpoints into streams of this table, and others, which are dropped.
    fn take_up_restored(&mut self, table: &TableDescription) {
        for (arn, restored) in std::mem::take(&mut self.restored) {
            let cause = match origin(&arn, table) {
                Origin::Ours => {
                    self.begin(arn, restored);
                    continue;
                }
                Origin::Foreign => GapCause::ForeignCheckpoint,
                Origin::Future => GapCause::FutureCheckpoint,
            };
            let from = restored.shards.iter().map(|shard| shard.through).min();
            let detail = format!("the checkpoints of {arn} do not belong to {} as it is now", table.arn);
            self.gap(Finding { cause, from, detail });
            self.discard(&arn, restored.shards.iter().map(|shard| shard.shard.clone()));
        }
        // Their ARNs end with the time of their beginning; only the last can be the current one.
        self.followers.sort_by(|a, b| a.arn.cmp(&b.arn));
        if let Some((last, older)) = self.followers.split_last_mut()
            && !older.iter().any(|follower| follower.current)
        {
            last.take_over();
        }
    }

    /// Follows the stream that the table has now.
    fn follow_current(&mut self, table: &TableDescription) {
        let now = self.monotonic();
        let followed = self.followers.last();
        let turn =
            succession(table, followed.map(|last| Followed { arn: &last.arn, table_id: &last.table_id }));
        let Some(stream) = table.stream.as_ref().filter(|_| turn != Succession::Same) else {
            if turn == Succession::None {
                // The old stream can still be read, but is nobody's current one.
                self.followers.iter_mut().for_each(|follower| follower.replace(now));
            } else if let Some((last, older)) = self.followers.split_last_mut() {
                older.iter_mut().for_each(|follower| follower.replace(now));
                last.take_over();
                if last.table_id.is_empty() {
                    last.table_id.clone_from(&table.id);
                }
            }
            return;
        };
        if let Succession::Next(cause) = turn {
            let detail = format!("the table's stream is now {}", stream.arn);
            let from = since(self.followers.last());
            self.gap(Finding { cause, from, detail });
        }
        self.followers.iter_mut().for_each(|follower| follower.replace(now));
        // The table is another one but its stream's name is not: the old positions mean nothing.
        if self.followers.last().is_some_and(|last| last.arn == stream.arn)
            && let Some(last) = self.followers.pop()
        {
            let shards: Vec<ShardId> = last.graph.shards().map(|(id, _)| id.clone()).collect();
            self.discard_now(&last.arn, &shards);
        }
        self.begin(stream.arn.clone(), Restored::default());
        if let Some(last) = self.followers.last_mut() {
            last.take_over();
            last.table_id.clone_from(&table.id);
        }
        self.table.enabled = true;
        self.table.disabled_told = false;
        tracing::info!(stream = stream.arn, "following the table's stream");
    }

    /// Tells once that the stream records nothing, and once that it does again.
    fn tell_disabled(&mut self, table: &TableDescription) {
        let enabled = table.stream.as_ref().is_some_and(|stream| stream.enabled);
        self.table.enabled = enabled;
        if !enabled && !self.table.disabled_told {
            self.table.disabled_told = true;
            let detail = format!("{} has no stream that is switched on", table.arn);
            self.gap(Finding { cause: GapCause::StreamDisabled, from: since(self.followers.last()), detail });
        } else if enabled && self.table.disabled_told {
            self.table.disabled_told = false;
            let detail = format!("the stream of {} was switched on again under its old name", table.arn);
            self.gap(Finding { cause: GapCause::NewStream, from: since(self.followers.last()), detail });
        }
    }

    /// Goes on from the checkpoints with what a standby has seen, where that [serves](Outlook::serves).
    /// The table and its shards are still asked about at once.
    pub(super) fn read_ahead(&mut self, outlook: &Outlook) {
        let now = self.monotonic();
        if !outlook.serves(&self.restored, now, self.ports.clock().now()) {
            return;
        }
        self.take_up_restored(&outlook.table);
        let Some(follower) = self.followers.last_mut() else { return };
        for shard in &outlook.shards {
            follower.graph.seen(shard, outlook.wall);
        }
        follower.complete_lanes(&self.settings, &self.settled_sender, now);
        follower.positioned = true;
        follower.gives_up_from = now + OPEN_LIMIT;
        self.table.enabled = true;
    }

    fn begin(&mut self, arn: String, restored: Restored) {
        let now = self.monotonic();
        let serial = self.next_serial;
        self.next_serial += 1;
        let mut follower = Follower::new(serial, arn, restored.shards, restored.stream, now);
        follower.complete_lanes(&self.settings, &self.settled_sender, now);
        self.followers.push(follower);
    }

    /// Deletes the checkpoints of a stream, its own record last: while that is there, the rest is
    /// known to be incomplete.
    fn discard(&mut self, arn: &str, shards: impl Iterator<Item = ShardId>) {
        self.deletions.extend(shards.map(|shard| format!("{PREFIX}{arn}/{shard}")));
        self.deletions.push_back(format!("{PREFIX}{arn}"));
    }

    /// As [`discard`](Self::discard), where new records take the place of the old ones: those of
    /// shards that come again are overwritten, and only the others are left to be deleted later.
    fn discard_now(&mut self, arn: &str, shards: &[ShardId]) {
        self.deletions.extend(shards.iter().map(|shard| format!("{PREFIX}{arn}/{shard}")));
    }

    /// A page of shards has come, or not.
    pub(super) fn apply_page(&mut self, stream: u64, result: Result<ShardPage, StreamError>) {
        self.metrics.listings.count(result.is_ok());
        let (now, wall) = (self.monotonic(), self.ports.clock().now());
        let random = self.ports.clock().random();
        let Some(follower) = self.followers.iter_mut().find(|follower| follower.serial == stream) else {
            return;
        };
        follower.discovery.running = false;
        let page = match result {
            Ok(page) => page,
            Err(error) => {
                let failures = follower.discovery.listing.failed();
                if failures == 1 {
                    tracing::warn!(
                        stream = follower.arn,
                        "the stream's shards are not known at present: {error}"
                    );
                }
                follower.discovery.due = now + backoff(failures, random);
                if error == StreamError::Gone {
                    self.stream_gone(stream);
                }
                return;
            }
        };
        follower.discovery.gone = 0;
        if page.status == StreamStatus::Disabled && follower.status != Some(StreamStatus::Disabled) {
            // Perhaps another has taken its place already.
            self.table.due = now;
        }
        follower.status = Some(page.status);
        follower.graph.set_closed(!follower.current || page.status == StreamStatus::Disabled);
        for shard in &page.shards {
            follower.graph.seen(shard, wall);
        }
        follower.complete_lanes(&self.settings, &self.settled_sender, now);
        let walk = follower.discovery.listing.page(&page);
        let Walk::Complete { listed, odd } = walk else {
            follower.discovery.due = now;
            return;
        };
        if let Some(odd) = odd {
            tracing::warn!(stream = follower.arn, "the list of shards ended strangely: {odd}");
        }
        // A stream that is being made has no shards yet; that is no list of all its shards.
        if page.status == StreamStatus::Enabling && listed.is_empty() {
            follower.discovery.due = now + AWAIT_STREAM;
            return;
        }
        let news = std::mem::take(&mut follower.discovery.news);
        follower.listed(now + if news { LATE_SIBLINGS } else { DISCOVERY_INTERVAL });
        let findings = follower.graph.listed(&listed);
        let pruned = follower.graph.prunable(wall);
        for id in &pruned {
            follower.graph.forget(id);
            follower.lanes.remove(id);
            self.deletions.push_back(format!("{PREFIX}{}/{id}", follower.arn));
        }
        // Also finds those whose time of being caught up is to be stored again.
        follower.dirty.extend(follower.lanes.keys().cloned());
        for finding in findings {
            self.gap(finding);
        }
    }

    /// The stream itself is said not to be there.
    fn stream_gone(&mut self, stream: u64) {
        let (now, wall) = (self.monotonic(), self.ports.clock().now());
        let Some(follower) = self.followers.iter_mut().find(|follower| follower.serial == stream) else {
            return;
        };
        follower.discovery.gone += 1;
        if follower.discovery.gone < DENIALS {
            return;
        }
        follower.discovery.gone = 0;
        // A stream that is quite new may be unknown to some of AWS's servers.
        let is_new = follower.graph.shards().next().is_none();
        follower.discovery.due = now + if is_new { AWAIT_STREAM } else { BACKOFF.1 };
        let finding = follower.graph.lose_all(wall);
        if follower.current {
            self.table.due = now;
        } else {
            // Nothing of it will ever be listed again: what is known of it is all there is.
            follower.complete = true;
            let findings = follower.graph.listed(&std::collections::BTreeSet::new());
            debug_assert!(findings.is_empty());
        }
        follower.dirty.extend(follower.lanes.keys().cloned());
        if let Some(finding) = finding {
            self.gap(finding);
        }
    }

    /// The children of a shard have been told, or not.
    pub(super) fn apply_children(
        &mut self,
        stream: u64,
        parent: &ShardId,
        result: Result<Vec<ShardDescription>, StreamError>,
    ) {
        self.metrics.listings.count(result.is_ok());
        let (now, wall) = (self.monotonic(), self.ports.clock().now());
        let random = self.ports.clock().random();
        let Some(follower) = self.followers.iter_mut().find(|follower| follower.serial == stream) else {
            return;
        };
        follower.discovery.asking = false;
        match result {
            Ok(children) => {
                for child in children.iter().filter(|child| child.parent.as_ref() == Some(parent)) {
                    follower.graph.seen(child, wall);
                }
                follower.complete_lanes(&self.settings, &self.settled_sender, now);
                // Without children at the first question, the stream may have been switched off.
                let alone = children.is_empty() && follower.lanes.get(parent).is_some_and(|l| l.asks == 0);
                let discovery = &mut follower.discovery;
                if std::mem::take(&mut discovery.news) || alone {
                    discovery.due = discovery.due.min(now + LATE_SIBLINGS);
                }
            }
            Err(StreamError::Call(CallError { fault: Fault::Invalid, detail, .. })) => {
                tracing::info!("children of shards are looked for by listing: no filter here ({detail})");
                follower.discovery.filter = false;
                follower.discovery.due = now;
            }
            Err(error) => tracing::debug!(stream = follower.arn, "children of {parent} not told: {error}"),
        }
        if let Some(lane) = follower.lanes.get_mut(parent) {
            lane.asks += 1;
            lane.ask_due = now + backoff(lane.asks, random);
        }
    }

    /// Ends streams that were replaced and have nothing more to give.
    pub(super) fn tidy(&mut self, now: Duration) {
        for follower in self.followers.iter_mut().filter(|follower| !follower.current) {
            let quiet =
                now.saturating_sub(follower.last_record) > DRAINED_WHEN_QUIET && follower.graph.quiet();
            if quiet && !follower.read_out() {
                let open: Vec<ShardId> = follower.lanes.keys().cloned().collect();
                for id in &open {
                    follower.graph.end(id);
                }
                follower.dirty.extend(open);
            }
        }
        // Until a newer stream has its positions, the old one's tell that there was one.
        if !self.positioned() {
            return;
        }
        let drained = |f: &Follower| !f.current && f.complete && f.graph.drained();
        let (drained, kept) = std::mem::take(&mut self.followers).into_iter().partition(drained);
        self.followers = kept;
        let drained: Vec<Follower> = drained;
        for follower in drained {
            tracing::info!(stream = follower.arn, "the former stream is read to its end");
            self.discard(&follower.arn, follower.graph.shards().map(|(id, _)| id.clone()));
        }
    }

    /// Forgets deletions that a new record has overtaken.
    pub(super) fn keep(&mut self, checkpoint: &Checkpoint) {
        if !self.deletions.is_empty() {
            let id = checkpoint.id();
            self.deletions.retain(|deletion| *deletion != id);
        }
    }
}

/// What is to be asked about children.
struct Asked {
    /// Ask now for the children of this shard.
    question: Option<ShardId>,
    /// When the next question is due.
    next: Option<Duration>,
}

/// Picks the ended shard to ask about. Where many are due, or the endpoint knows no such question,
/// a listing is made due instead.
fn ask_for_children(follower: &mut Follower, now: Duration, free_at: Duration) -> Asked {
    let mut due = Vec::new();
    let mut next: Option<Duration> = None;
    for id in follower.graph.childless() {
        let Some(lane) = follower.lanes.get(id) else { continue };
        if lane.ask_due <= now {
            due.push(id.clone());
        } else {
            next = Some(next.map_or(lane.ask_due, |next| next.min(lane.ask_due)));
        }
    }
    let discovery = &mut follower.discovery;
    if due.is_empty() || discovery.asking {
        return Asked { question: None, next };
    }
    if !discovery.filter || due.len() > CHILD_QUESTIONS {
        if !discovery.running {
            discovery.due = discovery.due.min(now);
        }
        for id in &due {
            if let Some(lane) = follower.lanes.get_mut(id) {
                lane.asks += 1;
                // Without chance: they wait for the same listing.
                lane.ask_due = now + backoff(lane.asks, 0);
            }
        }
        return Asked { question: None, next };
    }
    if now < free_at {
        return Asked { question: None, next: Some(free_at) };
    }
    Asked { question: due.pop(), next }
}

//! Polling shards: which and when, and what their pages mean.

use std::time::Duration;

use super::Change;
use super::answer::{self, PollError, Polled};
use super::follower::Follower;
use super::gap::GapCause;
use super::limits::{
    CONCURRENT_POLLS, DENIALS, DRAIN_PATIENCE, POLL_SPACING, UNSETTLED_IN_TOTAL, UNSETTLED_PER_SHARD,
};
use super::pace::backoff;
use super::service::Feed;
use super::shard_graph::{Finding, PageRead, Progress};
use super::ticket::Ticket;
use crate::core::time::Timestamp;
use crate::ports::{Batch, CallError, Clock, Fault, Ports, Position, ShardId, StreamError};

/// What a failed poll leads to.
enum Verdict {
    /// Try again.
    Again,
    /// Begin anew at the oldest record that is left.
    Withdraw(GapCause),
    /// Give the shard up.
    Lose,
}

impl<P: Ports> Feed<P> {
    /// Polls the shards that are due, the longest due first. Returns when the next one is.
    pub(super) fn start_polls(&mut self, now: Duration) -> Duration {
        let mut wake = Duration::MAX;
        let mut due: Vec<(Duration, usize, ShardId)> = Vec::new();
        let mut unsettled = 0;
        let mut older_holds = false;
        for (index, follower) in self.followers.iter_mut().enumerate() {
            for (id, shard) in follower.graph.shards() {
                let outstanding = shard.mark().outstanding();
                unsettled += outstanding;
                let Some(lane) = follower.lanes.get_mut(id).filter(|_| !shard.ended()) else { continue };
                if older_holds || outstanding >= UNSETTLED_PER_SHARD || !follower.graph.may_read(id) {
                    lane.fine_until = now;
                } else if !lane.polling {
                    if lane.due <= now {
                        due.push((lane.due, index, id.clone()));
                    } else {
                        wake = wake.min(lane.due);
                    }
                }
            }
            older_holds |= holds_newer(follower, now);
        }
        if unsettled >= UNSETTLED_IN_TOTAL {
            for (_, index, id) in &due {
                if let Some(lane) = self.followers.get_mut(*index).and_then(|f| f.lanes.get_mut(id)) {
                    lane.fine_until = now;
                }
            }
            return wake;
        }
        due.sort_unstable();
        for (_, index, id) in due.into_iter().take(CONCURRENT_POLLS.saturating_sub(self.polls_running)) {
            self.start_poll(index, id);
        }
        wake
    }

    fn start_poll(&mut self, index: usize, id: ShardId) {
        let Some(follower) = self.followers.get_mut(index) else { return };
        let (Some(lane), Some(shard)) = (follower.lanes.get_mut(&id), follower.graph.shard(&id)) else {
            return;
        };
        lane.polling = true;
        self.polls_running += 1;
        let (iterator, position) = (lane.iterator.take(), shard.mark().position());
        let (serial, arn) = (follower.serial, follower.arn.clone());
        self.reads.push(answer::poll(self.ports.clone(), serial, arn, id, iterator, position));
    }

    /// A poll has ended.
    pub(super) fn apply_polled(&mut self, stream: u64, id: &ShardId, polled: Polled) {
        self.polls_running = self.polls_running.saturating_sub(1);
        self.metrics.polls.count(polled.result.is_ok());
        let Some(index) = self.followers.iter().position(|follower| follower.serial == stream) else {
            return;
        };
        if let Some(lane) = self.followers[index].lanes.get_mut(id) {
            lane.polling = false;
        }
        match polled.result {
            Ok(batch) => self.take_page(index, id, polled.sent, batch),
            Err(error) => self.poll_failed(index, id, polled.sent, error),
        }
    }

    fn take_page(&mut self, index: usize, id: &ShardId, sent: Duration, batch: Batch) {
        let (now, wall) = (self.monotonic(), self.ports.clock().now());
        let follower = &mut self.followers[index];
        let Some(lane) = follower.lanes.get_mut(id) else { return };
        if lane.failures > 0 {
            tracing::info!(shard = %id, "the shard can be read again");
        }
        (lane.failures, lane.denials, lane.fine_until) = (0, 0, now);
        let unread = follower.graph.shard(id).is_some_and(|shard| shard.progress() == Progress::Unread);
        let (first_ordinal, missing) = match follower.graph.page(id, &batch.records, wall) {
            Some(PageRead::Taken { first_ordinal, missing }) => (first_ordinal, missing),
            Some(PageRead::Refused(finding)) => {
                lane.iterator = None;
                lane.due = sent + POLL_SPACING;
                follower.dirty.insert(id.clone());
                self.gap(finding);
                return;
            }
            None => return,
        };
        let records = batch.records.len();
        for (ordinal, record) in (first_ordinal..).zip(batch.records) {
            self.outbox.push_back(Change {
                name: record.name,
                kind: record.kind,
                created: record.created,
                sequence: record.sequence,
                ticket: Ticket::new(lane.home.clone(), ordinal),
            });
        }
        if records > 0 {
            follower.last_record = now;
        }
        // The records of the last page come before the end.
        if batch.next.is_none() {
            follower.graph.end(id);
            lane.ask_due = now;
        }
        let ending = follower.graph.shard(id).is_some_and(|shard| shard.closed());
        lane.due = sent + lane.pace.after_page(records, ending, now);
        lane.iterator = batch.next;
        if unread || lane.iterator.is_none() {
            follower.dirty.insert(id.clone());
        }
        if let Some(finding) = missing {
            self.gap(finding);
        }
    }

    fn poll_failed(&mut self, index: usize, id: &ShardId, sent: Duration, error: PollError) {
        let (now, wall) = (self.monotonic(), self.ports.clock().now());
        let random = self.ports.clock().random();
        let follower = &mut self.followers[index];
        let (Some(lane), Some(shard)) = (follower.lanes.get_mut(id), follower.graph.shard(id)) else {
            return;
        };
        lane.failures = lane.failures.saturating_add(1);
        let (error, at_position) = match error {
            PollError::Position(error) => (error, true),
            PollError::Records(error, iterator) => {
                if let StreamError::Call(CallError { fault, .. }) = &error {
                    lane.iterator = (*fault != Fault::Invalid).then_some(iterator);
                }
                (error, false)
            }
        };
        if lane.failures == 1 && error != StreamError::Expired {
            tracing::warn!(shard = %id, "a poll failed: {error}");
        }
        let from_the_start = shard.mark().position() == Position::TrimHorizon;
        let verdict = match &error {
            StreamError::Gone => {
                lane.denials += 1;
                if !follower.discovery.running {
                    // Whether it is the shard or the stream that is gone, a listing tells.
                    follower.discovery.due = follower.discovery.due.min(now);
                }
                if lane.denials >= DENIALS { Verdict::Lose } else { Verdict::Again }
            }
            StreamError::Trimmed => {
                lane.denials += 1;
                match lane.denials {
                    1 => Verdict::Withdraw(GapCause::Trimmed),
                    DENIALS.. if !shard.listed() => Verdict::Lose,
                    _ => Verdict::Again,
                }
            }
            StreamError::Call(CallError { fault: Fault::Invalid, .. }) if at_position && !from_the_start => {
                Verdict::Withdraw(GapCause::FutureCheckpoint)
            }
            StreamError::Call(CallError { fault: Fault::Invalid, .. }) if at_position && !shard.listed() => {
                lane.denials += 1;
                if lane.denials >= DENIALS { Verdict::Lose } else { Verdict::Again }
            }
            StreamError::Expired | StreamError::Call(_) => Verdict::Again,
        };
        // An iterator that has merely expired, or a position that was withdrawn, needs no waiting.
        let at_once =
            (error == StreamError::Expired && lane.failures == 1) || matches!(verdict, Verdict::Withdraw(_));
        let wait = if at_once { Duration::ZERO } else { backoff(lane.failures, random) };
        let asked = match &error {
            StreamError::Call(CallError { fault: Fault::Throttled { retry_after }, .. }) => {
                retry_after.unwrap_or_default()
            }
            StreamError::Call(_) | StreamError::Expired | StreamError::Trimmed | StreamError::Gone => {
                Duration::ZERO
            }
        };
        lane.due = (sent + POLL_SPACING).max(now + wait.max(asked.min(super::limits::BACKOFF.1)));
        let finding = self.judge(index, id, &verdict, wall);
        if let Some(finding) = finding {
            self.gap(finding);
        }
    }

    fn judge(&mut self, index: usize, id: &ShardId, verdict: &Verdict, wall: Timestamp) -> Option<Finding> {
        let follower = &mut self.followers[index];
        let finding = match verdict {
            Verdict::Again => return None,
            Verdict::Withdraw(cause) => follower.graph.withdraw(id, *cause, wall),
            Verdict::Lose => follower.graph.lose(id, wall),
        };
        follower.dirty.insert(id.clone());
        finding
    }
}

/// Whether the streams after this one wait for it: it has more to give, and still gives.
fn holds_newer(follower: &Follower, now: Duration) -> bool {
    !follower.read_out() && now.saturating_sub(follower.last_record) < DRAIN_PATIENCE
}

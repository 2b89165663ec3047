//! Polling shards: which and when, and what their pages mean.

use std::time::Duration;

use super::Change;
use super::answer::{self, PollError, Polled};
use super::follower::Follower;
use super::gap::GapCause;
use super::limits::{
    BACKOFF, CONCURRENT_POLLS, DENIALS, DRAIN_PATIENCE, POLL_SPACING, PUBLISH_INTERVAL, UNSETTLED_IN_TOTAL,
};
use super::pace::backoff;
use super::service::Feed;
use super::shard_graph::{Finding, PageRead, Progress, Shard};
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
        if now >= self.agenda.renew_due {
            self.renew_agenda(now);
        }
        while self.polls_running < CONCURRENT_POLLS && self.agenda.unsettled < UNSETTLED_IN_TOTAL {
            match self.agenda.polls.first() {
                None => break,
                Some((due, ..)) if *due > now => return (*due).min(self.agenda.renew_due),
                Some(_) => {}
            }
            if let Some((_, stream, id)) = self.agenda.polls.pop_first() {
                self.start_poll(stream, id);
            }
        }
        self.agenda.renew_due
    }

    /// Puts every shard that may be polled on the agenda. Answers put their own shard there, and
    /// shards that wait for it; this finds the ones that may go on for another reason.
    fn renew_agenda(&mut self, now: Duration) {
        self.agenda.renew_due = now + PUBLISH_INTERVAL;
        self.agenda.polls.clear();
        self.agenda.unsettled = 0;
        let mut hold = false;
        for follower in &mut self.followers {
            follower.held = hold;
            for (id, shard) in follower.graph.shards() {
                self.agenda.unsettled += shard.mark().outstanding();
                if shard.ended() {
                    continue;
                }
                let may_poll = !follower.held && follower.may_poll(id);
                let Some(lane) = follower.lanes.get_mut(id) else { continue };
                if !may_poll {
                    lane.fine_until = now;
                } else if !lane.polling {
                    self.agenda.polls.insert((lane.due, follower.serial, id.clone()));
                }
            }
            hold |= holds_newer(follower, now);
        }
        if self.agenda.unsettled >= UNSETTLED_IN_TOTAL {
            for lane in self.followers.iter_mut().flat_map(|follower| follower.lanes.values_mut()) {
                lane.fine_until = now;
            }
        }
    }

    /// Puts a shard on the agenda, if it may be polled.
    pub(super) fn put_on_agenda(&mut self, index: usize, id: &ShardId) {
        let Some(follower) = self.followers.get(index) else { return };
        if let Some(lane) = follower.lanes.get(id).filter(|lane| !lane.polling)
            && !follower.held
            && follower.may_poll(id)
        {
            self.agenda.polls.insert((lane.due, follower.serial, id.clone()));
        }
    }

    fn start_poll(&mut self, stream: u64, id: ShardId) {
        let Some(follower) = self.followers.iter_mut().find(|follower| follower.serial == stream) else {
            return;
        };
        if !follower.may_poll(&id) {
            return;
        }
        let (Some(lane), Some(shard)) = (follower.lanes.get_mut(&id), follower.graph.shard(&id)) else {
            return;
        };
        if lane.polling {
            return;
        }
        lane.polling = true;
        self.polls_running += 1;
        let (iterator, position) = (lane.iterator.take(), shard.mark().position());
        let arn = follower.arn.clone();
        self.reads.push(answer::poll(self.ports.clone(), stream, arn, id, iterator, position));
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
        self.put_on_agenda(index, id);
        if self.followers[index].graph.shard(id).is_some_and(Shard::ended) {
            let children: Vec<ShardId> = self.followers[index].graph.children(id).cloned().collect();
            for child in &children {
                self.put_on_agenda(index, child);
            }
        }
    }

    fn take_page(&mut self, index: usize, id: &ShardId, sent: Duration, batch: Batch) {
        let (now, wall) = (self.monotonic(), self.ports.clock().now());
        let follower = &mut self.followers[index];
        let Some(lane) = follower.lanes.get_mut(id) else { return };
        if lane.failures > 0 {
            tracing::info!(shard = %id, "the shard can be read again");
        }
        (lane.failures, lane.denials, lane.failing) = (0, 0, false);
        lane.fine_until = now;
        let unread = follower.graph.shard(id).is_some_and(|shard| shard.progress() == Progress::Unread);
        let (first_ordinal, missing) =
            match follower.graph.page(id, &batch.records, batch.next.is_none(), wall) {
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
        self.agenda.unsettled += records;
        if records > 0 {
            follower.last_record = now;
        }
        if batch.next.is_none() {
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
        let may_give_up = follower.may_give_up(now);
        let (Some(lane), Some(shard)) = (follower.lanes.get_mut(id), follower.graph.shard(id)) else {
            return;
        };
        lane.failures = lane.failures.saturating_add(1);
        let throttled = error.is_throttled();
        // An iterator that nobody could use for 15 minutes expires.
        let harmless = throttled || error.is_expired();
        lane.only_throttled = harmless && (lane.only_throttled || lane.failures == 1);
        if lane.only_throttled && throttled {
            lane.throttled_at = now;
        }
        let (error, at_position) = match error {
            PollError::Position(error) => (error, true),
            PollError::Records(error, iterator) => {
                if let StreamError::Call(CallError { fault, .. }) = &error {
                    lane.iterator = (*fault != Fault::Invalid).then_some(iterator);
                }
                (error, false)
            }
        };
        // An iterator that has merely expired is nothing to worry about, or to wait for.
        let expired = error == StreamError::Expired && lane.failures == 1;
        lane.failing |= !expired;
        if lane.failures == 1 && !expired {
            tracing::warn!(shard = %id, "a poll failed: {error}");
        }
        let from_the_start = shard.mark().position() == Position::TrimHorizon;
        let verdict = match &error {
            // Reading is ahead of the first listing, which comes at once and knows better.
            _ if !may_give_up => Verdict::Again,
            StreamError::Gone => {
                lane.denials += 1;
                if !follower.discovery.running {
                    // Whether it is the shard or the stream that is gone, a listing tells.
                    follower.discovery.due = follower.discovery.due.min(now);
                }
                // Not while the stream as a whole is in doubt: it would be told shard by shard.
                let decided = lane.denials >= DENIALS && follower.discovery.gone == 0;
                if decided { Verdict::Lose } else { Verdict::Again }
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
        let at_once = expired || matches!(verdict, Verdict::Withdraw(_));
        let wait = if at_once { Duration::ZERO } else { backoff(lane.failures, random) };
        let asked = match &error {
            StreamError::Call(CallError { fault: Fault::Throttled { retry_after }, .. }) => {
                retry_after.unwrap_or_default()
            }
            StreamError::Call(_) | StreamError::Expired | StreamError::Trimmed | StreamError::Gone => {
                Duration::ZERO
            }
        };
        lane.due = (sent + POLL_SPACING).max(now + wait.max(asked.min(BACKOFF.1)));
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
            Verdict::Lose => {
                if let Some(lane) = follower.lanes.get_mut(id) {
                    lane.denials = 0;
                }
                follower.graph.lose(id, wall)
            }
        };
        follower.dirty.insert(id.clone());
        finding
    }
}

/// Whether the streams after this one wait for it: it has more to give, and still gives.
fn holds_newer(follower: &Follower, now: Duration) -> bool {
    !follower.read_out() && now.saturating_sub(follower.last_record) < DRAIN_PATIENCE
}

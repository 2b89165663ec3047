//! Storing checkpoints: at most one write a second and shard, in no order that matters.
//!
//! No write depends on another: each shard's checkpoint is true by itself, and a child that is
//! stored late is found again from its parent.

use std::time::Duration;

use super::answer;
use super::checkpoint::Checkpoint;
use super::follower::Follower;
use super::limits::{CONCURRENT_WRITES, WRITE_SPACING};
use super::pace::backoff;
use super::service::{Feed, FeedError};
use crate::core::time::Timestamp;
use crate::ports::{Clock, Ports, StateError};

impl<P: Ports> Feed<P> {
    /// Starts the writes that are due (`now_or_never`: all of them, due or not). Returns when the
    /// next one is.
    pub(super) fn start_writes(&mut self, now: Duration, now_or_never: bool) -> Duration {
        let wall = self.ports.clock().now();
        let mut wake = Duration::MAX;
        for follower in &mut self.followers {
            if self.writes.len() >= CONCURRENT_WRITES {
                return Duration::MAX;
            }
            if !follower.record.writing && !follower.record_is_saved() {
                if now_or_never || now >= follower.record.due {
                    follower.record.writing = true;
                    let checkpoint = Checkpoint::Stream(follower.wanted_record(wall));
                    let (ports, serial) = (self.ports.clone(), follower.serial);
                    self.writes.push(answer::save(ports, serial, checkpoint, self.token));
                } else {
                    wake = wake.min(follower.record.due);
                }
            }
            let room = CONCURRENT_WRITES.saturating_sub(self.writes.len());
            let (picked, next) = pick(follower, now, wall, now_or_never, room);
            wake = wake.min(next);
            for checkpoint in picked {
                let (ports, serial) = (self.ports.clone(), follower.serial);
                self.writes.push(answer::save(ports, serial, checkpoint, self.token));
            }
        }
        wake.min(self.start_deletion(now))
    }

    /// One at a time and in order: nothing waits for them.
    fn start_deletion(&mut self, now: Duration) -> Duration {
        if self.deleting.running || self.deletions.is_empty() {
            return Duration::MAX;
        }
        if now < self.deleting.due {
            return self.deleting.due;
        }
        if let Some(id) = self.deletions.pop_front() {
            self.deleting.running = true;
            self.writes.push(answer::delete(self.ports.clone(), id, self.token));
        }
        Duration::MAX
    }

    /// Whether every checkpoint is stored as it should be.
    pub(super) fn nothing_to_write(&self) -> bool {
        self.followers.iter().all(|follower| follower.dirty.is_empty() && follower.record_is_saved())
    }

    /// A write has ended.
    pub(super) fn apply_saved(
        &mut self,
        stream: u64,
        checkpoint: Checkpoint,
        result: Result<(), StateError>,
    ) -> Result<(), FeedError> {
        self.metrics.writes.count(result.is_ok());
        let error = match result {
            Err(StateError::Fenced) => return Err(FeedError::Fenced),
            Err(StateError::Call(error)) => Some(error),
            Ok(()) => None,
        };
        self.keep(&checkpoint);
        let now = self.monotonic();
        let random = self.ports.clock().random();
        let Some(follower) = self.followers.iter_mut().find(|follower| follower.serial == stream) else {
            return Ok(());
        };
        let id = checkpoint.id();
        let failures = match checkpoint {
            Checkpoint::Stream(saved) => {
                let record = &mut follower.record;
                record.writing = false;
                if error.is_some() {
                    record.failures += 1;
                    record.due = now + backoff(record.failures, random);
                } else {
                    record.failures = 0;
                    record.saved = Some(saved);
                }
                record.failures
            }
            Checkpoint::Shard(saved) => {
                let Some(lane) = follower.lanes.get_mut(&saved.shard) else { return Ok(()) };
                lane.writing = false;
                if error.is_some() {
                    lane.write_failures += 1;
                    lane.write_due = lane.write_due.max(now + backoff(lane.write_failures, random));
                    follower.dirty.insert(saved.shard);
                } else {
                    lane.write_failures = 0;
                    follower.graph.saved(saved);
                }
                lane.write_failures
            }
        };
        if let Some(error) = error.filter(|_| failures == 1) {
            tracing::warn!("{id} could not be written, trying again: {error}");
        }
        Ok(())
    }

    /// A deletion has ended.
    pub(super) fn apply_deleted(
        &mut self,
        id: String,
        result: Result<(), StateError>,
    ) -> Result<(), FeedError> {
        self.deleting.running = false;
        match result {
            Ok(()) => self.deleting.failures = 0,
            Err(StateError::Fenced) => return Err(FeedError::Fenced),
            Err(StateError::Call(error)) => {
                self.deleting.failures += 1;
                if self.deleting.failures == 1 {
                    tracing::warn!("{id} could not be deleted, trying again: {error}");
                }
                self.deleting.due =
                    self.monotonic() + backoff(self.deleting.failures, self.ports.clock().random());
                self.deletions.push_front(id);
            }
        }
        Ok(())
    }
}

/// Takes checkpoints that are due from a stream's dirty shards.
fn pick(
    follower: &mut Follower,
    now: Duration,
    wall: Timestamp,
    now_or_never: bool,
    room: usize,
) -> (Vec<Checkpoint>, Duration) {
    let mut picked = Vec::new();
    let mut clean = Vec::new();
    let mut wake = Duration::MAX;
    for id in &follower.dirty {
        if picked.len() >= room {
            break;
        }
        let Some(lane) = follower.lanes.get_mut(id) else {
            clean.push(id.clone());
            continue;
        };
        if lane.writing {
            continue;
        }
        if !now_or_never && now < lane.write_due {
            wake = wake.min(lane.write_due);
            continue;
        }
        clean.push(id.clone());
        if let Some(checkpoint) = follower.graph.unsaved(id, wall) {
            lane.writing = true;
            lane.write_due = now + WRITE_SPACING;
            picked.push(Checkpoint::Shard(checkpoint));
        }
    }
    for id in clean {
        follower.dirty.remove(&id);
    }
    (picked, wake)
}

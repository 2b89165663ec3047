//! The leader lease: at most one replica changes things.
//!
//! A record of the state table says who leads. The holder renews it; everybody else watches it and
//! takes it over when it was given back, or has not changed for its whole time to live *by the
//! watcher's own monotonic clock*: the clocks of two machines are never compared. Every taking-over
//! raises the fencing token, which conditions every write to the state table.
//!
//! IAM and SSM know no tokens. What the lease guarantees for them: a holder begins a call only within
//! a fifth of the time to live after it began its last renewal, by both of its clocks, and renews
//! first when that is over; and it takes no further step of a call that lasts too long, or whose lease
//! has ended. A watcher waits for the whole time to live. So also where the watcher's clock runs five
//! times as fast as the holder's, only what was under way at the taking-over, one call a user, can take
//! effect under the new leader; each [`Step`](crate::core::step::Step) says why that is harmless.
//!
//! A lease that has run out is not renewed, even if nobody else has taken it: a machine that slept for
//! days would carry out what it decided before. Its holder drops all its work, and takes a new one.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time;

use crate::core::time::Timestamp;
use crate::ports::{CallError, Clock, LONGEST_CHANGE, Ports, Record, StateError, StateStore};

/// The lease's record in the state table.
pub const RECORD: &str = "lease";

/// How often a standby looks, so that it takes over within a second of a clean stop.
const WATCH: Duration = Duration::from_millis(500);

/// The part of the time to live, after the beginning of a renewal, in which a call may begin. A
/// watcher whose clock runs this many times as fast as the holder's still waits for longer.
const FRESH: u32 = 5;

/// What a call may take longer than its own limit, so that it is told as what it was.
const OVERTIME: Duration = Duration::from_millis(500);

/// The part of the time to live after which a lease is renewed that nobody asks for.
const RENEW: u32 = 3;

/// The part of the time to live after which a renewal that failed is tried again.
const RENEW_AGAIN: u32 = 20;

/// The loop turns at least this often, however long the time to live.
const TURN: Duration = Duration::from_secs(10);

/// How often giving the lease back is tried again. When it fails, the lease runs out by itself.
const RELEASE_AGAIN: u32 = 2;

/// The record's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    holder: String,
    /// Counts renewals: what a watcher sees change.
    beat: u64,
    ttl_millis: u64,
    /// Given back, and free to take at once.
    released: bool,
    /// Nothing was changed under it, nor by a holder before it, so that no read can be late.
    #[serde(default)]
    quiet: bool,
}

/// Who leads, as a standby sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its identity.
    pub holder: String,
    /// Its fencing token.
    pub token: u64,
}

/// Watches the lease and takes it when it is free.
pub struct Watcher<P> {
    ports: P,
    holder: String,
    ttl: Duration,
    seen: Option<(Record, Duration)>,
    /// Since when the record is not there, although others are.
    missing_since: Option<Duration>,
    /// The last leadership of this watcher.
    held: Option<Arc<Tenure>>,
    /// What the last try to take it has written, if that has arrived.
    tried: Option<(Record, Body, Validity)>,
}

/// What one look at the lease brought.
pub enum Watch<P> {
    /// Somebody else holds it.
    Standby(Leader),
    /// It is ours.
    Taken(Lease<P>),
}

/// Why the lease could not be looked at or renewed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another replica holds it now.
    #[error("another replica has taken the lease")]
    Lost,
    /// It ran out before it was renewed: the machine stood still, or its clock was set.
    #[error("the lease ran out before it was renewed")]
    RanOut,
    /// The state table did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl<P: Ports> Watcher<P> {
    /// A watcher that would hold the lease as `holder`.
    pub fn new(ports: P, holder: String, ttl: Duration) -> Self {
        Self { ports, holder, ttl, seen: None, missing_since: None, held: None, tried: None }
    }

    /// How long to wait between two looks.
    pub fn pause(&self) -> Duration {
        WATCH.min(self.ttl / 4)
    }

    /// Looks once, and takes the lease when it is free.
    ///
    /// # Errors
    /// When the state table did not answer.
    pub async fn look(&mut self) -> Result<Watch<P>, LeaseError> {
        let found = self.ports.state().get(RECORD).await?;
        let now = self.ports.clock().monotonic();
        let body = found.as_ref().and_then(|record| serde_json::from_str::<Body>(&record.body).ok());
        // The answer was lost, not the write. Whether the holder before has changed anything is not
        // known any more, so it has.
        if let Some((record, body, until)) = self.tried.take()
            && found.as_ref() == Some(&record)
        {
            return Ok(self.taken(record, body, until, Predecessor::Somebody));
        }
        if let (Some(record), Some(body)) = (&found, &body) {
            let unchanged_since = match &self.seen {
                Some((seen, since)) if seen == record => *since,
                _ => {
                    self.seen = Some((record.clone(), now));
                    now
                }
            };
            let ttl = self.ttl.max(Duration::from_millis(body.ttl_millis));
            if !body.released && !self.was_ours(record) && now.saturating_sub(unchanged_since) < ttl {
                return Ok(Watch::Standby(Leader { holder: body.holder.clone(), token: record.token }));
            }
        }
        let last_token = match &found {
            Some(record) => record.token,
            None => self.last_token().await?,
        };
        if found.is_none() && last_token > 0 {
            // Somebody has deleted the record. Its leader finds out when it renews the lease, and works until
            // then.
            let since = *self.missing_since.get_or_insert(now);
            if now.saturating_sub(since) < self.ttl {
                let holder = "unknown: the lease's record is gone".to_owned();
                return Ok(Watch::Standby(Leader { holder, token: last_token }));
            }
        } else {
            self.missing_since = None;
        }
        let predecessor = match &body {
            Some(body) if body.released && body.quiet => Predecessor::Nobody,
            None if last_token == 0 => Predecessor::Nobody,
            Some(_) | None => Predecessor::Somebody,
        };
        self.take(found.as_ref(), last_token, predecessor).await
    }

    /// The highest token that anything was written with; 0 in a new table. Without the lease's record,
    /// which somebody has deleted, a leader that began to count anew would be fenced by what is left.
    async fn last_token(&self) -> Result<u64, LeaseError> {
        let records = self.ports.state().load().await?;
        let held = self.held.as_ref().map(|tenure| tenure.token);
        Ok(records.iter().map(|record| record.token).chain(held).max().unwrap_or_default())
    }

    /// Whether this is what is left of our own last leadership, which is over.
    fn was_ours(&self, record: &Record) -> bool {
        let ours = self.held.as_ref().filter(|tenure| tenure.token == record.token);
        ours.is_some_and(|tenure| tenure.left(self.ports.clock()).is_zero())
    }

    fn taken(&mut self, record: Record, body: Body, until: Validity, predecessor: Predecessor) -> Watch<P> {
        self.seen = None;
        let tenure = Tenure {
            until: Mutex::new(Some(until)),
            token: record.token,
            ttl: self.ttl,
            acted: AtomicBool::new(predecessor != Predecessor::Nobody),
            wanted: Notify::new(),
            changed: Notify::new(),
        };
        let guard = Guard { ports: self.ports.clone(), tenure: Arc::new(tenure) };
        self.held = Some(guard.tenure());
        Watch::Taken(Lease { guard, record, body, predecessor })
    }

    async fn take(
        &mut self,
        found: Option<&Record>,
        last_token: u64,
        predecessor: Predecessor,
    ) -> Result<Watch<P>, LeaseError> {
        let token = last_token.saturating_add(1);
        let body = Body {
            holder: self.holder.clone(),
            beat: 0,
            ttl_millis: u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
            released: false,
            quiet: false,
        };
        let record = encode(&body, token);
        let clock = self.ports.clock();
        let until = Validity::from_now(clock.monotonic(), clock.now(), self.ttl);
        match self.ports.state().swap(found, &record).await {
            Ok(()) => Ok(self.taken(record, body, until, predecessor)),
            // Another watcher was faster: it is seen at the next look.
            Err(StateError::Fenced) => {
                Ok(Watch::Standby(Leader { holder: "another replica".to_owned(), token }))
            }
            Err(StateError::Call(error)) => {
                self.tried = Some((record, body, until));
                Err(error.into())
            }
        }
    }
}

fn encode(body: &Body, token: u64) -> Record {
    // Strings and numbers always serialize.
    Record { id: RECORD.to_owned(), body: serde_json::to_string(body).unwrap_or_default(), token }
}

/// Until when a lease lasts, by both clocks: the monotonic one stands still while the machine is
/// suspended, the wall clock can be set.
#[derive(Clone, Copy, Debug)]
struct Validity {
    monotonic: Duration,
    wall: Timestamp,
}

impl Validity {
    fn from_now(monotonic: Duration, wall: Timestamp, ttl: Duration) -> Self {
        Self { monotonic: monotonic + ttl, wall: wall + ttl }
    }

    fn left(self, monotonic: Duration, wall: Timestamp) -> Duration {
        self.monotonic.saturating_sub(monotonic).min(self.wall.since(wall))
    }
}

/// One leadership, and how long it lasts yet. Whoever shows who leads asks it too: a holder that cannot
/// renew learns last that another replica has taken over.
#[derive(Debug)]
pub struct Tenure {
    until: Mutex<Option<Validity>>,
    token: u64,
    ttl: Duration,
    /// Whether something may have been changed, by this holder or by one before it.
    acted: AtomicBool,
    /// Somebody wants to begin a call, and the last renewal is too long ago.
    wanted: Notify,
    /// The lease was renewed, or has ended.
    changed: Notify,
}

impl Tenure {
    /// What is left of the lease.
    pub fn left(&self, clock: &impl Clock) -> Duration {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Duration::ZERO, |until| until.left(clock.monotonic(), clock.now()))
    }

    fn set(&self, until: Option<Validity>) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        self.changed.notify_waiters();
    }

    /// Whether the last renewal began so lately that a call may begin.
    fn fresh(&self, left: Duration) -> bool {
        left > self.ttl.saturating_sub(self.ttl / FRESH)
    }
}

/// Why there is no answer to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too little is left of the lease: it was not begun.
    NotBegun,
    /// It lasted too long, or for longer than the lease: it may have happened.
    NotWaitedFor,
}

/// The right to change things, as long as the lease lasts. Clones share it.
#[derive(Clone)]
pub struct Guard<P> {
    ports: P,
    tenure: Arc<Tenure>,
}

impl<P: Ports> Guard<P> {
    /// The fencing token, for every write to the state table.
    pub fn token(&self) -> u64 {
        self.tenure.token
    }

    /// The leadership, for those who show it.
    pub fn tenure(&self) -> Arc<Tenure> {
        self.tenure.clone()
    }

    /// Makes a change, if the lease lasts for it; has the lease renewed first when its last renewal is
    /// too long ago.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn make<T>(&self, change: impl Future<Output = T>) -> Result<T, Refused> {
        let limit = self.begin().await.ok_or(Refused::NotBegun)?;
        self.steps(limit, change).await.ok_or(Refused::NotWaitedFor)
    }

    /// When a change that begins now has to end; `None` when none may begin.
    async fn begin(&self) -> Option<Validity> {
        loop {
            let mut changed = pin!(self.tenure.changed.notified());
            changed.as_mut().enable();
            let (left, clock) = (self.left(), self.ports.clock());
            if self.tenure.fresh(left) {
                self.tenure.acted.store(true, Ordering::Relaxed);
                let limit = left.min(LONGEST_CHANGE + OVERTIME);
                return Some(Validity::from_now(clock.monotonic(), clock.now(), limit));
            }
            if left.is_zero() {
                return None;
            }
            self.tenure.wanted.notify_one();
            // A renewal that takes longer leaves no time to begin anything.
            time::timeout(self.tenure.ttl / FRESH, changed).await.ok()?;
        }
    }

    /// Carries a change on until `end`. A machine that stood still may wake in the middle of one that is
    /// not sent yet, so the clocks are read before each step of it, not only when a timer says so.
    async fn steps<T>(&self, end: Validity, change: impl Future<Output = T>) -> Option<T> {
        let left = || {
            let clock = self.ports.clock();
            self.left().min(end.left(clock.monotonic(), clock.now()))
        };
        let (mut change, mut timer) = (pin!(change), pin!(time::sleep(left())));
        poll_fn(|context| {
            if left().is_zero() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(answer) = change.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            // The clocks decide; a timer may run faster than they do.
            while timer.as_mut().poll(context).is_ready() {
                let left = left();
                if left.is_zero() {
                    return Poll::Ready(None);
                }
                timer.set(time::sleep(left));
            }
            Poll::Pending
        })
        .await
    }

    /// What is left of the lease.
    pub fn left(&self) -> Duration {
        self.tenure.left(self.ports.clock())
    }
}

/// The lease, held by this replica. [`keep`](Lease::keep) has to run all the while.
pub struct Lease<P> {
    guard: Guard<P>,
    record: Record,
    body: Body,
    /// What is known of the holder before.
    pub predecessor: Predecessor,
}

/// What is known of the holder of a lease before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predecessor {
    /// There was none, or none that has changed anything.
    Nobody,
    /// There was one. What it changed last may not be seen by reads yet, or is still under way: where it
    /// did not give the lease back, or its clock is slow.
    Somebody,
}

impl<P: Ports> Lease<P> {
    /// The right that goes with it.
    pub fn guard(&self) -> Guard<P> {
        self.guard.clone()
    }

    /// Renews the lease until it is lost; calls `beat` after each attempt, and every 10 s while it waits.
    ///
    /// A renewal that fails is tried again until nothing is left of the lease.
    pub async fn keep(&mut self, beat: impl Fn()) -> LeaseError {
        let ttl = self.guard.tenure.ttl;
        loop {
            self.renewal_due(&beat).await;
            loop {
                match self.renew(false).await {
                    Ok(()) => break,
                    Err(ended @ (LeaseError::Lost | LeaseError::RanOut)) => {
                        self.guard.tenure.set(None);
                        return ended;
                    }
                    Err(LeaseError::Call(error)) if self.guard.left().is_zero() => {
                        self.guard.tenure.set(None);
                        return LeaseError::Call(error);
                    }
                    Err(LeaseError::Call(error)) => {
                        tracing::warn!(%error, "the lease could not be renewed; trying again");
                        beat();
                        time::sleep((ttl / RENEW_AGAIN).min(TURN)).await;
                    }
                }
            }
            beat();
        }
    }

    /// Returns a third of the time to live after the last renewal, or when somebody wants one.
    async fn renewal_due(&self, beat: &impl Fn()) {
        let Guard { ports, tenure } = &self.guard;
        loop {
            let left = self.guard.left();
            let idle = left.saturating_sub(tenure.ttl - tenure.ttl / RENEW);
            if idle.is_zero() {
                return;
            }
            tokio::select! {
                biased;
                // Those who asked during the last renewal have it already.
                () = tenure.wanted.notified() => if !tenure.fresh(tenure.left(ports.clock())) { return },
                () = time::sleep(idle.min(TURN)) => beat(),
            }
        }
    }

    /// Gives the lease back, so that a standby takes it at once.
    ///
    /// # Errors
    /// When it was lost already, or the state table did not answer; then it ends by itself.
    pub async fn release(mut self) -> Result<(), LeaseError> {
        self.guard.tenure.set(None);
        let mut result = self.renew(true).await;
        // A renewal that was under way may still arrive; what it wrote is then what is to be replaced.
        for _ in 0..RELEASE_AGAIN {
            let Err(LeaseError::Call(_)) = result else { break };
            result = self.renew(true).await;
        }
        result
    }

    async fn renew(&mut self, released: bool) -> Result<(), LeaseError> {
        if !released && self.guard.left().is_zero() {
            return Err(LeaseError::RanOut);
        }
        let clock = self.guard.ports.clock();
        let until = Validity::from_now(clock.monotonic(), clock.now(), self.guard.tenure.ttl);
        let quiet = released && !self.guard.tenure.acted.load(Ordering::Relaxed);
        let body = Body { beat: self.body.beat + 1, released, quiet, ..self.body.clone() };
        let record = encode(&body, self.record.token);
        let written = self.guard.ports.state().swap(Some(&self.record), &record).await;
        match written {
            Ok(()) => self.renewed(record, body, until),
            Err(StateError::Fenced) => self.find_out(record, body, until).await?,
            Err(StateError::Call(error)) => {
                // The write may have arrived. If it did, the next one has to expect what it wrote.
                if self.guard.ports.state().get(RECORD).await?.as_ref() == Some(&record) {
                    self.renewed(record, body, until);
                } else {
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// A write without an answer may arrive late, after a look that did not see it yet.
    async fn find_out(&mut self, record: Record, body: Body, until: Validity) -> Result<(), LeaseError> {
        let found = self.guard.ports.state().get(RECORD).await?;
        match found {
            Some(found) if found == record => {
                self.renewed(record, body, until);
                Ok(())
            }
            Some(found) if found.token == self.record.token => match serde_json::from_str(&found.body) {
                Ok(found_body) => {
                    (self.record, self.body) = (found, found_body);
                    Err(CallError {
                        fault: crate::ports::Fault::Conflict,
                        call: "lease",
                        detail: "an earlier renewal arrived late".to_owned(),
                    }
                    .into())
                }
                Err(_) => Err(LeaseError::Lost),
            },
            Some(_) | None => Err(LeaseError::Lost),
        }
    }

    fn renewed(&mut self, record: Record, body: Body, until: Validity) {
        let released = body.released;
        (self.record, self.body) = (record, body);
        self.guard.tenure.set((!released).then_some(until));
    }
}

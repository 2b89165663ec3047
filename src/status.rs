//! What the program is doing, for the pages of `admin`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::core::brake::Status as BrakeStatus;
use crate::core::time::Timestamp;
use crate::feed::FeedView;
use crate::heartbeat::Heartbeats;
use crate::lease::Tenure;
use crate::ports::Clock;
use crate::registry::Registry;
use crate::sweep::SweepReport;

/// What this replica is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Finding out.
    #[default]
    Starting,
    /// Waiting for the lease.
    Standby,
    /// Making changes.
    Leader,
    /// Only observing: `dry_run`.
    Observer,
}

/// What changes while the program runs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Progress {
    /// What this replica is.
    pub role: Role,
    /// The replica that leads.
    pub leader: Option<String>,
    /// The fencing token of the leadership.
    pub token: Option<u64>,
    /// The leadership.
    #[serde(skip)]
    pub tenure: Option<Arc<Tenure>>,
    /// Whether the first sweep of this leadership is done.
    pub swept: bool,
    /// Whether the program is ending.
    pub stopping: bool,
    /// The last sweep that was finished.
    pub last_sweep: Option<SweepReport>,
    /// Why the last sweep failed, when it did.
    pub sweep_failure: Option<String>,
    /// The deletion brake.
    pub deletions: Option<BrakeStatus>,
    /// Whether the local clock is within 5 minutes of AWS's.
    pub clock_trusted: bool,
    /// When the program started.
    pub started: Timestamp,
}

impl Progress {
    /// What this replica is to whoever asks now: a leader only as long as its lease lasts, so that
    /// two never say so at once.
    pub fn role_now(&self, clock: &impl Clock) -> Role {
        match &self.tenure {
            Some(tenure) if self.role == Role::Leader && tenure.left(clock).is_zero() => Role::Standby,
            Some(_) | None => self.role,
        }
    }
}

/// Everything that the pages show. Clones share it.
#[derive(Clone, Default)]
pub struct Status {
    progress: Arc<Mutex<Progress>>,
    /// Every user.
    pub users: Arc<Registry>,
    /// The stream.
    pub feed: FeedView,
    /// The loops.
    pub beats: Heartbeats,
}

impl Status {
    /// What is going on.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the local clock is within 5 minutes of AWS's, by its last answers. Told when that changes.
    pub fn clock_is(&self, trusted: bool) {
        let mut progress = self.progress();
        match (progress.clock_trusted, trusted) {
            (true, false) => tracing::error!(
                "the local clock is more than 5 minutes from AWS's: nothing is rotated or deleted, and this replica is not ready"
            ),
            (false, true) => tracing::info!("the local clock agrees with AWS's again"),
            (true, true) | (false, false) => {}
        }
        progress.clock_trusted = trusted;
    }

    /// Whether the program does its work or stands by to do it; else why not.
    ///
    /// # Errors
    /// Says in a few words what it still waits for.
    pub fn ready(&self, clock: &impl Clock) -> Result<Role, String> {
        let progress = self.progress();
        let wait = |what: &str| Err(what.to_owned());
        match progress.role_now(clock) {
            _ if progress.stopping => wait("stopping"),
            _ if !progress.clock_trusted => wait("the local clock is more than 5 minutes from AWS's"),
            Role::Starting => wait("starting"),
            Role::Standby => Ok(Role::Standby),
            Role::Leader if !self.feed.snapshot().positioned => wait("not positioned on the stream yet"),
            Role::Leader | Role::Observer if !progress.swept => wait("the first sweep is not done yet"),
            role @ (Role::Leader | Role::Observer) => Ok(role),
        }
    }
}

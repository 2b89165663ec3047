//! The receipt that goes with every change, and comes back when it is handled.

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::ports::ShardId;

/// Holds the checkpoint of a shard before one change.
///
/// Dropped without [`settle`](Ticket::settle), the change counts as not handled: the checkpoint
/// stays before it until a restart brings it again, and the lag shows it meanwhile.
#[must_use = "a change whose ticket is not settled holds its checkpoint"]
pub struct Ticket {
    home: Option<Arc<Home>>,
    ordinal: u64,
}

/// Where tickets of one shard go back to.
pub(super) struct Home {
    /// Which follower of a stream, never used twice in a process.
    pub(super) stream: u64,
    /// Which shard.
    pub(super) shard: ShardId,
    /// Unbounded, so that settling never waits; at most one entry for each change handed over, and
    /// those are bounded by `limits`.
    pub(super) settled: mpsc::UnboundedSender<Settled>,
}

/// A change that has been handled.
pub(super) struct Settled {
    pub(super) home: Arc<Home>,
    pub(super) ordinal: u64,
}

impl Ticket {
    pub(super) fn new(home: Arc<Home>, ordinal: u64) -> Self {
        Self { home: Some(home), ordinal }
    }

    /// A ticket that belongs to no shard: for work that does not come from the stream.
    pub fn detached() -> Self {
        Self { home: None, ordinal: 0 }
    }

    /// The change is fully handled, or its obligation is stored elsewhere: the checkpoint may pass it.
    pub fn settle(self) {
        if let Some(home) = self.home {
            let settled = home.settled.clone();
            // The feed is gone: then nobody writes checkpoints any more, and the change comes again.
            let _ = settled.send(Settled { home, ordinal: self.ordinal });
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.home {
            Some(home) => write!(f, "Ticket({} {})", home.shard, self.ordinal),
            None => f.write_str("Ticket(detached)"),
        }
    }
}

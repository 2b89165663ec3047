//! Changes that the stream can no longer tell.

use crate::core::time::Timestamp;

/// Why changes may have been missed. The remedy is always the same: a sweep, and reading on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GapCause {
    /// The position in a shard is older than what the stream keeps.
    Trimmed,
    /// A shard that was not read to its end is gone.
    ShardGone,
    /// A shard appeared whose parent was never read and is not to be had.
    ParentUnfinished,
    /// The table has another stream; what was written between the two is in neither.
    NewStream,
    /// The table's stream is switched off; what is written now is recorded nowhere.
    StreamDisabled,
    /// The table was dropped and made anew under its name.
    TableRecreated,
    /// A checkpoint belongs to another table, or cannot be read.
    ForeignCheckpoint,
    /// A checkpoint lies beyond what its stream or shard has ever held.
    FutureCheckpoint,
    /// The stream could be opened only after the first sweep had been allowed to begin.
    OpenedLate,
}

impl GapCause {
    /// All causes, so that each has its counter from the start.
    pub const ALL: [Self; 9] = [
        Self::Trimmed,
        Self::ShardGone,
        Self::ParentUnfinished,
        Self::NewStream,
        Self::StreamDisabled,
        Self::TableRecreated,
        Self::ForeignCheckpoint,
        Self::FutureCheckpoint,
        Self::OpenedLate,
    ];

    /// The value of the metric's label `cause`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::ShardGone => "shard_gone",
            Self::ParentUnfinished => "parent_unfinished",
            Self::NewStream => "new_stream",
            Self::StreamDisabled => "stream_disabled",
            Self::TableRecreated => "table_recreated",
            Self::ForeignCheckpoint => "foreign_checkpoint",
            Self::FutureCheckpoint => "future_checkpoint",
            Self::OpenedLate => "opened_late",
        }
    }
}

/// A span of time whose changes may be missing from what was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub cause: GapCause,
    /// Everything before this was handed over; `None` when nobody knows.
    pub from: Option<Timestamp>,
    /// Everything after this will be handed over (for a disabled stream: when it was noticed).
    pub to: Timestamp,
    /// Which stream and shard, in a sentence for a person.
    pub detail: String,
}

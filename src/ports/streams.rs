//! The table's stream: what people changed.

use std::cmp::Ordering;
use std::fmt;
use std::future::Future;

use super::CallError;
use crate::core::time::Timestamp;

/// A shard's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub String);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A record's place in its shard: a decimal string of 21–40 digits, ordered as a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct SequenceNumber(pub String);

impl SequenceNumber {
    fn digits(&self) -> &str {
        self.0.trim_start_matches('0')
    }
}

/// By length, then by digits: as numbers, never as text.
impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.digits(), other.digits());
        a.len().cmp(&b.len()).then_with(|| a.cmp(b)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place to read from, good for 15 minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardIterator(pub String);

/// One shard, as DescribeStream lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardDescription {
    /// Its id.
    pub id: ShardId,
    /// The shard that it continues.
    pub parent: Option<ShardId>,
    /// Whether it has an ending sequence number, so that nothing is added to it any more.
    pub closed: bool,
}

/// A stream's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    /// Being made; wait.
    Enabling,
    /// Records flow.
    Enabled,
    /// Being closed.
    Disabling,
    /// Closed: readable for 24 h, no new shards.
    Disabled,
}

/// One page of a stream's shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardPage {
    /// The stream's status.
    pub status: StreamStatus,
    /// Shards of this page.
    pub shards: Vec<ShardDescription>,
    /// Ask with this for the next page; `None` on the last.
    pub next: Option<ShardId>,
}

/// Where to begin in a shard. There is no LATEST: it is not a durable position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// The oldest record that is still there.
    TrimHorizon,
    /// The first record after this one.
    After(SequenceNumber),
}

/// What happened to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// INSERT or MODIFY.
    Written,
    /// REMOVE, by a person or by TTL.
    Removed,
}

/// One record of the stream; only its keys are relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRecord {
    /// Its place in the shard.
    pub sequence: SequenceNumber,
    /// What happened.
    pub kind: ChangeKind,
    /// The item's `UserName`, valid or not.
    pub name: String,
    /// `ApproximateCreationDateTime`, rounded down to the second.
    pub created: Timestamp,
}

/// One answer of GetRecords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Records in order; may be empty in the middle of a shard.
    pub records: Vec<ChangeRecord>,
    /// Where to go on; `None` when the shard is closed and read to its end.
    pub next: Option<ShardIterator>,
}

/// What can be wrong with reading a stream, beyond a failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The iterator is older than 15 minutes: ask for another.
    #[error("the shard iterator has expired")]
    Expired,
    /// The position is older than the stream's 24 hours: records are lost.
    #[error("the position is older than what the stream keeps")]
    Trimmed,
    /// The stream or shard is gone.
    #[error("the stream or shard is gone")]
    Gone,
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// The table's streams. Implemented by DynamoDB Streams and by the simulated account.
pub trait Streams: Send + Sync {
    /// One page of a stream's shards.
    fn shards(
        &self,
        stream: &str,
        after: Option<&ShardId>,
    ) -> impl Future<Output = Result<ShardPage, StreamError>> + Send;

    /// The children of a shard, by shard filter; [`Fault::Invalid`](super::Fault::Invalid) where
    /// the endpoint does not know such a filter.
    fn children(
        &self,
        stream: &str,
        parent: &ShardId,
    ) -> impl Future<Output = Result<Vec<ShardDescription>, StreamError>> + Send;

    /// A place to read from.
    fn iterator(
        &self,
        stream: &str,
        shard: &ShardId,
        position: &Position,
    ) -> impl Future<Output = Result<ShardIterator, StreamError>> + Send;

    /// The next records.
    fn records(&self, iterator: &ShardIterator) -> impl Future<Output = Result<Batch, StreamError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_numbers() {
        let n = |text: &str| SequenceNumber(text.to_owned());
        assert!(n("99999999999999999999") < n("100000000000000000000"));
        assert!(n("000000000000000000002") < n("000000000000000000010"));
        assert!(n("300000000000000000000") > n("299999999999999999999"));
    }
}

//! The calls of the feed, each a future that ends in an [`Answer`]. They decide nothing.

use std::future::Future;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::checkpoint::Checkpoint;
use super::limits::CALL_LIMIT;
use crate::ports::{
    Batch, CallError, Clock, Fault, Ports, Position, ShardDescription, ShardId, ShardIterator, ShardPage,
    StateError, StateStore, StreamError, Streams, TableDescription, UsersTable,
};

/// A call under way.
pub(super) type Call = BoxFuture<'static, Answer>;

/// What came of a call.
pub(super) enum Answer {
    /// DescribeTable.
    Table(Result<Option<TableDescription>, CallError>),
    /// A page of shards.
    Page { stream: u64, result: Result<ShardPage, StreamError> },
    /// The children of a shard.
    Children { stream: u64, parent: ShardId, result: Result<Vec<ShardDescription>, StreamError> },
    /// A poll of a shard.
    Polled { stream: u64, shard: ShardId, polled: Polled },
    /// A checkpoint was stored, or not.
    Saved { stream: u64, checkpoint: Checkpoint, result: Result<(), StateError> },
    /// A record was deleted, or not.
    Deleted { id: String, result: Result<(), StateError> },
}

/// How a poll went.
pub(super) struct Polled {
    /// When GetRecords was sent, by the monotonic clock; when it was not, the end of the poll.
    pub(super) sent: Duration,
    pub(super) result: Result<Batch, PollError>,
}

/// Why a poll brought no page.
pub(super) enum PollError {
    /// No iterator was to be had for the position.
    Position(StreamError),
    /// GetRecords failed; the iterator may be used again.
    Records(StreamError, ShardIterator),
}

impl PollError {
    /// Whether AWS was asked too often, here or by somebody else.
    pub(super) fn is_throttled(&self) -> bool {
        matches!(self.error(), StreamError::Call(CallError { fault: Fault::Throttled { .. }, .. }))
    }

    /// Whether the iterator is too old.
    pub(super) fn is_expired(&self) -> bool {
        *self.error() == StreamError::Expired
    }

    fn error(&self) -> &StreamError {
        let (Self::Position(error) | Self::Records(error, _)) = self;
        error
    }
}

/// Gives up on a call that takes longer than any call may.
pub(super) async fn limited<T, E: From<CallError>>(
    name: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(result) => result,
        Err(_) => Err(E::from(CallError {
            fault: Fault::Indeterminate,
            call: name,
            detail: format!("no answer within {} s", CALL_LIMIT.as_secs()),
        })),
    }
}

pub(super) fn table<P: Ports>(ports: P) -> Call {
    Box::pin(
        async move { Answer::Table(limited("dynamodb:DescribeTable", ports.users_table().describe()).await) },
    )
}

pub(super) fn page<P: Ports>(ports: P, stream: u64, arn: String, after: Option<ShardId>) -> Call {
    Box::pin(async move {
        let call = ports.streams().shards(&arn, after.as_ref());
        Answer::Page { stream, result: limited("dynamodb:DescribeStream", call).await }
    })
}

pub(super) fn children<P: Ports>(ports: P, stream: u64, arn: String, parent: ShardId) -> Call {
    Box::pin(async move {
        let result = limited("dynamodb:DescribeStream", ports.streams().children(&arn, &parent)).await;
        Answer::Children { stream, parent, result }
    })
}

/// Reads a page: with the iterator of the page before, else with a new one for the position.
pub(super) fn poll<P: Ports>(
    ports: P,
    stream: u64,
    arn: String,
    shard: ShardId,
    iterator: Option<ShardIterator>,
    position: Position,
) -> Call {
    Box::pin(async move {
        let polled = poll_once(&ports, &arn, &shard, iterator, &position).await;
        Answer::Polled { stream, shard, polled }
    })
}

async fn poll_once<P: Ports>(
    ports: &P,
    arn: &str,
    shard: &ShardId,
    iterator: Option<ShardIterator>,
    position: &Position,
) -> Polled {
    let iterator = match iterator {
        Some(iterator) => iterator,
        None => {
            let call = ports.streams().iterator(arn, shard, position);
            match limited("dynamodb:GetShardIterator", call).await {
                Ok(iterator) => iterator,
                Err(error) => {
                    let sent = ports.clock().monotonic();
                    return Polled { sent, result: Err(PollError::Position(error)) };
                }
            }
        }
    };
    let sent = ports.clock().monotonic();
    let result = limited("dynamodb:GetRecords", ports.streams().records(&iterator)).await;
    Polled { sent, result: result.map_err(|error| PollError::Records(error, iterator)) }
}

pub(super) fn save<P: Ports>(ports: P, stream: u64, checkpoint: Checkpoint, token: u64) -> Call {
    Box::pin(async move {
        let record = checkpoint.record(token);
        let result = limited("dynamodb:PutItem", ports.state().put(&record)).await;
        Answer::Saved { stream, checkpoint, result }
    })
}

pub(super) fn delete<P: Ports>(ports: P, id: String, token: u64) -> Call {
    Box::pin(async move {
        let result = limited("dynamodb:DeleteItem", ports.state().delete(&id, token)).await;
        Answer::Deleted { id, result }
    })
}

//! The table's stream: the port [`Streams`] on DynamoDB Streams.

use aws_config::SdkConfig;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::Builder;
use aws_sdk_dynamodbstreams::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodbstreams::types::{
    self, AttributeValue, OperationType, ShardFilter, ShardFilterType, ShardIteratorType,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::clock::timestamp;
use super::errors::{code, failed, unexpected};
use super::intercept::Watch;
use super::limits;
use crate::ports::{
    Batch, CallError, ChangeKind, ChangeRecord, Fault, Position, SequenceNumber, ShardDescription, ShardId,
    ShardIterator, ShardPage, StreamError, StreamStatus, Streams,
};

/// DynamoDB Streams: an answer has at most this many records.
const RECORDS: i32 = 1_000;

/// DynamoDB Streams.
#[derive(Clone, Debug)]
pub struct DynamoStreams {
    client: Client,
}

impl DynamoStreams {
    pub(super) fn new(config: &SdkConfig, watch: &Watch) -> Self {
        let (retry, timeouts) = limits::once(limits::LONGEST_STREAM_CALL);
        let config = Builder::from(config).retry_config(retry).timeout_config(timeouts);
        Self { client: Client::from_conf(config.interceptor(watch.clone()).build()) }
    }

    async fn describe(
        &self,
        stream: &str,
        after: Option<String>,
        filter: Option<ShardFilter>,
    ) -> Result<ShardPage, StreamError> {
        const CALL: &str = "dynamodb:DescribeStream";
        let request = self.client.describe_stream().stream_arn(stream).set_shard_filter(filter);
        let output = request.set_exclusive_start_shard_id(after).send().await;
        let output = output.map_err(|error| stream_error(CALL, &error))?;
        let described = output.stream_description.ok_or_else(|| unexpected(CALL, "the answer is empty"))?;
        let status = match described.stream_status {
            Some(types::StreamStatus::Enabling) => StreamStatus::Enabling,
            Some(types::StreamStatus::Enabled) => StreamStatus::Enabled,
            Some(types::StreamStatus::Disabling) => StreamStatus::Disabling,
            Some(types::StreamStatus::Disabled) => StreamStatus::Disabled,
            _ => return Err(unexpected(CALL, "the answer does not say what state the stream is in").into()),
        };
        let next = described.last_evaluated_shard_id.filter(|id| !id.is_empty());
        let shards = described.shards.unwrap_or_default().into_iter().filter_map(shard).collect();
        Ok(ShardPage { status, shards, next: next.map(ShardId) })
    }
}

impl Streams for DynamoStreams {
    async fn shards(&self, stream: &str, after: Option<&ShardId>) -> Result<ShardPage, StreamError> {
        self.describe(stream, after.map(|shard| shard.0.clone()), None).await
    }

    async fn children(&self, stream: &str, parent: &ShardId) -> Result<Vec<ShardDescription>, StreamError> {
        let filter = ShardFilter::builder().r#type(ShardFilterType::ChildShards).shard_id(&parent.0).build();
        let mut children = Vec::new();
        let mut after = None;
        for _ in 0..limits::MAX_PAGES {
            let page = self.describe(stream, after.clone(), Some(filter.clone())).await?;
            // An endpoint that overlooks the filter lists whatever there is.
            if page.shards.iter().any(|shard| shard.parent.as_ref() != Some(parent)) {
                return Err(without_filter("the endpoint takes no notice of ShardFilter").into());
            }
            children.extend(page.shards);
            match page.next {
                Some(next) if after.as_ref() == Some(&next.0) => break,
                Some(next) => after = Some(next.0),
                None => return Ok(children),
            }
        }
        Err(without_filter("the children of a shard do not end").into())
    }

    async fn iterator(
        &self,
        stream: &str,
        shard: &ShardId,
        position: &Position,
    ) -> Result<ShardIterator, StreamError> {
        const CALL: &str = "dynamodb:GetShardIterator";
        let request = self.client.get_shard_iterator().stream_arn(stream).shard_id(&shard.0);
        let request = match position {
            Position::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::After(sequence) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(&sequence.0),
        };
        let output = request.send().await.map_err(|error| stream_error(CALL, &error))?;
        let iterator = output.shard_iterator.filter(|iterator| !iterator.is_empty());
        Ok(ShardIterator(iterator.ok_or_else(|| unexpected(CALL, "the answer holds no iterator"))?))
    }

    async fn records(&self, iterator: &ShardIterator) -> Result<Batch, StreamError> {
        let request = self.client.get_records().shard_iterator(&iterator.0).limit(RECORDS);
        let output = request.send().await.map_err(|error| stream_error("dynamodb:GetRecords", &error))?;
        Ok(Batch {
            records: output.records.unwrap_or_default().into_iter().filter_map(record).collect(),
            next: output.next_shard_iterator.filter(|next| !next.is_empty()).map(ShardIterator),
        })
    }
}

fn without_filter(detail: &str) -> CallError {
    CallError { fault: Fault::Invalid, call: "dynamodb:DescribeStream", detail: detail.to_owned() }
}

fn stream_error<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> StreamError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match code(error) {
        Some("ExpiredIteratorException") => StreamError::Expired,
        Some("TrimmedDataAccessException") => StreamError::Trimmed,
        Some("ResourceNotFoundException") => StreamError::Gone,
        _ => StreamError::Call(failed(call, error)),
    }
}

fn shard(shard: types::Shard) -> Option<ShardDescription> {
    let ending = shard.sequence_number_range.and_then(|range| range.ending_sequence_number);
    Some(ShardDescription {
        id: ShardId(shard.shard_id?),
        parent: shard.parent_shard_id.filter(|parent| !parent.is_empty()).map(ShardId),
        closed: ending.is_some_and(|sequence| !sequence.is_empty()),
    })
}

/// A record without its item's name or its place cannot be followed, nor asked for again: it is
/// passed over. DynamoDB makes none.
fn record(record: types::Record) -> Option<ChangeRecord> {
    let change = record.dynamodb?;
    let Some(AttributeValue::S(name)) = change.keys?.remove("UserName") else { return None };
    Some(ChangeRecord {
        sequence: SequenceNumber(change.sequence_number.filter(|sequence| !sequence.is_empty())?),
        // What kind it may be besides: a look at the user settles it.
        kind: match record.event_name {
            Some(OperationType::Remove) => ChangeKind::Removed,
            _ => ChangeKind::Written,
        },
        name,
        created: timestamp(change.approximate_creation_date_time.as_ref()),
    })
}

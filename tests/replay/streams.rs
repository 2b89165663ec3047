//! The table's stream.

use iam_user_controller::ports::{
    ChangeKind, Fault, Ports, Position, SequenceNumber, ShardId, ShardIterator, StreamError, StreamStatus,
    Streams,
};
use serde_json::{Value, json};

use crate::canned::{Aws, json as answer, json_error};

const STREAM: &str = "arn:aws:dynamodb:eu-central-1:123456789012:table/users/stream/2026-01-31T12:00:00.000";

fn id(text: &str) -> ShardId {
    ShardId(text.to_owned())
}

#[tokio::test]
async fn every_code_of_streams_is_told_apart() {
    let throttled = Fault::Throttled { retry_after: None };
    let check = async |status: u16, code: &str| {
        let aws = Aws::answers(&[json_error(status, code, "Words for a person.")]).await;
        let error = aws.ports.streams().records(&ShardIterator("i".to_owned())).await.unwrap_err();
        let sent = aws.only();
        assert_eq!(
            (sent.action(), sent.json()),
            ("GetRecords", json!({"ShardIterator": "i", "Limit": 1_000}))
        );
        error
    };
    assert_eq!(check(400, "ExpiredIteratorException").await, StreamError::Expired);
    assert_eq!(check(400, "TrimmedDataAccessException").await, StreamError::Trimmed);
    assert_eq!(check(400, "ResourceNotFoundException").await, StreamError::Gone);
    for (status, code, fault) in [
        (400, "LimitExceededException", throttled),
        (400, "ThrottlingException", throttled),
        (400, "ProvisionedThroughputExceededException", throttled),
        (400, "AccessDeniedException", Fault::Denied),
        (400, "ValidationException", Fault::Invalid),
        (500, "InternalServerError", Fault::Indeterminate),
    ] {
        let StreamError::Call(error) = check(status, code).await else { panic!("{code}") };
        assert_eq!((error.fault, error.call), (fault, "dynamodb:GetRecords"), "{code}");
    }
}

fn page(shards: Value, last: Option<&str>) -> Value {
    json!({"StreamDescription": {
        "StreamArn": STREAM, "StreamStatus": "ENABLED", "StreamViewType": "KEYS_ONLY", "TableName": "users",
        "Shards": shards, "LastEvaluatedShardId": last
    }})
}

#[tokio::test]
async fn shards_are_described() {
    let shards = json!([
        {"ShardId": "shardId-1", "SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": "2"}},
        {"ShardId": "shardId-2", "ParentShardId": "shardId-1", "SequenceNumberRange": {"StartingSequenceNumber": "3"}},
    ]);
    let aws = Aws::answers(&[answer(200, &page(shards, Some("shardId-2")))]).await;
    let found = aws.ports.streams().shards(STREAM, Some(&id("shardId-0"))).await.unwrap();
    assert_eq!((found.status, found.next), (StreamStatus::Enabled, Some(id("shardId-2"))));
    let told: Vec<_> = found.shards.into_iter().map(|shard| (shard.id, shard.parent, shard.closed)).collect();
    assert_eq!(told, [(id("shardId-1"), None, true), (id("shardId-2"), Some(id("shardId-1")), false)]);
    let sent = aws.only();
    assert_eq!(sent.action(), "DescribeStream");
    assert_eq!(sent.json(), json!({"StreamArn": STREAM, "ExclusiveStartShardId": "shardId-0"}));
}

#[tokio::test]
async fn children_are_asked_for_by_filter_and_an_endpoint_that_overlooks_it_is_noticed() {
    let child = |of: &str| json!([{"ShardId": "shardId-2", "ParentShardId": of, "SequenceNumberRange": {}}]);
    let check = async |reply| {
        let aws = Aws::answers(&[reply]).await;
        let found = aws.ports.streams().children(STREAM, &id("shardId-1")).await;
        let filter = json!({"Type": "CHILD_SHARDS", "ShardId": "shardId-1"});
        assert_eq!(aws.only().json(), json!({"StreamArn": STREAM, "ShardFilter": filter}));
        found.map(|children| children.len()).map_err(|error| match error {
            StreamError::Call(error) => Some(error.fault),
            _ => None,
        })
    };
    assert_eq!(check(answer(200, &page(child("shardId-1"), None))).await, Ok(1));
    assert_eq!(check(answer(200, &page(json!([]), None))).await, Ok(0));
    assert_eq!(check(answer(200, &page(child("shardId-0"), None))).await, Err(Some(Fault::Invalid)));
    assert_eq!(check(json_error(400, "ValidationException", "?")).await, Err(Some(Fault::Invalid)));
    assert_eq!(check(json_error(400, "ResourceNotFoundException", "?")).await, Err(None));
}

#[tokio::test]
async fn reading_begins_at_the_horizon_or_after_a_record() {
    let aws = Aws::answers(&[answer(200, &json!({"ShardIterator": "i"}))]).await;
    let (streams, shard) = (aws.ports.streams(), id("shardId-1"));
    streams.iterator(STREAM, &shard, &Position::TrimHorizon).await.unwrap();
    let after = Position::After(SequenceNumber("100000000000000000042".to_owned()));
    streams.iterator(STREAM, &shard, &after).await.unwrap();
    let sent: Vec<_> = aws.seen().iter().map(|sent| sent.json()).collect();
    assert_eq!(
        sent,
        [
            json!({"StreamArn": STREAM, "ShardId": "shardId-1", "ShardIteratorType": "TRIM_HORIZON"}),
            json!({"StreamArn": STREAM, "ShardId": "shardId-1", "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                   "SequenceNumber": "100000000000000000042"}),
        ]
    );
}

#[tokio::test]
async fn records_are_read_by_their_keys_whatever_else_they_hold() {
    let record = |event: &str, name: &str| {
        json!({"eventID": "e", "eventName": event, "eventVersion": "1.1", "awsRegion": "eu-central-1",
               "userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"},
               "dynamodb": {"ApproximateCreationDateTime": 1_769_860_800, "Keys": {"UserName": {"S": name}},
                            "NewImage": {"odd": {"NEWTYPE": [1]}, "n": {"N": "1e400"}, "b": {"B": "AA=="}},
                            "SequenceNumber": "100000000000000000042", "SizeBytes": 9, "StreamViewType": "NEW_IMAGE"}})
    };
    let broken = json!({"eventName": "INSERT", "dynamodb": {"Keys": {}, "SequenceNumber": "1"}});
    let records = json!([record("INSERT", "a"), record("MODIFY", "a/b"), broken, record("REMOVE", "c")]);
    let aws = Aws::answers(&[
        answer(200, &json!({"Records": records, "NextShardIterator": "next"})),
        answer(200, &json!({"Records": []})),
    ])
    .await;
    let streams = aws.ports.streams();
    let batch = streams.records(&ShardIterator("i".to_owned())).await.unwrap();
    let told: Vec<_> = batch.records.iter().map(|record| (record.kind, record.name.as_str())).collect();
    assert_eq!(told, [(ChangeKind::Written, "a"), (ChangeKind::Written, "a/b"), (ChangeKind::Removed, "c")]);
    assert_eq!(batch.records[0].created.to_string(), "2026-01-31T12:00:00.000Z");
    assert_eq!(batch.next, Some(ShardIterator("next".to_owned())));
    assert_eq!(streams.records(&ShardIterator("i".to_owned())).await.unwrap().next, None);
}

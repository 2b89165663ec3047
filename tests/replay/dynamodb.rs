//! The users table and the state table.

use iam_user_controller::ports::{Fault, Ports, Record, StateError, StateStore, UsersTable};
use serde_json::{Value, json};

use crate::canned::{Answer, Aws, json as answer, json_error};

#[tokio::test]
async fn every_code_of_dynamodb_is_the_right_fault() {
    let throttled = Fault::Throttled { retry_after: None };
    for (status, code, fault) in [
        (400, "ResourceNotFoundException", Fault::NotFound),
        (400, "ProvisionedThroughputExceededException", throttled),
        (400, "ThrottlingException", throttled),
        (400, "RequestLimitExceeded", throttled),
        (400, "LimitExceededException", throttled),
        (400, "TransactionConflictException", Fault::Conflict),
        (400, "AccessDeniedException", Fault::Denied),
        (400, "UnrecognizedClientException", Fault::Denied),
        (400, "ExpiredTokenException", Fault::Denied),
        (400, "ValidationException", Fault::Invalid),
        (400, "ItemCollectionSizeLimitExceededException", Fault::Invalid),
        (500, "InternalServerError", Fault::Indeterminate),
        (503, "ServiceUnavailable", Fault::Indeterminate),
    ] {
        let aws = Aws::answers(&[json_error(status, code, "Words for a person.")]).await;
        let StateError::Call(error) = aws.ports.state().delete("lease", 7).await.unwrap_err() else {
            panic!("{code}")
        };
        assert_eq!((error.fault, error.call), (fault, "dynamodb:DeleteItem"), "{code}");
        assert_eq!(aws.only().action(), "DeleteItem");
    }
}

fn table(key: &str, kind: &str, status: &str) -> Value {
    json!({
        "TableName": "users", "TableStatus": status, "TableId": "0f6e3b9c-e3a5-4a4c-a1a0-EXAMPLE",
        "TableArn": "arn:aws:dynamodb:eu-central-1:123456789012:table/users",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind}],
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
    })
}

#[tokio::test]
async fn the_users_table_is_described() {
    let stream = "arn:aws:dynamodb:eu-central-1:123456789012:table/users/stream/2026-01-31T12:00:00.000";
    let described = async |mut table: Value, specification: Value| {
        table["LatestStreamArn"] = json!(stream);
        table["StreamSpecification"] = specification;
        let aws = Aws::answers(&[answer(200, &json!({"Table": table}))]).await;
        let described = aws.ports.users_table().describe().await.unwrap().unwrap();
        assert_eq!(aws.only().json(), json!({"TableName": "users"}));
        described
    };
    let on = json!({"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"});
    let good = described(table("UserName", "S", "ACTIVE"), on.clone()).await;
    assert!(good.readable && good.keyed_by_user_name);
    assert_eq!(good.id, "0f6e3b9c-e3a5-4a4c-a1a0-EXAMPLE");
    assert!(good.stream.is_some_and(|found| found.enabled && found.arn == stream));
    // Switched off: the last stream is still named, and still readable for a day.
    let off = described(table("UserName", "S", "UPDATING"), Value::Null).await;
    assert!(off.readable && off.stream.is_some_and(|found| !found.enabled));
    assert!(!described(table("UserName", "N", "ACTIVE"), on.clone()).await.keyed_by_user_name);
    assert!(!described(table("Name", "S", "ACTIVE"), on.clone()).await.keyed_by_user_name);
    assert!(!described(table("UserName", "S", "DELETING"), on.clone()).await.readable);
    let mut two = table("UserName", "S", "ACTIVE");
    two["KeySchema"] = json!([{"AttributeName": "UserName", "KeyType": "HASH"}, {"AttributeName": "At", "KeyType": "RANGE"}]);
    assert!(!described(two, on).await.keyed_by_user_name);

    let aws = Aws::answers(&[json_error(
        400,
        "ResourceNotFoundException",
        "Requested resource not found: Table: users not found",
    )])
    .await;
    assert_eq!(aws.ports.users_table().describe().await, Ok(None));
}

#[tokio::test]
async fn items_are_asked_for_consistently_and_by_key_only() {
    let aws = Aws::answers(&[
        answer(200, &json!({"Item": {"UserName": {"S": "mail"}}})),
        answer(200, &json!({})),
        answer(200, &json!({"Count": 2, "ScannedCount": 2, "Items": [{"UserName": {"S": "a"}}, {"UserName": {"S": "b"}}], "LastEvaluatedKey": {"UserName": {"S": "b"}}})),
        answer(200, &json!({"Count": 0, "ScannedCount": 0, "Items": []})),
    ])
    .await;
    let users = aws.ports.users_table();
    assert_eq!(users.contains("mail").await, Ok(true));
    assert_eq!(users.contains("nobody").await, Ok(false));
    let page = users.scan(None).await.unwrap();
    assert_eq!((page.names, page.next.as_deref()), (vec!["a".to_owned(), "b".to_owned()], Some("b")));
    assert_eq!(users.scan(Some("b")).await.unwrap().next, None);
    let seen = aws.seen();
    let of_key = json!({"#key": "UserName"});
    assert_eq!(
        seen[0].json(),
        json!({"TableName": "users", "Key": {"UserName": {"S": "mail"}}, "ConsistentRead": true,
               "ProjectionExpression": "#key", "ExpressionAttributeNames": of_key})
    );
    assert_eq!(
        seen[3].json(),
        json!({"TableName": "users", "ExclusiveStartKey": {"UserName": {"S": "b"}}, "ConsistentRead": true,
               "ProjectionExpression": "#key", "ExpressionAttributeNames": of_key})
    );
}

/// A page that cannot be understood must never look like a table without users.
#[tokio::test]
async fn a_page_that_makes_no_sense_is_no_page() {
    for page in [
        json!({"Items": [{}]}),
        json!({"Items": [{"UserName": {"N": "1"}}]}),
        json!({"Items": [], "LastEvaluatedKey": {"Other": {"S": "x"}}}),
        json!({"Items": [], "LastEvaluatedKey": {"UserName": {"S": "before"}}}),
        json!("?"),
    ] {
        let aws = Aws::answers(&[answer(200, &page)]).await;
        let error = aws.ports.users_table().scan(Some("before")).await.unwrap_err();
        assert_eq!(error.fault, Fault::Indeterminate, "{page}");
    }
}

fn record(body: &str, token: u64) -> Record {
    Record { id: "lease".to_owned(), body: body.to_owned(), token }
}

fn item(record: &Record) -> Value {
    json!({"Id": {"S": record.id}, "Body": {"S": record.body}, "Token": {"N": record.token.to_string()}})
}

fn lost() -> Answer {
    json_error(400, "ConditionalCheckFailedException", "The conditional request failed")
}

#[tokio::test]
async fn writes_carry_the_token_as_their_condition() {
    let aws = Aws::answers(&[answer(200, &json!({}))]).await;
    let state = aws.ports.state();
    let (old, new) = (record("a", 6), record("b", u64::MAX));
    state.put(&new).await.unwrap();
    state.delete("lease", 7).await.unwrap();
    state.swap(None, &new).await.unwrap();
    state.swap(Some(&old), &new).await.unwrap();
    let sent: Vec<_> = aws.seen().iter().map(|sent| sent.json()).collect();
    let fence = "attribute_not_exists(#token) OR #token <= :token";
    assert_eq!(
        sent,
        [
            json!({"TableName": "users-controller", "Item": item(&new), "ConditionExpression": fence,
                   "ExpressionAttributeNames": {"#token": "Token"},
                   "ExpressionAttributeValues": {":token": {"N": u64::MAX.to_string()}}}),
            json!({"TableName": "users-controller", "Key": {"Id": {"S": "lease"}}, "ConditionExpression": fence,
                   "ExpressionAttributeNames": {"#token": "Token"},
                   "ExpressionAttributeValues": {":token": {"N": "7"}}}),
            json!({"TableName": "users-controller", "Item": item(&new),
                   "ConditionExpression": "attribute_not_exists(#id)",
                   "ExpressionAttributeNames": {"#id": "Id"}}),
            json!({"TableName": "users-controller", "Item": item(&new),
                   "ConditionExpression": "#body = :body AND #token = :token",
                   "ExpressionAttributeNames": {"#body": "Body", "#token": "Token"},
                   "ExpressionAttributeValues": {":body": {"S": "a"}, ":token": {"N": "6"}}}),
        ]
    );
}

#[tokio::test]
async fn whoever_was_overtaken_is_fenced() {
    let aws = Aws::answers(&[lost()]).await;
    assert_eq!(aws.ports.state().put(&record("b", 7)).await, Err(StateError::Fenced));
    assert_eq!(aws.ports.state().delete("lease", 7).await, Err(StateError::Fenced));
}

/// The first swap took effect and its answer was lost; the caller repeats it.
#[tokio::test]
async fn a_swap_that_took_effect_before_is_no_loss() {
    let (old, new, other) = (record("a", 6), record("b", 7), record("c", 7));
    for (there, outcome) in [
        (json!({"Item": item(&new)}), Ok(())),
        (json!({"Item": item(&other)}), Err(StateError::Fenced)),
        (json!({"Item": item(&old)}), Err(StateError::Fenced)),
        (json!({}), Err(StateError::Fenced)),
    ] {
        let aws = Aws::answers(&[lost(), answer(200, &there)]).await;
        assert_eq!(aws.ports.state().swap(Some(&old), &new).await, outcome, "{there}");
        let seen = aws.seen();
        assert_eq!(seen[1].action(), "GetItem");
        assert_eq!(seen[1].json()["ConsistentRead"], true);
    }
}

#[tokio::test]
async fn records_of_all_pages_are_loaded_and_what_has_lost_its_form_is_unreadable() {
    let aws = Aws::answers(&[
        answer(200, &json!({"Items": [item(&record("a", 1)), {"Id": {"S": "odd"}, "Body": {"M": {}}}], "LastEvaluatedKey": {"Id": {"S": "odd"}}})),
        answer(200, &json!({"Items": [item(&record("b", u64::MAX))]})),
    ])
    .await;
    let odd = Record { id: "odd".to_owned(), body: String::new(), token: 0 };
    assert_eq!(aws.ports.state().load().await, Ok(vec![record("a", 1), odd, record("b", u64::MAX)]));
    let seen = aws.seen();
    assert_eq!(
        seen[1].json(),
        json!({"TableName": "users-controller", "ConsistentRead": true, "ExclusiveStartKey": {"Id": {"S": "odd"}}})
    );
    let odd = Aws::answers(&[answer(200, &json!({"Item": {"Id": {"S": "lease"}}}))]).await;
    assert_eq!(odd.ports.state().get("lease").await.unwrap_err().fault, Fault::Invalid);
}

#[tokio::test]
async fn a_state_table_that_will_not_do_comes_with_its_remedy() {
    let check = async |reply: Answer| Aws::answers(&[reply]).await.ports.state().check().await.unwrap();
    let described = |table: Value| answer(200, &json!({"Table": table}));
    let writes = async |reply: Answer| {
        let aws = Aws::answers(&[described(table("Id", "S", "ACTIVE")), reply]).await;
        let result = aws.ports.state().check().await;
        let seen = aws.seen();
        assert_eq!(
            seen[1].json(),
            json!({"TableName": "users-controller",
                   "Item": {"Id": {"S": "nothing"}, "Body": {"S": ""}, "Token": {"N": "0"}},
                   "ConditionExpression": "attribute_exists(#id) AND attribute_not_exists(#id)",
                   "ExpressionAttributeNames": {"#id": "Id"}})
        );
        result
    };
    assert_eq!(writes(lost()).await, Ok(Ok(())));
    let denied = writes(json_error(400, "AccessDeniedException", "no")).await.unwrap().unwrap_err();
    assert!(denied.contains("cannot be written") && denied.contains("aws dynamodb create-table"), "{denied}");
    let throttled = writes(json_error(400, "ThrottlingException", "slow")).await.unwrap_err();
    assert_eq!(throttled.fault, Fault::Throttled { retry_after: None });
    let missing = check(json_error(400, "ResourceNotFoundException", "?")).await.unwrap_err();
    assert_eq!(
        missing,
        "the state table users-controller does not exist; create it with: aws dynamodb create-table \
         --table-name users-controller --billing-mode PAY_PER_REQUEST \
         --attribute-definitions AttributeName=Id,AttributeType=S --key-schema AttributeName=Id,KeyType=HASH"
    );
    let wrong = check(described(table("Id", "N", "ACTIVE"))).await.unwrap_err();
    assert!(wrong.contains("another key than the hash key Id of type S"), "{wrong}");
    let early = check(described(table("Id", "S", "CREATING"))).await.unwrap_err();
    assert!(early.contains("is CREATING") && early.contains("aws dynamodb wait table-exists"), "{early}");
}

//! The state table: the port [`StateStore`] on DynamoDB.
//!
//! One item a record: `Id` (S, the hash key), `Body` (S), `Token` (N). The condition of a write is
//! evaluated by DynamoDB, so that a leader who has been overtaken without knowing it writes nothing.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::dynamodb::{is_keyed_by, is_readable};
use super::errors::{absent, code, failed, unexpected};
use super::intercept::Watch;
use super::limits;
use crate::ports::{CallError, Fault, Record, StateError, StateStore};

const ID: &str = "Id";
const BODY: &str = "Body";
const TOKEN: &str = "Token";

/// The writer is not older than what is there.
const NOT_FENCED: &str = "attribute_not_exists(#token) OR #token <= :token";

/// The state table in DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamoStateStore {
    client: Client,
    table: String,
}

impl DynamoStateStore {
    pub(super) fn new(config: &SdkConfig, watch: &Watch, table: String) -> Self {
        let (retry, timeouts) = limits::once(limits::LONGEST_STATE_CALL);
        let config = Builder::from(config).retry_config(retry).timeout_config(timeouts);
        Self { client: Client::from_conf(config.interceptor(watch.clone()).build()), table }
    }

    /// Asks for a write whose condition nothing meets: it changes nothing, and only who may write is
    /// told so.
    async fn try_to_write(&self) -> Result<Result<(), String>, CallError> {
        let nobody = Record { id: "nothing".to_owned(), body: String::new(), token: 0 };
        let output = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(&nobody)))
            .condition_expression("attribute_exists(#id) AND attribute_not_exists(#id)")
            .expression_attribute_names("#id", ID)
            .send()
            .await;
        match output.map_err(|error| fenced_or("dynamodb:PutItem", &error)) {
            Ok(_) | Err(StateError::Fenced) => Ok(Ok(())),
            Err(StateError::Call(error)) if error.fault == Fault::Denied => Ok(Err(format!(
                "the state table {} cannot be written: allow dynamodb:PutItem and dynamodb:DeleteItem on it, or set \
                 state.table to a table of your own, created with: {}; {error}",
                self.table,
                self.remedy()
            ))),
            Err(StateError::Call(error)) => Err(error),
        }
    }

    fn remedy(&self) -> String {
        format!(
            "aws dynamodb create-table --table-name {} --billing-mode PAY_PER_REQUEST \
             --attribute-definitions AttributeName={ID},AttributeType=S \
             --key-schema AttributeName={ID},KeyType=HASH",
            self.table
        )
    }
}

impl StateStore for DynamoStateStore {
    async fn check(&self) -> Result<Result<(), String>, CallError> {
        const CALL: &str = "dynamodb:DescribeTable";
        let Self { client, table: name } = self;
        let described = match client.describe_table().table_name(name).send().await {
            Ok(output) => Some(output.table.ok_or_else(|| unexpected(CALL, "the answer is empty"))?),
            Err(error) => absent(failed(CALL, &error))?,
        };
        Ok(match described {
            None => Err(format!("the state table {name} does not exist; create it with: {}", self.remedy())),
            Some(table) if !is_keyed_by(&table, ID) => Err(format!(
                "the state table {name} has another key than the hash key {ID} of type S; \
                 set state.table to another name and create that table with: {}",
                self.remedy()
            )),
            Some(table) if !is_readable(&table) => {
                let status = table.table_status.as_ref().map_or("unknown", |status| status.as_str());
                Err(format!(
                    "the state table {name} is {status}; wait for it with: \
                     aws dynamodb wait table-exists --table-name {name}"
                ))
            }
            Some(_) => self.try_to_write().await?,
        })
    }

    async fn load(&self) -> Result<Vec<Record>, CallError> {
        const CALL: &str = "dynamodb:Scan";
        let mut records = Vec::new();
        let mut start = None;
        for _ in 0..limits::MAX_PAGES {
            let output = self
                .client
                .scan()
                .table_name(&self.table)
                .consistent_read(true)
                .set_exclusive_start_key(start.clone())
                .send()
                .await
                .map_err(|error| failed(CALL, &error))?;
            records.extend(output.items.unwrap_or_default().into_iter().filter_map(record_or_ruin));
            let next = output.last_evaluated_key.filter(|key| !key.is_empty());
            if next.is_none() {
                return Ok(records);
            }
            if next == start {
                return Err(unexpected(CALL, "the answer leads to the same page again"));
            }
            start = next;
        }
        Err(unexpected(CALL, "the table has more pages than the controller can have filled"))
    }

    async fn get(&self, id: &str) -> Result<Option<Record>, CallError> {
        const CALL: &str = "dynamodb:GetItem";
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(ID, AttributeValue::S(id.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed(CALL, &error))?;
        let Some(item) = output.item else { return Ok(None) };
        record(item).map(Some).ok_or_else(|| CallError {
            fault: Fault::Invalid,
            call: CALL,
            detail: format!(
                "the item {id:?} has no {BODY} (S) and {TOKEN} (N) any more: somebody has changed it. Put them back; \
                 to delete it is to forget what it held"
            ),
        })
    }

    async fn put(&self, record: &Record) -> Result<(), StateError> {
        let output = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(record)))
            .condition_expression(NOT_FENCED)
            .expression_attribute_names("#token", TOKEN)
            .expression_attribute_values(":token", number(record.token))
            .send()
            .await;
        output.map(drop).map_err(|error| fenced_or("dynamodb:PutItem", &error))
    }

    async fn delete(&self, id: &str, token: u64) -> Result<(), StateError> {
        let output = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(ID, AttributeValue::S(id.to_owned()))
            .condition_expression(NOT_FENCED)
            .expression_attribute_names("#token", TOKEN)
            .expression_attribute_values(":token", number(token))
            .send()
            .await;
        output.map(drop).map_err(|error| fenced_or("dynamodb:DeleteItem", &error))
    }

    async fn swap(&self, expected: Option<&Record>, new: &Record) -> Result<(), StateError> {
        let request = self.client.put_item().table_name(&self.table).set_item(Some(item(new)));
        let request = match expected {
            None => request
                .condition_expression("attribute_not_exists(#id)")
                .expression_attribute_names("#id", ID),
            Some(old) => request
                .condition_expression("#body = :body AND #token = :token")
                .expression_attribute_names("#body", BODY)
                .expression_attribute_names("#token", TOKEN)
                .expression_attribute_values(":body", AttributeValue::S(old.body.clone()))
                .expression_attribute_values(":token", number(old.token)),
        };
        match request.send().await.map_err(|error| fenced_or("dynamodb:PutItem", &error)) {
            Err(StateError::Fenced) if self.get(&new.id).await?.as_ref() == Some(new) => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

fn fenced_or<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> StateError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if code(error) == Some("ConditionalCheckFailedException") {
        StateError::Fenced
    } else {
        StateError::Call(failed(call, error))
    }
}

fn number(token: u64) -> AttributeValue {
    AttributeValue::N(token.to_string())
}

fn item(record: &Record) -> HashMap<String, AttributeValue> {
    HashMap::from([
        (ID.to_owned(), AttributeValue::S(record.id.clone())),
        (BODY.to_owned(), AttributeValue::S(record.body.clone())),
        (TOKEN.to_owned(), number(record.token)),
    ])
}

/// What has another form was not written here: somebody has changed it. It is not taken for one that is
/// not there, but for one that cannot be read.
fn record_or_ruin(item: HashMap<String, AttributeValue>) -> Option<Record> {
    let id = item.get(ID)?.as_s().ok()?.clone();
    let token = item.get(TOKEN).and_then(|token| token.as_n().ok()?.parse().ok()).unwrap_or_default();
    record(item).or_else(|| {
        tracing::error!(id, "a record of the state table has no {BODY} (S) and {TOKEN} (N) any more");
        Some(Record { id, body: String::new(), token })
    })
}

fn record(mut item: HashMap<String, AttributeValue>) -> Option<Record> {
    match (item.remove(ID)?, item.remove(BODY)?, item.remove(TOKEN)?) {
        (AttributeValue::S(id), AttributeValue::S(body), AttributeValue::N(token)) => {
            Some(Record { id, body, token: token.parse().ok()? })
        }
        _ => None,
    }
}

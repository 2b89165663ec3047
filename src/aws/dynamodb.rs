//! The users table: the port [`UsersTable`] on DynamoDB.
//!
//! Asks for the key and nothing else, so that what people keep in their items is neither read nor
//! able to trouble anything.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::types::{self, AttributeValue, KeyType, ScalarAttributeType, TableStatus};

use super::errors::{absent, failed, unexpected};
use super::intercept::Watch;
use super::limits;
use crate::ports::{CallError, ItemPage, TableDescription, TableStream, UsersTable};

/// The hash key.
const KEY: &str = "UserName";

/// The users table in DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamoUsersTable {
    client: Client,
    table: String,
}

impl DynamoUsersTable {
    pub(super) fn new(config: &SdkConfig, watch: &Watch, table: String) -> Self {
        let (retry, timeouts) = limits::read();
        let config = Builder::from(config).retry_config(retry).timeout_config(timeouts);
        Self { client: Client::from_conf(config.interceptor(watch.clone()).build()), table }
    }
}

impl UsersTable for DynamoUsersTable {
    async fn describe(&self) -> Result<Option<TableDescription>, CallError> {
        const CALL: &str = "dynamodb:DescribeTable";
        match self.client.describe_table().table_name(&self.table).send().await {
            Ok(output) => {
                let table = output.table.ok_or_else(|| unexpected(CALL, "the answer is empty"))?;
                let keyed_by_user_name = is_keyed_by(&table, KEY);
                let enabled = table.stream_specification.as_ref().is_some_and(|stream| stream.stream_enabled);
                Ok(Some(TableDescription {
                    readable: is_readable(&table),
                    keyed_by_user_name,
                    stream: table.latest_stream_arn.map(|arn| TableStream { arn, enabled }),
                    arn: table.table_arn.ok_or_else(|| unexpected(CALL, "the answer names no ARN"))?,
                    id: table.table_id.unwrap_or_default(),
                }))
            }
            Err(error) => absent(failed(CALL, &error)),
        }
    }

    async fn contains(&self, name: &str) -> Result<bool, CallError> {
        // DynamoDB refuses an empty key; it therefore holds none.
        if name.is_empty() {
            return Ok(false);
        }
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(KEY, AttributeValue::S(name.to_owned()))
            .consistent_read(true)
            .projection_expression("#key")
            .expression_attribute_names("#key", KEY)
            .send()
            .await;
        output.map(|output| output.item.is_some()).map_err(|error| failed("dynamodb:GetItem", &error))
    }

    async fn scan(&self, after: Option<&str>) -> Result<ItemPage, CallError> {
        const CALL: &str = "dynamodb:Scan";
        let start = after.map(|name| HashMap::from([(KEY.to_owned(), AttributeValue::S(name.to_owned()))]));
        let output = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .projection_expression("#key")
            .expression_attribute_names("#key", KEY)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| failed(CALL, &error))?;
        // An item without a name would make the scan incomplete, and an incomplete scan kills.
        let nameless = || unexpected(CALL, "an item has no UserName of type S");
        let items = output.items.unwrap_or_default();
        let names = items.into_iter().map(name).collect::<Option<_>>().ok_or_else(nameless)?;
        let next = match output.last_evaluated_key.filter(|key| !key.is_empty()) {
            Some(key) => Some(name(key).ok_or_else(nameless)?),
            None => None,
        };
        if next.is_some() && next.as_deref() == after {
            return Err(unexpected(CALL, "the answer leads to the same page again"));
        }
        Ok(ItemPage { names, next })
    }
}

fn name(mut item: HashMap<String, AttributeValue>) -> Option<String> {
    match item.remove(KEY) {
        Some(AttributeValue::S(name)) => Some(name),
        _ => None,
    }
}

/// Whether a table's items can be read now.
pub(super) fn is_readable(table: &types::TableDescription) -> bool {
    matches!(table.table_status, Some(TableStatus::Active | TableStatus::Updating))
}

/// Whether a table's key is the hash key `key` (S) alone.
pub(super) fn is_keyed_by(table: &types::TableDescription, key: &str) -> bool {
    let is_hash = |element: &types::KeySchemaElement| {
        element.attribute_name == key && element.key_type == KeyType::Hash
    };
    let is_string = |definition: &types::AttributeDefinition| {
        definition.attribute_name == key && definition.attribute_type == ScalarAttributeType::S
    };
    matches!(table.key_schema(), [only] if is_hash(only))
        && table.attribute_definitions().iter().any(is_string)
}

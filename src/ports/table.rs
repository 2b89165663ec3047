//! The users table: what people want.

use std::future::Future;

use super::CallError;

/// What DescribeTable tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDescription {
    /// ARN: partition, Region, account and name.
    pub arn: String,
    /// `TableId`: another one after the table was dropped and created anew. Empty when not told.
    pub id: String,
    /// Whether the table can be read (`ACTIVE` or `UPDATING`).
    pub readable: bool,
    /// Whether its key is the hash key `UserName` (S) alone.
    pub keyed_by_user_name: bool,
    /// The newest stream, when there ever was one.
    pub stream: Option<TableStream>,
}

/// The stream that DescribeTable names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStream {
    /// ARN, ends with the time at which the stream was enabled.
    pub arn: String,
    /// Whether changes are being recorded.
    pub enabled: bool,
}

/// One page of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemPage {
    /// The values of `UserName`, valid or not.
    pub names: Vec<String>,
    /// The last key that was looked at: ask with it for the next page. `None` on the last.
    pub next: Option<String>,
}

/// The users table. Implemented by DynamoDB and by the simulated account.
pub trait UsersTable: Send + Sync {
    /// Describes the table; `Ok(None)` when there is none of that name.
    fn describe(&self) -> impl Future<Output = Result<Option<TableDescription>, CallError>> + Send;

    /// Whether there is an item with this name, by consistent read. The name need not be valid for IAM.
    fn contains(&self, name: &str) -> impl Future<Output = Result<bool, CallError>> + Send;

    /// One page of a consistent scan.
    fn scan(&self, after: Option<&str>) -> impl Future<Output = Result<ItemPage, CallError>> + Send;
}

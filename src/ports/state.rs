//! What the controller remembers across restarts and replicas.

use std::future::Future;

use super::CallError;

/// One record of the state table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The hash key `Id`, such as `lease` or `checkpoint/<stream>/<shard>`.
    pub id: String,
    /// JSON.
    pub body: String,
    /// Fencing token of the leader that wrote it; never goes down.
    pub token: u64,
}

/// Why the state was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Another leader has written meanwhile: this one is no longer it.
    #[error("another leader has written the state since")]
    Fenced,
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// The state table. Implemented by DynamoDB and by the simulated account. Reads are consistent.
pub trait StateStore: Send + Sync {
    /// Finds out whether the table exists with the hash key `Id` (S), and can be written. Changes nothing.
    ///
    /// `Ok(Err(reason))` says in a sentence what is wrong and how to mend it.
    fn check(&self) -> impl Future<Output = Result<Result<(), String>, CallError>> + Send;

    /// All records, every page.
    fn load(&self) -> impl Future<Output = Result<Vec<Record>, CallError>> + Send;

    /// One record.
    fn get(&self, id: &str) -> impl Future<Output = Result<Option<Record>, CallError>> + Send;

    /// Writes a record, unless one with a higher token is there.
    fn put(&self, record: &Record) -> impl Future<Output = Result<(), StateError>> + Send;

    /// Deletes a record, unless it has a higher token than `token`. One that is not there is no error.
    fn delete(&self, id: &str, token: u64) -> impl Future<Output = Result<(), StateError>> + Send;

    /// Replaces exactly `expected` (`None`: no record) by `new`, else [`StateError::Fenced`]. Where
    /// `new` is already, it is success: a record names its writer in its body, and whoever got no
    /// answer repeats the call.
    fn swap(
        &self,
        expected: Option<&Record>,
        new: &Record,
    ) -> impl Future<Output = Result<(), StateError>> + Send;
}

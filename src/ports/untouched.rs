//! Ports that a unit test does not expect to be used.

use crate::core::observed::{Glance, Key, Leftover, Tags, User};
use crate::core::parameter_name::ParameterName;
use crate::core::secret::Secret;
use crate::core::time::Timestamp;
use crate::core::user::{AccessKeyId, UserId, UserName};
use crate::ports::{
    Alarm, Batch, CallError, Caller, Directory, Identity, ItemPage, MintedKey, NewUser, Page, ParameterValue,
    Position, Proof, Receipt, ShardDescription, ShardId, ShardIterator, ShardPage, StreamError, Streams,
    TableDescription, UsersTable, Vault,
};

const NOT_HERE: &str = "what is tested here does not call this";

/// A part of the outside world that a test has nothing to do with.
#[derive(Clone)]
pub(crate) struct Untouched;

impl Alarm for Untouched {
    async fn next(&self) {
        std::future::pending().await
    }
}

impl Identity for Untouched {
    async fn caller(&self) -> Result<Caller, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn prove(&self, _key: &AccessKeyId, _secret: &Secret) -> Result<Proof, CallError> {
        unreachable!("{NOT_HERE}")
    }
}

impl Vault for Untouched {
    async fn get(&self, _name: &ParameterName) -> Result<Option<ParameterValue>, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn put(&self, _name: &ParameterName, _text: &Secret) -> Result<Receipt, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn delete(&self, _name: &ParameterName) -> Result<Receipt, CallError> {
        unreachable!("{NOT_HERE}")
    }
}

impl Directory for Untouched {
    async fn glance(&self, _token: Option<&str>) -> Result<Page<Glance>, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn user(&self, _name: &UserName) -> Result<Option<User>, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn keys(&self, _name: &UserName) -> Result<Option<Vec<Key>>, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn has_console_login(&self, _name: &UserName) -> Result<bool, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn leftovers(&self, _name: &UserName) -> Result<Vec<Leftover>, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn create_user(&self, _user: &NewUser) -> Result<(UserId, Timestamp, Receipt), CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn tag_user(&self, _name: &UserName, _tags: &Tags) -> Result<Receipt, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn untag_user(&self, _name: &UserName, _keys: &[String]) -> Result<Receipt, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn put_boundary(&self, _name: &UserName, _policy_arn: &str) -> Result<Receipt, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn create_key(&self, _name: &UserName) -> Result<(MintedKey, Receipt), CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn deactivate_key(&self, _name: &UserName, _key: &AccessKeyId) -> Result<Receipt, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn delete_key(&self, _name: &UserName, _key: &AccessKeyId) -> Result<Receipt, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn remove(&self, _name: &UserName, _leftover: &Leftover) -> Result<Receipt, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn delete_user(&self, _name: &UserName) -> Result<Receipt, CallError> {
        unreachable!("{NOT_HERE}")
    }
}

impl UsersTable for Untouched {
    async fn describe(&self) -> Result<Option<TableDescription>, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn contains(&self, _name: &str) -> Result<bool, CallError> {
        unreachable!("{NOT_HERE}")
    }
    async fn scan(&self, _after: Option<&str>) -> Result<ItemPage, CallError> {
        unreachable!("{NOT_HERE}")
    }
}

impl Streams for Untouched {
    async fn shards(&self, _stream: &str, _after: Option<&ShardId>) -> Result<ShardPage, StreamError> {
        unreachable!("{NOT_HERE}")
    }
    async fn children(&self, _stream: &str, _parent: &ShardId) -> Result<Vec<ShardDescription>, StreamError> {
        unreachable!("{NOT_HERE}")
    }
    async fn iterator(
        &self,
        _stream: &str,
        _shard: &ShardId,
        _position: &Position,
    ) -> Result<ShardIterator, StreamError> {
        unreachable!("{NOT_HERE}")
    }
    async fn records(&self, _iterator: &ShardIterator) -> Result<Batch, StreamError> {
        unreachable!("{NOT_HERE}")
    }
}

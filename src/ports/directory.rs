//! The account's users and keys.

use std::future::Future;

use super::{CallError, Receipt};
use crate::core::observed::{Glance, Key, Leftover, Tags, User};
use crate::core::secret::Secret;
use crate::core::time::Timestamp;
use crate::core::user::{AccessKeyId, UserId, UserName};

/// One page of a longer answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// Ask with this for the next page; `None` on the last.
    pub next: Option<String>,
}

/// All that one CreateUser call needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// The name.
    pub name: UserName,
    /// IAM path, `/` or `/…/`.
    pub path: String,
    /// ARN of the permissions boundary.
    pub boundary: Option<String>,
    /// Tags that it is born with.
    pub tags: Tags,
}

/// A key that was just created; the only time that its secret is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintedKey {
    /// The public half.
    pub id: AccessKeyId,
    /// The secret half.
    pub secret: Secret,
    /// When IAM says it was created.
    pub created: Timestamp,
}

/// The account's users and keys. Implemented by IAM and by the simulated account.
///
/// Reads may be stale for seconds, each on its own. Every change is safe to repeat but
/// [`create_key`](Directory::create_key). A change of a user that is gone answers
/// [`Fault::NotFound`](super::Fault::NotFound).
pub trait Directory: Send + Sync {
    /// One page of all users of the account, in IAM's order. The token is the previous page's `next`.
    fn glance(&self, token: Option<&str>) -> impl Future<Output = Result<Page<Glance>, CallError>> + Send;

    /// `Ok(None)` when IAM says that there is no such user.
    fn user(&self, name: &UserName) -> impl Future<Output = Result<Option<User>, CallError>> + Send;

    /// All access keys of a user, oldest first; `Ok(None)` when IAM says that there is no such user.
    fn keys(&self, name: &UserName) -> impl Future<Output = Result<Option<Vec<Key>>, CallError>> + Send;

    /// Whether the user has a console password.
    fn has_console_login(&self, name: &UserName) -> impl Future<Output = Result<bool, CallError>> + Send;

    /// Everything but keys that IAM demands gone before it deletes the user, in teardown order.
    fn leftovers(&self, name: &UserName) -> impl Future<Output = Result<Vec<Leftover>, CallError>> + Send;

    /// Creates a user with its boundary and tags in one call.
    fn create_user(
        &self,
        user: &NewUser,
    ) -> impl Future<Output = Result<(UserId, Timestamp, Receipt), CallError>> + Send;

    /// Sets tags, in one call; tags not named stay.
    fn tag_user(
        &self,
        name: &UserName,
        tags: &Tags,
    ) -> impl Future<Output = Result<Receipt, CallError>> + Send;

    /// Removes tags by key, in one call; keys that are not there are no error.
    fn untag_user(
        &self,
        name: &UserName,
        keys: &[String],
    ) -> impl Future<Output = Result<Receipt, CallError>> + Send;

    /// Sets the permissions boundary.
    fn put_boundary(
        &self,
        name: &UserName,
        policy_arn: &str,
    ) -> impl Future<Output = Result<Receipt, CallError>> + Send;

    /// Mints an access key. Not idempotent: implementations send it once and never retry.
    fn create_key(
        &self,
        name: &UserName,
    ) -> impl Future<Output = Result<(MintedKey, Receipt), CallError>> + Send;

    /// Makes AWS refuse the key from now on.
    fn deactivate_key(
        &self,
        name: &UserName,
        key: &AccessKeyId,
    ) -> impl Future<Output = Result<Receipt, CallError>> + Send;

    /// Deletes an access key, for good.
    fn delete_key(
        &self,
        name: &UserName,
        key: &AccessKeyId,
    ) -> impl Future<Output = Result<Receipt, CallError>> + Send;

    /// Removes one leftover.
    fn remove(
        &self,
        name: &UserName,
        leftover: &Leftover,
    ) -> impl Future<Output = Result<Receipt, CallError>> + Send;

    /// Deletes the user. [`Fault::Conflict`](super::Fault::Conflict) while it has keys or leftovers.
    fn delete_user(&self, name: &UserName) -> impl Future<Output = Result<Receipt, CallError>> + Send;
}

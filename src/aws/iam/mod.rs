//! Users and keys: the port [`Directory`] on IAM.

mod glance;
mod keys;
mod pages;
mod teardown;
mod users;

use aws_config::SdkConfig;
use aws_sdk_iam::Client;
use aws_sdk_iam::config::Builder;

use super::clock::SystemClock;
use super::errors::{failed, is_unknown_action};
use super::intercept::Watch;
use super::limits;
use super::whole::WholeAnswers;
use crate::core::observed::{Glance, Key, Leftover, Tags, User};
use crate::core::time::Timestamp;
use crate::core::user::{AccessKeyId, UserId, UserName};
use crate::ports::{CallError, Directory, Fault, MintedKey, NewUser, Page, Receipt};

/// IAM.
#[derive(Clone, Debug)]
pub struct Iam {
    /// For reads, which the SDK repeats.
    reads: Client,
    /// For changes, which are sent once.
    changes: Client,
    clock: SystemClock,
}

impl Iam {
    pub(super) fn new(config: &SdkConfig, watch: &Watch) -> Self {
        let client = |(retry, timeouts)| {
            let config = Builder::from(config).retry_config(retry).timeout_config(timeouts);
            Client::from_conf(config.interceptor(watch.clone()).interceptor(WholeAnswers).build())
        };
        Self {
            reads: client(limits::read()),
            changes: client(limits::once(limits::LONGEST_CHANGE)),
            clock: watch.clock().clone(),
        }
    }
}

impl Directory for Iam {
    async fn glance(&self, token: Option<&str>) -> Result<Page<Glance>, CallError> {
        glance::page(&self.reads, token).await
    }

    async fn user(&self, name: &UserName) -> Result<Option<User>, CallError> {
        users::get(&self.reads, name).await
    }

    async fn keys(&self, name: &UserName) -> Result<Option<Vec<Key>>, CallError> {
        keys::list(&self.reads, name).await
    }

    async fn has_console_login(&self, name: &UserName) -> Result<bool, CallError> {
        match self.reads.get_login_profile().user_name(name.as_str()).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_unknown_action(&error) => Ok(false),
            Err(error) => match failed("iam:GetLoginProfile", &error) {
                CallError { fault: Fault::NotFound, .. } => Ok(false),
                error => Err(error),
            },
        }
    }

    async fn leftovers(&self, name: &UserName) -> Result<Vec<Leftover>, CallError> {
        teardown::leftovers(self, name).await
    }

    async fn create_user(&self, user: &NewUser) -> Result<(UserId, Timestamp, Receipt), CallError> {
        users::create(&self.changes, user).await
    }

    async fn tag_user(&self, name: &UserName, tags: &Tags) -> Result<Receipt, CallError> {
        users::tag(&self.changes, name, tags).await
    }

    async fn untag_user(&self, name: &UserName, keys: &[String]) -> Result<Receipt, CallError> {
        users::untag(&self.changes, name, keys).await
    }

    async fn put_boundary(&self, name: &UserName, policy_arn: &str) -> Result<Receipt, CallError> {
        users::put_boundary(&self.changes, name, policy_arn).await
    }

    async fn create_key(&self, name: &UserName) -> Result<(MintedKey, Receipt), CallError> {
        keys::create(&self.changes, &self.clock, name).await
    }

    async fn deactivate_key(&self, name: &UserName, key: &AccessKeyId) -> Result<Receipt, CallError> {
        keys::deactivate(&self.changes, name, key).await
    }

    async fn delete_key(&self, name: &UserName, key: &AccessKeyId) -> Result<Receipt, CallError> {
        keys::delete(&self.changes, name, key).await
    }

    async fn remove(&self, name: &UserName, leftover: &Leftover) -> Result<Receipt, CallError> {
        teardown::remove(&self.changes, name, leftover).await
    }

    async fn delete_user(&self, name: &UserName) -> Result<Receipt, CallError> {
        users::delete(&self.changes, name).await
    }
}

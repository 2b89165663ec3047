//! Who is calling.

use std::future::Future;

use super::CallError;
use crate::core::secret::Secret;
use crate::core::user::{AccessKeyId, UserId};

/// The principal behind the controller's own credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The 12-digit account.
    pub account: String,
    /// Its ARN.
    pub arn: String,
    /// Its unique id (`AIDA…` for a user, `AROA…:session` for a role).
    pub user_id: String,
}

impl Caller {
    /// The user that it is, when it is one, and no role.
    pub fn own_user(self) -> Option<UserId> {
        self.arn.contains(":user/").then_some(UserId(self.user_id))
    }
}

/// What AWS said to a call that was signed with a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The key works.
    Accepted,
    /// AWS does not know the key yet.
    NotYet,
}

/// Who a key belongs to. Implemented by STS and by the simulated account.
pub trait Identity: Send + Sync {
    /// Who the controller itself is.
    fn caller(&self) -> impl Future<Output = Result<Caller, CallError>> + Send;

    /// Signs a call with the given key. A refusal is [`Proof::NotYet`], not an error.
    fn prove(
        &self,
        key: &AccessKeyId,
        secret: &Secret,
    ) -> impl Future<Output = Result<Proof, CallError>> + Send;
}

//! Who is calling.

use std::future::Future;

use super::CallError;
use crate::core::secret::Secret;
use crate::core::user::AccessKeyId;

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

//! Where secrets are kept.

use std::future::Future;

use super::{CallError, Receipt};
use crate::core::parameter::{Tier, Version};
use crate::core::parameter_name::ParameterName;
use crate::core::secret::Secret;

/// A stored parameter, decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterValue {
    /// Its text.
    pub text: Secret,
    /// Whether its type is SecureString.
    pub secure: bool,
    /// Which version of the parameter it is.
    pub version: Version,
}

/// A parameter was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The number of the version that was made. SSM does not tell its date here.
    pub number: u64,
    /// The proof.
    pub receipt: Receipt,
}

/// The parameters of the account. Implemented by SSM Parameter Store and by the simulated account.
///
/// There is no compare-and-set: the last write wins, whole.
pub trait Vault: Send + Sync {
    /// Reads and decrypts; `Ok(None)` only when SSM says that there is no such parameter. May be stale for
    /// seconds: an older version, or none of a parameter that was just made.
    fn get(
        &self,
        name: &ParameterName,
    ) -> impl Future<Output = Result<Option<ParameterValue>, CallError>> + Send;

    /// Of which tier the parameter is; `Ok(None)` when none of this name is listed. May be stale for
    /// seconds.
    fn tier(&self, name: &ParameterName) -> impl Future<Output = Result<Option<Tier>, CallError>> + Send;

    /// Writes a SecureString, new or over the old one, encrypted with the configured key. Safe to repeat.
    /// [`Fault::Invalid`](super::Fault::Invalid) when an advanced parameter would become a standard one.
    fn put(
        &self,
        name: &ParameterName,
        text: &Secret,
        tier: Tier,
    ) -> impl Future<Output = Result<Written, CallError>> + Send;

    /// Deletes a parameter with all its versions.
    fn delete(&self, name: &ParameterName) -> impl Future<Output = Result<Receipt, CallError>> + Send;
}

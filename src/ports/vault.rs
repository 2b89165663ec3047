//! Where secrets are kept.

use std::future::Future;

use super::{CallError, Receipt};
use crate::core::parameter_name::ParameterName;
use crate::core::secret::Secret;
use crate::core::time::Timestamp;

/// A stored parameter, decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterValue {
    /// Its text.
    pub text: Secret,
    /// Whether its type is SecureString.
    pub secure: bool,
    /// When it was last written.
    pub modified: Timestamp,
}

/// The parameters of the account. Implemented by SSM Parameter Store and by the simulated account.
///
/// There is no compare-and-set: the last write wins, whole.
pub trait Vault: Send + Sync {
    /// Reads and decrypts; `Ok(None)` only when SSM says that there is no such parameter.
    fn get(
        &self,
        name: &ParameterName,
    ) -> impl Future<Output = Result<Option<ParameterValue>, CallError>> + Send;

    /// Writes a SecureString, new or over the old one, encrypted with the configured key. Safe to repeat.
    fn put(
        &self,
        name: &ParameterName,
        text: &Secret,
    ) -> impl Future<Output = Result<Receipt, CallError>> + Send;

    /// Deletes a parameter with all its versions.
    fn delete(&self, name: &ParameterName) -> impl Future<Output = Result<Receipt, CallError>> + Send;
}

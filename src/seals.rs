//! The key of the seals, kept in the state table: made once, by the first leader, and never again.
//!
//! Whoever loses the key owns no user any more, so nothing here replaces one: a record that cannot be
//! read is an error that a person has to mend. The key is told to nobody; see [`SealKey`].

use crate::core::seal::{KEY_BYTES, SealKey, Unreadable};
use crate::ports::{CallError, Clock, Ports, Record, StateError, StateStore};

/// The key's record in the state table.
pub const RECORD: &str = "seal";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Somebody has changed the record.
    #[error(
        "the record {RECORD:?} of the state table is unreadable: {0}. It proves which users are the controller's; \
         restore it from a backup of the state table, and do not delete it"
    )]
    Unreadable(#[from] Unreadable),
    /// The operating system has no randomness.
    #[error("the operating system gave no {KEY_BYTES} random bytes for the seal key")]
    NoRandomness,
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// The key that the state table holds, if it holds one.
///
/// # Errors
/// When the record is unreadable, or a call fails: neither is "no key".
pub async fn read<P: Ports>(ports: &P) -> Result<Option<SealKey>, SealError> {
    Ok(ports.state().get(RECORD).await?.map(|record| SealKey::from_record(&record.body)).transpose()?)
}

/// The key among the `records` of the state table; else makes one. Of two replicas that do so at once, the
/// one whose record is written first has made it.
///
/// # Errors
/// As [`read`]. A call that failed may be repeated: a key that was stored is found then.
pub async fn keep<P: Ports>(ports: &P, records: &[Record], token: u64) -> Result<SealKey, SealError> {
    if let Some(record) = records.iter().find(|record| record.id == RECORD) {
        return Ok(SealKey::from_record(&record.body)?);
    }
    let key = SealKey::new(ports.clock().key_material().ok_or(SealError::NoRandomness)?);
    let record = Record { id: RECORD.to_owned(), body: key.to_record(), token };
    match ports.state().swap(None, &record).await {
        Ok(()) => {
            tracing::info!(record = RECORD, "a seal key was made and stored in the state table");
            Ok(key)
        }
        Err(StateError::Fenced) => read(ports).await?.ok_or(SealError::Unreadable(Unreadable)),
        Err(StateError::Call(error)) => Err(error.into()),
    }
}

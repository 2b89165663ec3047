//! Removals that have to outlive this process: granted ones, and those that wait or fail while the
//! checkpoint passes their record.

use serde::{Deserialize, Serialize};

use crate::core::memory::Memory;
use crate::core::time::Timestamp;
use crate::core::user::{UserId, UserName};
use crate::lease::Guard;
use crate::ports::{Ports, Record, StateError, StateStore};

/// First part of the records' ids; the user's name follows.
pub const PREFIX: &str = "removal/";

/// One removal that is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Time of the latest REMOVE record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke_before: Option<Timestamp>,
    /// The user whose deletion was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned: Option<UserId>,
    /// Whether the parameter goes too.
    #[serde(default)]
    pub remove_parameter: bool,
}

impl Removal {
    /// What is left to remove, as a memory has it.
    pub fn of(memory: &Memory) -> Self {
        Self {
            revoke_before: memory.revoke_before,
            condemned: memory.condemned.clone(),
            remove_parameter: memory.remove_parameter,
        }
    }

    /// Puts the removal back into a memory.
    pub fn restore(&self, memory: &mut Memory) {
        memory.revoke_before = memory.revoke_before.max(self.revoke_before);
        memory.condemned.clone_from(&self.condemned);
        memory.remove_parameter |= self.remove_parameter;
    }
}

/// Writes removals to the state table.
#[derive(Clone)]
pub struct Removals<P> {
    ports: P,
    lease: Guard<P>,
}

impl<P: Ports> Removals<P> {
    /// A writer under this lease.
    pub fn new(ports: P, lease: Guard<P>) -> Self {
        Self { ports, lease }
    }

    /// Stores what is left to remove under a name.
    ///
    /// # Errors
    /// Those of the state table.
    pub async fn record(&self, name: &UserName, removal: &Removal) -> Result<(), StateError> {
        let body = serde_json::to_string(removal).unwrap_or_default();
        let record = Record { id: format!("{PREFIX}{name}"), body, token: self.lease.token() };
        self.ports.state().put(&record).await
    }

    /// Nothing is left to remove.
    ///
    /// # Errors
    /// Those of the state table.
    pub async fn forget(&self, name: &UserName) -> Result<(), StateError> {
        self.ports.state().delete(&format!("{PREFIX}{name}"), self.lease.token()).await
    }
}

/// The removals among the records of the state table. Unreadable ones are told and left alone.
pub fn load(records: &[Record]) -> Vec<(UserName, Removal)> {
    let mut removals = Vec::new();
    for record in records {
        let Some(name) = record.id.strip_prefix(PREFIX) else { continue };
        match (UserName::parse(name), serde_json::from_str(&record.body)) {
            (Ok(name), Ok(removal)) => removals.push((name, removal)),
            (name, removal) => {
                let error = name
                    .err()
                    .map(|e| e.to_string())
                    .or(removal.err().map(|e: serde_json::Error| e.to_string()));
                tracing::error!(
                    record = record.id,
                    error,
                    "a removal in the state table is unreadable; left alone"
                );
            }
        }
    }
    removals
}

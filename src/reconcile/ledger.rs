//! What is kept of a user between two looks.

use std::collections::BTreeMap;

use crate::core::memory::{Memory, SETTLE};
use crate::core::observed::{Key, Observed, User};
use crate::core::time::Timestamp;
use crate::core::user::UserName;
use crate::removals::Removal;

/// All spellings of one name: IAM takes them for one user, so they are worked on as one.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Every spelling that is in the table, or waits for something.
    pub files: BTreeMap<UserName, File>,
    /// Looks that failed one after another.
    pub failures: u32,
    /// When the user was last looked at in full without a failure.
    pub settled_at: Option<Timestamp>,
}

/// What is kept of one spelling.
#[derive(Debug, Default)]
pub struct File {
    /// What the planner remembers.
    pub memory: Memory,
    /// Its removal as it is recorded in the state table.
    pub recorded: Option<Removal>,
    /// How often in a row IAM has refused to delete the user for what it still has.
    pub conflicts: u32,
    believed: Option<Believed>,
}

/// What IAM's side of the user is after our own last change, which reads may not show yet.
#[derive(Debug)]
struct Believed {
    user: Option<User>,
    keys: Vec<Key>,
    until: Timestamp,
    /// Whether it rests on reads that could not be older than the last change.
    settled: bool,
}

impl File {
    /// Whether something has to be removed under this name, whatever the table says now.
    pub fn has_obligation(&self) -> bool {
        let memory = &self.memory;
        memory.revoke_before.is_some() || memory.condemned.is_some() || memory.remove_parameter
    }

    /// Takes what is observed for what IAM has, until IAM is sure to show it. `settled` says whether
    /// what was read before could be relied on.
    pub fn believe(&mut self, observed: &Observed, settled: bool, now: Timestamp) {
        self.memory.last_change = Some(now);
        let (user, keys) = (observed.user.clone(), observed.keys.clone());
        self.believed = Some(Believed { user, keys, until: now + SETTLE, settled });
    }

    /// Something was not as believed: read it again.
    pub fn doubt(&mut self) {
        self.believed = None;
    }

    /// IAM's side of the user, when it need not and must not be read.
    pub fn believed(&self, now: Timestamp) -> Option<(Option<User>, Vec<Key>)> {
        let believed = self.belief(now)?;
        Some((believed.user.clone(), believed.keys.clone()))
    }

    /// Until when what is believed stands for what a read would show.
    pub fn believed_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.belief(now).map(|believed| believed.until)
    }

    /// Whether what is known of IAM cannot be older than its last change.
    pub fn reads_settled(&self, now: Timestamp) -> bool {
        match self.belief(now) {
            Some(believed) => believed.settled,
            None => self.memory.unsettled_until(now).is_none(),
        }
    }

    fn belief(&self, now: Timestamp) -> Option<&Believed> {
        self.believed.as_ref().filter(|believed| now < believed.until)
    }
}

//! The rules that an operator may set, as the planner reads them.

use std::time::Duration;

use super::ownership::Ownership;

/// Everything in the configuration that decides what happens to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The users table for which users are owned, and the proof of it.
    pub ownership: Ownership,
    /// ARN that every user must have as its permissions boundary; `None` leaves boundaries alone.
    pub boundary: Option<String>,
    /// Which existing users may be taken over.
    pub adopt: Adopt,
    /// IAM paths at or below which they may be: `users.path`, and those of `users.adopt_paths`.
    pub adopt_paths: Vec<String>,
    /// ARNs of other tables whose users may be taken over: this table succeeds those.
    pub adopt_from: Vec<String>,
    /// Age at which the current key gets a successor.
    pub rotate_after: Duration,
    /// Age at which a key with a successor is deleted.
    pub delete_after: Duration,
    /// How long a successor must have been published before the key before it is deleted.
    pub min_overlap: Duration,
    /// Whether a user that is not owned may be an orphan, and so be deleted.
    pub orphan_scope: OrphanScope,
    /// Whether users with a console login may be orphans, too.
    pub include_console_users: bool,
    /// What to do about keys that the controller did not make.
    pub foreign: ForeignKeys,
    /// What to do about keys that AWS has found in public.
    pub compromised: CompromisedKeys,
    /// Whether a new key must be accepted by AWS before it is published.
    pub verify: bool,
    /// Over how long a time AWS must go on accepting a key that nobody waits for.
    pub verify_for: Duration,
    /// How long to wait for all of that.
    pub verify_timeout: Duration,
}

/// Which users that exist but are not owned may be taken over, when a row names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adopt {
    /// None.
    Never,
    /// Those with a tag `<one of its access key ids>` = `current` or `pending_deletion`, below an allowed
    /// path, and without a console login or an MFA device.
    Tagged,
    /// All of them.
    Always,
}

/// What to do about keys on an owned user that the controller did not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignKeys {
    /// Show and count them.
    Report,
    /// Deactivate them; delete them a sweep later.
    Revoke,
}

/// What to do about the keys of a user when AWS quarantines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompromisedKeys {
    /// Replace them without overlap.
    Replace,
    /// Show and count the user.
    Report,
}

/// Which users without an item are orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanScope {
    /// Owned ones.
    Owned,
    /// Every user of the account.
    Account,
}

/// What to do about orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanAction {
    /// Delete them.
    Delete,
    /// Show and count them.
    Report,
}

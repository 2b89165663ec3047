//! The rules that an operator may set, as the planner reads them.

use std::time::Duration;

/// Everything in the configuration that decides what happens to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The users table's name: the value of the ownership tag `iam-user-controller:table`.
    pub table: String,
    /// ARN that every user must have as its permissions boundary; `None` leaves boundaries alone.
    pub boundary: Option<String>,
    /// Which existing users may be taken over.
    pub adopt: Adopt,
    /// Age at which the current key gets a successor.
    pub rotate_after: Duration,
    /// Age at which a key with a successor is deleted.
    pub delete_after: Duration,
    /// How long a successor must have been published before the key before it is deleted.
    pub min_overlap: Duration,
    /// Whether a user that is not owned may be an orphan, and so be deleted.
    pub orphan_scope: OrphanScope,
    /// Whether that goes for users with a console login, too.
    pub include_console_users: bool,
    /// What to do about keys that the controller did not make.
    pub foreign: ForeignKeys,
    /// Whether a new key must be accepted by AWS before it is published.
    pub verify: bool,
    /// How long to wait for that.
    pub verify_timeout: Duration,
}

/// Which users that exist but are not owned may be taken over, when a row names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adopt {
    /// None.
    Never,
    /// Those with a tag `<one of its access key ids>` = `current` or `pending_deletion`.
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

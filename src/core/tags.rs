//! The tags that the controller writes, and what they say.

use super::observed::{Tags, User};
use super::policy::{Adopt, OrphanScope, Policy};
use super::time::Timestamp;
use super::user::AccessKeyId;

/// First half of ownership.
pub const MANAGED_BY: &str = "managed-by";
/// The value of [`MANAGED_BY`].
pub const CONTROLLER: &str = "iam-user-controller";
/// Second half of ownership: the users table's name.
pub const TABLE: &str = "iam-user-controller:table";
/// Time of a mint under way, else [`NOT_MINTING`].
pub const MINTING: &str = "iam-user-controller:minting";
/// The value of [`MINTING`] while no mint is under way.
pub const NOT_MINTING: &str = "none";
/// The value of a key's tag while consumers are to use the key.
pub const CURRENT: &str = "current";
/// The value of a key's tag once it has a successor.
pub const PENDING_DELETION: &str = "pending_deletion";

/// What a key's tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyTag {
    /// The key that consumers use.
    Current,
    /// The key before it.
    PendingDeletion,
}

impl KeyTag {
    /// The tag's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => CURRENT,
            Self::PendingDeletion => PENDING_DELETION,
        }
    }
}

/// Looks a tag up as IAM compares tag keys: without regard to case.
pub(super) fn value<'a>(tags: &'a Tags, key: &str) -> Option<&'a str> {
    let exact = tags.get(key).map(String::as_str);
    exact.or_else(|| tags.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.as_str()))
}

/// Whether both ownership tags match.
pub fn owned(tags: &Tags, table: &str) -> bool {
    value(tags, MANAGED_BY) == Some(CONTROLLER) && value(tags, TABLE) == Some(table)
}

/// The other table from which a user is managed, when its tags name one.
///
/// One tag is enough to leave it alone; to own it takes both.
pub fn other_table<'a>(tags: &'a Tags, table: &str) -> Option<&'a str> {
    value(tags, TABLE).filter(|other| *other != table)
}

/// Whether a sweep may delete the user for want of a row, as far as its tags tell: it is owned, or
/// everybody is in question and it is no other controller's.
pub fn sweepable(tags: &Tags, policy: &Policy) -> bool {
    owned(tags, &policy.table)
        || policy.orphan_scope == OrphanScope::Account && other_table(tags, &policy.table).is_none()
}

/// Why a user that a row names may not be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAdoptable {
    /// `users.adopt = "never"`.
    Never,
    /// It has no tag that names one of its keys.
    NotTagged,
    /// It carries the ownership tags of a controller for this other table.
    OwnedElsewhere(String),
}

/// Whether `policy` lets a row take over this user, which exists and is not owned.
///
/// `keys` are the ids of its access keys: a tag that names a key it does not have proves nothing.
///
/// # Errors
/// Says which rule forbids it.
pub fn adoptable<'a>(
    user: &User,
    mut keys: impl Iterator<Item = &'a AccessKeyId>,
    policy: &Policy,
) -> Result<(), NotAdoptable> {
    match policy.adopt {
        Adopt::Never => Err(NotAdoptable::Never),
        Adopt::Always => Ok(()),
        Adopt::Tagged => match other_table(&user.tags, &policy.table) {
            Some(other) => Err(NotAdoptable::OwnedElsewhere(other.to_owned())),
            _ if keys.any(|key| key_tag(&user.tags, key).is_some()) => Ok(()),
            _ => Err(NotAdoptable::NotTagged),
        },
    }
}

/// The two ownership tags.
pub fn ownership(table: &str) -> Tags {
    Tags::from([(MANAGED_BY.to_owned(), CONTROLLER.to_owned()), (TABLE.to_owned(), table.to_owned())])
}

/// When the mint under way was opened; `None` when there is none, or the tag is unreadable.
pub fn minting_since(tags: &Tags) -> Option<Timestamp> {
    value(tags, MINTING).and_then(Timestamp::parse)
}

/// Whether the tag says in so many words that no mint is under way.
pub fn says_not_minting(tags: &Tags) -> bool {
    value(tags, MINTING) == Some(NOT_MINTING)
}

/// What the tag named after a key says.
pub fn key_tag(tags: &Tags, key: &AccessKeyId) -> Option<KeyTag> {
    match value(tags, key.as_str()) {
        Some(CURRENT) => Some(KeyTag::Current),
        Some(PENDING_DELETION) => Some(KeyTag::PendingDeletion),
        _ => None,
    }
}

/// The tags that speak of keys: the tag's key as it is written, and the key it names.
pub fn key_tags(tags: &Tags) -> impl Iterator<Item = (&String, AccessKeyId)> {
    tags.iter()
        .filter(|(_, value)| matches!(value.as_str(), CURRENT | PENDING_DELETION))
        .filter_map(|(name, _)| AccessKeyId::parse(name).map(|id| (name, id)))
}

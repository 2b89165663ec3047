//! The tags that the controller writes, and what they say.

use super::observed::Tags;
use super::time::Timestamp;
use super::user::AccessKeyId;

/// Ownership: which program. Others use this key, too, with values of their own.
pub const MANAGED_BY: &str = "managed-by";
/// The value of [`MANAGED_BY`].
pub const CONTROLLER: &str = "iam-user-controller";
/// All other tags of ours begin so, but for those that name keys.
pub const OURS: &str = "iam-user-controller:";
/// Ownership: the users table's name.
pub const TABLE: &str = "iam-user-controller:table";
/// Ownership: the users table's ARN. Two Regions may have tables of one name, and IAM is global.
pub const TABLE_ARN: &str = "iam-user-controller:table-arn";
/// Ownership: the proof that this program wrote the other three; see [`seal`](super::seal).
pub const SEAL: &str = "iam-user-controller:seal";
/// Time of a mint under way, else [`NOT_MINTING`].
pub const MINTING: &str = "iam-user-controller:minting";
/// The value of [`MINTING`] while no mint is under way.
pub const NOT_MINTING: &str = "none";
/// The value of a key's tag while consumers are to use the key.
pub const CURRENT: &str = "current";
/// The value of a key's tag once it has a successor.
pub const PENDING_DELETION: &str = "pending_deletion";

/// IAM: a user has at most this many tags, those of others included.
pub const TAGS_PER_USER: usize = 50;

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

//! One mutation of AWS, with every choice already made.

use super::document::KeyDocument;
use super::observed::{Leftover, Tags};
use super::time::Timestamp;
use super::user::{AccessKeyId, UserId};

/// One mutation, and what a crash around it leaves behind.
///
/// "No answer" always means that the call may have taken effect; the next look finds out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Create the user with its boundary, the ownership tags and the `minting` tag, in one call.
    ///
    /// Before: a row, and no such user. Crash before: nothing. Crash after, or no answer: an owned
    /// user with an open mint and no key; rule `lost_mint` waits until no key can appear any more,
    /// then a mint begins anew. Repeating it answers "already exists", which is no failure.
    CreateUser {
        /// Value of the `minting` tag.
        minting: Timestamp,
    },

    /// Put the ownership tags on a user that `users.adopt` allows to be taken over.
    ///
    /// Before: a row, a user that is not owned. Crash before: not owned, adopted at the next look.
    /// Crash after: owned. Safe to repeat.
    Adopt {
        /// The ownership tags, and `minting = none` where there was no such tag.
        tags: Tags,
    },

    /// Put the permissions boundary back.
    ///
    /// Before: owned, with another boundary or none. Safe to repeat.
    RestoreBoundary {
        /// ARN of the policy.
        policy: String,
    },

    /// Write the `minting` tag: from now on an unknown, young key is a lost one of ours.
    ///
    /// Before: owned, boundary right, a free key slot. Crash before: nothing. Crash after: an open
    /// mint without a key; rule `lost_mint` waits it out. Safe to repeat with another time only when
    /// no CreateAccessKey was sent for the first.
    OpenMint {
        /// Value of the tag.
        at: Timestamp,
    },

    /// Mint the key. Sent once for one `minting` tag, never repeated.
    ///
    /// Before: the tag is open and fresh. Crash before: as after `OpenMint`. Crash after, or no
    /// answer: a key whose secret nobody has; rule `lost_mint` knows it by the open tag and its age,
    /// deactivates and deletes it.
    CreateKey,

    /// Write the parameter: all keys that consumers may use, in one document.
    ///
    /// Before: a proven key in hand, or a dead key in the document. Crash before: as after
    /// `CreateKey`, or as it was. Crash after, or no answer: published; the tags follow by rule `tags`.
    /// Safe to repeat.
    Publish {
        /// The whole document.
        document: KeyDocument,
        /// Whether it publishes a new key, or only forgets a dead one.
        minted: Option<AccessKeyId>,
    },

    /// Make the tags say what the document says, and close the mint, in one call.
    ///
    /// Before: published. Crash before: the document is the authority, so nothing is at stake; the
    /// next look writes them. Safe to repeat.
    TagKeys {
        /// Only those that differ.
        tags: Tags,
    },

    /// Remove the tags of keys that are gone.
    ///
    /// Before: the keys are neither in IAM nor `current` in the document. Safe to repeat.
    UntagKeys {
        /// The tags' keys as they are written.
        tags: Vec<String>,
    },

    /// Make AWS refuse a key, as the first half of deleting it.
    ///
    /// Before: the user is being removed, or the key is a lost mint, or foreign and revoked. Crash
    /// after: the key is inactive, and the rule that asked for it deletes it at the next look.
    DeactivateKey {
        /// The key.
        key: AccessKeyId,
    },

    /// Delete a key that nobody should use any more.
    ///
    /// Before: pending, past `delete_after`, its successor published for `min_overlap`; or lost,
    /// rejected, revoked, compromised, or its user is being removed. Crash after, or no answer: the
    /// document and the tags still name it; rules `forget` and `untag` clear both. Safe to repeat.
    DeleteKey {
        /// The key.
        key: AccessKeyId,
    },

    /// Remove one thing that keeps IAM from deleting the user.
    ///
    /// Before: deletion granted, all keys gone. Crash after: listed anew at the next look. Safe to
    /// repeat.
    Remove {
        /// The thing.
        leftover: Leftover,
    },

    /// Delete the user.
    ///
    /// Before: deletion granted, nothing left on it. Crash after, or no answer: the record of the
    /// granted deletion is still there, so that the parameter goes at the next look. Safe to repeat.
    DeleteUser {
        /// The id that was granted.
        user: UserId,
    },

    /// Delete the parameter with all its versions.
    ///
    /// Before: the user is gone and has no row. Crash before: the record of the granted deletion, or
    /// the unsettled REMOVE record, brings the next look here. Safe to repeat.
    DeleteParameter,
}

impl Step {
    /// A short name in snake case, for metrics, logs and plans.
    pub fn action(&self) -> &'static str {
        match self {
            Self::CreateUser { .. } => "create_user",
            Self::Adopt { .. } => "adopt",
            Self::RestoreBoundary { .. } => "restore_boundary",
            Self::OpenMint { .. } => "open_mint",
            Self::CreateKey => "create_key",
            Self::Publish { minted: Some(_), .. } => "publish",
            Self::Publish { minted: None, .. } => "forget_key",
            Self::TagKeys { .. } => "tag_keys",
            Self::UntagKeys { .. } => "untag_keys",
            Self::DeactivateKey { .. } => "deactivate_key",
            Self::DeleteKey { .. } => "delete_key",
            Self::Remove { .. } => "remove_leftover",
            Self::DeleteUser { .. } => "delete_user",
            Self::DeleteParameter => "delete_parameter",
        }
    }

    /// All names that [`Step::action`] gives.
    pub const ACTIONS: [&'static str; 14] = [
        "create_user",
        "adopt",
        "restore_boundary",
        "open_mint",
        "create_key",
        "publish",
        "forget_key",
        "tag_keys",
        "untag_keys",
        "deactivate_key",
        "delete_key",
        "remove_leftover",
        "delete_user",
        "delete_parameter",
    ];

    /// The key that it speaks of.
    pub fn key(&self) -> Option<&AccessKeyId> {
        match self {
            Self::DeactivateKey { key } | Self::DeleteKey { key } => Some(key),
            Self::Publish { minted, .. } => minted.as_ref(),
            Self::CreateUser { .. }
            | Self::Adopt { .. }
            | Self::RestoreBoundary { .. }
            | Self::OpenMint { .. }
            | Self::CreateKey
            | Self::TagKeys { .. }
            | Self::UntagKeys { .. }
            | Self::Remove { .. }
            | Self::DeleteUser { .. }
            | Self::DeleteParameter => None,
        }
    }

    /// Whether the user's id and ownership are read anew right before it.
    pub fn takes_away(&self) -> bool {
        matches!(
            self,
            Self::DeactivateKey { .. }
                | Self::DeleteKey { .. }
                | Self::Remove { .. }
                | Self::DeleteUser { .. }
        )
    }
}

//! What was seen in AWS, in the domain's own words.

use std::collections::BTreeMap;

use super::document::KeyDocument;
use super::time::Timestamp;
use super::user::{AccessKeyId, UserId, UserName};

/// An IAM user, as GetUser tells it. May be stale for seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name as IAM spells it.
    pub name: UserName,
    /// The id, which no other user ever has.
    pub id: UserId,
    /// When it was created; IAM tells whole seconds.
    pub created: Timestamp,
    /// The ARN of the policy that limits what the user can become.
    pub boundary: Option<String>,
    /// Its tags; IAM compares their keys without regard to case.
    pub tags: Tags,
}

/// The tags of a user.
pub type Tags = BTreeMap<String, String>;

/// An access key, as ListAccessKeys tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The public half.
    pub id: AccessKeyId,
    /// Whether AWS accepts it.
    pub active: bool,
    /// When it was created; IAM tells whole seconds.
    pub created: Timestamp,
}

/// What is stored under the user's parameter name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// SSM says that there is no such parameter.
    Missing,
    /// The key document.
    Document {
        /// The keys that consumers read.
        document: KeyDocument,
        /// When it was last written, by SSM's clock.
        modified: Timestamp,
    },
    /// A SecureString with something else in it.
    Unreadable {
        /// Why it is not the document; quotes nothing of it.
        reason: String,
        /// When it was last written, by SSM's clock.
        modified: Timestamp,
    },
    /// A String or StringList. SSM cannot change a parameter's type, so a person has to.
    NotSecure,
}

/// Begins the names of the policies that AWS attaches to a user whose key it has found in public.
const QUARANTINE: &str = "AWSCompromisedKeyQuarantine";

/// A user of the account, as one page of the whole account tells it: enough to see who needs a
/// look, never enough to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The user itself.
    pub user: User,
    /// Names of the managed policies attached to it.
    pub attached_policies: Vec<String>,
}

impl Glance {
    /// Whether AWS has found a key of the user in public, and nobody has detached its policy since.
    pub fn is_quarantined(&self) -> bool {
        self.attached_policies.iter().any(|policy| policy.starts_with(QUARANTINE))
    }
}

/// Something that IAM demands gone before it deletes a user. The order of the variants is the
/// order of the teardown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leftover {
    /// A console password.
    LoginProfile,
    /// An MFA device; a virtual one has the user's account in its ARN and is deleted, not just
    /// detached.
    MfaDevice {
        /// Serial number, or ARN of a virtual device.
        serial: String,
    },
    /// An SSH public key (CodeCommit).
    SshPublicKey(String),
    /// An X.509 signing certificate.
    SigningCertificate(String),
    /// A service-specific credential (CodeCommit, Keyspaces, Bedrock).
    ServiceCredential(String),
    /// Membership in a group.
    Group(String),
    /// An inline policy.
    InlinePolicy(String),
    /// A managed policy, by ARN.
    AttachedPolicy(String),
}

/// All that one look at a user saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The user; `None` when IAM says that there is none.
    pub user: Option<User>,
    /// Its access keys, oldest first.
    pub keys: Vec<Key>,
    /// Its parameter.
    pub stored: Stored,
    /// What must go before the user can be deleted; only listed for a teardown.
    pub leftovers: Option<Vec<Leftover>>,
}

impl Stored {
    /// The document, when there is one.
    pub fn document(&self) -> Option<&KeyDocument> {
        match self {
            Self::Document { document, .. } => Some(document),
            Self::Missing | Self::Unreadable { .. } | Self::NotSecure => None,
        }
    }

    /// When the parameter was last written.
    pub fn modified(&self) -> Option<Timestamp> {
        match self {
            Self::Document { modified, .. } | Self::Unreadable { modified, .. } => Some(*modified),
            Self::Missing | Self::NotSecure => None,
        }
    }
}

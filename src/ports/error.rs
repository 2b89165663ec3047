//! Why a call brought no answer that the caller can use, and what a change that was made leaves behind.

use std::fmt;
use std::time::Duration;

/// What kind of failure it was. Each kind is one way to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The thing acted on is not there.
    NotFound,
    /// The thing to be created is there already.
    AlreadyExists,
    /// Something else stands in the way now (leftovers, a change under way): look again, then retry.
    Conflict,
    /// A quota is used up; waiting alone does not help.
    Quota,
    /// Refused for load; certainly without effect.
    Throttled {
        /// How long AWS asked to wait, when it said.
        retry_after: Option<Duration>,
    },
    /// The credentials in use may not do this.
    Denied,
    /// AWS will never accept this request as it is.
    Invalid,
    /// A time-out, a broken connection or a 5xx: it may have happened.
    Indeterminate,
}

impl Fault {
    /// A short name in snake case, for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::Quota => "quota",
            Self::Throttled { .. } => "throttled",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Indeterminate => "indeterminate",
        }
    }
}

/// A failed call: its kind for the program, its words for a person. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CallError {
    /// What the caller can do about it.
    pub fault: Fault,
    /// Which call, as `service:Operation` (`iam:CreateUser`), the way policies name it.
    pub call: &'static str,
    /// AWS's code and message and request id, or what broke on the way.
    pub detail: String,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.fault.as_str())?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        Ok(())
    }
}

/// Proof that AWS accepted a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// AWS's request id, for its support and for CloudTrail; empty when the answer had none.
    pub request_id: String,
}

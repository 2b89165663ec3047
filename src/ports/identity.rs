//! Who is calling.

use std::future::Future;

use super::CallError;
use crate::core::secret::Secret;
use crate::core::user::{AccessKeyId, Own, UserId};

/// The principal behind the controller's own credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The 12-digit account.
    pub account: String,
    /// Its ARN.
    pub arn: String,
    /// Its unique id (`AIDA…` for a user, `AROA…:session` for a role).
    pub user_id: String,
}

impl Caller {
    /// The user that it is, or the session. A session of a user's own (GetSessionToken) is that user to
    /// AWS; one of a role or a federated user ends in its name:
    /// `arn:aws:sts::123456789012:assumed-role/role/session`.
    pub fn own(self) -> Own {
        let resource = self.arn.splitn(6, ':').nth(5).unwrap_or_default();
        let session = (resource.split_once('/'))
            .filter(|(kind, _)| matches!(*kind, "assumed-role" | "federated-user"))
            .and_then(|(_, names)| names.rsplit('/').next())
            .map(str::to_owned);
        Own { user: resource.starts_with("user/").then_some(UserId(self.user_id)), session }
    }
}

/// What AWS said to a call that was signed with a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The key works.
    Accepted,
    /// The server that answered does not know the key yet.
    Refused {
        /// With which code.
        code: String,
    },
}

/// Who a key belongs to. Implemented by STS and by the simulated account.
pub trait Identity: Send + Sync {
    /// Who the controller itself is.
    fn caller(&self) -> impl Future<Output = Result<Caller, CallError>> + Send;

    /// Signs a call with the given key, on a connection that no other call uses: another server may answer
    /// each. A refusal is [`Proof::Refused`], not an error.
    fn prove(
        &self,
        key: &AccessKeyId,
        secret: &Secret,
    ) -> impl Future<Output = Result<Proof, CallError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_a_user_or_a_session_with_a_name() {
        let own = |resource: &str| {
            let arn = format!("arn:aws-cn:sts::123456789012:{resource}");
            let own = Caller { account: String::new(), arn, user_id: "AIDA1".to_owned() }.own();
            (own.user.map(|id| id.0), own.session)
        };
        let (user, session) = (Some("AIDA1".to_owned()), |name: &str| Some(name.to_owned()));
        assert_eq!(own("user/robot"), (user.clone(), None));
        assert_eq!(own("user/staff/robots/robot"), (user, None));
        assert_eq!(own("assumed-role/controller/anna"), (None, session("anna")));
        assert_eq!(own("federated-user/anna"), (None, session("anna")));
        assert_eq!(own("role/user/anna"), (None, None));
        assert_eq!(own("root"), (None, None));
    }
}

//! STS: who is calling, and whether a new key has spread yet.

use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::user::AccessKeyId;
use iam_user_controller::ports::{CallError, Caller, Identity, Proof};

use super::{ACCOUNT, ReplicaPorts};
use crate::faults::Call;

impl Identity for ReplicaPorts {
    async fn caller(&self) -> Result<Caller, CallError> {
        self.read(Call::Caller, "", |world| {
            let own = world.conduct.own_user.as_deref().and_then(|name| world.iam.live(name));
            if let Some(user) = own {
                return Ok(Caller {
                    account: ACCOUNT.to_owned(),
                    arn: format!("arn:aws:iam::{ACCOUNT}:user/{}", user.name),
                    user_id: user.id.0.clone(),
                });
            }
            Ok(Caller {
                account: ACCOUNT.to_owned(),
                arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/controller/simulated"),
                user_id: "AROASIMULATEDSIMULATE:simulated".to_owned(),
            })
        })
        .await
    }

    async fn prove(&self, key: &AccessKeyId, secret: &Secret) -> Result<Proof, CallError> {
        self.read(Call::Prove, key.as_str(), |world| {
            let now = world.now;
            let works = world.iam.all().any(|(_, user)| {
                user.live_key(key).is_some_and(|known| {
                    *known.active.get() && known.usable_ms <= now && known.secret == secret.expose()
                })
            });
            Ok(if works { Proof::Accepted } else { Proof::NotYet })
        })
        .await
    }
}

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
            // Each proof meets another host: some know a key before all of them do.
            let early = world.conduct.early_per_mille;
            let knows_early = early > 0 && world.prng.chance(early);
            let now = world.now;
            let accepted = world.iam.key_mut(key).is_some_and(|known| {
                let known_here = known.usable_ms <= now || knows_early;
                let accepted = *known.active.get() && known_here && known.secret == secret.expose();
                if accepted {
                    known.accepted_ms.push(now);
                } else {
                    known.accepted_ms.clear();
                }
                accepted
            });
            let code = "InvalidClientTokenId".to_owned();
            Ok(if accepted { Proof::Accepted } else { Proof::Refused { code } })
        })
        .await
    }
}

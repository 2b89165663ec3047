//! Who a key belongs to: the port [`Identity`] on STS.

use aws_config::SdkConfig;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::{Builder, Credentials, IdentityCache};

use super::errors::{code, failed, unexpected};
use super::intercept::Watch;
use super::limits;
use super::whole::WholeAnswers;
use crate::core::secret::Secret;
use crate::core::user::AccessKeyId;
use crate::ports::{CallError, Caller, Identity, Proof};

/// Codes with which AWS refuses a key that it does not know yet, or knows only in part.
const NOT_YET: &[&str] = &[
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "AuthFailure",
];

/// Codes with which AWS refuses a caller that it knows: a key is authenticated before anything is
/// authorised. Policies cannot deny GetCallerIdentity, but those of a VPC endpoint can.
const KNOWN: &[&str] = &["AccessDenied", "AccessDeniedException"];

/// STS.
#[derive(Clone, Debug)]
pub struct Sts {
    own: Client,
    /// For the clients that sign with a new key: the same endpoint, region and connections.
    proving: Builder,
}

impl Sts {
    pub(super) fn new(config: &SdkConfig, watch: &Watch) -> Self {
        let builder = |(retry, timeouts)| {
            let config = Builder::from(config).retry_config(retry).timeout_config(timeouts);
            config.interceptor(watch.clone()).interceptor(WholeAnswers)
        };
        Self {
            own: Client::from_conf(builder(limits::read()).build()),
            proving: builder(limits::once(limits::LONGEST_PROOF)),
        }
    }
}

impl Identity for Sts {
    async fn caller(&self) -> Result<Caller, CallError> {
        const CALL: &str = "sts:GetCallerIdentity";
        let output = self.own.get_caller_identity().send().await.map_err(|error| failed(CALL, &error))?;
        match (output.account, output.arn, output.user_id) {
            (Some(account), Some(arn), Some(user_id)) => Ok(Caller { account, arn, user_id }),
            _ => Err(unexpected(CALL, "the answer does not say who is calling")),
        }
    }

    async fn prove(&self, key: &AccessKeyId, secret: &Secret) -> Result<Proof, CallError> {
        // The SDK's cache of credentials would keep the secret for as long as the program runs.
        let config = self
            .proving
            .clone()
            .identity_cache(IdentityCache::no_cache())
            .credentials_provider(Credentials::new(key.as_str(), secret.expose(), None, None, "a new key"))
            .build();
        match Client::from_conf(config).get_caller_identity().send().await {
            Ok(_) => Ok(Proof::Accepted),
            Err(error) if code(&error).is_some_and(|code| KNOWN.contains(&code)) => Ok(Proof::Accepted),
            Err(error) if code(&error).is_some_and(|code| NOT_YET.contains(&code)) => Ok(Proof::NotYet),
            Err(error) => Err(failed("sts:GetCallerIdentity", &error)),
        }
    }
}

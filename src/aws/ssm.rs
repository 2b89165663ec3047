//! Parameters: the port [`Vault`] on SSM Parameter Store.
//!
//! What is written and what is read here are secrets: neither is ever formatted, nor is an answer
//! that was not understood.

use aws_config::SdkConfig;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::Builder;
use aws_sdk_ssm::types::{ParameterTier, ParameterType};

use super::errors::{absent, dated, failed, receipt, unexpected};
use super::intercept::Watch;
use super::limits;
use crate::core::parameter_name::ParameterName;
use crate::core::secret::Secret;
use crate::ports::{CallError, ParameterValue, Receipt, Vault};

/// SSM: a standard parameter's value has at most this many bytes; an advanced one costs money.
const STANDARD_BYTES: usize = 4_096;

/// SSM Parameter Store.
#[derive(Clone, Debug)]
pub struct ParameterStore {
    reads: Client,
    changes: Client,
    kms_key_id: Option<String>,
}

impl ParameterStore {
    pub(super) fn new(config: &SdkConfig, watch: &Watch, kms_key_id: Option<String>) -> Self {
        let client = |(retry, timeouts)| {
            let config = Builder::from(config).retry_config(retry).timeout_config(timeouts);
            Client::from_conf(config.interceptor(watch.clone()).build())
        };
        Self {
            reads: client(limits::read()),
            changes: client(limits::once(limits::LONGEST_CHANGE)),
            kms_key_id,
        }
    }
}

impl Vault for ParameterStore {
    async fn get(&self, name: &ParameterName) -> Result<Option<ParameterValue>, CallError> {
        const CALL: &str = "ssm:GetParameter";
        match self.reads.get_parameter().name(name.as_str()).with_decryption(true).send().await {
            Ok(output) => {
                let parameter = output.parameter.ok_or_else(|| unexpected(CALL, "the answer is empty"))?;
                let text = parameter.value.ok_or_else(|| unexpected(CALL, "the answer holds no value"))?;
                Ok(Some(ParameterValue {
                    text: Secret::new(text),
                    secure: parameter.r#type == Some(ParameterType::SecureString),
                    modified: dated(CALL, parameter.last_modified_date.as_ref())?,
                }))
            }
            Err(error) => absent(failed(CALL, &error)),
        }
    }

    async fn put(&self, name: &ParameterName, text: &Secret) -> Result<Receipt, CallError> {
        // Left out, the tier stays what it is: SSM refuses to make an advanced parameter standard.
        let tier = (text.expose().len() > STANDARD_BYTES).then_some(ParameterTier::Advanced);
        let output = self
            .changes
            .put_parameter()
            .name(name.as_str())
            .value(text.expose())
            .r#type(ParameterType::SecureString)
            .overwrite(true)
            .set_key_id(self.kms_key_id.clone())
            .set_tier(tier)
            .send()
            .await;
        output.map(|output| receipt(&output)).map_err(|error| failed("ssm:PutParameter", &error))
    }

    async fn delete(&self, name: &ParameterName) -> Result<Receipt, CallError> {
        let output = self.changes.delete_parameter().name(name.as_str()).send().await;
        output.map(|output| receipt(&output)).map_err(|error| failed("ssm:DeleteParameter", &error))
    }
}

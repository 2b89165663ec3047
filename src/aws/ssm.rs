//! Parameters: the port [`Vault`] on SSM Parameter Store.
//!
//! What is written and what is read here are secrets: neither is ever formatted, nor is an answer
//! that was not understood.

use aws_config::SdkConfig;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::Builder;
use aws_sdk_ssm::types::{ParameterStringFilter, ParameterTier, ParameterType};

use super::errors::{absent, dated, failed, receipt, unexpected};
use super::intercept::Watch;
use super::limits;
use crate::core::parameter::{Tier, Version};
use crate::core::parameter_name::ParameterName;
use crate::core::secret::Secret;
use crate::ports::{CallError, ParameterValue, Receipt, Vault, Written};

/// SSM: a standard parameter's value has at most this many bytes; an advanced one costs money.
const STANDARD_BYTES: usize = 4_096;

/// A filter for one name has one page; SSM may put empty ones before it.
const MAX_PAGES: usize = 16;

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
            reads: client(limits::once(limits::READ_ATTEMPT)),
            changes: client(limits::once(limits::LONGEST_CHANGE)),
            kms_key_id,
        }
    }
}

/// SSM counts versions from 1. Without a number it could not be told which read is late.
fn counted(call: &'static str, version: i64) -> Result<u64, CallError> {
    u64::try_from(version)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| unexpected(call, "the answer lacks a version"))
}

impl Vault for ParameterStore {
    async fn get(&self, name: &ParameterName) -> Result<Option<ParameterValue>, CallError> {
        const CALL: &str = "ssm:GetParameter";
        match self.reads.get_parameter().name(name.as_str()).with_decryption(true).send().await {
            Ok(output) => {
                let parameter = output.parameter.ok_or_else(|| unexpected(CALL, "the answer is empty"))?;
                let text = parameter.value.ok_or_else(|| unexpected(CALL, "the answer holds no value"))?;
                let modified = dated(CALL, parameter.last_modified_date.as_ref())?;
                let number = counted(CALL, parameter.version)?;
                Ok(Some(ParameterValue {
                    text: Secret::new(text),
                    secure: parameter.r#type == Some(ParameterType::SecureString),
                    version: Version { modified, number },
                }))
            }
            Err(error) => absent(failed(CALL, &error)),
        }
    }

    async fn tier(&self, name: &ParameterName) -> Result<Option<Tier>, CallError> {
        const CALL: &str = "ssm:DescribeParameters";
        let filter = ParameterStringFilter::builder().key("Name").option("Equals").values(name.as_str());
        // Cannot fail: the key is there.
        let filter = filter.build().map_err(|_| unexpected(CALL, "the request could not be made"))?;
        let mut token = None;
        // A page may be empty and yet not the last one.
        for _ in 0..MAX_PAGES {
            let request = self.reads.describe_parameters().parameter_filters(filter.clone());
            let output = request.set_next_token(token).send().await.map_err(|error| failed(CALL, &error))?;
            if let Some(found) = output.parameters().iter().find(|found| found.name() == Some(name.as_str()))
            {
                let advanced = found.tier() == Some(&ParameterTier::Advanced);
                return Ok(Some(if advanced { Tier::Advanced } else { Tier::Standard }));
            }
            token = output.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(None);
            }
        }
        Err(unexpected(CALL, "the pages have no end"))
    }

    async fn put(&self, name: &ParameterName, text: &Secret, tier: Tier) -> Result<Written, CallError> {
        const CALL: &str = "ssm:PutParameter";
        // Left out, it is the account's default: not even Standard is said where that may be another.
        let advanced = tier == Tier::Advanced || text.expose().len() > STANDARD_BYTES;
        let tier = advanced.then_some(ParameterTier::Advanced);
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
            .await
            .map_err(|error| failed(CALL, &error))?;
        Ok(Written { number: counted(CALL, output.version)?, receipt: receipt(&output) })
    }

    async fn delete(&self, name: &ParameterName) -> Result<Receipt, CallError> {
        let output = self.changes.delete_parameter().name(name.as_str()).send().await;
        output.map(|output| receipt(&output)).map_err(|error| failed("ssm:DeleteParameter", &error))
    }
}

//! `[parameters]`: where and how keys are stored in SSM.

use crate::core::parameter_name::ParameterTemplate;

use super::key::Key;
use super::reader::Reader;

const NAME: Key = Key::of("parameters", "name");
const KMS_KEY_ID: Key = Key::of("parameters", "kms_key_id");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[NAME, KMS_KEY_ID];

/// The parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// What they are called.
    pub template: ParameterTemplate,
    /// The KMS key that encrypts them; `None` is the account's own for SSM.
    pub kms_key_id: Option<String>,
}

impl Parameters {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let valid_name =
            "an SSM parameter name in a folder, with {UserName} once, as in /iam_users/{UserName}_keys";
        let template = reader.required(NAME, valid_name, |raw| raw.text().and_then(ParameterTemplate::parse));
        let valid_key = "a KMS key's id or ARN, or an alias (alias/… or its ARN)";
        let kms_key_id = reader.optional(KMS_KEY_ID, valid_key, |raw| raw.text().and_then(kms_key));
        Some(Self { template: template?, kms_key_id })
    }
}

/// Checks what SSM's PutParameter checks of a `KeyId`.
fn kms_key(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '_' | '-');
    if let Some(refused) = text.chars().find(|c| !allowed(*c)) {
        return Err(format!("SSM does not allow {refused:?} in it"));
    }
    if text.len() > 256 {
        return Err(format!("it has {} characters; SSM allows 256", text.len()));
    }
    Ok(text.to_owned())
}

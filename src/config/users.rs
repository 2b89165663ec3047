//! `[users]`: what IAM users are made like, and which existing ones may be taken over.

use crate::core::policy::Adopt;

use super::key::Key;
use super::reader::{Reader, one_of};

const PATH: Key = Key::of("users", "path");
const PERMISSIONS_BOUNDARY: Key = Key::of("users", "permissions_boundary");
const ADOPT: Key = Key::of("users", "adopt");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[PATH, PERMISSIONS_BOUNDARY, ADOPT];

const ADOPTIONS: &[(&str, Adopt)] =
    &[("never", Adopt::Never), ("tagged", Adopt::Tagged), ("always", Adopt::Always)];

/// The IAM users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    /// IAM path of the users that are created.
    pub path: String,
    /// ARN of the policy that is every user's permissions boundary.
    pub permissions_boundary: Option<String>,
    /// Which users that are not owned may be taken over.
    pub adopt: Adopt,
}

impl Users {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let valid_path = "an IAM path: / or /…/, at most 512 characters of ASCII without spaces";
        let path = reader.required(PATH, valid_path, |raw| raw.text().and_then(iam_path));
        let valid_boundary = "the ARN of a managed policy, as in arn:aws:iam::123456789012:policy/boundary";
        let permissions_boundary =
            reader.optional(PERMISSIONS_BOUNDARY, valid_boundary, |raw| raw.text().and_then(policy_arn));
        let adopt = reader.required(ADOPT, &one_of(ADOPTIONS), |raw| raw.choice(ADOPTIONS));
        Some(Self { path: path?, permissions_boundary, adopt: adopt? })
    }
}

/// Checks a path as IAM would: `/`, or `/` + U+0021 to U+007E + `/`.
fn iam_path(text: &str) -> Result<String, String> {
    if let Some(refused) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(format!("IAM does not allow {refused:?} in a path"));
    }
    if !text.starts_with('/') || !text.ends_with('/') {
        return Err("it does not begin and end with '/'".to_owned());
    }
    if text == "//" {
        return Err("there is nothing between its two '/'".to_owned());
    }
    if text.len() > 512 {
        return Err(format!("it has {} characters", text.len()));
    }
    Ok(text.to_owned())
}

/// Checks that a text is the ARN of an IAM policy, in whatever partition.
fn policy_arn(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", region, account, resource] = parts[..] else {
        return Err("it is no ARN of IAM".to_owned());
    };
    if partition.is_empty() || !partition.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(format!("{partition:?} is no partition"));
    }
    if !region.is_empty() {
        return Err(format!("IAM's ARNs have no Region, and this has {region:?}"));
    }
    if account != "aws" && !(account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!("{account:?} is no account: 12 digits, or aws for a policy of AWS's own"));
    }
    let Some(policy) = resource.strip_prefix("policy/") else {
        return Err(format!("{resource:?} is no policy"));
    };
    let name = policy.rsplit('/').next().unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !(1..=128).contains(&name.len()) || !name.chars().all(allowed) {
        return Err(format!("{name:?} is no name of a policy: 1 to 128 of A-Z a-z 0-9 _ + = , . @ -"));
    }
    // A policy's path has at most 512 characters, all visible ones.
    if policy.len() > 512 + 128 || !policy.chars().all(|c| c.is_ascii_graphic()) {
        return Err("the path before the policy's name is not one of IAM's".to_owned());
    }
    Ok(text.to_owned())
}

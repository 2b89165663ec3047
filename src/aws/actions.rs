//! Every API action that the program can call, for the policies that must allow it.
//!
//! A machine reads this (the Terraform module renders the role's policy from it), and a test fails
//! when the adapters call anything that is not here or when something here is called by nobody.

use serde::Serialize;

/// One action that the role needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    /// Prefix of the service's actions in policies.
    pub service: &'static str,
    /// The action.
    pub action: &'static str,
    /// What needs it.
    pub feature: Feature,
    /// Whether it changes anything. Dry runs and plans need the others only.
    pub mutating: bool,
    /// What it acts on.
    pub resource: Resource,
    /// The service that calls it with the role's rights, when it is not the program itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<&'static str>,
}

/// A part of the program that can be thought away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Looking at users; every command needs it.
    Observe,
    /// Creating and repairing users.
    Provision,
    /// Making, publishing and deleting keys.
    Rotate,
    /// Proving a new key (`keys.verify`) and knowing oneself.
    Identify,
    /// Deleting users with everything that they have.
    Remove,
    /// Following the table and its stream.
    Follow,
    /// The lease, the checkpoints and the brake.
    Remember,
    /// A KMS key of one's own (`parameters.kms_key_id`).
    Encrypt,
}

/// What a policy statement for an action names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// No resource can be named: `*`.
    Account,
    /// IAM users.
    User,
    /// An IAM group that a user is in.
    Group,
    /// A virtual MFA device.
    MfaDevice,
    /// SSM parameters.
    Parameter,
    /// The users table.
    UsersTable,
    /// The users table's streams.
    Stream,
    /// The state table.
    StateTable,
    /// The KMS key.
    KmsKey,
}

use Feature::{Encrypt, Follow, Identify, Observe, Provision, Remember, Remove, Rotate};
use Resource::{Account, Group, KmsKey, MfaDevice, Parameter, StateTable, Stream, User, UsersTable};

/// All of them.
pub const ACTIONS: &[Action] = &[
    read("iam", "GetAccountAuthorizationDetails", Observe, Account),
    read("iam", "GetUser", Observe, User),
    read("iam", "ListAccessKeys", Observe, User),
    read("iam", "ListAttachedUserPolicies", Observe, User),
    read("iam", "GetLoginProfile", Observe, User),
    read("ssm", "GetParameter", Observe, Parameter),
    change("iam", "CreateUser", Provision, User),
    change("iam", "PutUserPermissionsBoundary", Provision, User),
    change("iam", "TagUser", Provision, User),
    change("iam", "UntagUser", Rotate, User),
    change("iam", "CreateAccessKey", Rotate, User),
    change("iam", "UpdateAccessKey", Rotate, User),
    change("iam", "DeleteAccessKey", Rotate, User),
    change("ssm", "PutParameter", Rotate, Parameter),
    read("sts", "GetCallerIdentity", Identify, Account),
    read("iam", "ListMFADevices", Remove, User),
    read("iam", "ListSSHPublicKeys", Remove, User),
    read("iam", "ListSigningCertificates", Remove, User),
    read("iam", "ListServiceSpecificCredentials", Remove, User),
    read("iam", "ListGroupsForUser", Remove, User),
    read("iam", "ListUserPolicies", Remove, User),
    change("iam", "DeleteLoginProfile", Remove, User),
    change("iam", "DeactivateMFADevice", Remove, User),
    change("iam", "DeleteVirtualMFADevice", Remove, MfaDevice),
    change("iam", "DeleteSSHPublicKey", Remove, User),
    change("iam", "DeleteSigningCertificate", Remove, User),
    change("iam", "DeleteServiceSpecificCredential", Remove, User),
    change("iam", "RemoveUserFromGroup", Remove, Group),
    change("iam", "DeleteUserPolicy", Remove, User),
    change("iam", "DetachUserPolicy", Remove, User),
    change("iam", "DeleteUser", Remove, User),
    change("ssm", "DeleteParameter", Remove, Parameter),
    read("dynamodb", "DescribeTable", Follow, UsersTable),
    read("dynamodb", "GetItem", Follow, UsersTable),
    read("dynamodb", "Scan", Follow, UsersTable),
    read("dynamodb", "DescribeStream", Follow, Stream),
    read("dynamodb", "GetShardIterator", Follow, Stream),
    read("dynamodb", "GetRecords", Follow, Stream),
    read("dynamodb", "DescribeTable", Remember, StateTable),
    read("dynamodb", "GetItem", Remember, StateTable),
    read("dynamodb", "Scan", Remember, StateTable),
    change("dynamodb", "PutItem", Remember, StateTable),
    change("dynamodb", "DeleteItem", Remember, StateTable),
    // SSM encrypts standard parameters with the first, advanced ones with the second, and reads
    // both with the third.
    through_ssm("Encrypt"),
    through_ssm("GenerateDataKey"),
    through_ssm("Decrypt"),
];

const fn read(service: &'static str, action: &'static str, feature: Feature, resource: Resource) -> Action {
    Action { service, action, feature, mutating: false, resource, via: None }
}

const fn change(service: &'static str, action: &'static str, feature: Feature, resource: Resource) -> Action {
    Action { service, action, feature, mutating: true, resource, via: None }
}

const fn through_ssm(action: &'static str) -> Action {
    Action { service: "kms", action, feature: Encrypt, mutating: false, resource: KmsKey, via: Some("ssm") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    /// The adapters' source, without tests: file by file.
    fn sources() -> Vec<(PathBuf, String)> {
        fn walk(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
                    found.push((path, code));
                }
            }
        }
        let mut found = Vec::new();
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/aws"), &mut found);
        found
    }

    /// The operation that the `.send()` at `end` sends. In a chain of the SDK's builders every method
    /// has an argument but the first, which names the operation; the chain may begin in a `let`
    /// before. Something else without an argument in between would be taken for the operation, and
    /// not be in the list.
    fn operation_before(code: &str, end: usize) -> Option<String> {
        let mut depth = 0_u32;
        for (at, c) in code[..end].char_indices().rev() {
            match c {
                ')' | ']' | '}' => depth += 1,
                '(' | '[' | '{' => depth = depth.checked_sub(1)?,
                '.' if depth == 0 => {
                    let rest = &code[at + 1..];
                    let name: String =
                        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                    if rest[name.len()..].starts_with("()") {
                        return Some(name);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn snake(action: &str) -> String {
        let mut snake = String::new();
        let chars: Vec<char> = action.chars().collect();
        for (i, c) in chars.iter().enumerate() {
            let starts_word = c.is_ascii_uppercase()
                && i > 0
                && (chars[i - 1].is_ascii_lowercase()
                    || chars.get(i + 1).is_some_and(char::is_ascii_lowercase));
            if starts_word {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
        }
        snake
    }

    #[test]
    fn every_request_in_the_source_is_listed_and_every_listed_one_is_sent() {
        let listed: BTreeSet<String> =
            ACTIONS.iter().filter(|action| action.via.is_none()).map(|action| snake(action.action)).collect();
        let mut sent = BTreeSet::new();
        for (path, code) in sources() {
            let path = path.display();
            assert!(!code.contains(".send_with(") && !code.contains("into_paginator"), "{path}");
            for (at, _) in code.match_indices(".send()") {
                let operation = operation_before(&code, at);
                sent.insert(
                    operation.unwrap_or_else(|| panic!("{path}: a request that this test cannot read")),
                );
            }
        }
        assert_eq!(sent, listed);
    }

    #[test]
    fn every_error_names_a_listed_action() {
        let listed: BTreeSet<String> =
            ACTIONS.iter().map(|action| format!("{}:{}", action.service, action.action)).collect();
        let mut named = BTreeSet::new();
        for (path, code) in sources().iter().filter(|(path, _)| !path.ends_with("errors.rs")) {
            for service in ["iam", "ssm", "sts", "dynamodb"] {
                for (at, _) in code.match_indices(&format!("\"{service}:")) {
                    let name = code[at + 1..].split('"').next().unwrap().to_owned();
                    assert!(listed.contains(&name), "{}: {name}", path.display());
                    named.insert(name);
                }
            }
        }
        let unnamed: Vec<_> = listed.difference(&named).filter(|name| !name.starts_with("kms:")).collect();
        assert!(unnamed.is_empty(), "{unnamed:?}");
    }

    #[test]
    fn the_list_is_read_by_machines() {
        let json = serde_json::to_value(ACTIONS).unwrap();
        assert_eq!(
            json[0],
            serde_json::json!({
                "service": "iam", "action": "GetAccountAuthorizationDetails", "feature": "observe",
                "mutating": false, "resource": "account"
            })
        );
    }
}

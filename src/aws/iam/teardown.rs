//! What IAM demands gone before it deletes a user, keys apart: finding it and removing it.
//!
//! An endpoint that has no such action for a kind has nothing of that kind. IAM itself has them all;
//! some emulators do not.

use std::time::Duration;

use aws_sdk_iam::Client;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::Iam;
use super::pages::{self, Listed};
use crate::aws::errors::{failed, is_unknown_action, receipt, unexpected};
use crate::aws::limits::LONGEST_CHANGE;
use crate::core::observed::Leftover;
use crate::core::user::UserName;
use crate::ports::{CallError, Directory, Fault, Receipt};

/// Everything there is, in teardown order. The kinds are asked about at once: they are eight calls,
/// and a user without leftovers is the rule.
pub(super) async fn leftovers(iam: &Iam, user: &UserName) -> Result<Vec<Leftover>, CallError> {
    let (client, name) = (&iam.reads, user.as_str());
    let (login, mfa, ssh, certificates, credentials, groups, inline, attached) = tokio::try_join!(
        iam.has_console_login(user),
        mfa_devices(client, name),
        ssh_public_keys(client, name),
        signing_certificates(client, name),
        service_credentials(client, name),
        groups(client, name),
        inline_policies(client, name),
        attached_policies(client, name),
    )?;
    let login = login.then_some(Leftover::LoginProfile);
    let kinds = [mfa, ssh, certificates, credentials, groups, inline, attached];
    Ok(login.into_iter().chain(kinds.into_iter().flatten()).collect())
}

/// One answer to a question about one kind.
fn listed<O, E>(
    call: &'static str,
    answer: Result<O, SdkError<E, HttpResponse>>,
    take: impl FnOnce(O) -> Listed<Leftover>,
) -> Result<Listed<Leftover>, CallError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Ok(page) => Ok(take(page)),
        Err(error) if is_unknown_action(&error) => Ok((Vec::new(), None)),
        Err(error) => Err(failed(call, &error)),
    }
}

async fn mfa_devices(client: &Client, name: &str) -> Result<Vec<Leftover>, CallError> {
    const CALL: &str = "iam:ListMFADevices";
    pages::all(CALL, |marker| async move {
        let answer = client.list_mfa_devices().user_name(name).set_marker(marker).send().await;
        listed(CALL, answer, |page| {
            let devices = page.mfa_devices.into_iter();
            (
                devices.map(|device| Leftover::MfaDevice { serial: device.serial_number }).collect(),
                pages::marker(page.is_truncated, page.marker),
            )
        })
    })
    .await
}

async fn ssh_public_keys(client: &Client, name: &str) -> Result<Vec<Leftover>, CallError> {
    const CALL: &str = "iam:ListSSHPublicKeys";
    pages::all(CALL, |marker| async move {
        let answer = client.list_ssh_public_keys().user_name(name).set_marker(marker).send().await;
        listed(CALL, answer, |page| {
            let keys = page.ssh_public_keys.unwrap_or_default().into_iter();
            (
                keys.map(|key| Leftover::SshPublicKey(key.ssh_public_key_id)).collect(),
                pages::marker(page.is_truncated, page.marker),
            )
        })
    })
    .await
}

async fn signing_certificates(client: &Client, name: &str) -> Result<Vec<Leftover>, CallError> {
    const CALL: &str = "iam:ListSigningCertificates";
    pages::all(CALL, |marker| async move {
        let answer = client.list_signing_certificates().user_name(name).set_marker(marker).send().await;
        listed(CALL, answer, |page| {
            let certificates = page.certificates.into_iter();
            (
                certificates.map(|one| Leftover::SigningCertificate(one.certificate_id)).collect(),
                pages::marker(page.is_truncated, page.marker),
            )
        })
    })
    .await
}

async fn service_credentials(client: &Client, name: &str) -> Result<Vec<Leftover>, CallError> {
    const CALL: &str = "iam:ListServiceSpecificCredentials";
    pages::all(CALL, |marker| async move {
        let answer =
            client.list_service_specific_credentials().user_name(name).set_marker(marker).send().await;
        listed(CALL, answer, |page| {
            let credentials = page.service_specific_credentials.unwrap_or_default().into_iter();
            (
                credentials
                    .map(|one| Leftover::ServiceCredential(one.service_specific_credential_id))
                    .collect(),
                pages::marker(page.is_truncated, page.marker),
            )
        })
    })
    .await
}

async fn groups(client: &Client, name: &str) -> Result<Vec<Leftover>, CallError> {
    const CALL: &str = "iam:ListGroupsForUser";
    pages::all(CALL, |marker| async move {
        let answer = client.list_groups_for_user().user_name(name).set_marker(marker).send().await;
        listed(CALL, answer, |page| {
            let groups = page.groups.into_iter();
            (
                groups.map(|group| Leftover::Group(group.group_name)).collect(),
                pages::marker(page.is_truncated, page.marker),
            )
        })
    })
    .await
}

async fn inline_policies(client: &Client, name: &str) -> Result<Vec<Leftover>, CallError> {
    const CALL: &str = "iam:ListUserPolicies";
    pages::all(CALL, |marker| async move {
        let answer = client.list_user_policies().user_name(name).set_marker(marker).send().await;
        listed(CALL, answer, |page| {
            let names = page.policy_names.into_iter();
            (names.map(Leftover::InlinePolicy).collect(), pages::marker(page.is_truncated, page.marker))
        })
    })
    .await
}

async fn attached_policies(client: &Client, name: &str) -> Result<Vec<Leftover>, CallError> {
    const CALL: &str = "iam:ListAttachedUserPolicies";
    pages::all(CALL, |marker| async move {
        let answer = client.list_attached_user_policies().user_name(name).set_marker(marker).send().await;
        listed(CALL, answer, |page| {
            let attached = page.attached_policies.unwrap_or_default().into_iter();
            (
                attached.filter_map(|policy| policy.policy_arn).map(Leftover::AttachedPolicy).collect(),
                pages::marker(page.is_truncated, page.marker),
            )
        })
    })
    .await
}

/// Removes one.
pub(super) async fn remove(
    client: &Client,
    user: &UserName,
    leftover: &Leftover,
) -> Result<Receipt, CallError> {
    let name = user.as_str();
    match leftover {
        Leftover::LoginProfile => {
            let output = client.delete_login_profile().user_name(name).send().await;
            output.map(|output| receipt(&output)).map_err(|error| failed("iam:DeleteLoginProfile", &error))
        }
        Leftover::MfaDevice { serial } => remove_mfa_device(client, name, serial).await,
        Leftover::SshPublicKey(id) => {
            let output = client.delete_ssh_public_key().user_name(name).ssh_public_key_id(id).send().await;
            output.map(|output| receipt(&output)).map_err(|error| failed("iam:DeleteSSHPublicKey", &error))
        }
        Leftover::SigningCertificate(id) => {
            let output = client.delete_signing_certificate().user_name(name).certificate_id(id).send().await;
            output
                .map(|output| receipt(&output))
                .map_err(|error| failed("iam:DeleteSigningCertificate", &error))
        }
        Leftover::ServiceCredential(id) => {
            let request = client.delete_service_specific_credential().user_name(name);
            let output = request.service_specific_credential_id(id).send().await;
            output
                .map(|output| receipt(&output))
                .map_err(|error| failed("iam:DeleteServiceSpecificCredential", &error))
        }
        Leftover::Group(group) => {
            let output = client.remove_user_from_group().user_name(name).group_name(group).send().await;
            output.map(|output| receipt(&output)).map_err(|error| failed("iam:RemoveUserFromGroup", &error))
        }
        Leftover::InlinePolicy(policy) => {
            let output = client.delete_user_policy().user_name(name).policy_name(policy).send().await;
            output.map(|output| receipt(&output)).map_err(|error| failed("iam:DeleteUserPolicy", &error))
        }
        Leftover::AttachedPolicy(arn) => {
            let output = client.detach_user_policy().user_name(name).policy_arn(arn).send().await;
            output.map(|output| receipt(&output)).map_err(|error| failed("iam:DetachUserPolicy", &error))
        }
    }
}

/// Detaches the device and, when it is a virtual one, deletes it too.
///
/// A device that is detached already is one that an earlier call left half done, so that repeating
/// the call finishes it. After a crash between the two nobody remembers the device any more: an
/// unassigned virtual device stays in the account, which gives access to nothing and keeps no user
/// from being deleted.
async fn remove_mfa_device(client: &Client, name: &str, serial: &str) -> Result<Receipt, CallError> {
    let both = async {
        let output = client.deactivate_mfa_device().user_name(name).serial_number(serial).send().await;
        let detached = match output {
            Ok(output) => Ok(receipt(&output)),
            Err(error) => Err(failed("iam:DeactivateMFADevice", &error)),
        };
        let half_done = detached.as_ref().is_err_and(|error| error.fault == Fault::NotFound);
        if !is_virtual(serial) || (detached.is_err() && !half_done) {
            return detached;
        }
        let output = client.delete_virtual_mfa_device().serial_number(serial).send().await;
        match output
            .map(|output| receipt(&output))
            .map_err(|error| failed("iam:DeleteVirtualMFADevice", &error))
        {
            // Gone with the first call, or by somebody else's hand.
            Err(error) if error.fault == Fault::NotFound => detached,
            outcome => outcome,
        }
    };
    tokio::time::timeout(LONGEST_CHANGE, both)
        .await
        .unwrap_or_else(|_| Err(unexpected("iam:DeactivateMFADevice", &too_long(LONGEST_CHANGE))))
}

fn too_long(limit: Duration) -> String {
    format!("timed out: not detached and deleted within {} s", limit.as_secs())
}

/// `arn:<partition>:iam::<account>:mfa/…`. A security key has an ARN too, with `u2f/`, and is gone
/// when it is detached; a hardware token has a serial number.
fn is_virtual(serial: &str) -> bool {
    serial.starts_with("arn:") && serial.splitn(6, ':').nth(5).is_some_and(|rest| rest.starts_with("mfa/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_devices_are_told_by_their_arn() {
        assert!(is_virtual("arn:aws:iam::123456789012:mfa/team/phone"));
        assert!(is_virtual("arn:aws-cn:iam::123456789012:mfa/phone"));
        assert!(!is_virtual("arn:aws:iam::123456789012:u2f/user/somebody/key-AAAA"));
        assert!(!is_virtual("GAHT12345678"));
    }
}

//! Access keys.

use aws_sdk_iam::Client;
use aws_sdk_iam::types::{AccessKeyMetadata, StatusType};

use super::pages;
use crate::aws::clock::SystemClock;
use crate::aws::errors::{absent, dated, failed, receipt, unexpected};
use crate::core::observed::Key;
use crate::core::secret::Secret;
use crate::core::user::{AccessKeyId, UserName};
use crate::ports::{CallError, Clock, MintedKey, Receipt};

/// Oldest first; keys of one second by id, so that the order is always the same.
pub(super) async fn list(client: &Client, name: &UserName) -> Result<Option<Vec<Key>>, CallError> {
    const CALL: &str = "iam:ListAccessKeys";
    let keys = pages::all(CALL, |marker| async move {
        let request = client.list_access_keys().user_name(name.as_str()).set_marker(marker);
        let page = request.send().await.map_err(|error| failed(CALL, &error))?;
        // A key left out would be one that nobody ever deletes.
        let keys = page.access_key_metadata.iter().map(|key| listed(CALL, key)).collect::<Result<_, _>>()?;
        Ok((keys, pages::marker(page.is_truncated, page.marker)))
    });
    match keys.await {
        Ok(mut keys) => {
            keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
            Ok(Some(keys))
        }
        Err(error) => absent(error),
    }
}

fn listed(call: &'static str, key: &AccessKeyMetadata) -> Result<Key, CallError> {
    let id = key.access_key_id.as_deref().and_then(AccessKeyId::parse);
    Ok(Key {
        id: id.ok_or_else(|| unexpected(call, "the answer holds a malformed key id"))?,
        active: key.status == Some(StatusType::Active),
        created: dated(call, key.create_date.as_ref())?,
    })
}

/// Sent once, whatever happens: a repetition would mint a second key.
///
/// IAM's model leaves the date of a new key optional, and its documentation shows an answer without
/// one; the key was made while we waited.
pub(super) async fn create(
    client: &Client,
    clock: &SystemClock,
    name: &UserName,
) -> Result<(MintedKey, Receipt), CallError> {
    const CALL: &str = "iam:CreateAccessKey";
    let output = client.create_access_key().user_name(name.as_str()).send().await;
    let output = output.map_err(|error| failed(CALL, &error))?;
    let receipt = receipt(&output);
    let key = output.access_key.ok_or_else(|| unexpected(CALL, "the answer holds no key"))?;
    let secret = Secret::new(key.secret_access_key);
    let id = AccessKeyId::parse(&key.access_key_id)
        .ok_or_else(|| unexpected(CALL, "the answer holds a malformed key id"))?;
    let created = dated(CALL, key.create_date.as_ref()).unwrap_or_else(|_| clock.now());
    Ok((MintedKey { id, secret, created }, receipt))
}

pub(super) async fn deactivate(
    client: &Client,
    name: &UserName,
    key: &AccessKeyId,
) -> Result<Receipt, CallError> {
    let request = client.update_access_key().user_name(name.as_str()).access_key_id(key.as_str());
    let output = request.status(StatusType::Inactive).send().await;
    output.map(|output| receipt(&output)).map_err(|error| failed("iam:UpdateAccessKey", &error))
}

pub(super) async fn delete(
    client: &Client,
    name: &UserName,
    key: &AccessKeyId,
) -> Result<Receipt, CallError> {
    let request = client.delete_access_key().user_name(name.as_str()).access_key_id(key.as_str());
    let output = request.send().await;
    output.map(|output| receipt(&output)).map_err(|error| failed("iam:DeleteAccessKey", &error))
}

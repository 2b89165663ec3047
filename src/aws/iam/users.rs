//! Users themselves: reading, creating, tagging, deleting.

use aws_sdk_iam::Client;
use aws_sdk_iam::error::BuildError;
use aws_sdk_iam::types;

use crate::aws::errors::{absent, dated, failed, receipt, unexpected};
use crate::core::observed::{Tags, User};
use crate::core::time::Timestamp;
use crate::core::user::{UserId, UserName};
use crate::ports::{CallError, Fault, NewUser, Receipt};

pub(super) async fn get(client: &Client, name: &UserName) -> Result<Option<User>, CallError> {
    const CALL: &str = "iam:GetUser";
    match client.get_user().user_name(name.as_str()).send().await {
        Ok(output) => {
            let user = output.user.ok_or_else(|| unexpected(CALL, "the answer names no user"))?;
            let name = UserName::parse(&user.user_name)
                .map_err(|_| unexpected(CALL, "the answer names the user as IAM names none"))?;
            Ok(Some(User {
                name,
                id: UserId(user.user_id),
                created: dated(CALL, Some(&user.create_date))?,
                boundary: user.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn),
                tags: tags(user.tags),
            }))
        }
        Err(error) => absent(failed(CALL, &error)),
    }
}

/// IAM's tags in the domain's words.
pub(super) fn tags(tags: Option<Vec<types::Tag>>) -> Tags {
    tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect()
}

pub(super) async fn create(
    client: &Client,
    user: &NewUser,
) -> Result<(UserId, Timestamp, Receipt), CallError> {
    const CALL: &str = "iam:CreateUser";
    let output = client
        .create_user()
        .user_name(user.name.as_str())
        .path(&user.path)
        .set_permissions_boundary(user.boundary.clone())
        .set_tags(Some(iam_tags(CALL, &user.tags)?))
        .send()
        .await
        .map_err(|error| failed(CALL, &error))?;
    let receipt = receipt(&output);
    let created = output.user.ok_or_else(|| unexpected(CALL, "the answer names no user"))?;
    Ok((UserId(created.user_id), dated(CALL, Some(&created.create_date))?, receipt))
}

pub(super) async fn tag(client: &Client, name: &UserName, tags: &Tags) -> Result<Receipt, CallError> {
    const CALL: &str = "iam:TagUser";
    let tags = Some(iam_tags(CALL, tags)?);
    let output = client.tag_user().user_name(name.as_str()).set_tags(tags).send().await;
    output.map(|output| receipt(&output)).map_err(|error| failed(CALL, &error))
}

fn iam_tags(call: &'static str, tags: &Tags) -> Result<Vec<types::Tag>, CallError> {
    let tag = |(key, value): (&String, &String)| types::Tag::builder().key(key).value(value).build();
    let refused = |error: BuildError| CallError { fault: Fault::Invalid, call, detail: error.to_string() };
    tags.iter().map(tag).collect::<Result<_, _>>().map_err(refused)
}

pub(super) async fn untag(client: &Client, name: &UserName, keys: &[String]) -> Result<Receipt, CallError> {
    let output = client.untag_user().user_name(name.as_str()).set_tag_keys(Some(keys.to_vec())).send().await;
    output.map(|output| receipt(&output)).map_err(|error| failed("iam:UntagUser", &error))
}

pub(super) async fn put_boundary(
    client: &Client,
    name: &UserName,
    policy_arn: &str,
) -> Result<Receipt, CallError> {
    let request = client.put_user_permissions_boundary().user_name(name.as_str());
    let output = request.permissions_boundary(policy_arn).send().await;
    output.map(|output| receipt(&output)).map_err(|error| failed("iam:PutUserPermissionsBoundary", &error))
}

pub(super) async fn delete(client: &Client, name: &UserName) -> Result<Receipt, CallError> {
    let output = client.delete_user().user_name(name.as_str()).send().await;
    output.map(|output| receipt(&output)).map_err(|error| failed("iam:DeleteUser", &error))
}

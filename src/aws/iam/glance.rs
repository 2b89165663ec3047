//! The whole account, a thousand users a page.

use aws_sdk_iam::Client;
use aws_sdk_iam::types::{EntityType, UserDetail};

use super::{pages, users};
use crate::aws::errors::{dated, failed};
use crate::core::observed::{Glance, User};
use crate::core::user::{UserId, UserName};
use crate::ports::{CallError, Page};

const CALL: &str = "iam:GetAccountAuthorizationDetails";

/// IAM: a page has at most this many entries.
const PAGE: i32 = 1_000;

/// One page. An entry that lacks what makes a user is left out: a glance is a hint, and whoever acts
/// on one looks again.
pub(super) async fn page(client: &Client, token: Option<&str>) -> Result<Page<Glance>, CallError> {
    let output = client
        .get_account_authorization_details()
        .filter(EntityType::User)
        .max_items(PAGE)
        .set_marker(token.map(str::to_owned))
        .send()
        .await
        .map_err(|error| failed(CALL, &error))?;
    let next = pages::marker(output.is_truncated, output.marker);
    pages::check(CALL, token, next.as_deref())?;
    let details = output.user_detail_list.unwrap_or_default();
    Ok(Page { items: details.into_iter().filter_map(glance).collect(), next })
}

fn glance(detail: UserDetail) -> Option<Glance> {
    let name = UserName::parse(&detail.user_name?).ok()?;
    let attached = detail.attached_managed_policies.unwrap_or_default();
    Some(Glance {
        user: User {
            name,
            id: UserId(detail.user_id?),
            created: dated(CALL, detail.create_date.as_ref()).ok()?,
            boundary: detail.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn),
            tags: users::tags(detail.tags),
        },
        attached_policies: attached.into_iter().filter_map(|policy| policy.policy_name).collect(),
    })
}

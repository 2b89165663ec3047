//! 3, 4: what a user is born with, and whose users are changed.

use iam_user_controller::core::policy::{Adopt, OrphanScope};
use iam_user_controller::core::user::UserId;
use iam_user_controller::ports::NewUser;

use super::deletion::removal_evidence;
use super::{Change, OWNERSHIP, Verdict, ms};
use crate::account::{SimUser, World, is_owned, tag};

/// Whether a row of this name was there within the grace.
pub(super) fn row_lately(world: &World, folded: &str) -> bool {
    let since = world.now.saturating_sub(ms(world.rules.grace));
    let mut lives = world.table.life.iter().filter(|(name, _)| name.eq_ignore_ascii_case(folded));
    lives.any(|(_, life)| life.present || life.removed_ms.is_some_and(|removed| removed >= since))
}

pub(super) fn adoptable(world: &World, folded: &str, user: &SimUser) -> bool {
    row_lately(world, folded)
        && match world.rules.policy.adopt {
            Adopt::Never => false,
            Adopt::Always => true,
            Adopt::Tagged => user.live_keys().any(|key| {
                tag(user.tags.get(), key.id.as_str())
                    .is_some_and(|role| role == "current" || role == "pending_deletion")
            }),
        }
}

/// 3, 4: what a user is born with.
pub(super) fn creation(world: &World, folded: &str, new: &NewUser, verdict: &mut Verdict) {
    let policy = &world.rules.policy;
    if policy.boundary.is_some() && new.boundary != policy.boundary {
        verdict.breaks(3, format!("{folded} is created with boundary {:?}", new.boundary));
    }
    if !is_owned(&new.tags, policy) {
        verdict.breaks(4, format!("{folded} is created without ownership tags"));
    }
    if !row_lately(world, folded) {
        verdict.breaks(4, format!("{folded} is created, but no row names it"));
    }
}

/// 4: only owned users are changed.
pub(super) fn ownership(
    world: &World,
    folded: &str,
    user: &SimUser,
    change: &Change<'_>,
    verdict: &mut Verdict,
) {
    let policy = &world.rules.policy;
    match change {
        Change::TagUser(tags) => {
            let spoilt = OWNERSHIP.iter().any(|key| tag(tags, key).is_some());
            if spoilt && !is_owned(tags, policy) {
                verdict.breaks(4, format!("{folded} gets half an ownership: {tags:?}"));
            }
        }
        Change::UntagUser(keys)
            if keys.iter().any(|key| OWNERSHIP.iter().any(|tag| tag.eq_ignore_ascii_case(key))) =>
        {
            verdict.breaks(4, format!("ownership tags of {folded} are removed"));
        }
        _ => {}
    }
    if is_owned(user.tags.get(), policy) {
        return;
    }
    let adopts =
        matches!(change, Change::TagUser(tags) if is_owned(tags, policy)) && adoptable(world, folded, user);
    let lately = user.meddled_ms.is_some_and(|at| at + ms(world.rules.grace) >= world.now);
    let orphan = world.rules.scope == OrphanScope::Account
        && change.destroys()
        && removal_evidence(world, user).is_ok();
    if !(adopts || lately || orphan) {
        verdict.breaks(4, format!("{change:?} on {folded}, which is not owned"));
    }
}

/// A key is about to be made, or tags are to be written, and were meant for this user when the call was
/// sent. When somebody has deleted that one meanwhile, a late call gives them to whoever has the name
/// now: that is their doing.
pub(crate) fn meant_for(world: &mut World, folded: &str, meant: Option<&UserId>) {
    let Some(meant) = meant.filter(|meant| !world.book.begun.contains(*meant)) else { return };
    let now = world.now;
    if let Some(user) = world.iam.live_mut(folded).filter(|user| user.id != *meant) {
        user.meddled_ms = Some(now);
        world.book.strays.insert(user.id.clone());
    }
}

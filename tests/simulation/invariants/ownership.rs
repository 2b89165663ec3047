//! 3, 4: what a user is born with, and whose users are changed.

use iam_user_controller::core::policy::{Adopt, OrphanScope};
use iam_user_controller::core::user::UserId;
use iam_user_controller::ports::NewUser;

use super::keys::meddled_lately;
use super::{Change, Excuse, OWNERSHIP, Verdict, ms};
use crate::account::{SimUser, World, is_owned, tag};

/// 4: what is done only for who has a row.
pub(super) fn asked_for(world: &World, folded: &str, verdict: &mut Verdict, what: &str) {
    if world.table.contains_folded(folded) {
        return;
    }
    let since = world.now.saturating_sub(ms(world.rules.grace));
    let mut lives = world.table.life.iter().filter(|(name, _)| name.eq_ignore_ascii_case(folded));
    let lately = lives.any(|(_, life)| life.removed_ms.is_some_and(|removed| removed >= since));
    let excuse = lately.then_some(Excuse::RowWentLately);
    verdict.breaks_unless(excuse, 4, format!("{what} for {folded}, but no row names it"));
}

/// Whether a row would be enough for the program to take this user over.
pub(super) fn adoptable(world: &World, user: &SimUser) -> bool {
    match world.rules.policy.adopt {
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
    asked_for(world, folded, verdict, "a user is created");
}

/// 4: only owned users are changed.
pub(super) fn ownership(
    world: &World,
    folded: &str,
    user: &SimUser,
    change: &Change<'_>,
    doomed: bool,
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
    let adopts = matches!(change, Change::TagUser(tags) if is_owned(tags, policy));
    if adopts && adoptable(world, user) {
        asked_for(world, folded, verdict, "a user is adopted");
        return;
    }
    let orphan = world.rules.scope == OrphanScope::Account && change.destroys() && doomed;
    if !orphan {
        let what = format!("{change:?} on {folded}, which is not owned");
        verdict.breaks_unless(meddled_lately(world, user), 4, what);
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

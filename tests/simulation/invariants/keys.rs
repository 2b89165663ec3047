//! 1, 2: keys are minted once, published whole, and stay for as long as consumers may use them.

use iam_user_controller::core::document::KeyDocument;
use iam_user_controller::core::memory::{MINT_SLACK, MINT_WINDOW};
use iam_user_controller::core::policy::ForeignKeys;
use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::time::Timestamp;
use iam_user_controller::core::user::AccessKeyId;

use super::deletion::removal_evidence;
use super::ownership::row_lately;
use super::silence::faults_of;
use super::{MINTING, ROUNDING, Verdict, ms, violation};
use crate::account::{Maker, SimKey, SimUser, World, is_owned, tag};

/// 2, 5: a key was minted.
pub(crate) fn minted(world: &mut World, folded: &str) {
    if let Some(user) = world.iam.live_mut(folded) {
        let value = tag(user.tags.get(), MINTING).unwrap_or("none").to_owned();
        if user.minted_under.len() == 8 {
            user.minted_under.remove(0);
        }
        user.minted_under.push(value);
    }
}

/// 2, 3, 5: a key is minted once for each intention, on a user with its boundary.
pub(super) fn mint(world: &World, folded: &str, user: &SimUser, verdict: &mut Verdict) {
    let policy = &world.rules.policy;
    let excused = user.meddled_ms.is_some();
    if policy.boundary.is_some() && user.boundary.get() != &policy.boundary && !excused {
        verdict.breaks(3, format!("a key of {folded} is minted with boundary {:?}", user.boundary.get()));
    }
    if !row_lately(world, folded) {
        verdict.breaks(4, format!("a key of {folded} is minted, but no row names it"));
    }
    match tag(user.tags.get(), MINTING) {
        Some(value) if value != "none" => {
            // A late call that was meant for the user before it may have used the tag up.
            if !world.book.strays.contains(&user.id) && user.minted_under.iter().any(|spent| spent == value) {
                verdict.breaks(5, format!("a second key of {folded} is minted for the mint of {value}"));
            }
        }
        _ if excused => {}
        _ => verdict.breaks(2, format!("a key of {folded} is minted while no mint is open")),
    }
    if excused {
        return;
    }
    let document = world.document_of(&user.name);
    let current = document.as_ref().and_then(KeyDocument::current_id);
    let pending = document.as_ref().and_then(KeyDocument::pending_id);
    for key in user.live_keys() {
        let listed = Some(&key.id) == current || Some(&key.id) == pending;
        if key.maker == Maker::Program && !listed && key.published_ms.is_none() {
            verdict.breaks(2, format!("a key of {folded} is minted while {} is unpublished", key.id));
        }
        let age = world.now.saturating_sub(key.created_ms) + 1_000 + ms(world.rules.clock_error);
        if Some(&key.id) == current && *key.active.get() && age < ms(policy.rotate_after) {
            verdict.breaks(1, format!("{folded} gets a new key while its current one is only {age} ms old"));
        }
    }
}

/// 1, 2: a key is deactivated or deleted although its user is to stay.
pub(super) fn key_loss(world: &World, folded: &str, user: &SimUser, id: &AccessKeyId, verdict: &mut Verdict) {
    let policy = &world.rules.policy;
    let Some(key) = user.live_key(id) else { return };
    if user.meddled_ms.is_some() && key.maker == Maker::Program {
        return;
    }
    if key.maker == Maker::Operator && !key.claimed && key.published_ms.is_none() {
        if policy.foreign == ForeignKeys::Report && !key.ambiguous && !of_the_mint(user, key) {
            verdict.breaks(2, format!("{id} of {folded} is taken away, and somebody else made it"));
        }
        return;
    }
    if user.meddled_ms.is_some() {
        return;
    }
    let document = world.document_of(&user.name);
    if document.as_ref().and_then(KeyDocument::current_id) == Some(id) {
        verdict.breaks(1, format!("{id} of {folded} is taken away while it is published as current"));
        return;
    }
    if key.published_ms.is_none() {
        return;
    }
    let slack = ms(world.rules.clock_error) + 1_000;
    let now = world.now;
    let age = now.saturating_sub(key.created_ms);
    let published = document.as_ref().map_or(now, |document| successor_published(user, document, key));
    let overlap = now.saturating_sub(published);
    if age + slack < ms(policy.delete_after) || overlap + slack < ms(policy.min_overlap) {
        verdict.breaks(
            1,
            format!("{id} of {folded} is taken away {age} ms old, its successor published {overlap} ms ago"),
        );
    }
}

/// Since when consumers could have gone over from this key to the one that is published now.
fn successor_published(user: &SimUser, document: &KeyDocument, key: &SimKey) -> u64 {
    let current = document.current_id().and_then(|id| user.live_key(id));
    let published = current.and_then(|current| current.published_ms);
    published.max(key.superseded_ms).unwrap_or(u64::MAX)
}

/// For how long a key that has a successor should have been gone.
pub(super) fn expired_since(world: &World, user: &SimUser, document: &KeyDocument, key: &SimKey) -> u64 {
    let policy = &world.rules.policy;
    let overlapped = successor_published(user, document, key).saturating_add(ms(policy.min_overlap));
    world.now.saturating_sub(overlapped.max(key.created_ms + ms(policy.delete_after)))
}

/// 1: a document was published where another one, or none, was `before`.
pub(crate) fn published(world: &mut World, folded: &str, before: Option<&KeyDocument>, text: &str) {
    let now = world.now;
    let document = KeyDocument::parse(&Secret::new(text));
    let verify = world.rules.policy.verify;
    let Some(user) = world.iam.live_mut(folded) else { return };
    let excused = user.meddled_ms.is_some();
    let mut broken = None;
    let current = match &document {
        Ok(document) => document.current.as_ref(),
        Err(_) => None,
    };
    match current {
        None => broken = Some(format!("a document without a current key is published for {folded}")),
        Some(stored) => {
            for key in user.keys.iter_mut().filter(|key| key.exists()) {
                if key.id == stored.id {
                    key.claimed = true;
                    key.published_ms.get_or_insert(now);
                    key.superseded_ms = None;
                    if key.secret != stored.secret.expose() {
                        broken = Some(format!("{} of {folded} is published with a wrong secret", key.id));
                    } else if !*key.active.get() && !excused {
                        broken = Some(format!("{} of {folded} is published inactive", key.id));
                    } else if verify && key.usable_ms > now && !excused {
                        broken = Some(format!("{} of {folded} is published before AWS accepts it", key.id));
                    }
                } else if key.published_ms.is_some() {
                    key.superseded_ms.get_or_insert(now);
                }
            }
            let new = before.and_then(KeyDocument::current_id) != Some(&stored.id);
            if new && user.live_key(&stored.id).is_none() && !excused {
                broken = Some(format!("{} is published for {folded}, which has no such key", stored.id));
            }
            // Consumers that have read the document before still use its key, and may ask for it again.
            let pending = document.as_ref().ok().and_then(KeyDocument::pending_id);
            let left = before.and_then(KeyDocument::current_id).filter(|id| **id != stored.id);
            if let Some(left) = left.filter(|id| Some(*id) != pending && !excused)
                && user.live_key(left).is_some()
            {
                broken = Some(format!("{left} of {folded} is left out of the document, and lives"));
            }
        }
    }
    if let Some(broken) = broken {
        violation(world, 1, broken);
    }
}

/// Whether `current` in the user's parameter is a key that works.
pub(super) fn current_works(world: &World, user: &SimUser) -> bool {
    world.document_of(&user.name).and_then(|document| document.current).is_some_and(|stored| {
        let key = user.live_key(&stored.id);
        key.is_some_and(|key| *key.active.get() && key.secret == stored.secret.expose())
    })
}

/// Judges what a change has made of the users that it touched.
pub(crate) fn after(world: &mut World) {
    while let Some(folded) = world.book.touched.pop() {
        let Some(user) = world.iam.live(&folded) else { continue };
        let works = current_works(world, user);
        let owned = is_owned(user.tags.get(), &world.rules.policy);
        let lost = user.armed && !works && user.meddled_ms.is_none();
        let unjustified = lost && removal_evidence(world, user).is_err();
        let mended = user.meddled_ms.is_some_and(|at| at + ms(world.rules.grace) < world.now)
            && faults_of(world, user).is_empty();
        if let Some(user) = world.iam.live_mut(&folded) {
            user.armed = owned && works;
            if mended {
                user.meddled_ms = None;
            }
            let SimUser { keys, tags, .. } = user;
            for key in keys.iter_mut().filter(|key| !key.claimed) {
                key.claimed = tag(tags.get(), key.id.as_str()).is_some();
            }
        }
        if unjustified {
            violation(world, 1, format!("`current` of {folded} is no working key any more"));
        }
    }
}

/// Whether a key is of the age that a key of the open mint would have: clocks differ a little, and IAM
/// tells whole seconds.
pub(super) fn of_the_mint(user: &SimUser, key: &SimKey) -> bool {
    let opened = tag(user.tags.get(), MINTING).and_then(Timestamp::parse);
    let created = Timestamp::from_millis(key.created_ms);
    opened.is_some_and(|at| created + MINT_SLACK + ROUNDING >= at && created <= at + MINT_WINDOW)
}

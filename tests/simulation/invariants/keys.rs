//! 1, 2: keys are minted once, published whole, and stay for as long as consumers may use them.

use std::time::Duration;

use iam_user_controller::core::document::KeyDocument;
use iam_user_controller::core::memory::{MINT_SLACK, MINT_WINDOW};
use iam_user_controller::core::policy::ForeignKeys;
use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::time::Timestamp;
use iam_user_controller::core::user::AccessKeyId;

use super::deletion::{obstacles, unless_doomed};
use super::ownership::asked_for;
use super::silence::faults_of;
use super::{Excuse, MINTING, ROUNDED_MS, ROUNDING, Verdict, ms, violation};
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

/// What somebody has done to the user by hand, until it is again as it should be.
pub(super) fn meddled(user: &SimUser) -> Option<Excuse> {
    user.meddled_ms.map(|_| Excuse::Meddled)
}

/// What somebody has done to the user by hand within the grace.
pub(super) fn meddled_lately(world: &World, user: &SimUser) -> Option<Excuse> {
    let lately = user.meddled_ms.is_some_and(|at| at + ms(world.rules.grace) >= world.now);
    lately.then_some(Excuse::MeddledLately)
}

/// 2, 3, 5: a key is minted once for each intention, on a user with its boundary.
pub(super) fn mint(world: &World, folded: &str, user: &SimUser, verdict: &mut Verdict) {
    let policy = &world.rules.policy;
    let meddled = meddled(user);
    if policy.boundary.is_some() && user.boundary.get() != &policy.boundary {
        let what = format!("a key of {folded} is minted with boundary {:?}", user.boundary.get());
        verdict.breaks_unless(meddled, 3, what);
    }
    asked_for(world, folded, verdict, "a key is minted");
    match tag(user.tags.get(), MINTING) {
        Some(value) if value != "none" => {
            if user.minted_under.iter().any(|spent| spent == value) {
                let stray = world.book.strays.contains(&user.id).then_some(Excuse::Stray);
                let what = format!("a second key of {folded} is minted for the mint of {value}");
                verdict.breaks_unless(stray, 5, what);
            }
        }
        _ => verdict.breaks_unless(meddled, 2, format!("a key of {folded} is minted while no mint is open")),
    }
    let document = world.document_of(&user.name);
    let current = document.as_ref().and_then(KeyDocument::current_id);
    let pending = document.as_ref().and_then(KeyDocument::pending_id);
    for key in user.live_keys() {
        let listed = Some(&key.id) == current || Some(&key.id) == pending;
        if key.maker == Maker::Program && !listed && key.published_ms.is_none() {
            let what = format!("a key of {folded} is minted while {} is unpublished", key.id);
            verdict.breaks_unless(meddled, 2, what);
        }
        let age = world.now.saturating_sub(key.created_ms);
        let left = ms(policy.rotate_after).saturating_sub(age + ROUNDED_MS);
        if Some(&key.id) == current && *key.active.get() && left > 0 {
            let what = format!("{folded} gets a new key while its current one is only {age} ms old");
            verdict.breaks_unless(meddled.or(clock_error(world, left)), 1, what);
        }
    }
}

/// It was too early by this much, by which a clock may be wrong.
fn clock_error(world: &World, left_ms: u64) -> Option<Excuse> {
    (left_ms <= ms(world.rules.clock_error)).then_some(Excuse::ClockError)
}

/// 1, 2: a key is deactivated or deleted although its user is to stay.
pub(super) fn key_loss(world: &World, folded: &str, user: &SimUser, id: &AccessKeyId, verdict: &mut Verdict) {
    let policy = &world.rules.policy;
    let Some(key) = user.live_key(id) else { return };
    if key.maker == Maker::Operator && !key.claimed && key.published_ms.is_none() {
        if policy.foreign == ForeignKeys::Report {
            let excuse = (key.ambiguous || of_the_mint(user, key)).then_some(Excuse::Ambiguous);
            verdict.breaks_unless(
                excuse,
                2,
                format!("{id} of {folded} is taken away, and somebody else made it"),
            );
        }
        return;
    }
    let meddled = meddled(user);
    let document = world.document_of(&user.name);
    if document.as_ref().and_then(KeyDocument::current_id) == Some(id) {
        let what = format!("{id} of {folded} is taken away while it is published as current");
        verdict.breaks_unless(meddled, 1, what);
        return;
    }
    if key.published_ms.is_none() {
        return;
    }
    let age = world.now.saturating_sub(key.created_ms);
    let published = document.as_ref().map_or(world.now, |document| successor_published(user, document, key));
    let overlap = world.now.saturating_sub(published);
    let left = |least: Duration, time: u64| ms(least).saturating_sub(time + ROUNDED_MS);
    let left = left(policy.delete_after, age).max(left(policy.min_overlap, overlap));
    if left > 0 {
        let what =
            format!("{id} of {folded} is taken away {age} ms old, its successor published {overlap} ms ago");
        verdict.breaks_unless(meddled.or(clock_error(world, left)), 1, what);
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
    let meddled = meddled(user);
    let mut verdict = Verdict::about(folded);
    let Some(stored) = document.as_ref().ok().and_then(|document| document.current.as_ref()) else {
        violation(world, 1, format!("a document without a current key is published for {folded}"));
        return;
    };
    for key in user.keys.iter_mut().filter(|key| key.exists()) {
        if key.id == stored.id {
            key.claimed = true;
            key.published_ms.get_or_insert(now);
            key.superseded_ms = None;
            if key.secret != stored.secret.expose() {
                verdict.breaks(1, format!("{} of {folded} is published with a wrong secret", key.id));
            } else if !*key.active.get() {
                verdict.breaks_unless(meddled, 1, format!("{} of {folded} is published inactive", key.id));
            } else if verify && key.usable_ms > now {
                let what = format!("{} of {folded} is published before AWS accepts it", key.id);
                verdict.breaks_unless(meddled, 1, what);
            }
        } else if key.published_ms.is_some() {
            key.superseded_ms.get_or_insert(now);
        }
    }
    let new = before.and_then(KeyDocument::current_id) != Some(&stored.id);
    if new && user.live_key(&stored.id).is_none() {
        let what = format!("{} is published for {folded}, which has no such key", stored.id);
        verdict.breaks_unless(meddled, 1, what);
    }
    // Consumers that have read the document before still use its key, and may ask for it again.
    let pending = document.as_ref().ok().and_then(KeyDocument::pending_id);
    let left = before.and_then(KeyDocument::current_id).filter(|id| **id != stored.id);
    if let Some(left) = left.filter(|id| Some(*id) != pending && user.live_key(id).is_some()) {
        let what = format!("{left} of {folded} is left out of the document, and lives");
        verdict.breaks_unless(meddled, 1, what);
    }
    verdict.pass(world);
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
        let mut verdict = Verdict::about(&folded);
        if user.armed && !works {
            let what = format!("`current` of {folded} is no working key any more");
            verdict.breaks_unless(meddled(user), 1, what);
            verdict = unless_doomed(verdict, &obstacles(world, user));
        }
        let mended = user.meddled_ms.is_some_and(|at| at + ms(world.rules.grace) < world.now)
            && faults_of(world, user).iter().all(|(_, excuse)| excuse.is_some());
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
        verdict.pass(world);
    }
}

/// Whether a key is of the age that a key of the open mint would have: clocks differ a little, and IAM
/// tells whole seconds.
pub(super) fn of_the_mint(user: &SimUser, key: &SimKey) -> bool {
    let opened = tag(user.tags.get(), MINTING).and_then(Timestamp::parse);
    let created = Timestamp::from_millis(key.created_ms);
    opened.is_some_and(|at| created + MINT_SLACK + ROUNDING >= at && created <= at + MINT_WINDOW)
}

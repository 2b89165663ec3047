//! Rules about keys that exist: the old one leaves, document and tags follow, a person is told.

use super::super::document::KeyDocument;
use super::super::facts::{Facts, Need};
use super::super::memory::{Mint, SETTLE};
use super::super::observed::{Key, Stored, Tags};
use super::super::plan::{Next, State};
use super::super::policy::ForeignKeys;
use super::super::rotation;
use super::super::step::Step;
use super::super::tags::{self, KeyTag};
use super::super::time::Timestamp;

/// SSM cannot change the type of a parameter, and a plain String is readable without the KMS key.
pub(in super::super) fn not_secure(facts: &Facts<'_>) -> Option<(Next, String)> {
    if facts.view.observed.stored != Stored::NotSecure {
        return None;
    }
    let why =
        "its parameter is not a SecureString, and SSM cannot change that: delete the parameter".to_owned();
    Some((Next::Rest { state: Some(State::Blocked), due: None }, why))
}

/// A key that was published moments ago may not be listed yet.
pub(in super::super) fn settle_current(facts: &Facts<'_>) -> Option<(Next, String)> {
    // A mint that this process has opened was opened because the key is gone.
    if facts.need() != Some(Need::KeyGone) || current_was_deleted(facts) || facts.may_create_key() {
        return None;
    }
    let modified = facts.view.observed.stored.modified().map(|modified| modified + SETTLE);
    let until = modified.max(facts.unsettled()).filter(|until| facts.view.now < *until)?;
    let why = "the published key is not listed yet".to_owned();
    Some((Next::WaitUntil(until, State::Pending), why))
}

fn current_was_deleted(facts: &Facts<'_>) -> bool {
    let current = facts.document().and_then(KeyDocument::current_id);
    current.is_some_and(|current| facts.view.memory.deleted.contains(current))
}

/// When the successor of the superseded keys was published. While there is a document, its last
/// write is never before that. When the document is lost, the youngest key was the successor.
fn successor_published(facts: &Facts<'_>) -> Option<Timestamp> {
    match (&facts.view.observed.stored, facts.current) {
        (Stored::Document { modified, .. }, Some(current)) if current.active => {
            Some((*modified).max(current.created))
        }
        (Stored::Document { .. }, Some(_)) => None,
        _ => youngest(facts).filter(|key| key.active).map(|key| key.created),
    }
}

/// Of the keys that were published once. Of two that were created in one second it is one, always
/// the same.
fn youngest<'a>(facts: &Facts<'a>) -> Option<&'a Key> {
    facts.superseded.iter().copied().max_by_key(|key| (key.created, &key.id))
}

fn expiry(facts: &Facts<'_>, key: &Key) -> Option<Timestamp> {
    let published = successor_published(facts)?;
    // Without a document the youngest key is the successor itself.
    if facts.current.is_none() && youngest(facts).is_some_and(|youngest| youngest.id == key.id) {
        return None;
    }
    Some(rotation::expiry(key.created, published, facts.view.policy))
}

/// When rule `expire` will have something to say again.
pub(in super::super) fn next_expiry(facts: &Facts<'_>) -> Option<Timestamp> {
    let expiries = facts.superseded.iter().filter_map(|key| expiry(facts, key));
    expiries.min().filter(|_| facts.view.clock_trusted)
}

/// Deletes a key that is old enough and has had a successor for long enough.
pub(in super::super) fn expire(facts: &Facts<'_>) -> Option<(Next, String)> {
    if !facts.view.clock_trusted {
        return None;
    }
    let due = |key: &&&Key| expiry(facts, key).is_some_and(|due| facts.view.now >= due);
    let expired = facts.superseded.iter().filter(due).min_by_key(|key| key.created)?;
    let step = Step::DeleteKey { key: expired.id.clone() };
    Some((Next::Do(step), "it has reached keys.delete_after, and its successor keys.min_overlap".to_owned()))
}

/// A quarantined key goes as soon as a key that is not has been published, or needs its place.
pub(in super::super) fn compromised(facts: &Facts<'_>) -> Option<(Next, String)> {
    let marked = &facts.view.memory.compromised;
    if marked.is_empty() || !facts.view.clock_trusted {
        return None;
    }
    let replaced = facts.current.is_some_and(|current| current.active && !marked.contains(&current.id));
    let place_needed = facts.keys_in_use() >= 2 && facts.need() == Some(Need::Compromised);
    let doomed = facts.superseded.iter().find(|key| marked.contains(&key.id));
    let doomed = doomed.filter(|_| replaced || place_needed)?;
    let step = Step::DeleteKey { key: doomed.id.clone() };
    Some((Next::Do(step), "AWS has quarantined it".to_owned()))
}

/// Takes a key that is gone out of the document, or one that it names twice.
pub(in super::super) fn forget(facts: &Facts<'_>) -> Option<(Next, String)> {
    let document = facts.document().filter(|_| facts.current.is_some())?;
    let pending = document.pending_id()?;
    let why = if facts.current.is_some_and(|current| current.id == *pending) {
        format!("{pending} is the current key")
    } else if facts.superseded.iter().any(|key| key.id == *pending) {
        return None;
    } else {
        format!("{pending} is gone")
    };
    // A key that was published moments ago may not be listed yet; and a list that is late may be that of
    // a user who is gone.
    let modified = facts.view.observed.stored.modified().map(|modified| modified + SETTLE);
    let settled = modified.max(facts.unsettled());
    let believed = facts.view.memory.deleted.contains(pending) || document.current_id() == Some(pending);
    if let Some(until) = settled.filter(|until| facts.view.now < *until && !believed) {
        return Some((Next::WaitUntil(until, State::Ready), why));
    }
    let document = KeyDocument { pending: None, ..document.clone() };
    Some((Next::Do(Step::Publish { document, minted: None }), why))
}

/// Makes the tags say what the document says.
pub(in super::super) fn tags(facts: &Facts<'_>) -> Option<(Next, String)> {
    let user = facts.user()?;
    let mut wanted = Tags::new();
    if let Some(current) = facts.current {
        wanted.insert(current.id.to_string(), KeyTag::Current.as_str().to_owned());
        for key in &facts.superseded {
            wanted.insert(key.id.to_string(), KeyTag::PendingDeletion.as_str().to_owned());
        }
    }
    wanted.retain(|key, value| tags::value(&user.tags, key) != Some(value));
    // Whatever a late read says of it: the call that tags a key closes its mint. A mint that follows
    // would open it anew; but one that waits for a place may wait for days, and what somebody else has
    // made must not look like its key. An unknown key may be that of another's mint, though, unless this
    // process has opened the mint, and was refused a key.
    let refused = matches!(facts.view.memory.mint, Mint::Opened { sent: false, .. });
    let known = facts.superseded.len() + usize::from(facts.current.is_some());
    let no_place = known >= 2 || (refused && facts.keys_in_use() >= 2);
    if (facts.need().is_none() || no_place) && !(wanted.is_empty() && tags::says_not_minting(&user.tags)) {
        wanted.insert(tags::MINTING.to_owned(), tags::NOT_MINTING.to_owned());
    }
    (!wanted.is_empty())
        .then(|| (Next::Do(Step::TagKeys { tags: wanted }), "its tags follow its keys".to_owned()))
}

/// Removes the tags of keys that are gone.
pub(in super::super) fn untag(facts: &Facts<'_>) -> Option<(Next, String)> {
    let user = facts.user()?;
    let memory = facts.view.memory;
    let current = facts.document().and_then(KeyDocument::current_id);
    let dead: Vec<String> = tags::key_tags(&user.tags)
        .filter(|(_, id)| {
            let same = |key: &Key| key.id.as_str().eq_ignore_ascii_case(id.as_str());
            let listed = facts.view.observed.keys.iter().any(same);
            let settled = facts.view.reads_settled && !listed;
            Some(id) != current && (memory.deleted.contains(id) || settled)
        })
        .map(|(tag, _)| tag.clone())
        .collect();
    (!dead.is_empty())
        .then(|| (Next::Do(Step::UntagKeys { tags: dead }), "the keys that they name are gone".to_owned()))
}

/// A key that a person deactivated is not activated again, and not replaced behind their back.
pub(in super::super) fn deactivated(facts: &Facts<'_>) -> Option<(Next, String)> {
    let current = facts.current.filter(|current| !current.active)?;
    if facts.view.memory.compromised.contains(&current.id) {
        return None;
    }
    let why = format!(
        "the current key {} was deactivated: activate it, or delete it to have a new one",
        current.id
    );
    Some((Next::Rest { state: Some(State::Blocked), due: None }, why))
}

/// `keys.foreign = "revoke"`: deactivates, and deletes a sweep later.
pub(in super::super) fn revoke_foreign(facts: &Facts<'_>) -> Option<(Next, String)> {
    if facts.view.policy.foreign != ForeignKeys::Revoke || !facts.view.clock_trusted {
        return None;
    }
    // A late read may hide the mint that made it, or its publication.
    if let Some(until) = facts.unsettled().filter(|_| !facts.unknown.is_empty()) {
        let why = "a key may be one of a mint that is not visible yet".to_owned();
        return Some((Next::WaitUntil(until, State::Pending), why));
    }
    let why = "the controller did not make it, and keys.foreign is \"revoke\"".to_owned();
    if let Some(active) = facts.unknown.iter().find(|key| key.active) {
        return Some((Next::Do(Step::DeactivateKey { key: active.id.clone() }), why));
    }
    let idle_since = |key: &&&Key| {
        facts.view.memory.idle_foreign.get(&key.id).is_some_and(|since| *since < facts.view.sweep)
    };
    let idle = facts.unknown.iter().find(idle_since)?;
    Some((Next::Do(Step::DeleteKey { key: idle.id.clone() }), why))
}

/// As wanted, until the next rotation or expiry.
pub(in super::super) fn ready(facts: &Facts<'_>) -> Option<(Next, String)> {
    let rotation = facts.current.map(|current| rotation::rotation_due(current.created, facts.view.policy));
    let rotation = rotation.filter(|_| facts.view.clock_trusted);
    let due = rotation.into_iter().chain(next_expiry(facts)).min();
    Some((Next::Rest { state: Some(State::Ready), due }, String::new()))
}

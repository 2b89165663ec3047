//! Rules about keys that exist: the old one leaves, document and tags follow, a person is told.

use std::iter;
use std::time::Duration;

use super::super::document::KeyDocument;
use super::super::facts::{Facts, Need};
use super::super::memory::{Mint, PUBLISH_TIMEOUT, SETTLE};
use super::super::observed::{Key, Stored, Tags};
use super::super::plan::{Next, State};
use super::super::policy::ForeignKeys;
use super::super::rotation;
use super::super::step::Step;
use super::super::tags::{self, KeyTag};
use super::super::time::Timestamp;
use super::super::user::AccessKeyId;

/// SSM cannot change the type of a parameter, and a plain String is readable without the KMS key.
pub(in super::super) fn not_secure(facts: &Facts<'_>) -> Option<(Next, String)> {
    if facts.view.observed.stored != Stored::NotSecure {
        return None;
    }
    let why =
        "its parameter is not a SecureString, and SSM cannot change that: delete the parameter".to_owned();
    Some((Next::Rest { state: Some(State::Blocked), due: None }, why))
}

/// How soon a parameter that SSM cannot decrypt is read again.
const LOCKED_PAUSE: Duration = Duration::from_secs(600);

/// Without the document nobody can tell which key is which, and it must not be written over: it may hold
/// the only copy of a secret. A person can enable the KMS key again.
pub(in super::super) fn locked(facts: &Facts<'_>) -> Option<(Next, String)> {
    let Stored::Locked { reason } = &facts.view.observed.stored else { return None };
    let why = format!("SSM cannot decrypt its parameter, and its keys stay as they are: {reason}");
    let due = Some(facts.view.now + LOCKED_PAUSE);
    Some((Next::Rest { state: Some(State::Blocked), due }, why))
}

/// A document that cannot be read is not written over while the key that a tag calls current works and is
/// not due: consumers that have read it before use it.
pub(in super::super) fn unreadable(facts: &Facts<'_>) -> Option<(Next, String)> {
    let Stored::Unreadable { reason, .. } = &facts.view.observed.stored else { return None };
    let view = facts.view;
    let tags = &facts.user()?.tags;
    let due = |key: &Key| rotation::rotation_due(key.created, view.policy);
    let works = |key: &&&Key| {
        tags::key_tag(tags, &key.id) == Some(KeyTag::Current)
            && key.active
            && !facts.is_compromised(&key.id)
            && !(view.clock_trusted && view.now >= due(key))
    };
    let current = facts.superseded.iter().filter(works).max_by_key(|key| (key.created, &key.id))?;
    let why = format!(
        "{reason}; its current key {} works: put the document right, or delete the parameter to have a new key",
        current.id
    );
    let due = Some(due(current)).filter(|_| view.clock_trusted).into_iter().chain(next_expiry(facts)).min();
    Some((Next::Rest { state: Some(State::Blocked), due }, why))
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
/// write is never before that; but anybody may have written it since, and a key that is not published in
/// time is deleted. When the document is lost, the youngest key was the successor.
fn successor_published(facts: &Facts<'_>) -> Option<Timestamp> {
    match (&facts.view.observed.stored, facts.current) {
        (Stored::Document { modified, .. }, Some(current)) if current.active => {
            let latest = current.created + facts.view.policy.verify_timeout + PUBLISH_TIMEOUT;
            Some((*modified).min(latest).max(current.created))
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
    if !facts.view.clock_trusted {
        return None;
    }
    let replaced = facts.current.is_some_and(|current| current.active && !facts.is_compromised(&current.id));
    let place_needed = facts.keys_in_use() >= 2 && facts.need() == Some(Need::Compromised);
    let doomed = facts.superseded.iter().find(|key| facts.is_compromised(&key.id));
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

/// The tags of keys that are missing or wrong, the current key's first.
fn wrong_tags(facts: &Facts<'_>) -> Vec<(String, KeyTag)> {
    let (Some(user), Some(current)) = (facts.user(), facts.current) else { return Vec::new() };
    let superseded = facts.superseded.iter().map(|key| (key, KeyTag::PendingDeletion));
    let said = iter::once((&current, KeyTag::Current)).chain(superseded);
    said.filter(|(key, tag)| tags::key_tag(&user.tags, &key.id) != Some(*tag))
        .map(|(key, tag)| (key.id.to_string(), tag))
        .collect()
}

/// Those of them that IAM takes, and the first one that it does not: a tag that changes needs no place,
/// a new one does. The document says which key is which, so a tag may wait for a place.
fn tags_with_a_place(facts: &Facts<'_>) -> (Tags, Option<String>) {
    let Some(user) = facts.user() else { return (Tags::new(), None) };
    let minting = usize::from(tags::value(&user.tags, tags::MINTING).is_none());
    let mut places = tags::TAGS_PER_USER.saturating_sub(user.tags.len() + minting);
    let (mut fit, mut left_out) = (Tags::new(), None);
    for (key, tag) in wrong_tags(facts) {
        if tags::value(&user.tags, &key).is_none() {
            if places == 0 {
                left_out.get_or_insert(key);
                continue;
            }
            places -= 1;
        }
        fit.insert(key, tag.as_str().to_owned());
    }
    (fit, left_out)
}

/// Makes the tags say what the document says.
pub(in super::super) fn tags(facts: &Facts<'_>) -> Option<(Next, String)> {
    let user = facts.user()?;
    let (mut wanted, _) = tags_with_a_place(facts);
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
    if facts.is_compromised(&current.id) {
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

/// What a person has to do about AWS's quarantine policy. It limits every key of the user, a new one too.
pub(in super::super) fn quarantine_reason(facts: &Facts<'_>) -> Option<String> {
    let case = facts.quarantine()?;
    let listed = |id: &AccessKeyId| facts.view.observed.keys.iter().any(|key| key.id == *id);
    let detach = case.detach_command();
    if facts.replaces_quarantined() {
        return Some(format!(
            "AWS found a key of it in public: its keys were replaced, and {} limits the new one too until it is \
             detached: {detach}",
            case.policy
        ));
    }
    let replace = case.replace_commands(listed);
    if replace.is_empty() {
        return Some(format!("{} limits its keys until it is detached: {detach}", case.policy));
    }
    let why_not = match case.appeared {
        true => "keys.compromised is \"report\"",
        false => "the policy was there when the controller first saw the user",
    };
    let replace = replace.join("; ");
    Some(format!(
        "AWS found a key of it in public, and {why_not}: unless its keys were replaced since, replace them ({replace}; \
         a sweep mints a new one), then detach the policy: {detach}"
    ))
}

/// AWS's quarantine policy is attached: a person has to detach it.
pub(in super::super) fn quarantined(facts: &Facts<'_>) -> Option<(Next, String)> {
    let why = quarantine_reason(facts)?;
    Some((Next::Rest { state: Some(State::Blocked), due: next_due(facts) }, why))
}

fn next_due(facts: &Facts<'_>) -> Option<Timestamp> {
    let rotation = facts.current.map(|current| rotation::rotation_due(current.created, facts.view.policy));
    let rotation = rotation.filter(|_| facts.view.clock_trusted);
    rotation.into_iter().chain(next_expiry(facts)).min()
}

/// As wanted, until the next rotation or expiry.
pub(in super::super) fn ready(facts: &Facts<'_>) -> Option<(Next, String)> {
    let due = next_due(facts);
    let why = tags_with_a_place(facts).1.map_or_else(String::new, |key| {
        format!(
            "it has {} tags, as many as IAM allows, so that the tag of {key} is left out: remove tags of others",
            tags::TAGS_PER_USER
        )
    });
    Some((Next::Rest { state: Some(State::Ready), due }, why))
}

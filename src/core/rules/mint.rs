//! Rules about new keys: opening a mint, proving and publishing what it made, finding what it lost.

use super::super::document::{KeyDocument, StoredKey};
use super::super::facts::{Facts, Need};
use super::super::memory::{MINT_SLACK, MINT_WINDOW, PUBLISH_TIMEOUT, SETTLE};
use super::super::plan::{Next, State};
use super::super::step::Step;
use super::super::tags;
use super::super::time::Timestamp;
use super::keys;

/// A key in hand that could not be proven or published is deleted, so that no second mint begins
/// while one is unpublished.
pub(in super::super) fn reject_key(facts: &Facts<'_>) -> Option<(Next, String)> {
    let hand = facts.hand()?;
    let now = facts.view.now;
    let policy = facts.view.policy;
    let publish_by = hand.minted + policy.verify_timeout + PUBLISH_TIMEOUT;
    let why = if let Some(reason) = &hand.rejected {
        reason.clone()
    } else if !hand.proven && now >= hand.minted + policy.verify_timeout {
        "AWS did not accept the new key within keys.verify_timeout".to_owned()
    } else if now >= publish_by {
        format!("SSM did not take the new key for {}", humantime::format_duration(PUBLISH_TIMEOUT))
    } else {
        return None;
    };
    // A write without an answer may still arrive and publish the key; not while it may.
    if let Some(settled) = hand.unanswered_put.map(|put| put + SETTLE).filter(|settled| now < *settled) {
        return Some((Next::WaitUntil(settled, State::Failed), why));
    }
    if !facts.view.clock_trusted {
        return Some((Next::WaitUntil(now + SETTLE, State::Failed), why));
    }
    Some((Next::Do(Step::DeleteKey { key: hand.id.clone() }), why))
}

/// A new key is published only after AWS has accepted a call signed with it.
pub(in super::super) fn prove_key(facts: &Facts<'_>) -> Option<(Next, String)> {
    let hand = facts.hand()?;
    (!hand.proven).then(|| (Next::Prove, "a new key must work before it is published".to_owned()))
}

/// Publishes the key in hand, together with the one before it.
pub(in super::super) fn publish_key(facts: &Facts<'_>) -> Option<(Next, String)> {
    let hand = facts.hand()?;
    // It would take the new document away, with the only copy of the secret.
    if let Some(settled) = facts.view.memory.written_until(facts.view.now) {
        let why = "an earlier write of the parameter may still take effect".to_owned();
        return Some((Next::WaitUntil(settled, State::Pending), why));
    }
    let new = StoredKey { id: hand.id.clone(), secret: hand.secret.clone() };
    let alive = |key: &StoredKey| {
        !facts.view.memory.deleted.contains(&key.id)
            && facts.view.observed.keys.iter().any(|seen| seen.id == key.id)
    };
    let (pending, other) = match facts.document() {
        Some(old) => {
            let before = [&old.current, &old.pending].into_iter().flatten().find(|key| alive(key));
            (before.cloned(), old.other.clone())
        }
        None => (None, serde_json::Map::new()),
    };
    let document = KeyDocument { current: Some(new), pending, other };
    let step = Step::Publish { document, minted: Some(hand.id.clone()) };
    Some((Next::Do(step), "the new key works".to_owned()))
}

/// Finds the key whose secret was lost, or waits until no such key can appear any more.
pub(in super::super) fn lost_mint(facts: &Facts<'_>) -> Option<(Next, String)> {
    let opened = facts.lost_since()?;
    let now = facts.view.now;
    // The tag is closed once its key is published; then nothing is lost.
    if published_since(facts, opened) {
        return None;
    }
    match facts.lost_keys().as_slice() {
        [] => {
            let until = opened + MINT_WINDOW + SETTLE;
            let why = format!("a mint was interrupted at {opened}; its key may still appear");
            (now < until).then(|| (Next::WaitUntil(until, State::Pending), why))
        }
        [_] if !facts.view.clock_trusted => {
            let why = "the local clock is more than 5 minutes from AWS's; nothing is deleted".to_owned();
            Some((Next::WaitUntil(now + SETTLE, State::Pending), why))
        }
        // A process before us may have published it, by a call that is still under way.
        [lost] if lost.active && facts.unsettled().is_some() => {
            let until = facts.unsettled().unwrap_or(now + SETTLE);
            let why = format!("a mint was interrupted at {opened}; its key may still be published");
            Some((Next::WaitUntil(until, State::Pending), why))
        }
        [lost] => {
            let why = format!("a mint was interrupted at {opened}, and the secret of its key is lost");
            let key = lost.id.clone();
            let step = if lost.active { Step::DeactivateKey { key } } else { Step::DeleteKey { key } };
            Some((Next::Do(step), why))
        }
        [first, .., last] => {
            let why = format!(
                "a mint was interrupted at {opened}; {} or {} is its key, the other is not: delete the one \
                 that nobody uses",
                first.id, last.id
            );
            Some((Next::Rest { state: Some(State::Blocked), due: None }, why))
        }
    }
}

/// Whether the mint that was opened then has published its key. The call that closes a mint also
/// tags its key, so a key with a tag is of an earlier one.
fn published_since(facts: &Facts<'_>, opened: Timestamp) -> bool {
    let (Some(user), Some(current)) = (facts.user(), facts.current) else { return false };
    let of_its_age = current.created + MINT_SLACK >= opened && current.created <= opened + MINT_WINDOW;
    of_its_age && tags::key_tag(&user.tags, &current.id).is_none()
}

fn needed(facts: &Facts<'_>) -> Option<Need> {
    facts.need().filter(|_| facts.hand().is_none())
}

/// After a mint that failed, the next one waits.
pub(in super::super) fn mint_pause(facts: &Facts<'_>) -> Option<(Next, String)> {
    let need = needed(facts)?;
    let memory = facts.view.memory;
    if facts.view.now >= memory.mint_not_before {
        return None;
    }
    let failure = memory.mint_failure.as_deref().unwrap_or("the last mint failed");
    let why = format!("{}; {failure}", need.why());
    Some((Next::WaitUntil(memory.mint_not_before, State::Failed), why))
}

/// A read that is older than somebody's last change may hide the open mint of a leader before us, and
/// make its key look foreign.
pub(in super::super) fn settle_reads(facts: &Facts<'_>) -> Option<(Next, String)> {
    let need = needed(facts)?;
    let until = facts.unsettled().filter(|_| !facts.may_create_key())?;
    Some((Next::WaitUntil(until, State::Pending), need.why().to_owned()))
}

/// IAM allows two keys a user; a new one needs a free place.
pub(in super::super) fn free_slot(facts: &Facts<'_>) -> Option<(Next, String)> {
    let need = needed(facts)?;
    if facts.keys_in_use() < 2 {
        return None;
    }
    if let Some(foreign) = facts.unknown.first() {
        let why = format!(
            "{}, but {} takes the place of a new one, and the controller did not make it: delete it, or set \
             keys.foreign = \"revoke\"",
            need.why(),
            foreign.id
        );
        let due = keys::next_expiry(facts);
        return Some((Next::Rest { state: Some(State::Blocked), due }, why));
    }
    // Consumers may still use the older key. It leaves in its own time, by rule `expire`.
    let oldest = facts.superseded.iter().min_by_key(|key| key.created)?;
    let due = keys::next_expiry(facts);
    let state = if need == Need::Age { State::Ready } else { State::Blocked };
    let until = match due {
        Some(due) => format!("one of them is deleted at {due}"),
        None => format!("{} is deleted, which only a person can decide now", oldest.id),
    };
    let why = format!("{}, and both of IAM's two places are taken until {until}", need.why());
    Some((Next::Rest { state: Some(state), due }, why))
}

/// The second half of a mint: the tag is open and fresh, and no key was asked for under it.
pub(in super::super) fn create_key(facts: &Facts<'_>) -> Option<(Next, String)> {
    let need = needed(facts)?;
    facts.may_create_key().then(|| (Next::Do(Step::CreateKey), need.why().to_owned()))
}

/// The first half of a mint: says durably that a key is about to be made.
pub(in super::super) fn open_mint(facts: &Facts<'_>) -> Option<(Next, String)> {
    let need = needed(facts)?;
    let now = facts.view.now;
    let why = need.why().to_owned();
    // A foreign key this young would look like the one that is about to be made.
    let young = facts.unknown.iter().map(|key| key.created + MINT_SLACK + SETTLE / 10).max();
    if let Some(until) = young.filter(|until| now < *until) {
        return Some((Next::WaitUntil(until, State::Pending), why));
    }
    Some((Next::Do(Step::OpenMint { at: facts.new_mint() }), why))
}

//! Rules about new keys: opening a mint, proving and publishing what it made, finding what it lost.

use super::super::document::{KeyDocument, StoredKey};
use super::super::facts::{Facts, Need};
use super::super::memory::{MINT_FRESH, MINT_SLACK, MINT_WINDOW, Mint, PUBLISH_TIMEOUT, SETTLE};
use super::super::plan::{Next, State};
use super::super::rotation;
use super::super::step::Step;

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
    let new = StoredKey { id: hand.id.clone(), secret: hand.secret.clone() };
    let alive = |key: &StoredKey| facts.view.observed.keys.iter().any(|seen| seen.id == key.id);
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

/// Whether the mint that was opened then has published its key.
fn published_since(facts: &Facts<'_>, opened: super::super::time::Timestamp) -> bool {
    facts.current.is_some_and(|current| {
        current.created + MINT_SLACK >= opened && current.created <= opened + MINT_WINDOW
    })
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
        return Some((Next::Rest { state: Some(State::Blocked), due: None }, why));
    }
    // Consumers may still use the older key. It leaves in its own time, by rule `expire`.
    let oldest = facts.superseded.iter().min_by_key(|key| key.created)?;
    let successor = facts.view.observed.stored.modified();
    let successor = successor.or(facts.superseded.iter().map(|key| key.created).max());
    let due = rotation::expiry(oldest.created, successor.unwrap_or(oldest.created), facts.view.policy);
    let state = if need == Need::Age { State::Ready } else { State::Blocked };
    let why = format!(
        "{}, and both of IAM's two places are taken until {} is deleted at {due}",
        need.why(),
        oldest.id
    );
    Some((Next::Rest { state: Some(state), due: Some(due) }, why))
}

/// The second half of a mint: the tag is open and fresh, and no key was asked for under it.
pub(in super::super) fn create_key(facts: &Facts<'_>) -> Option<(Next, String)> {
    let need = needed(facts)?;
    match facts.view.memory.mint {
        Mint::Opened { at, sent: false } if facts.view.now.since(at) < MINT_FRESH => {
            Some((Next::Do(Step::CreateKey), need.why().to_owned()))
        }
        Mint::Opened { .. } | Mint::Idle | Mint::InHand(_) => None,
    }
}

/// The first half of a mint: says durably that a key is about to be made.
pub(in super::super) fn open_mint(facts: &Facts<'_>) -> Option<(Next, String)> {
    let need = needed(facts)?;
    let now = facts.view.now;
    let why = need.why().to_owned();
    // A read that is older than somebody's last change may hide the open mint of a leader before us.
    if let Some(until) = facts.view.memory.unsettled_until(now).filter(|_| !facts.view.reads_settled) {
        return Some((Next::WaitUntil(until, State::Pending), why));
    }
    // A foreign key this young would look like the one that is about to be made.
    let young = facts.unknown.iter().map(|key| key.created + MINT_SLACK + SETTLE / 10).max();
    if let Some(until) = young.filter(|until| now < *until) {
        return Some((Next::WaitUntil(until, State::Pending), why));
    }
    Some((Next::Do(Step::OpenMint { at: now }), why))
}

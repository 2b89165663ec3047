//! What a step that AWS accepted has changed: the look that follows does not need to read it back,
//! and must not, because IAM may not show it for seconds.

use super::memory::{MINT_FRESH, Memory, Mint, SETTLE};
use super::observed::{Observed, Stored, User};
use super::step::Step;
use super::tags;
use super::time::Timestamp;
use super::user::AccessKeyId;

impl Observed {
    /// Takes in a step that AWS accepted at `now`. The answers of `CreateUser` and `CreateKey` hold
    /// more than the step; the caller takes them in.
    pub fn after(&mut self, step: &Step, memory: &mut Memory, now: Timestamp) {
        match step {
            Step::CreateUser { .. } | Step::CreateKey => {}
            Step::Adopt { tags } | Step::TagKeys { tags } => {
                self.with_user(|user| user.tags.extend(tags.clone()));
                // The mint that the tag spoke of is over.
                if tags.contains_key(tags::MINTING) {
                    memory.mint = Mint::Idle;
                }
            }
            Step::RestoreBoundary { policy } => self.with_user(|user| user.boundary = Some(policy.clone())),
            Step::OpenMint { at } => {
                self.with_user(|user| {
                    user.tags.insert(tags::MINTING.to_owned(), at.to_string());
                });
                memory.mint = Mint::Opened { at: *at, sent: false };
            }
            Step::Publish { document, .. } => {
                self.stored = Stored::Document { document: document.clone(), modified: now };
            }
            Step::UntagKeys { tags } => {
                self.with_user(|user| user.tags.retain(|key, _| !tags.contains(key)));
            }
            Step::DeactivateKey { key } => {
                self.keys.iter_mut().filter(|seen| seen.id == *key).for_each(|seen| seen.active = false);
            }
            Step::DeleteKey { key } => self.key_deleted(key, memory, now),
            Step::Remove { leftover } => {
                if let Some(leftovers) = &mut self.leftovers {
                    leftovers.retain(|other| other != leftover);
                }
            }
            Step::DeleteUser { .. } => {
                *self = Observed { stored: self.stored.clone(), ..Observed::nothing() };
                // A late read may show the user once more; that its deletion was granted is how it is
                // told from one that sweeps have yet to judge.
                let unanswered_put = match &memory.mint {
                    Mint::InHand(hand) => hand.unanswered_put,
                    Mint::Opened { .. } | Mint::Idle => None,
                };
                *memory = Memory {
                    revoke_before: memory.revoke_before,
                    condemned: memory.condemned.take(),
                    told_to_delete: memory.told_to_delete,
                    remove_parameter: memory.remove_parameter,
                    unanswered_write: memory.unanswered_write.max(unanswered_put),
                    ..Memory::default()
                };
            }
            Step::DeleteParameter => self.stored = Stored::Missing,
        }
    }

    fn key_deleted(&mut self, key: &AccessKeyId, memory: &mut Memory, now: Timestamp) {
        self.keys.retain(|seen| seen.id != *key);
        // Bounded by IAM's quota of two keys; a controller that runs for years must not collect them.
        if memory.deleted.len() >= 8 {
            memory.deleted.clear();
        }
        memory.deleted.insert(key.clone());
        match &memory.mint {
            Mint::InHand(hand) if hand.id == *key => {
                let too_late = match hand.proven {
                    true => "SSM did not take the new key in time",
                    false => "AWS did not accept the new key within keys.verify_timeout",
                };
                let reason = hand.rejected.clone().unwrap_or_else(|| too_late.to_owned());
                memory.mint = Mint::Opened { at: hand.opened, sent: false };
                memory.mint_failed(reason, now);
            }
            // The key of an interrupted mint: CreateAccessKey is sent once a mint, so there is no other.
            Mint::Idle | Mint::Opened { sent: true, .. } => {
                let opened = self.user.as_ref().and_then(|user| tags::minting_since(&user.tags));
                // Under a tag that is still fresh a second key could be asked for.
                if let Some(at) = opened.filter(|opened| now.since(*opened) >= MINT_FRESH) {
                    memory.mint = Mint::Opened { at, sent: false };
                }
            }
            Mint::Opened { sent: false, .. } | Mint::InHand(_) => {}
        }
    }

    /// Whether IAM may not know this key yet, although it exists.
    pub fn may_be_unknown(&self, key: &AccessKeyId, memory: &Memory, now: Timestamp) -> bool {
        let listed = self.keys.iter().find(|seen| seen.id == *key).map(|seen| seen.created);
        let minted = match &memory.mint {
            Mint::InHand(hand) if hand.id == *key => Some(hand.minted),
            Mint::InHand(_) | Mint::Opened { .. } | Mint::Idle => None,
        };
        listed.max(minted).is_some_and(|made| now < made + SETTLE)
    }

    /// Nothing at all: no user, no key, no parameter.
    pub fn nothing() -> Self {
        Self { user: None, keys: Vec::new(), stored: Stored::Missing, leftovers: None }
    }

    fn with_user(&mut self, change: impl FnOnce(&mut User)) {
        if let Some(user) = &mut self.user {
            change(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Hand;
    use super::super::observed::Key;
    use super::super::secret::Secret;
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn key(id: &str) -> AccessKeyId {
        AccessKeyId::parse(id).expect("a key id")
    }

    #[test]
    fn a_key_may_be_unknown_for_as_long_as_reads_may_be_late() {
        let (young, old, hidden) =
            (key("AKIAYYYYYYYYYYYYYYYY"), key("AKIAOOOOOOOOOOOOOOOO"), key("AKIAHHHHHHHHHHHHHHHH"));
        let listed = |id: &AccessKeyId, created| Key { id: id.clone(), active: true, created };
        let observed = Observed {
            keys: vec![listed(&old, at(1_000)), listed(&young, at(2_000))],
            ..Observed::nothing()
        };
        let hand = Hand {
            id: hidden.clone(),
            secret: Secret::new("s"),
            opened: at(2_000),
            minted: at(2_002),
            proven: false,
            rejected: None,
            unanswered_put: None,
        };
        let memory = Memory { mint: Mint::InHand(hand), ..Memory::default() };
        let until =
            |id: &AccessKeyId| (2_000..2_030).find(|now| !observed.may_be_unknown(id, &memory, at(*now)));
        assert_eq!(until(&old), Some(2_000));
        assert_eq!(until(&young), Some(2_010));
        // Not listed yet, and known by its making.
        assert_eq!(until(&hidden), Some(2_012));
        assert_eq!(until(&key("AKIANNNNNNNNNNNNNNNN")), Some(2_000));
    }
}

//! What follows from a view: which key plays which part.

use std::time::Duration;

use super::document::KeyDocument;
use super::memory::{Hand, MINT_FRESH, MINT_SLACK, MINT_WINDOW, Mint, SETTLE};
use super::observed::{Key, Stored, User};
use super::plan::{Desired, View};
use super::rotation;
use super::tags;
use super::time::Timestamp;

/// A view, and what follows from it.
pub(super) struct Facts<'a> {
    pub(super) view: &'a View<'a>,
    /// The key that the document calls `current`, when IAM knows it.
    pub(super) current: Option<&'a Key>,
    /// Keys that have a successor: `pending_deletion` in the document, or tagged and not current.
    pub(super) superseded: Vec<&'a Key>,
    /// Keys that neither the document nor a tag knows, and that are not in hand.
    pub(super) unknown: Vec<&'a Key>,
    /// The time of an open `minting` tag.
    pub(super) opened: Option<Timestamp>,
}

/// Why a new key is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// There is no key document that can be read.
    NothingPublished,
    /// The published key is gone from IAM.
    KeyGone,
    /// The published key was found in public.
    Compromised,
    /// The published key is old.
    Age,
}

impl Need {
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::NothingPublished => "no current key is published",
            Self::KeyGone => "the published key is gone from IAM",
            Self::Compromised => "AWS has quarantined the published key",
            Self::Age => "the current key has reached keys.rotate_after",
        }
    }
}

impl<'a> Facts<'a> {
    pub(super) fn of(view: &'a View<'a>) -> Self {
        let observed = view.observed;
        let document = observed.stored.document();
        let current_id = document.and_then(KeyDocument::current_id);
        let pending_id = document.and_then(KeyDocument::pending_id);
        let in_hand = match &view.memory.mint {
            Mint::InHand(hand) => Some(&hand.id),
            Mint::Idle | Mint::Opened { .. } => None,
        };
        let no_tags = super::observed::Tags::new();
        let tags = observed.user.as_ref().map_or(&no_tags, |user| &user.tags);
        let mut facts = Self {
            view,
            current: None,
            superseded: Vec::new(),
            unknown: Vec::new(),
            // A time to come is nobody's mint: waiting for it might never end.
            opened: tags::minting_since(tags).filter(|opened| *opened <= view.now + MINT_SLACK),
        };
        for key in observed.keys.iter().filter(|key| !view.memory.deleted.contains(&key.id)) {
            if Some(&key.id) == current_id {
                facts.current = Some(key);
            } else if Some(&key.id) == in_hand {
                // Neither known to consumers nor foreign.
            } else if Some(&key.id) == pending_id || tags::key_tag(tags, &key.id).is_some() {
                facts.superseded.push(key);
            } else {
                facts.unknown.push(key);
            }
        }
        facts
    }

    /// Until when what was seen of IAM may be older than the last change.
    pub(super) fn unsettled(&self) -> Option<Timestamp> {
        let until = self.view.memory.unsettled_until(self.view.now);
        (!self.view.reads_settled).then(|| until.unwrap_or(self.view.now + SETTLE / 10))
    }

    /// The user, when it is the one that the row names: IAM finds users without regard to case.
    pub(super) fn namesake(&self) -> Option<&'a User> {
        self.user().filter(|user| user.name == *self.view.name)
    }

    /// Whether the user is the one that the controller itself runs as.
    pub(super) fn is_own_principal(&self) -> bool {
        self.user().is_some_and(|user| self.view.own_user == Some(&user.id))
    }

    pub(super) fn user(&self) -> Option<&'a User> {
        self.view.observed.user.as_ref()
    }

    /// The user, when it is owned.
    pub(super) fn owned(&self) -> Option<&'a User> {
        self.user().filter(|user| tags::owned(&user.tags, &self.view.policy.table))
    }

    pub(super) fn hand(&self) -> Option<&'a Hand> {
        match &self.view.memory.mint {
            Mint::InHand(hand) => Some(hand),
            Mint::Idle | Mint::Opened { .. } => None,
        }
    }

    pub(super) fn document(&self) -> Option<&'a KeyDocument> {
        self.view.observed.stored.document()
    }

    pub(super) fn has_row(&self) -> bool {
        !matches!(self.view.desired, Desired::Absent)
    }

    /// Whether there is to be a user of this spelling.
    pub(super) fn is_served(&self) -> bool {
        matches!(self.view.desired, Desired::Present)
    }

    /// Keys that IAM counts against the user's quota.
    pub(super) fn keys_in_use(&self) -> usize {
        let in_hand = usize::from(self.hand().is_some());
        usize::from(self.current.is_some()) + self.superseded.len() + self.unknown.len() + in_hand
    }

    /// Whether this process has a mint open under which it may ask for a key: so fresh that the key's
    /// CreateDate will say which mint it belongs to.
    pub(super) fn may_create_key(&self) -> bool {
        let now = self.view.now;
        match self.view.memory.mint {
            // The tag that is seen may be another's: a user that was not visible was here already.
            Mint::Opened { at, sent: false } => {
                self.opened == Some(at) && at <= now + MINT_SLACK && now.since(at) < MINT_FRESH
            }
            Mint::Opened { sent: true, .. } | Mint::Idle | Mint::InHand(_) => false,
        }
    }

    /// The time of a mint that is opened now. A clock that is set back does not make it that of another.
    pub(super) fn new_mint(&self) -> Timestamp {
        let next = self.view.memory.last_mint.map(|last| last + Duration::from_millis(1));
        next.map_or(self.view.now, |next| next.max(self.view.now))
    }

    /// When the mint was opened that may have made a key that nobody knows: one of an earlier
    /// process, or one whose answer was lost.
    pub(super) fn lost_since(&self) -> Option<Timestamp> {
        match self.view.memory.mint {
            Mint::Opened { at, sent: true } => Some(at),
            Mint::Idle => self.opened,
            // The tag is not of this mint: a user that was not visible, when it was to be created, was
            // here already.
            Mint::Opened { at, sent: false } if self.opened != Some(at) => self.opened,
            Mint::Opened { sent: false, .. } | Mint::InHand(_) => None,
        }
    }

    /// The unknown keys that are of an age to have been made by the lost mint.
    pub(super) fn lost_keys(&self) -> Vec<&'a Key> {
        let Some(opened) = self.lost_since() else { return Vec::new() };
        let young = |key: &&&Key| key.created + MINT_SLACK >= opened && key.created <= opened + MINT_WINDOW;
        self.unknown.iter().filter(young).copied().collect()
    }

    /// Whether, and why, a new key is needed. A deactivated current key is no reason: a person did it.
    pub(super) fn need(&self) -> Option<Need> {
        if self.document().and_then(KeyDocument::current_id).is_none() {
            let can_be_written = !matches!(self.view.observed.stored, Stored::NotSecure);
            return can_be_written.then_some(Need::NothingPublished);
        }
        let Some(current) = self.current else { return Some(Need::KeyGone) };
        if self.view.memory.compromised.contains(&current.id) {
            return Some(Need::Compromised);
        }
        let due = rotation::rotation_due(current.created, self.view.policy);
        (self.view.clock_trusted && current.active && self.view.now >= due).then_some(Need::Age)
    }
}

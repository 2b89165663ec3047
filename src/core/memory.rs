//! What one process remembers of a user between two looks.
//!
//! Losing it, by a crash, must be harmless: everything that a later process needs is in AWS.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::observed::Observed;
use super::secret::Secret;
use super::time::Timestamp;
use super::user::{AccessKeyId, UserId};

/// How far a mint has come in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mint {
    /// This process has opened none. An open `minting` tag is then somebody else's, perhaps lost.
    #[default]
    Idle,
    /// The `minting` tag was written with this time.
    Opened {
        /// The tag's value.
        at: Timestamp,
        /// Whether CreateAccessKey may have made a key that this process does not know.
        sent: bool,
    },
    /// The key exists, and its secret is only here.
    InHand(Hand),
}

/// A key that was minted and is not published yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hand {
    /// The public half.
    pub id: AccessKeyId,
    /// The secret half; this is its only copy.
    pub secret: Secret,
    /// When the `minting` tag was written.
    pub opened: Timestamp,
    /// When the key came back from IAM, by our clock.
    pub minted: Timestamp,
    /// Whether AWS has accepted a call signed with it.
    pub proven: bool,
    /// Whether the key is to be deleted, and why: it could not be proven or published.
    pub rejected: Option<String>,
    /// The last PutParameter that brought no answer: it may still take effect.
    pub unanswered_put: Option<Timestamp>,
}

/// What one process remembers of a user between two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The mint under way.
    pub mint: Mint,
    /// The time of the last mint that this process has opened; no two of a user have the same.
    pub last_mint: Option<Timestamp>,
    /// No mint begins before this time, after one that failed.
    pub mint_not_before: Timestamp,
    /// Mints that failed one after another.
    pub failed_mints: u32,
    /// Why the last one failed.
    pub mint_failure: Option<String>,
    /// The last change that reads of IAM may not show yet: one of ours, or the last sign of life of
    /// a leader before us.
    pub last_change: Option<Timestamp>,
    /// A REMOVE record of this time has to be honoured.
    pub revoke_before: Option<Timestamp>,
    /// Two sweeps have found this user to be an orphan.
    pub orphan: Option<UserId>,
    /// Deletion of this user was granted and recorded: it is carried through, whatever the row does.
    pub condemned: Option<UserId>,
    /// Whether it was granted to this process. What a process before it was told rests on the table as
    /// it was then.
    pub told_to_delete: bool,
    /// Whether the parameter is to go once the user is gone.
    pub remove_parameter: bool,
    /// The last write of the parameter that brought no answer, but for those of the key in hand: it may
    /// still take effect.
    pub unanswered_write: Option<Timestamp>,
    /// CreateUser was told since this time that the name is taken, while GetUser knows no such user.
    pub name_taken_since: Option<Timestamp>,
    /// When CreateUser last said so although no late read or write could explain it any more.
    pub name_taken_again: Option<Timestamp>,
    /// Foreign keys that are inactive, with the sweep in which that was first seen.
    pub idle_foreign: BTreeMap<AccessKeyId, u64>,
    /// Keys that AWS has quarantined; they are replaced without overlap.
    pub compromised: BTreeSet<AccessKeyId>,
    /// Keys that were deleted; a stale read may still list them.
    pub deleted: BTreeSet<AccessKeyId>,
}

/// IAM: after this time a change is taken to be visible to every read. AWS says "seconds".
pub const SETTLE: Duration = Duration::from_secs(10);

/// CreateAccessKey is only sent this soon after the `minting` tag was written, so that the key's
/// CreateDate says which mint it belongs to.
pub const MINT_FRESH: Duration = Duration::from_secs(10);

/// A key that a mint made was created within this time of its `minting` tag: [`MINT_FRESH`], the
/// call's own time limit of 5 s, and as much again for a request that IAM carries out late.
pub const MINT_WINDOW: Duration = Duration::from_secs(20);

/// IAM tells CreateDate in whole seconds, and its clock may differ a little from the one that the
/// tag was written by; a key may so seem to be this much older than its mint.
pub const MINT_SLACK: Duration = Duration::from_secs(5);

/// How long a proven key is held while SSM does not take it, before it is deleted instead.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(300);

/// After this time a name that is taken, by a user that cannot be seen, is taken by one that is
/// spelled otherwise: neither by a new one, nor by one that was deleted moments ago.
pub const NAME_SETTLE: Duration = Duration::from_secs(20);

/// How soon CreateUser is tried again for a name that is taken.
pub const NAME_RETRY: Duration = Duration::from_secs(3_600);

/// First pause after a mint that failed; doubles up to [`MAX_MINT_PAUSE`].
pub const MINT_PAUSE: Duration = Duration::from_secs(60);

/// Longest pause after a mint that failed.
pub const MAX_MINT_PAUSE: Duration = Duration::from_secs(3_600);

impl Memory {
    /// Notes that a minted key was given up, so that the next mint waits.
    pub fn mint_failed(&mut self, reason: String, now: Timestamp) {
        let pause = MINT_PAUSE.saturating_mul(1 << self.failed_mints.min(6)).min(MAX_MINT_PAUSE);
        self.failed_mints = self.failed_mints.saturating_add(1);
        self.mint_not_before = now + pause;
        self.mint_failure = Some(reason);
    }

    /// Notes that CreateUser was told that the name is taken.
    pub fn name_taken(&mut self, now: Timestamp) {
        let since = *self.name_taken_since.get_or_insert(now);
        if now >= since + NAME_SETTLE {
            self.name_taken_again = Some(now);
        }
    }

    /// Takes in what a look has seen: what was in hand and is published now, is no longer in hand; a
    /// user with another id has another life.
    pub fn take_in(&mut self, observed: &Observed, sweep: u64) {
        if let Mint::InHand(hand) = &self.mint
            && observed.stored.document().and_then(|document| document.current_id()) == Some(&hand.id)
        {
            self.mint = Mint::Idle;
            self.failed_mints = 0;
            self.mint_failure = None;
        }
        if let Some(user) = &observed.user {
            (self.name_taken_since, self.name_taken_again) = (None, None);
            if self.condemned.as_ref().is_some_and(|condemned| *condemned != user.id) {
                self.condemned = None;
                self.told_to_delete = false;
            }
            if self.orphan.as_ref().is_some_and(|orphan| *orphan != user.id) {
                self.orphan = None;
            }
        }
        self.idle_foreign.retain(|id, _| observed.keys.iter().any(|key| key.id == *id && !key.active));
        for key in observed.keys.iter().filter(|key| !key.active) {
            self.idle_foreign.entry(key.id.clone()).or_insert(sweep);
        }
    }

    /// Until when an earlier write of the parameter may still take effect.
    pub fn written_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.unanswered_write.map(|write| write + SETTLE).filter(|settled| now < *settled)
    }

    /// Whether a read of IAM may not show the last change yet.
    pub fn unsettled_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.last_change.map(|change| change + SETTLE).filter(|settled| now < *settled)
    }
}

//! 1: a key that is published for the first time was proven as the contract has it.

use iam_user_controller::core::document::KeyDocument;
use iam_user_controller::core::observed::Leftover;

use super::{Rules, ms};
use crate::account::{Maker, SimKey, SimUser, World};

/// The longest grace of a process that is told to stop.
const STOPS_WITHIN_MS: u64 = 20_000;

/// What is known of the world when a key is published for the first time.
struct Publication<'a> {
    key: &'a SimKey,
    /// A key that works was published before.
    replaces_working: bool,
    /// A process was told to stop within its grace before now.
    stopping: bool,
}

impl Publication<'_> {
    /// What is wrong with it.
    fn judge(&self, rules: &Rules) -> Option<String> {
        let policy = &rules.policy;
        if !policy.verify || self.key.maker != Maker::Program {
            return None;
        }
        let accepted = &self.key.accepted_ms;
        if accepted.len() < 3 {
            return Some(format!(
                "{} is published after AWS has accepted it {} times in a row",
                self.key.id,
                accepted.len()
            ));
        }
        let span = accepted.last().zip(accepted.first()).map_or(0, |(last, first)| last - first);
        let least = ms(policy.verify_for);
        // The program measures by its own clock, which may be a little off.
        let least = least.saturating_sub(ms(rules.clock_error));
        (self.replaces_working && !self.stopping && span < least)
            .then(|| format!("{} takes the place of a key that works after {span} ms of proofs", self.key.id))
    }
}

/// What is wrong with a key that was not published before, if it was not proven.
pub(super) fn unproven(
    world: &mut World,
    folded: &str,
    before: Option<&KeyDocument>,
    document: &KeyDocument,
) -> Option<String> {
    let user = world.iam.live(folded)?;
    let before = before.and_then(KeyDocument::current_id);
    let new = document.current_id().filter(|id| before != Some(*id))?;
    let key = user.live_key(new)?;
    let works = |key: &SimKey| *key.active.get() && !quarantined(user);
    let stopped = world.stopped_ms;
    let publication = Publication {
        key,
        replaces_working: before.and_then(|id| user.live_key(id)).is_some_and(works),
        stopping: stopped.is_some_and(|at| world.now <= at + ms(world.rules.grace) + STOPS_WITHIN_MS),
    };
    let wrong = publication.judge(&world.rules);
    let too_early = key.usable_ms > world.now && world.rules.policy.verify;
    let unkind = too_early && world.conduct.early_per_mille == 0;
    let wrong = wrong.or_else(|| unkind.then(|| format!("{} is published before AWS accepts it", key.id)));
    world.book.too_early += u64::from(too_early);
    wrong.map(|wrong| format!("{wrong}, for {folded}"))
}

/// Whether AWS has put one of its quarantine policies on the user.
fn quarantined(user: &SimUser) -> bool {
    let is_quarantine = |leftover: &Leftover| matches!(leftover, Leftover::AttachedPolicy(arn) if arn.contains("::aws:policy/AWSCompromisedKeyQuarantine"));
    user.leftovers.get().iter().any(is_quarantine)
}

//! Rules for a user that is to go: everything that IAM demands gone, the user, the parameter.

use super::super::facts::Facts;
use super::super::memory::SETTLE;
use super::super::observed::{Leftover, Stored, User};
use super::super::plan::{Desired, Evidence, Next, State};
use super::super::step::Step;
use super::super::tags;

/// Carries a granted deletion through, once it has begun, whatever the row does meanwhile. Keys are
/// deactivated first, so that access ends with the first calls.
pub(in super::super) fn teardown(facts: &Facts<'_>) -> Option<(Next, String)> {
    let user = facts.user().filter(|_| !facts.is_own_principal())?;
    let condemned = facts.view.memory.condemned.as_ref() == Some(&user.id);
    if !condemned || !may_be_deleted(facts, user) || is_spared(facts, user) || is_asked_again(facts, user) {
        return None;
    }
    if !facts.view.clock_trusted {
        return Some(clock_not_trusted(facts));
    }
    if let Some(unsettled) = may_be_another(facts) {
        return Some(unsettled);
    }
    Some((next_of_teardown(facts, user), "its deletion was granted".to_owned()))
}

/// A late read may show a user as it was before it was adopted, or one of another spelling that had the
/// name before. What has to be removed is not forgotten on its word.
pub(in super::super) fn settle_ownership(facts: &Facts<'_>) -> Option<(Next, String)> {
    let another = |user: &&User| user.name != *facts.view.name || !may_be_deleted(facts, user);
    let user = facts.user().filter(another)?;
    let memory = facts.view.memory;
    let removing = memory.condemned.as_ref() == Some(&user.id) || memory.revoke_before.is_some();
    let until = facts.unsettled().filter(|_| removing)?;
    Some((Next::WaitUntil(until, State::Deleting), "it may not be as it is seen".to_owned()))
}

/// Whoever takes the ownership tags off a user takes it out of the controller's hands; except where
/// every user without a row is an orphan. Of those, whoever is seen to have a console login is spared.
fn may_be_deleted(facts: &Facts<'_>, user: &User) -> bool {
    let leftovers = facts.view.observed.leftovers.as_deref();
    let has_login = leftovers.is_some_and(|leftovers| leftovers.contains(&Leftover::LoginProfile));
    tags::sweepable(&user.tags, facts.view.policy) && !(has_login && login_spares(facts))
}

/// Whether a console login would spare the user: it has not been handed to the controller.
fn login_spares(facts: &Facts<'_>) -> bool {
    facts.owned().is_none() && !facts.view.policy.include_console_users
}

/// Who has no evidence against it any more lives on: its row is back, or what sweeps have seen was seen
/// under a leader before. Unless its removal has begun, or looks like it: nobody could tell any more who
/// has deactivated its keys, and a new user is one whose keys nobody else has deactivated.
fn is_spared(facts: &Facts<'_>, user: &User) -> bool {
    facts.unsettled().is_none() && evidence(facts, user).is_none() && !has_begun(facts)
}

/// Whether the published key is deactivated or gone, and no other one is left that works; what the
/// first calls of a removal do.
fn has_begun(facts: &Facts<'_>) -> bool {
    let observed = facts.view.observed;
    match facts.current {
        Some(current) => !current.active,
        None => {
            let published = facts.document().is_some_and(|document| document.current_id().is_some());
            (published || !observed.keys.is_empty()) && !observed.keys.iter().any(|key| key.active)
        }
    }
}

/// What was granted to a leader before, and has not begun, is asked for again: another table may have
/// taken the place of the one that it rests on.
fn is_asked_again(facts: &Facts<'_>, user: &User) -> bool {
    !facts.view.memory.told_to_delete && !has_begun(facts) && evidence(facts, user).is_some()
}

fn next_of_teardown(facts: &Facts<'_>, user: &User) -> Next {
    let observed = facts.view.observed;
    let mut keys = observed.keys.iter().filter(|key| !facts.view.memory.deleted.contains(&key.id));
    // The published one first: it tells that a removal has begun.
    let published = facts.current.filter(|current| current.active);
    if let Some(active) = published.or_else(|| keys.clone().find(|key| key.active)) {
        return Next::Do(Step::DeactivateKey { key: active.id.clone() });
    }
    if let Some(key) = keys.next() {
        return Next::Do(Step::DeleteKey { key: key.id.clone() });
    }
    match observed.leftovers.as_deref() {
        None => Next::ListLeftovers,
        Some([leftover, ..]) => Next::Do(Step::Remove { leftover: leftover.clone() }),
        Some([]) => Next::Do(Step::DeleteUser { user: user.id.clone() }),
    }
}

/// Asks the brake, when there is evidence that the user has to go.
pub(in super::super) fn remove(facts: &Facts<'_>) -> Option<(Next, String)> {
    let user = facts.namesake().filter(|_| !facts.is_own_principal())?;
    let evidence = evidence(facts, user)?;
    if !facts.view.clock_trusted {
        return Some(clock_not_trusted(facts));
    }
    if let Some(unsettled) = may_be_another(facts) {
        return Some(unsettled);
    }
    if evidence == Evidence::Orphan && login_spares(facts) && facts.view.observed.leftovers.is_none() {
        // The sweep has asked for a console login, perhaps a while ago.
        return Some((Next::ListLeftovers, "it has no row, and may have a console login".to_owned()));
    }
    let why = match evidence {
        Evidence::RemoveRecord(at) => format!("its row was removed at {at}"),
        Evidence::Orphan => "it has no row".to_owned(),
    };
    Some((Next::AskToDelete(user.id.clone(), evidence), why))
}

fn evidence(facts: &Facts<'_>, user: &User) -> Option<Evidence> {
    let memory = facts.view.memory;
    if let (Some(removed), Some(owned)) = (memory.revoke_before, facts.owned()) {
        // The stream and IAM both tell whole seconds. Of two things in one second the removal counts
        // as the earlier one when there is a row: a user that this record's own handling created anew
        // must not fall to its replay.
        if owned.created < removed || (!facts.has_row() && owned.created == removed) {
            return Some(Evidence::RemoveRecord(removed));
        }
    }
    (!facts.has_row() && memory.orphan.as_ref() == Some(&user.id) && may_be_deleted(facts, user))
        .then_some(Evidence::Orphan)
}

/// A late read may show the user that was removed, with the keys of the one that was created after
/// it: IAM acts on names.
fn may_be_another(facts: &Facts<'_>) -> Option<(Next, String)> {
    let why = "the user that is to be deleted may already be another one".to_owned();
    facts.unsettled().map(|until| (Next::WaitUntil(until, State::Deleting), why))
}

fn clock_not_trusted(facts: &Facts<'_>) -> (Next, String) {
    let why = "the local clock is more than 5 minutes from AWS's; nothing is deleted".to_owned();
    (Next::WaitUntil(facts.view.now + SETTLE, State::Deleting), why)
}

/// Does not believe that a user is gone while it may just not be visible yet.
pub(in super::super) fn gone(facts: &Facts<'_>) -> Option<(Next, String)> {
    let memory = facts.view.memory;
    let removing = memory.remove_parameter || memory.revoke_before.is_some();
    if facts.namesake().is_some() || facts.is_served() || !removing {
        return None;
    }
    let until = facts.unsettled()?;
    Some((Next::WaitUntil(until, State::Deleting), "the user may not be visible yet".to_owned()))
}

/// Deletes the parameter of a user that is gone, also when its row is back and another spelling is
/// served now.
pub(in super::super) fn delete_parameter(facts: &Facts<'_>) -> Option<(Next, String)> {
    let memory = facts.view.memory;
    let removing = memory.remove_parameter || memory.revoke_before.is_some();
    let left = facts.namesake().is_none() && !facts.is_served() && removing;
    // It would bring the parameter back.
    if let Some(settled) = memory.written_until(facts.view.now).filter(|_| left) {
        let why = "an earlier write of the parameter may still take effect".to_owned();
        return Some((Next::WaitUntil(settled, State::Deleting), why));
    }
    if !left || facts.view.observed.stored == Stored::Missing {
        return None;
    }
    if !facts.view.clock_trusted {
        return Some(clock_not_trusted(facts));
    }
    Some((Next::Do(Step::DeleteParameter), "its user is gone".to_owned()))
}

/// Leaves a name without a row alone: without evidence nothing is deleted.
pub(in super::super) fn absent(facts: &Facts<'_>) -> Option<(Next, String)> {
    if *facts.view.desired != Desired::Absent {
        return None;
    }
    let rest = |state, why: &str| Some((Next::Rest { state, due: None }, why.to_owned()));
    match facts.namesake() {
        Some(_) if facts.owned().is_some() && !facts.is_own_principal() => {
            rest(Some(State::Deleting), "it has no row; sweeps decide whether it is an orphan")
        }
        Some(_) | None => rest(None, ""),
    }
}

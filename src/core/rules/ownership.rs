//! Rules about who a user is: created, adopted, or somebody else's.

use super::super::facts::Facts;
use super::super::memory::{NAME_RETRY, NAME_SETTLE, SETTLE};
use super::super::observed::Tags;
use super::super::plan::{Desired, Next, State};
use super::super::step::Step;
use super::super::tags::{self, NotAdoptable};

fn conflict(why: String) -> Option<(Next, String)> {
    Some((Next::Rest { state: Some(State::Conflict), due: None }, why))
}

/// Of two rows that differ only in case, one is served.
pub(in super::super) fn case_twin(facts: &Facts<'_>) -> Option<(Next, String)> {
    match facts.view.desired {
        Desired::Shadowed { by } => {
            conflict(format!("IAM names are unique without regard to case, and the row {by} is served"))
        }
        Desired::Present | Desired::Absent => None,
    }
}

/// CreateUser says that the name is taken, and GetUser that there is no such user: for some seconds
/// that is a new user that is not visible yet, or one that was just deleted. If CreateUser still says
/// so after that, it is a user that is spelled otherwise.
pub(in super::super) fn name_taken(facts: &Facts<'_>) -> Option<(Next, String)> {
    let since = facts.view.memory.name_taken_since.filter(|_| facts.user().is_none())?;
    let settled = since + NAME_SETTLE;
    if facts.view.now < settled {
        let soon = (facts.view.now + SETTLE / 5).min(settled);
        return Some((Next::WaitUntil(soon, State::Pending), "the user may not be visible yet".to_owned()));
    }
    // Until it was asked once more nothing is certain; and its owner may delete it.
    let again = facts.view.memory.name_taken_again;
    if again.is_none_or(|again| facts.view.now >= again + NAME_RETRY) {
        return None;
    }
    conflict("IAM says that the name is taken, by a user whose name differs in case".to_owned())
}

/// A row without a user.
pub(in super::super) fn create_user(facts: &Facts<'_>) -> Option<(Next, String)> {
    if facts.user().is_some() {
        return None;
    }
    // A key in hand, and no user: deleted by hand, or not visible yet.
    if let Some(until) = facts.view.memory.unsettled_until(facts.view.now).filter(|_| facts.hand().is_some())
    {
        return Some((Next::WaitUntil(until, State::Pending), "the user may not be visible yet".to_owned()));
    }
    let step = Step::CreateUser { minting: facts.new_mint() };
    Some((Next::Do(step), "it has a row and no IAM user".to_owned()))
}

/// IAM finds users without regard to case; a row that is spelled otherwise does not name this user.
pub(in super::super) fn other_spelling(facts: &Facts<'_>) -> Option<(Next, String)> {
    let user = facts.user().filter(|user| user.name != *facts.view.name)?;
    conflict(format!("the IAM user of this name is spelled {}", user.name))
}

/// The controller never manages the user that it runs as.
pub(in super::super) fn own_principal(facts: &Facts<'_>) -> Option<(Next, String)> {
    if !facts.is_own_principal() {
        return None;
    }
    conflict("the controller itself runs as this user".to_owned())
}

/// Takes over a user that is not owned, or leaves it alone.
pub(in super::super) fn adopt(facts: &Facts<'_>) -> Option<(Next, String)> {
    let user = facts.user()?;
    if facts.owned().is_some() {
        return None;
    }
    let policy = facts.view.policy;
    match tags::adoptable(user, facts.view.observed.keys.iter().map(|key| &key.id), policy) {
        Ok(()) => {
            // A late read may hide that it was adopted already and has a mint open, which this step
            // would close.
            if let Some(until) = facts.unsettled() {
                let why = "users.adopt allows to take it over".to_owned();
                return Some((Next::WaitUntil(until, State::Pending), why));
            }
            let mut tags = tags::ownership(&policy.table);
            if tags::minting_since(&user.tags).is_none() && !tags::says_not_minting(&user.tags) {
                tags.extend(Tags::from([(tags::MINTING.to_owned(), tags::NOT_MINTING.to_owned())]));
            }
            Some((Next::Do(Step::Adopt { tags }), "users.adopt allows to take it over".to_owned()))
        }
        Err(NotAdoptable::Never) => conflict(
            "an IAM user of this name exists that the controller did not create; users.adopt is \"never\"".to_owned(),
        ),
        Err(NotAdoptable::NotTagged) => conflict(
            "an IAM user of this name exists that the controller did not create, and no tag of it names one of \
             its keys as current or pending_deletion"
                .to_owned(),
        ),
        Err(NotAdoptable::OwnedElsewhere(table)) => {
            conflict(format!("the IAM user of this name is managed from the table {table}"))
        }
    }
}

/// Puts the permissions boundary back, before any key is minted.
pub(in super::super) fn boundary(facts: &Facts<'_>) -> Option<(Next, String)> {
    let wanted = facts.view.policy.boundary.as_ref()?;
    if facts.user()?.boundary.as_ref() == Some(wanted) {
        return None;
    }
    let step = Step::RestoreBoundary { policy: wanted.clone() };
    Some((Next::Do(step), "its permissions boundary is not users.permissions_boundary".to_owned()))
}

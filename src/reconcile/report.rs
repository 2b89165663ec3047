//! What a look found, for people.

use super::Reconciler;
use crate::core::memory::Mint;
use crate::core::observed::Key;
use crate::core::plan::{Next, Plan, State, View};
use crate::core::rotation;
use crate::core::tags;
use crate::ports::Ports;
use crate::registry::{KeyReport, KeyRole, Report};

impl<P: Ports> Reconciler<P> {
    pub(super) fn report(&self, view: &View<'_>, plan: &Plan) {
        let state = match &plan.next {
            Next::Rest { state, .. } => *state,
            Next::WaitUntil(_, state) => Some(*state),
            Next::AskToDelete(..) | Next::ListLeftovers => Some(State::Deleting),
            Next::Do(_) if plan.rule == "teardown" || plan.rule == "delete_parameter" => {
                Some(State::Deleting)
            }
            Next::Do(_) | Next::Prove => Some(State::Pending),
        };
        match state {
            None => self.registry.remove(view.name.as_str()),
            Some(state) => self.registry.set(view.name.as_str(), self.report_of(view, plan, state)),
        }
    }

    fn report_of(&self, view: &View<'_>, plan: &Plan, state: State) -> Report {
        // Of somebody else's user nothing is shown but that it is there.
        let ours = view.observed.user.as_ref().filter(|user| tags::owned(&user.tags, &self.policy.table));
        let keys: Vec<KeyReport> = match ours {
            Some(_) => view.observed.keys.iter().map(|key| key_report(view, key)).collect(),
            None => Vec::new(),
        };
        let current = keys.iter().find(|key| key.role == KeyRole::Current);
        Report {
            state,
            reason: plan.why.clone(),
            user_id: ours.map(|user| user.id.to_string()),
            parameter: ours.map(|user| self.template.name_for(&user.name).to_string()),
            next_rotation: current.map(|key| rotation::rotation_due(key.created, &self.policy)),
            keys,
            looked_at: view.now,
        }
    }
}

fn key_report(view: &View<'_>, key: &Key) -> KeyReport {
    let document = view.observed.stored.document();
    let in_hand = matches!(&view.memory.mint, Mint::InHand(hand) if hand.id == key.id);
    let tagged = view.observed.user.as_ref().is_some_and(|user| tags::key_tag(&user.tags, &key.id).is_some());
    let role = if document.and_then(|document| document.current_id()) == Some(&key.id) {
        KeyRole::Current
    } else if in_hand {
        KeyRole::Minting
    } else if tagged || document.and_then(|document| document.pending_id()) == Some(&key.id) {
        KeyRole::PendingDeletion
    } else {
        KeyRole::Foreign
    };
    KeyReport { id: key.id.clone(), role, active: key.active, created: key.created }
}

//! One look at one user: observe, plan, apply one step, and plan again until nothing is left to do.
//!
//! All flows end here. Nothing in this module decides; `core::plan` does. Nothing in it waits either:
//! when the plan says to wait, the look ends, and `work` comes back in time.

mod apply;
mod ledger;
mod metrics;
mod observe;
mod report;

pub use ledger::{File, Ledger};
pub use metrics::{ReconcileMetrics, Trigger};
pub use observe::{AwsTime, observe};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::brakes::Brakes;
use crate::core::brake::Verdict;
use crate::core::memory::Mint;
use crate::core::observed::Observed;
use crate::core::parameter_name::ParameterTemplate;
use crate::core::plan::{Desired, Evidence, Next, Plan, State, View, plan};
use crate::core::policy::Policy;
use crate::core::step::Step;
use crate::core::time::Timestamp;
use crate::core::user::{UserId, UserName};
use crate::lease::Guard;
use crate::pace::{ChangeError, Lane, Pace};
use crate::ports::{CallError, Directory, Fault, Identity, Ports, Proof, UsersTable};
use crate::registry::{Registry, Report};
use crate::removals::{Removal, Removals};

/// A look makes at most this many steps; the longest teardown that IAM's quotas allow has fewer.
const MAX_STEPS: usize = 256;

/// Pause before AWS is asked again whether it knows a new key.
const PROVE_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Pause before a look that met something unexpected is repeated.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// All that the looks of one leadership share.
pub struct Reconciler<P: Ports> {
    /// The outside world.
    pub ports: P,
    /// The right to change it.
    pub lease: Guard<P>,
    /// The pace of calls.
    pub pace: Arc<Pace>,
    /// What the operator wants.
    pub policy: Policy,
    /// IAM path of created users.
    pub path: String,
    /// Where keys are stored.
    pub template: ParameterTemplate,
    /// The deletion brake.
    pub brakes: Arc<Brakes<P>>,
    /// Removals that outlive this process.
    pub removals: Removals<P>,
    /// Where findings are shown.
    pub registry: Arc<Registry>,
    /// Counters.
    pub metrics: ReconcileMetrics,
    /// The user that the controller runs as, when it is one.
    pub own_user: Option<UserId>,
    /// Number of the sweep under way or done last.
    pub sweep: Arc<AtomicU64>,
}

/// How a look at one name ended.
#[derive(Debug)]
pub enum Look {
    /// Nothing is left to do until `due`.
    Settled {
        /// When a rule will have something to say again, by AWS's clock.
        due: Option<Timestamp>,
    },
    /// Look again at this time, by AWS's clock.
    Again(Timestamp),
    /// A call failed.
    Failed(CallError),
    /// The lease ends; nothing may be changed any more.
    Stopped,
}

impl From<ChangeError> for Look {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::LeaseEnds => Self::Stopped,
            ChangeError::Call(error) => Self::Failed(error),
        }
    }
}

impl From<CallError> for Look {
    fn from(error: CallError) -> Self {
        Self::Failed(error)
    }
}

impl<P: Ports> Reconciler<P> {
    /// Looks at all spellings of one name, the removed ones first.
    ///
    /// Forgets spellings that are neither in the table nor waiting for anything.
    pub async fn reconcile(&self, ledger: &mut Ledger, trigger: Trigger) -> Look {
        let served = match self.served(ledger).await {
            Ok(served) => served,
            Err(error) => return error.into(),
        };
        let mut names: Vec<UserName> = ledger.files.keys().cloned().collect();
        names.sort_by_key(|name| served.present.contains(name));
        let mut result = Look::Settled { due: None };
        for name in names {
            let desired = served.desired(&name);
            let Some(file) = ledger.files.get_mut(&name) else { continue };
            let mut look = self.look(&name, &desired, file, trigger).await;
            if let Look::Settled { due } = &mut look
                && desired == Desired::Absent
                && !file.has_obligation()
            {
                // Whoever forgets that something was changed a moment ago believes the next late read.
                match file.memory.unsettled_until(AwsTime::of(self.ports.clock()).now) {
                    Some(until) => *due = Some(due.map_or(until, |due| due.min(until))),
                    None => drop(ledger.files.remove(&name)),
                }
            }
            result = worse(result, look);
            // A spelling that is still being removed comes before the one that replaces it.
            if !matches!(result, Look::Settled { .. }) {
                break;
            }
        }
        result
    }

    /// Which of the spellings are in the table, and which one of them is served.
    async fn served(&self, ledger: &Ledger) -> Result<Served, CallError> {
        let mut present = BTreeSet::new();
        for name in ledger.files.keys() {
            if self.ports.users_table().contains(name.as_str()).await? {
                present.insert(name.clone());
            }
        }
        let mut served = present.first().cloned();
        if present.len() > 1 {
            for name in &present {
                let user = self.ports.directory().user(name).await?;
                if user.is_some_and(|user| user.name == *name) {
                    served = Some(name.clone());
                    break;
                }
            }
        }
        Ok(Served { present, served })
    }

    async fn look(&self, name: &UserName, desired: &Desired, file: &mut File, trigger: Trigger) -> Look {
        let mut observed = match self.observe(name, file).await {
            Ok(observed) => observed,
            Err(error) => {
                self.report_failure(name, &error);
                return error.into();
            }
        };
        // What IAM still lists when no read is late any more was not deleted: IAM may refuse to know a
        // key that is seconds old.
        if file.memory.unsettled_until(AwsTime::of(self.ports.clock()).now).is_none() {
            file.memory.deleted.clear();
        }
        for _ in 0..MAX_STEPS {
            let sweep = self.sweep.load(Ordering::Relaxed);
            file.memory.take_in(&observed, sweep);
            let time = AwsTime::of(self.ports.clock());
            let view = View {
                name,
                desired,
                observed: &observed,
                memory: &file.memory,
                policy: &self.policy,
                now: time.now,
                clock_trusted: time.trusted,
                reads_settled: file.reads_settled(time.now),
                sweep,
                own_user: self.own_user.as_ref(),
            };
            let plan = plan(&view);
            tracing::debug!(user = %name, rule = plan.rule, why = plan.why, "planned");
            self.report(&view, &plan);
            match self.carry_out(name, desired, &plan, &mut observed, file, trigger).await {
                Ok(()) => {}
                Err(look) => {
                    if let Look::Failed(error) = &look {
                        self.report_failure(name, error);
                    }
                    return look;
                }
            }
        }
        tracing::error!(user = %name, "a look did not end; it goes on later");
        Look::Again(AwsTime::of(self.ports.clock()).now + LOOK_AGAIN)
    }

    /// Does what the plan says. `Err` ends the look.
    async fn carry_out(
        &self,
        name: &UserName,
        desired: &Desired,
        plan: &Plan,
        observed: &mut Observed,
        file: &mut File,
        trigger: Trigger,
    ) -> Result<(), Look> {
        match &plan.next {
            Next::Rest { due, .. } => {
                self.removal_settled(name, file).await?;
                // What a sweep has seen may be news, or our own last change that it did not see yet. The
                // next sweep may be long in coming, so this is found out as soon as a read can tell.
                let read = (trigger == Trigger::Sweep)
                    .then(|| file.believed_until(AwsTime::of(self.ports.clock()).now))
                    .flatten();
                Err(Look::Settled { due: due.iter().copied().chain(read).min() })
            }
            Next::WaitUntil(until, _) => Err(Look::Again(*until)),
            Next::Prove => self.prove(file).await,
            Next::ListLeftovers => {
                let call = self.ports.directory().leftovers(name);
                match self.pace.read(&self.ports, Lane::Iam, call).await {
                    Ok(leftovers) => {
                        observed.leftovers = Some(leftovers);
                        Ok(())
                    }
                    // The user is gone meanwhile, or not visible yet.
                    Err(error) if error.fault == Fault::NotFound => {
                        file.doubt();
                        Err(Look::Again(AwsTime::of(self.ports.clock()).now + LOOK_AGAIN))
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Next::AskToDelete(user, evidence) => {
                self.ask_to_delete(name, desired, user, *evidence, file).await
            }
            Next::Do(step) => {
                if matches!(step, Step::Adopt { .. }) {
                    self.acquit(name, file).await?;
                }
                // A granted deletion does not begin before it is on record: once the user is gone,
                // nothing else leads to its parameter.
                if file.memory.condemned.is_some() {
                    self.park_removal(name, file).await?;
                }
                let settled = file.reads_settled(AwsTime::of(self.ports.clock()).now);
                self.apply(name, step, plan, observed, file, trigger).await?;
                file.believe(observed, settled, AwsTime::of(self.ports.clock()).now);
                Ok(())
            }
        }
    }

    async fn prove(&self, file: &mut File) -> Result<(), Look> {
        let Mint::InHand(hand) = &mut file.memory.mint else { return Ok(()) };
        match self.ports.identity().prove(&hand.id, &hand.secret).await {
            Ok(Proof::Accepted) => {
                hand.proven = true;
                Ok(())
            }
            Ok(Proof::NotYet) => Err(Look::Again(AwsTime::of(self.ports.clock()).now + PROVE_PAUSE)),
            Err(error) => {
                tracing::debug!(%error, "a new key could not be proven yet");
                Err(Look::Again(AwsTime::of(self.ports.clock()).now + PROVE_PAUSE))
            }
        }
    }

    async fn ask_to_delete(
        &self,
        name: &UserName,
        desired: &Desired,
        user: &UserId,
        evidence: Evidence,
        file: &mut File,
    ) -> Result<(), Look> {
        let now = AwsTime::of(self.ports.clock()).now;
        if evidence == Evidence::Orphan {
            if self.ports.users_table().contains(name.as_str()).await? {
                file.memory.orphan = None;
                return Err(Look::Again(now));
            }
            // Asked after the read: a table that has taken the other's place since the sweep is known by
            // then, and its answer is not believed.
            let Some(table) = self.ports.users_table().describe().await? else {
                return Err(Look::Again(now + HELD_PAUSE));
            };
            self.brakes.table_seen(&table.arn, &table.id, now).await.map_err(state_failed)?;
        }
        let verdict = self.brakes.ask(name, user, evidence, now).await.map_err(state_failed)?;
        match verdict {
            Verdict::Go => {
                file.memory.condemned = Some(user.clone());
                file.memory.told_to_delete = true;
                file.memory.remove_parameter = *desired == Desired::Absent;
                self.park_removal(name, file).await
            }
            Verdict::Wait { until } => {
                self.park_removal(name, file).await?;
                Err(Look::Again(until))
            }
            // A held removal whose row is back is simply no longer wanted.
            Verdict::Held(_) if *desired != Desired::Absent => {
                tracing::warn!(user = %name, "its deletion was held, and its row is back: it keeps its keys");
                file.memory.revoke_before = None;
                self.removal_settled(name, file).await
            }
            Verdict::Held(_) => {
                self.park_removal(name, file).await?;
                Err(Look::Again(now + HELD_PAUSE))
            }
        }
    }

    /// Whoever took the ownership tags off a user took it out of the controller's hands, and with it a
    /// deletion that was granted before: a user that is adopted anew has a life before it. What a
    /// REMOVE record demands is asked for anew.
    async fn acquit(&self, name: &UserName, file: &mut File) -> Result<(), Look> {
        let memory = &mut file.memory;
        if memory.revoke_before.is_none() {
            return self.removal_settled(name, file).await;
        }
        if memory.condemned.take().is_some() {
            memory.orphan = None;
            memory.told_to_delete = false;
            memory.remove_parameter = false;
            let granted = file.recorded.as_ref().and_then(|removal| removal.condemned.as_ref());
            let now = AwsTime::of(self.ports.clock()).now;
            self.brakes.settled(name, granted, now).await.map_err(state_failed)?;
            self.park_removal(name, file).await?;
        }
        Ok(())
    }

    /// Stores a removal that is not finished, so that it outlives this process and a checkpoint may
    /// pass its record.
    ///
    /// # Errors
    /// How the look ends when the state table does not take it.
    pub async fn park_removal(&self, name: &UserName, file: &mut File) -> Result<(), Look> {
        let removal = Removal::of(&file.memory);
        if file.has_obligation() && file.recorded.as_ref() != Some(&removal) {
            self.removals.record(name, &removal).await.map_err(state_failed)?;
            file.recorded = Some(removal);
        }
        Ok(())
    }

    /// Nothing is left to remove: forgets the removal, here and in the state table.
    async fn removal_settled(&self, name: &UserName, file: &mut File) -> Result<(), Look> {
        let asked = file.memory.orphan.is_some() || file.has_obligation() || file.recorded.is_some();
        // Somebody else may have asked: a process before this one, or a sweep whose orphan has a row again.
        if asked || self.brakes.wants(name).await {
            let granted = file.recorded.as_ref().and_then(|removal| removal.condemned.as_ref());
            self.brakes
                .settled(name, granted, AwsTime::of(self.ports.clock()).now)
                .await
                .map_err(state_failed)?;
        }
        if file.recorded.is_some() {
            self.removals.forget(name).await.map_err(state_failed)?;
            file.recorded = None;
        }
        file.memory.orphan = None;
        file.memory.revoke_before = None;
        file.memory.condemned = None;
        file.memory.told_to_delete = false;
        file.memory.remove_parameter = false;
        Ok(())
    }
}

/// How often a held deletion asks again, in case nobody tells it that the hold is over. Each look is
/// four calls, and a brake that holds holds many; `deletions resume`, the end of a hold and a row
/// that is back all ask at once.
const HELD_PAUSE: std::time::Duration = std::time::Duration::from_secs(600);

fn state_failed(error: crate::ports::StateError) -> Look {
    match error {
        crate::ports::StateError::Fenced => Look::Stopped,
        crate::ports::StateError::Call(error) => Look::Failed(error),
    }
}

struct Served {
    present: BTreeSet<UserName>,
    served: Option<UserName>,
}

impl Served {
    fn desired(&self, name: &UserName) -> Desired {
        match &self.served {
            _ if !self.present.contains(name) => Desired::Absent,
            Some(served) if served != name => Desired::Shadowed { by: served.clone() },
            Some(_) | None => Desired::Present,
        }
    }
}

/// Of two looks, the one that says what to do about both.
fn worse(a: Look, b: Look) -> Look {
    match (a, b) {
        (Look::Settled { due: a }, Look::Settled { due: b }) => {
            Look::Settled { due: a.into_iter().chain(b).min() }
        }
        (Look::Settled { .. }, other) | (other, _) => other,
    }
}

impl<P: Ports> Reconciler<P> {
    fn report_failure(&self, name: &UserName, error: &CallError) {
        if let Some(mut report) = self.registry.get(name.as_str()) {
            report.state = State::Failed;
            report.reason = error.to_string();
            self.registry.set(name.as_str(), report);
        } else {
            let now = AwsTime::of(self.ports.clock()).now;
            self.registry.set(name.as_str(), Report::without_user(State::Failed, error.to_string(), now));
        }
    }
}

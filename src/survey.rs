//! Looks at everybody and changes nothing: what `plan` prints, and what `dry_run` does.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::app::Common;
use crate::config::Settings;
use crate::core::census::{Census, Orphan, OrphanRules, Spared};
use crate::core::memory::Memory;
use crate::core::plan::{Desired, Next, Plan, State, View, plan};
use crate::core::policy::OrphanAction;
use crate::core::time::Timestamp;
use crate::core::user::{UserId, UserName};
use crate::pace::{Lane, Pace};
use crate::ports::{Alarm, CallError, Clock, Directory, Ports};
use crate::reconcile::{AwsTime, observe};
use crate::registry::Report;
use crate::status::Role;
use crate::sweep::{self, SweepReport};

/// What would be done about one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The name, valid or not.
    pub name: String,
    /// The next change, in snake case; `none` when there is none to make.
    pub action: &'static str,
    /// The key that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The rule that says so.
    pub rule: &'static str,
    /// Why.
    pub why: String,
    /// The state that it is in now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

impl Planned {
    /// Whether something would be changed.
    pub fn changes(&self) -> bool {
        self.action != "none"
    }

    fn of(name: &UserName, plan: &Plan) -> Self {
        let (action, key, state) = match &plan.next {
            Next::Do(step) => (step.action(), step.key().map(ToString::to_string), Some(State::Pending)),
            Next::AskToDelete(..) | Next::ListLeftovers => ("delete_user", None, Some(State::Deleting)),
            Next::Prove => ("none", None, Some(State::Pending)),
            Next::WaitUntil(_, state) => ("none", None, Some(*state)),
            Next::Rest { state, .. } => ("none", None, *state),
        };
        Self { name: name.to_string(), action, key, rule: plan.rule, why: plan.why.clone(), state }
    }
}

/// What a survey needs.
pub struct Surveyor<'a, P> {
    /// The outside world.
    pub ports: &'a P,
    /// What the operator wants.
    pub settings: &'a Settings,
    /// The user that the program runs as.
    pub own_user: Option<UserId>,
}

/// A survey of everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// Rows in the table.
    pub rows: usize,
    /// Owned users in IAM.
    pub owned_users: usize,
    /// Users without a row that a sweep may delete.
    pub orphans: usize,
    /// Users without a row that no sweep deletes, by reason.
    pub spared: BTreeMap<Spared, usize>,
    /// Everybody that is in the table, or is an orphan; by name.
    pub users: Vec<Planned>,
}

impl<P: Ports> Surveyor<'_, P> {
    /// Looks at everybody.
    ///
    /// # Errors
    /// When a call fails: half a survey could mislead.
    pub async fn everybody(&self) -> Result<Survey, CallError> {
        self.survey(&Pace::default(), |_| true).await
    }

    /// Looks at one name, which may be nobody's.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn only(&self, name: &UserName) -> Result<Survey, CallError> {
        let pace = Pace::default();
        let mut survey = self.survey(&pace, |other| other == name.as_str()).await?;
        if survey.users.is_empty() {
            survey.users.push(self.one(name, &pace, &BTreeSet::new()).await?);
        }
        Ok(survey)
    }

    /// The account and the table are always seen whole: who is an orphan, and which spelling is served,
    /// does not show in one name.
    async fn survey(&self, pace: &Pace, wanted: impl Fn(&str) -> bool) -> Result<Survey, CallError> {
        let users = sweep::list_users(self.ports, pace).await?;
        let rows = sweep::scan_table(self.ports).await?;
        let policy = self.settings.policy();
        let rules = OrphanRules {
            min_age: self.settings.orphans.min_age,
            protected: &|name| self.settings.orphans.protect.matches(name),
            own_user: self.own_user.as_ref(),
        };
        let now = AwsTime::of(self.ports.clock()).now;
        let mut census = Census::take(users, rows, &policy, &rules, now);
        for name in census.perhaps_people(&policy) {
            let call = self.ports.directory().has_console_login(&name);
            if pace.read(self.ports, Lane::Iam, call).await? {
                census.has_console_login(&name);
            }
        }
        let mut planned: Vec<Planned> = (census.invalid.iter())
            .filter(|(name, _)| wanted(name))
            .map(|(name, reason)| Planned {
                name: name.clone(),
                action: "none",
                key: None,
                rule: "invalid",
                why: reason.clone(),
                state: Some(State::Invalid),
            })
            .collect();
        let names = census.rows.iter().filter(|name| wanted(name.as_str()));
        let names = names.map(|name| self.one(name, pace, &census.rows));
        let mut looks = stream::iter(names).buffer_unordered(self.settings.executor.concurrency.get());
        while let Some(look) = looks.next().await {
            planned.push(look?);
        }
        let orphans = census.orphans.iter().filter(|orphan| wanted(orphan.name.as_str()));
        planned.extend(orphans.map(|orphan| self.orphan(orphan)));
        planned.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Survey {
            rows: census.rows.len() + census.invalid.len(),
            owned_users: census.owned,
            orphans: census.orphans.len(),
            spared: census.count_spared(),
            users: planned,
        })
    }

    /// What `dry_run` has for a sweep: a survey, and the report that a sweep would make of it.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn instead_of_a_sweep(&self) -> Result<(Survey, SweepReport), CallError> {
        let begun = self.ports.clock().monotonic();
        let started = AwsTime::of(self.ports.clock()).now;
        let survey = self.everybody().await?;
        let took = self.ports.clock().monotonic().saturating_sub(begun);
        let report = SweepReport {
            started,
            took_millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            rows: survey.rows,
            owned_users: survey.owned_users,
            looked_at: survey.users.len() - survey.orphans,
            failed: 0,
            orphans: survey.orphans,
            orphans_due: 0,
            spared: survey.spared.clone(),
        };
        Ok((survey, report))
    }

    async fn one(
        &self,
        name: &UserName,
        pace: &Pace,
        rows: &BTreeSet<UserName>,
    ) -> Result<Planned, CallError> {
        let policy = self.settings.policy();
        let template = &self.settings.parameters.template;
        let observed = observe(self.ports, pace, template, name).await?;
        let mut twins = rows.iter().filter(|row| row.folded() == name.folded());
        let desired = match twins.next() {
            None => Desired::Absent,
            Some(first) if first != name && observed.user.as_ref().is_none_or(|user| user.name != *name) => {
                Desired::Shadowed { by: first.clone() }
            }
            Some(_) => Desired::Present,
        };
        let time = AwsTime::of(self.ports.clock());
        let view = View {
            name,
            desired: &desired,
            observed: &observed,
            memory: &Memory::default(),
            policy: &policy,
            now: time.now,
            clock_trusted: time.trusted,
            reads_settled: true,
            sweep: 0,
            own_user: self.own_user.as_ref(),
        };
        Ok(Planned::of(name, &plan(&view)))
    }

    fn orphan(&self, orphan: &Orphan) -> Planned {
        let (action, why) = match self.settings.orphans.action {
            OrphanAction::Delete if !orphan.old_enough => (
                "none",
                format!(
                    "it has no row; nothing is done before it is {} old (orphans.min_age)",
                    humantime::format_duration(self.settings.orphans.min_age)
                ),
            ),
            OrphanAction::Delete => (
                "delete_user",
                format!(
                    "it has no row; it is deleted when {} sweeps running have seen that, and the brake allows it",
                    self.settings.orphans.sweeps
                ),
            ),
            OrphanAction::Report => ("none", "it has no row; orphans.action is \"report\"".to_owned()),
        };
        let state = Some(State::Deleting);
        Planned { name: orphan.name.to_string(), action, key: None, rule: "orphan", why, state }
    }
}

/// `dry_run`: surveys at the start and by the schedule, and logs what would be done.
pub(crate) async fn observe_forever<P: Ports>(common: &Common<P>, shutdown: &CancellationToken) {
    common.status.progress().role = Role::Observer;
    let beat = common.status.beats.start("survey", common.ports.clock().monotonic());
    let surveyor =
        Surveyor { ports: &common.ports, settings: &common.settings, own_user: common.own_user.clone() };
    while !shutdown.is_cancelled() {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = beat.during(|| common.ports.clock().monotonic(), observe_once(common, &surveyor)) => {}
        }
        let alarm = common.ports.alarm().next();
        tokio::pin!(alarm);
        loop {
            beat.beat(common.ports.clock().monotonic());
            common.status.clock_is(AwsTime::of(common.ports.clock()).trusted);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = &mut alarm => break,
                () = time::sleep(std::time::Duration::from_secs(10)) => {}
            }
        }
    }
}

async fn observe_once<P: Ports>(common: &Common<P>, surveyor: &Surveyor<'_, P>) {
    match surveyor.instead_of_a_sweep().await {
        Ok((survey, report)) => {
            show(common, &survey, report.started);
            let mut progress = common.status.progress();
            (progress.swept, progress.sweep_failure) = (true, None);
            progress.last_sweep = Some(report);
        }
        Err(error) => {
            tracing::error!(%error, "a survey failed");
            common.status.progress().sweep_failure = Some(error.to_string());
        }
    }
}

fn show<P: Ports>(common: &Common<P>, survey: &Survey, now: Timestamp) {
    common.status.users.clear();
    for planned in &survey.users {
        if planned.changes() {
            tracing::info!(
                user = planned.name,
                action = planned.action,
                key = planned.key,
                why = planned.why,
                rule = planned.rule,
                "would change"
            );
        }
        if let Some(state) = planned.state {
            common.status.users.set(&planned.name, Report::without_user(state, planned.why.clone(), now));
        }
    }
    tracing::info!(rows = survey.rows, owned_users = survey.owned_users, "surveyed; dry_run changes nothing");
}

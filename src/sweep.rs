//! One pass over everything: the account at a glance, the whole table, and then a look at every user
//! that needs one.
//!
//! It deletes nothing itself: it finds orphans, and `reconcile` and the brake have their say. IAM is
//! listed first and the table scanned afterwards, completely and consistently, so that a user that
//! was created meanwhile is not in the list, and one in the list has its row in the scan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::brakes::Brakes;
use crate::config::Orphans;
use crate::core::cadence::Cadence;
use crate::core::census::{self, Census, Orphan, OrphanRules, Sightings, Spared};
use crate::core::observed::Glance;
use crate::core::plan::State;
use crate::core::policy::{OrphanAction, Policy};
use crate::core::time::Timestamp;
use crate::core::user::{AccessKeyId, UserId, UserName};
use crate::heartbeat::Heartbeat;
use crate::lease::Guard;
use crate::pace::{Lane, Pace};
use crate::ports::{CallError, Clock, Directory, Fault, Ports, Record, StateError, StateStore, UsersTable};
use crate::reconcile::{AwsTime, Trigger};
use crate::registry::{KeyRole, Registry, Report};
use crate::work::executor::{Hold, LookFailed, Request};

/// Record of the orphans that sweeps have seen.
pub const ORPHANS_RECORD: &str = "orphans";

/// Record of the keys that AWS has quarantined.
pub const QUARANTINE_RECORD: &str = "quarantine";

/// Pages of IAM's list: 5,000 users an account, 100 a page at the worst, and then some.
const MAX_USER_PAGES: usize = 500;

/// Pages of the table's scan: 1 MB each.
const MAX_SCAN_PAGES: usize = 10_000;

/// What a sweep found, for `/status` and `sweep --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReport {
    /// When it began.
    pub started: Timestamp,
    /// How long it took, looks included, in milliseconds.
    pub took_millis: u64,
    /// Rows in the table.
    pub rows: usize,
    /// Owned users in IAM.
    pub owned_users: usize,
    /// Users that were looked at in full.
    pub looked_at: usize,
    /// Users whose look failed; they are looked at again without another sweep.
    #[serde(default)]
    pub failed: usize,
    /// Users without a row.
    pub orphans: usize,
    /// Orphans that enough sweeps have seen, and whose deletion was asked for.
    pub orphans_due: usize,
    /// Users without a row that no sweep deletes, by reason.
    #[serde(default)]
    pub spared: BTreeMap<Spared, usize>,
}

/// Why a sweep was not finished. It has deleted nobody.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The state table has another leader's writing, or did not answer.
    #[error(transparent)]
    State(#[from] StateError),
    /// The table is gone.
    #[error("the users table {0} does not exist: nothing is deleted while it is missing")]
    NoTable(String),
    /// The executor has ended.
    #[error("the controller is stopping")]
    Stopping,
}

/// Makes sweeps, one after another.
pub struct Sweeper<P: Ports> {
    /// The outside world.
    pub ports: P,
    /// The right to change the state table.
    pub lease: Guard<P>,
    /// The pace of calls.
    pub pace: Arc<Pace>,
    /// What the operator wants.
    pub policy: Policy,
    /// What the operator wants of orphans.
    pub orphans: Orphans,
    /// Within this time every user is looked at in full.
    pub full_every: Duration,
    /// The deletion brake.
    pub brakes: Arc<Brakes<P>>,
    /// What is known of every user.
    pub registry: Arc<Registry>,
    /// Where looks are asked for.
    pub requests: mpsc::Sender<Request>,
    /// The user that the controller runs as.
    pub own_user: Option<UserId>,
    /// Number of the sweep.
    pub number: Arc<AtomicU64>,
    /// Orphans of the sweeps before.
    pub sightings: Sightings,
    /// Quarantined keys of the sweeps before, by user.
    pub quarantine: BTreeMap<UserName, BTreeSet<AccessKeyId>>,
    /// When the sweeps before this one began.
    pub cadence: Cadence,
}

impl<P: Ports> Sweeper<P> {
    /// Makes one pass, and waits until every user that needed a look has had one.
    ///
    /// # Errors
    /// See [`SweepError`]; nothing was deleted on the strength of a pass that failed.
    pub async fn sweep(&mut self, beat: &Heartbeat) -> Result<SweepReport, SweepError> {
        let ports = self.ports.clone();
        beat.during(|| ports.clock().monotonic(), self.pass()).await
    }

    async fn pass(&mut self) -> Result<SweepReport, SweepError> {
        let begun = self.ports.clock().monotonic();
        let started = AwsTime::of(self.ports.clock()).now;
        self.number.fetch_add(1, Ordering::Relaxed);
        self.identify_table(started).await?;
        let users = list_users(&self.ports, &self.pace).await?;
        let rows = scan_table(&self.ports).await?;
        let mut census = self.take_census(users, rows, started);
        self.spare_people(&mut census).await?;
        tell_spared(&census);
        self.show(&census, started);
        self.quarantined(&census).await?;
        let wanted = self.tell_brake(&census, started).await?;
        let orphans_due = self.orphans_due(&census, started).await?;

        let (hold, mut failures) = mpsc::unbounded_channel();
        let looked_at = self.ask_for_looks(&census, &wanted, started, &hold).await?;
        for orphan in &orphans_due {
            let (name, user) = (orphan.name.clone(), orphan.user.clone());
            self.ask(Request::Orphan { name, user, hold: Some(hold.clone()) }).await?;
        }
        drop(hold);
        // All holds are dropped when all looks are over.
        let mut failed = 0;
        while let Some(LookFailed) = failures.recv().await {
            failed += 1;
        }
        let took = self.ports.clock().monotonic().saturating_sub(begun);
        Ok(SweepReport {
            started,
            took_millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            rows: census.rows.len() + census.invalid.len(),
            owned_users: census.owned,
            looked_at,
            failed,
            orphans: census.orphans.len(),
            orphans_due: orphans_due.len(),
            spared: census.count_spared(),
        })
    }

    async fn identify_table(&self, now: Timestamp) -> Result<(), SweepError> {
        let Some(table) = self.ports.users_table().describe().await? else {
            return Err(SweepError::NoTable(self.policy.table.clone()));
        };
        self.brakes.table_seen(&table.arn, &table.id, now).await?;
        Ok(())
    }

    fn take_census(&self, users: Vec<Glance>, rows: Vec<String>, now: Timestamp) -> Census {
        let rules = OrphanRules {
            min_age: self.orphans.min_age,
            protected: &|name| self.orphans.protect.matches(name),
            own_user: self.own_user.as_ref(),
        };
        Census::take(users, rows, &self.policy, &rules, now)
    }

    /// Asks who of those that are not owned has a console login. An answer that fails ends the sweep:
    /// nobody is taken for a machine for want of an answer.
    async fn spare_people(&self, census: &mut Census) -> Result<(), SweepError> {
        for name in census.perhaps_people(&self.policy) {
            let call = self.ports.directory().has_console_login(&name);
            if self.pace.read(&self.ports, Lane::Iam, call).await? {
                census.has_console_login(&name);
            }
        }
        Ok(())
    }

    /// Brings `/users` in line with table and account.
    fn show(&self, census: &Census, now: Timestamp) {
        for (name, reason) in &census.invalid {
            self.registry.set(name, Report::invalid(reason, now));
        }
        let stale: Vec<String> = (self.registry.read().keys())
            .filter(|name| !census.invalid.contains_key(*name))
            .filter(|name| {
                UserName::parse(name)
                    .map_or(true, |name| !census.rows.contains(&name) && !census.users.contains_key(&name))
            })
            .cloned()
            .collect();
        stale.iter().for_each(|name| self.registry.remove(name));
        for orphan in census.orphans.iter().filter(|orphan| orphan.owned) {
            if self.registry.get(orphan.name.as_str()).is_none() {
                let reason = "it has no row; sweeps decide whether it is an orphan".to_owned();
                self.registry.set(orphan.name.as_str(), Report::without_user(State::Deleting, reason, now));
            }
        }
    }

    /// Looks at everybody whose last look is old, was not the last word, or no longer holds; and at those
    /// whose row is back although their deletion is `wanted`.
    async fn ask_for_looks(
        &mut self,
        census: &Census,
        wanted: &BTreeSet<UserName>,
        now: Timestamp,
        hold: &Hold,
    ) -> Result<usize, SweepError> {
        let horizon = self.cadence.horizon(now);
        let mut asked = 0;
        for name in &census.rows {
            let report = self.registry.get(name.as_str()).filter(|_| !wanted.contains(name));
            if report.is_some_and(|report| self.holds(name, &report, census, now, horizon)) {
                continue;
            }
            asked += 1;
            let (name, hold) = (name.clone(), Some(hold.clone()));
            self.ask(Request::Look { name, trigger: Trigger::Sweep, hold }).await?;
        }
        Ok(asked)
    }

    /// Whether a user's last look still holds, and is not older than `full_every` at the horizon.
    fn holds(
        &self,
        name: &UserName,
        report: &Report,
        census: &Census,
        now: Timestamp,
        horizon: Timestamp,
    ) -> bool {
        let Some(glance) = census.users.get(name) else { return false };
        let of_role = |role| report.keys.iter().filter(move |key| key.role == role).map(|key| &key.id);
        let pending: Vec<_> = of_role(KeyRole::PendingDeletion).collect();
        let current = of_role(KeyRole::Current).next();
        report.state == State::Ready
            && report.user_id.as_deref() == Some(glance.user.id.0.as_str())
            && horizon.since(report.looked_at) < self.full_every
            && report.next_rotation.is_none_or(|due| now < due)
            && of_role(KeyRole::Foreign).next().is_none()
            && !census::drifted(&glance.user, current, &pending, &self.policy)
    }

    /// Tells the brake what there is; gives the names whose deletion is wanted.
    async fn tell_brake(&self, census: &Census, now: Timestamp) -> Result<BTreeSet<UserName>, SweepError> {
        let rows = census.rows.len() + census.invalid.len();
        let exists = |name: &UserName| census.users.contains_key(name);
        let wanted = self.brakes.sweep_saw(rows, census.owned, census.orphans.len(), exists, now).await?;
        Ok(wanted.into_iter().collect())
    }

    /// The orphans that enough sweeps have seen, as far as they may be deleted.
    async fn orphans_due(&mut self, census: &Census, now: Timestamp) -> Result<Vec<Orphan>, SweepError> {
        let before = self.sightings.clone();
        let due: Vec<Orphan> =
            self.sightings.seen(&census.orphans, self.orphans.sweeps.get()).into_iter().cloned().collect();
        if self.sightings != before {
            self.remember(ORPHANS_RECORD, &self.sightings).await?;
        }
        if self.orphans.action == OrphanAction::Report {
            return Ok(Vec::new());
        }
        let mut victims = Vec::new();
        for orphan in due {
            // The scan is over for a while; the row may be back.
            if !self.ports.users_table().contains(orphan.name.as_str()).await? {
                victims.push(orphan);
            }
        }
        let asked: Vec<_> = victims.iter().map(|orphan| (orphan.name.clone(), orphan.user.clone())).collect();
        self.brakes.ask_many(&asked, now).await?;
        Ok(victims)
    }

    /// Keys that AWS found in public are marked once, when their quarantine is first seen: the keys
    /// that replace them are not.
    async fn quarantined(&mut self, census: &Census) -> Result<(), SweepError> {
        // Whoever is not seen without the policy is not first seen the next time: a user may be missed, or
        // be nobody's for a while, and the keys that have replaced the marked ones are sound.
        let lasts = |name: &UserName| match census.users.get(name) {
            Some(glance) => glance.is_quarantined(),
            None => census.rows.contains(name),
        };
        let mut found = self.quarantine.clone();
        found.retain(|name, _| lasts(name));
        for name in census.quarantined.iter().filter(|name| !self.quarantine.contains_key(*name)) {
            let keys = self.pace.read(&self.ports, Lane::Iam, self.ports.directory().keys(name)).await?;
            // Gone, or not visible yet: then the next sweep sees it first.
            let Some(keys) = keys else { continue };
            tracing::error!(user = %name, "AWS has quarantined this user: a key of it was found in public");
            found.insert(name.clone(), keys.into_iter().map(|key| key.id).collect());
        }
        if found != self.quarantine {
            self.remember(QUARANTINE_RECORD, &Quarantine::of(&found)).await?;
        }
        self.quarantine = found;
        for (name, keys) in &self.quarantine {
            if census.rows.contains(name) {
                self.ask(Request::Compromised { name: name.clone(), keys: keys.clone() }).await?;
            }
        }
        Ok(())
    }

    async fn remember<T: Serialize>(&self, id: &str, body: &T) -> Result<(), StateError> {
        let body = serde_json::to_string(body).unwrap_or_default();
        self.ports.state().put(&Record { id: id.to_owned(), body, token: self.lease.token() }).await
    }

    async fn ask(&self, request: Request) -> Result<(), SweepError> {
        self.requests.send(request).await.map_err(|_| SweepError::Stopping)
    }
}

/// The body of the record [`QUARANTINE_RECORD`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Quarantine(BTreeMap<String, BTreeSet<AccessKeyId>>);

impl Quarantine {
    fn of(keys: &BTreeMap<UserName, BTreeSet<AccessKeyId>>) -> Self {
        Self(keys.iter().map(|(name, keys)| (name.to_string(), keys.clone())).collect())
    }

    /// The keys by user.
    pub fn into_keys(self) -> BTreeMap<UserName, BTreeSet<AccessKeyId>> {
        let named = |(name, keys): (String, _)| UserName::parse(&name).ok().map(|name| (name, keys));
        self.0.into_iter().filter_map(named).collect()
    }
}

/// More names than this are not told in one line.
const NAMED: usize = 100;

/// Says once a sweep who is spared for what an operator may not know of; the patterns are their own.
fn tell_spared(census: &Census) {
    for why in [Spared::OtherTable, Spared::ConsoleLogin] {
        let spared = census.spared.iter().filter(|(_, reason)| **reason == why);
        let names: Vec<&str> = spared.map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            let (users, named) = (names.len(), names.len().min(NAMED));
            let names = names[..named].join(" ");
            tracing::info!(users, reason = why.as_str(), names, "users without a row are spared");
        }
    }
}

/// Everybody in the account.
///
/// # Errors
/// When a call fails, or the list has no end: half of it would mislead.
pub(crate) async fn list_users<P: Ports>(ports: &P, pace: &Pace) -> Result<Vec<Glance>, CallError> {
    let mut users = Vec::new();
    let mut token: Option<String> = None;
    for _ in 0..MAX_USER_PAGES {
        let page = pace.read(ports, Lane::Iam, ports.directory().glance(token.as_deref())).await?;
        users.extend(page.items);
        match page.next {
            None => return Ok(users),
            next if next == token => break,
            next => token = next,
        }
    }
    Err(endless("iam:GetAccountAuthorizationDetails"))
}

/// The names of all rows, valid or not.
///
/// # Errors
/// As [`list_users`].
pub(crate) async fn scan_table<P: Ports>(ports: &P) -> Result<Vec<String>, CallError> {
    let mut rows = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..MAX_SCAN_PAGES {
        let page = ports.users_table().scan(after.as_deref()).await?;
        rows.extend(page.names);
        match page.next {
            None => return Ok(rows),
            next if next == after => break,
            next => after = next,
        }
    }
    Err(endless("dynamodb:Scan"))
}

fn endless(call: &'static str) -> CallError {
    let detail = "the answer has too many pages, or repeats one".to_owned();
    CallError { fault: Fault::Invalid, call, detail }
}

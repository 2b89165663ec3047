//! What is known of every user, for `/users`, the metrics and the sweep. Never a secret.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use serde::Serialize;

use crate::core::plan::State;
use crate::core::time::Timestamp;
use crate::core::user::AccessKeyId;

/// What part a key plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyRole {
    /// Published as `current`.
    Current,
    /// Has a successor.
    PendingDeletion,
    /// Minted, and not published yet.
    Minting,
    /// Not made by the controller, or lost by it.
    Foreign,
}

/// One access key of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyReport {
    /// Its id.
    pub id: AccessKeyId,
    /// What part it plays.
    pub role: KeyRole,
    /// Whether AWS accepts it.
    pub active: bool,
    /// When it was created.
    pub created: Timestamp,
}

/// What the last look at a user found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The user's state.
    pub state: State,
    /// Why it is in that state, in words; empty when there is nothing to explain.
    pub reason: String,
    /// IAM's id of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Where its keys are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Its access keys; shown with their ages, see [`Report::shown`].
    #[serde(skip)]
    pub keys: Vec<KeyReport>,
    /// When its current key gets a successor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<Timestamp>,
    /// When it was last looked at.
    pub looked_at: Timestamp,
}

impl Report {
    /// A row whose name IAM does not accept.
    pub fn invalid(reason: &str, now: Timestamp) -> Self {
        Self::without_user(State::Invalid, reason.to_owned(), now)
    }

    /// A row of whose user nothing is known.
    pub fn without_user(state: State, reason: String, looked_at: Timestamp) -> Self {
        Self {
            state,
            reason,
            user_id: None,
            parameter: None,
            keys: Vec::new(),
            next_rotation: None,
            looked_at,
        }
    }
}

/// A report as `/users` shows it at a moment.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    #[serde(flatten)]
    report: &'a Report,
    keys: Vec<ShownKey<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownKey<'a> {
    #[serde(flatten)]
    key: &'a KeyReport,
    age_seconds: u64,
}

impl Report {
    /// The report with the ages that its keys have now.
    pub fn shown(&self, now: Timestamp) -> Shown<'_> {
        let keys =
            self.keys.iter().map(|key| ShownKey { key, age_seconds: now.since(key.created).as_secs() });
        Shown { report: self, keys: keys.collect() }
    }
}

/// At most this many names are kept: IAM has 5,000 users an account, so this many rows are a fault
/// of their own, and what does not fit is still worked on, only not shown.
const MAX_REPORTS: usize = 20_000;

/// All reports by name.
#[derive(Debug, Default)]
pub struct Registry {
    reports: RwLock<BTreeMap<String, Report>>,
}

impl Registry {
    /// Stores what a look found.
    pub fn set(&self, name: &str, report: Report) {
        let mut reports = self.reports.write().unwrap_or_else(PoisonError::into_inner);
        if reports.len() < MAX_REPORTS || reports.contains_key(name) {
            reports.insert(name.to_owned(), report);
        }
    }

    /// Forgets a name that is neither in the table nor in IAM.
    pub fn remove(&self, name: &str) {
        self.reports.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Forgets everything: another replica leads now.
    pub fn clear(&self) {
        self.reports.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All reports.
    pub fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Report>> {
        self.reports.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report of one name.
    pub fn get(&self, name: &str) -> Option<Report> {
        self.read().get(name).cloned()
    }

    /// How many users are in each state.
    pub fn count_states(&self) -> BTreeMap<State, usize> {
        let mut counts: BTreeMap<State, usize> = State::ALL.into_iter().map(|state| (state, 0)).collect();
        for report in self.read().values() {
            *counts.entry(report.state).or_default() += 1;
        }
        counts
    }
}

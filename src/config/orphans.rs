//! `[orphans]`: users that are in IAM and not in the table.

use std::num::NonZeroU32;
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::core::policy::{OrphanAction, OrphanScope};
use crate::core::user::UserName;

use super::key::Key;
use super::reader::{Durations, Reader, one_of};

const SCOPE: Key = Key::of("orphans", "scope");
const ACTION: Key = Key::of("orphans", "action");
const PROTECT: Key = Key::of("orphans", "protect");
const INCLUDE_CONSOLE_USERS: Key = Key::of("orphans", "include_console_users");
const MIN_AGE: Key = Key::of("orphans", "min_age");
const SWEEPS: Key = Key::of("orphans", "sweeps");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[SCOPE, ACTION, PROTECT, INCLUDE_CONSOLE_USERS, MIN_AGE, SWEEPS];

const SCOPES: &[(&str, OrphanScope)] = &[("owned", OrphanScope::Owned), ("account", OrphanScope::Account)];

const ACTIONS: &[(&str, OrphanAction)] =
    &[("delete", OrphanAction::Delete), ("report", OrphanAction::Report)];

const AGES: Durations = Durations {
    least: Duration::ZERO,
    most: Duration::from_secs(365 * 86_400),
    because: "a user this young is never taken for an orphan; longer than a year is action = report",
};

/// A sweep in which a user was an orphan is remembered, so there is an end to their number.
const MOST_SWEEPS: u32 = 100;

/// Every name of the account is matched against every pattern, in every sweep.
const MOST_PATTERNS: usize = 500;

/// A user name has 64 characters; the rest is for alternatives.
const LONGEST_PATTERN: usize = 256;

/// Users that are in IAM and not in the table.
#[derive(Clone, Debug)]
pub struct Orphans {
    /// Which users count.
    pub scope: OrphanScope,
    /// What is done about them.
    pub action: OrphanAction,
    /// Names that no sweep deletes.
    pub protect: ProtectedNames,
    /// Whether users with a console login that are not owned are orphans like others.
    pub include_console_users: bool,
    /// A victim is at least this old.
    pub min_age: Duration,
    /// A victim was an orphan in this many sweeps running.
    pub sweeps: NonZeroU32,
}

impl Orphans {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let scope = reader.required(SCOPE, &one_of(SCOPES), |raw| raw.choice(SCOPES));
        let action = reader.required(ACTION, &one_of(ACTIONS), |raw| raw.choice(ACTIONS));
        let valid_patterns = format!(
            "a list of at most {MOST_PATTERNS} glob patterns of user names, as in [\"admin-*\", \"root\"]"
        );
        let protect =
            reader.required(PROTECT, &valid_patterns, |raw| raw.list().and_then(ProtectedNames::parse));
        let include_console_users = reader.required(INCLUDE_CONSOLE_USERS, "true or false", |raw| raw.flag());
        let min_age = reader.required(MIN_AGE, &AGES.valid(), |raw| raw.duration(&AGES));
        let valid_sweeps = format!("a whole number from 1 to {MOST_SWEEPS}");
        let sweeps = reader.required(SWEEPS, &valid_sweeps, |raw| {
            NonZeroU32::try_from(raw.integer(1..=MOST_SWEEPS)?).map_err(|error| error.to_string())
        });
        let (scope, protect) = (scope?, protect?);
        if scope == OrphanScope::Account && protect.is_empty() {
            reader.conflict(
                SCOPE,
                "it would delete every IAM user that is not in the table, and orphans.protect spares nobody"
                    .to_owned(),
                "owned, or account with the names of people and break-glass users in orphans.protect"
                    .to_owned(),
            );
            return None;
        }
        Some(Self {
            scope,
            action: action?,
            protect,
            include_console_users: include_console_users?,
            min_age: min_age?,
            sweeps: sweeps?,
        })
    }
}

/// Names that no sweep deletes: glob patterns, without regard to case, as IAM compares names.
#[derive(Clone, Debug)]
pub struct ProtectedNames(GlobSet);

impl ProtectedNames {
    /// Checks patterns.
    ///
    /// # Errors
    /// Says which pattern is none, or can match no user name, and why.
    pub fn parse(patterns: Vec<String>) -> Result<Self, String> {
        if patterns.len() > MOST_PATTERNS {
            return Err(format!("it has {} patterns", patterns.len()));
        }
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            if let Some(problem) = matches_nobody(&pattern) {
                return Err(format!("the pattern {pattern:?} {problem}"));
            }
            let glob = GlobBuilder::new(&pattern).case_insensitive(true).backslash_escape(true).build();
            set.add(glob.map_err(|error| format!("the pattern {pattern:?}: {}", error.kind()))?);
        }
        set.build().map(Self).map_err(|error| error.to_string())
    }

    /// Whether a sweep has to spare this user.
    pub fn matches(&self, name: &UserName) -> bool {
        self.0.is_match(name.as_str())
    }

    /// Whether nobody is protected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a pattern can be the pattern of no user name. Somebody relies on it, so it is refused.
fn matches_nobody(pattern: &str) -> Option<String> {
    if pattern.is_empty() {
        return Some("is empty".to_owned());
    }
    if pattern.len() > LONGEST_PATTERN {
        return Some(format!("has {} characters; at most {LONGEST_PATTERN} are allowed", pattern.len()));
    }
    let known = |c: &char| c.is_ascii_alphanumeric() || r"+=,.@_-*?[]!^{}\".contains(*c);
    let refused = pattern.chars().find(|c| !known(c))?;
    Some(format!("has {refused:?}, which no user name has; paths and ARNs are not matched"))
}

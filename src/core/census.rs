//! What a sweep makes of the whole account and the whole table: who needs a look, who is an orphan.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::observed::{Glance, User};
use super::policy::{OrphanScope, Policy};
use super::tags::{self, KeyTag};
use super::time::Timestamp;
use super::user::{AccessKeyId, FoldedName, UserId, UserName};

/// Which users without a row are orphans; the rest is the policy's to say.
pub struct OrphanRules<'a> {
    /// `orphans.min_age`.
    pub min_age: Duration,
    /// `orphans.protect`.
    pub protected: &'a dyn Fn(&UserName) -> bool,
    /// The user that the controller runs as.
    pub own_user: Option<&'a UserId>,
}

/// A user without a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Its name.
    pub name: UserName,
    /// Its id.
    pub user: UserId,
    /// Whether the controller owns it; always, in the scope `owned`.
    pub owned: bool,
    /// Whether it has reached `orphans.min_age`; it is counted before, and deleted after.
    pub old_enough: bool,
}

/// Why no sweep deletes a user without a row, although its scope reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spared {
    /// The controller itself runs as it.
    OwnUser,
    /// A pattern of `orphans.protect` names it.
    Protected,
    /// Its tags say that it is managed from another table.
    OtherTable,
    /// It has a console login and is not owned, and `orphans.include_console_users` is off.
    ConsoleLogin,
}

impl Spared {
    /// All of them.
    pub const ALL: [Spared; 4] = [Self::OwnUser, Self::Protected, Self::OtherTable, Self::ConsoleLogin];

    /// The name in snake case, as in the metric `orphans_spared{reason}`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OwnUser => "own_user",
            Self::Protected => "protected",
            Self::OtherTable => "other_table",
            Self::ConsoleLogin => "console_login",
        }
    }
}

/// What the account and the table hold.
#[derive(Debug, Default)]
pub struct Census {
    /// Rows with names that IAM accepts.
    pub rows: BTreeSet<UserName>,
    /// Rows with other names, and why IAM does not accept them.
    pub invalid: BTreeMap<String, String>,
    /// IAM users by name.
    pub users: BTreeMap<UserName, Glance>,
    /// How many of them are owned.
    pub owned: usize,
    /// Users without a row that a sweep may delete, once they are old enough.
    pub orphans: Vec<Orphan>,
    /// Users without a row that the scope reaches, and that no sweep deletes.
    pub spared: BTreeMap<UserName, Spared>,
    /// Owned users that AWS has quarantined.
    pub quarantined: Vec<UserName>,
}

impl Census {
    /// Holds the account, which was listed first, against the table, which was scanned completely
    /// afterwards.
    pub fn take(
        users: Vec<Glance>,
        rows: Vec<String>,
        policy: &Policy,
        rules: &OrphanRules<'_>,
        now: Timestamp,
    ) -> Self {
        let mut census = Self::default();
        let mut wanted: BTreeSet<FoldedName> = BTreeSet::new();
        for row in rows {
            match UserName::parse(&row) {
                Ok(name) => {
                    wanted.insert(name.folded());
                    census.rows.insert(name);
                }
                Err(error) => {
                    census.invalid.insert(row, error.to_string());
                }
            }
        }
        for glance in users {
            let user = &glance.user;
            let owned = tags::owned(&user.tags, &policy.table);
            census.owned += usize::from(owned);
            let in_scope = owned || policy.orphan_scope == OrphanScope::Account;
            if in_scope && !wanted.contains(&user.name.folded()) {
                match spared(user, policy, rules) {
                    Some(why) => drop(census.spared.insert(user.name.clone(), why)),
                    None => {
                        let old_enough = now.since(user.created) >= rules.min_age;
                        let (name, user) = (user.name.clone(), user.id.clone());
                        census.orphans.push(Orphan { name, user, owned, old_enough });
                    }
                }
            }
            if owned && glance.is_quarantined() {
                census.quarantined.push(user.name.clone());
            }
            census.users.insert(user.name.clone(), glance);
        }
        census
    }

    /// The orphans that a console login would spare: whoever acts on the census has to ask for it.
    pub fn perhaps_people(&self, policy: &Policy) -> Vec<UserName> {
        let asked = |orphan: &&Orphan| !orphan.owned && !policy.include_console_users;
        self.orphans.iter().filter(asked).map(|orphan| orphan.name.clone()).collect()
    }

    /// This orphan turned out to have a console login.
    pub fn has_console_login(&mut self, name: &UserName) {
        self.orphans.retain(|orphan| orphan.name != *name);
        self.spared.insert(name.clone(), Spared::ConsoleLogin);
    }

    /// How many are spared, by reason.
    pub fn count_spared(&self) -> BTreeMap<Spared, usize> {
        let mut counts = BTreeMap::new();
        for why in self.spared.values() {
            *counts.entry(*why).or_default() += 1;
        }
        counts
    }
}

fn spared(user: &User, policy: &Policy, rules: &OrphanRules<'_>) -> Option<Spared> {
    if rules.own_user == Some(&user.id) {
        return Some(Spared::OwnUser);
    }
    if (rules.protected)(&user.name) {
        return Some(Spared::Protected);
    }
    (!tags::sweepable(&user.tags, policy)).then_some(Spared::OtherTable)
}

/// Whether what the account shows of a user differs from how the last full look left it. Never
/// enough to act on: the look that it asks for reads everything anew.
pub fn drifted(
    user: &User,
    current: Option<&AccessKeyId>,
    pending: &[&AccessKeyId],
    policy: &Policy,
) -> bool {
    let tagged = |key: &AccessKeyId, tag| tags::key_tag(&user.tags, key) == Some(tag);
    !tags::owned(&user.tags, &policy.table)
        || !tags::says_not_minting(&user.tags)
        || policy.boundary.as_ref().is_some_and(|boundary| user.boundary.as_ref() != Some(boundary))
        || current.is_none_or(|key| !tagged(key, KeyTag::Current))
        || pending.iter().any(|key| !tagged(key, KeyTag::PendingDeletion))
        || tags::key_tags(&user.tags).count() != pending.len() + 1
}

/// In how many sweeps running each orphan was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings(BTreeMap<UserNameKey, (UserId, u32)>);

/// A name as a key in JSON.
type UserNameKey = String;

/// More orphans than this are not counted: they are far beyond the deletion brake, and the record
/// has to stay below DynamoDB's 400 KB.
const MAX_SIGHTINGS: usize = 3_000;

impl Sightings {
    /// Takes in what a sweep has seen, and gives the orphans that are old enough and that enough
    /// sweeps have seen.
    pub fn seen<'a>(&mut self, orphans: &'a [Orphan], sweeps: u32) -> Vec<&'a Orphan> {
        let before = std::mem::take(&mut self.0);
        let mut due = Vec::new();
        for orphan in orphans.iter().take(MAX_SIGHTINGS) {
            let count = match before.get(orphan.name.as_str()) {
                Some((user, count)) if *user == orphan.user => count.saturating_add(1),
                Some(_) | None => 1,
            };
            self.0.insert(orphan.name.to_string(), (orphan.user.clone(), count));
            if count >= sweeps && orphan.old_enough {
                due.push(orphan);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::{Adopt, ForeignKeys};

    const DAY: Duration = Duration::from_secs(86_400);

    fn policy() -> Policy {
        Policy {
            table: "users".into(),
            boundary: None,
            adopt: Adopt::Tagged,
            rotate_after: 15 * DAY,
            delete_after: 30 * DAY,
            min_overlap: 7 * DAY,
            foreign: ForeignKeys::Report,
            verify: true,
            verify_timeout: Duration::from_secs(60),
            orphan_scope: crate::core::policy::OrphanScope::Owned,
            include_console_users: false,
        }
    }

    fn user(name: &str, owned: bool) -> Glance {
        let tags = if owned { tags::ownership("users") } else { super::super::observed::Tags::new() };
        let created = Timestamp::from_secs(1_000);
        let name = UserName::parse(name).unwrap();
        let id = UserId(format!("AIDA-{name}"));
        Glance { user: User { name, id, created, boundary: None, tags }, attached_policies: vec![] }
    }

    /// The census of an account, by the rules of the tests.
    fn census(users: Vec<Glance>, rows: &[&str], policy: &Policy) -> Census {
        let own = UserId("AIDA-robot".into());
        let rules = OrphanRules {
            min_age: Duration::from_secs(900),
            protected: &|name| name.as_str().starts_with("keep-"),
            own_user: Some(&own),
        };
        let rows = rows.iter().map(|row| (*row).to_owned()).collect();
        Census::take(users, rows, policy, &rules, Timestamp::from_secs(2_000))
    }

    /// The names of the orphans; those that are too young in brackets.
    fn orphans(users: Vec<Glance>, rows: &[&str], scope: OrphanScope) -> Vec<String> {
        let census = census(users, rows, &Policy { orphan_scope: scope, ..policy() });
        let shown = |orphan: &Orphan| match orphan.old_enough {
            true => orphan.name.to_string(),
            false => format!("({})", orphan.name),
        };
        census.orphans.iter().map(shown).collect()
    }

    #[test]
    fn orphans_are_owned_and_in_no_row_and_wait_until_they_are_old() {
        let mut young = user("young", true);
        young.user.created = Timestamp::from_secs(1_500);
        let account = || {
            vec![
                user("kept", true),
                user("gone", true),
                user("Cased", true),
                user("admin", false),
                user("robot", true),
                user("keep-me", true),
                young.clone(),
            ]
        };
        let rows = ["kept", "cased", "bad name"];
        assert_eq!(orphans(account(), &rows, OrphanScope::Owned), ["gone", "(young)"]);
        assert_eq!(orphans(account(), &rows, OrphanScope::Account), ["gone", "admin", "(young)"]);
    }

    /// Every user that there can be, in every scope: who is an orphan, who is spared and why, and who
    /// is none of the sweep's business. Said from the contract, one condition after the other.
    #[test]
    fn everybody_is_an_orphan_or_spared_for_a_reason_or_out_of_scope() {
        let tables = [None, Some("users"), Some("others")];
        let names = ["robot", "keep-me", "somebody"];
        let flags = [false, true];
        let mut seen = 0;
        for scope in [OrphanScope::Owned, OrphanScope::Account] {
            for (include, managed, login, row) in flags.into_iter().flat_map(|include| {
                flags.into_iter().flat_map(move |managed| {
                    flags.into_iter().flat_map(move |login| flags.map(|row| (include, managed, login, row)))
                })
            }) {
                for (table, name) in tables.into_iter().flat_map(|table| names.map(|name| (table, name))) {
                    let policy = Policy { orphan_scope: scope, include_console_users: include, ..policy() };
                    let mut glance = user(name, false);
                    let tags = &mut glance.user.tags;
                    tags.extend(managed.then(|| (tags::MANAGED_BY.into(), tags::CONTROLLER.into())));
                    tags.extend(table.map(|table| (tags::TABLE.to_owned(), table.to_owned())));
                    let rows = if row { vec![name] } else { vec![] };
                    let mut census = census(vec![glance], &rows, &policy);
                    for name in census.perhaps_people(&policy) {
                        if login {
                            census.has_console_login(&name);
                        }
                    }
                    let owned = managed && table == Some("users");
                    let reached = !row && (owned || scope == OrphanScope::Account);
                    let spared = match (name, table) {
                        _ if !reached => None,
                        ("robot", _) => Some(Spared::OwnUser),
                        ("keep-me", _) => Some(Spared::Protected),
                        (_, Some("others")) => Some(Spared::OtherTable),
                        _ if login && !owned && !include => Some(Spared::ConsoleLogin),
                        _ => None,
                    };
                    let told = (census.orphans.len(), census.spared.values().next().copied());
                    let orphans = usize::from(reached && spared.is_none());
                    assert_eq!(
                        told,
                        (orphans, spared),
                        "{name} {table:?} {managed} {login} {row} {policy:?}"
                    );
                    assert_eq!(census.count_spared().values().sum::<usize>(), census.spared.len());
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 288);
    }

    #[test]
    fn an_orphan_is_due_when_enough_sweeps_running_saw_the_same_user() {
        let aged = |id: &str, old_enough| {
            let (name, user) = (UserName::parse("gone").unwrap(), UserId(id.into()));
            vec![Orphan { name, user, owned: true, old_enough }]
        };
        let orphan = |id: &str| aged(id, true);
        let mut sightings = Sightings::default();
        assert_eq!(sightings.seen(&orphan("A"), 2).len(), 0);
        assert_eq!(sightings.seen(&[], 2).len(), 0, "back in the table");
        assert_eq!(sightings.seen(&orphan("A"), 2).len(), 0, "starts anew");
        assert_eq!(sightings.seen(&orphan("B"), 2).len(), 0, "another user of that name");
        assert_eq!(sightings.seen(&orphan("B"), 2).len(), 1);
        assert_eq!(sightings.seen(&aged("B", false), 2).len(), 0, "too young");
        assert_eq!(sightings.seen(&orphan("B"), 2).len(), 1, "what was seen of it while young counts");
    }

    #[test]
    fn sightings_fit_into_one_record() {
        let orphan = |n: usize| Orphan {
            name: UserName::parse(&format!("{n:0>64}")).unwrap(),
            user: UserId(format!("AIDA{n:0>17}")),
            owned: true,
            old_enough: true,
        };
        let mut sightings = Sightings::default();
        sightings.seen(&(0..5_000).map(orphan).collect::<Vec<_>>(), 2);
        assert!(serde_json::to_string(&sightings).unwrap().len() < 400_000);
    }
}

//! What a sweep makes of the whole account and the whole table: who needs a look, who is an orphan.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::observed::{Glance, User};
use super::ownership::Claim;
use super::policy::{OrphanScope, Policy};
use super::tags::{self, KeyTag};
use super::time::Timestamp;
use super::user::{AccessKeyId, FoldedName, Own, UserId, UserName};

/// Which users without a row are orphans; the rest is the policy's to say.
pub struct OrphanRules<'a> {
    /// `orphans.min_age`.
    pub min_age: Duration,
    /// `orphans.protect`.
    pub protected: &'a dyn Fn(&UserName) -> bool,
    /// Whom the controller runs as.
    pub own: &'a Own,
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
    /// The controller itself runs as it, or in a session of its name.
    OwnUser,
    /// A pattern of `orphans.protect` names it.
    Protected,
    /// Its tags say that it is managed from another table.
    OtherTable,
    /// It carries tags of ours without a valid seal: somebody else has put them there.
    NoSeal,
    /// It has a console login, and `orphans.include_console_users` is off.
    ConsoleLogin,
}

impl Spared {
    /// All of them.
    pub const ALL: [Spared; 5] =
        [Self::OwnUser, Self::Protected, Self::OtherTable, Self::NoSeal, Self::ConsoleLogin];

    /// The name in snake case, as in the metric `orphans_spared{reason}`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OwnUser => "own_user",
            Self::Protected => "protected",
            Self::OtherTable => "other_table",
            Self::NoSeal => "no_seal",
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
    /// The rows by the name that IAM takes them for.
    spellings: BTreeMap<FoldedName, BTreeSet<UserName>>,
    /// Users without a row that a sweep may delete, once they are old enough.
    pub orphans: Vec<Orphan>,
    /// Users without a row that the scope reaches, and that no sweep deletes.
    pub spared: BTreeMap<UserName, Spared>,
    /// Owned users.
    pub ours: BTreeSet<UserName>,
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
        for row in rows {
            match UserName::parse(&row) {
                Ok(name) => {
                    census.spellings.entry(name.folded()).or_default().insert(name.clone());
                    census.rows.insert(name);
                }
                Err(error) => {
                    census.invalid.insert(row, error.to_string());
                }
            }
        }
        for glance in users {
            let user = &glance.user;
            let claim = policy.ownership.claim(user);
            let owned = claim == Claim::Ours;
            census.owned += usize::from(owned);
            // Forged tags are told whatever the scope: somebody tries to have the user deleted.
            let reached = matches!(claim, Claim::Ours | Claim::NoSeal);
            let in_scope = reached || policy.orphan_scope == OrphanScope::Account;
            if in_scope && !census.spellings.contains_key(&user.name.folded()) {
                match spared(user, claim, rules) {
                    Some(why) => drop(census.spared.insert(user.name.clone(), why)),
                    None => {
                        let old_enough = now.since(user.created) >= rules.min_age;
                        let (name, user) = (user.name.clone(), user.id.clone());
                        census.orphans.push(Orphan { name, user, owned, old_enough });
                    }
                }
            }
            if owned {
                census.ours.insert(user.name.clone());
            }
            census.users.insert(user.name.clone(), glance);
        }
        census
    }

    /// The rows that differ from a row's name in case at most, itself included.
    pub fn spellings(&self, row: &UserName) -> &BTreeSet<UserName> {
        const NONE: &BTreeSet<UserName> = &BTreeSet::new();
        self.spellings.get(&row.folded()).unwrap_or(NONE)
    }

    /// The spelling of a row's name, among all rows of it, that names an IAM user.
    pub fn user_of(&self, row: &UserName) -> Option<&UserName> {
        self.spellings(row).iter().find(|row| self.users.contains_key(*row))
    }

    /// The orphans that a console login would spare: whoever acts on the census has to ask for it.
    pub fn perhaps_people(&self, policy: &Policy) -> Vec<UserName> {
        if policy.include_console_users {
            return Vec::new();
        }
        self.orphans.iter().map(|orphan| orphan.name.clone()).collect()
    }

    /// This orphan turned out to have a console login.
    pub fn has_console_login(&mut self, name: &UserName) {
        self.orphans.retain(|orphan| orphan.name != *name);
        self.spared.insert(name.clone(), Spared::ConsoleLogin);
    }

    /// How many owned users AWS has quarantined.
    pub fn count_quarantined(&self) -> usize {
        let quarantined =
            |name: &&UserName| self.users.get(*name).is_some_and(|glance| glance.quarantine().is_some());
        self.ours.iter().filter(quarantined).count()
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

fn spared(user: &User, claim: Claim<'_>, rules: &OrphanRules<'_>) -> Option<Spared> {
    let session =
        rules.own.session.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(user.name.as_str()));
    if rules.own.user.as_ref() == Some(&user.id) || session {
        return Some(Spared::OwnUser);
    }
    if (rules.protected)(&user.name) {
        return Some(Spared::Protected);
    }
    match claim {
        Claim::Ours | Claim::Stranger => None,
        Claim::OtherTable(_) => Some(Spared::OtherTable),
        Claim::NoSeal => Some(Spared::NoSeal),
    }
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
    !policy.ownership.owns(user)
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
    use super::super::observed::Tags;
    use super::super::ownership::tests::{OTHER_ARN, table};
    use super::*;
    use crate::core::policy::{Adopt, ForeignKeys};

    const DAY: Duration = Duration::from_secs(86_400);

    fn policy() -> Policy {
        Policy {
            ownership: table(1),
            boundary: None,
            adopt: Adopt::Tagged,
            adopt_paths: vec!["/".into()],
            adopt_from: vec![],
            rotate_after: 15 * DAY,
            delete_after: 30 * DAY,
            min_overlap: 7 * DAY,
            foreign: ForeignKeys::Report,
            compromised: crate::core::policy::CompromisedKeys::Replace,
            verify: true,
            verify_for: Duration::from_secs(15),
            verify_timeout: Duration::from_secs(60),
            orphan_scope: crate::core::policy::OrphanScope::Owned,
            include_console_users: false,
        }
    }

    fn user(name: &str, owned: bool) -> Glance {
        let created = Timestamp::from_secs(1_000);
        let name = UserName::parse(name).unwrap();
        let tags = if owned { table(1).tags(&name, created) } else { Tags::new() };
        let (id, path) = (UserId(format!("AIDA-{name}")), "/".to_owned());
        Glance { user: User { name, id, path, created, boundary: None, tags }, attached_policies: vec![] }
    }

    /// The census of an account, by the rules of the tests.
    fn census(users: Vec<Glance>, rows: &[&str], policy: &Policy) -> Census {
        let own = Own { user: Some(UserId("AIDA-robot".into())), session: Some("Caller".into()) };
        let rules = OrphanRules {
            min_age: Duration::from_secs(900),
            protected: &|name| name.as_str().starts_with("keep-"),
            own: &own,
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
        young.user.created = Timestamp::from_secs(1_200);
        let account = || {
            vec![
                user("kept", true),
                user("gone", true),
                user("Cased", true),
                user("admin", false),
                user("robot", true),
                user("caller", false),
                user("keep-me", true),
                young.clone(),
            ]
        };
        let rows = ["kept", "cased", "bad name"];
        assert_eq!(orphans(account(), &rows, OrphanScope::Owned), ["gone", "(young)"]);
        assert_eq!(orphans(account(), &rows, OrphanScope::Account), ["gone", "admin", "(young)"]);
    }

    /// Whose tags a user carries.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Tagged {
        Not,
        Ours,
        /// By somebody who has copied all of another user's tags.
        Copied,
        /// All but the seal.
        Unsealed,
        ManagedBy,
        Elsewhere,
    }

    impl Tagged {
        const ALL: [Self; 6] =
            [Self::Not, Self::Ours, Self::Copied, Self::Unsealed, Self::ManagedBy, Self::Elsewhere];

        fn set(self, user: &mut User) {
            let copied = UserName::parse("copied").unwrap();
            user.tags = match self {
                Self::Not => return,
                Self::Copied => table(1).tags(&copied, user.created),
                _ => table(1).tags(&user.name, user.created),
            };
            match self {
                Self::Unsealed => drop(user.tags.remove(tags::SEAL)),
                Self::ManagedBy => user.tags.retain(|key, _| key == tags::MANAGED_BY),
                Self::Elsewhere => drop(user.tags.insert(tags::TABLE_ARN.into(), OTHER_ARN.into())),
                Self::Not | Self::Ours | Self::Copied => {}
            }
        }
    }

    /// Every user that there can be, in every scope: who is an orphan, who is spared and why, and who
    /// is none of the sweep's business. Said from the contract, one condition after the other.
    #[test]
    fn everybody_is_an_orphan_or_spared_for_a_reason_or_out_of_scope() {
        let names = ["robot", "caller", "keep-me", "somebody"];
        let flags = [false, true];
        let mut seen = 0;
        for scope in [OrphanScope::Owned, OrphanScope::Account] {
            for (include, login, row) in flags.into_iter().flat_map(|include| {
                flags.into_iter().flat_map(move |login| flags.map(|row| (include, login, row)))
            }) {
                for (tagged, name) in Tagged::ALL.into_iter().flat_map(|tags| names.map(|name| (tags, name)))
                {
                    let policy = Policy { orphan_scope: scope, include_console_users: include, ..policy() };
                    let mut glance = user(name, false);
                    tagged.set(&mut glance.user);
                    let rows = if row { vec![name] } else { vec![] };
                    let mut census = census(vec![glance], &rows, &policy);
                    for name in census.perhaps_people(&policy) {
                        if login {
                            census.has_console_login(&name);
                        }
                    }
                    let forged = matches!(tagged, Tagged::Copied | Tagged::Unsealed | Tagged::ManagedBy);
                    let in_scope = tagged == Tagged::Ours || forged || scope == OrphanScope::Account;
                    let reached = !row && in_scope;
                    let spared = match name {
                        _ if !reached => None,
                        "robot" | "caller" => Some(Spared::OwnUser),
                        "keep-me" => Some(Spared::Protected),
                        _ if forged => Some(Spared::NoSeal),
                        _ if tagged == Tagged::Elsewhere => Some(Spared::OtherTable),
                        _ if login && !include => Some(Spared::ConsoleLogin),
                        _ => None,
                    };
                    let told = (census.orphans.len(), census.spared.values().next().copied());
                    let orphans = usize::from(reached && spared.is_none());
                    assert_eq!(told, (orphans, spared), "{name} {tagged:?} {login} {row} {policy:?}");
                    assert_eq!(census.count_spared().values().sum::<usize>(), census.spared.len());
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 384);
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

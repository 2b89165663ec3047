//! Which users AWS has quarantined, and whether that happened under our eyes.
//!
//! AWS attaches a policy of its own to a user of which it has found a key in public. Its appearance says
//! that the keys of that moment are leaked. Its presence says little: it stays until a person detaches it,
//! and by then the keys may long be others. So the sweep keeps a [`Watch`] in the state table; when its
//! record is lost, every user is new to it, and no key is taken away on its word.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::census::Census;
use super::memory::SETTLE;
use super::time::Timestamp;
use super::user::{AccessKeyId, UserId, UserName};

/// Two listings that lie this far apart show two moments, however late their reads are: [`SETTLE`], and
/// what the clocks of two replicas may differ by.
const APART: Duration = SETTLE.saturating_add(Duration::from_secs(5));

/// IAM has 5,000 users an account. The record has to stay below DynamoDB's 400 KB; a user that does not
/// fit is new to every sweep, so that its keys are only reported.
const MAX_KNOWN: usize = 6_000;

/// Real ids have 21 characters; IAM's API model would allow 128.
const MAX_ID: usize = 32;

/// More quarantined users than this are counted, and not told of.
const MAX_CASES: usize = 500;

/// Whether a policy is one by which AWS quarantines a user. Everybody may give a policy of their own the
/// same name; only AWS's are in the account `aws`.
pub fn is_quarantine(policy_arn: &str) -> bool {
    let mut parts = policy_arn.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (arn, _partition, service, region, account, resource) =
        (next(), next(), next(), next(), next(), next());
    (arn, service, region, account) == ("arn", "iam", "", "aws")
        && resource.starts_with("policy/AWSCompromisedKeyQuarantine")
}

/// A user that AWS has quarantined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Its id.
    pub user: UserId,
    /// ARN of AWS's policy.
    pub policy: String,
    /// The keys that it had when the policy was first seen.
    pub keys: BTreeSet<AccessKeyId>,
    /// Whether the user was seen without the policy before: then these keys are leaked. Else they may
    /// have been replaced long ago.
    pub appeared: bool,
}

impl Case {
    /// The commands with which a person replaces those of the keys that are `left`.
    pub fn replace_commands(&self, left: impl Fn(&AccessKeyId) -> bool) -> Vec<String> {
        let command = |key: &AccessKeyId| {
            format!("aws iam delete-access-key --user-name {} --access-key-id {key}", self.name)
        };
        self.keys.iter().filter(|key| left(key)).map(command).collect()
    }

    /// The command with which a person detaches the policy.
    pub fn detach_command(&self) -> String {
        format!("aws iam detach-user-policy --user-name {} --policy-arn {}", self.name, self.policy)
    }
}

/// An owned user that a sweep sees with the policy, and that has no case yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    name: UserName,
    user: UserId,
    policy: String,
    appeared: bool,
    seen: Timestamp,
}

impl Sighting {
    /// Whom it is about.
    pub fn name(&self) -> &UserName {
        &self.name
    }
}

/// What one sweep has found.
#[derive(Debug, Default)]
pub struct Found {
    /// Users to open a case for, once their keys are known.
    pub sightings: Vec<Sighting>,
    /// Users without the policy, whose case is closed.
    pub closed: Vec<UserName>,
}

/// What sweeps remember of all owned users. Everything is by id: a name may be used again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    /// Users that were seen without the policy when they were known already.
    clean: BTreeSet<UserId>,
    /// Users that were seen without it, by the end of the listing that first showed them as owned. That
    /// read may have been late, and the policy have been there all the same.
    new: BTreeMap<Timestamp, BTreeSet<UserId>>,
    /// Users with the policy.
    cases: BTreeMap<UserId, Case>,
    /// The end of the last listing that showed a case's policy.
    #[serde(skip)]
    shown: BTreeMap<UserId, Timestamp>,
}

impl Watch {
    /// Takes in a complete listing of the account, which was read between the two times.
    pub fn see(&mut self, census: &Census, began: Timestamp, ended: Timestamp) -> Found {
        self.forget(census);
        let mut found = Found::default();
        for name in &census.ours {
            let Some(glance) = census.users.get(name) else { continue };
            let id = &glance.user.id;
            match (glance.quarantine(), self.cases.contains_key(id)) {
                (Some(_), true) => drop(self.shown.insert(id.clone(), ended)),
                (Some(policy), false) if self.cases.len() + found.sightings.len() < MAX_CASES => {
                    found.sightings.push(Sighting {
                        name: name.clone(),
                        user: id.clone(),
                        policy: policy.to_owned(),
                        appeared: self.clean.contains(id),
                        seen: ended,
                    });
                }
                (Some(_), false) => {}
                (None, true) => {
                    // A late read may hide the policy; then it would seem to appear once more, and the
                    // keys that have replaced the leaked ones with it.
                    let shown = *self.shown.entry(id.clone()).or_insert(ended);
                    if began >= shown + APART {
                        self.cases.remove(id);
                        self.shown.remove(id);
                        self.clean.insert(id.clone());
                        found.closed.push(name.clone());
                    }
                }
                (None, false) => self.without_policy(id, began, ended),
            }
        }
        found
    }

    fn without_policy(&mut self, id: &UserId, began: Timestamp, ended: Timestamp) {
        if self.clean.contains(id) {
            return;
        }
        let first = self.new.iter().find(|(_, users)| users.contains(id)).map(|(first, _)| *first);
        match first {
            Some(first) if began >= first + APART => {
                self.no_longer_new(id);
                self.clean.insert(id.clone());
            }
            Some(_) => {}
            None => {
                let known = self.clean.len() + self.new.values().map(BTreeSet::len).sum::<usize>();
                if known < MAX_KNOWN && id.0.len() <= MAX_ID {
                    self.new.entry(ended).or_default().insert(id.clone());
                }
            }
        }
    }

    /// A user that is not listed, or not as owned, is new when it is back. A case stays: the keys that
    /// have replaced the leaked ones are sound.
    fn forget(&mut self, census: &Census) {
        let ours: BTreeSet<&UserId> = census
            .ours
            .iter()
            .filter_map(|name| census.users.get(name))
            .map(|glance| &glance.user.id)
            .collect();
        self.clean.retain(|id| ours.contains(id));
        self.new.values_mut().for_each(|users| users.retain(|id| ours.contains(id)));
        self.new.retain(|_, users| !users.is_empty());
        let lasts = |id: &UserId, case: &Case| {
            UserName::parse(&case.name).is_ok_and(|name| match census.users.get(&name) {
                Some(glance) => glance.user.id == *id,
                // It may only be missing in this listing.
                None => census.rows.contains(&name),
            })
        };
        self.cases.retain(|id, case| lasts(id, case));
        let cases = &self.cases;
        self.shown.retain(|id, _| cases.contains_key(id));
    }

    fn no_longer_new(&mut self, id: &UserId) {
        for users in self.new.values_mut() {
            users.remove(id);
        }
        self.new.retain(|_, users| !users.is_empty());
    }

    /// Opens the case of a user with these keys.
    pub fn open(&mut self, sighting: Sighting, keys: BTreeSet<AccessKeyId>) -> &Case {
        let Sighting { name, user, policy, appeared, seen } = sighting;
        self.clean.remove(&user);
        self.no_longer_new(&user);
        self.shown.insert(user.clone(), seen);
        let case = Case { name: name.to_string(), user: user.clone(), policy, keys, appeared };
        self.cases.entry(user).or_insert(case)
    }

    /// Everybody with the policy.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.values()
    }
}

#[cfg(test)]
mod tests {
    use super::super::observed::{Glance, Tags, User};
    use super::*;

    const AWS: &str = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV2";

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + secs)
    }

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    #[test]
    #[rustfmt::skip] // The columns are the point.
    fn only_awss_own_policies_quarantine() {
        for (arn, expected) in [
            (AWS,                                                               true),
            ("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantine",             true),
            ("arn:aws-us-gov:iam::aws:policy/AWSCompromisedKeyQuarantineV3",    true),
            ("arn:aws-cn:iam::aws:policy/AWSCompromisedKeyQuarantineV99",       true),
            ("arn:aws:iam::123456789012:policy/AWSCompromisedKeyQuarantineV2",  false),
            ("arn:aws:iam::aws:policy/other/AWSCompromisedKeyQuarantineV2",     false),
            ("arn:aws:iam::aws:policy/AdministratorAccess",                     false),
            ("arn:aws:iam::aws:role/AWSCompromisedKeyQuarantineV2",             false),
            ("arn:aws:s3::aws:policy/AWSCompromisedKeyQuarantineV2",            false),
            ("AWSCompromisedKeyQuarantineV2",                                   false),
            ("",                                                                false),
        ] {
            assert_eq!(is_quarantine(arn), expected, "{arn}");
        }
    }

    /// How a listing shows the user `mail`.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Seen {
        With,
        Without,
        /// Not as owned, with AWS's policy.
        Foreign,
        Missing,
    }
    use Seen::{Foreign, Missing, With, Without};

    fn census(seen: Seen, id: &str) -> Census {
        let mut census = Census::default();
        census.rows.insert(name("mail"));
        if seen == Missing {
            return census;
        }
        let user = User {
            name: name("mail"),
            id: UserId(id.to_owned()),
            path: "/".to_owned(),
            created: at(-9_999),
            boundary: None,
            tags: Tags::new(),
        };
        let attached_policies = if seen == Without { Vec::new() } else { vec![AWS.to_owned()] };
        census.users.insert(name("mail"), Glance { user, attached_policies });
        if seen != Foreign {
            census.ours.insert(name("mail"));
        }
        census
    }

    /// What each listing of a history leads to: `!` the policy has appeared, `?` it is there at first sight,
    /// `o` the case is closed, `.` nothing. Between any two the record goes through the state table.
    fn told(history: &[(i64, Seen)]) -> String {
        let mut watch = Watch::default();
        let mut told = String::new();
        for (when, seen) in history {
            let found = watch.see(&census(*seen, "AIDA1"), at(*when), at(*when + 1));
            let words = found.sightings.iter().map(|sighting| if sighting.appeared { '!' } else { '?' });
            told.push(words.chain(found.closed.iter().map(|_| 'o')).next().unwrap_or('.'));
            for sighting in found.sightings {
                watch.open(sighting, BTreeSet::new());
            }
            let shown = watch.shown.clone();
            watch = serde_json::from_str(&serde_json::to_string(&watch).unwrap()).unwrap();
            watch.shown = shown;
        }
        told
    }

    #[test]
    fn a_quarantine_appears_only_on_a_user_that_was_known_without_it() {
        let check = |history: &[(i64, Seen)], expected| assert_eq!(told(history), expected);
        check(&[(0, With), (60, With)], "?.");
        check(&[(0, Without), (60, With)], ".?");
        check(&[(0, Without), (60, Without), (120, With), (180, With)], "..!.");
        // Two listings at short notice may both be older than the policy.
        check(&[(0, Without), (10, Without), (20, With)], "..?");
        check(&[(0, Without), (15, Without), (20, With)], "..?");
        check(&[(0, Without), (16, Without), (20, With)], "..!");
        // One late listing does not make it appear again; a person who detaches it does.
        check(&[(0, Without), (60, Without), (120, With), (130, Without), (140, With)], "..!..");
        check(&[(0, With), (60, Without), (120, With)], "?o!");
        // Who is not owned is not known.
        check(&[(0, Without), (60, Without), (120, Foreign), (180, With)], "...?");
        check(&[(0, Without), (60, Without), (120, Missing), (180, With)], "...?");
        check(&[(0, Foreign), (60, With)], ".?");
        // A case outlives a listing that misses its user.
        check(&[(0, Without), (60, Without), (120, With), (180, Missing), (240, With)], "..!..");
        check(&[(0, Without), (60, Without), (120, With), (180, Foreign), (240, With)], "..!..");
    }

    #[test]
    fn another_user_of_the_same_name_is_another_user() {
        let mut watch = Watch::default();
        for when in [0, 60] {
            watch.see(&census(Without, "AIDA1"), at(when), at(when));
        }
        let found = watch.see(&census(With, "AIDA2"), at(120), at(120));
        assert!(!found.sightings[0].appeared);
        watch.open(found.sightings[0].clone(), BTreeSet::new());
        assert!(watch.see(&census(With, "AIDA3"), at(180), at(180)).sightings.len() == 1);
        assert_eq!(watch.cases().count(), 0, "the case of a user that is gone is forgotten");
    }

    #[test]
    fn after_a_restart_a_case_is_closed_a_sweep_later() {
        let mut watch = Watch::default();
        let found = watch.see(&census(With, "AIDA1"), at(0), at(0));
        watch.open(found.sightings[0].clone(), BTreeSet::new());
        let mut watch: Watch = serde_json::from_str(&serde_json::to_string(&watch).unwrap()).unwrap();
        assert!(watch.see(&census(Without, "AIDA1"), at(60), at(60)).closed.is_empty());
        assert_eq!(watch.see(&census(Without, "AIDA1"), at(120), at(120)).closed, [name("mail")]);
    }

    #[test]
    fn the_record_of_a_full_account_fits_into_the_state_table() {
        let key = |n: usize| AccessKeyId::parse(&format!("AKIA{n:0>16}")).unwrap();
        let mut census = Census::default();
        for n in 0..10_000_usize {
            let user = User {
                name: name(&format!("{n:0>64}")),
                id: UserId(format!("AIDA{n:0>28}")),
                path: "/".to_owned(),
                created: at(-9_999),
                boundary: None,
                tags: Tags::new(),
            };
            census.ours.insert(user.name.clone());
            let attached_policies = if n % 10 == 0 { vec![AWS.to_owned()] } else { Vec::new() };
            census.users.insert(user.name.clone(), Glance { user, attached_policies });
        }
        let mut watch = Watch::default();
        for when in [0, 60, 120] {
            for sighting in watch.see(&census, at(when), at(when)).sightings {
                watch.open(sighting, [key(1), key(2)].into());
            }
            let size = serde_json::to_string(&watch).unwrap().len();
            assert!(size < 400_000, "{size}");
        }
        assert_eq!((watch.cases().count(), watch.clean.len()), (MAX_CASES, MAX_KNOWN));
    }
}

//! AWS's quarantine, and what only looks like it: when keys may be replaced without overlap, random
//! histories of it, and the histories in which each case is seen alone.

use std::collections::BTreeSet;
use std::time::Duration;

use iam_user_controller::core::policy::CompromisedKeys;
use tracing::Level;

use crate::account::{SimKey, SimUser, World};
use crate::faults::Call;
use crate::harness::{Act, Report, Scenario};
use crate::invariants::Excuse;
use crate::matrix::Log;
use crate::prng::Prng;
use crate::program;
use crate::stories::{self, owned, put, secs};

/// AWS's own policy.
pub(crate) const AWS: &str = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV2";

/// A policy of the account that somebody has given the same name.
pub(crate) const NAMESAKE: &str = "arn:aws:iam::123456789012:policy/AWSCompromisedKeyQuarantineV2";

/// What the account knows of a user's quarantine, for the checker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Leak {
    /// When a listing has first shown the user as the program's own, to this state table.
    seen_ms: Option<u64>,
    /// Whether AWS's policy is attached.
    attached: bool,
    /// Keys from before this time may be replaced without overlap.
    before_ms: u64,
    /// Until then, when the program has forgotten why.
    void_ms: Option<u64>,
}

/// A program that has forgotten a leak may have sent a change before.
const ON_ITS_WAY_MS: u64 = 15_000;

impl World {
    /// A listing shows the user to the program.
    pub(crate) fn listed(&mut self, folded: &str, owned: bool) {
        let now = self.now;
        if let Some(user) = self.iam.live_mut(folded).filter(|_| owned) {
            user.leak.seen_ms.get_or_insert(now);
        }
    }

    /// Somebody attaches a policy: AWS its own, an outsider any.
    pub(crate) fn attach_policy(&mut self, folded: &str, arn: &str) {
        let (now, bound) = (self.now, self.conduct.stale_bound_ms);
        // A key that is made before the next sweeps end has existed when they find the policy.
        let found_ms = now + 2 * self.sweep_every_ms() + 150_000;
        let Some(user) = self.iam.live_mut(folded) else { return };
        user.attach(arn, now, bound);
        if arn == AWS && !user.leak.attached {
            user.leak.attached = true;
            if user.leak.seen_ms.is_some() {
                (user.leak.before_ms, user.leak.void_ms) = (found_ms, None);
            }
        }
    }

    /// A person detaches AWS's policy.
    pub(crate) fn detach_policy(&mut self, folded: &str, arn: &str) {
        let (now, bound) = (self.now, self.conduct.stale_bound_ms);
        let Some(user) = self.iam.live_mut(folded) else { return };
        user.detach(arn, now, bound);
        if arn == AWS {
            user.leak.attached = false;
        }
    }

    /// The record is lost of what sweeps have seen; everybody who led before is dead.
    pub(crate) fn lose_quarantine(&mut self) {
        self.state.lose("quarantine", self.book.newest_token());
        let void = self.now + ON_ITS_WAY_MS;
        let ours = self.iam.all().filter(|(_, user)| self.owns(user));
        let names: Vec<String> = ours.map(|(folded, _)| folded.to_owned()).collect();
        for folded in names {
            if let Some(user) = self.iam.live_mut(&folded) {
                user.leak.seen_ms = None;
                user.leak.void_ms.get_or_insert(void);
            }
        }
    }
}

/// Whether a key may be replaced without overlap: AWS's own policy has appeared on a user that the program
/// could have seen without it, and the key is from before that.
pub(crate) fn leaked(world: &World, user: &SimUser, key: &SimKey) -> Option<Excuse> {
    is_leaked(world, user, key).then_some(Excuse::Leaked)
}

fn is_leaked(world: &World, user: &SimUser, key: &SimKey) -> bool {
    let leak = &user.leak;
    let replaces = world.rules.policy.compromised == CompromisedKeys::Replace;
    let known = leak.void_ms.is_none_or(|void| world.now < void);
    replaces && known && key.created_ms < leak.before_ms
}

/// Whether keys of the user may be replaced yet, so that there will be no silence.
pub(crate) fn may_be_replaced(world: &World, user: &SimUser) -> bool {
    user.live_keys().any(|key| is_leaked(world, user, key))
}

/// In a share of the histories: AWS quarantines users before and after they are known, people detach its
/// policy and have policies of that name, and the record of it all is lost. Drawn apart, so that the other
/// histories are what they were without.
pub(crate) fn outsiders(scenario: &mut Scenario, names: &[&str], seed: u64, length: u64) {
    let mut prng = Prng::new(seed.wrapping_mul(0xA076_1D64_78BD_642F) ^ 0x9A11_50EE);
    if !prng.chance(250) {
        return;
    }
    if prng.chance(200) {
        scenario.account.rules.policy.compromised = CompromisedKeys::Report;
    }
    let name =
        |prng: &mut Prng| names[usize::try_from(prng.below(names.len() as u64)).unwrap_or(0)].to_owned();
    for _ in 0..prng.between(0, 2) {
        let arn = if prng.chance(700) { AWS } else { NAMESAKE };
        let act = Act::AttachPolicy(name(&mut prng), arn.to_owned());
        scenario.before.push(act);
    }
    for _ in 0..prng.between(1, 5) {
        // Late enough for two sweeps to have seen the user, more often than not.
        let when = Duration::from_millis(prng.below((length + 120) * 1_000));
        let name = name(&mut prng);
        let acts = match prng.below(10) {
            0..4 => vec![Act::AttachPolicy(name, AWS.to_owned())],
            4..7 => vec![Act::AttachPolicy(name, NAMESAKE.to_owned())],
            7 => vec![Act::DetachPolicy(name, AWS.to_owned())],
            8 => {
                let (arn, name) = (AWS.to_owned(), name);
                vec![Act::DetachPolicy(name.clone(), arn.clone()), Act::AttachPolicy(name, arn)]
            }
            _ => vec![Act::LoseQuarantine],
        };
        let mut when = when;
        for act in acts {
            scenario.acts.push((when, act));
            when += Duration::from_millis(prng.between(0, 40_000));
        }
    }
}

/// A user whose key is two days old and whose sweeps come every half a minute.
fn watched(name: &'static str) -> Scenario {
    let mut scenario = stories::story(name);
    scenario.account.sweep_every = secs(30);
    scenario.before([owned("mail", 2, None), put("mail")])
}

fn attach(arn: &str) -> Act {
    Act::AttachPolicy("mail".to_owned(), arn.to_owned())
}

fn detach() -> Act {
    Act::DetachPolicy("mail".to_owned(), AWS.to_owned())
}

/// How often the user was given a new key, and how often the log told of a quarantine at level error.
fn outcome(scenario: &Scenario) -> (usize, usize) {
    let (report, log) = Log::of(Level::ERROR, || program::run(1, scenario));
    assert!(report.ok(), "{}", report.story());
    let of_it =
        |call: Call| move |(_, sent, name): &&(Duration, Call, String)| *sent == call && name == "mail";
    let told = log.lines().filter(|line| line.contains("quarantine")).count();
    let minted = report.sent.iter().filter(of_it(Call::CreateKey)).count();
    let deleted = report.sent.iter().filter(of_it(Call::DeleteKey)).count();
    assert_eq!(minted, deleted, "each new key replaces one: {:?}", report.sent);
    (minted, told)
}

#[test]
fn only_the_appearance_of_awss_own_policy_replaces_keys() {
    let long = |scenario: Scenario| {
        let mut scenario = scenario;
        scenario.faults_until = secs(300);
        scenario
    };
    let check = |scenario: Scenario, expected, what| assert_eq!(outcome(&long(scenario)), expected, "{what}");
    //  new keys, lines at error
    check(watched("a namesake").at(secs(100), attach(NAMESAKE)), (0, 0), "a policy of that name");
    check(watched("appears").at(secs(100), attach(AWS)), (1, 1), "AWS's policy appears");
    check(watched("was there").before([attach(AWS)]), (0, 1), "it was there before the first start");
    check(watched("at once").at(secs(2), attach(AWS)), (0, 1), "it is seen at the second look");
    let twice =
        watched("twice").at(secs(100), attach(AWS)).at(secs(150), detach()).at(secs(220), attach(AWS));
    check(twice, (2, 2), "it is detached, and appears again");
    let late = watched("detached").before([attach(AWS)]).at(secs(80), detach()).at(secs(200), attach(AWS));
    check(late, (1, 2), "it was there, is detached, and appears");
    let lost = watched("lost").at(secs(100), attach(AWS)).at(secs(180), Act::LoseQuarantine);
    check(lost, (1, 2), "its keys are replaced; the record is lost, and it is told once more");
    let lost = watched("lost before").at(secs(90), Act::LoseQuarantine).at(secs(92), attach(AWS));
    check(lost, (0, 1), "the record is lost, and it appears before anybody is known again");
    let mut reported = watched("reported").at(secs(100), attach(AWS));
    reported.account.rules.policy.compromised = CompromisedKeys::Report;
    check(reported, (0, 1), "keys.compromised is \"report\"");
}

#[test]
fn a_late_listing_makes_nobody_known() {
    // Two sweeps at short notice, both with reads that are as late as they may be: what they show is older
    // than the policy, which was there when the user was first seen.
    let mut replaced = BTreeSet::new();
    for seed in 0..30 {
        let mut scenario = stories::story("late listings");
        scenario.account.sweep_every = secs(3);
        scenario.account.conduct.stale_per_mille = 900;
        scenario.faults_until = secs(60);
        let scenario = scenario.before([put("mail"), owned("mail", 2, None)]).at(secs(1), attach(AWS));
        let report: Report = program::run(seed, &scenario);
        assert!(report.ok(), "{}", report.story());
        replaced.extend(report.sent.iter().any(|(_, call, _)| *call == Call::CreateKey).then_some(seed));
    }
    assert!(replaced.is_empty(), "{replaced:?}");
}

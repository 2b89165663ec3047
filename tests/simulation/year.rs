//! A year with 200 users: every key is rotated two dozen times, while something fails every day.
//!
//! The machine sleeps most of the time, or a year of polls that find nothing would be all that is
//! simulated: it wakes every six hours, and finds its lease gone, its iterators expired, and keys due.

use std::time::{Duration, Instant};

use crate::account::AccountSettings;
use crate::faults::{Faults, Kind};
use crate::harness::{Act, Scenario};
use crate::invariants::Rules;
use crate::prng::Prng;
use crate::program;

const USERS: u64 = 200;
/// Without optimization a year takes minutes: then it is a month.
const DAYS: u64 = if cfg!(debug_assertions) { 31 } else { 365 };
const HOUR: Duration = Duration::from_secs(3_600);
const AWAKE: Duration = Duration::from_secs(90);
const NAP: Duration = Duration::from_secs(6 * 3_600 - 90);

fn name(number: u64) -> String {
    format!("user-{number:03}")
}

fn year(seed: u64) -> Scenario {
    let mut prng = Prng::new(seed);
    let mut rules = Rules::contract();
    // Whoever wakes up four times a day is late by as much.
    rules.lateness = 12 * HOUR;
    let mut account = AccountSettings::new(rules);
    account.conduct.page = 100;
    account.conduct.batch = 100;
    account.conduct.stale_per_mille = 5;
    account.faults = Faults::everywhere(300);
    for crash in [Kind::CrashBefore, Kind::CrashAfter, Kind::CrashLate] {
        account.faults = account.faults.with(crash, 50);
    }
    let mut scenario = Scenario::new("a year", account);
    scenario.resume = program::resume;
    scenario.resume_in_the_end = true;
    scenario.max_calls = 20_000_000;
    for number in 0..USERS {
        let current = 24 * HOUR * u32::try_from(prng.below(15)).unwrap_or(0);
        scenario.before.push(Act::PutRow(name(number)));
        scenario.before.push(Act::OwnedUser { name: name(number), current, pending: None });
    }
    let mut splits = 0;
    for day in 0..DAYS {
        let began = 24 * HOUR * u32::try_from(day).unwrap_or(0);
        for quarter in 0..4 {
            scenario.acts.push((began + 6 * HOUR * quarter + AWAKE, Act::Jump(NAP)));
        }
        let whom = name(prng.below(USERS));
        let mishap = match prng.below(8) {
            0 => Act::Kill(0),
            1 => Act::Terminate(0),
            2 => Act::DeleteParameter(whom),
            3 => Act::StripKeyTags(whom),
            4 => Act::SetBoundary(whom, None),
            5 => Act::RemoveRow(whom),
            // Each doubles the shards.
            6 if splits < 3 => {
                splits += 1;
                Act::SplitShards
            }
            _ => Act::ModifyRow(whom),
        };
        let returns = match &mishap {
            Act::RemoveRow(name) => Some(Act::PutRow(name.clone())),
            _ => None,
        };
        scenario.acts.push((began + Duration::from_secs(30), mishap));
        scenario.acts.extend(returns.map(|act| (began + Duration::from_secs(60), act)));
    }
    scenario.faults_until = 24 * HOUR * u32::try_from(DAYS).unwrap_or(0);
    scenario
}

#[expect(clippy::disallowed_methods, reason = "how fast the simulation is, is told in real time")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_year_with_200_users() {
    let began = now();
    let report = program::run(1, &year(1));
    let minted = report.steps.get("create_key").copied().unwrap_or(0);
    eprintln!(
        "a year: {} days, {} calls, {} of them changes, {minted} keys minted, {} faults, {:.1} s",
        report.simulated.as_secs() / 86_400,
        report.calls,
        report.changes,
        report.fired.total(),
        began.elapsed().as_secs_f64()
    );
    assert!(report.ok(), "{}", report.story());
    assert!(report.simulated >= 24 * HOUR * u32::try_from(DAYS).unwrap_or(0), "it was no year");
    // A key lives for 15 days; less what is under way at both ends.
    assert!(minted >= USERS * (DAYS / 15 - 1), "only {minted} keys were minted");
    assert!(report.fired.total() >= DAYS, "not a fault a day");
}

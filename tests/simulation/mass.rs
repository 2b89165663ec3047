//! Four fifths of 5,000 rows are deleted by mistake within a minute, and put back after five.
//!
//! The brake's settings are the contract's. At most `max_count` users are deleted, nobody else is
//! touched in any way, and what an operator resumes afterwards is nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use iam_user_controller::brakes;
use tracing::Level;

use crate::account::AccountSettings;
use crate::faults::{Call, Kind};
use crate::harness::{Act, Report, Scenario};
use crate::invariants::Rules;
use crate::matrix::{self, Log, Tally};
use crate::program;
use crate::stories::{self, owned, put, remove, secs};
use crate::wrong::{self, Flaw};

/// Without optimization the full size takes minutes: then it is a tenth.
const PARTS: u32 = if cfg!(debug_assertions) { 10 } else { 1 };
const USERS: u32 = 5_000 / PARTS;
const MISTAKEN: u32 = 4_000 / PARTS;

const MINUTE: Duration = Duration::from_secs(60);
/// When the first row goes: the first sweep has looked at everybody.
const MISTAKE: Duration = Duration::from_secs(3_000);
const RESTORED: Duration = Duration::from_secs(3_000 + 5 * 60);
/// When an operator resumes, though there is nothing left to resume.
const RESUMED: Duration = Duration::from_secs(3_000 + 3_600);

/// Of the brake's record: one in each second in which many are weighed, and some for what is granted.
const MOST_WRITES: u64 = 300;

fn name(number: u32) -> String {
    format!("user-{number:04}")
}

fn mistake() -> Scenario {
    let mut rules = Rules::contract();
    rules.full_every = 24 * 60 * MINUTE;
    let mut account = AccountSettings::new(rules);
    account.conduct.page = 1_000;
    account.conduct.batch = 1_000;
    account.conduct.travel_ms = (5, 50);
    let mut scenario = Scenario::new("mass deletion", account);
    scenario.resume = program::resume;
    scenario.max_calls = 2_000_000;
    for number in 0..USERS {
        scenario = scenario.before([put(&name(number)), owned(&name(number), 1, None)]);
    }
    for number in 0..MISTAKEN {
        let at = MISTAKE + MINUTE * number / MISTAKEN;
        scenario = scenario.at(at, remove(&name(number))).at(RESTORED, put(&name(number)));
    }
    scenario.at(RESUMED, Act::ResumeDeletions)
}

/// What is wrong with the history.
fn missed(report: &Report, log: &str) -> Vec<String> {
    let mut missed = report.violations.clone();
    let deleted: BTreeSet<&str> = report.deleted.iter().map(|(_, name)| name.as_str()).collect();
    if report.deleted.len() > 10 {
        missed.push(format!("{} users are deleted", report.deleted.len()));
    }
    if let Some(touched) = report.sent.iter().find(|(_, _, name)| !deleted.contains(name.as_str())) {
        missed.push(format!("somebody who lives is touched: {touched:?}"));
    }
    if let Some(late) = report.sent.iter().find(|(at, ..)| *at >= RESUMED) {
        missed.push(format!("something happens after the resumption: {late:?}"));
    }
    // Up to 350 KB each; DynamoDB writes 1 MB a second to a partition, the lease's included.
    let writes = report.written.get(brakes::RECORD).copied().unwrap_or_default();
    if writes > MOST_WRITES {
        missed.push(format!("the brake's record is written {writes} times"));
    }
    for words in ["deletions are held", "causes=\"budget\"", "an operator has resumed deletions count=0"] {
        if !log.contains(words) {
            missed.push(format!("the log does not say {words:?}"));
        }
    }
    missed
}

#[expect(clippy::disallowed_methods, reason = "how long it takes is told in real time")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn rows_deleted_by_mistake_and_put_back_cost_ten_users_at_most() {
    let (began, scenario) = (now(), mistake());
    let (report, log) = Log::of(Level::INFO, || program::run(1, &scenario));
    eprintln!(
        "mass deletion: {USERS} users, {MISTAKEN} rows deleted in {MINUTE:?}: {} deleted, {} calls, {:.1} s",
        report.deleted.len(),
        report.calls,
        began.elapsed().as_secs_f64()
    );
    let missed = missed(&report, &log);
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(report.simulated > RESUMED + secs(3_600), "a sweep came after the resumption");
}

/// A write of the brake's record that arrives late, after later ones, took back what they had counted.
#[test]
fn a_write_that_arrives_late_makes_nobody_forget_a_deletion() {
    let mut scenario = stories::with("late write", |rules| rules.brake = (2, 0, secs(3_600)));
    for user in ["anna", "bert", "carl"] {
        scenario = scenario.before([put(user), owned(user, 1, None)]);
    }
    scenario = scenario.at(secs(40), remove("anna")).at(secs(42), remove("bert"));
    scenario = scenario.at(secs(70), Act::Kill(0)).at(secs(90), remove("carl"));
    scenario.resume_in_the_end = true;
    scenario.account.conduct.late_ms = 9_000;
    // A sweep writes the record anew.
    scenario.account.sweep_every = secs(300);
    let calls = matrix::calls_of(&scenario);
    let mut tally = Tally::default();
    for (at, _) in (1..).zip(&calls).filter(|(_, call)| **call == Call::PutState) {
        matrix::with_faults(&scenario, &[(at, Kind::Late)], &mut tally);
    }
    assert!(tally.fired.count(Call::PutState, Kind::Late) > 5, "few writes were late");
    tally.expect_no_failure("late writes");
}

#[test]
fn without_a_brake_they_cost_more() {
    let (report, log) = Log::of(Level::INFO, || wrong::run(1, &mistake(), Flaw::NoBrake));
    let missed = missed(&report, &log);
    assert!(!missed.is_empty());
    eprintln!("mass deletion: NoBrake fails: {}", missed[0]);
}

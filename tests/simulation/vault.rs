//! SSM as it was met in the field: reads that are late, parameters that somebody writes.

use std::time::Duration;

use crate::harness::{Act, Report, Scenario};
use crate::program;
use crate::stories::{days, owned, put, secs, story};

/// As late as reads were seen, and later.
const LATENESS_MS: [u64; 5] = [200, 500, 1_000, 3_000, 8_000];
const USERS: u64 = 20;

fn name(number: u64) -> String {
    format!("user-{number:02}")
}

/// Every read of a parameter is late.
fn late(mut scenario: Scenario, late_ms: u64) -> Scenario {
    let conduct = &mut scenario.account.conduct;
    (conduct.vault_late_ms, conduct.vault_late_per_mille) = (late_ms, 1_000);
    conduct.travel_ms = (5, 20);
    scenario
}

/// Its row is changed again and again, so that it is looked at right after each of its changes.
fn touched(mut scenario: Scenario, name: &str) -> Scenario {
    for tenths in 31..200 {
        let at = Duration::from_millis(tenths * 100);
        scenario = scenario.at(at, Act::ModifyRow(name.to_owned()));
    }
    scenario
}

fn minted(report: &Report) -> u64 {
    report.steps.get("create_key").copied().unwrap_or(0)
}

#[test]
fn new_users_get_one_key_each_however_late_their_parameters_are_seen() {
    for late_ms in LATENESS_MS {
        let mut scenario = late(story("new users, late parameters"), late_ms);
        for number in 0..USERS {
            scenario = scenario.at(secs(3), put(&name(number)));
            scenario = touched(scenario, &name(number));
        }
        let report = program::run(late_ms, &scenario);
        eprintln!("{USERS} new users, parameters {late_ms} ms late: {} keys made", minted(&report));
        assert!(report.ok(), "{}", report.story());
        assert_eq!(minted(&report), USERS);
    }
}

#[test]
fn a_rotation_is_not_undone_by_a_late_read() {
    for late_ms in LATENESS_MS {
        let mut scenario = late(story("rotations, late parameters"), late_ms);
        for number in 0..USERS {
            // The one before it is gone, and is forgotten at the look after the rotation.
            let pending = (number % 2 == 0).then_some(31);
            scenario = scenario.before([put(&name(number)), owned(&name(number), 16, pending)]);
            scenario = touched(scenario, &name(number));
        }
        let report = program::run(late_ms, &scenario);
        eprintln!("{USERS} rotations, parameters {late_ms} ms late: {} keys made", minted(&report));
        assert!(report.ok(), "{}", report.story());
        assert_eq!(minted(&report), USERS);
    }
}

#[test]
fn a_new_leader_does_not_believe_a_late_read() {
    for late_ms in LATENESS_MS {
        let mut scenario = late(story("hand-over, late parameters"), late_ms);
        scenario.replicas = vec![(0, 0), (500, 0)];
        for number in 0..USERS {
            scenario = scenario.before([put(&name(number)), owned(&name(number), 16, None)]);
        }
        for killed in 1..8 {
            scenario = scenario
                .at(Duration::from_millis(killed * 9_700), Act::Terminate(usize::from(killed % 2 == 0)));
        }
        let report = program::run(late_ms, &scenario);
        eprintln!("{USERS} rotations, 7 hand-overs, {late_ms} ms late: {} keys made", minted(&report));
        assert!(report.ok(), "{}", report.story());
    }
}

/// Its last write is never older than a day; the key before it went never.
#[test]
fn a_parameter_that_somebody_touches_daily_lets_the_old_key_go() {
    let mut scenario = story("touched daily").before([put("alice"), owned("alice", 8, Some(23))]);
    for day in 0..13 {
        scenario = scenario
            .at(days(day) + secs(60), Act::TouchParameter("alice".to_owned()))
            .at(days(day) + secs(90), Act::Jump(days(1) - secs(180)));
    }
    scenario.faults_until = days(13);
    let report = program::run(1, &scenario);
    assert!(report.ok(), "{}", report.story());
    let expired = report.steps.get("delete_key").copied().unwrap_or(0);
    assert!(expired >= 1, "the old key has gone: {:?}", report.steps);
}

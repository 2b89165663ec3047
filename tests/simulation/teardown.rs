//! Everything that a user can have, at once, removed: with a crash at each call, and with leftovers
//! that appear meanwhile.

use std::time::Duration;

use iam_user_controller::core::observed::Leftover;

use crate::faults::{Call, Faults, Kind};
use crate::harness::{Act, Report, Scenario};
use crate::matrix::{self, Tally};
use crate::program;
use crate::stories::{self, owned, put, remove};
use crate::wrong::{self, Flaw};

const CRASHES: [Kind; 3] = [Kind::CrashBefore, Kind::CrashAfter, Kind::CrashLate];

/// When its row goes.
const REMOVED: Duration = Duration::from_secs(3);

fn everything() -> Vec<Leftover> {
    vec![
        Leftover::LoginProfile,
        Leftover::MfaDevice { serial: "arn:aws:iam::123456789012:mfa/phone".to_owned() },
        Leftover::MfaDevice { serial: "GAHT12345678".to_owned() },
        Leftover::SshPublicKey("APKA123".to_owned()),
        Leftover::SigningCertificate("CERT123".to_owned()),
        Leftover::ServiceCredential("ACCA123".to_owned()),
        Leftover::Group("staff".to_owned()),
        Leftover::InlinePolicy("inline".to_owned()),
        Leftover::AttachedPolicy("arn:aws:iam::123456789012:policy/some".to_owned()),
    ]
}

/// Somebody with two keys and everything else, without a row.
fn orphan() -> Scenario {
    let add = |leftover| Act::AddLeftover("alice".to_owned(), leftover);
    stories::story("an orphan with everything there is")
        .before([owned("alice", 1, Some(16))])
        .before(everything().into_iter().map(add))
}

/// The same, whose row is removed.
fn removal() -> Scenario {
    let mut scenario = orphan().before([put("alice")]).at(REMOVED, remove("alice"));
    scenario.name = "remove everything there is";
    scenario
}

/// What is sent to take the user down, in order.
fn teardown() -> Vec<Call> {
    let mut calls = vec![Call::DeactivateKey, Call::DeactivateKey, Call::DeleteKey, Call::DeleteKey];
    calls.extend(everything().iter().map(|_| Call::RemoveLeftover));
    calls.extend([Call::DeleteUser, Call::DeleteParameter]);
    calls
}

#[test]
fn access_ends_with_the_first_calls_and_the_parameter_goes_last() {
    for scenario in [removal(), orphan()] {
        let report = program::run(0, &scenario);
        assert!(report.ok(), "{}", report.story());
        let sent = report.sent.iter().filter(|(_, _, name)| name == "alice");
        assert_eq!(sent.map(|(_, call, _)| *call).collect::<Vec<_>>(), teardown());
    }
}

/// Every crash at every call that the program makes from shortly before the teardown on, reads and its
/// own records included.
fn crashes(scenario: &Scenario) -> Vec<(u64, Call, Kind)> {
    let calls = matrix::calls_of(scenario);
    let first = calls.iter().position(|call| *call == Call::DeactivateKey).expect("a teardown");
    let before = u64::try_from(first).unwrap_or(0).saturating_sub(12);
    matrix::faults_after(before, &calls).filter(|(.., kind)| CRASHES.contains(kind)).collect()
}

#[test]
fn the_complete_teardown_survives_a_crash_at_each_of_its_calls() {
    for scenario in [removal(), orphan()] {
        let tally = matrix::spread(&crashes(&scenario), |(at, _, kind), tally| {
            matrix::with_faults(&scenario, &[(*at, *kind)], tally);
        });
        for (call, kind) in teardown().into_iter().flat_map(|call| CRASHES.map(|kind| (call, kind))) {
            let times = teardown().into_iter().filter(|other| *other == call).count();
            let fired = tally.fired.count(call, kind);
            assert!(fired as usize >= times, "{kind:?} at {call:?} has fired {fired} times");
        }
        tally.expect_no_failure(scenario.name);
    }
}

/// The same by wrong versions: one that does not read back what was left undone leaves a parameter
/// behind, and one that does not know what a user has cannot delete it.
#[test]
fn wrong_versions_do_not_survive_it() {
    let fails = |scenario: &Scenario, flaw, at, kind| {
        let mut scenario = scenario.clone();
        scenario.account.faults = Faults::scripted(&[(at, kind)]);
        !wrong::run(0, &scenario, flaw).ok()
    };
    let orphan = orphan();
    let last = crashes(&orphan).into_iter().filter(|(_, call, _)| *call == Call::DeleteParameter);
    let left = last.filter(|(at, _, kind)| fails(&orphan, Flaw::ForgetsRemovals, *at, *kind)).count();
    assert!(left > 0, "ForgetsRemovals passes, too");
    assert!(!wrong::run(0, &removal(), Flaw::SeesNoLeftovers).ok(), "SeesNoLeftovers passes, too");
}

/// IAM refuses to delete a user with something on it that was not there when it was listed.
#[test]
fn leftovers_that_appear_meanwhile_go_as_well() {
    let mut tally = Tally::default();
    let mut conflicts = 0;
    for step in 0..60 {
        let late = Act::AddLeftover("alice".to_owned(), Leftover::SshPublicKey("APKALATE".to_owned()));
        let mut scenario = removal().at(REMOVED + Duration::from_millis(50) * step, late);
        scenario.account.conduct.travel_ms = (20, 60);
        scenario.account.keep_text = true;
        let report = program::run(0, &scenario);
        conflicts += report.trace.iter().filter(|line| line.contains("answers conflict")).count();
        assert_eq!(report.deleted.len(), 1, "{}", report.story());
        tally.add(&report, || format!("after {} ms", 50 * step));
    }
    tally.expect_no_failure("leftovers that appear meanwhile");
    assert!(conflicts > 0, "no leftover appeared in the moment that matters");
}

/// Whoever takes the ownership tags off somebody who is being removed, and puts the row back, has it
/// adopted: that ends the removal, although it has begun. What the first calls took is for a person to
/// give back.
#[test]
fn an_adoption_ends_a_removal_that_has_begun() {
    let mut scenario = stories::story("adopted while it is removed").before([owned("alice", 1, Some(16))]);
    scenario.account.conduct.travel_ms = (100, 100);
    let begun = |report: &Report| report.sent.iter().find(|(.., name)| name == "alice").map(|(at, ..)| *at);
    let alone = program::run(0, &scenario);
    let began = begun(&alone).expect("it is an orphan");
    assert_eq!(alone.deleted.len(), 1, "{}", alone.story());
    let name = || "alice".to_owned();
    // The first key is deactivated by then, and nothing has come of it yet.
    scenario = scenario.at(began + Duration::from_millis(150), Act::Kill(0));
    scenario = scenario.at(began + Duration::from_secs(1), Act::StripOwnership(name()));
    scenario = scenario.at(began + Duration::from_secs(2), put("alice"));
    let report = program::run(0, &scenario);
    assert!(report.ok(), "{}", report.story());
    assert_eq!(begun(&report), Some(began), "the removal had begun");
    assert!(report.steps.contains_key("adopt"), "{:?}", report.steps);
    assert_eq!(report.deleted, [], "it was adopted, and deleted");
}

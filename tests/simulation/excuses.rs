//! The checker's excuses are themselves checked: one that is used where nothing happened that it is for
//! breaks the history.

use crate::harness::{Act, Scenario};
use crate::invariants::Excuse;
use crate::program;
use crate::stories::{owned, put, secs, story};

/// Somebody deactivates the current key of a user. The controller leaves that to a person, and the checker
/// lets it pass: it is for the same reason that this one has no key that works.
fn deactivated() -> Scenario {
    let act = Act::DeactivateKey("alice".to_owned(), 0);
    story("a deactivated key").before([put("alice"), owned("alice", 1, None)]).at(secs(3), act)
}

#[test]
fn an_excuse_with_its_occasion_is_counted() {
    let report = program::run(1, &deactivated());
    assert!(report.ok(), "{}", report.story());
    assert!(report.excuses.contains_key(&Excuse::Deactivated), "{:?}", report.excuses);
}

/// The same history, but the key is inactive without anybody's doing that the harness knows of.
#[test]
fn an_excuse_without_its_occasion_breaks_the_history() {
    let mut scenario = deactivated();
    scenario.acts = vec![(secs(3), Act::ResumeDeletions)];
    scenario.resume = |world| world.deactivate_key_by_hand("alice", 0);
    let report = program::run(1, &scenario);
    let expected = "excuse Deactivated is used for \"alice\", and nothing happened that it is for";
    assert!(report.violations.iter().any(|violation| violation == expected), "{:?}", report.violations);
}

/// An occasion of one user is none of another.
#[test]
fn what_happened_to_another_user_is_no_occasion() {
    let mut scenario = deactivated();
    scenario.before.extend([put("bob"), owned("bob", 1, None)]);
    scenario.acts = vec![(secs(3), Act::ResumeDeletions), (secs(4), Act::DeactivateKey("bob".to_owned(), 0))];
    scenario.resume = |world| world.deactivate_key_by_hand("alice", 0);
    let report = program::run(1, &scenario);
    assert!(!report.violations.is_empty(), "alice is excused because of bob");
    assert!(report.violations.iter().all(|violation| violation.contains("alice")), "{:?}", report.violations);
}

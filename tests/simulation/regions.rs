//! Two controllers, two Regions, one table name: neither touches the other's users, however often they sweep.

use std::time::Duration;

use crate::harness::{Act, Scenario};
use crate::program;
use crate::stories::{self, days, put, remove, secs};
use crate::wrong::{self, Flaw};

/// As many as the contract's bar asks for.
const SWEEPS: u32 = 60;

fn elsewhere(act: Act) -> Act {
    Act::Elsewhere(Box::new(act))
}

fn owned(name: &str) -> Act {
    Act::OwnedUser { name: name.to_owned(), current: days(3), pending: Some(days(18)) }
}

/// Each has users with a row, and one whose row it loses; and both have a row for one user.
fn scenario() -> Scenario {
    let mut scenario = stories::with("two Regions", |rules| rules.orphan_min_age = Duration::ZERO);
    scenario.elsewhere.push((0, 0));
    scenario.faults_until = SWEEPS * scenario.account.sweep_every;
    scenario
        .before(["anna", "bert"].into_iter().flat_map(|name| [put(name), owned(name)]))
        .before(["gina", "hugo"].into_iter().flat_map(|name| [put(name), owned(name)]).map(elsewhere))
        .before([elsewhere(put("anna"))])
        .at(secs(65), put("carl"))
        .at(secs(65), elsewhere(put("ida")))
        .at(secs(300), remove("bert"))
        .at(secs(300), elsewhere(remove("hugo")))
}

#[test]
fn neither_touches_the_others_users_in_sixty_sweeps() {
    for seed in 0..4 {
        let report = program::run(seed, &scenario());
        assert!(report.ok(), "{}", report.story());
        let mut gone: Vec<&str> = report.deleted.iter().map(|(_, name)| name.as_str()).collect();
        gone.sort_unstable();
        assert_eq!(gone, ["bert", "hugo"], "each its own");
        let touched = |name: &str| report.sent.iter().any(|(_, _, user)| user == name);
        assert!(!touched("anna") && !touched("gina"), "{:?}", report.sent);
    }
    let report = wrong::run(0, &scenario(), Flaw::OwnsByName);
    assert!(!report.ok(), "who owns by the table's name passes, too");
    eprintln!("two Regions: OwnsByName fails: {}", report.violations[0]);
}

//! A state table that does not keep well: throttled, unreachable, slow, and well again, by turns, for
//! a day, while rows come and go and replicas hand the lease to each other.

use std::time::Duration;

use crate::account::AccountSettings;
use crate::faults::Weather;
use crate::harness::{Act, Scenario};
use crate::invariants::Rules;
use crate::matrix;
use crate::prng::Prng;
use crate::program;

const HOUR: Duration = Duration::from_secs(3_600);
/// Without optimization a day takes minutes: then it is an hour.
const HOURS: u64 = if cfg!(debug_assertions) { 1 } else { 24 };

const NAMES: [&str; 12] =
    ["anna", "bert", "carl", "dora", "emil", "fritz", "gerd", "hans", "ines", "jana", "karl", "lisa"];

fn flapping(seed: u64, hours: u64) -> Scenario {
    let mut prng = Prng::new(seed);
    let mut rules = Rules::contract();
    // Keys are rotated in all of this, too.
    rules.policy.rotate_after = 2 * HOUR;
    rules.policy.delete_after = 4 * HOUR;
    rules.policy.min_overlap = HOUR;
    rules.orphan_min_age = Duration::from_secs(60);
    rules.lateness = Duration::from_secs(600);
    rules.brake = (1_000, 100, HOUR);
    let mut account = AccountSettings::new(rules);
    account.sweep_every = Duration::from_secs(300);
    account.conduct.travel_ms = (5, 60);
    account.conduct.stale_per_mille = 50;
    account.conduct.page = 10;
    let mut scenario = Scenario::new("a flapping state table", account);
    scenario.resume = program::resume;
    scenario.replicas = vec![(0, 0), (700, 30), (-900, -40)];
    scenario.replicas.truncate(2 + usize::from(prng.chance(500)));
    scenario.max_calls = 200_000 * (hours + 1);
    let end = HOUR * u32::try_from(hours).unwrap_or(1);
    weather(&mut scenario, &mut prng, end);
    rows(&mut scenario, &mut prng, end);
    mishaps(&mut scenario, &mut prng, end);
    scenario.faults_until = end;
    scenario
}

/// From seconds to minutes each.
fn weather(scenario: &mut Scenario, prng: &mut Prng, end: Duration) {
    let mut at = Duration::ZERO;
    while at < end {
        let weather = match prng.below(6) {
            0 | 1 => Weather::Throttled,
            2 => Weather::Unreachable,
            3 => Weather::Slow,
            _ => Weather::Well,
        };
        scenario.acts.push((at, Act::StateTable(weather)));
        let longest = [10_000, 60_000, 300_000][usize::try_from(prng.below(3)).unwrap_or(0)];
        at += Duration::from_millis(prng.between(2_000, longest));
    }
}

fn rows(scenario: &mut Scenario, prng: &mut Prng, end: Duration) {
    let mut at = Duration::ZERO;
    while at < end {
        let name = NAMES[usize::try_from(prng.below(NAMES.len() as u64)).unwrap_or(0)].to_owned();
        let act = match prng.below(8) {
            0..4 => Act::PutRow(name),
            4..7 => Act::RemoveRow(name),
            _ => Act::ModifyRow(name),
        };
        scenario.acts.push((at, act));
        at += Duration::from_millis(prng.between(1_000, 60_000));
    }
}

/// Every quarter of an hour a replica ends, or stands still.
fn mishaps(scenario: &mut Scenario, prng: &mut Prng, end: Duration) {
    let mut at = Duration::from_secs(prng.between(60, 900));
    while at < end {
        let replica = usize::try_from(prng.below(scenario.replicas.len() as u64)).unwrap_or(0);
        let act = match prng.below(3) {
            0 => Act::Kill(replica),
            1 => Act::Terminate(replica),
            _ => Act::Freeze(replica, Duration::from_secs(prng.between(5, 60))),
        };
        scenario.acts.push((at, act));
        at += Duration::from_secs(prng.between(60, 1_800));
    }
}

/// `FLAPS=n` runs n of them, `HOURS=n` makes them that long, `SEED=n` tells one.
#[test]
fn a_day_with_a_flapping_state_table() {
    let told = matrix::number("SEED");
    let (from, count) = (told.unwrap_or(1), matrix::number("FLAPS").unwrap_or(1));
    let hours = matrix::number("HOURS").unwrap_or(HOURS);
    for seed in from..from + count {
        let mut scenario = flapping(seed, hours);
        scenario.account.keep_text = told.is_some();
        let report = program::run(seed, &scenario);
        let done = report.steps.iter().filter(|(_, n)| **n > 0);
        let mut steps: Vec<String> = done.map(|(step, n)| format!("{n} {step}")).collect();
        steps.sort();
        eprintln!(
            "a flapping state table, seed {seed}: {} hours, {} replicas, {} calls, {} of them changes, the lease \
             was taken {} times, {} changes overtaken, settled after {:?}; {}",
            report.simulated.as_secs() / 3_600,
            scenario.replicas.len(),
            report.calls,
            report.changes,
            report.leases,
            report.overtaken,
            report.settled_after,
            steps.join(", ")
        );
        assert!(report.ok(), "{}", report.story());
        assert!(report.simulated >= scenario.faults_until);
        assert!(report.leases > 5 * hours, "the lease hardly changed hands");
    }
}

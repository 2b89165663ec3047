//! Two and three replicas, of which the leader stands still at each of its calls in turn, for longer
//! than its lease: another takes over and works, and then it goes on where it was. With clocks that
//! are right, that are hours apart, and that run at rates from 0.5 to 2.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::faults::{Call, Faults, Kind, Outage};
use crate::harness::{Act, Report, Scenario};
use crate::matrix::{Tally, number, spread};
use crate::program;
use crate::stories::{self, secs};

/// How long clocks are wrong: as long as a story takes. Then somebody sets them right.
const WRONG: Duration = Duration::from_secs(120);

/// What the clocks of the replicas are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clocks {
    Right,
    /// The first runs at half the rate, the second at twice the rate.
    Rates,
    /// Three hours fast, five hours slow: what is dangerous with a wrong clock has to wait.
    Apart,
}

/// How many replicas there are, and how long the leader stands still.
#[derive(Clone, Copy, Debug)]
struct Setting {
    replicas: usize,
    clocks: Clocks,
    freeze: Duration,
}

const fn setting(replicas: usize, clocks: Clocks, freeze_ms: u64) -> Setting {
    Setting { replicas, clocks, freeze: Duration::from_millis(freeze_ms) }
}

const SETTINGS: [Setting; 8] = [
    // The lease goes to another after 15 s: a moment ago, and long ago.
    setting(2, Clocks::Right, 16_500),
    setting(2, Clocks::Right, 45_000),
    setting(3, Clocks::Right, 45_000),
    // By a clock that runs at twice the rate after 7.5 s; by one at half the rate it lasts for 30 s.
    setting(2, Clocks::Rates, 8_500),
    setting(3, Clocks::Rates, 10_500),
    setting(2, Clocks::Rates, 28_000),
    setting(2, Clocks::Rates, 45_000),
    setting(2, Clocks::Apart, 45_000),
];

/// A story with several replicas.
fn staged(story: &Scenario, setting: Setting) -> Scenario {
    let mut scenario = story.clone();
    scenario.replicas = vec![(0, 0), (700, 30), (-900, -40)];
    scenario.replicas.truncate(setting.replicas);
    scenario.account.conduct.freeze_ms = u64::try_from(setting.freeze.as_millis()).unwrap_or(u64::MAX);
    let clocks: &[(i64, u64)] = match setting.clocks {
        Clocks::Right => &[],
        Clocks::Rates => &[(0, 500), (0, 2_000), (0, 1_000)],
        Clocks::Apart => &[(3 * 3_600_000, 1_000), (-5 * 3_600_000, 1_000), (0, 1_000)],
    };
    for (replica, (offset_ms, rate)) in clocks.iter().enumerate().take(setting.replicas) {
        scenario = scenario.at(Duration::ZERO, Act::Clock(replica, *offset_ms, *rate));
        scenario.faults_until = scenario.faults_until.max(WRONG);
    }
    scenario
}

/// The calls that the leader makes until the last change, with their numbers.
fn calls_of_the_leader(scenario: &Scenario) -> Vec<(u64, Call)> {
    let mut scenario = scenario.clone();
    scenario.account.keep_text = true;
    let report = program::run(0, &scenario);
    let end = report.call_log.iter().rposition(|made| made.call.mutates_users()).unwrap_or(0);
    let numbered = (1..).zip(report.call_log.iter().take(end + 12));
    numbered.filter(|(_, made)| made.leads).map(|(at, made)| (at, made.call)).collect()
}

/// The leader stands still at one of its calls.
struct Freeze {
    story: usize,
    setting: usize,
    at: u64,
    kind: Kind,
}

fn run(scenario: &Scenario, at: u64, kind: Kind) -> Report {
    let mut scenario = scenario.clone();
    scenario.account.faults = Faults::scripted(&[(at, kind)]);
    program::run(0, &scenario)
}

/// `make long-freezes` runs all of them, and a test run each `FREEZE_STRIDE`th.
#[test]
fn a_leader_that_stands_still_at_any_call_of_any_story() {
    let stories = stories::all();
    let stride = number("FREEZE_STRIDE").and_then(|stride| usize::try_from(stride).ok()).unwrap_or(97).max(1);
    let mut freezes = Vec::new();
    let mut staged_stories = Vec::new();
    for (story, scenario) in stories.iter().enumerate() {
        for (setting, chosen) in SETTINGS.iter().enumerate() {
            staged_stories.push(staged(scenario, *chosen));
            // Without optimization, looking at the calls of every story takes longer than the rest.
            if stride > 1 && (story + setting) % 4 != 0 {
                continue;
            }
            let calls = calls_of_the_leader(&staged_stories[story * SETTINGS.len() + setting]);
            let at = |(at, _)| Kind::FREEZES.map(|kind| Freeze { story, setting, at, kind });
            freezes.extend(calls.into_iter().flat_map(at));
        }
    }
    let freezes: Vec<Freeze> = freezes.into_iter().step_by(stride).collect();
    let overtaken = std::sync::atomic::AtomicU32::new(0);
    let handed_over = std::sync::atomic::AtomicU32::new(0);
    let tally = spread(&freezes, |freeze, tally: &mut Tally| {
        let scenario = &staged_stories[freeze.story * SETTINGS.len() + freeze.setting];
        let report = run(scenario, freeze.at, freeze.kind);
        overtaken.fetch_add(report.overtaken, std::sync::atomic::Ordering::Relaxed);
        let moved = u32::from(report.leases > 1);
        handed_over.fetch_add(moved, std::sync::atomic::Ordering::Relaxed);
        tally.add(&report, || format!("{:?} #{} {:?}", SETTINGS[freeze.setting], freeze.at, freeze.kind));
    });
    let (overtaken, handed_over) = (overtaken.into_inner(), handed_over.into_inner());
    eprintln!(
        "{handed_over} hand-overs; {overtaken} changes arrived after their lease, one a user and lease"
    );
    tally.expect_no_failure("leaders that stand still");
    // Else nothing was tested.
    assert!(u64::from(handed_over) * 10 > tally.histories * 9, "{handed_over} of {}", tally.histories);
    assert!(stride > 1 || overtaken > 0, "no change was ever on its way");
}

/// A standby that has looked at the stream reads on at once, and its sweep begins, while the stream's
/// shards cannot be listed.
#[test]
fn a_standby_needs_no_list_of_shards_to_take_over() {
    let (killed, mended) = (secs(100), secs(180));
    let broken = Outage { call: Call::DescribeStream, from_page: 1, kind: Kind::Denied };
    let mut scenario = stories::story("a take-over without DescribeStream")
        // It ends, and is the one that stands by from then on.
        .at(secs(20), Act::Terminate(0))
        .at(killed, Act::Break(vec![broken]))
        .at(killed, Act::Kill(1))
        .at(killed + secs(1), stories::put("alice"))
        .at(mended, Act::Mend);
    scenario.replicas = vec![(0, 0), (700, 30)];
    scenario.faults_until = mended;
    for seed in 0..5 {
        let report = program::run(seed, &scenario);
        assert!(report.ok(), "{}", report.story());
        let created = report.sent.iter().find(|(_, call, name)| *call == Call::CreateUser && name == "alice");
        let (at, ..) = created.expect("the row is served");
        // The lease of 15 s, a second to see that, and the sweep.
        assert!(*at <= killed + secs(15 + 1 + 5), "seed {seed}: {at:?}");
    }
}

/// Which calls break an invariant when they go out half a minute after their lease: what the crate's
/// documentation says cannot be excluded, and why the clocks are read before each step of a change.
/// Everything else is harmless even then; and it is one call, whatever it is.
#[test]
fn a_change_that_goes_out_when_its_process_wakes() {
    let stories: Vec<Scenario> =
        stories::all().iter().map(|story| staged(story, setting(2, Clocks::Right, 45_000))).collect();
    let stride = number("FREEZE_STRIDE").and_then(|stride| usize::try_from(stride).ok()).unwrap_or(7).max(1);
    let chosen: Vec<usize> = (0..stories.len()).step_by(stride).collect();
    let broken = std::sync::Mutex::new(BTreeMap::<Call, BTreeSet<String>>::new());
    let tally = spread(&chosen, |story, tally: &mut Tally| {
        let scenario = &stories[*story];
        for (at, call) in calls_of_the_leader(scenario).into_iter().filter(|(_, call)| call.mutates_users()) {
            let mut report = run(scenario, at, Kind::FreezeSending);
            assert!(report.overtaken <= 1, "{} #{at}: {} changes", scenario.name, report.overtaken);
            let mut broken = broken.lock().expect("nobody panics");
            for violation in std::mem::take(&mut report.violations) {
                broken.entry(call).or_default().insert(format!("{} #{at}: {violation}", scenario.name));
            }
            drop(broken);
            tally.add(&report, String::new);
        }
    });
    let broken = broken.into_inner().expect("nobody panics");
    eprintln!("changes that go out late: {}", tally.line());
    for (call, how) in &broken {
        eprintln!("{call:?}:\n  {}", how.iter().cloned().collect::<Vec<_>>().join("\n  "));
    }
    let known = [
        Call::CreateUser,
        Call::CreateKey,
        Call::DeactivateKey,
        Call::DeleteUser,
        Call::PutParameter,
        Call::DeleteParameter,
    ];
    assert!(broken.keys().all(|call| known.contains(call)), "{:?} break something as well", broken.keys());
}

/// A history to look at: `STORY=name SETTING=n AT=call KIND=FreezeBefore`.
#[test]
fn tell_of_replicas() {
    let wanted = std::env::var("STORY").unwrap_or_else(|_| "create".to_owned());
    let setting = number("SETTING").and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
    let asked = std::env::var("KIND").unwrap_or_default();
    let kinds = [Kind::FreezeBefore, Kind::FreezeAfter, Kind::FreezeSending];
    let kind = kinds.into_iter().find(|kind| format!("{kind:?}") == asked);
    for story in stories::all().into_iter().filter(|story| story.name == wanted) {
        let mut scenario = staged(&story, SETTINGS[setting]);
        scenario.account.keep_text = true;
        let report = run(&scenario, number("AT").unwrap_or(60), kind.unwrap_or(Kind::FreezeBefore));
        eprintln!("{}", report.story());
        assert!(report.ok(), "this history of {wanted:?} breaks something");
    }
}

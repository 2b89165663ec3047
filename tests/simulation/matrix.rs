//! Every story alone; then with every fault at every call; then with pairs of faults.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::faults::{Call, Faults, Fired, Kind};
use crate::harness::{Report, Scenario};
use crate::prng::Prng;
use crate::program;
use crate::stories;

/// What a run of many histories comes to.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) histories: u64,
    pub(crate) calls: u64,
    pub(crate) changes: u64,
    pub(crate) simulated: Duration,
    pub(crate) fired: Fired,
    /// The first failures of each story.
    pub(crate) failures: BTreeMap<String, Vec<String>>,
    pub(crate) failed: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, report: &Report, how: impl FnOnce() -> String) {
        self.histories += 1;
        self.calls += report.calls;
        self.changes += report.changes;
        self.simulated += report.simulated;
        self.fired.add(&report.fired);
        if !report.ok() {
            self.failed += 1;
            let list = self.failures.entry(report.scenario.to_owned()).or_default();
            if list.len() < 12 {
                list.push(format!("{}: {}", how(), report.violations.join("; ")));
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Tally) {
        self.histories += other.histories;
        self.calls += other.calls;
        self.changes += other.changes;
        self.simulated += other.simulated;
        self.fired.add(&other.fired);
        self.failed += other.failed;
        for (name, list) in other.failures {
            self.failures.entry(name).or_default().extend(list);
        }
    }

    pub(crate) fn line(&self) -> String {
        let pairs = Call::ALL.iter().flat_map(|call| Kind::ALL.iter().map(move |kind| (*call, *kind)));
        let fired = pairs.filter(|(call, kind)| self.fired.count(*call, *kind) > 0).count();
        format!(
            "{} histories, {} calls, {} of them changes, {} simulated hours, {} faults, {} (call, fault) pairs, {} failed",
            self.histories,
            self.calls,
            self.changes,
            self.simulated.as_secs() / 3_600,
            self.fired.total(),
            fired,
            self.failed
        )
    }

    pub(crate) fn expect_no_failure(&self, title: &str) {
        eprintln!("{title}: {}", self.line());
        let mut story = String::new();
        for (name, list) in &self.failures {
            for line in list {
                story.push_str(&format!("{name} {line}\n"));
            }
        }
        assert!(self.failed == 0, "{title}: {} histories failed\n{story}", self.failed);
    }
}

/// Runs jobs on all processors; the tally does not depend on who ran what.
pub(crate) fn spread<J: Sync>(jobs: &[J], work: impl Fn(&J, &mut Tally) + Sync) -> Tally {
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Tally::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut tally = Tally::default();
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(job, &mut tally);
                }
                total.lock().expect("no worker has failed").merge(tally);
            });
        }
    });
    total.into_inner().expect("no worker has failed")
}

#[test]
fn the_same_seed_gives_the_same_history_of_the_program() {
    for mut scenario in stories::all() {
        scenario.account.conduct.travel_ms = (1, 40);
        scenario.account.conduct.stale_per_mille = 100;
        scenario.account.faults = Faults::everywhere(10_000);
        let (one, two) = (program::run(1, &scenario), program::run(1, &scenario));
        assert_eq!((one.hash, one.calls), (two.hash, two.calls), "{}", scenario.name);
        let other = program::run(2, &scenario);
        assert_ne!(one.hash, other.hash, "{}", scenario.name);
    }
}

#[test]
fn every_story_ends_well_and_then_is_silent() {
    let stories = stories::all();
    let tally = spread(&stories, |scenario, tally| {
        for seed in 0..3 {
            let report = program::run(seed, scenario);
            tally.add(&report, || format!("seed {seed}"));
        }
    });
    tally.expect_no_failure("stories");
}

/// How many calls a story has until it has settled, and which they are.
fn calls_of(scenario: &Scenario) -> Vec<Call> {
    let mut scenario = scenario.clone();
    scenario.account.keep_text = true;
    let report = program::run(0, &scenario);
    let end = report.call_log.iter().rposition(|call| call.mutates_users()).unwrap_or(0);
    report.call_log[..(end + 12).min(report.call_log.len())].to_vec()
}

/// A fault at a call of a story.
struct Single {
    story: usize,
    at: u64,
    kind: Kind,
}

/// Every fault at every call of these stories, or every `stride`th of those histories.
fn singles(stories: &[Scenario], stride: usize) -> Tally {
    let mut jobs = Vec::new();
    for (story, scenario) in stories.iter().enumerate() {
        for (at, call) in (1..).zip(calls_of(scenario)) {
            let kinds = Kind::ALL.iter().filter(|kind| kind.applies_to(call));
            jobs.extend(kinds.map(|kind| Single { story, at, kind: *kind }));
        }
    }
    let jobs: Vec<Single> = jobs.into_iter().step_by(stride).collect();
    spread(&jobs, |job, tally| {
        let mut scenario = stories[job.story].clone();
        scenario.account.faults = Faults::scripted(&[(job.at, job.kind)]);
        let report = program::run(0, &scenario);
        tally.add(&report, || format!("#{} {:?}", job.at, job.kind));
    })
}

/// `STRIDE=1` is all of them, which takes minutes without optimization; `make simulate` does that.
#[test]
fn every_fault_at_every_call_of_every_story() {
    let stride = number("STRIDE").and_then(|stride| usize::try_from(stride).ok()).unwrap_or(41);
    singles(&stories::all(), stride).expect_no_failure("single faults");
}

/// Two faults in one history: all pairs are millions, so `PAIRS` of each principal story are drawn.
#[test]
fn pairs_of_faults_in_the_principal_stories() {
    let pairs = number("PAIRS").unwrap_or(40);
    let stories = stories::principal();
    let calls: Vec<Vec<Call>> = stories.iter().map(calls_of).collect();
    let jobs: Vec<(usize, u64)> =
        (0..stories.len()).flat_map(|story| (0..pairs).map(move |pair| (story, pair))).collect();
    let tally = spread(&jobs, |(story, pair), tally| {
        let mut prng = Prng::new(*pair);
        let calls = &calls[*story];
        let mut one = || {
            let at = prng.below(calls.len() as u64);
            let call = calls[usize::try_from(at).unwrap_or(0)];
            let kinds: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| kind.applies_to(call)).collect();
            let kind = kinds[usize::try_from(prng.below(kinds.len() as u64)).unwrap_or(0)];
            (at + 1, kind)
        };
        let script = [one(), one()];
        let mut scenario = stories[*story].clone();
        scenario.account.faults = Faults::scripted(&script);
        tally.add(&program::run(0, &scenario), || format!("{script:?}"));
    });
    tally.expect_no_failure("pairs of faults");
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The stories of this name, with a fault at every call of one kind.
fn faults_at(story: &str, wanted: Call, kind: Kind) -> Tally {
    let stories: Vec<Scenario> =
        stories::all().into_iter().filter(|scenario| scenario.name == story).collect();
    let mut tally = Tally::default();
    for scenario in &stories {
        for (at, _) in (1..).zip(calls_of(scenario)).filter(|(_, call)| *call == wanted) {
            let mut scenario = scenario.clone();
            scenario.account.faults = Faults::scripted(&[(at, kind)]);
            tally.add(&program::run(0, &scenario), || format!("#{at} {kind:?}"));
        }
    }
    assert!(tally.histories > 0, "{story} has no call {wanted:?}");
    tally
}

/// IAM may say for seconds that the name of a user that was just deleted is taken. It was taken for
/// somebody else's then, and left alone for an hour.
#[test]
fn a_name_that_was_just_freed_is_no_conflict() {
    faults_at("remove and insert", Call::CreateUser, Kind::Stale).expect_no_failure("a freed name");
}

/// A history to look at: `STORY=name SEED=n FAULTS=12:CrashAfter,14:Lost`; without, the first story.
#[test]
fn tell() {
    let wanted = std::env::var("STORY").unwrap_or_else(|_| stories::all()[0].name.to_string());
    let seed = number("SEED").unwrap_or(0);
    let script = std::env::var("FAULTS").unwrap_or_default();
    let script: Vec<(u64, Kind)> = script
        .split(',')
        .filter_map(|fault| fault.split_once(':'))
        .filter_map(|(at, kind)| {
            let kind = Kind::ALL.iter().find(|known| format!("{known:?}") == kind)?;
            Some((at.parse().ok()?, *kind))
        })
        .collect();
    for mut scenario in stories::all().into_iter().filter(|scenario| scenario.name == wanted) {
        scenario.account.keep_text = true;
        scenario.account.faults = Faults::scripted(&script);
        eprintln!("{}", program::run(seed, &scenario).story());
    }
}

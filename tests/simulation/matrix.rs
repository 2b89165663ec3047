//! Every story alone; then with every fault at every call; then with pairs of faults.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use iam_user_controller::core::step::Step;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::account::SECRET_MARK;
use crate::faults::{Call, Faults, Fired, Kind};
use crate::harness::{Report, Scenario};
use crate::invariants::Excuse;
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
    /// How often each kind of step was carried out.
    pub(crate) steps: BTreeMap<String, u64>,
    /// For each excuse of the checker: in how many histories it made the difference, and how often.
    pub(crate) excuses: BTreeMap<Excuse, (u64, u64)>,
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
        for (step, times) in &report.steps {
            *self.steps.entry(step.clone()).or_default() += times;
        }
        for (excuse, times) in &report.excuses {
            self.excused(*excuse, (1, *times));
        }
        if !report.ok() {
            self.failed += 1;
            let list = self.failures.entry(report.scenario.to_owned()).or_default();
            if list.len() < 12 {
                let failure = format!("{}: {}", how(), report.violations.join("; "));
                // At once: a long run may be cut off before its end.
                eprintln!("{} {failure}", report.scenario);
                list.push(failure);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Tally) {
        self.histories += other.histories;
        self.calls += other.calls;
        self.changes += other.changes;
        self.simulated += other.simulated;
        self.fired.add(&other.fired);
        for (step, times) in other.steps {
            *self.steps.entry(step).or_default() += times;
        }
        for (excuse, times) in other.excuses {
            self.excused(excuse, times);
        }
        self.failed += other.failed;
        for (name, list) in other.failures {
            self.failures.entry(name).or_default().extend(list);
        }
    }

    fn excused(&mut self, excuse: Excuse, (histories, times): (u64, u64)) {
        let known = self.excuses.entry(excuse).or_default();
        *known = (known.0 + histories, known.1 + times);
    }

    /// How often each excuse of the checker made the difference.
    fn table_of_excuses(&self) -> String {
        let mut table = String::from("excuse                histories       uses\n");
        for excuse in Excuse::ALL {
            let (histories, times) = self.excuses.get(excuse).copied().unwrap_or_default();
            table.push_str(&format!("{:<20} {histories:>10} {times:>10}\n", format!("{excuse:?}")));
        }
        table
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

    /// The kinds of steps that were never carried out.
    pub(crate) fn idle_steps(&self) -> Vec<&'static str> {
        Step::ACTIONS.into_iter().filter(|step| !self.steps.contains_key(*step)).collect()
    }

    pub(crate) fn expect_no_failure(&self, title: &str) {
        eprintln!("{title}: {}\n{}", self.line(), self.table_of_excuses());
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

/// Everything that the program logs, in all detail: no secret may be in it.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// What this thread logs from this level on while `work` runs, and what it gives.
    ///
    /// One subscriber serves all tests: those that come and go with each test lose events of others.
    pub(crate) fn of<T>(level: tracing::Level, work: impl FnOnce() -> T) -> (T, String) {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let wanted = |metadata: &tracing::Metadata<'_>, _: &Context<'_, _>| {
                HEARD.with_borrow(|heard| heard.as_ref().is_some_and(|(level, _)| metadata.level() <= level))
            };
            let writer =
                || HEARD.with_borrow(|heard| heard.as_ref().map(|(_, log)| log.clone()).unwrap_or_default());
            let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
            tracing_subscriber::registry().with(layer.with_filter(dynamic_filter_fn(wanted))).init();
        });
        let log = Self::default();
        HEARD.set(Some((level, log.clone())));
        let done = work();
        HEARD.set(None);
        let text = log.0.lock().expect("nobody panics");
        (done, String::from_utf8_lossy(&text).into_owned())
    }
}

thread_local! {
    /// From which level on this thread is listened to, and where that goes.
    static HEARD: RefCell<Option<(tracing::Level, Log)>> = const { RefCell::new(None) };
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Alone, and with faults that are logged: no history breaks anything, and no log tells a secret.
#[test]
fn every_story_ends_well_then_is_silent_and_no_log_tells_a_secret() {
    let stories = stories::all();
    let tally = spread(&stories, |scenario, tally| {
        let ((), text) = Log::of(tracing::Level::TRACE, || {
            for seed in 0..3 {
                tally.add(&program::run(seed, scenario), || format!("seed {seed}"));
            }
            let mut scenario = scenario.clone();
            scenario.account.faults = Faults::everywhere(5_000);
            scenario.faults_until = Duration::from_secs(60);
            tally.add(&program::run(3, &scenario), || "seed 3 with faults".to_owned());
        });
        assert!(text.contains("leading"), "{}: nothing was logged", scenario.name);
        assert!(!text.contains(SECRET_MARK), "{}: invariant 9: a secret was logged", scenario.name);
    });
    tally.expect_no_failure("stories");
    assert!(tally.idle_steps().is_empty(), "never carried out: {:?}", tally.idle_steps());
}

/// Which calls a history makes until it has settled.
pub(crate) fn calls_of(scenario: &Scenario) -> Vec<Call> {
    let mut scenario = scenario.clone();
    scenario.account.keep_text = true;
    let report = program::run(0, &scenario);
    let end = report.call_log.iter().rposition(|made| made.call.mutates_users()).unwrap_or(0);
    report.call_log.iter().take(end + 12).map(|made| made.call).collect()
}

/// One history of a story with these faults.
pub(crate) fn with_faults(scenario: &Scenario, script: &[(u64, Kind)], tally: &mut Tally) {
    let mut scenario = scenario.clone();
    scenario.account.faults = Faults::scripted(script);
    tally.add(&program::run(0, &scenario), || format!("{script:?}"));
}

/// Every fault at every call that comes after call number `after`.
pub(crate) fn faults_after(after: u64, calls: &[Call]) -> impl Iterator<Item = (u64, Call, Kind)> {
    (1..).zip(calls).filter(move |(at, _)| *at > after).flat_map(|(at, call)| {
        Kind::ALL.iter().filter(|kind| kind.applies_to(*call)).map(move |kind| (at, *call, *kind))
    })
}

/// A fault at a call of a story.
struct Single {
    story: usize,
    at: u64,
    call: Call,
    kind: Kind,
}

/// Every fault at every call of these stories.
fn singles(stories: &[Scenario]) -> Vec<Single> {
    let mut singles = Vec::new();
    for (story, scenario) in stories.iter().enumerate() {
        let calls = calls_of(scenario);
        singles.extend(faults_after(0, &calls).map(|(at, call, kind)| Single { story, at, call, kind }));
    }
    singles
}

/// A number from the environment, for how many of the histories are left out.
fn stride(name: &str, otherwise: usize) -> usize {
    number(name).and_then(|stride| usize::try_from(stride).ok()).unwrap_or(otherwise).max(1)
}

/// `make long-faults` runs all of them. Without optimization that takes too long: then it is the
/// first of each (call, fault), and each `STRIDE`th.
#[test]
fn every_fault_at_every_call_of_every_story() {
    let (stories, stride) = (stories::all(), stride("STRIDE", 61));
    let mut seen = BTreeSet::new();
    let chosen = singles(&stories)
        .into_iter()
        .enumerate()
        .filter(|(number, single)| seen.insert((single.call, single.kind)) || number % stride == 0);
    let chosen: Vec<Single> = chosen.map(|(_, single)| single).collect();
    let tally = spread(&chosen, |single, tally| {
        with_faults(&stories[single.story], &[(single.at, single.kind)], tally);
    });
    tally.expect_no_failure("single faults");
    let missing = tally.fired.missing();
    assert!(missing.is_empty(), "never fired: {missing:?}");
}

/// Two faults in one history: after each fault at each call, each at each later call that the program
/// makes then. `make long-pairs` runs all of them, and a test run each `PAIR_STRIDE`th.
#[test]
fn every_pair_of_faults_in_the_principal_stories() {
    let (stories, stride) = (stories::principal(), stride("PAIR_STRIDE", 9_001));
    let firsts = singles(&stories);
    // When not all are tried, those of some first faults.
    let (every_first, every_second) = if stride == 1 { (1, 1) } else { (31, stride.div_ceil(31)) };
    let firsts: Vec<&Single> = firsts.iter().step_by(every_first).collect();
    let told = AtomicUsize::new(0);
    let tally = spread(&firsts, |first, tally| {
        let story = &stories[first.story];
        let one = (first.at, first.kind);
        let mut scenario = story.clone();
        scenario.account.faults = Faults::scripted(&[one]);
        let seconds: Vec<(u64, Call, Kind)> = faults_after(first.at, &calls_of(&scenario)).collect();
        let skipped = usize::try_from(first.at).unwrap_or(0) % every_second;
        for (at, _, kind) in seconds.into_iter().skip(skipped).step_by(every_second) {
            with_faults(story, &[one, (at, kind)], tally);
        }
        let told = told.fetch_add(1, Ordering::Relaxed) + 1;
        if stride == 1 && told.is_multiple_of(20) {
            eprintln!("pairs of faults: {told} of {} first faults; {}", firsts.len(), tally.line());
        }
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

/// IAM said that it does not know a key that was two seconds old, and DeleteUser said that there is
/// one: the first was believed for ever.
#[test]
fn a_key_that_is_too_young_to_be_deleted_goes_later() {
    for story in ["insert and remove", "insert, remove, insert"] {
        faults_at(story, Call::DeleteKey, Kind::Stale).expect_no_failure(story);
    }
}

/// After its user was deleted, a late read showed it once more, while SSM did not delete the parameter
/// at once: it was taken for a user that sweeps have yet to judge, and the parameter stayed for ever.
#[test]
fn a_user_that_is_seen_after_its_deletion_does_not_save_its_parameter() {
    let stories: Vec<Scenario> = stories::all().into_iter().filter(|story| story.name == "orphan").collect();
    let mut tally = Tally::default();
    for story in &stories {
        let calls = calls_of(story);
        let delete = (1..).zip(&calls).find(|(_, call)| **call == Call::DeleteParameter);
        let (at, _) = delete.expect("the story deletes a parameter");
        for late in at + 1..at + 12 {
            with_faults(story, &[(at, Kind::Throttled), (late, Kind::Stale)], &mut tally);
        }
    }
    assert!(tally.fired.count(Call::GetUser, Kind::Stale) > 0, "no read of the user was late");
    tally.expect_no_failure("a user seen after its deletion");
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
        let report = program::run(seed, &scenario);
        eprintln!("{}", report.story());
        assert!(report.ok(), "this history of {wanted:?} breaks something");
    }
}

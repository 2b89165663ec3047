//! Nobody dies who should live: every way to be wrong about the table, each as one history.
//!
//! In each of them there are users with rows, and after a while one orphan; then something goes wrong,
//! and later it is mended. Nobody is deleted but the orphan, and not before the evidence is complete
//! again; and the log says what was the matter. The brake's budget is out of the way, so that it is
//! not what saves them. Each history is lived by a wrong version of the program as well, which has to
//! fail: a bar that nobody can miss proves nothing.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tracing::Level;

use crate::faults::{Call, Kind, Outage};
use crate::harness::{Act, Report, Scenario};
use crate::matrix::{self, Log};
use crate::program;
use crate::stories::{self, days, owned, put, secs};
use crate::wrong::{self, Flaw};

/// The users with rows.
const USERS: [&str; 8] = ["user-1", "user-2", "user-3", "user-4", "user-5", "user-6", "user-7", "user-8"];

/// When it goes wrong, and when it is mended.
const BEGINS: Duration = Duration::from_secs(30);
const ENDS: Duration = Duration::from_secs(180);

/// What was decided or sent just before it went wrong is done within this.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// One way to be wrong.
struct Bar {
    scenario: Scenario,
    /// The orphan may go from then on.
    evident: Duration,
    /// What the log says of it.
    said: &'static [&'static str],
    /// Whether nothing at all is changed while it lasts.
    still: bool,
    /// A version that has to fail.
    wrong: Flaw,
}

/// Users with rows, and `begin` at its time; what ends it has to be added.
fn bar(
    name: &'static str,
    begin: impl IntoIterator<Item = Act>,
    said: &'static [&'static str],
    wrong: Flaw,
) -> Bar {
    let mut scenario = stories::story(name);
    for user in USERS {
        scenario = scenario.before([put(user), owned(user, 1, None)]);
    }
    for act in begin {
        scenario = scenario.at(BEGINS, act);
    }
    // Made a day ago, they say: it is old enough at once.
    scenario = scenario.at(BEGINS + secs(2), owned("orphan", 1, None));
    scenario.account.conduct.travel_ms = (1, 40);
    Bar { scenario, evident: ENDS, said, still: false, wrong }
}

/// Calls that fail, until they do not.
fn outage(
    name: &'static str,
    calls: &[(Call, u32)],
    kind: Kind,
    said: &'static [&'static str],
    wrong: Flaw,
) -> Bar {
    let broken = calls.iter().map(|(call, from_page)| Outage { call: *call, from_page: *from_page, kind });
    bar(name, [Act::Break(broken.collect())], said, wrong).ends(Act::Mend)
}

fn names(rows: &[&str]) -> Vec<String> {
    rows.iter().map(|row| (*row).to_owned()).collect()
}

impl Bar {
    fn at(mut self, when: Duration, act: Act) -> Self {
        self.scenario = self.scenario.at(when, act);
        self
    }

    fn ends(self, act: Act) -> Self {
        self.at(ENDS, act)
    }

    /// The table is believed again.
    fn resumed(mut self, when: Duration) -> Self {
        self.evident = when;
        self.at(when, Act::ResumeDeletions)
    }

    /// What is wrong with this history.
    fn missed(&self, report: &Report, log: &str) -> Vec<String> {
        let mut missed = report.violations.clone();
        for (at, name) in &report.deleted {
            if name != "orphan" {
                missed.push(format!("{name} is deleted after {at:?}"));
            } else if *at < self.evident {
                missed.push(format!("the orphan is deleted after {at:?}, before the evidence is complete"));
            }
        }
        if report.deleted.is_empty() {
            missed.push("the orphan is not deleted in the end".to_owned());
        }
        let meanwhile = |at: &Duration| *at > BEGINS + UNDER_WAY && *at < ENDS;
        if let Some(sent) = report.sent.iter().find(|(at, ..)| self.still && meanwhile(at)) {
            missed.push(format!("something is changed meanwhile: {sent:?}"));
        }
        let unsaid = self.said.iter().filter(|words| !log.contains(**words));
        missed.extend(unsaid.map(|words| format!("the log does not say {words:?}")));
        missed
    }

    /// The program passes, and the wrong version does not.
    fn holds(&self) {
        for seed in 0..4 {
            let (report, log) = Log::of(Level::INFO, || program::run(seed, &self.scenario));
            let missed = self.missed(&report, &log);
            if !missed.is_empty() {
                let mut scenario = self.scenario.clone();
                scenario.account.keep_text = true;
                eprintln!("{}\n{log}", program::run(seed, &scenario).story());
            }
            assert!(missed.is_empty(), "{}, seed {seed}: {missed:#?}", self.scenario.name);
        }
        let (report, log) = Log::of(Level::INFO, || wrong::run(0, &self.scenario, self.wrong));
        let missed = self.missed(&report, &log);
        assert!(!missed.is_empty(), "{:?} passes, too", self.wrong);
        eprintln!("{}: {:?} fails: {}", self.scenario.name, self.wrong, missed[0]);
    }
}

const HELD: &str = "deletions are held";
const FAILED: &str = "a sweep failed; it deleted nobody";

#[test]
fn an_empty_table() {
    let everybody = || USERS.into_iter().chain(["zoe"]);
    let rows_go = everybody().map(|user| Act::RemoveRow(user.to_owned()));
    // Without a record of it.
    let begin = [Act::DisableStream].into_iter().chain(rows_go).chain([Act::EnableStream]);
    let mut bar = bar("empty table", begin, &[HELD, "causes=\"empty_table\""], Flaw::NeverEmpty);
    for user in everybody() {
        bar = bar.ends(put(user));
    }
    bar.still = true;
    bar.holds();
}

#[test]
fn a_table_whose_scan_is_throttled() {
    let said = &[FAILED, "dynamodb:Scan", "throttled"];
    let calls = [(Call::Scan, 1), (Call::GetItem, 1)];
    outage("throttled table", &calls, Kind::Throttled, said, Flaw::ErrorMeansNoRow).holds();
}

#[test]
fn a_table_whose_items_cannot_be_read_again() {
    let said = &[FAILED, "dynamodb:GetItem", "throttled"];
    let calls = [(Call::GetItem, 1)];
    outage("throttled re-read", &calls, Kind::Throttled, said, Flaw::ErrorMeansNoRow).holds();
}

#[test]
fn a_table_that_is_deleted() {
    let said = &[FAILED, "does not exist: nothing is deleted while it is missing", HELD, "table_identity"];
    let mut rows = names(&USERS);
    rows.push("zoe".to_owned());
    let bar = bar("table deleted", [Act::DropTable], said, Flaw::ErrorMeansNoRow);
    bar.ends(Act::RestoreTable(rows)).resumed(ENDS + secs(100)).holds();
}

#[test]
fn a_table_that_is_dropped_and_created_anew() {
    let said = &[HELD, "causes=\"table_identity", "empty_table"];
    let begin = [Act::RecreateTable { keep_rows: false }];
    let mut bar = bar("table recreated", begin, said, Flaw::ForgetsTableId);
    for user in USERS.into_iter().chain(["zoe"]) {
        bar = bar.ends(put(user));
    }
    bar.resumed(ENDS + secs(100)).holds();
}

/// Of the first table nothing could be stored before another took its place.
#[test]
fn a_table_that_is_replaced_before_it_could_be_remembered() {
    let said = &[FAILED, HELD, "causes=\"table_identity\""];
    let broken = vec![Outage { call: Call::PutState, from_page: 1, kind: Kind::Error }];
    let mut bar = bar("never remembered", [], said, Flaw::ForgetsTableId);
    bar.scenario = bar.scenario.before([Act::Break(broken)]);
    // The first sweep waits half a minute for positions in the stream.
    bar = bar.at(secs(50), Act::RestoreTable(names(&["zoe"]))).at(secs(51), Act::Mend);
    for user in USERS {
        bar = bar.ends(put(user));
    }
    bar.resumed(ENDS + secs(100)).holds();
}

/// Another table takes the table's place at any moment of the sweep that finds an orphan; a moment
/// before, the orphan's row came back. In the other table there is but one row. `after_death`: the
/// leader dies at that moment, and what it was granted is for the next one, who finds the other table.
fn another_table_at_any_moment(sweeps: NonZeroU32, after_death: bool) {
    const TRAVEL_MS: u64 = 300;
    // What is decided on the last read of the right table is sent after its way back, a question who the
    // table is, two writes, a look at the user, and a pause for the pace.
    const DECIDED: Duration = Duration::from_millis(TRAVEL_MS * 9 + 400);
    let mut scenario = stories::with("another table", |rules| rules.orphan_sweeps = sweeps);
    scenario.account.conduct.travel_ms = (TRAVEL_MS, TRAVEL_MS);
    scenario.settle_within = Duration::from_secs(900);
    for user in USERS {
        scenario = scenario.before([put(user), owned(user, 1, None)]);
    }
    scenario = scenario.at(BEGINS, owned("orphan", 1, None));
    let first_sent =
        |report: &Report| report.sent.iter().find(|(.., name)| name == "orphan").map(|(at, ..)| *at);
    let alone = program::run(0, &scenario);
    assert!(alone.ok(), "{}", alone.story());
    let judged = first_sent(&alone).expect("it is deleted when nothing happens");
    let moments: Vec<Duration> = (0..200).map(|n| judged + secs(1) - Duration::from_millis(50) * n).collect();
    let spared = AtomicUsize::new(0);
    let tally = matrix::spread(&moments, |moment, tally| {
        let mut scenario = scenario.clone().at(*moment - Duration::from_millis(1), put("orphan"));
        if after_death {
            scenario = scenario.at(*moment, Act::Kill(0));
        }
        scenario = scenario.at(*moment, Act::RestoreTable(names(&["zoe"])));
        // Long enough for sweeps of the next leader to find the orphan in the other table, too.
        let mended = *moment + secs(if after_death { 300 } else { 10 });
        for user in USERS.into_iter().chain(after_death.then_some("orphan")) {
            scenario = scenario.at(mended, put(user));
        }
        let report = program::run(0, &scenario);
        tally.add(&report, || format!("another table after {moment:?}"));
        let wrongly = report.deleted.iter().any(|(_, name)| name != "orphan")
            || first_sent(&report).is_some_and(|sent| sent > *moment + DECIDED);
        assert!(!wrongly, "another table after {moment:?}: {:?} {:?}", report.deleted, first_sent(&report));
        if first_sent(&report).is_none() {
            spared.fetch_add(1, Ordering::Relaxed);
        }
    });
    tally.expect_no_failure("another table");
    eprintln!(
        "another table, {sweeps} sweeps, after death {after_death}: {} moments, spared in {spared:?}",
        moments.len()
    );
    assert!(spared.into_inner() > moments.len() / 2, "it mostly was not judged yet");
}

#[test]
fn another_table_during_the_sweep_that_judges_an_orphan() {
    for sweeps in [NonZeroU32::MIN, NonZeroU32::MIN.saturating_add(1)] {
        another_table_at_any_moment(sweeps, false);
        another_table_at_any_moment(sweeps, true);
    }
}

/// Whoever came since is not in it, and somebody who has gone is.
#[test]
fn a_table_that_is_restored_from_yesterdays_backup() {
    let said = &[HELD, "causes=\"table_identity\"", "today"];
    let mut scenario = stories::story("restored from a backup").at(secs(5), put("today"));
    let mut rows = names(&["zoe", "gone"]);
    for user in USERS {
        scenario = scenario.before([put(user), owned(user, 1, None)]);
        rows.push(user.to_owned());
    }
    scenario = scenario.at(BEGINS, Act::Jump(days(1)));
    let restored = BEGINS + days(1) + secs(120);
    let resumed = restored + secs(300);
    scenario = scenario
        .at(restored, Act::RestoreTable(rows))
        .at(restored + secs(2), owned("orphan", 1, None))
        .at(resumed - secs(100), put("today"))
        .at(resumed, Act::ResumeDeletions);
    let wrong = Flaw::ForgetsTableId;
    Bar { scenario, evident: resumed, said, still: false, wrong }.holds();
}

fn wrong_name(own_state: bool, said: &'static [&'static str], wrong: Flaw) -> Bar {
    let swap = || Act::SwapTable { name: "others".to_owned(), rows: names(&["user-1", "zoe"]), own_state };
    let mut bar = bar("wrong table name", [swap()], said, wrong).ends(swap());
    bar.still = true;
    bar
}

#[test]
fn the_name_of_another_table_that_exists() {
    wrong_name(false, &[HELD, "causes=\"table_identity\""], Flaw::ForgetsTableId).holds();
    wrong_name(true, &["swept rows=2 owned_users=0"], Flaw::OwnsAll).holds();
}

#[test]
fn half_a_scan() {
    let said = &[FAILED, "dynamodb:Scan", "indeterminate"];
    outage("half a scan", &[(Call::Scan, 2)], Kind::Error, said, Flaw::BelievesScan).holds();
}

/// Its user is older than its row, and was an orphan a moment ago.
#[test]
fn a_scan_that_misses_items_written_during_it() {
    let missed = Act::Unscanned(names(&["user-1", "user-2", "late"]));
    let begin = [owned("late", 1, None), missed];
    let mut bar = bar("scan misses items", begin, &["orphans=4"], Flaw::BelievesScan);
    bar = bar.at(BEGINS + secs(1), put("late")).ends(Act::Unscanned(Vec::new()));
    // That one really has no row.
    bar.evident = BEGINS;
    bar.holds();
}

#[test]
fn a_list_of_users_that_fails_on_its_third_page() {
    let said = &[FAILED, "iam:GetAccountAuthorizationDetails", "denied"];
    outage("third page of users", &[(Call::Glance, 3)], Kind::Denied, said, Flaw::ErrorEndsList).holds();
}

const STORE: [(Call, u32); 3] =
    [(Call::GetParameter, 1), (Call::PutParameter, 1), (Call::DeleteParameter, 1)];

#[test]
fn no_parameter_store() {
    let said = &["a look failed", "ssm:GetParameter", "indeterminate"];
    let mut bar = outage("SSM down", &STORE, Kind::Error, said, Flaw::ErrorMeansNoParameter);
    bar.still = true;
    bar.holds();
}

#[test]
fn no_kms() {
    let said = &["a look failed", "ssm:GetParameter", "denied"];
    let mut bar = outage("KMS denied", &STORE[..2], Kind::Denied, said, Flaw::ErrorMeansNoParameter);
    bar.still = true;
    bar.holds();
}

/// A rotation comes due meanwhile as well.
#[test]
fn a_clock_that_is_twenty_days_off() {
    let said = &["the local clock is more than 5 minutes from AWS's", "the local clock agrees"];
    for off in [20 * 86_400_000, -20 * 86_400_000] {
        let begin = [Act::Clock(0, off, 1_000)];
        let mut bar = bar("clock days off", begin, said, Flaw::TrustsClock).ends(Act::Clock(0, 0, 1_000));
        let (name, current) = ("due".to_owned(), days(15) - secs(100));
        let due = Act::OwnedUser { name, current, pending: None };
        bar.scenario = bar.scenario.before([put("due"), due]);
        bar.still = true;
        bar.holds();
    }
}

//! Random histories: who is there at the start, what people do and when, how AWS behaves, what goes
//! wrong, how many replicas there are; all of it from the seed.

use std::time::{Duration, Instant};

use iam_user_controller::core::observed::{Leftover, Tags};
use iam_user_controller::core::policy::ForeignKeys;

use crate::account::AccountSettings;
use crate::faults::{Faults, Kind};
use crate::harness::{Act, Scenario};
use crate::invariants::Rules;
use crate::matrix::{self, Tally};
use crate::prng::Prng;
use crate::program;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn days(n: u64) -> Duration {
    secs(86_400 * n)
}

const NAMES: [&str; 7] = ["anna", "Anna", "bert", "carl", "dora.x", "emil+1@example.com", "fritz"];

fn any_name(prng: &mut Prng) -> String {
    let pick = prng.below(NAMES.len() as u64);
    NAMES[usize::try_from(pick).unwrap_or(0)].to_owned()
}

/// What the operator has configured.
fn rules(prng: &mut Prng) -> Rules {
    let mut rules = Rules::contract();
    rules.orphan_min_age = secs([0, 60, 150][prng.below(3) as usize]);
    rules.lateness = secs(60);
    if prng.chance(400) {
        // Lives of keys that are over within the history.
        let rotate = prng.between(120, 600);
        rules.policy.rotate_after = secs(rotate);
        rules.policy.delete_after = secs(rotate * 2);
        rules.policy.min_overlap = secs(rotate / 2);
    }
    if prng.chance(200) {
        rules.policy.foreign = ForeignKeys::Revoke;
    }
    if prng.chance(300) {
        rules.brake = (prng.between(0, 3) as u32, prng.between(0, 50) as u32, secs(prng.between(600, 3_600)));
    } else {
        rules.brake = (100, 100, secs(3_600));
    }
    rules
}

/// How AWS behaves.
fn account(prng: &mut Prng) -> AccountSettings {
    let mut account = AccountSettings::new(rules(prng));
    account.sweep_every = secs([30, 60, 120][prng.below(3) as usize]);
    let conduct = &mut account.conduct;
    conduct.stale_per_mille = [0, 0, 50, 300][prng.below(4) as usize];
    conduct.spread_ms = [0, 1_500, 10_000][prng.below(3) as usize];
    conduct.travel_ms = [(0, 0), (1, 40), (10, 400)][prng.below(3) as usize];
    conduct.page = prng.between(1, 5) as usize;
    conduct.batch = prng.between(1, 6) as usize;
    conduct.stream_lag_ms = [0, 500, 3_000][prng.below(3) as usize];
    conduct.shard_life_ms = [4 * 3_600_000, 60_000][prng.below(2) as usize];
    conduct.shard_filter = prng.chance(500);
    let rate = [0, 2_000, 10_000][prng.below(3) as usize];
    account.faults = Faults::everywhere(rate);
    for crash in [Kind::CrashBefore, Kind::CrashAfter, Kind::CrashLate] {
        account.faults = account.faults.with(crash, rate / 4);
    }
    account
}

/// One thing that somebody does.
fn act(prng: &mut Prng, replicas: usize) -> Vec<Act> {
    let name = any_name(prng);
    let replica = prng.below(replicas as u64) as usize;
    let one = |act| vec![act];
    match prng.below(100) {
        0..20 => one(Act::PutRow(name)),
        20..35 => one(Act::RemoveRow(name)),
        35..45 => vec![Act::RemoveRow(name.clone()), Act::PutRow(name)],
        45..48 => one(Act::ModifyRow(name)),
        48..51 => one(Act::DeleteParameter(name)),
        51..54 => one(Act::DeleteKey(name, prng.below(2) as usize)),
        54..56 => one(Act::DeactivateKey(name, prng.below(2) as usize)),
        56..58 => one(Act::StripKeyTags(name)),
        58..60 => one(Act::StripOwnership(name)),
        60..61 => one(Act::StripAllTags(name)),
        61..63 => one(Act::SetBoundary(name, None)),
        63..66 => one(Act::AddForeignKey(name)),
        66..68 => one(Act::AddLeftover(name, Leftover::LoginProfile)),
        68..70 => one(Act::DeleteUser(name)),
        70..72 => one(Act::OverwriteParameter { name, text: "?".to_owned(), secure: prng.chance(800) }),
        72..75 => one(Act::SplitShards),
        75..76 => vec![Act::DisableStream, Act::RemoveRow(name), Act::EnableStream],
        76..77 => one(Act::RecreateTable { keep_rows: prng.chance(700) }),
        77..82 => one(Act::Terminate(replica)),
        82..87 => one(Act::Kill(replica)),
        87..92 => one(Act::Pause(replica)),
        92..96 => one(Act::Resume(replica)),
        96..98 => one(Act::Jump([secs(60), secs(7_200), days(2), days(16)][prng.below(4) as usize])),
        _ => one(Act::ResumeDeletions),
    }
}

/// The history that a seed stands for.
pub(crate) fn scenario(seed: u64) -> Scenario {
    let mut prng = Prng::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D));
    let mut scenario = Scenario::new("swarm", account(&mut prng));
    scenario.resume = program::resume;
    scenario.resume_in_the_end = true;
    let count = prng.between(1, 2) as usize;
    scenario.replicas = (0..count)
        .map(|_| (prng.between(0, 3_000) as i64 - 1_500, prng.between(0, 100) as i64 - 50))
        .collect();
    for name in NAMES {
        let name = name.to_owned();
        let (current, pending) = (days(prng.between(1, 25)), prng.chance(400));
        let pending = pending.then(|| current + days(prng.between(10, 20)));
        if prng.chance(500) {
            scenario.before.push(Act::PutRow(name.clone()));
        }
        let boundary = None;
        match prng.below(8) {
            0..3 => scenario.before.push(Act::OwnedUser { name, current, pending }),
            3 => scenario.before.push(Act::LegacyUser {
                name,
                current,
                pending,
                boundary,
                stored: prng.chance(800),
            }),
            4 if prng.chance(300) => {
                scenario.before.push(Act::MakeUser { name, boundary, tags: Tags::new() });
            }
            _ => {}
        }
    }
    let length = prng.between(15, 90);
    for _ in 0..prng.between(2, 16) {
        let mut when = Duration::from_millis(prng.below(length * 1_000));
        for act in act(&mut prng, count) {
            scenario.acts.push((when, act));
            when += Duration::from_millis(prng.between(0, 2_500));
        }
    }
    scenario.faults_until = secs(length + 5);
    crowd(&mut scenario, seed, length);
    scenario
}

/// In a share of the histories: up to three replicas, replicas that stand still, clocks that are hours
/// apart or run at rates of their own. Drawn apart, so that the others are what they were without.
fn crowd(scenario: &mut Scenario, seed: u64, length: u64) {
    let mut prng = Prng::new(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ 0x0C0F_FEE5);
    if !prng.chance(300) {
        return;
    }
    let count = prng.between(2, 3) as usize;
    while scenario.replicas.len() < count {
        scenario.replicas.push((prng.between(0, 3_000) as i64 - 1_500, prng.between(0, 100) as i64 - 50));
    }
    let wrong = prng.below(3);
    for replica in 0..count {
        let (offset_ms, rate) = match wrong {
            0 => continue,
            1 => (prng.between(0, 24 * 3_600_000) as i64 - 12 * 3_600_000, 1_000),
            _ => (prng.between(0, 20_000) as i64 - 10_000, prng.between(500, 2_000)),
        };
        scenario.acts.push((Duration::ZERO, Act::Clock(replica, offset_ms, rate)));
    }
    for _ in 0..prng.between(1, 5) {
        let (at, replica) = (prng.below(length * 1_000), prng.below(count as u64) as usize);
        let act = match prng.below(4) {
            0 => Act::Kill(replica),
            1 => Act::Terminate(replica),
            _ => Act::Freeze(replica, Duration::from_millis(prng.between(1_000, 60_000))),
        };
        scenario.acts.push((Duration::from_millis(at), act));
    }
}

/// Seeds `from..from + count`, with a line of progress now and then.
fn seeds(from: u64, count: u64, progress: bool) -> Tally {
    let began = now();
    let jobs: Vec<u64> = (from..from + count).collect();
    let mut total = Tally::default();
    for chunk in jobs.chunks(usize::try_from((count / 50).clamp(100, 20_000)).unwrap_or(100)) {
        let tally = matrix::spread(chunk, |seed, tally| {
            let report = program::run(*seed, &scenario(*seed));
            tally.add(&report, || format!("SEED={seed}"));
        });
        total.merge(tally);
        if progress {
            let took = began.elapsed().as_secs_f64();
            let done = total.histories;
            eprintln!(
                "{:5.1} % {:>6.0} histories a second, {:.0} s to go; {}",
                done as f64 * 100.0 / count as f64,
                done as f64 / took,
                took / done as f64 * (count - done) as f64,
                total.line()
            );
        }
        if total.failed > 20 {
            break;
        }
    }
    total
}

#[expect(clippy::disallowed_methods, reason = "how fast the simulation is, is told in real time")]
fn now() -> Instant {
    Instant::now()
}

/// As many random histories as CI has time for. `make simulate SEEDS=n` runs n of them from `FROM`;
/// `make simulate SEED=n` tells history n.
#[test]
fn random_histories() {
    if let Some(seed) = matrix::number("SEED") {
        if std::env::var_os("LOG").is_some() {
            let log = tracing_subscriber::fmt().without_time().with_max_level(tracing::Level::DEBUG);
            log.with_ansi(false).with_writer(std::io::stderr).init();
        }
        let mut scenario = scenario(seed);
        scenario.account.keep_text = true;
        let report = program::run(seed, &scenario);
        eprintln!("{}", report.story());
        assert!(report.ok(), "seed {seed} breaks something");
        return;
    }
    let asked = matrix::number("SEEDS");
    let count = asked.unwrap_or(100);
    seeds(matrix::number("FROM").unwrap_or(0), count, asked.is_some()).expect_no_failure("swarm");
}

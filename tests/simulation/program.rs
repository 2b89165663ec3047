//! The program itself, exactly as the binary composes it, under the settings that the rules speak of.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Mutex;

use iam_user_controller::app;
use iam_user_controller::config::{self, Settings};
use iam_user_controller::core::time::Timestamp;
use iam_user_controller::ports::{Ports, Record};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::account::{ReplicaPorts, World};
use crate::harness::{self, Report, Scenario};
use crate::invariants::Rules;

/// What the operator has configured, so that the program and the invariants mean the same.
pub(crate) fn settings(rules: &Rules) -> Settings {
    let mut settings = written(rules);
    let policy = &rules.policy;
    settings.keys.rotate_after = policy.rotate_after;
    settings.keys.delete_after = policy.delete_after;
    settings.keys.min_overlap = policy.min_overlap;
    settings.keys.foreign = policy.foreign;
    settings.keys.verify = policy.verify;
    settings.keys.verify_timeout = policy.verify_timeout;
    settings.users.adopt = policy.adopt;
    settings.users.permissions_boundary = policy.boundary.clone();
    settings.orphans.scope = rules.scope;
    settings.orphans.action = rules.action;
    settings.orphans.include_console_users = policy.include_console_users;
    settings.sweep.full_every = rules.full_every;
    settings.orphans.min_age = rules.orphan_min_age;
    settings.orphans.sweeps = rules.orphan_sweeps;
    (settings.deletions.max_count, _, settings.deletions.window) = rules.brake;
    settings
}

/// Settings as they are read from the environment: as many as differ in what only text can say.
/// Reading them takes longer than a history does, so each is read once.
fn written(rules: &Rules) -> Settings {
    type Key = (String, Vec<String>, u32);
    static READ: Mutex<BTreeMap<Key, Settings>> = Mutex::new(BTreeMap::new());
    let (_, percent, _) = rules.brake;
    let key = (rules.policy.table.clone(), rules.protect.clone(), percent);
    let mut read = READ.lock().expect("nobody panics with it");
    if let Some(settings) = read.get(&key) {
        return settings.clone();
    }
    let protect: Vec<String> = rules.protect.iter().map(|pattern| format!("\"{pattern}\"")).collect();
    let env = [
        ("TABLE__NAME", rules.policy.table.clone()),
        ("ORPHANS__PROTECT", format!("[{}]", protect.join(","))),
        ("DELETIONS__MAX_PERCENT", percent.to_string()),
        // Polls that find nothing are most of a history; the feed's pace is not what is tested here.
        ("STREAM__POLL_INTERVAL", "1s".to_owned()),
        ("STREAM__IDLE_INTERVAL", "5s".to_owned()),
    ];
    let env = env.into_iter().map(|(key, value)| (format!("IUC_{key}"), value));
    let settings = config::load(None, env).expect("settings that the program accepts");
    read.insert(key, settings.clone());
    settings
}

/// The settings of a process that starts now: they name the table that there is.
pub(crate) fn settings_of(ports: &ReplicaPorts, settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.table.name.clone_from(&ports.account().lock().table.name);
    settings
}

/// One process of the program, from its start to its end, on any ports.
pub(crate) async fn process<P: Ports>(
    ports: P,
    settings: Settings,
    metrics: Registry,
    holder: String,
    shutdown: CancellationToken,
) {
    let ended = app::run(ports, settings, metrics, None, holder, shutdown).await;
    // The simulated account always has its tables: there is nothing that a person would have to mend.
    if let Err(error) = ended {
        panic!("the program gave up: {error}");
    }
}

/// Who a process is, to other replicas.
pub(crate) fn holder(ports: &ReplicaPorts) -> String {
    format!("replica-{}-{}", ports.replica(), ports.incarnation())
}

/// One history of the program as it is.
pub(crate) fn run(seed: u64, scenario: &Scenario) -> Report {
    let settings = settings(&scenario.account.rules);
    let processes = RefCell::new(Vec::new());
    let mut report = harness::run(seed, scenario, |ports, shutdown| {
        let (holder, metrics) = (holder(&ports), Registry::new());
        processes.borrow_mut().push(metrics.clone());
        let settings = settings_of(&ports, &settings);
        process(ports, settings, metrics, holder, shutdown)
    });
    for family in processes.into_inner().iter().flat_map(Registry::gather) {
        if family.name() != "iam_user_controller_actions_total" {
            continue;
        }
        for metric in family.get_metric() {
            let label = |name| metric.get_label().iter().find(|label| label.name() == name);
            if let (Some(action), Some("ok")) = (label("action"), label("outcome").map(|label| label.value()))
            {
                *report.steps.entry(action.value().to_owned()).or_default() +=
                    metric.get_counter().get_value() as u64;
            }
        }
    }
    report
}

/// `iam-user-controller deletions resume`: a command in the state table.
pub(crate) fn resume(world: &mut World) {
    let at = Timestamp::from_millis(world.now);
    let body = format!(r#"{{"id":"{}","kind":"resume","at":"{at}"}}"#, world.now);
    let id = app::COMMAND_RECORD.to_owned();
    world.state.records.insert(id.clone(), Record { id, body, token: 0 });
}

//! The program itself, exactly as the binary composes it, under the settings that the rules speak of.

use std::time::Duration;

use iam_user_controller::app;
use iam_user_controller::config::{self, Settings};
use iam_user_controller::core::policy::{Adopt, ForeignKeys, OrphanAction, OrphanScope};
use iam_user_controller::ports::{Ports, Record};
use tokio_util::sync::CancellationToken;

use crate::account::{ReplicaPorts, World};
use crate::harness::{self, Report, Scenario};
use crate::invariants::Rules;

/// What the operator has configured, so that the program and the invariants mean the same.
pub(crate) fn settings(rules: &Rules) -> Settings {
    let policy = &rules.policy;
    let seconds = |time: Duration| format!("{}s", time.as_secs());
    let list = |items: &[String]| {
        format!("[{}]", items.iter().map(|i| format!("\"{i}\"")).collect::<Vec<_>>().join(","))
    };
    let (count, percent, window) = rules.brake;
    let mut env = vec![
        ("TABLE__NAME", policy.table.clone()),
        ("KEYS__ROTATE_AFTER", seconds(policy.rotate_after)),
        ("KEYS__DELETE_AFTER", seconds(policy.delete_after)),
        ("KEYS__MIN_OVERLAP", seconds(policy.min_overlap)),
        ("KEYS__VERIFY", policy.verify.to_string()),
        ("KEYS__VERIFY_TIMEOUT", seconds(policy.verify_timeout)),
        ("ORPHANS__PROTECT", list(&rules.protect)),
        ("ORPHANS__MIN_AGE", seconds(rules.orphan_min_age)),
        ("DELETIONS__MAX_COUNT", count.to_string()),
        ("DELETIONS__MAX_PERCENT", percent.to_string()),
        ("DELETIONS__WINDOW", seconds(window)),
        // Every user is looked at in full between the end of the faults and the end of the silence.
        ("SWEEP__FULL_EVERY", "50s".to_owned()),
        // Polls that find nothing are most of a history; the feed's pace is not what is tested here.
        ("STREAM__POLL_INTERVAL", "1s".to_owned()),
        ("STREAM__IDLE_INTERVAL", "5s".to_owned()),
    ];
    env.push((
        "KEYS__FOREIGN",
        match policy.foreign {
            ForeignKeys::Report => "report",
            ForeignKeys::Revoke => "revoke",
        }
        .to_owned(),
    ));
    env.push((
        "USERS__ADOPT",
        match policy.adopt {
            Adopt::Never => "never",
            Adopt::Tagged => "tagged",
            Adopt::Always => "always",
        }
        .to_owned(),
    ));
    env.push((
        "ORPHANS__SCOPE",
        match rules.scope {
            OrphanScope::Owned => "owned",
            OrphanScope::Account => "account",
        }
        .to_owned(),
    ));
    env.push((
        "ORPHANS__ACTION",
        match rules.action {
            OrphanAction::Delete => "delete",
            OrphanAction::Report => "report",
        }
        .to_owned(),
    ));
    env.extend(policy.boundary.clone().map(|arn| ("USERS__PERMISSIONS_BOUNDARY", arn)));
    let env = env.into_iter().map(|(key, value)| (format!("IUC_{key}"), value));
    config::load(None, env).expect("settings that the program accepts")
}

/// One process of the program, from its start to its end, on any ports.
pub(crate) async fn process<P: Ports>(
    ports: P,
    settings: Settings,
    holder: String,
    shutdown: CancellationToken,
) {
    let metrics = prometheus::Registry::new();
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
    harness::run(seed, scenario, |ports, shutdown| {
        let holder = holder(&ports);
        process(ports, settings.clone(), holder, shutdown)
    })
}

/// `iam-user-controller deletions resume`: a command in the state table.
pub(crate) fn resume(world: &mut World) {
    let body = format!(r#"{{"id":"{}","kind":"resume"}}"#, world.now);
    let id = app::COMMAND_RECORD.to_owned();
    world.state.records.insert(id.clone(), Record { id, body, token: 0 });
}

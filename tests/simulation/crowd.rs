//! Many rows at once, under AWS's quotas: SSM takes three parameters a second, and a new key is proven within a
//! minute or given up. Nobody's key may be given up for having to wait in line, and few calls may be refused:
//! the limits are shared with everybody in the account.

use crate::account::{AccountSettings, Quotas};
use crate::harness::{Report, Scenario};
use crate::invariants::Rules;
use crate::program;
use crate::stories::put;

const USERS: u64 = 600;

/// SSM's default quotas; IAM's limit is not published.
const LIMITS: &[(&str, u32)] = &[("iam:", 20), ("ssm:GetParameter", 40), ("ssm:PutParameter", 3)];

/// Six hundred new rows, with so many repetitions of a throttled call behind the port.
fn crowd(hidden_retries: u32) -> Report {
    let mut account = AccountSettings::new(Rules::contract());
    account.conduct.page = 1_000;
    account.conduct.batch = 1_000;
    account.conduct.travel_ms = (5, 50);
    // As long as IAM may need to spread a key: hardly any is proven at once.
    account.conduct.spread_ms = 10_000;
    account.conduct.limits = LIMITS;
    account.conduct.hidden_retries = hidden_retries;
    let mut scenario = Scenario::new("crowd", account);
    scenario.max_calls = 500_000;
    for number in 0..USERS {
        scenario = scenario.before([put(&format!("user-{number:04}"))]);
    }
    program::run(1, &scenario)
}

fn told(what: &str, report: &Report) {
    let steps = |action: &str| report.steps.get(action).copied().unwrap_or_default();
    eprintln!(
        "{what}: {USERS} users, {} keys minted, {} deleted, {} calls, all done after {:.0} s",
        steps("create_key"),
        steps("delete_key"),
        report.calls,
        report.sent.last().map_or(0.0, |(at, ..)| at.as_secs_f64())
    );
    for Quotas { calls, attempts, refused, first_second, .. } in &report.quotas {
        eprintln!(
            "  {calls}: {refused} of {attempts} attempts refused ({:.1} %), {first_second} in the first second",
            share(*refused, *attempts) * 100.0
        );
    }
}

fn share(refused: u64, attempts: u64) -> f64 {
    refused as f64 / attempts.max(1) as f64
}

fn quota<'a>(report: &'a Report, calls: &str) -> &'a Quotas {
    report.quotas.iter().find(|quota| quota.calls == calls).expect("a quota")
}

#[test]
fn each_of_many_users_that_come_at_once_has_one_key_minted_and_few_calls_are_refused() {
    let report = crowd(0);
    told("crowd", &report);
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    let steps = |action: &str| report.steps.get(action).copied().unwrap_or_default();
    assert_eq!((steps("create_user"), steps("create_key"), steps("delete_key")), (USERS, USERS, 0));
    let (iam, reads) = (quota(&report, "iam:"), quota(&report, "ssm:GetParameter"));
    assert!(share(iam.refused, iam.attempts) < 0.02, "{iam:?}");
    assert!(share(reads.refused, reads.attempts) < 0.02, "{reads:?}");
    assert!(reads.first_second <= 10, "{reads:?}");
}

/// Why the adapters send paced calls once: repetitions that the limiter does not hear of hide refusals from it.
#[test]
fn repetitions_below_the_limiter_would_hide_that_aws_refuses() {
    let report = crowd(2);
    told("crowd, with two repetitions behind the port", &report);
    let iam = quota(&report, "iam:");
    assert!(share(iam.refused, iam.attempts) > 0.02, "this shows nothing: {iam:?}");
}

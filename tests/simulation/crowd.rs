//! Many rows at once: SSM takes three parameters a second, and a new key is proven within a minute
//! or given up. Nobody's key may be given up for having to wait in line.

use crate::account::AccountSettings;
use crate::harness::Scenario;
use crate::invariants::Rules;
use crate::program;
use crate::stories::put;

const USERS: u64 = 600;

/// SSM's default quotas; IAM's limit is not published.
const LIMITS: &[(&str, u32)] = &[("iam:", 25), ("ssm:GetParameter", 40), ("ssm:PutParameter", 3)];

#[test]
fn each_of_many_users_that_come_at_once_has_one_key_minted() {
    let mut account = AccountSettings::new(Rules::contract());
    account.conduct.page = 1_000;
    account.conduct.batch = 1_000;
    account.conduct.travel_ms = (5, 50);
    // As long as IAM may need to spread a key: hardly any is proven at once.
    account.conduct.spread_ms = 10_000;
    account.conduct.limits = LIMITS;
    let mut scenario = Scenario::new("crowd", account);
    scenario.max_calls = 500_000;
    for number in 0..USERS {
        scenario = scenario.before([put(&format!("user-{number:04}"))]);
    }
    let report = program::run(1, &scenario);
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    let steps = |action: &str| report.steps.get(action).copied().unwrap_or_default();
    eprintln!(
        "crowd: {USERS} users, {} keys minted, {} deleted, {} calls, all done after {:.0} s",
        steps("create_key"),
        steps("delete_key"),
        report.calls,
        report.sent.last().map_or(0.0, |(at, ..)| at.as_secs_f64())
    );
    assert_eq!((steps("create_user"), steps("create_key"), steps("delete_key")), (USERS, USERS, 0));
}

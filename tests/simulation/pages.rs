//! A list of the account that IAM answers slowly: sweeps end all the same, with smaller pages.

use crate::account::AccountSettings;
use crate::faults::Call;
use crate::harness::{Act, Scenario};
use crate::invariants::Rules;
use crate::program;
use crate::stories::{owned, put, secs};

const USERS: u64 = 260;

/// So slow that a page of 250 is not answered within half a minute, and one of 125 is.
const MS_A_USER: u64 = 130;

fn settings() -> AccountSettings {
    let mut rules = Rules::contract();
    rules.orphan_min_age = secs(30);
    rules.full_every = secs(86_400);
    rules.brake = (100, 100, secs(3_600));
    let mut account = AccountSettings::new(rules);
    account.conduct.page = 1_000;
    account.conduct.page_ms_a_user = MS_A_USER;
    account.sweep_every = secs(300);
    account
}

#[test]
fn an_account_that_is_slow_to_list_is_swept_with_smaller_pages() {
    let mut scenario = Scenario::new("slow pages", settings());
    scenario.max_calls = 500_000;
    scenario.account.keep_text = true;
    for number in 0..USERS {
        let name = format!("user-{number:04}");
        scenario = scenario.before([put(&name), owned(&name, 1, None)]);
    }
    // Only a sweep finds it.
    scenario = scenario.before([owned("orphan", 1, None)]);
    scenario = scenario.at(secs(900), Act::ModifyRow("user-0000".to_owned()));
    let report = program::run(1, &scenario);
    let lists = report.call_log.iter().filter(|made| made.call == Call::Glance).count();
    eprintln!("slow pages: {lists} pages asked for, all settled after {:?}", report.settled_after);
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    assert_eq!(report.deleted.len(), 1, "{:?}", report.deleted);
}

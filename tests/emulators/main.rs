//! The table of scenarios on an emulator of AWS, through the real adapters.
//!
//! The simulated account has to agree with AWS's documentation in every line of the table. That the
//! documentation was read rightly, and that the adapters translate it rightly, is what this shows: an
//! emulator, written by others from the same documentation, agrees too, but for the lines in
//! `differences`. A difference that is not listed fails, and so does one that is listed and not seen.
//!
//! Emulators, tables and the environment are made by `tests/e2e/test_scenarios.py`, which runs this.

#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "scenarios.rs and this know some variants of an enum; time is real here"
)]

#[cfg(test)]
mod differences;
#[cfg(test)]
mod hands;
#[cfg(test)]
#[path = "../simulation/scenarios.rs"]
mod scenarios;

#[cfg(test)]
mod tests {
    use std::env;

    use iam_user_controller::aws::{AwsPorts, AwsSettings};

    use crate::differences::{Difference, of_emulator};
    use crate::hands::AwsHands;
    use crate::scenarios::{Hands, Scenario};

    /// What `tests/e2e/test_scenarios.py` has to say.
    fn told(name: &str) -> String {
        env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run tests/e2e/test_scenarios.py"))
    }

    #[tokio::test]
    async fn the_emulator_agrees_but_for_what_is_listed() {
        let (emulator, prefix, users_table) = (told("EMULATOR"), told("PREFIX"), told("USERS_TABLE"));
        let settings = AwsSettings {
            users_table: users_table.clone(),
            state_table: told("STATE_TABLE"),
            kms_key_id: None,
            sweep_schedule: "0 0 * * * *".to_owned(),
        };
        let hands = AwsHands::new(users_table, told("POLICY")).await;
        let ports = AwsPorts::connect(&settings, &prometheus::Registry::new()).await.expect("ports");
        // Names and the policy are others in each run; the list speaks of them in general.
        let general = |text: &str| {
            let text = text.replace(&hands.policy(), "<policy>").replace(&prefix, "<prefix>");
            text.replace(&prefix.to_uppercase(), "<PREFIX>")
        };

        let (mut lines, mut seen) = (0, Vec::new());
        for scenario in Scenario::ALL {
            let result = scenario.run(&ports, &hands, &prefix).await;
            assert_eq!(result.said_twice(), None, "{scenario:?}: a line is known by its words");
            lines += result.0.len();
            for line in result.differences() {
                seen.push((*scenario, line.what, general(&line.got), general(&line.expected)));
            }
        }

        let listed = of_emulator(&emulator);
        let is = |(scenario, what, got, _): &(Scenario, &str, String, String), difference: &Difference| {
            (*scenario, *what, got.as_str()) == (difference.scenario, difference.line, difference.got)
        };
        let mut faults = Vec::new();
        for line in seen.iter().filter(|line| !listed.iter().any(|difference| is(line, difference))) {
            let (scenario, what, got, expected) = line;
            faults.push(format!("not listed: {scenario:?}, {what}: expected {expected}, got {got}"));
        }
        for difference in listed.iter().filter(|difference| !seen.iter().any(|line| is(line, difference))) {
            let Difference { scenario, line, got, reason } = difference;
            faults.push(format!("listed and not seen: {scenario:?}, {line}: {got} ({reason})"));
        }
        assert!(faults.is_empty(), "{emulator}:\n{}", faults.join("\n"));
        eprintln!(
            "{emulator}: {} of {lines} lines agree, {} differ as listed",
            lines - seen.len(),
            seen.len()
        );
    }
}

//! `plan`: what would be done, and why, in the manner of `terraform plan`.

use std::process::ExitCode;

use super::args::PlanArgs;
use super::{CHANGES, FAILED, fail, say, say_json};
use crate::config::Settings;
use crate::core::plan::State;

use crate::ports::{CallError, Identity, Ports};
use crate::survey::{Planned, Survey, Surveyor};

/// Prints the next change of everybody, or of one user.
pub async fn run<P: Ports>(ports: &P, settings: &Settings, args: &PlanArgs) -> ExitCode {
    match survey(ports, settings, args).await {
        Ok(survey) => {
            if args.json {
                say_json(&survey);
            } else {
                say(text(&survey));
            }
            let changes = survey.users.iter().any(Planned::changes);
            if changes && args.detailed_exitcode { ExitCode::from(CHANGES) } else { ExitCode::SUCCESS }
        }
        Err(error) => fail(FAILED, format_args!("nothing was planned: {error}")),
    }
}

async fn survey<P: Ports>(ports: &P, settings: &Settings, args: &PlanArgs) -> Result<Survey, CallError> {
    let own_user = ports.identity().caller().await?.own_user();
    let surveyor = Surveyor { ports, settings, own_user };
    match &args.user {
        None => surveyor.everybody().await,
        Some(name) => surveyor.only(name).await,
    }
}

/// Changes first, then what needs a person, then a line that counts.
fn text(survey: &Survey) -> String {
    let mut lines = Vec::new();
    let mut changes = 0;
    for planned in survey.users.iter().filter(|planned| planned.changes()) {
        changes += 1;
        let sign = match planned.action {
            "create_user" => '+',
            "delete_user" | "delete_key" | "delete_parameter" => '-',
            _ => '~',
        };
        let key = planned.key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
        lines.push(format!("  {sign} {}: {}{key}", planned.name, planned.action.replace('_', " ")));
        lines.push(format!("      {} (rule {})", planned.why, planned.rule));
    }
    for planned in survey.users.iter().filter(|planned| !planned.changes()) {
        match planned.state {
            Some(state @ (State::Invalid | State::Conflict | State::Blocked | State::Failed)) => {
                lines.push(format!("  ! {}: {}", planned.name, state.as_str()));
                lines.push(format!("      {}", planned.why));
            }
            Some(state @ (State::Pending | State::Deleting)) => {
                lines.push(format!("  … {}: {}: {}", planned.name, state.as_str(), planned.why));
            }
            Some(State::Ready) | None => {}
        }
    }
    let ready = survey.users.iter().filter(|planned| planned.state == Some(State::Ready)).count();
    if changes == 0 {
        lines.push(format!(
            "No changes. {ready} of {} users are as the table wants them.",
            survey.users.len()
        ));
    } else {
        lines.push(format!("Plan: {changes} users to change, {ready} as the table wants them."));
        lines.push("Shown is the next change of each; a new key, for one, is several.".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(name: &str, action: &'static str, state: State, why: &str) -> Planned {
        Planned { name: name.into(), action, key: None, rule: "a_rule", why: why.into(), state: Some(state) }
    }

    #[test]
    fn reads_like_a_plan() {
        let users = vec![
            planned("a", "none", State::Ready, ""),
            planned("admin", "none", State::Conflict, "it is somebody else's"),
            planned("new", "create_user", State::Pending, "it has a row and no IAM user"),
        ];
        let expected = "  + new: create user\n      it has a row and no IAM user (rule a_rule)\n  ! admin: conflict\n      \
                        it is somebody else's\nPlan: 1 users to change, 1 as the table wants them.\nShown is the next \
                        change of each; a new key, for one, is several.";
        assert_eq!(text(&Survey { rows: 3, owned_users: 1, users, ..Survey::default() }), expected);
        assert_eq!(text(&Survey::default()), "No changes. 0 of 0 users are as the table wants them.");
    }
}

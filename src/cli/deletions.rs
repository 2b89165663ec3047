//! `deletions status` and `deletions resume`.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::process::ExitCode;

use super::args::{DeletionsCommand, ResumeArgs};
use super::ask::{Asked, CommandError, Free, ask_leader};
use super::{HELD, fail, say};
use crate::app::{self, CommandKind};
use crate::brakes::{self, Brakes};
use crate::config::Settings;
use crate::core::brake::{Brake, BrakeSettings, Consent};
use crate::core::time::Timestamp;
use crate::leaderships;
use crate::ports::{Ports, StateStore};
use crate::reconcile::AwsTime;

/// Shows or resumes held deletions.
pub async fn run<P: Ports>(
    ports: &P,
    settings: &Settings,
    command: DeletionsCommand,
    holder: String,
) -> ExitCode {
    let done = match command {
        DeletionsCommand::Status => status(ports, settings).await,
        DeletionsCommand::Resume(args) => {
            resume(ports, settings, args, holder).await.map(|text| (text, ExitCode::SUCCESS))
        }
    };
    match done {
        Ok((text, code)) => {
            say(text);
            code
        }
        Err(error) => fail(error.code(), error),
    }
}

fn brake_settings(settings: &Settings) -> BrakeSettings {
    BrakeSettings {
        max_count: settings.deletions.max_count,
        max_percent: settings.deletions.max_percent.get(),
        window: settings.deletions.window,
    }
}

/// The brake as the state table has it. One that has never led is the wrong one, not one that holds
/// nothing.
async fn stored_brake<P: Ports>(ports: &P, settings: &Settings) -> Result<Brake, CommandError> {
    let records = ports.state().load().await?;
    if !leaderships::has_led_for(&records, &settings.table.name) {
        let (state, table) = (&settings.state.table, &settings.table.name);
        return Err(CommandError::Refused(format!(
            "the state table {state} has never led for the users table {table}, so that it says nothing about its \
             deletions: set state.table to the service's"
        )));
    }
    Ok(brakes::read(&records))
}

async fn status<P: Ports>(ports: &P, settings: &Settings) -> Result<(String, ExitCode), CommandError> {
    let brake = stored_brake(ports, settings).await?;
    let text = text(&brake, AwsTime::of(ports.clock()).now, brake_settings(settings));
    Ok((text, if brake.holds().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(HELD) }))
}

/// Names everybody who is held, unlike the log and `/status`: these are whom `deletions resume` lets go.
fn text(brake: &Brake, now: Timestamp, settings: BrakeSettings) -> String {
    let status = brake.status(now, settings);
    let mut lines = Vec::new();
    match &status.digest {
        None => lines.push("Deletions are not held.".to_owned()),
        Some(digest) => {
            for hold in &status.holds {
                lines.push(format!("Deletions are held since {}: {}", hold.since, hold.cause.as_str()));
            }
            lines.push(format!("{} users would be deleted:", status.held));
            lines.extend(brake.held().map(|name| format!("  {name}")));
            lines.push("To let these go, and none that is added later:".to_owned());
            lines.push(format!("iam-user-controller deletions resume {digest}"));
        }
    }
    let (count, percent) = (status.max_count, status.max_percent);
    lines.push(format!("{} deletions count in this window, of {count} or {percent} %.", status.spent));
    lines.join("\n")
}

async fn resume<P: Ports>(
    ports: &P,
    settings: &Settings,
    args: ResumeArgs,
    holder: String,
) -> Result<String, CommandError> {
    if settings.dry_run {
        return Err(CommandError::DryRun);
    }
    let consent = match args {
        ResumeArgs { all: true, .. } => Consent::All,
        ResumeArgs { digest: Some(digest), .. } => Consent::Shown(digest),
        ResumeArgs { digest: None, all: false } => match ask_person(ports, settings).await? {
            Some(consent) => consent,
            None => return Ok("Nothing was resumed.".to_owned()),
        },
    };
    let names =
        match ask_leader(ports, settings, CommandKind::Resume { consent: Some(consent) }, holder).await? {
            Asked::Leader(answer) => answer.resumed,
            Asked::Nobody(free) => resume_alone(ports, settings, consent, free).await?,
        };
    if names.is_empty() {
        return Ok("Resumed. Nothing was held.".to_owned());
    }
    Ok(format!("Resumed. {} users may be deleted now:\n  {}", names.len(), names.join("\n  ")))
}

/// Shows what is held, and asks. `None`: no.
async fn ask_person<P: Ports>(ports: &P, settings: &Settings) -> Result<Option<Consent>, CommandError> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(CommandError::Refused(
            "say what to resume: the digest that `deletions status` shows with its list, or --all for whatever is \
             held now"
                .to_owned(),
        ));
    }
    let brake = stored_brake(ports, settings).await?;
    say(text(&brake, AwsTime::of(ports.clock()).now, brake_settings(settings)));
    let Some(digest) = brake.digest() else { return Ok(None) };
    // A terminal that is gone is no consent.
    let _ = write!(stderr(), "Let these go? Deleted users and keys do not come back. [y/N] ");
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer).unwrap_or(0);
    let yes = read > 0 && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    Ok(yes.then_some(Consent::Shown(digest)))
}

/// Nobody leads: resumes under a lease of our own.
async fn resume_alone<P: Ports>(
    ports: &P,
    settings: &Settings,
    consent: Consent,
    free: Free<P>,
) -> Result<Vec<String>, CommandError> {
    let Free { lease, table_arn } = free;
    let records = ports.state().load().await?;
    let own = settings.fingerprint();
    if let Err(refused) = app::permit(&records, &settings.state.table, &table_arn, &own, false) {
        lease.release().await?;
        return Err(refused.into());
    }
    let brakes = Brakes::load(ports.clone(), lease.guard(), brake_settings(settings), &records);
    let resumed = brakes.resume(consent, AwsTime::of(ports.clock()).now).await?;
    lease.release().await?;
    let names = resumed.map_err(|stale| CommandError::Failed(stale.to_string()))?;
    Ok(names.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::user::{UserId, UserName};

    const SETTINGS: BrakeSettings =
        BrakeSettings { max_count: 10, max_percent: 20, window: Duration::from_secs(3_600) };

    #[test]
    fn everybody_who_is_held_is_named_with_the_digest_of_the_list() {
        let now = Timestamp::from_secs(1_767_225_600);
        let name = |number: usize| UserName::parse(&format!("user-{number:04}")).unwrap();
        let orphans: Vec<_> = (0..4_000).map(|n| (name(n), UserId(format!("AIDA{n}")))).collect();
        let mut brake = Brake::default();
        brake.ask_many(orphans.iter().map(|(name, id)| (name, id)), now, Some(5_000), SETTINGS);
        brake.mark_additions(&Brake::default(), now);
        let told = text(&brake, now, SETTINGS);
        assert!(told.contains(": budget\n4000 users would be deleted:\n"), "{told}");
        let named: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        assert_eq!(named, orphans.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
        let digest = brake.digest().unwrap();
        assert!(told.contains(&format!("\niam-user-controller deletions resume {digest}\n")), "{told}");

        let told = text(&Brake::default(), now, SETTINGS);
        assert_eq!(told, "Deletions are not held.\n0 deletions count in this window, of 10 or 20 %.");
    }
}

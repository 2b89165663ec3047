//! `deletions status` and `deletions resume`.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time;

use super::args::DeletionsCommand;
use super::{FAILED, fail, say};
use crate::app::{Answer, COMMAND_RECORD, Command, CommandKind, RESULT_RECORD};
use crate::brakes::{self, Brakes};
use crate::config::Settings;
use crate::core::brake::{Brake, BrakeSettings};
use crate::core::time::Timestamp;
use crate::lease::{Lease, LeaseError, Watch, Watcher};
use crate::ports::{CallError, Clock, Ports, Record, StateError, StateStore};
use crate::reconcile::AwsTime;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The state table did not answer.
    #[error(transparent)]
    State(#[from] StateError),
    /// The lease could not be read or taken.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Another command waits.
    #[error("another command waits for the leader; try again in a few seconds")]
    Busy,
    /// The leader did not answer.
    #[error("the leader {holder} did not answer within {patience:?}; look at its log")]
    Silent {
        /// Who leads.
        holder: String,
        /// How long it was waited for.
        patience: Duration,
    },
    /// `dry_run` is set.
    #[error("dry_run is set, which changes nothing: nothing was resumed")]
    DryRun,
    /// The leader could not do it.
    #[error("{0}")]
    Failed(String),
}

impl From<CallError> for CommandError {
    fn from(error: CallError) -> Self {
        Self::State(error.into())
    }
}

/// Shows or resumes held deletions.
pub async fn run<P: Ports>(
    ports: &P,
    settings: &Settings,
    command: DeletionsCommand,
    holder: String,
) -> ExitCode {
    let done = match command {
        DeletionsCommand::Status => status(ports, settings).await,
        DeletionsCommand::Resume => resume(ports, settings, holder).await,
    };
    match done {
        Ok(text) => {
            say(text);
            ExitCode::SUCCESS
        }
        Err(error) => fail(FAILED, error),
    }
}

fn brake_settings(settings: &Settings) -> BrakeSettings {
    BrakeSettings {
        max_count: settings.deletions.max_count,
        max_percent: settings.deletions.max_percent.get(),
        window: settings.deletions.window,
    }
}

async fn status<P: Ports>(ports: &P, settings: &Settings) -> Result<String, CommandError> {
    let records: Vec<_> = ports.state().get(brakes::RECORD).await?.into_iter().collect();
    let now = AwsTime::of(ports.clock()).now;
    Ok(text(&brakes::read(&records), now, brake_settings(settings)))
}

/// Names everybody who is held, unlike the log and `/status`: these are whom `deletions resume` lets go.
fn text(brake: &Brake, now: Timestamp, settings: BrakeSettings) -> String {
    let status = brake.status(now, settings);
    let mut lines = Vec::new();
    if status.holds.is_empty() {
        lines.push("Deletions are not held.".to_owned());
    } else {
        for hold in &status.holds {
            lines.push(format!("Deletions are held since {}: {}", hold.since, hold.cause.as_str()));
        }
        lines.push(format!("{} users would be deleted:", status.held));
        lines.extend(brake.held().map(|name| format!("  {name}")));
        lines.push("`iam-user-controller deletions resume` lets exactly these go.".to_owned());
    }
    let (count, percent) = (status.max_count, status.max_percent);
    lines.push(format!("{} deletions count in this window, of {count} or {percent} %.", status.spent));
    lines.join("\n")
}

async fn resume<P: Ports>(ports: &P, settings: &Settings, holder: String) -> Result<String, CommandError> {
    if settings.dry_run {
        return Err(CommandError::DryRun);
    }
    let names = match ask_leader(ports, settings, CommandKind::Resume, holder).await? {
        Asked::Leader(answer) => answer.resumed,
        Asked::Nobody(lease) => {
            let records: Vec<_> = ports.state().get(brakes::RECORD).await?.into_iter().collect();
            let brakes = Brakes::load(ports.clone(), lease.guard(), brake_settings(settings), &records);
            let names = brakes.resume(AwsTime::of(ports.clock()).now).await?;
            lease.release().await?;
            names.iter().map(ToString::to_string).collect()
        }
    };
    if names.is_empty() {
        return Ok("Resumed. Nothing was held.".to_owned());
    }
    Ok(format!("Resumed. {} users may be deleted now:\n  {}", names.len(), names.join("\n  ")))
}

/// Who carries a command out.
pub(super) enum Asked<P: Ports> {
    /// The leader did.
    Leader(Answer),
    /// There is no leader: whoever asks may, under this lease.
    Nobody(Lease<P>),
}

/// Leaves a command to the leader and waits for its answer, or takes the lease when nobody leads.
pub(super) async fn ask_leader<P: Ports>(
    ports: &P,
    settings: &Settings,
    kind: CommandKind,
    holder: String,
) -> Result<Asked<P>, CommandError> {
    ports.state().check().await?.map_err(CommandError::Failed)?;
    let mut watcher = Watcher::new(ports.clone(), holder, settings.lease.ttl);
    let id = format!("{:016x}", ports.clock().random());
    let (begun, at) = (ports.clock().monotonic(), AwsTime::of(ports.clock()).now);
    let mut left = false;
    loop {
        let leader = match watcher.look().await? {
            Watch::Taken(lease) => {
                if left {
                    ports.state().delete(COMMAND_RECORD, lease.guard().token()).await?;
                }
                return Ok(Asked::Nobody(lease));
            }
            Watch::Standby(leader) => leader,
        };
        if let Some(answer) = answer(ports, &id).await? {
            return match answer.error {
                Some(error) => Err(CommandError::Failed(error)),
                None => Ok(Asked::Leader(answer)),
            };
        }
        if !left {
            leave(ports, &Command { id: id.clone(), kind, at }).await?;
            left = true;
        }
        let patience = kind.patience();
        if ports.clock().monotonic().saturating_sub(begun) > patience {
            // Nobody waits for it any more.
            ports.state().delete(COMMAND_RECORD, 0).await?;
            return Err(CommandError::Silent { holder: leader.holder, patience });
        }
        time::sleep(watcher.pause()).await;
    }
}

async fn answer<P: Ports>(ports: &P, id: &str) -> Result<Option<Answer>, CommandError> {
    let record = ports.state().get(RESULT_RECORD).await?;
    let answer = record.and_then(|record| serde_json::from_str::<Answer>(&record.body).ok());
    Ok(answer.filter(|answer| answer.id == id))
}

async fn leave<P: Ports>(ports: &P, command: &Command) -> Result<(), CommandError> {
    let body = serde_json::to_string(command).unwrap_or_default();
    // Token 0: a command conditions nothing, and whoever leads may remove it.
    let record = Record { id: COMMAND_RECORD.to_owned(), body, token: 0 };
    match ports.state().swap(None, &record).await {
        Err(StateError::Fenced) => Err(CommandError::Busy),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::user::{UserId, UserName};

    const SETTINGS: BrakeSettings =
        BrakeSettings { max_count: 10, max_percent: 20, window: Duration::from_secs(3_600) };

    #[test]
    fn everybody_who_is_held_is_named() {
        let now = Timestamp::from_secs(1_767_225_600);
        let name = |number: usize| UserName::parse(&format!("user-{number:04}")).unwrap();
        let orphans: Vec<_> = (0..4_000).map(|n| (name(n), UserId(format!("AIDA{n}")))).collect();
        let mut brake = Brake::default();
        brake.ask_many(orphans.iter().map(|(name, id)| (name, id)), now, Some(5_000), SETTINGS);
        let told = text(&brake, now, SETTINGS);
        assert!(told.contains(": budget\n4000 users would be deleted:\n"), "{told}");
        let named: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        assert_eq!(named, orphans.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());

        let told = text(&Brake::default(), now, SETTINGS);
        assert_eq!(told, "Deletions are not held.\n0 deletions count in this window, of 10 or 20 %.");
    }
}

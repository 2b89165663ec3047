//! How a command reaches the leader: through the state table. Where nobody leads, the command gets the
//! lease, and may do the work by itself.

use std::time::Duration;

use tokio::time;

use crate::app::{Answer, COMMAND_RECORD, Command, CommandKind, RESULT_RECORD, Refused};
use crate::config::Settings;
use crate::lease::{Lease, LeaseError, Watch, Watcher};
use crate::ports::{CallError, Clock, Ports, Record, StateError, StateStore, UsersTable};
use crate::reconcile::AwsTime;

use super::{FAILED, USAGE};

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
    /// This process has other settings, or another state table, than the service.
    #[error(transparent)]
    NotByUs(#[from] Refused),
    /// It is asked for wrongly.
    #[error("{0}")]
    Refused(String),
    /// The leader could not do it.
    #[error("{0}")]
    Failed(String),
}

impl From<CallError> for CommandError {
    fn from(error: CallError) -> Self {
        Self::State(error.into())
    }
}

impl CommandError {
    /// The exit code that tells it.
    pub fn code(&self) -> u8 {
        match self {
            Self::NotByUs(_) | Self::Refused(_) => USAGE,
            Self::State(_)
            | Self::Lease(_)
            | Self::Busy
            | Self::Silent { .. }
            | Self::DryRun
            | Self::Failed(_) => FAILED,
        }
    }
}

/// Who carries a command out.
pub(super) enum Asked<P: Ports> {
    /// The leader did.
    Leader(Answer),
    /// There is no leader: this process may, under this lease.
    Nobody(Free<P>),
}

/// What a command has to know that does the work by itself.
pub(super) struct Free<P: Ports> {
    pub(super) lease: Lease<P>,
    /// The users table's ARN.
    pub(super) table_arn: String,
}

/// Leaves a command to the leader and waits for its answer, or takes the lease when nobody leads.
pub(super) async fn ask_leader<P: Ports>(
    ports: &P,
    settings: &Settings,
    kind: CommandKind,
    holder: String,
) -> Result<Asked<P>, CommandError> {
    ports.state().check().await?.map_err(CommandError::Failed)?;
    let missing = || CommandError::Failed(format!("the users table {} does not exist", settings.table.name));
    let table_arn = ports.users_table().describe().await?.ok_or_else(missing)?.arn;
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
                return Ok(Asked::Nobody(Free { lease, table_arn }));
            }
            Watch::Standby(leader) => leader,
        };
        if let Some(answer) = answer(ports, &id).await? {
            return match (answer.refusal.clone(), answer.error.clone()) {
                (Some(refusal), _) => Err(CommandError::Refused(refusal)),
                (None, Some(error)) => Err(CommandError::Failed(error)),
                (None, None) => Ok(Asked::Leader(answer)),
            };
        }
        if !left {
            leave(ports, &Command { id: id.clone(), kind, at, table: table_arn.clone() }).await?;
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

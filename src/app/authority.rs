//! Whether this process may lead, with this state table and these settings; asked before anything is
//! changed under a lease.
//!
//! A *service* leads with whatever settings it has: that is how settings change. It says what has changed,
//! and notes its own. A *command* that has to do the work itself must have those of the service.
//!
//! A state table that has never led for the users table may be the wrong one, where another one is. Users
//! that are sealed for the table by another key tell: then nothing is changed until an operator says with
//! `sweep --first` that this state table is the one.

use std::fmt;
use std::time::Duration;

use tokio::time;

use super::command::{Command, CommandKind, Mailbox};
use super::leadership::Ended;
use super::{AppError, Common, Mode};
use crate::core::leadership::{Fingerprint, Leadership, Refusal, may_work_alone};
use crate::core::ownership::Ownership;
use crate::core::time::Timestamp;
use crate::leaderships;
use crate::lease::Guard;
use crate::pace::Pace;
use crate::ports::{Clock, Ports, Record, StateError};
use crate::reconcile::AwsTime;
use crate::sweep;

/// Pause before a call to the state table that failed is repeated.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a leader that changes nothing looks for the operator's word.
const LOOK: Duration = Duration::from_secs(2);

/// More names than this are not told in one line.
const NAMED: usize = 100;

/// Why a command is not carried out by the process that was asked: what an operator has to set, or say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Refused {
    fn of(refusal: &Refusal, state_table: &str, table_arn: &str) -> Self {
        Self(match refusal {
            Refusal::NeverLed => format!(
                "the state table {state_table} has never led for {table_arn}: it is the wrong one where a service has \
                 another, whose keys in hand and removals would be disturbed. Set state.table to the service's, or, if \
                 this is the one, say so with `sweep --first`"
            ),
            Refusal::OtherSettings(differences) => {
                let lines: Vec<_> =
                    differences.iter().map(|difference| format!("\n  {difference}")).collect();
                format!(
                    "no leader answers, and this process has other settings than the service had, so that one would undo \
                     what the other does. Give it the service's settings:{}",
                    lines.concat()
                )
            }
        })
    }
}

/// Whether a command may do the work of a leader by itself, under a lease.
///
/// # Errors
/// See [`Refused`]; nothing may be changed then.
pub fn permit(
    records: &[Record],
    state_table: &str,
    table_arn: &str,
    own: &Fingerprint,
    first: bool,
) -> Result<(), Refused> {
    let stored = leaderships::find(records, table_arn).map(|found| {
        // Of one that cannot be read nothing is known but that it has led: all settings differ.
        found.unwrap_or_else(|_| Leadership { first: Timestamp::default(), settings: Fingerprint::default() })
    });
    let permitted = may_work_alone(stored.as_ref(), own, first);
    permitted.map_err(|refusal| Refused::of(&refusal, state_table, table_arn))
}

/// Finds out whether anything may be changed under this lease, and notes by which settings. Gives since
/// when this state table leads for the users table.
///
/// Does not return while it may not.
///
/// # Errors
/// How the leadership ends instead.
pub(super) async fn establish<P: Ports>(
    common: &Common<P>,
    lease: &Guard<P>,
    records: &[Record],
    ownership: &Ownership,
) -> Result<Timestamp, Ended> {
    let (settings, arn) = (common.settings.fingerprint(), &common.started.table_arn);
    if let Mode::OneSweep { first } = common.mode {
        permit(records, &common.settings.state.table, arn, &settings, first)
            .map_err(|refused| Ended::Failed(AppError::Refused(refused)))?;
    }
    let now = AwsTime::latest(common.ports.clock());
    let stored = match leaderships::find(records, arn) {
        Some(Ok(stored)) => Some(stored),
        Some(Err(error)) => {
            tracing::error!(error, "since when this state table leads is not known: it counts from now on");
            Some(Leadership { first: now, settings: Fingerprint::default() })
        }
        None => None,
    };
    let first = match &stored {
        Some(stored) => stored.first,
        None => prove_first(common, lease, ownership, now).await?,
    };
    for difference in stored.iter().flat_map(|stored| stored.settings.differences(&settings)) {
        tracing::warn!("settings have changed: {difference}");
    }
    let leadership = Leadership { first, settings };
    if stored.as_ref() != Some(&leadership) {
        insist(|| leaderships::store(&common.ports, lease, arn, &leadership)).await?;
    }
    Ok(first)
}

/// Since when a state table leads that has never led: since now, or since an operator has said that it is
/// the one. The account is listed before anything is changed.
async fn prove_first<P: Ports>(
    common: &Common<P>,
    lease: &Guard<P>,
    ownership: &Ownership,
    now: Timestamp,
) -> Result<Timestamp, Ended> {
    if common.mode == (Mode::OneSweep { first: true }) {
        return Ok(now);
    }
    let pace = Pace::new(&common.settings.pace, common.ports.clock().monotonic());
    let users = super::insist(|| sweep::list_users(&common.ports, &pace, &common.pages)).await;
    let otherwise =
        users.iter().map(|glance| &glance.user).filter(|user| ownership.is_sealed_otherwise(user));
    let names: Vec<&str> = otherwise.map(|user| user.name.as_str()).collect();
    if names.is_empty() {
        return Ok(now);
    }
    let (count, state) = (names.len(), &common.settings.state.table);
    let cause = format!(
        "the state table {state} has never led for {}, and {count} users are sealed for it under the key of another state \
         table: nothing is changed until state.table is set right, or `sweep --first` says that this one is it",
        common.started.table_arn
    );
    let (unnamed, names) = (count.saturating_sub(NAMED), names[..count.min(NAMED)].join(" "));
    tracing::error!(names, unnamed, "{cause}");
    common.status.progress().waits_for = Some(cause.clone());
    let told = wait_for_word(common, lease, cause).await;
    common.status.progress().waits_for = None;
    told?;
    tracing::warn!("an operator has said that this state table is the one");
    Ok(AwsTime::latest(common.ports.clock()))
}

/// Returns when an operator asks for a sweep with `--first`. The command stays for the loop that makes it.
async fn wait_for_word<P: Ports>(common: &Common<P>, lease: &Guard<P>, cause: String) -> Result<(), Ended> {
    let mut mailbox = Mailbox::new(common.ports.clone(), lease.clone(), common.started.table_arn.clone());
    loop {
        let turn = match mailbox.read().await {
            Ok(Some(Command { kind: CommandKind::Sweep { first: true }, .. })) => return Ok(()),
            Ok(Some(command)) => mailbox.refuse(command.id, cause.clone()).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match turn {
            Err(StateError::Fenced) => return Err(Ended::Lost("another replica has taken over".to_owned())),
            Err(StateError::Call(error)) => {
                tracing::warn!(%error, "the state table did not answer; trying again")
            }
            Ok(()) => {}
        }
        time::sleep(LOOK).await;
    }
}

/// Repeats a write until it is done.
///
/// # Errors
/// When another leader has written meanwhile.
async fn insist<F: Future<Output = Result<(), StateError>>>(write: impl Fn() -> F) -> Result<(), Ended> {
    loop {
        match write().await {
            Ok(()) => return Ok(()),
            Err(StateError::Fenced) => return Err(Ended::Lost("another replica has taken over".to_owned())),
            Err(StateError::Call(error)) => {
                tracing::warn!(%error, "the settings of this leadership could not be stored yet; trying again");
                time::sleep(PAUSE).await;
            }
        }
    }
}

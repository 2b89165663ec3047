//! What operators ask of the leader through the state table.
//!
//! `iam-user-controller sweep` and `deletions resume` never work beside a leader: they leave a
//! command in the state table, the leader carries it out and leaves the answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::brake::Consent;
use crate::core::time::Timestamp;
use crate::lease::Guard;
use crate::ports::{Ports, Record, StateError, StateStore};
use crate::reconcile::AwsTime;
use crate::sweep::SweepReport;

/// The command's record in the state table.
pub const COMMAND_RECORD: &str = "command";

/// The answer's record in the state table.
pub const RESULT_RECORD: &str = "command-result";

/// What an operator can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CommandKind {
    /// One sweep, now.
    Sweep {
        /// The operator's word that this state table is the one.
        #[serde(default)]
        first: bool,
    },
    /// Held deletions may go on.
    Resume {
        /// Which of them; a command that does not say is refused.
        #[serde(default)]
        consent: Option<Consent>,
    },
}

impl CommandKind {
    /// How long whoever asks waits for the answer. A command that nobody waits for is void: a leader
    /// that comes weeks later would let go what nobody has looked at.
    pub fn patience(self) -> Duration {
        match self {
            // A full account of 5,000 users takes a leader that is throttled by SSM half an hour.
            Self::Sweep { .. } => Duration::from_secs(3_600),
            // A leader looks every two seconds.
            Self::Resume { .. } => Duration::from_secs(60),
        }
    }
}

/// A command, as an operator leaves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Tells one command from another.
    pub id: String,
    /// What is asked for.
    #[serde(flatten)]
    pub kind: CommandKind,
    /// When, by AWS's clock.
    #[serde(default)]
    pub at: Timestamp,
    /// ARN of the users table that the operator's configuration names.
    #[serde(default)]
    pub table: String,
}

impl Command {
    fn is_void(&self, now: Timestamp) -> bool {
        now.since(self.at) > self.kind.patience()
    }
}

/// The leader's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The command's id.
    pub id: String,
    /// The sweep's report.
    #[serde(default)]
    pub report: Option<SweepReport>,
    /// Whose deletion goes on.
    #[serde(default)]
    pub resumed: Vec<String>,
    /// Why it could not be done.
    #[serde(default)]
    pub error: Option<String>,
    /// Why it is not done as it was asked for: the command line or the configuration is wrong.
    #[serde(default)]
    pub refusal: Option<String>,
}

/// Where commands come in, and answers go out.
pub(super) struct Mailbox<P: Ports> {
    ports: P,
    lease: Guard<P>,
    /// ARN of the users table that this leader serves.
    table: String,
    /// The last command that was answered.
    done: Option<String>,
}

impl<P: Ports> Mailbox<P> {
    pub(super) fn new(ports: P, lease: Guard<P>, table: String) -> Self {
        Self { ports, lease, table, done: None }
    }

    /// The command that waits for this leader, if there is one. One that nobody waits for any more, or
    /// that is for another users table, is dealt with here.
    pub(super) async fn read(&mut self) -> Result<Option<Command>, StateError> {
        let Some(record) = self.ports.state().get(COMMAND_RECORD).await? else { return Ok(None) };
        match serde_json::from_str::<Command>(&record.body) {
            Ok(command) if self.done.as_ref() == Some(&command.id) => self.forget().await.map(|()| None),
            Ok(command) if command.is_void(AwsTime::of(self.ports.clock()).now) => {
                tracing::warn!(kind = ?command.kind, at = %command.at, "nobody waits for this command any more; it is removed");
                self.forget().await.map(|()| None)
            }
            Ok(command) if command.table != self.table => {
                let asked = command.table;
                let refusal = format!("the leader serves {}, and the command is for {asked}", self.table);
                self.refuse(command.id, refusal).await.map(|()| None)
            }
            Ok(command) => Ok(Some(command)),
            Err(error) => {
                tracing::error!(%error, "a command in the state table is unreadable; it is removed");
                self.forget().await.map(|()| None)
            }
        }
    }

    /// Answers that a command is not done as it was asked for.
    pub(super) async fn refuse(&mut self, id: String, refusal: String) -> Result<(), StateError> {
        tracing::warn!(refusal, "an operator's command is refused");
        self.answer(Answer { id, refusal: Some(refusal), ..Answer::default() }).await
    }

    pub(super) async fn answer(&mut self, answer: Answer) -> Result<(), StateError> {
        self.done = Some(answer.id.clone());
        let body = serde_json::to_string(&answer).unwrap_or_default();
        let record = Record { id: RESULT_RECORD.to_owned(), body, token: self.lease.token() };
        self.ports.state().put(&record).await?;
        self.forget().await
    }

    async fn forget(&self) -> Result<(), StateError> {
        self.ports.state().delete(COMMAND_RECORD, self.lease.token()).await
    }
}

//! What operators ask of the leader through the state table, and the brake's own clockwork.
//!
//! `iam-user-controller sweep` and `deletions resume` never work beside a leader: they leave a
//! command in the state table, the leader carries it out and leaves the answer.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use super::Common;
use super::sweeps::SweepRequest;
use crate::brakes::Brakes;
use crate::core::time::Timestamp;
use crate::heartbeat::Heartbeat;
use crate::lease::Guard;
use crate::ports::{Clock, Ports, Record, StateError, StateStore};
use crate::reconcile::{AwsTime, Trigger};
use crate::status::Status;
use crate::sweep::SweepReport;
use crate::work::executor::Request;

/// The command's record in the state table.
pub const COMMAND_RECORD: &str = "command";

/// The answer's record in the state table.
pub const RESULT_RECORD: &str = "command-result";

/// How often the brake is asked who may go on.
const TURN: Duration = Duration::from_secs(1);

/// How often the leader looks for a command: one read of 0.5 units each.
const TURNS_A_LOOK: u32 = 2;

/// What an operator can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// One sweep, now.
    Sweep,
    /// Held deletions may go on.
    Resume,
}

impl CommandKind {
    /// How long whoever asks waits for the answer. A command that nobody waits for is void: a leader
    /// that comes weeks later would let go what nobody has looked at.
    pub fn patience(self) -> Duration {
        match self {
            // A full account of 5,000 users takes a leader that is throttled by SSM half an hour.
            Self::Sweep => Duration::from_secs(3_600),
            // A leader looks every two seconds.
            Self::Resume => Duration::from_secs(60),
        }
    }
}

/// A command, as an operator leaves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Tells one command from another.
    pub id: String,
    /// What is asked for.
    pub kind: CommandKind,
    /// When, by AWS's clock.
    #[serde(default)]
    pub at: Timestamp,
}

impl Command {
    fn is_void(&self, now: Timestamp) -> bool {
        now.since(self.at) > self.kind.patience()
    }
}

/// The leader's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// The loop that listens to operators.
pub(super) struct Operator<P: Ports> {
    ports: P,
    lease: Guard<P>,
    status: Status,
    brakes: Arc<Brakes<P>>,
    requests: mpsc::Sender<Request>,
    sweeps: mpsc::Sender<SweepRequest>,
    sweeping: Option<(String, oneshot::Receiver<Result<SweepReport, String>>)>,
    done: Option<String>,
    beat: Heartbeat,
}

impl<P: Ports> Operator<P> {
    pub(super) fn new(
        common: &Common<P>,
        lease: &Guard<P>,
        brakes: Arc<Brakes<P>>,
        requests: mpsc::Sender<Request>,
        sweeps: mpsc::Sender<SweepRequest>,
    ) -> Self {
        Self {
            ports: common.ports.clone(),
            lease: lease.clone(),
            status: common.status.clone(),
            brakes,
            requests,
            sweeps,
            sweeping: None,
            done: None,
            beat: common.status.beats.start("operator", common.ports.clock().monotonic()),
        }
    }

    /// Listens for ever. A failure is tried again at the next turn.
    pub(super) async fn run(mut self) {
        let mut turn = 0;
        loop {
            self.beat.beat(self.ports.clock().monotonic());
            if let Err(error) = self.turn(turn).await {
                tracing::warn!(%error, "an operator's command, or the brake, could not be stored; trying again");
            }
            turn = (turn + 1) % TURNS_A_LOOK;
            time::sleep(TURN).await;
        }
    }

    async fn turn(&mut self, turn: u32) -> Result<(), StateError> {
        let now = AwsTime::of(self.ports.clock()).now;
        for name in self.brakes.judge(now).await? {
            self.look(name).await;
        }
        self.show().await;
        self.answer_sweep().await?;
        if turn == 0
            && let Some(command) = self.read_command().await?
        {
            self.obey(command).await?;
        }
        self.brakes.store().await
    }

    /// Shows what is held. Says it when a hold begins, and when it has its first users, with as many
    /// names as the status has: a line of the log has its limits, 256 KB in CloudWatch.
    async fn show(&self) {
        let held = self.brakes.status(AwsTime::of(self.ports.clock()).now).await;
        let before = self.status.progress().deletions.clone();
        let known = |cause| before.iter().flat_map(|before| &before.holds).any(|hold| hold.cause == cause);
        let first = held.held > 0 && before.as_ref().is_none_or(|before| before.held == 0);
        if first || held.holds.iter().any(|hold| !known(hold.cause)) {
            let names: Vec<_> = held.names.iter().map(ToString::to_string).collect();
            let causes: Vec<_> = held.holds.iter().map(|hold| hold.cause.as_str()).collect();
            tracing::error!(
                held = held.held,
                causes = causes.join(", "),
                names = names.join(" "),
                unnamed = held.held.saturating_sub(names.len()),
                "deletions are held; `iam-user-controller deletions status` tells why and names all, `deletions resume` lets them go"
            );
        }
        self.status.progress().deletions = Some(held);
    }

    async fn read_command(&self) -> Result<Option<Command>, StateError> {
        let Some(record) = self.ports.state().get(COMMAND_RECORD).await? else { return Ok(None) };
        match serde_json::from_str::<Command>(&record.body) {
            Ok(command) if self.done.as_ref() == Some(&command.id) => {
                self.forget_command().await.map(|()| None)
            }
            Ok(command) if command.is_void(AwsTime::of(self.ports.clock()).now) => {
                tracing::warn!(kind = ?command.kind, at = %command.at, "nobody waits for this command any more; it is removed");
                self.forget_command().await.map(|()| None)
            }
            Ok(command) => Ok(Some(command)),
            Err(error) => {
                tracing::error!(%error, "a command in the state table is unreadable; it is removed");
                self.forget_command().await.map(|()| None)
            }
        }
    }

    async fn forget_command(&self) -> Result<(), StateError> {
        self.ports.state().delete(COMMAND_RECORD, self.lease.token()).await
    }

    async fn obey(&mut self, command: Command) -> Result<(), StateError> {
        match command.kind {
            CommandKind::Resume => {
                let names = self.brakes.resume(AwsTime::of(self.ports.clock()).now).await?;
                tracing::warn!(count = names.len(), "an operator has resumed deletions");
                let _ = self.requests.send(Request::Resume).await;
                let resumed = names.iter().map(ToString::to_string).collect();
                for name in names {
                    self.look(name).await;
                }
                self.answer(Answer { id: command.id, resumed, report: None, error: None }).await
            }
            CommandKind::Sweep if self.sweeping.is_some() => Ok(()),
            CommandKind::Sweep => {
                let (reply, report) = oneshot::channel();
                if self.sweeps.try_send(reply).is_ok() {
                    tracing::info!("an operator has asked for a sweep");
                    self.sweeping = Some((command.id, report));
                }
                Ok(())
            }
        }
    }

    async fn answer_sweep(&mut self) -> Result<(), StateError> {
        let Some((id, report)) = &mut self.sweeping else { return Ok(()) };
        let (report, error) = match report.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => return Ok(()),
            Err(oneshot::error::TryRecvError::Closed) => (None, Some("the sweep was given up".to_owned())),
            Ok(Ok(report)) => (Some(report), None),
            Ok(Err(error)) => (None, Some(error)),
        };
        let answer = Answer { id: id.clone(), report, resumed: Vec::new(), error };
        self.sweeping = None;
        self.answer(answer).await
    }

    async fn answer(&mut self, answer: Answer) -> Result<(), StateError> {
        self.done = Some(answer.id.clone());
        let body = serde_json::to_string(&answer).unwrap_or_default();
        let record = Record { id: RESULT_RECORD.to_owned(), body, token: self.lease.token() };
        self.ports.state().put(&record).await?;
        self.forget_command().await
    }

    async fn look(&self, name: crate::core::user::UserName) {
        // The executor ends only with this loop.
        let _ = self.requests.send(Request::Look { name, trigger: Trigger::Resume, hold: None }).await;
    }
}

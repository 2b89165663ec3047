//! The loop that carries out what operators ask of the leader, and the brake's own clockwork.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time;

use super::Common;
use super::command::{Answer, Command, CommandKind, Mailbox};
use super::sweeps::SweepRequest;
use crate::brakes::Brakes;
use crate::core::brake::Consent;
use crate::heartbeat::Heartbeat;
use crate::lease::Guard;
use crate::ports::{Clock, Ports, StateError};
use crate::reconcile::{AwsTime, Trigger};
use crate::status::Status;
use crate::sweep::SweepReport;
use crate::work::executor::Request;

/// How often the brake is asked who may go on.
const TURN: Duration = Duration::from_secs(1);

/// How often the leader looks for a command: one read of 0.5 units each.
const TURNS_A_LOOK: u32 = 2;

/// The loop that listens to operators.
pub(super) struct Operator<P: Ports> {
    ports: P,
    mailbox: Mailbox<P>,
    status: Status,
    brakes: Arc<Brakes<P>>,
    requests: mpsc::Sender<Request>,
    sweeps: mpsc::Sender<SweepRequest>,
    sweeping: Option<(String, oneshot::Receiver<Result<SweepReport, String>>)>,
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
            mailbox: Mailbox::new(common.ports.clone(), lease.clone(), common.started.table_arn.clone()),
            status: common.status.clone(),
            brakes,
            requests,
            sweeps,
            sweeping: None,
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
            && let Some(command) = self.mailbox.read().await?
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

    async fn obey(&mut self, command: Command) -> Result<(), StateError> {
        match command.kind {
            CommandKind::Resume { consent: Some(consent) } => self.resume(command.id, consent).await,
            CommandKind::Resume { consent: None } => {
                let refusal = "the command does not say which deletions may go on".to_owned();
                self.mailbox.refuse(command.id, refusal).await
            }
            CommandKind::Sweep { .. } if self.sweeping.is_some() => Ok(()),
            CommandKind::Sweep { .. } => {
                let (reply, report) = oneshot::channel();
                if self.sweeps.try_send(reply).is_ok() {
                    tracing::info!("an operator has asked for a sweep");
                    self.sweeping = Some((command.id, report));
                }
                Ok(())
            }
        }
    }

    async fn resume(&mut self, id: String, consent: Consent) -> Result<(), StateError> {
        let names = match self.brakes.resume(consent, AwsTime::of(self.ports.clock()).now).await? {
            Ok(names) => names,
            Err(stale) => {
                let error = Some(stale.to_string());
                return self.mailbox.answer(Answer { id, error, ..Answer::default() }).await;
            }
        };
        tracing::warn!(count = names.len(), "an operator has resumed deletions");
        let _ = self.requests.send(Request::Resume).await;
        let resumed = names.iter().map(ToString::to_string).collect();
        for name in names {
            self.look(name).await;
        }
        self.mailbox.answer(Answer { id, resumed, ..Answer::default() }).await
    }

    async fn answer_sweep(&mut self) -> Result<(), StateError> {
        let Some((id, report)) = &mut self.sweeping else { return Ok(()) };
        let (report, error) = match report.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => return Ok(()),
            Err(oneshot::error::TryRecvError::Closed) => (None, Some("the sweep was given up".to_owned())),
            Ok(Ok(report)) => (Some(report), None),
            Ok(Err(error)) => (None, Some(error)),
        };
        let answer = Answer { id: id.clone(), report, error, ..Answer::default() };
        self.sweeping = None;
        self.mailbox.answer(answer).await
    }

    async fn look(&self, name: crate::core::user::UserName) {
        // The executor ends only with this loop.
        let _ = self.requests.send(Request::Look { name, trigger: Trigger::Resume, hold: None }).await;
    }
}

//! When to sweep: at the start, by the schedule, after a gap in the stream, and when asked to.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time;

use super::{Common, Mode};
use crate::feed::Gap;
use crate::heartbeat::Heartbeat;
use crate::ports::{Alarm, Clock, Ports};
use crate::status::Status;
use crate::sweep::{SweepError, SweepReport, Sweeper};

/// Pause after a sweep that failed; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// The loop turns at least this often.
const TURN: Duration = Duration::from_secs(10);

/// Who asked for a sweep, and waits for its report.
pub(super) type SweepRequest = oneshot::Sender<Result<SweepReport, String>>;

/// The loop that sweeps.
pub(super) struct Sweeps<P: Ports> {
    sweeper: Sweeper<P>,
    status: Status,
    beat: Heartbeat,
    mode: Mode,
    gaps: mpsc::Receiver<Gap>,
    requests: mpsc::Receiver<SweepRequest>,
}

impl<P: Ports> Sweeps<P> {
    pub(super) fn new(
        common: &Common<P>,
        sweeper: Sweeper<P>,
        gaps: mpsc::Receiver<Gap>,
        requests: mpsc::Receiver<SweepRequest>,
    ) -> Self {
        let beat = common.status.beats.start("sweep", common.ports.clock().monotonic());
        Self { sweeper, status: common.status.clone(), beat, mode: common.mode, gaps, requests }
    }

    /// Sweeps for ever; in the mode of one sweep, until one is done, or has failed for good.
    pub(super) async fn run(mut self) -> Result<SweepReport, String> {
        let mut failures = 0;
        loop {
            let result = self.sweep().await;
            match (&result, self.mode) {
                (_, Mode::OneSweep) => return result,
                (Ok(_), Mode::Service) => failures = 0,
                (Err(_), Mode::Service) => failures += 1,
            }
            self.wait(failures).await;
        }
    }

    async fn sweep(&mut self) -> Result<SweepReport, String> {
        let result = self.sweeper.sweep(&self.beat).await;
        match result {
            Ok(report) => {
                tracing::info!(
                    rows = report.rows,
                    owned_users = report.owned_users,
                    looked_at = report.looked_at,
                    failed = report.failed,
                    orphans = report.orphans,
                    took_millis = report.took_millis,
                    "swept"
                );
                let mut progress = self.status.progress();
                (progress.swept, progress.sweep_failure) = (true, None);
                progress.last_sweep = Some(report.clone());
                Ok(report)
            }
            Err(error) => {
                // A controller that stops is no failed sweep.
                if !matches!(error, SweepError::Stopping) {
                    tracing::error!(%error, "a sweep failed; it deleted nobody, and is repeated");
                }
                self.status.progress().sweep_failure = Some(error.to_string());
                Err(error.to_string())
            }
        }
    }

    /// Waits for the next reason to sweep.
    async fn wait(&mut self, failures: u32) {
        let pause = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(6)).min(MAX_PAUSE);
        let ports = self.sweeper.ports.clone();
        let alarm = ports.alarm().next();
        let retry = time::sleep(pause);
        tokio::pin!(alarm, retry);
        loop {
            self.beat.beat(ports.clock().monotonic());
            tokio::select! {
                biased;
                () = &mut alarm => return,
                () = &mut retry, if failures > 0 => return,
                Some(_) = self.gaps.recv() => {
                    // Further gaps of the same moment are mended by the same sweep.
                    while self.gaps.try_recv().is_ok() {}
                    return;
                }
                Some(reply) = self.requests.recv() => {
                    let report = self.sweeper.sweep(&self.beat).await.map_err(|error| error.to_string());
                    if let Ok(report) = &report {
                        self.status.progress().last_sweep = Some(report.clone());
                    }
                    // Whoever asked may have gone.
                    let _ = reply.send(report);
                }
                () = time::sleep(TURN) => {}
            }
        }
    }
}

//! The composition root: the one place where the parts are put together, for the service, for one
//! sweep, and for the simulation.

mod leadership;
mod operator;
mod sweeps;

pub use operator::{Answer, COMMAND_RECORD, Command, CommandKind, RESULT_RECORD};

use std::time::Duration;

use prometheus::Registry as MetricsRegistry;
use tokio::net::TcpListener;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Pages};
use crate::config::Settings;
use crate::core::user::UserId;
use crate::feed::{FeedMetrics, Lookout};
use crate::heartbeat::Heartbeat;
use crate::lease::{Lease, Watch, Watcher};
use crate::metrics::ProgramMetrics;
use crate::ports::{CallError, Clock, Identity, Ports, StateStore, UsersTable};
use crate::reconcile::{AwsTime, ReconcileMetrics};
use crate::status::{Role, Status};
use crate::survey;
use crate::sweep::SweepReport;

/// First pause after a call that failed while starting; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// How long requests under way may take when everything else has ended.
const LAST_PAGES: Duration = Duration::from_secs(1);

/// Why the program could not do its work. Nothing was changed that has to be undone.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The users table is not there, or is another kind of table.
    #[error("the users table {table}: {problem}")]
    UsersTable {
        /// Its name.
        table: String,
        /// What is wrong, and how to mend it.
        problem: String,
    },
    /// The state table is not there, or is another kind of table.
    #[error("the state table {table}: {problem}")]
    StateTable {
        /// Its name.
        table: String,
        /// What is wrong, and how to mend it.
        problem: String,
    },
    /// Two metrics of one name: a fault of the program.
    #[error("the metrics could not be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The pages cannot be served.
    #[error("the pages could not be served: {0}")]
    Pages(#[from] std::io::Error),
    /// The one sweep that was asked for failed.
    #[error("the sweep failed: {0}")]
    Sweep(String),
    /// The program was told to stop before it was done.
    #[error("stopped before the sweep was done")]
    Stopped,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Run until told to stop.
    Service,
    /// Make one sweep, and end.
    OneSweep,
}

/// What the parts of the program share.
pub(crate) struct Common<P> {
    pub(crate) ports: P,
    pub(crate) settings: Settings,
    pub(crate) status: Status,
    pub(crate) program: ProgramMetrics,
    pub(crate) looks: ReconcileMetrics,
    pub(crate) feed: FeedMetrics,
    pub(crate) own_user: Option<UserId>,
    pub(crate) mode: Mode,
}

/// Runs the service until `shutdown`.
///
/// `holder` names this replica to people and to other replicas. The pages are served on `listener`
/// when there is one.
///
/// # Errors
/// See [`AppError`]: only what a person has to mend ends the program by itself.
pub async fn run<P: Ports>(
    ports: P,
    settings: Settings,
    metrics: MetricsRegistry,
    listener: Option<TcpListener>,
    holder: String,
    shutdown: CancellationToken,
) -> Result<(), AppError> {
    let status = Status::default();
    status.progress().started = AwsTime::of(ports.clock()).now;
    status.progress().clock_trusted = true;
    let program = ProgramMetrics::new(&metrics, &settings.keys)?;
    let looks = ReconcileMetrics::new(&metrics)?;
    let feed = FeedMetrics::new(&metrics)?;
    let ended = CancellationToken::new();
    let pages = Pages {
        ports: ports.clone(),
        status: status.clone(),
        metrics: program.clone(),
        registry: metrics,
        expose_users: settings.http.expose_users,
    };
    let served = serve(listener, pages, ended.clone());
    let work = async {
        let result =
            work(ports, settings, status, program, looks, feed, holder, Mode::Service, &shutdown).await;
        ended.cancel();
        result.map(|_| ())
    };
    tokio::pin!(served, work);
    tokio::select! {
        biased;
        result = &mut work => {
            // Not for ever: a client that never finishes its request would keep the program running.
            if let Ok(served) = time::timeout(LAST_PAGES, &mut served).await {
                served?;
            }
            result
        }
        result = &mut served => {
            result?;
            work.await
        }
    }
}

async fn serve<P: Ports>(
    listener: Option<TcpListener>,
    pages: Pages<P>,
    ended: CancellationToken,
) -> Result<(), std::io::Error> {
    match listener {
        Some(listener) => admin::serve(listener, pages, ended.cancelled_owned()).await,
        None => {
            ended.cancelled().await;
            Ok(())
        }
    }
}

/// Makes one sweep, once no other replica leads, and ends.
///
/// # Errors
/// See [`AppError`].
pub async fn sweep_once<P: Ports>(
    ports: P,
    settings: Settings,
    metrics: MetricsRegistry,
    holder: String,
    shutdown: CancellationToken,
) -> Result<SweepReport, AppError> {
    let program = ProgramMetrics::new(&metrics, &settings.keys)?;
    let looks = ReconcileMetrics::new(&metrics)?;
    let feed = FeedMetrics::new(&metrics)?;
    let status = Status::default();
    let report =
        work(ports, settings, status, program, looks, feed, holder, Mode::OneSweep, &shutdown).await?;
    report.ok_or(AppError::Stopped)
}

#[allow(clippy::too_many_arguments)] // The composition root's own seam: everything is passed once.
async fn work<P: Ports>(
    ports: P,
    settings: Settings,
    status: Status,
    program: ProgramMetrics,
    looks: ReconcileMetrics,
    feed: FeedMetrics,
    holder: String,
    mode: Mode,
    shutdown: &CancellationToken,
) -> Result<Option<SweepReport>, AppError> {
    let started = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(None),
        started = start(&ports, &settings) => started?,
    };
    let common = Common { ports, settings, status, program, looks, feed, own_user: started, mode };
    if common.settings.users.permissions_boundary.is_none() {
        tracing::warn!(
            "users.permissions_boundary is not set: nothing limits what a created user can become"
        );
    }
    if common.settings.dry_run {
        survey::observe_forever(&common, shutdown).await;
        return Ok(None);
    }
    follow_lease(&common, holder, shutdown).await
}

/// Stands by for the lease, leads while it is ours, and stands by again.
async fn follow_lease<P: Ports>(
    common: &Common<P>,
    holder: String,
    shutdown: &CancellationToken,
) -> Result<Option<SweepReport>, AppError> {
    let beat = common.status.beats.start("lease", common.ports.clock().monotonic());
    let mut watcher = Watcher::new(common.ports.clone(), holder.clone(), common.settings.lease.ttl);
    loop {
        let mut lookout = Lookout::new(common.ports.clone());
        let lease = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(None),
            lease = stand_by(common, &mut watcher, &holder, &beat) => lease,
            // Beside it, so that no call about the stream holds up a look at the lease.
            never = lookout.keep(), if common.mode == Mode::Service => match never {},
        };
        tracing::info!(holder, token = lease.guard().token(), "leading");
        let outlook = lookout.into_outlook();
        let ended = leadership::lead(common, lease, &holder, &beat, outlook, shutdown).await;
        match ended {
            leadership::Ended::Done(report) => return Ok(report),
            leadership::Ended::Failed(error) => return Err(error),
            leadership::Ended::Lost(why) => {
                tracing::warn!(holder, why, "no longer leading; standing by");
                common.status.users.clear();
                let mut progress = common.status.progress();
                (progress.role, progress.swept, progress.token) = (Role::Standby, false, None);
                (progress.tenure, progress.deletions) = (None, None);
            }
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(None),
            () = time::sleep(watcher.pause()) => {}
        }
    }
}

/// Watches the lease until it is ours.
async fn stand_by<P: Ports>(
    common: &Common<P>,
    watcher: &mut Watcher<P>,
    holder: &str,
    beat: &Heartbeat,
) -> Lease<P> {
    loop {
        beat.beat(common.ports.clock().monotonic());
        common.status.clock_is(AwsTime::of(common.ports.clock()).trusted);
        match watcher.look().await {
            Ok(Watch::Taken(lease)) => return lease,
            Ok(Watch::Standby(leader)) => {
                let mut progress = common.status.progress();
                if progress.role != Role::Standby {
                    tracing::info!(holder, leader = leader.holder, "standing by");
                }
                progress.role = Role::Standby;
                progress.leader = Some(leader.holder);
            }
            Err(error) => tracing::warn!(%error, "the lease could not be read; trying again"),
        }
        time::sleep(watcher.pause()).await;
    }
}

/// Finds out whether everything is there. A call that fails is tried again, for ever: the network may
/// come later than the program. What a person has to mend ends it.
async fn start<P: Ports>(ports: &P, settings: &Settings) -> Result<Option<UserId>, AppError> {
    let table = settings.table.name.clone();
    let wrong = |problem: &str| AppError::UsersTable { table: table.clone(), problem: problem.to_owned() };
    let described = insist(|| ports.users_table().describe()).await;
    let Some(described) = described else {
        return Err(wrong("it does not exist in this account and Region; create it, or set table.name"));
    };
    if !described.keyed_by_user_name {
        return Err(wrong("its key is not the hash key UserName (S) alone; this is another table"));
    }
    if described.stream.as_ref().is_none_or(|stream| !stream.enabled) {
        tracing::error!(
            table,
            "the users table has no stream: changes are only seen by sweeps, until it is enabled with `aws dynamodb \
             update-table --stream-specification StreamEnabled=true,StreamViewType=KEYS_ONLY`"
        );
    }
    // A spectator writes nothing, and needs no place for it.
    if !settings.dry_run
        && let Err(problem) = insist(|| ports.state().check()).await
    {
        return Err(AppError::StateTable { table: settings.state.table.clone(), problem });
    }
    let caller = insist(|| ports.identity().caller()).await;
    tracing::info!(account = caller.account, caller = caller.arn, table = described.arn, "connected");
    Ok(caller.own_user())
}

async fn insist<T, F: Future<Output = Result<T, CallError>>>(call: impl Fn() -> F) -> T {
    let mut pause = FIRST_PAUSE;
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => {
                tracing::warn!(%error, retry_in = ?pause, "not started yet: a call failed");
                time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}

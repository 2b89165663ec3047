//! One leadership: from taking the lease to giving it back, or losing it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::operator::Operator;
use super::sweeps::Sweeps;
use super::{AppError, Common, Mode};
use crate::brakes::Brakes;
use crate::core::brake::BrakeSettings;
use crate::core::cadence::Cadence;
use crate::core::census::Sightings;
use crate::core::memory::SETTLE;
use crate::core::time::Timestamp;
use crate::feed::{Feed, FeedError, FeedSettings, Outlook};
use crate::heartbeat::Heartbeat;
use crate::lease::{Guard, Lease, LeaseError, Predecessor};
use crate::pace::Pace;
use crate::ports::{Clock, Ports, Record, StateStore};
use crate::reconcile::{AwsTime, Reconciler};
use crate::removals::{self, Removals};
use crate::status::Role;
use crate::sweep::{self, Quarantine, SweepReport, Sweeper};
use crate::work::executor::{Executor, Request};

/// Changes that were read and wait for the executor. The feed stops reading when it is full.
const CHANGES_WAITING: usize = 1_024;

/// Requests that wait for the executor. The sweep waits when it is full.
const REQUESTS_WAITING: usize = 1_024;

/// What `shutdown.grace` leaves for the last checkpoints, and for the lease.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How a leadership ended.
pub(super) enum Ended {
    /// As it was asked to; with the report of the sweep, when one was asked for.
    Done(Option<SweepReport>),
    /// By a fault that a person has to mend.
    Failed(AppError),
    /// Another replica leads now, or may.
    Lost(String),
}

/// What one of the parts ended with.
enum Part {
    Executor,
    Feed(Result<(), FeedError>),
    Sweeps(Result<SweepReport, String>),
    Operator,
}

/// Leads until `shutdown`, or until the lease is lost. `outlook` is what was seen of the stream while
/// standing by.
pub(super) async fn lead<P: Ports>(
    common: &Common<P>,
    mut lease: Lease<P>,
    holder: &str,
    beat: &Heartbeat,
    outlook: Option<Outlook>,
    shutdown: &CancellationToken,
) -> Ended {
    {
        let mut progress = common.status.progress();
        (progress.role, progress.swept) = (Role::Leader, false);
        progress.leader = Some(holder.to_owned());
        progress.token = Some(lease.guard().token());
        progress.tenure = Some(lease.guard().tenure());
    }
    // What a leader before us changed last may take effect yet, or not be seen by reads.
    let now = AwsTime::of(common.ports.clock()).now;
    let last_change = (lease.predecessor == Predecessor::Somebody).then_some(now);
    let guard = lease.guard();
    let ended = tokio::select! {
        biased;
        lost = lease.keep(|| {
            beat.beat(common.ports.clock().monotonic());
            common.status.clock_is(AwsTime::of(common.ports.clock()).trusted);
        }) => Ended::Lost(lost.to_string()),
        ended = work(common, guard, last_change, outlook, shutdown) => ended,
    };
    if !matches!(ended, Ended::Lost(_)) {
        match time::timeout(LAST_WORDS, lease.release()).await {
            Ok(Ok(())) => tracing::info!(holder, "the lease was given back"),
            Ok(Err(LeaseError::Lost | LeaseError::RanOut)) => {
                tracing::warn!(holder, "the lease was lost already")
            }
            Ok(Err(LeaseError::Call(error))) => {
                tracing::warn!(%error, "the lease was not given back; it runs out by itself");
            }
            Err(_) => tracing::warn!("the lease was not given back in time; it runs out by itself"),
        }
    }
    ended
}

async fn work<P: Ports>(
    common: &Common<P>,
    guard: Guard<P>,
    last_change: Option<Timestamp>,
    outlook: Option<Outlook>,
    shutdown: &CancellationToken,
) -> Ended {
    let ports = &common.ports;
    let records = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ended::Done(None),
        records = super::insist(|| ports.state().load()) => records,
    };
    let (change_sender, changes) = mpsc::channel(CHANGES_WAITING);
    let (request_sender, requests) = mpsc::channel(REQUESTS_WAITING);
    let (gap_sender, gaps) = mpsc::channel(16);
    // Positions in the stream are stored before the first scan: what changes after is in the stream,
    // what changed before is in the table.
    let feed = if common.mode == Mode::Service {
        let settings = FeedSettings {
            poll_interval: common.settings.stream.poll_interval,
            idle_interval: common.settings.stream.idle_interval,
        };
        let (metrics, view) = (common.feed.clone(), common.status.feed.clone());
        let token = guard.token();
        let ports = ports.clone();
        let open =
            Feed::open(ports, settings, &records, outlook, token, metrics, view, change_sender, gap_sender);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ended::Done(None),
            feed = open => match feed {
                Ok(feed) => Some(feed),
                Err(error) => return Ended::Lost(error.to_string()),
            },
        }
    } else {
        None
    };

    let (stop, drained) = (CancellationToken::new(), CancellationToken::new());
    // Tasks that are dropped with the set: a lost lease ends them all at their next wait.
    let mut parts = JoinSet::new();
    let built = Built::new(common, &guard, &records, request_sender.clone());
    let executor = Executor::new(
        built.reconciler,
        common.settings.executor.concurrency,
        common.program.queue_depth.clone(),
        common.status.beats.start("executor", ports.clock().monotonic()),
        last_change,
    );
    let executor = executor.run(changes, requests, stop.clone());
    parts.spawn(async {
        executor.await;
        Part::Executor
    });
    for (name, removal) in removals::load(&records) {
        // The receiver lives in the task above; it ends only by `stop`.
        let _ = request_sender.send(Request::Restore { name, removal }).await;
    }
    if let Some(feed) = feed {
        let (stop, drained) = (stop.clone(), drained.clone());
        parts.spawn(async { Part::Feed(feed.run(stop, drained).await) });
    }
    let (sweep_sender, sweep_requests) = mpsc::channel(1);
    let operator = Operator::new(common, &guard, built.brakes, request_sender, sweep_sender);
    parts.spawn(async {
        operator.run().await;
        Part::Operator
    });
    let sweeps = Sweeps::new(common, built.sweeper, gaps, sweep_requests);
    // The service looks again at whoever has to wait for what a leader before it has changed; one sweep
    // has only one look at each.
    let settled = match (common.mode, last_change) {
        (Mode::OneSweep, Some(_)) => SETTLE + Duration::from_secs(1),
        (Mode::OneSweep, None) | (Mode::Service, _) => Duration::ZERO,
    };
    parts.spawn(async move {
        if !settled.is_zero() {
            tracing::info!(wait = ?settled, "waiting until everything that another leader has changed can be seen");
            time::sleep(settled).await;
        }
        Part::Sweeps(sweeps.run().await)
    });

    let ended = tokio::select! {
        biased;
        () = shutdown.cancelled() => Ended::Done(None),
        ended = first_end(&mut parts) => ended,
    };
    if !matches!(ended, Ended::Lost(_)) {
        common.status.progress().stopping = common.mode == Mode::Service;
        wind_up(common, &mut parts, &stop, &drained).await;
    }
    ended
}

/// Waits for the first part to end, which none does by itself in the service.
async fn first_end(parts: &mut JoinSet<Part>) -> Ended {
    match parts.join_next().await {
        Some(Ok(Part::Feed(Err(error)))) => Ended::Lost(error.to_string()),
        Some(Ok(Part::Sweeps(Ok(report)))) => Ended::Done(Some(report)),
        Some(Ok(Part::Sweeps(Err(error)))) => Ended::Failed(AppError::Sweep(error)),
        Some(Ok(Part::Executor | Part::Operator | Part::Feed(Ok(())))) | None => {
            Ended::Lost("a part of the program has ended".to_owned())
        }
        Some(Err(error)) => {
            tracing::error!(%error, "a part of the program has failed; beginning anew");
            Ended::Lost("a part of the program has failed".to_owned())
        }
    }
}

/// Finishes the users in hand within `shutdown.grace`, and stores the checkpoints.
async fn wind_up<P: Ports>(
    common: &Common<P>,
    parts: &mut JoinSet<Part>,
    stop: &CancellationToken,
    drained: &CancellationToken,
) {
    // One sweep is not in a hurry: a key that it has minted is proven and published.
    let patience = match common.mode {
        Mode::Service => common.settings.shutdown.grace,
        Mode::OneSweep => common.settings.shutdown.grace + common.settings.keys.verify_timeout,
    };
    stop.cancel();
    let executor_ends = async {
        while let Some(part) = parts.join_next().await {
            if matches!(part, Ok(Part::Executor)) {
                return;
            }
        }
    };
    if time::timeout(patience, executor_ends).await.is_err() {
        tracing::warn!("shutdown.grace is over; what is unfinished goes on at the next start");
    }
    drained.cancel();
    if common.mode == Mode::Service {
        let feed_ends = async {
            while let Some(part) = parts.join_next().await {
                if matches!(part, Ok(Part::Feed(_))) {
                    return;
                }
            }
        };
        if time::timeout(LAST_WORDS, feed_ends).await.is_err() {
            tracing::warn!("the last checkpoints were not stored; their records come again");
        }
    }
}

/// The parts that share the brake and the pace.
struct Built<P: Ports> {
    reconciler: Arc<Reconciler<P>>,
    sweeper: Sweeper<P>,
    brakes: Arc<Brakes<P>>,
}

impl<P: Ports> Built<P> {
    fn new(
        common: &Common<P>,
        guard: &Guard<P>,
        records: &[Record],
        requests: mpsc::Sender<Request>,
    ) -> Self {
        let (ports, settings) = (&common.ports, &common.settings);
        let brake = BrakeSettings {
            max_count: settings.deletions.max_count,
            max_percent: settings.deletions.max_percent.get(),
            window: settings.deletions.window,
        };
        let brakes = Arc::new(Brakes::load(ports.clone(), guard.clone(), brake, records));
        let (pace, number) = (Arc::new(Pace::default()), Arc::new(AtomicU64::new(0)));
        let reconciler = Reconciler {
            ports: ports.clone(),
            lease: guard.clone(),
            pace: pace.clone(),
            policy: settings.policy(),
            path: settings.users.path.clone(),
            template: settings.parameters.template.clone(),
            brakes: brakes.clone(),
            removals: Removals::new(ports.clone(), guard.clone()),
            registry: common.status.users.clone(),
            metrics: common.looks.clone(),
            own_user: common.own_user.clone(),
            sweep: number.clone(),
        };
        let sweeper = Sweeper {
            ports: ports.clone(),
            lease: guard.clone(),
            pace,
            policy: settings.policy(),
            orphans: settings.orphans.clone(),
            full_every: settings.sweep.full_every,
            brakes: brakes.clone(),
            registry: common.status.users.clone(),
            requests,
            own_user: common.own_user.clone(),
            number,
            sightings: read::<Sightings>(records, sweep::ORPHANS_RECORD),
            quarantine: read::<Quarantine>(records, sweep::QUARANTINE_RECORD).into_keys(),
            cadence: Cadence::default(),
        };
        Self { reconciler: Arc::new(reconciler), sweeper, brakes }
    }
}

/// Reads a record that is only ever missed for a while: without it, sweeps begin to count anew.
fn read<T: serde::de::DeserializeOwned + Default>(records: &[Record], id: &str) -> T {
    let Some(record) = records.iter().find(|record| record.id == id) else { return T::default() };
    serde_json::from_str(&record.body).unwrap_or_else(|error| {
        tracing::error!(%error, record = id, "a record of the state table is unreadable; counting anew");
        T::default()
    })
}

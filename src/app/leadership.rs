//! One leadership: from taking the lease to giving it back, or losing it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::authority;
use super::operator::Operator;
use super::sweeps::Sweeps;
use super::{AppError, Common, Mode};
use crate::brakes::Brakes;
use crate::core::brake::BrakeSettings;
use crate::core::cadence::Cadence;
use crate::core::census::Sightings;
use crate::core::memory::SETTLE;
use crate::core::policy::Policy;
use crate::core::quarantine::Watch;
use crate::core::seal::SealKey;
use crate::core::time::{Timestamp, spoken};
use crate::feed::{Feed, FeedError, FeedSettings, Outlook};
use crate::heartbeat::{Heartbeat, Heartbeats};
use crate::lease::{Guard, Lease, LeaseError, Predecessor};
use crate::pace::Pace;
use crate::ports::{Clock, Ports, Record, StateStore};
use crate::reconcile::{AwsTime, Reconciler};
use crate::removals::{self, Removals};
use crate::seals::{self, SealError};
use crate::status::Role;
use crate::sweep::{self, SweepReport, Sweeper};
use crate::work::before_first::BeforeFirst;
use crate::work::executor::{Executor, Request};

/// Changes that were read and wait for the executor. The feed stops reading when it is full.
const CHANGES_WAITING: usize = 1_024;

/// Requests that wait for the executor. The sweep waits when it is full.
const REQUESTS_WAITING: usize = 1_024;

/// What `shutdown.grace` leaves for the last checkpoints, and for the lease.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Pause before the seal key is stored again.
const SEAL_PAUSE: Duration = Duration::from_secs(1);

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
    Panicked(&'static str),
}

impl Part {
    /// What a part ends with. Of a panic the hook of `telemetry` has told.
    async fn of(name: &'static str, part: impl Future<Output = Self>) -> Self {
        AssertUnwindSafe(part).catch_unwind().await.unwrap_or(Self::Panicked(name))
    }
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
    let seal_key = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ended::Done(None),
        key = seal_key(common, &records, guard.token()) => match key {
            Ok(key) => key,
            Err(problem) => return Ended::Failed(unsealed(common, problem)),
        },
    };
    let policy = common.settings.policy(common.started.table_arn.clone(), Some(seal_key));
    let first = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ended::Done(None),
        first = authority::establish(common, &guard, &records, &policy.ownership) => match first {
            Ok(first) => first,
            Err(ended) => return ended,
        },
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
    let built = Built::new(common, &guard, policy, &records, request_sender.clone());
    let executor = Executor::new(
        built.reconciler,
        common.settings.executor.concurrency,
        common.program.queue_depth.clone(),
        common.status.beats.start("executor", ports.clock().monotonic()),
        last_change,
        BeforeFirst::new(first, common.feed.before_first.clone()),
        patience(common),
    );
    let executor = executor.run(changes, requests, stop.clone());
    parts.spawn(Part::of("executor", async {
        executor.await;
        Part::Executor
    }));
    for (name, removal) in removals::load(&records) {
        // The receiver lives in the task above; it ends only by `stop`.
        let _ = request_sender.send(Request::Restore { name, removal }).await;
    }
    if let Some(feed) = feed {
        let (stop, drained) = (stop.clone(), drained.clone());
        parts.spawn(Part::of("feed", async { Part::Feed(feed.run(stop, drained).await) }));
    }
    let (sweep_sender, sweep_requests) = mpsc::channel(1);
    let operator = Operator::new(common, &guard, built.brakes, request_sender, sweep_sender);
    parts.spawn(Part::of("operator", async {
        operator.run().await;
        Part::Operator
    }));
    let sweeps = Sweeps::new(common, built.sweeper, gaps, sweep_requests);
    // The service looks again at whoever has to wait for what a leader before it has changed; one sweep
    // has only one look at each.
    let settled = match (common.mode, last_change) {
        (Mode::OneSweep { .. }, Some(_)) => SETTLE + Duration::from_secs(1),
        (Mode::OneSweep { .. }, None) | (Mode::Service, _) => Duration::ZERO,
    };
    parts.spawn(Part::of("sweeps", async move {
        if !settled.is_zero() {
            tracing::info!(wait = %spoken(settled), "waiting until everything that another leader has changed can be seen");
            time::sleep(settled).await;
        }
        Part::Sweeps(sweeps.run().await)
    }));

    let ended = tokio::select! {
        biased;
        () = shutdown.cancelled() => Ended::Done(None),
        ended = first_end(&mut parts, &common.status.beats, || ports.clock().monotonic()) => ended,
    };
    if !matches!(ended, Ended::Lost(_)) {
        common.status.progress().stopping = common.mode == Mode::Service;
        wind_up(common, &mut parts, &stop, &drained).await;
    }
    ended
}

/// The key under which users are sealed; a call that fails is tried again.
async fn seal_key<P: Ports>(
    common: &Common<P>,
    records: &[Record],
    token: u64,
) -> Result<SealKey, SealError> {
    loop {
        match seals::keep(&common.ports, records, token).await {
            Err(SealError::Call(error)) => {
                tracing::warn!(%error, "the seal key could not be stored yet; trying again");
                time::sleep(SEAL_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

fn unsealed<P: Ports>(common: &Common<P>, problem: SealError) -> AppError {
    AppError::Seal { table: common.settings.state.table.clone(), problem }
}

/// Waits for the first part to end, which none does by itself in the service.
async fn first_end(parts: &mut JoinSet<Part>, beats: &Heartbeats, now: impl Fn() -> Duration) -> Ended {
    match parts.join_next().await {
        Some(Ok(Part::Feed(Err(error)))) => Ended::Lost(error.to_string()),
        Some(Ok(Part::Sweeps(Ok(report)))) => Ended::Done(Some(report)),
        Some(Ok(Part::Sweeps(Err(error)))) => Ended::Failed(AppError::Sweep(error)),
        Some(Ok(Part::Executor | Part::Operator | Part::Feed(Ok(())))) | None => {
            Ended::Lost("a part of the program has ended".to_owned())
        }
        Some(Ok(Part::Panicked(part))) => {
            beats.panicked(part, now());
            tracing::error!(
                part,
                "a part of the program has panicked; this leadership ends, and the next begins all parts"
            );
            Ended::Lost(format!("the {part} has panicked"))
        }
        // Nothing cancels a part, and its panic is caught above.
        Some(Err(_)) => Ended::Lost("a part of the program was cancelled".to_owned()),
    }
}

/// How long users in hand have to be finished.
fn patience<P: Ports>(common: &Common<P>) -> Duration {
    match common.mode {
        Mode::Service => common.settings.shutdown.grace,
        // One sweep is not in a hurry: a key that it has minted is proven and published.
        Mode::OneSweep { .. } => common.settings.shutdown.grace + common.settings.keys.verify_timeout,
    }
}

/// Finishes the users in hand within `shutdown.grace`, and stores the checkpoints.
async fn wind_up<P: Ports>(
    common: &Common<P>,
    parts: &mut JoinSet<Part>,
    stop: &CancellationToken,
    drained: &CancellationToken,
) {
    stop.cancel();
    let executor_ends = async {
        while let Some(part) = parts.join_next().await {
            if matches!(part, Ok(Part::Executor)) {
                return;
            }
        }
    };
    if time::timeout(patience(common), executor_ends).await.is_err() {
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
        policy: Policy,
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
        brakes.found_at_start(&common.started.table_arn, &common.started.table_id);
        let pace = Arc::new(Pace::new(&settings.pace, ports.clock().monotonic()));
        let number = Arc::new(AtomicU64::new(0));
        let reconciler = Reconciler {
            ports: ports.clone(),
            lease: guard.clone(),
            pace: pace.clone(),
            policy: policy.clone(),
            path: settings.users.path.clone(),
            template: settings.parameters.template.clone(),
            brakes: brakes.clone(),
            removals: Removals::new(ports.clone(), guard.clone()),
            registry: common.status.users.clone(),
            metrics: common.looks.clone(),
            own_user: common.started.own.user.clone(),
            sweep: number.clone(),
        };
        let sweeper = Sweeper {
            ports: ports.clone(),
            lease: guard.clone(),
            pace,
            pages: common.pages.clone(),
            policy,
            orphans: settings.orphans.clone(),
            full_every: settings.sweep.full_every,
            brakes: brakes.clone(),
            registry: common.status.users.clone(),
            requests,
            own: common.started.own.clone(),
            number,
            sightings: read::<Sightings>(records, sweep::ORPHANS_RECORD),
            quarantine: read::<Watch>(records, sweep::QUARANTINE_RECORD),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_again_and_again_is_told() {
        let beats = Heartbeats::default();
        for second in 0..3 {
            assert_eq!(beats.faults(Duration::from_secs(second)), [""; 0]);
            let mut parts = JoinSet::new();
            parts.spawn(Part::of("feed", async { panic!("on purpose") }));
            let ended = first_end(&mut parts, &beats, || Duration::from_secs(second)).await;
            assert!(matches!(ended, Ended::Lost(_)));
        }
        let told = ["the feed has panicked 3 times within 5 minutes: the log says where"];
        assert_eq!(beats.faults(Duration::from_secs(3)), told);
        assert_eq!(beats.faults(Duration::from_secs(302)), [""; 0]);
    }
}

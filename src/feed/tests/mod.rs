//! The feed on a small world in memory, in paused time; and its pure parts against models.

mod gaps;
mod model;
mod reading;
mod standby;
mod stops;

use std::time::Duration;

use prometheus::Registry;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fake::World;
use super::{Change, Feed, FeedError, FeedMetrics, FeedSettings, FeedView, Gap, GapCause, Outlook};
use crate::ports::Clock;

/// A running feed and the ends of its channels.
struct Running {
    world: World,
    changes: mpsc::Receiver<Change>,
    gaps: mpsc::Receiver<Gap>,
    view: FeedView,
    registry: Registry,
    stop: CancellationToken,
    drained: CancellationToken,
    run: JoinHandle<Result<(), FeedError>>,
}

impl Running {
    /// Opens a feed on what the state table holds, and runs it.
    async fn start(world: &World) -> Self {
        Self::start_with(world, 1, 100).await
    }

    async fn start_with(world: &World, token: u64, room: usize) -> Self {
        Self::open(world, token, room, None).await
    }

    /// As [`start`](Self::start), with what was seen while standing by.
    async fn take_over(world: &World, outlook: Option<Outlook>) -> Self {
        Self::open(world, 2, 100, outlook).await
    }

    async fn open(world: &World, token: u64, room: usize, outlook: Option<Outlook>) -> Self {
        Self::open_with(world, Duration::from_secs(1), token, room, outlook).await
    }

    async fn open_with(
        world: &World,
        idle_interval: Duration,
        token: u64,
        room: usize,
        outlook: Option<Outlook>,
    ) -> Self {
        world.new_reader();
        let (changes_in, changes) = mpsc::channel(room);
        let (gaps_in, gaps) = mpsc::channel(10);
        let (registry, view) = (Registry::new(), FeedView::new());
        let metrics = FeedMetrics::new(&registry).unwrap();
        let settings = FeedSettings { poll_interval: Duration::from_millis(250), idle_interval };
        let feed = Feed::open(
            world.clone(),
            settings,
            &world.records(),
            outlook,
            token,
            metrics,
            view.clone(),
            changes_in,
            gaps_in,
        )
        .await
        .unwrap();
        let (stop, drained) = (CancellationToken::new(), CancellationToken::new());
        let run = tokio::spawn(feed.run(stop.clone(), drained.clone()));
        Self { world: world.clone(), changes, gaps, view, registry, stop, drained, run }
    }

    /// The next change.
    async fn next(&mut self) -> Change {
        let next = tokio::time::timeout(Duration::from_secs(300), self.changes.recv()).await;
        next.expect("no change within 300 s").expect("the feed is gone")
    }

    /// Takes and settles changes until nothing has come for a while. Tells their names.
    async fn settle_all(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Ok(Some(change)) = tokio::time::timeout(Duration::from_secs(20), self.changes.recv()).await
        {
            names.push(change.name);
            change.ticket.settle();
        }
        names
    }

    /// The causes of all gaps so far, which must agree with the metric.
    fn gaps(&mut self) -> Vec<GapCause> {
        let mut causes = Vec::new();
        while let Ok(gap) = self.gaps.try_recv() {
            causes.push(gap.cause);
        }
        causes
    }

    fn metric(&self, name: &str) -> f64 {
        let name = format!("iam_user_controller_stream_{name}");
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        family
            .get_metric()
            .iter()
            .map(|metric| metric.get_gauge().get_value() + metric.get_counter().get_value())
            .sum()
    }

    fn lag(&self) -> f64 {
        self.view.snapshot().lag_seconds
    }

    fn stalled(&self) -> Option<String> {
        self.view.stalled(self.world.monotonic())
    }

    /// As on SIGTERM, with nothing left in hand.
    async fn stop(self) {
        self.stop.cancel();
        self.drained.cancel();
        self.run.await.unwrap().unwrap();
        self.world.complaints();
    }

    /// As on `kill -9`.
    async fn kill(self) {
        self.run.abort();
        let _ = self.run.await;
        self.world.complaints();
    }
}

impl World {
    /// Fails when the reader asked too often or twice at once.
    fn complaints(&self) {
        assert_eq!(self.lock().complaints, Vec::<String>::new());
    }
}

async fn seconds(n: u64) {
    tokio::time::sleep(Duration::from_secs(n)).await;
}

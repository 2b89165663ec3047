//! The feed's metrics, named in one place.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::gap::GapCause;
use crate::ports::ChangeKind;

/// Made once, from the program's registry.
#[derive(Clone, Debug)]
pub struct FeedMetrics {
    pub(super) lag: Gauge,
    pub(super) open_shards: IntGauge,
    pub(super) unsettled: IntGauge,
    gaps: IntCounterVec,
    written: IntCounter,
    removed: IntCounter,
    pub(super) polls: Outcomes,
    pub(super) listings: Outcomes,
    pub(super) writes: Outcomes,
}

/// A counter of successes and failures.
#[derive(Clone, Debug)]
pub(super) struct Outcomes {
    ok: IntCounter,
    failed: IntCounter,
}

impl Outcomes {
    fn new(registry: &Registry, name: &str, help: &str) -> Result<Self, prometheus::Error> {
        let counter = counter(registry, name, help, "outcome")?;
        Ok(Self { ok: counter.with_label_values(&["ok"]), failed: counter.with_label_values(&["failed"]) })
    }

    pub(super) fn count(&self, ok: bool) {
        if ok { &self.ok } else { &self.failed }.inc();
    }
}

fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntCounterVec, prometheus::Error> {
    let counter =
        IntCounterVec::new(Opts::new(format!("iam_user_controller_stream_{name}"), help), &[label])?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

impl FeedMetrics {
    /// Registers all of them, with every label value at 0.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gaps = counter(
            registry,
            "gaps_total",
            "Spans of time whose changes may be missing from the stream, by cause.",
            "cause",
        )?;
        for cause in GapCause::ALL {
            gaps.with_label_values(&[cause.as_str()]);
        }
        let records = counter(registry, "records_total", "Changes handed over, replays included.", "kind")?;
        let lag = Gauge::new(
            "iam_user_controller_stream_lag_seconds",
            "Now less the creation time of the oldest change that is not fully handled; 0 when caught up.",
        )?;
        let open_shards = IntGauge::new(
            "iam_user_controller_stream_open_shards",
            "Shards that are not read to their end.",
        )?;
        let unsettled =
            IntGauge::new("iam_user_controller_stream_unsettled", "Changes read and not fully handled.")?;
        registry.register(Box::new(lag.clone()))?;
        registry.register(Box::new(open_shards.clone()))?;
        registry.register(Box::new(unsettled.clone()))?;
        Ok(Self {
            lag,
            open_shards,
            unsettled,
            gaps,
            written: records.with_label_values(&["written"]),
            removed: records.with_label_values(&["removed"]),
            polls: Outcomes::new(registry, "polls_total", "Polls of shards.")?,
            listings: Outcomes::new(registry, "discoveries_total", "Calls that look for shards.")?,
            writes: Outcomes::new(registry, "checkpoint_writes_total", "Writes of checkpoints.")?,
        })
    }

    /// Whoever follows the stream now tells its state, and not this process.
    pub(super) fn retire(&self) {
        self.lag.set(0.0);
        self.open_shards.set(0);
        self.unsettled.set(0);
    }

    pub(super) fn gap(&self, cause: GapCause) {
        self.gaps.with_label_values(&[cause.as_str()]).inc();
    }

    pub(super) fn record(&self, kind: ChangeKind) {
        match kind {
            ChangeKind::Written => self.written.inc(),
            ChangeKind::Removed => self.removed.inc(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_exists_before_the_first_event() {
        let registry = Registry::new();
        let _metrics = FeedMetrics::new(&registry).unwrap();
        let families = registry.gather();
        let series: usize = families.iter().map(|family| family.get_metric().len()).sum();
        assert_eq!(series, GapCause::ALL.len() + 2 + 3 + 3 * 2);
        assert!(families.iter().all(|family| family.name().starts_with("iam_user_controller_stream_")));
    }
}

//! Counters of looks and of changes.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

use crate::core::step::Step;

/// What asked for a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// A record of the table's stream.
    Stream,
    /// A sweep.
    Sweep,
    /// A look before it failed, or had to wait.
    Retry,
    /// A key has reached an age.
    Due,
    /// A removal that a process before this one left behind, or an operator resumed.
    Resume,
}

impl Trigger {
    const ALL: [Trigger; 5] = [Self::Stream, Self::Sweep, Self::Retry, Self::Due, Self::Resume];

    /// The name in snake case, for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Sweep => "sweep",
            Self::Retry => "retry",
            Self::Due => "due",
            Self::Resume => "resume",
        }
    }
}

const LOOK_OUTCOMES: [&str; 4] = ["settled", "waiting", "failed", "stopped"];
const ACTION_OUTCOMES: [&str; 2] = ["ok", "failed"];

/// Counters of looks and of changes.
#[derive(Clone)]
pub struct ReconcileMetrics {
    looks: IntCounterVec,
    duration: Histogram,
    actions: IntCounterVec,
}

impl ReconcileMetrics {
    /// Registers the counters, at 0, so that rates exist before the first failure.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let looks = IntCounterVec::new(
            Opts::new(
                "iam_user_controller_reconciles_total",
                "Looks at users, by what asked for them and how they ended.",
            ),
            &["trigger", "outcome"],
        )?;
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "iam_user_controller_reconcile_duration_seconds",
                "How long a look at a user took.",
            )
            .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
        )?;
        let actions = IntCounterVec::new(
            Opts::new("iam_user_controller_actions_total", "Changes made in AWS, by kind and outcome."),
            &["action", "outcome"],
        )?;
        for trigger in Trigger::ALL {
            for outcome in LOOK_OUTCOMES {
                looks.with_label_values(&[trigger.as_str(), outcome]);
            }
        }
        for action in Step::ACTIONS {
            for outcome in ACTION_OUTCOMES {
                actions.with_label_values(&[action, outcome]);
            }
        }
        registry.register(Box::new(looks.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(actions.clone()))?;
        Ok(Self { looks, duration, actions })
    }

    /// Counts a look.
    pub fn looked(&self, trigger: Trigger, look: &super::Look, took: std::time::Duration) {
        let outcome = match look {
            super::Look::Settled { .. } => "settled",
            super::Look::Again(_) => "waiting",
            super::Look::Failed(_) => "failed",
            super::Look::Stopped => "stopped",
        };
        self.looks.with_label_values(&[trigger.as_str(), outcome]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a change.
    pub(super) fn acted(&self, step: &Step, ok: bool) {
        self.actions.with_label_values(&[step.action(), if ok { "ok" } else { "failed" }]).inc();
    }
}

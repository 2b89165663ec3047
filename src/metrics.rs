//! Gauges of the whole program, set when `/metrics` is read.

use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts, Registry};

use crate::config::Keys;
use crate::core::census::Spared;
use crate::core::plan::State;
use crate::ports::Clock;
use crate::registry::KeyRole;
use crate::status::{Role, Status};

/// A key that is this much older than `keys.rotate_after` and still current is overdue.
const OVERDUE_AFTER: std::time::Duration = std::time::Duration::from_secs(2 * 3_600);

/// Gauges of the whole program.
#[derive(Clone)]
pub struct ProgramMetrics {
    users: IntGaugeVec,
    key_age_max: Gauge,
    keys_overdue: IntGauge,
    foreign_keys: IntGauge,
    orphans: IntGauge,
    orphans_spared: IntGaugeVec,
    deletions_held: IntGauge,
    leader: IntGauge,
    sweep_last_success: Gauge,
    sweep_duration: Gauge,
    /// Users that are in line for a look.
    pub queue_depth: IntGauge,
    rotate_after: std::time::Duration,
}

impl ProgramMetrics {
    /// Registers all gauges.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn new(registry: &Registry, keys: &Keys) -> Result<Self, prometheus::Error> {
        let int = |name: &str, help: &str| {
            let gauge = IntGauge::new(format!("iam_user_controller_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let float = |name: &str, help: &str| {
            let gauge = Gauge::new(format!("iam_user_controller_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let labelled = |name: &str, help: &str, label: &str| {
            let gauge = IntGaugeVec::new(Opts::new(format!("iam_user_controller_{name}"), help), &[label])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let build_info = labelled("build_info", "Always 1; the version is the label.", "version")?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let spared = "Users without a row that no sweep deletes, as the last sweep counted them.";
        let orphans_spared = labelled("orphans_spared", spared, "reason")?;
        for why in Spared::ALL {
            orphans_spared.with_label_values(&[why.as_str()]);
        }
        Ok(Self {
            users: labelled("users", "Users and rows by state.", "state")?,
            key_age_max: float("access_key_age_max_seconds", "Age of the oldest current key.")?,
            keys_overdue: int("keys_overdue", "Current keys two hours and more past keys.rotate_after.")?,
            foreign_keys: int("foreign_keys", "Keys on owned users that the controller did not make.")?,
            orphans: int("orphans", "Users without a row, as the last sweep counted them.")?,
            orphans_spared,
            deletions_held: int(
                "deletions_held",
                "Deletions that wait for an operator; 1 when deletions are held and none waits yet.",
            )?,
            leader: int("leader", "1 while this replica leads.")?,
            sweep_last_success: float(
                "sweep_last_success_timestamp_seconds",
                "When the last sweep that was finished began; 0 before the first.",
            )?,
            sweep_duration: float("sweep_duration_seconds", "How long that sweep took, looks included.")?,
            queue_depth: int("queue_depth", "Users in line for a look.")?,
            rotate_after: keys.rotate_after,
        })
    }

    /// Sets the gauges from what is known now.
    pub fn refresh(&self, status: &Status, clock: &impl Clock) {
        for (state, count) in status.users.count_states() {
            self.users.with_label_values(&[State::as_str(state)]).set(to_i64(count));
        }
        let now = clock.now();
        let (mut oldest, mut overdue, mut foreign) = (std::time::Duration::ZERO, 0, 0);
        for report in status.users.read().values() {
            for key in &report.keys {
                match key.role {
                    KeyRole::Current => {
                        let age = now.since(key.created);
                        oldest = oldest.max(age);
                        overdue += usize::from(age > self.rotate_after + OVERDUE_AFTER);
                    }
                    KeyRole::Foreign => foreign += 1,
                    KeyRole::PendingDeletion | KeyRole::Minting => {}
                }
            }
        }
        self.key_age_max.set(oldest.as_secs_f64());
        self.keys_overdue.set(to_i64(overdue));
        self.foreign_keys.set(to_i64(foreign));
        let progress = status.progress();
        self.leader.set(i64::from(progress.role_now(clock) == Role::Leader));
        // A hold may begin before anybody is due: the alert must not wait for the first name.
        let held = progress.deletions.as_ref();
        let held = held.map_or(0, |status| status.held.max(usize::from(!status.holds.is_empty())));
        self.deletions_held.set(to_i64(held));
        if let Some(sweep) = &progress.last_sweep {
            self.orphans.set(to_i64(sweep.orphans));
            for why in Spared::ALL {
                let count = sweep.spared.get(&why).copied().unwrap_or_default();
                self.orphans_spared.with_label_values(&[why.as_str()]).set(to_i64(count));
            }
            self.sweep_last_success
                .set(std::time::Duration::from_millis(sweep.started.as_millis()).as_secs_f64());
            self.sweep_duration.set(std::time::Duration::from_millis(sweep.took_millis).as_secs_f64());
        }
    }
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

//! When to sweep: the cron schedule, on tokio-cron-scheduler.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use super::ConnectError;
use crate::ports::Alarm;

/// Rings at the times of a cron expression with seconds, in UTC. Times that pass while nobody waits
/// collapse to one.
pub struct CronAlarm {
    ticks: Arc<Notify>,
    /// Its tasks run until the runtime ends.
    _scheduler: JobScheduler,
}

impl CronAlarm {
    /// Starts the schedule.
    pub(super) async fn start(schedule: &str) -> Result<Self, ConnectError> {
        let refused = |error: JobSchedulerError| ConnectError::Schedule {
            schedule: schedule.to_owned(),
            reason: if matches!(error, JobSchedulerError::ParseSchedule) {
                "wanted are six fields: second, minute, hour, day of month, month, day of week".to_owned()
            } else {
                // The scheduler's other errors are single words that say where it failed.
                error.to_string()
            },
        };
        let ticks = Arc::new(Notify::new());
        let ring = Arc::clone(&ticks);
        // `notify_one` keeps one permit and no more: that is what collapses missed times.
        let job = Job::new(schedule, move |_, _| ring.notify_one()).map_err(refused)?;
        let scheduler = JobScheduler::new().await.map_err(refused)?;
        scheduler.add(job).await.map_err(refused)?;
        scheduler.start().await.map_err(refused)?;
        Ok(Self { ticks, _scheduler: scheduler })
    }
}

impl Alarm for CronAlarm {
    async fn next(&self) {
        self.ticks.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn rings_every_second_and_missed_times_are_one() {
        let alarm = CronAlarm::start("* * * * * *").await.unwrap();
        let within = async |millis| tokio::time::timeout(Duration::from_millis(millis), alarm.next()).await;
        within(3_000).await.unwrap();
        // Five are missed. On a busy machine one more may come while the one of them is counted.
        tokio::time::sleep(Duration::from_millis(5_500)).await;
        let mut rings = 0;
        while within(300).await.is_ok() {
            rings += 1;
        }
        assert!((1..=2).contains(&rings), "{rings}");
        within(3_000).await.unwrap();
    }

    #[tokio::test]
    async fn an_impossible_schedule_is_refused() {
        for bad in ["", "hourly", "0 0 * * *", "61 * * * * *"] {
            let refused = CronAlarm::start(bad).await.map(|_| ()).unwrap_err();
            assert!(matches!(refused, ConnectError::Schedule { .. }), "{bad}");
        }
    }
}

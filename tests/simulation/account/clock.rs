//! Clock, randomness and sweep schedule of one replica. The only place that asks tokio for the time.

use std::time::Duration;

use iam_user_controller::core::time::Timestamp;
use iam_user_controller::ports::{Alarm, Clock};
use tokio::time::Instant;

use super::ReplicaPorts;

/// Tokio's clock, which every history pauses.
#[expect(clippy::disallowed_methods, reason = "this is the simulated clock itself")]
pub(crate) fn tokio_now() -> Instant {
    Instant::now()
}

impl Clock for ReplicaPorts {
    fn now(&self) -> Timestamp {
        let world = self.account().lock();
        let state = &world.replicas[self.replica()];
        let elapsed = i64::try_from(world.elapsed_ms()).unwrap_or(i64::MAX);
        let drift = elapsed / 1_000 * state.drift_ppm / 1_000;
        Timestamp::from_millis(world.now.saturating_add_signed(state.skew_ms + drift))
    }

    fn monotonic(&self) -> Duration {
        let world = self.account().lock();
        let elapsed = world.elapsed_ms();
        let signed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        let drift = signed / 1_000 * world.replicas[self.replica()].drift_ppm / 1_000;
        Duration::from_millis(elapsed.saturating_add_signed(drift))
    }

    fn skew_millis(&self) -> Option<i64> {
        if !self.answered() {
            return None;
        }
        let ours = self.now().as_millis();
        let theirs = self.account().lock().now;
        // The `Date` header has whole seconds.
        Some((theirs - theirs % 1_000).cast_signed() - (ours - ours % 1_000).cast_signed())
    }

    fn random(&self) -> u64 {
        self.draw()
    }
}

impl Alarm for ReplicaPorts {
    async fn next(&self) {
        let wait = {
            let world = self.account().lock();
            world.sweep_every_ms - world.now % world.sweep_every_ms
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}

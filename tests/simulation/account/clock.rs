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
        Timestamp::from_millis(world.replicas[self.replica()].wall_ms(world.elapsed_ms(), world.now))
    }

    fn monotonic(&self) -> Duration {
        let world = self.account().lock();
        Duration::from_millis(world.replicas[self.replica()].monotonic_ms(world.elapsed_ms()))
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

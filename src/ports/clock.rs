//! Time and randomness, so that neither is ambient.

use std::future::Future;
use std::time::Duration;

use crate::core::time::Timestamp;

/// Time and randomness. Sleeping is tokio's, which tests pause.
pub trait Clock: Send + Sync {
    /// The machine's wall clock.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment of this process; never goes back, does not follow the wall clock.
    fn monotonic(&self) -> Duration;

    /// AWS's clock less ours, in milliseconds, as the `Date` of its last answers told; `None` before
    /// the first. With answers of several services, the one that differs most.
    fn skew_millis(&self) -> Option<i64>;

    /// A random number, uniform over all of `u64`.
    fn random(&self) -> u64;
}

/// The sweep schedule.
pub trait Alarm: Send + Sync {
    /// Returns at the next time of the schedule.
    fn next(&self) -> impl Future<Output = ()> + Send;
}

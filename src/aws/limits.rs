//! How long calls may take, how often reads are repeated, how many pages are followed.
//!
//! Explicit, because the lease is reckoned with them and the SDK's own defaults have no total limit.

use std::time::Duration;

use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

/// To a TCP and TLS connection. Within a region it takes milliseconds; three seconds let one lost
/// SYN be sent again (after one second) and its repetition too.
const CONNECT: Duration = Duration::from_secs(3);

/// A connection that was idle for this long is not used again. Shorter than the minute after which
/// load balancers commonly close one: a change sent into a connection that is just being closed gets
/// no answer, and then it may have happened.
pub(super) const IDLE_CONNECTION: Duration = Duration::from_secs(20);

/// One attempt of a read, the body included. IAM's slowest page of 1,000 users takes about two.
const READ_ATTEMPT: Duration = Duration::from_secs(5);

/// All attempts of a read: two that hang, and what is left for a third.
const READ_OPERATION: Duration = Duration::from_secs(12);

/// Attempts of a read: enough to pass over a lost connection and one throttled second; what lasts
/// longer is the caller's business, which has the queue and the limiter for it.
const READ_ATTEMPTS: u32 = 3;

/// Before the second attempt, at most; doubles from there.
const INITIAL_BACKOFF: Duration = Duration::from_millis(200);

/// Between two attempts, at most.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// A change has one attempt.
///
/// [`Directory::remove`](crate::ports::Directory::remove) of a virtual MFA device makes two such
/// calls, which share this time.
pub use crate::ports::LONGEST_CHANGE;

/// The longest time that one call to the state table can take. Short, so that a lease that is
/// renewed every third of its life has a second chance within it; the caller repeats.
pub const LONGEST_STATE_CALL: Duration = Duration::from_secs(3);

/// The longest time that one read of the stream can take. The reader has its own pace (five calls a
/// second and shard, which repetitions by the SDK would exceed), so it is sent once.
pub const LONGEST_STREAM_CALL: Duration = Duration::from_secs(5);

/// The longest time that one attempt to prove a key can take; the caller repeats it.
pub const LONGEST_PROOF: Duration = Duration::from_secs(3);

/// Pages of one answer, at most. IAM: 100 entries a page, and nothing of a user has 1,000 of them.
/// DynamoDB: 1 MB a page, and the state table has a record for each shard.
pub(super) const MAX_PAGES: usize = 100;

/// Reads.
pub(super) fn read() -> (RetryConfig, TimeoutConfig) {
    let retry = RetryConfig::standard()
        .with_max_attempts(READ_ATTEMPTS)
        .with_initial_backoff(INITIAL_BACKOFF)
        .with_max_backoff(MAX_BACKOFF);
    (retry, timeouts(READ_ATTEMPT, READ_OPERATION))
}

/// Calls that are sent once.
pub(super) fn once(within: Duration) -> (RetryConfig, TimeoutConfig) {
    (RetryConfig::standard().with_max_attempts(1), timeouts(within, within))
}

fn timeouts(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

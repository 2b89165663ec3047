//! When a key gets a successor, and when the key before it goes.

use super::policy::Policy;
use super::time::Timestamp;

/// When the current key gets a successor. Ages count from the key's CreateDate.
pub fn rotation_due(current_created: Timestamp, policy: &Policy) -> Timestamp {
    current_created + policy.rotate_after
}

/// When a key that has a successor is deleted: when it is old enough *and* the successor has been
/// out for long enough. A controller that was down for a month thus never takes away the key that
/// consumers still use.
pub fn expiry(created: Timestamp, successor_published: Timestamp, policy: &Policy) -> Timestamp {
    (created + policy.delete_after).max(successor_published + policy.min_overlap)
}

//! Which user is worked on next, when a failed one is tried again, and how fast AWS may be called.
//!
//! `queue`, `backoff` and `limiter` are pure: they are told the time and the random numbers, hold no
//! task and wait for nothing. The executor owns them and does the waiting.

pub mod backoff;
pub mod executor;
pub mod limiter;
pub mod queue;

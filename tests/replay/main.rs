//! Answers as AWS gives them, played to the adapters: each error code becomes the right fault, each
//! answer the right value, and the request is the one that was meant.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "all of it is test, the functions outside of tests too; tokio's clock is the one that is paused"
)]

mod canned;
mod dynamodb;
mod iam;
mod limits;
mod secrets;
mod ssm;
mod streams;
mod sts;
mod teardown;
mod watch;

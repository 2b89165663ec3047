//! Makes the IAM users of an AWS account agree with a DynamoDB table.

pub mod admin;
pub mod app;
pub mod aws;
pub mod brakes;
pub mod cli;
pub mod config;
pub mod core;
pub mod feed;
pub mod heartbeat;
pub mod lease;
pub mod metrics;
pub mod pace;
pub mod ports;
pub mod reconcile;
pub mod registry;
pub mod removals;
pub mod status;
pub mod survey;
pub mod sweep;
pub mod telemetry;
pub mod work;

//! Makes the IAM users of an AWS account agree with a DynamoDB table.

pub mod aws;
pub mod brakes;
pub mod cli;
pub mod config;
pub mod core;
pub mod lease;
pub mod pace;
pub mod ports;
pub mod reconcile;
pub mod registry;
pub mod removals;
pub mod work;

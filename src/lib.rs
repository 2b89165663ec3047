//! Makes the IAM users of an AWS account agree with a DynamoDB table.

pub mod cli;
pub mod config;
pub mod core;
pub mod ports;
pub mod work;

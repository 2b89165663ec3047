//! Makes the IAM users of an AWS account agree with a DynamoDB table.

pub mod aws;
pub mod core;
pub mod ports;

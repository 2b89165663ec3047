//! Makes the IAM users of an AWS account agree with a DynamoDB table.

pub mod core;
pub mod feed;
pub mod ports;

//! Answers as AWS gives them, played to the adapters: each error code becomes the right fault, each
//! answer the right value, and the request is the one that was meant.

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

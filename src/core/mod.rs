//! Decisions. No async, no SDK, no clock, no randomness: nothing here can fail for outside reasons.

pub mod document;
pub mod observed;
pub mod parameter_name;
pub mod policy;
pub mod secret;
pub mod time;
pub mod user;

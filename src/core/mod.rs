//! Decisions. No async, no SDK, no clock, no randomness: nothing here can fail for outside reasons.

pub mod document;
mod facts;
pub mod memory;
pub mod observed;
pub mod parameter_name;
pub mod plan;
pub mod policy;
pub mod rotation;
mod rules;
pub mod secret;
pub mod step;
pub mod tags;
pub mod time;
pub mod user;

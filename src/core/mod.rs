//! Decisions. No async, no SDK, no clock, no randomness: nothing here can fail for outside reasons.

pub mod brake;
pub mod cadence;
pub mod census;
pub mod document;
mod effect;
mod facts;
pub mod memory;
#[cfg(test)]
mod model;
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

//! The planner's rules, grouped by what they are about. Each is one function; `plan` has their order.

pub(super) mod keys;
pub(super) mod mint;
pub(super) mod ownership;
pub(super) mod removal;

//! A model of the world for one user, and the proof of the planner on it.
//!
//! [`world`] is the world and what reconciling does to it, [`invariants`] what must hold before every
//! step, [`states`] the states that a user can be in. [`exhaustive`] starts from each of them,
//! [`crashes`] breaks every call of the interesting runs, [`housekeeping`] lets AWS refuse some for ever,
//! [`tables`] and [`quarantine`] say in rows what users may expect. Only tests use it.

mod crashes;
mod exhaustive;
mod housekeeping;
mod in_hand;
mod invariants;
mod quarantine;
mod states;
mod tables;
mod world;

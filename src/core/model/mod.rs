//! A model of the world for one user, and the proof of the planner on it.
//!
//! [`world`] is the world and what reconciling does to it, [`invariants`] what must hold before every
//! step, [`states`] the states that a user can be in. [`exhaustive`] starts from each of them,
//! [`crashes`] breaks every call of the interesting runs, [`tables`] says in rows what users may
//! expect. Only tests use it.

mod crashes;
mod exhaustive;
mod invariants;
mod states;
mod tables;
mod world;

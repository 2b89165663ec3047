//! The program on a simulated AWS account, with faults at every call.
//!
//! `account` is the account behind the ports, `faults` what goes wrong at its gate, `invariants` what
//! must hold all the same, `trace` the history that is printed, `harness` what drives the program.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a fault, a change or a leftover that a check does not speak of is none of its business"
)]

#[cfg(test)]
mod account;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod prng;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod self_test;
#[cfg(test)]
mod trace;

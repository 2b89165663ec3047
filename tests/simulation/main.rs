//! The program on a simulated AWS account, with faults at every call.
//!
//! `account` is the account behind the ports, `faults` what goes wrong at its gate, `invariants` what
//! must hold all the same, `occasions` what may excuse the program, `excuses` that nothing else does,
//! `trace` the history that is printed, `harness` what drives the program. `program` is the program itself
//! under the settings that the account's rules speak of; `stories` what happens to it, `matrix` every fault
//! at every call of every story, `replicas` a leader that stands still at every call, `flapping` a state
//! table that does not keep well, `swarm` random histories, `year` a long one, `crowd` one of many users,
//! `wrong` wrong programs that they have to catch; `safety`, `mass`, `forged` and `teardown` are the
//! histories of which nobody must die who should live.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a fault, a change or a leftover that a check does not speak of is none of its business"
)]

#[cfg(test)]
mod account;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod excuses;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod flapping;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod mass;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod occasions;
#[cfg(test)]
mod prng;
#[cfg(test)]
mod program;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod safety;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod self_test;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod swarm;
#[cfg(test)]
mod teardown;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod wrong;
#[cfg(test)]
mod year;

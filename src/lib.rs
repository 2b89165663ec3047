//! Makes the IAM users of an AWS account agree with a DynamoDB table.
//!
//! A control loop: everything that happens (a record of the table's stream, a sweep, a retry, a
//! restart) becomes "look at this user again". A look *observes* the row, the user, its keys and its
//! parameter, *plans* with a pure function, *applies* one step, and plans again until nothing is left
//! to do. A crash needs no recovery code: the next look is the recovery.
//!
//! # The house
//!
//! Dependencies point one way; `tests/tidy.rs` fails when an import goes the other way.
//!
//! | room | what is there |
//! |---|---|
//! | [`core`] | all decisions; no async, no SDK, no clock, no randomness |
//! | [`ports`] | everything outside the program, as traits in the domain's words |
//! | [`aws`] | the ports, implemented by the AWS SDK; the only room that knows it |
//! | [`reconcile`] | one look at one user; every flow ends here |
//! | [`work`] | who is looked at next; one user is never worked on twice at once |
//! | [`feed`] | the table's stream, from its checkpoints |
//! | [`sweep`], [`survey`] | everybody at a glance: to look closer, or only to show |
//! | [`lease`], [`brakes`], [`removals`] | what is remembered in the state table |
//! | [`pace`] | every call goes through it: as fast as AWS allows, and only while leading |
//! | [`app`] | the composition root: the service, one sweep and the simulation are built here |
//! | [`admin`], [`metrics`], [`status`], [`registry`], [`heartbeat`] | what people and probes see |
//! | [`config`], [`cli`], [`telemetry`] | settings, commands, the log |
//!
//! # Invariants
//!
//! 1. **A published key works.** From the first publication on, `current` in the parameter names an
//!    active key at every moment that a reader could look; removal apart.
//! 2. **No key without a stored secret lives on.** A mint that lost its secret is recognised by its
//!    open `minting` tag and the key's age, and the key is deactivated and deleted. A key that somebody
//!    else made is never mistaken for one.
//! 3. **No user without its boundary**, ever; a drifted one is put back before any key is minted.
//! 4. **Only owned users are changed.** The user's id and ownership are read anew right before every
//!    call that takes something away.
//! 5. **One user, one worker**: no two tasks and no two replicas change one user at once. See
//!    [`lease`] for what exactly holds when a replica freezes.
//! 6. **Nothing acknowledged is lost.** A checkpoint passes a record only when its user is settled, or
//!    its removal is recorded in the state table.
//! 7. **Deletion needs evidence**: a REMOVE record, or complete consistent scans plus a consistent
//!    re-read; never an error, an empty page or a missing answer.
//! 8. **It converges and then is silent**: once faults stop, every user gets where it should be in
//!    bounded time, and a further pass changes nothing.
//! 9. **Secrets go to SSM and nowhere else.**
//!
//! # The exact guarantee of the lease
//!
//! IAM and SSM cannot be fenced. A holder starts a change only while at least a third of the lease is
//! left, judged by its monotonic clock and its wall clock, whichever says less; and it gives up waiting
//! for the answer when the lease ends. Another replica takes over only after the record has been
//! unchanged for the whole time to live by its own clock. So a change by an old holder can take effect
//! under a new one only if it was already sent: at most one call a user. Each [`core::step::Step`] says
//! what such a call leaves behind, and which rule mends it.

pub mod admin;
pub mod app;
pub mod aws;
pub mod brakes;
pub mod cli;
pub mod config;
pub mod core;
pub mod feed;
pub mod heartbeat;
pub mod lease;
pub mod metrics;
pub mod pace;
pub mod ports;
pub mod reconcile;
pub mod registry;
pub mod removals;
pub mod status;
pub mod survey;
pub mod sweep;
pub mod telemetry;
pub mod work;

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
//! | [`feed`] | the table's stream, from its checkpoints; what a standby keeps in sight of it |
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
//! A leadership is a fencing token. Writes to the state table are conditional: a record that a newer
//! token has written is not written by an older one. IAM and SSM cannot be fenced; for them it is this:
//!
//! *Once a newer token is granted, at most one change of each user that was begun under an older one
//! still reaches AWS, and none is begun.* It rests on these numbers, where `ttl` is `lease.ttl`:
//!
//! - A holder begins a change only within `ttl / 5` after the beginning of its last renewal, by its
//!   monotonic clock and by its wall clock, whichever says less. Later, the lease is renewed first; while
//!   that fails, nothing is begun. Without changes it is renewed every `ttl / 3`.
//! - A change ends within [`ports::LONGEST_CHANGE`] (5 s) and half a second of its beginning, and with the
//!   lease. Both clocks are read again before each step of it, so that a process that was stopped, or a
//!   machine that was suspended, in the middle of a change that is not sent yet does not send it when it
//!   wakes.
//! - Another replica takes over only when the record has not changed for `ttl` by its own monotonic
//!   clock, or was given back. Clocks of two machines are never compared; they may be hours apart.
//! - A lease that ran out, by either of its holder's clocks, is not renewed. The holder drops all its work,
//!   also when nobody else has taken the lease, and takes it anew with a newer token: nothing that was
//!   decided before a machine slept is carried out after it.
//! - One user is worked on by one task at a time, which makes one change at a time.
//!
//! So with clocks that run alike every change has ended, at `ttl / 5 + 5.5 s`, before another replica
//! takes over at `ttl`, when `ttl` is 7 s or more (the default is 15 s): then only what the network or AWS
//! still carry after that can come late. With a shorter `ttl` a change ends with the lease, and the same
//! holds but for what was sent in its last moments. Where the watcher's clock is up to five times as fast
//! as the holder's (0.5 and 2 are four times), a change that was under way at the taking-over may
//! reach AWS after it, at the defaults up to 10 s later; one a user and token, however many replicas
//! follow each other. Beyond that factor nothing is promised.
//!
//! That one change is harmless, because a new leader takes every read for possibly late, and every
//! unpublished key for possibly being published, for [`core::memory::SETTLE`] (10 s) after it took
//! over from anybody who changed something; and because each [`core::step::Step`] says what it leaves
//! behind without an answer, and which rule mends it. `tests/simulation` checks all of this: its fifth
//! invariant counts the changes that arrive under a stale token.
//!
//! What cannot be excluded is a machine that stops in the microseconds between the reading of the
//! clocks and the handing of the request to the network. That one change is sent when it wakes, if its
//! connection is still there, and AWS refuses it when its signature is five minutes old. It may then
//! meet what the new leader has made since. Most changes are harmless even so; six are not: CreateUser
//! (a user whose row is gone: the sweep finds the orphan), CreateAccessKey (a key that is reported as
//! foreign, and that a person has to delete), UpdateAccessKey (of an orphan whose row is back: its
//! current key is inactive, and it is shown as blocked), DeleteUser (a user of the same name that has no
//! key yet: it is created anew), PutParameter and DeleteParameter (the user's next look mends its
//! document). The simulation makes each of them go out so, and fails when another joins them.

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

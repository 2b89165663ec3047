//! `[lease]`: which replica works.

use std::time::Duration;

use super::key::Key;
use super::reader::{Durations, Reader};

const TTL: Key = Key::of("lease", "ttl");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[TTL];

const TTLS: Durations = Durations {
    least: Duration::from_secs(2),
    most: Duration::from_secs(10 * 60),
    because: "it has to outlast a call to AWS, and a standby waits this long for a dead leader",
};

/// Which replica works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How long a lease lasts that is not renewed.
    pub ttl: Duration,
}

impl Lease {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let ttl = reader.required(TTL, &TTLS.valid(), |raw| raw.duration(&TTLS))?;
        Some(Self { ttl })
    }
}

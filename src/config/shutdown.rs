//! `[shutdown]`: the end of the program.

use std::time::Duration;

use super::key::Key;
use super::reader::{Durations, Reader};

const GRACE: Key = Key::of("shutdown", "grace");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[GRACE];

const GRACES: Durations = Durations {
    least: Duration::ZERO,
    most: Duration::from_secs(10 * 60),
    because: "it must be less than what the platform waits before it kills",
};

/// The end of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long users in hand have to be finished after the first signal.
    pub grace: Duration,
}

impl Shutdown {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let grace = reader.required(GRACE, &GRACES.valid(), |raw| raw.duration(&GRACES))?;
        Some(Self { grace })
    }
}

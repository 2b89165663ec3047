//! `[deletions]`: the brake.

use std::fmt;
use std::time::Duration;

use super::key::Key;
use super::reader::{Durations, Reader};

const MAX_COUNT: Key = Key::of("deletions", "max_count");
const MAX_PERCENT: Key = Key::of("deletions", "max_percent");
const WINDOW: Key = Key::of("deletions", "window");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[MAX_COUNT, MAX_PERCENT, WINDOW];

/// IAM: 5,000 users an account. Any more is no brake, and this is surely a slip of the hand.
const MOST_USERS: u32 = 1_000_000;

const WINDOWS: Durations = Durations {
    least: Duration::from_secs(1),
    most: Duration::from_secs(31 * 86_400),
    because: "every deletion within it is remembered",
};

/// How many users may be deleted in a while before an operator is asked. The brake holds when both
/// limits would be exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletions {
    /// So many users.
    pub max_count: u32,
    /// Such a part of the owned users.
    pub max_percent: Percent,
    /// In such a time.
    pub window: Duration,
}

impl Deletions {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let valid_count = format!("a whole number from 0 to {MOST_USERS}; an account has at most 5000 users");
        let max_count = reader.required(MAX_COUNT, &valid_count, |raw| raw.integer(0..=MOST_USERS));
        let max_percent = reader.required(MAX_PERCENT, "a whole number from 0 to 100, without %", |raw| {
            Percent::try_from(raw.integer(0..=100)?)
        });
        let window = reader.required(WINDOW, &WINDOWS.valid(), |raw| raw.duration(&WINDOWS));
        Some(Self { max_count: max_count?, max_percent: max_percent?, window: window? })
    }
}

/// A whole number of hundredths, from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// The number of hundredths.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u32> for Percent {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        match u8::try_from(number) {
            Ok(number) if number <= 100 => Ok(Self(number)),
            _ => Err("it is more than 100".to_owned()),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

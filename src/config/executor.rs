//! `[executor]`: how much is done at once.

use std::num::NonZeroUsize;

use super::key::Key;
use super::reader::Reader;

const CONCURRENCY: Key = Key::of("executor", "concurrency");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[CONCURRENCY];

/// IAM and SSM limit calls for the whole account: more at once only waits more at once.
const MOST: u32 = 256;

/// How much is done at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executor {
    /// So many users are worked on at once.
    pub concurrency: NonZeroUsize,
}

impl Executor {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let valid =
            format!("a whole number from 1 to {MOST}; AWS's limits are for the account, more is no faster");
        let concurrency = reader.required(CONCURRENCY, &valid, |raw| {
            let number = usize::try_from(raw.integer(1..=MOST)?).map_err(|error| error.to_string())?;
            NonZeroUsize::try_from(number).map_err(|error| error.to_string())
        });
        Some(Self { concurrency: concurrency? })
    }
}

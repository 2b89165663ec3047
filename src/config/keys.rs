//! `[keys]`: the life of an access key.

use std::time::Duration;

use crate::core::policy::ForeignKeys;

use super::key::Key;
use super::reader::{Durations, Reader, one_of};
use super::render;

const ROTATE_AFTER: Key = Key::of("keys", "rotate_after");
const DELETE_AFTER: Key = Key::of("keys", "delete_after");
const MIN_OVERLAP: Key = Key::of("keys", "min_overlap");
const FOREIGN: Key = Key::of("keys", "foreign");
const VERIFY: Key = Key::of("keys", "verify");
const VERIFY_TIMEOUT: Key = Key::of("keys", "verify_timeout");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[ROTATE_AFTER, DELETE_AFTER, MIN_OVERLAP, FOREIGN, VERIFY, VERIFY_TIMEOUT];

const A_CENTURY: Duration = Duration::from_secs(36_500 * 86_400);

const AGES: Durations = Durations {
    least: Duration::from_secs(1),
    most: A_CENTURY,
    because: "IAM tells a key's age to the second; a century is never",
};

const OVERLAPS: Durations = Durations {
    least: Duration::ZERO,
    most: A_CENTURY,
    because: "0s takes the old key away as soon as its age allows",
};

const TIMEOUTS: Durations = Durations {
    least: Duration::from_secs(1),
    most: Duration::from_secs(15 * 60),
    because: "IAM needs seconds to spread a key; its secret is in memory only until then",
};

const FOREIGN_KEYS: &[(&str, ForeignKeys)] =
    &[("report", ForeignKeys::Report), ("revoke", ForeignKeys::Revoke)];

/// The life of an access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Age at which the current key gets a successor.
    pub rotate_after: Duration,
    /// Age at which a key with a successor is deleted; more than `rotate_after`.
    pub delete_after: Duration,
    /// How long a successor is published before the key before it is deleted; at most the
    /// difference of the two, and half of it unless set.
    pub min_overlap: Duration,
    /// What to do about keys that the controller did not make.
    pub foreign: ForeignKeys,
    /// Whether a new key is proven before it is published.
    pub verify: bool,
    /// How long to wait for the proof.
    pub verify_timeout: Duration,
}

impl Keys {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let rotate_after = reader.required(ROTATE_AFTER, &AGES.valid(), |raw| raw.duration(&AGES));
        let delete_after = reader.required(DELETE_AFTER, &AGES.valid(), |raw| raw.duration(&AGES));
        let overlap = reader.optional(MIN_OVERLAP, &OVERLAPS.valid(), |raw| raw.duration(&OVERLAPS));
        let foreign = reader.required(FOREIGN, &one_of(FOREIGN_KEYS), |raw| raw.choice(FOREIGN_KEYS));
        let verify = reader.required(VERIFY, "true or false", |raw| raw.flag());
        let verify_timeout =
            reader.required(VERIFY_TIMEOUT, &TIMEOUTS.valid(), |raw| raw.duration(&TIMEOUTS));
        let (rotate_after, delete_after) = (rotate_after?, delete_after?);
        Some(Self {
            rotate_after,
            delete_after,
            min_overlap: min_overlap(reader, rotate_after, delete_after, overlap)?,
            foreign: foreign?,
            verify: verify?,
            verify_timeout: verify_timeout?,
        })
    }
}

fn min_overlap(
    reader: &mut Reader,
    rotate_after: Duration,
    delete_after: Duration,
    set: Option<Duration>,
) -> Option<Duration> {
    let Some(both) = delete_after.checked_sub(rotate_after).filter(|both| !both.is_zero()) else {
        let problem = format!("it is not more than {}", reader.told(ROTATE_AFTER));
        let valid = format!("more than {}: a key gets its successor first", render::duration(rotate_after));
        reader.conflict(DELETE_AFTER, problem, valid);
        return None;
    };
    match set {
        Some(overlap) if overlap > both => {
            let problem = format!(
                "it is more than keys.delete_after − keys.rotate_after: {}, {}",
                reader.told(DELETE_AFTER),
                reader.told(ROTATE_AFTER)
            );
            let valid = format!("at most {}, or unset for half of that", render::duration(both));
            reader.conflict(MIN_OVERLAP, problem, valid);
            None
        }
        Some(overlap) => Some(overlap),
        None => Some(both / 2),
    }
}

//! `[sweep]`: when the whole account is looked at.

use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds};

use super::key::Key;
use super::reader::{Durations, Reader};

const SCHEDULE: Key = Key::of("sweep", "schedule");
const FULL_EVERY: Key = Key::of("sweep", "full_every");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[SCHEDULE, FULL_EVERY];

const PERIODS: Durations = Durations {
    least: Duration::from_secs(1),
    most: Duration::from_secs(365 * 86_400),
    because: "what drifted without a trace on the table is mended no sooner",
};

/// When the whole account is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Cron with seconds, in UTC: six fields, checked as the scheduler's own parser reads them.
    pub schedule: String,
    /// Within this time every user is looked at in full.
    pub full_every: Duration,
}

impl Sweep {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let valid = "cron with seconds, in UTC: second minute hour day month weekday, as in \"0 0 * * * *\"";
        let schedule = reader.required(SCHEDULE, valid, |raw| raw.text().and_then(six_fields));
        let full_every = reader.required(FULL_EVERY, &PERIODS.valid(), |raw| raw.duration(&PERIODS));
        Some(Self { schedule: schedule?, full_every: full_every? })
    }
}

fn six_fields(text: &str) -> Result<String, String> {
    let fields = text.split_whitespace().count();
    if fields != 6 {
        let hint = if fields == 5 { "; a field for the seconds comes first" } else { "" };
        return Err(format!("the number of its fields is {fields}, not 6{hint}"));
    }
    // As tokio-cron-scheduler sets it up.
    let parser = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
    let cron = parser.parse(text).map_err(|error| error.to_string())?;
    // No field names a year, so a pattern that matches no day from 1970 on never matches one.
    match cron.find_next_occurrence(&DateTime::<Utc>::UNIX_EPOCH, true) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("it names no day of any year".to_owned()),
    }
}

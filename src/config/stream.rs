//! `[stream]`: how often the table's stream is read.

use std::time::Duration;

use super::key::Key;
use super::reader::{Durations, Reader};

const POLL_INTERVAL: Key = Key::of("stream", "poll_interval");
const IDLE_INTERVAL: Key = Key::of("stream", "idle_interval");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[POLL_INTERVAL, IDLE_INTERVAL];

const INTERVALS: Durations = Durations {
    least: Duration::from_millis(10),
    most: Duration::from_secs(60),
    because: "DynamoDB takes about 5 reads a second and shard, by all readers; an iterator lives 15m",
};

/// How often the table's stream is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The pause between two reads of a shard while records come.
    pub poll_interval: Duration,
    /// What the pause grows to while none come; at least `poll_interval`.
    pub idle_interval: Duration,
}

impl Stream {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let poll = reader.required(POLL_INTERVAL, &INTERVALS.valid(), |raw| raw.duration(&INTERVALS));
        let idle = reader.required(IDLE_INTERVAL, &INTERVALS.valid(), |raw| raw.duration(&INTERVALS));
        let (poll_interval, idle_interval) = (poll?, idle?);
        if poll_interval > idle_interval {
            let problem = format!("it is more than {}, which it grows to", reader.told(IDLE_INTERVAL));
            reader.conflict(POLL_INTERVAL, problem, "at most stream.idle_interval".to_owned());
            return None;
        }
        Some(Self { poll_interval, idle_interval })
    }
}

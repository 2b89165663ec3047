//! What a standby has seen of the table and its stream, and whether reading may begin on it. Pure.
//!
//! It tells a new leader which stream is the table's, and which shards there were. It never tells
//! that something is missing: that is decided on what the leader sees by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::limits::OUTLOOK_LIFE;
use super::service::Restored;
use super::succession::{Followed, Succession, succession};
use crate::core::time::Timestamp;
use crate::ports::{ShardDescription, TableDescription};

/// The table, and every shard of its stream, a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    pub(super) table: TableDescription,
    pub(super) shards: Vec<ShardDescription>,
    /// When the look began, by both clocks: the monotonic one stands still while the machine is
    /// suspended, the wall clock can be set.
    pub(super) monotonic: Duration,
    pub(super) wall: Timestamp,
}

impl Outlook {
    /// Whether these checkpoints may be read on from at once.
    ///
    /// Only where a leader had stored a position in every shard of this very stream. Then one that it
    /// did not see begins at its beginning, whenever it is found, and nothing can be missed. A first
    /// start, another stream or another table has to be looked at before.
    pub(super) fn serves(
        &self,
        checkpoints: &BTreeMap<String, Restored>,
        monotonic: Duration,
        wall: Timestamp,
    ) -> bool {
        let age = monotonic.saturating_sub(self.monotonic).max(wall.since(self.wall));
        let mut streams = checkpoints.iter();
        let (Some((arn, Restored { stream: Some(record), .. })), None) = (streams.next(), streams.next())
        else {
            return false;
        };
        let followed = Followed { arn, table_id: &record.table_id };
        age <= OUTLOOK_LIFE
            && record.listed
            && self.table.stream.as_ref().is_some_and(|stream| stream.enabled)
            && succession(&self.table, Some(followed)) == Succession::Same
    }
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::StreamCheckpoint;
    use super::*;
    use crate::ports::TableStream;

    const ARN: &str = "arn:t/users/stream/2026-02";

    fn start() -> Timestamp {
        Timestamp::from_secs(1_767_225_600)
    }

    /// What was seen of a table with this id and this stream, switched on or not.
    fn seen(id: &str, stream: Option<(&str, bool)>) -> Outlook {
        let stream = stream.map(|(arn, enabled)| TableStream { arn: arn.to_owned(), enabled });
        let table = TableDescription {
            arn: "arn:t/users".to_owned(),
            id: id.to_owned(),
            readable: true,
            keyed_by_user_name: true,
            stream,
        };
        Outlook { table, shards: Vec::new(), monotonic: Duration::from_secs(1_000), wall: start() }
    }

    /// Checkpoints of these streams, each with its record (`listed` or not) or without.
    fn stored(streams: &[(&str, Option<bool>)]) -> BTreeMap<String, Restored> {
        let record = |arn: &str, listed| StreamCheckpoint {
            stream: arn.to_owned(),
            table_id: "1".to_owned(),
            listed,
            updated: start(),
        };
        let restored = |(arn, listed): &(&str, Option<bool>)| Restored {
            stream: listed.map(|l| record(arn, l)),
            shards: Vec::new(),
        };
        streams.iter().map(|each| (each.0.to_owned(), restored(each))).collect()
    }

    #[test]
    fn which_checkpoints_may_be_read_on_from() {
        let other = "arn:t/users/stream/2026-01";
        let complete = [(ARN, Some(true))];
        for (id, stream, streams, expected) in [
            ("1", Some((ARN, true)), &complete[..], true),
            ("", Some((ARN, true)), &complete, true),
            // A first start, or one that was cut off before every shard had its position.
            ("1", Some((ARN, true)), &[], false),
            ("1", Some((ARN, true)), &[(ARN, Some(false))], false),
            ("1", Some((ARN, true)), &[(ARN, None)], false),
            // Another stream, another table, none.
            ("1", Some((other, true)), &complete, false),
            ("1", Some((ARN, true)), &[(ARN, Some(true)), (other, Some(true))], false),
            ("2", Some((ARN, true)), &complete, false),
            ("1", Some((ARN, false)), &complete, false),
            ("1", None, &complete, false),
        ] {
            let serves = seen(id, stream).serves(&stored(streams), Duration::from_secs(1_001), start());
            assert_eq!(serves, expected, "{id} {stream:?} {streams:?}");
        }
    }

    #[test]
    fn it_ages_by_the_clock_that_says_more() {
        let outlook = seen("1", Some((ARN, true)));
        let stored = stored(&[(ARN, Some(true))]);
        let second = Duration::from_secs(1);
        for (monotonic, wall, expected) in [
            (OUTLOOK_LIFE, OUTLOOK_LIFE, true),
            (OUTLOOK_LIFE + second, Duration::ZERO, false),
            // The machine was suspended.
            (second, OUTLOOK_LIFE + second, false),
        ] {
            let serves = outlook.serves(&stored, outlook.monotonic + monotonic, start() + wall);
            assert_eq!(serves, expected, "{monotonic:?} {wall:?}");
        }
    }
}

//! What the state table holds for the feed.
//!
//! `checkpoint/<stream ARN>/<shard id>` for a shard, `checkpoint/<stream ARN>` for the stream as a
//! whole. The body repeats stream and shard, and is what counts.

use serde::{Deserialize, Serialize};

use crate::core::time::Timestamp;
use crate::ports::{Record, SequenceNumber, ShardId};

/// Ids of the feed's records begin with this.
pub(super) const PREFIX: &str = "checkpoint/";

/// The body of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Checkpoint {
    /// A shard's.
    Shard(ShardCheckpoint),
    /// A stream's.
    Stream(StreamCheckpoint),
}

/// How far a shard has been handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShardCheckpoint {
    /// ARN of the stream.
    pub(super) stream: String,
    /// The shard.
    pub(super) shard: ShardId,
    /// The shard before it; none when that can no longer be had.
    pub(super) parent: Option<ShardId>,
    /// Everything up to here is settled; null is TRIM_HORIZON.
    pub(super) sequence: Option<SequenceNumber>,
    /// Whether it has ever been read from.
    #[serde(default)]
    pub(super) begun: bool,
    /// Read to its end (or lost), and everything of it settled.
    #[serde(default)]
    pub(super) finished: bool,
    /// Given up, because it was gone.
    #[serde(default)]
    pub(super) lost: bool,
    /// Everything created before this is settled.
    pub(super) through: Timestamp,
    /// When this was written.
    pub(super) updated: Timestamp,
}

/// What is known of a stream as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamCheckpoint {
    /// Its ARN.
    pub(super) stream: String,
    /// `TableId` of the table that it belongs to; empty when not told.
    #[serde(default)]
    pub(super) table_id: String,
    /// Whether all its shards have been seen once. From then on a shard whose parent is unknown is a gap.
    #[serde(default)]
    pub(super) listed: bool,
    /// When this was written.
    pub(super) updated: Timestamp,
}

impl Checkpoint {
    /// Reads a record of the feed.
    ///
    /// # Errors
    /// Says why the body is not a checkpoint.
    pub(super) fn parse(record: &Record) -> Result<Self, String> {
        let checkpoint: Self = serde_json::from_str(&record.body).map_err(|error| error.to_string())?;
        if checkpoint.id() == record.id {
            Ok(checkpoint)
        } else {
            Err("it belongs under another id".to_owned())
        }
    }

    /// The id of its record.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Shard(at) => format!("{PREFIX}{}/{}", at.stream, at.shard),
            Self::Stream(at) => format!("{PREFIX}{}", at.stream),
        }
    }

    /// The record to be stored.
    pub(super) fn record(&self, token: u64) -> Record {
        // Structs of strings, flags and times always serialize.
        let body = serde_json::to_string(self).unwrap_or_default();
        Record { id: self.id(), body, token }
    }
}

impl ShardCheckpoint {
    /// Whether both say the same but for the time.
    pub(super) fn same_progress(&self, other: &Self) -> bool {
        self.sequence == other.sequence
            && self.begun == other.begun
            && self.finished == other.finished
            && self.lost == other.lost
            && self.parent == other.parent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard() -> Checkpoint {
        Checkpoint::Shard(ShardCheckpoint {
            stream: "arn:aws:dynamodb:eu-west-1:1:table/users/stream/2026-01-01T00:00:00.000".to_owned(),
            shard: ShardId("shardId-1".to_owned()),
            parent: None,
            sequence: None,
            begun: true,
            finished: false,
            lost: false,
            through: Timestamp::from_secs(1_767_225_600),
            updated: Timestamp::from_secs(1_767_225_601),
        })
    }

    #[test]
    fn a_record_says_in_plain_json_where_its_shard_stands() {
        let record = shard().record(7);
        assert_eq!(
            record.id,
            "checkpoint/arn:aws:dynamodb:eu-west-1:1:table/users/stream/2026-01-01T00:00:00.000/shardId-1"
        );
        assert_eq!(record.token, 7);
        assert_eq!(
            record.body,
            concat!(
                r#"{"kind":"shard","stream":"arn:aws:dynamodb:eu-west-1:1:table/users/stream/"#,
                r#"2026-01-01T00:00:00.000","shard":"shardId-1","parent":null,"sequence":null,"begun":true,"#,
                r#""finished":false,"lost":false,"through":"2026-01-01T00:00:00.000Z","#,
                r#""updated":"2026-01-01T00:00:01.000Z"}"#
            )
        );
        assert_eq!(Checkpoint::parse(&record), Ok(shard()));
    }

    #[test]
    fn what_is_no_checkpoint_is_an_error() {
        let mut record = shard().record(7);
        record.id.push('x');
        assert!(Checkpoint::parse(&record).is_err());
        for body in ["", "{}", r#"{"kind":"shard"}"#, r#"{"kind":"lease"}"#, "null"] {
            let record = Record { id: "checkpoint/x".to_owned(), body: body.to_owned(), token: 1 };
            assert!(Checkpoint::parse(&record).is_err(), "{body}");
        }
    }
}

//! DynamoDB Streams: shards that are continued and split, records that are trimmed after a day,
//! iterators that expire, streams that are disabled and enabled anew.

use std::collections::VecDeque;

use iam_user_controller::ports::{
    Batch, ChangeKind, ChangeRecord, Fault, Position, SequenceNumber, ShardDescription, ShardId,
    ShardIterator, ShardPage, StreamError, StreamStatus, Streams,
};

use super::gate::Outcome;
use super::{ReplicaPorts, World, refused, whole_seconds};
use crate::faults::Call;
use crate::trace::Hash;

const DAY_MS: u64 = 24 * 3_600_000;
const ITERATOR_MS: u64 = 15 * 60_000;
/// 21 digits, about to become 22: whoever compares sequence numbers as text notices soon.
const FIRST_SEQUENCE: u128 = 999_999_999_999_999_999_990;

struct StreamRecord {
    sequence: u128,
    kind: ChangeKind,
    name: String,
    written_ms: u64,
    visible_ms: u64,
}

struct Shard {
    id: ShardId,
    parent: Option<usize>,
    created_ms: u64,
    visible_ms: u64,
    closed_ms: Option<u64>,
    /// Which hashes of names it takes, both ends included.
    range: (u64, u64),
    records: VecDeque<StreamRecord>,
    /// The last record that was trimmed.
    trimmed: Option<u128>,
    gone: bool,
}

/// One life of the table's stream.
pub(crate) struct Stream {
    pub(crate) arn: String,
    pub(crate) status: StreamStatus,
    closed_ms: Option<u64>,
    shards: Vec<Shard>,
}

/// All streams that the table ever had.
#[derive(Default)]
pub(crate) struct StreamSet {
    list: Vec<Stream>,
    last_sequence: u128,
    /// When the next shard is to be continued or a record to be trimmed.
    due_ms: u64,
}

impl StreamSet {
    pub(crate) fn newest(&self) -> Option<&Stream> {
        self.list.last()
    }

    fn find(&self, arn: &str) -> Result<&Stream, StreamError> {
        self.list.iter().find(|stream| stream.arn == arn).ok_or(StreamError::Gone)
    }

    fn next_sequence(&mut self) -> u128 {
        self.last_sequence = self.last_sequence.max(FIRST_SEQUENCE) + 1;
        self.last_sequence
    }
}

impl Stream {
    fn add_shard(&mut self, parent: Option<usize>, range: (u64, u64), now: u64, visible_ms: u64) {
        let number = self.shards.len();
        let salt = Hash::START.text(&self.arn).word(number as u64).value() & 0xFFFF_FFFF;
        self.shards.push(Shard {
            id: ShardId(format!("shardId-{now:020}-{salt:08x}")),
            parent,
            created_ms: now,
            visible_ms,
            closed_ms: None,
            range,
            records: VecDeque::new(),
            trimmed: None,
            gone: false,
        });
    }

    fn open_shards(&self) -> Vec<usize> {
        (0..self.shards.len()).filter(|at| self.shards[*at].closed_ms.is_none()).collect()
    }

    /// Closes a shard and continues it in one child or in two.
    fn continue_shard(&mut self, at: usize, children: u64, now: u64, visible_ms: u64) {
        self.shards[at].closed_ms = Some(now);
        let (low, high) = self.shards[at].range;
        if children == 2 && high > low {
            let middle = low + (high - low) / 2;
            self.add_shard(Some(at), (low, middle), now, visible_ms);
            self.add_shard(Some(at), (middle + 1, high), now, visible_ms);
        } else {
            self.add_shard(Some(at), (low, high), now, visible_ms);
        }
    }

    fn describe(&self, shard: &Shard) -> ShardDescription {
        ShardDescription {
            id: shard.id.clone(),
            // A parent that is gone is still named.
            parent: shard.parent.map(|parent| self.shards[parent].id.clone()),
            closed: shard.closed_ms.is_some(),
        }
    }
}

impl World {
    /// Enables a stream on the table, with an ARN that no stream had before.
    pub(crate) fn enable_stream(&mut self) {
        self.forget_unknown_stream();
        let number = self.streams.list.len();
        let mut stream = Stream {
            arn: format!("{}/stream/{}-{number}", self.table.arn(), self.timestamp()),
            status: StreamStatus::Enabled,
            closed_ms: None,
            shards: Vec::new(),
        };
        stream.add_shard(None, (0, u64::MAX), self.now, self.now);
        self.streams.list.push(stream);
        self.streams.due_ms = 0;
    }

    /// A stream that the program has never seen cannot be found any more once there is another: what
    /// it told, nobody is owed. The program says that there is a gap, and sweeps.
    fn forget_unknown_stream(&mut self) {
        let Some(stream) = self.streams.list.last() else { return };
        let known = format!("checkpoint/{}", stream.arn);
        if self.state.records.keys().any(|id| id.starts_with(&known)) {
            return;
        }
        let began_ms = stream.shards.first().map_or(0, |shard| shard.created_ms);
        for life in self.table.life.values_mut() {
            life.owed_ms = life.owed_ms.filter(|owed| *owed < began_ms);
        }
    }

    /// Disables the stream: its shards close, and nothing is recorded.
    pub(crate) fn disable_stream(&mut self) {
        let now = self.now;
        if let Some(stream) = self.streams.list.last_mut() {
            stream.status = StreamStatus::Disabled;
            stream.closed_ms.get_or_insert(now);
            for shard in &mut stream.shards {
                shard.closed_ms.get_or_insert(now);
            }
        }
    }

    /// Splits every open shard in two.
    pub(crate) fn split_shards(&mut self) {
        self.tend_streams();
        self.continue_shards(2, |_| true);
    }

    fn continue_shards(&mut self, children: u64, which: impl Fn(&Shard) -> bool) {
        let (now, lag) = (self.now, self.conduct.stream_lag_ms);
        let prng = &mut self.prng;
        let Some(stream) = self.streams.list.last_mut() else { return };
        if stream.status != StreamStatus::Enabled {
            return;
        }
        for at in stream.open_shards() {
            if which(&stream.shards[at]) {
                stream.continue_shard(at, children, now, now + prng.below(lag + 1));
            }
        }
        self.streams.due_ms = 0;
    }

    /// Writes a change of a row into the stream. False when nothing is being recorded.
    pub(crate) fn record_change(&mut self, name: &str, kind: ChangeKind) -> bool {
        self.tend_streams();
        let sequence = self.streams.next_sequence();
        let (now, lag) = (self.now, self.conduct.stream_lag_ms);
        let delay = self.prng.below(lag + 1);
        let place = Hash::START.text(name).value();
        let Some(stream) = self.streams.list.last_mut() else { return false };
        if stream.status != StreamStatus::Enabled {
            return false;
        }
        let taker = stream
            .shards
            .iter_mut()
            .find(|shard| shard.closed_ms.is_none() && shard.range.0 <= place && place <= shard.range.1);
        let Some(shard) = taker else { return false };
        let after = shard.records.back().map_or(0, |record| record.visible_ms);
        shard.records.push_back(StreamRecord {
            sequence,
            kind,
            name: name.to_owned(),
            written_ms: now,
            visible_ms: after.max(now + delay),
        });
        self.streams.due_ms = self.streams.due_ms.min(now + DAY_MS);
        true
    }

    /// Continues old shards, trims old records, forgets old shards.
    fn tend_streams(&mut self) {
        if self.now < self.streams.due_ms {
            return;
        }
        let (now, life) = (self.now, self.conduct.shard_life_ms);
        self.continue_shards(1, |shard| shard.created_ms + life <= now);
        let mut due = u64::MAX;
        let lives = &mut self.table.life;
        for stream in &mut self.streams.list {
            for shard in &mut stream.shards {
                if shard.gone {
                    continue;
                }
                while shard.records.front().is_some_and(|record| record.written_ms + DAY_MS <= now) {
                    let Some(record) = shard.records.pop_front() else { break };
                    shard.trimmed = Some(record.sequence);
                    // Nobody can know of this removal any more.
                    if let Some(life) = lives.get_mut(&record.name) {
                        life.owed_ms = life.owed_ms.filter(|owed| *owed != record.written_ms);
                    }
                }
                shard.gone = shard.closed_ms.is_some_and(|closed| closed + DAY_MS <= now);
                if let Some(oldest) = shard.records.front() {
                    due = due.min(oldest.written_ms + DAY_MS);
                }
                due = due.min(shard.closed_ms.map_or(shard.created_ms + life, |closed| closed + DAY_MS));
            }
        }
        self.streams.list.retain(|stream| stream.closed_ms.is_none_or(|closed| closed + DAY_MS > now));
        self.streams.due_ms = due.max(now + 1);
    }

    fn list_shards(&mut self, arn: &str, after: Option<&ShardId>) -> Result<ShardPage, StreamError> {
        self.tend_streams();
        let now = self.now;
        let size = self.conduct.page.max(1);
        let stream = self.streams.find(arn)?;
        let listed = || stream.shards.iter().filter(|shard| !shard.gone && shard.visible_ms <= now);
        let begin = match after {
            None => 0,
            Some(after) => listed().position(|shard| shard.id == *after).map_or(0, |at| at + 1),
        };
        let page: Vec<&Shard> = listed().skip(begin).take(size).collect();
        let more = listed().count() > begin + page.len();
        Ok(ShardPage {
            status: stream.status,
            next: if more { page.last().map(|shard| shard.id.clone()) } else { None },
            shards: page.into_iter().map(|shard| stream.describe(shard)).collect(),
        })
    }

    fn list_children(&mut self, arn: &str, parent: &ShardId) -> Result<Vec<ShardDescription>, StreamError> {
        self.tend_streams();
        if !self.conduct.shard_filter {
            return Err(refused(Call::Children, Fault::Invalid, "unknown parameter ShardFilter").into());
        }
        let now = self.now;
        let stream = self.streams.find(arn)?;
        let at = stream.shards.iter().position(|shard| shard.id == *parent && !shard.gone);
        let at = at.ok_or(StreamError::Gone)?;
        let children = stream
            .shards
            .iter()
            .filter(|shard| shard.parent == Some(at) && !shard.gone && shard.visible_ms <= now);
        Ok(children.map(|shard| stream.describe(shard)).collect())
    }

    fn open_iterator(
        &mut self,
        arn: &str,
        shard: &ShardId,
        position: &Position,
    ) -> Result<ShardIterator, StreamError> {
        self.tend_streams();
        let stream = self.streams.find(arn)?;
        let found = stream.shards.iter().find(|known| known.id == *shard && !known.gone);
        let found = found.ok_or(StreamError::Gone)?;
        let after = match position {
            Position::TrimHorizon => 0,
            Position::After(SequenceNumber(digits)) => digits
                .parse::<u128>()
                .map_err(|_| refused(Call::GetIterator, Fault::Invalid, "sequence number"))?,
        };
        if after > 0 && found.trimmed.is_some_and(|trimmed| after <= trimmed) {
            return Err(StreamError::Trimmed);
        }
        Ok(iterator(arn, shard, after, self.now))
    }

    fn get_records(&mut self, from: &ShardIterator, duplicate: bool) -> Result<Batch, StreamError> {
        self.tend_streams();
        let malformed = || refused(Call::GetRecords, Fault::Invalid, "iterator");
        let mut parts = from.0.split('|');
        let (Some(arn), Some(shard), Some(after), Some(issued)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed().into());
        };
        let mut after = after.parse::<u128>().map_err(|_| malformed())?;
        let issued = issued.parse::<u64>().map_err(|_| malformed())?;
        if issued + ITERATOR_MS < self.now {
            return Err(StreamError::Expired);
        }
        let (now, most) = (self.now, self.conduct.batch.max(1));
        let told_with_the_last = self.prng.chance(500);
        let stream = self.streams.find(arn)?;
        let Some(found) = stream.shards.iter().find(|known| known.id.0 == shard) else {
            return Err(StreamError::Gone);
        };
        if found.gone || (after > 0 && found.trimmed.is_some_and(|trimmed| after < trimmed)) {
            return Err(StreamError::Trimmed);
        }
        let begin = found.records.partition_point(|record| record.sequence <= after);
        let begin = if duplicate { begin.saturating_sub(1) } else { begin };
        let visible = found.records.iter().skip(begin).take_while(|record| record.visible_ms <= now);
        let records: Vec<ChangeRecord> = visible
            .take(most)
            .map(|record| ChangeRecord {
                sequence: SequenceNumber(record.sequence.to_string()),
                kind: record.kind,
                name: record.name.clone(),
                created: whole_seconds(record.written_ms),
            })
            .collect();
        if let Some(last) = found.records.get((begin + records.len()).wrapping_sub(1)) {
            after = after.max(if records.is_empty() { 0 } else { last.sequence });
        }
        let at_end = begin + records.len() == found.records.len();
        let ends = found.closed_ms.is_some() && at_end && (records.is_empty() || told_with_the_last);
        let next = (!ends).then(|| iterator(arn, &found.id, after, now));
        Ok(Batch { records, next })
    }
}

fn iterator(arn: &str, shard: &ShardId, after: u128, now: u64) -> ShardIterator {
    ShardIterator(format!("{arn}|{shard}|{after}|{now}"))
}

impl Streams for ReplicaPorts {
    async fn shards(&self, stream: &str, after: Option<&ShardId>) -> Result<ShardPage, StreamError> {
        self.read(Call::DescribeStream, "", |world| world.list_shards(stream, after)).await
    }

    async fn children(&self, stream: &str, parent: &ShardId) -> Result<Vec<ShardDescription>, StreamError> {
        self.read(Call::Children, &parent.0, |world| world.list_children(stream, parent)).await
    }

    async fn iterator(
        &self,
        stream: &str,
        shard: &ShardId,
        position: &Position,
    ) -> Result<ShardIterator, StreamError> {
        self.read(Call::GetIterator, &shard.0, |world| world.open_iterator(stream, shard, position)).await
    }

    async fn records(&self, iterator: &ShardIterator) -> Result<Batch, StreamError> {
        self.read(Call::GetRecords, "", |world| match world.quirk.take() {
            Some(crate::faults::Kind::Expired) => Err(StreamError::Expired),
            Some(crate::faults::Kind::EmptyPage) => {
                Ok(Batch { records: Vec::new(), next: Some(iterator.clone()) })
            }
            quirk => world.get_records(iterator, quirk.is_some()),
        })
        .await
    }
}

impl Outcome for StreamError {
    fn word(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Trimmed => "trimmed",
            Self::Gone => "gone",
            Self::Call(error) => error.word(),
        }
    }
}

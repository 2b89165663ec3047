//! A small table, stream and state table in memory, for the feed's own tests.
//!
//! Time is tokio's, which the tests pause. A call takes 10 ms, or as long as is said. The world also
//! watches the reader: more than one GetRecords at once or more than five a second on a shard is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::core::time::Timestamp;
use crate::ports::{
    Batch, CallError, ChangeKind, ChangeRecord, Clock, Fault, ItemPage, Ports, Position, Record,
    SequenceNumber, ShardDescription, ShardId, ShardIterator, ShardPage, StateError, StateStore, StreamError,
    StreamStatus, Streams, TableDescription, TableStream, Untouched, UsersTable,
};

pub(super) const TABLE: &str = "arn:aws:dynamodb:eu-west-1:111122223333:table/users";

pub(super) fn stream_arn(label: &str) -> String {
    format!("{TABLE}/stream/{label}")
}

/// Long ago enough that a test can go back in time.
const START: i64 = 1_767_225_600;

/// The one-user outside world. Clones are handles to it.
#[derive(Clone)]
pub(super) struct World {
    began: tokio::time::Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) table: Option<TableDescription>,
    pub(super) streams: BTreeMap<String, FakeStream>,
    pub(super) state: BTreeMap<String, Record>,
    /// Each call of this name fails: one in so many, or all with 1.
    pub(super) failing: BTreeMap<&'static str, (u64, Fault)>,
    /// A third of all calls fail, whatever they are.
    pub(super) a_third_fails: bool,
    /// Calls made, by name.
    pub(super) calls: BTreeMap<&'static str, u64>,
    /// Broken promises about GetRecords.
    pub(super) complaints: Vec<String>,
    /// Whether the filter CHILD_SHARDS is known.
    pub(super) no_child_filter: bool,
    /// Whether a position behind all records is refused.
    pub(super) strict_positions: bool,
    /// Iterators are good for this long.
    pub(super) iterator_life: Option<Duration>,
    pub(super) page_size: Option<usize>,
    /// What a call takes.
    pub(super) latency: Option<Duration>,
    sent: BTreeMap<String, Vec<Duration>>,
    reading: BTreeSet<String>,
    random: u64,
    sequence: u64,
}

pub(super) struct FakeStream {
    pub(super) status: StreamStatus,
    pub(super) shards: Vec<FakeShard>,
    pub(super) gone: bool,
    pub(super) shards_a_page: usize,
}

#[derive(Clone)]
pub(super) struct FakeShard {
    pub(super) id: String,
    pub(super) parent: Option<String>,
    pub(super) closed: bool,
    /// Not yet shown by DescribeStream.
    pub(super) hidden: bool,
    pub(super) gone: bool,
    /// The last page comes with a null iterator instead of another, empty, page.
    pub(super) ends_with_records: bool,
    /// Empty pages before each page with records.
    pub(super) empty_pages: usize,
    pub(super) records: Vec<ChangeRecord>,
    /// So many records from the front are no longer kept.
    pub(super) trimmed: usize,
}

impl World {
    /// A table with a stream that has one open shard, `s1`.
    pub(super) fn new() -> Self {
        let world = Self::without_stream();
        world.enable("2026-01-01T00:00:00.000");
        world.add_shard("s1", None);
        world
    }

    pub(super) fn without_stream() -> Self {
        let table = TableDescription {
            arn: TABLE.to_owned(),
            id: "table-1".to_owned(),
            readable: true,
            keyed_by_user_name: true,
            stream: None,
        };
        // The test's clock stands on tokio's, so that pausing one pauses both.
        #[allow(clippy::disallowed_methods)]
        let began = tokio::time::Instant::now();
        let inner = Inner { table: Some(table), sequence: 100, ..Inner::default() };
        Self { began, inner: Arc::new(Mutex::new(inner)) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Switches a new stream on; the one before it, if any, is closed.
    pub(super) fn enable(&self, label: &str) {
        self.disable();
        let arn = stream_arn(label);
        let stream =
            FakeStream { status: StreamStatus::Enabled, shards: Vec::new(), gone: false, shards_a_page: 100 };
        let mut inner = self.lock();
        inner.streams.insert(arn.clone(), stream);
        inner.table.as_mut().unwrap().stream = Some(TableStream { arn, enabled: true });
    }

    pub(super) fn disable(&self) {
        let mut inner = self.lock();
        for stream in inner.streams.values_mut() {
            stream.status = StreamStatus::Disabled;
            stream.shards.iter_mut().for_each(|shard| shard.closed = true);
        }
        if let Some(stream) = inner.table.as_mut().and_then(|table| table.stream.as_mut()) {
            stream.enabled = false;
        }
    }

    pub(super) fn add_shard(&self, id: &str, parent: Option<&str>) {
        self.change_stream(|stream| {
            stream.shards.push(FakeShard {
                id: id.to_owned(),
                parent: parent.map(str::to_owned),
                closed: false,
                hidden: false,
                gone: false,
                ends_with_records: true,
                empty_pages: 0,
                records: Vec::new(),
                trimmed: 0,
            });
        });
    }

    /// Another process reads from now on.
    pub(super) fn new_reader(&self) {
        let mut inner = self.lock();
        inner.reading.clear();
        inner.sent.clear();
    }

    /// The newest stream.
    pub(super) fn change_stream<T>(&self, change: impl FnOnce(&mut FakeStream) -> T) -> T {
        change(self.lock().streams.values_mut().last().unwrap())
    }

    pub(super) fn change_shard<T>(&self, id: &str, change: impl FnOnce(&mut FakeShard) -> T) -> T {
        let mut inner = self.lock();
        let shards = inner.streams.values_mut().flat_map(|stream| stream.shards.iter_mut());
        change(shards.into_iter().find(|shard| shard.id == id).unwrap())
    }

    pub(super) fn split(&self, parent: &str, children: &[&str]) {
        self.change_shard(parent, |shard| shard.closed = true);
        for child in children {
            self.add_shard(child, Some(parent));
        }
    }

    /// Writes an item; its record goes to the given shard.
    pub(super) fn write(&self, shard: &str, name: &str) -> SequenceNumber {
        self.record(shard, name, ChangeKind::Written)
    }

    pub(super) fn record(&self, shard: &str, name: &str, kind: ChangeKind) -> SequenceNumber {
        let created = Timestamp::from_secs(i64::try_from(self.now().as_millis() / 1_000).unwrap());
        let sequence = {
            let mut inner = self.lock();
            inner.sequence += 1;
            SequenceNumber(format!("{:021}", inner.sequence))
        };
        let record = ChangeRecord { sequence: sequence.clone(), kind, name: name.to_owned(), created };
        self.change_shard(shard, |shard| shard.records.push(record));
        sequence
    }

    pub(super) fn calls(&self, name: &str) -> u64 {
        self.lock().calls.get(name).copied().unwrap_or_default()
    }

    /// The body of a checkpoint of the newest stream, as JSON.
    pub(super) fn checkpoint(&self, shard: &str) -> Option<serde_json::Value> {
        let inner = self.lock();
        let arn = inner.streams.keys().last().unwrap();
        let record = inner.state.get(&format!("checkpoint/{arn}/{shard}"))?;
        Some(serde_json::from_str(&record.body).unwrap())
    }

    pub(super) fn records(&self) -> Vec<Record> {
        self.lock().state.values().cloned().collect()
    }

    async fn call(&self, name: &'static str) -> Result<(), CallError> {
        let latency = self.lock().latency.unwrap_or(Duration::from_millis(10));
        tokio::time::sleep(latency).await;
        let mut inner = self.lock();
        *inner.calls.entry(name).or_default() += 1;
        let random = inner.next_random();
        let fault = match inner.failing.get(name) {
            Some((one_in, fault)) if random.is_multiple_of(*one_in) => Some(*fault),
            _ if inner.a_third_fails && random.is_multiple_of(3) => Some(Fault::Indeterminate),
            _ => None,
        };
        match fault {
            Some(fault) => Err(CallError { fault, call: name, detail: "made to fail".to_owned() }),
            None => Ok(()),
        }
    }
}

impl Inner {
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn stream(&self, arn: &str) -> Result<&FakeStream, StreamError> {
        self.streams.get(arn).filter(|stream| !stream.gone).ok_or(StreamError::Gone)
    }

    fn shard(&self, arn: &str, id: &str) -> Result<&FakeShard, StreamError> {
        let stream = self.stream(arn)?;
        stream.shards.iter().find(|shard| shard.id == id && !shard.gone).ok_or(StreamError::Gone)
    }

    /// Five GetRecords in any half-open second, and one at a time.
    fn watch(&mut self, shard: &str, now: Duration) {
        let sent = self.sent.entry(shard.to_owned()).or_default();
        sent.push(now);
        let recent = sent.iter().rev().take_while(|at| now - **at < Duration::from_secs(1)).count();
        if recent > 5 {
            self.complaints.push(format!("{recent} GetRecords within a second on {shard}"));
        }
        if !self.reading.insert(shard.to_owned()) {
            self.complaints.push(format!("two GetRecords at once on {shard}"));
        }
    }
}

fn describe(shard: &FakeShard) -> ShardDescription {
    ShardDescription {
        id: ShardId(shard.id.clone()),
        parent: shard.parent.clone().map(ShardId),
        closed: shard.closed,
    }
}

impl Streams for World {
    async fn shards(&self, stream: &str, after: Option<&ShardId>) -> Result<ShardPage, StreamError> {
        self.call("DescribeStream").await?;
        let inner = self.lock();
        let stream = inner.stream(stream)?;
        let mut visible: Vec<_> = stream.shards.iter().filter(|shard| !shard.hidden && !shard.gone).collect();
        visible.sort_by(|a, b| a.id.cmp(&b.id));
        let rest: Vec<_> =
            visible.into_iter().filter(|shard| after.is_none_or(|after| shard.id > after.0)).collect();
        let shards: Vec<_> = rest.iter().take(stream.shards_a_page).map(|shard| describe(shard)).collect();
        let next = (rest.len() > shards.len()).then(|| shards.last().unwrap().id.clone());
        Ok(ShardPage { status: stream.status, shards, next })
    }

    async fn children(&self, stream: &str, parent: &ShardId) -> Result<Vec<ShardDescription>, StreamError> {
        self.call("DescribeStream").await?;
        let inner = self.lock();
        if inner.no_child_filter {
            let detail = "unknown parameter ShardFilter".to_owned();
            return Err(CallError { fault: Fault::Invalid, call: "DescribeStream", detail }.into());
        }
        let shards = inner.stream(stream)?.shards.iter();
        Ok(shards
            .filter(|shard| !shard.hidden && !shard.gone && shard.parent.as_ref() == Some(&parent.0))
            .map(describe)
            .collect())
    }

    async fn iterator(
        &self,
        stream: &str,
        shard: &ShardId,
        position: &Position,
    ) -> Result<ShardIterator, StreamError> {
        self.call("GetShardIterator").await?;
        let now = self.monotonic().as_millis();
        let inner = self.lock();
        let found = inner.shard(stream, &shard.0)?;
        let index = match position {
            Position::TrimHorizon => found.trimmed,
            Position::After(sequence) => {
                let index = found.records.partition_point(|record| record.sequence <= *sequence);
                if index < found.trimmed {
                    return Err(StreamError::Trimmed);
                }
                let beyond = found.records.last().is_none_or(|last| last.sequence < *sequence);
                if beyond && inner.strict_positions {
                    let detail = "the sequence number is not of this shard".to_owned();
                    return Err(CallError { fault: Fault::Invalid, call: "GetShardIterator", detail }.into());
                }
                index
            }
        };
        Ok(ShardIterator(format!("{stream}|{}|{index}|{now}|0", shard.0)))
    }

    async fn records(&self, iterator: &ShardIterator) -> Result<Batch, StreamError> {
        let parts: Vec<&str> = iterator.0.split('|').collect();
        let (arn, id) = (parts[0], parts[1]);
        let number = |n: usize| parts[n].parse::<u64>().unwrap();
        let (index, made, empties) = (usize::try_from(number(2)).unwrap(), number(3), number(4));
        let now = self.monotonic();
        self.lock().watch(id, now);
        let called = self.call("GetRecords").await;
        let mut inner = self.lock();
        inner.reading.remove(id);
        called?;
        let life = inner.iterator_life.unwrap_or(Duration::from_secs(900));
        if now > Duration::from_millis(made) + life {
            return Err(StreamError::Expired);
        }
        let page_size = inner.page_size.unwrap_or(1_000);
        let shard = inner.shard(arn, id)?;
        if index < shard.trimmed {
            return Err(StreamError::Trimmed);
        }
        let next = |index: usize, empties: u64| {
            ShardIterator(format!("{arn}|{id}|{index}|{}|{empties}", now.as_millis()))
        };
        if index < shard.records.len() && empties < shard.empty_pages as u64 {
            return Ok(Batch { records: Vec::new(), next: Some(next(index, empties + 1)) });
        }
        let records: Vec<_> = shard.records[index..].iter().take(page_size).cloned().collect();
        let at = index + records.len();
        let ended =
            shard.closed && at == shard.records.len() && (records.is_empty() || shard.ends_with_records);
        Ok(Batch { records, next: (!ended).then(|| next(at, 0)) })
    }
}

impl UsersTable for World {
    async fn describe(&self) -> Result<Option<TableDescription>, CallError> {
        self.call("DescribeTable").await?;
        Ok(self.lock().table.clone())
    }

    async fn contains(&self, _name: &str) -> Result<bool, CallError> {
        unreachable!("the feed does not read items")
    }

    async fn scan(&self, _after: Option<&str>) -> Result<ItemPage, CallError> {
        unreachable!("the feed does not read items")
    }
}

impl StateStore for World {
    async fn check(&self) -> Result<Result<(), String>, CallError> {
        Ok(Ok(()))
    }

    async fn load(&self) -> Result<Vec<Record>, CallError> {
        Ok(self.records())
    }

    async fn get(&self, id: &str) -> Result<Option<Record>, CallError> {
        Ok(self.lock().state.get(id).cloned())
    }

    async fn put(&self, record: &Record) -> Result<(), StateError> {
        self.call("PutItem").await?;
        let mut inner = self.lock();
        if inner.state.get(&record.id).is_some_and(|there| there.token > record.token) {
            return Err(StateError::Fenced);
        }
        inner.state.insert(record.id.clone(), record.clone());
        Ok(())
    }

    async fn delete(&self, id: &str, token: u64) -> Result<(), StateError> {
        self.call("DeleteItem").await?;
        let mut inner = self.lock();
        if inner.state.get(id).is_some_and(|there| there.token > token) {
            return Err(StateError::Fenced);
        }
        inner.state.remove(id);
        Ok(())
    }

    async fn swap(&self, _expected: Option<&Record>, _new: &Record) -> Result<(), StateError> {
        unreachable!("the feed does not swap")
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(START) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    fn skew_millis(&self) -> Option<i64> {
        None
    }

    fn random(&self) -> u64 {
        self.lock().next_random()
    }
}

impl Ports for World {
    type Directory = Untouched;
    type Vault = Untouched;
    type Identity = Untouched;
    type UsersTable = Self;
    type Streams = Self;
    type StateStore = Self;
    type Clock = Self;
    type Alarm = Untouched;

    fn directory(&self) -> &Untouched {
        &Untouched
    }
    fn vault(&self) -> &Untouched {
        &Untouched
    }
    fn identity(&self) -> &Untouched {
        &Untouched
    }
    fn users_table(&self) -> &Self {
        self
    }
    fn streams(&self) -> &Self {
        self
    }
    fn state(&self) -> &Self {
        self
    }
    fn clock(&self) -> &Self {
        self
    }
    fn alarm(&self) -> &Untouched {
        &Untouched
    }
}

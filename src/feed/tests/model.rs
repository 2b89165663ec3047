//! The shard graph and the low-water mark on random shard trees, against a model of the stream.
//!
//! A case is a list of random moves. The stream writes, splits, hides and reveals shards, and forgets
//! what is older than a day; the reader lists all shards or some, polls, settles out of order,
//! stores checkpoints, and crashes; a standby takes over with what it saw a moment before. After each
//! move the rules are checked. At the end every change must have been handled, or lie in a span that was told as missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::GapCause;
use super::super::checkpoint::ShardCheckpoint;
use super::super::limits::{OUTLOOK_LIFE, RETENTION};
use super::super::shard_graph::{Finding, PageRead, ShardGraph};
use crate::core::time::Timestamp;
use crate::ports::{ChangeKind, ChangeRecord, Position, SequenceNumber, ShardDescription, ShardId};

struct ModelShard {
    parent: Option<usize>,
    closed_at: Option<Timestamp>,
    hidden: bool,
    gone: bool,
    /// Sequence number and creation time of each record.
    records: Vec<(u64, Timestamp)>,
    trimmed: usize,
}

#[derive(Default)]
struct Model {
    now: Timestamp,
    shards: Vec<ModelShard>,
    sequence: u64,
    store: BTreeMap<ShardId, ShardCheckpoint>,
    listed_stored: bool,
    /// When all shards had first been seen; what is older was never promised.
    promised_from: Option<Timestamp>,
    graph: Option<ShardGraph>,
    /// Changes in hand: shard, ordinal, index.
    in_hand: Vec<(usize, u64, usize)>,
    /// Changes handed over by this run, and by any.
    handed: BTreeSet<(usize, usize)>,
    ever_handed: BTreeSet<(usize, usize)>,
    settled: BTreeSet<(usize, usize)>,
    /// Where each shard was resumed by this run.
    resumed: BTreeMap<usize, usize>,
    told: Vec<(Option<Timestamp>, Timestamp)>,
    /// What a standby has seen, and when.
    outlook: Option<(Timestamp, Vec<ShardDescription>)>,
}

fn id(shard: usize) -> ShardId {
    ShardId(format!("shard-{shard:04}"))
}

fn index(id: &ShardId) -> usize {
    id.0.trim_start_matches("shard-").parse().unwrap()
}

impl Model {
    fn new() -> Self {
        let mut model = Self { now: Timestamp::from_secs(1_767_225_600), ..Self::default() };
        model.add(None);
        model.crash();
        model
    }

    fn add(&mut self, parent: Option<usize>) -> usize {
        self.shards.push(ModelShard {
            parent,
            closed_at: None,
            hidden: false,
            gone: false,
            records: Vec::new(),
            trimmed: 0,
        });
        self.shards.len() - 1
    }

    fn graph(&mut self) -> &mut ShardGraph {
        self.graph.as_mut().unwrap()
    }

    fn describe(&self, shard: usize) -> ShardDescription {
        let at = &self.shards[shard];
        ShardDescription { id: id(shard), parent: at.parent.map(id), closed: at.closed_at.is_some() }
    }

    fn visible(&self) -> Vec<usize> {
        let hidden = |n: usize| {
            std::iter::successors(Some(n), |n| self.shards[*n].parent).any(|n| self.shards[n].hidden)
        };
        (0..self.shards.len()).filter(|n| !hidden(*n) && !self.shards[*n].gone).collect()
    }

    fn found(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            self.told.push((finding.from, self.now));
        }
    }

    // The stream's moves.

    fn write(&mut self, arg: usize) {
        let open: Vec<usize> =
            (0..self.shards.len()).filter(|n| self.shards[*n].closed_at.is_none()).collect();
        let shard = open[arg % open.len()];
        self.sequence += 1;
        self.shards[shard].records.push((self.sequence, self.now));
    }

    fn split(&mut self, arg: usize) {
        let shard = arg % self.shards.len();
        if self.shards[shard].closed_at.is_none() && self.shards.len() < 40 {
            self.shards[shard].closed_at = Some(self.now);
            for n in 0..1 + (arg / 64) % 2 {
                let child = self.add(Some(shard));
                self.shards[child].hidden = (arg / 128 + n).is_multiple_of(3);
            }
        }
    }

    /// Time goes on, and the stream forgets what is older than a day.
    fn wait(&mut self, minutes: u64) {
        self.now = self.now + Duration::from_secs(60 * minutes);
        let now = self.now;
        let old = |at: Timestamp| now.since(at) > RETENTION;
        for shard in &mut self.shards {
            shard.trimmed = shard.records.partition_point(|(_, created)| old(*created));
            shard.gone |= shard.closed_at.is_some_and(old);
        }
    }

    // The reader's moves.

    fn list(&mut self, complete: bool, arg: usize) {
        let visible = self.visible();
        let mut order = visible.clone();
        // Pages come in any order of shards: children before parents, too.
        if arg.is_multiple_of(2) {
            order.reverse();
        }
        let now = self.now;
        for shard in order.into_iter().filter(|n| complete || (n + arg).is_multiple_of(3)) {
            let description = self.describe(shard);
            self.graph().seen(&description, now);
        }
        if complete {
            let listed: BTreeSet<ShardId> = visible.into_iter().map(id).collect();
            let findings = self.graph().listed(&listed);
            self.found(findings);
            for pruned in self.graph().prunable(now) {
                self.graph().forget(&pruned);
                self.store.remove(&pruned);
            }
        }
    }

    /// A standby looks.
    fn look_out(&mut self) {
        let shards = self.visible().into_iter().map(|shard| self.describe(shard)).collect();
        self.outlook = Some((self.now, shards));
    }

    /// The standby leads, with what it has seen a moment ago.
    fn take_over(&mut self) {
        self.crash();
        let Some((at, shards)) = self.outlook.take() else { return };
        if self.listed_stored && self.now.since(at) <= OUTLOOK_LIFE {
            shards.iter().for_each(|shard| self.graph().seen(shard, at));
        }
    }

    fn ask(&mut self, arg: usize) {
        let childless: Vec<ShardId> = self.graph().childless().cloned().collect();
        let Some(parent) = childless.get(arg % childless.len().max(1)).map(index) else { return };
        for child in self.visible() {
            if self.shards[child].parent != Some(parent) {
                continue;
            }
            let (description, now) = (self.describe(child), self.now);
            self.graph().seen(&description, now);
        }
    }

    /// As `reader` does it.
    fn poll(&mut self, shard: usize, page_size: usize) {
        let (at, now) = (id(shard), self.now);
        if !self.graph().may_read(&at) {
            return;
        }
        if self.shards[shard].gone {
            let finding = self.graph().lose(&at, now);
            self.found(finding);
            return;
        }
        let start = match self.graph().shard(&at).unwrap().mark().position() {
            Position::TrimHorizon => self.shards[shard].trimmed,
            Position::After(sequence) => {
                let sequence: u64 = sequence.0.parse().unwrap();
                self.shards[shard].records.partition_point(|(n, _)| *n <= sequence)
            }
        };
        if start < self.shards[shard].trimmed {
            let finding = self.graph().withdraw(&at, GapCause::Trimmed, now);
            self.found(finding);
            return;
        }
        let records: Vec<ChangeRecord> = self.shards[shard].records[start..]
            .iter()
            .take(page_size)
            .map(|(sequence, created)| ChangeRecord {
                sequence: SequenceNumber(sequence.to_string()),
                kind: ChangeKind::Written,
                name: String::new(),
                created: *created,
            })
            .collect();
        let read = start + records.len();
        let last = self.shards[shard].closed_at.is_some() && read == self.shards[shard].records.len();
        let page = self.graph().page(&at, &records, last, now);
        let Some(PageRead::Taken { first_ordinal, missing }) = page else { panic!("refused") };
        self.found(missing);
        for n in 0..records.len() {
            self.hand_over(shard, first_ordinal + n as u64, start + n);
        }
    }

    /// Takes a change, and checks that everything before it in its lineage was taken.
    fn hand_over(&mut self, shard: usize, ordinal: u64, at: usize) {
        let before = |this: &Self, shard: usize, end: usize| {
            let passed = this.resumed.get(&shard).copied().unwrap_or_default();
            for n in passed.max(this.shards[shard].trimmed)..end {
                assert!(this.handed.contains(&(shard, n)), "{shard}:{n} comes before");
            }
        };
        before(self, shard, at);
        let mut ancestor = self.shards[shard].parent;
        while let Some(parent) = ancestor {
            if !self.shards[parent].gone {
                before(self, parent, self.shards[parent].records.len());
            }
            ancestor = self.shards[parent].parent;
        }
        self.handed.insert((shard, at));
        self.ever_handed.insert((shard, at));
        self.in_hand.push((shard, ordinal, at));
    }

    fn settle(&mut self, arg: usize) {
        if self.in_hand.is_empty() {
            return;
        }
        let (shard, ordinal, at) = self.in_hand.swap_remove(arg % self.in_hand.len());
        self.settled.insert((shard, at));
        self.graph().settle(&id(shard), ordinal);
    }

    fn save(&mut self, shard: usize) {
        let (at, now) = (id(shard), self.now);
        if let Some(checkpoint) = self.graph().unsaved(&at, now) {
            self.check(shard, &checkpoint);
            self.graph().saved(checkpoint.clone());
            self.store.insert(at, checkpoint);
        }
        let all_saved = self.graph().shards().all(|(_, shard)| shard.is_saved());
        if self.graph().listed_once() && all_saved {
            self.listed_stored = true;
            self.promised_from.get_or_insert(now);
        }
    }

    /// A checkpoint passes only what is settled.
    fn check(&self, shard: usize, checkpoint: &ShardCheckpoint) {
        let passed = self.passed(shard, checkpoint);
        for n in 0..passed {
            assert!(self.settled.contains(&(shard, n)) || self.is_told(shard, n), "{shard}:{n} was passed");
        }
        if checkpoint.finished && !checkpoint.lost {
            assert_eq!(passed, self.shards[shard].records.len(), "{shard} is not finished");
        }
    }

    /// How many records a checkpoint passes.
    fn passed(&self, shard: usize, checkpoint: &ShardCheckpoint) -> usize {
        let records = &self.shards[shard].records;
        match &checkpoint.sequence {
            _ if checkpoint.finished => records.len(),
            None => 0,
            Some(sequence) => {
                let sequence: u64 = sequence.0.parse().unwrap();
                records.partition_point(|(n, _)| *n <= sequence)
            }
        }
    }

    /// Whether a change is within a span that was told as missing, or was never promised.
    fn is_told(&self, shard: usize, n: usize) -> bool {
        let created = self.shards[shard].records[n].1;
        let lost = self.shards[shard].gone || n < self.shards[shard].trimmed;
        let told = |(from, to): &(Option<Timestamp>, Timestamp)| {
            from.is_none_or(|from| from <= created) && created <= *to
        };
        lost && (self.promised_from.is_none_or(|from| created <= from) || self.told.iter().any(told))
    }

    fn crash(&mut self) {
        self.in_hand.clear();
        self.handed.clear();
        let stored: Vec<ShardCheckpoint> = self.store.values().cloned().collect();
        self.resumed = stored
            .iter()
            .map(|checkpoint| (index(&checkpoint.shard), self.passed(index(&checkpoint.shard), checkpoint)))
            .collect();
        self.graph = Some(ShardGraph::restore("stream", stored, self.listed_stored));
    }

    fn step(&mut self, (kind, arg): (u8, usize)) {
        let shard = arg % self.shards.len();
        match kind {
            0..=3 => self.write(arg),
            4 => self.split(arg),
            5 => self.shards[shard].hidden = false,
            6 => self.wait(1 + arg as u64 % 120),
            7 => self.wait(60 * (arg as u64 % 40)),
            8 => self.list(true, arg),
            9 => self.list(false, arg),
            10 => self.ask(arg),
            11..=15 => self.poll(shard, 1 + arg / 64 % 3),
            16..=18 => self.settle(arg),
            19..=21 => self.save(shard),
            22 => (0..self.shards.len()).for_each(|shard| self.save(shard)),
            23 => self.crash(),
            24 => self.look_out(),
            _ => self.take_over(),
        }
    }

    /// The stream is at rest and every shard is visible: everything is handled, in few rounds.
    fn converge(&mut self) {
        self.shards.iter_mut().for_each(|shard| shard.hidden = false);
        for _ in 0..2 * self.shards.len() + 4 {
            self.list(true, 0);
            for shard in 0..self.shards.len() {
                self.save(shard);
                for _ in 0..self.shards[shard].records.len() + 2 {
                    self.poll(shard, 3);
                }
                while !self.in_hand.is_empty() {
                    self.settle(7);
                }
                self.save(shard);
            }
        }
        for shard in 0..self.shards.len() {
            for n in 0..self.shards[shard].records.len() {
                assert!(
                    self.settled.contains(&(shard, n)) || self.is_told(shard, n),
                    "{shard}:{n} is missing"
                );
            }
            let known = self.graph().shard(&id(shard)).map(|known| known.finished());
            let closed = self.shards[shard].closed_at.is_some();
            assert!(known.is_none_or(|finished| finished == closed), "{shard} is stuck");
        }
        assert_eq!(self.graph().childless().count(), 0);
        let told = self.told.len();
        self.list(true, 0);
        assert_eq!(self.told.len(), told, "the same gap is told for ever");
    }
}

/// A grandparent comes again after a crash while the parent, which was empty, is finished.
#[test]
fn a_finished_parent_does_not_hide_an_unfinished_grandparent() {
    let mut model = Model::new();
    let write_split_twice_and_see_all = [(0, 0), (4, 12_352), (4, 41_030), (8, 0), (22, 0)];
    let read_both_and_store_the_parent = [(11, 970), (11, 12_372), (0, 23_041), (19, 12_807)];
    let crash_and_read_the_grandchild = [(23, 0), (11, 25_383)];
    for step in write_split_twice_and_see_all
        .into_iter()
        .chain(read_both_and_store_the_parent)
        .chain(crash_and_read_the_grandchild)
    {
        model.step(step);
    }
    model.converge();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_shard_trees_lose_nothing_in_silence(
        moves in prop::collection::vec((0..26u8, any::<u16>().prop_map(usize::from)), 10..90),
    ) {
        let mut model = Model::new();
        for each in moves {
            model.step(each);
        }
        model.converge();
    }
}

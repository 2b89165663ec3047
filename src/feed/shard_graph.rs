//! The shards of one stream: which exist, which may be read, which are finished, and what was lost.
//!
//! Pure: the caller passes listings, pages and the time, and does what the answers say. Knows no
//! calls, no waiting and no other stream.

use std::collections::{BTreeMap, BTreeSet};

use super::checkpoint::ShardCheckpoint;
use super::gap::GapCause;
use super::limits::{EMPTY_PAGES_WHEN_CAUGHT_UP, KEEP_FINISHED, LOOKED_AT_IN_TIME, WRITE_IDLE};
use super::low_water::LowWater;
use crate::core::time::Timestamp;
use crate::ports::{ChangeRecord, Position, SequenceNumber, ShardDescription, ShardId};

/// All that is known of the shards of one stream.
#[derive(Debug)]
pub(super) struct ShardGraph {
    stream: String,
    shards: BTreeMap<ShardId, Shard>,
    /// Shards read to their end of which no child is known.
    childless: BTreeSet<ShardId>,
    /// Every shard has been seen once.
    listed_once: bool,
    /// The stream gets no new shards.
    closed: bool,
}

/// How far reading a shard has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// No page of it has been read, ever.
    Unread,
    /// Some of it has been read.
    Reading,
    /// Read to its end.
    Ended,
    /// Given up: it is gone.
    Lost,
}

/// One shard.
#[derive(Debug)]
pub(super) struct Shard {
    parent: Option<ShardId>,
    /// Whether the parent, if it is not in the graph, may be done without.
    parent_settled: bool,
    /// A complete listing has shown it without its parent.
    parent_missed: bool,
    children: BTreeSet<ShardId>,
    progress: Progress,
    /// Nothing is added to it any more.
    closed: bool,
    /// It was in the last complete listing, or has come since.
    listed: bool,
    /// It was listed again after it had been given up.
    listed_again: bool,
    mark: LowWater,
    /// The checkpoint that it was resumed from, until the first record after it is seen.
    resumed: Option<SequenceNumber>,
    empty_pages: u32,
    /// Everything created before this was read, or told as missing.
    read_through: Timestamp,
    saved: Option<ShardCheckpoint>,
}

/// Changes that may have been missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) cause: GapCause,
    pub(super) from: Option<Timestamp>,
    pub(super) detail: String,
}

/// What became of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PageRead {
    /// Its records are to be handed over, in order; the first has this ordinal.
    Taken {
        /// Ordinal of the first record; the others follow.
        first_ordinal: u64,
        /// What may be missing before it.
        missing: Option<Finding>,
    },
    /// The checkpoint cannot be of this shard: the page is not taken, and the shard is read again
    /// from its beginning.
    Refused(Finding),
}

impl ShardGraph {
    /// Goes on from stored checkpoints.
    pub(super) fn restore(stream: &str, checkpoints: Vec<ShardCheckpoint>, listed_once: bool) -> Self {
        let mut graph = Self {
            stream: stream.to_owned(),
            shards: BTreeMap::new(),
            childless: BTreeSet::new(),
            listed_once,
            closed: false,
        };
        for saved in checkpoints {
            graph.shards.insert(saved.shard.clone(), Shard::restore(saved));
        }
        let ids: Vec<ShardId> = graph.shards.keys().cloned().collect();
        for id in &ids {
            graph.join_parent(id);
        }
        for id in &ids {
            graph.note_childless(id);
        }
        graph
    }

    /// Takes note of a shard that some answer showed.
    pub(super) fn seen(&mut self, description: &ShardDescription, now: Timestamp) {
        let id = &description.id;
        if let Some(shard) = self.shards.get_mut(id) {
            shard.closed |= description.closed;
            if shard.parent.is_none() && !shard.parent_settled {
                shard.parent.clone_from(&description.parent);
                self.join_parent(id);
            } else if let Some(parent) = description.parent.as_ref().filter(|parent| *parent != id) {
                // It may have been shown after its child, which waits no longer; but it has one.
                self.add_child(parent, id);
            }
            return;
        }
        // The records of a child follow on those of its parent, so they are no older than what was
        // last read of that; if that is long ago, some may be older than what the stream still keeps.
        let parent = description.parent.as_ref().and_then(|parent| self.shards.get(parent));
        let known_since = parent.map_or(now, |parent| parent.read_through.min(now));
        self.shards.insert(id.clone(), Shard::new(description, known_since));
        self.join_parent(id);
        self.join_children(id, known_since);
    }

    /// Links a new shard with children that were seen before it, and tells them since when they
    /// may have records.
    fn join_children(&mut self, id: &ShardId, known_since: Timestamp) {
        let is_child = |shard: &Shard| shard.parent.as_ref() == Some(id);
        let children: Vec<ShardId> =
            self.shards.iter().filter(|(_, shard)| is_child(shard)).map(|(child, _)| child.clone()).collect();
        for child in &children {
            self.join_parent(child);
        }
        let mut unread = children;
        while let Some(at) = unread.pop() {
            let Some(shard) = self.shards.get_mut(&at).filter(|shard| shard.progress == Progress::Unread)
            else {
                continue;
            };
            if known_since < shard.read_through {
                shard.read_through = known_since;
                unread.extend(shard.children.iter().cloned());
            }
        }
    }

    /// Links a shard with its parent. A shard that would become its own ancestor has none: no
    /// listing may make shards wait for each other for ever.
    fn join_parent(&mut self, id: &ShardId) {
        let Some(parent) = self.shards.get(id).and_then(|shard| shard.parent.clone()) else { return };
        let mut ancestor = Some(&parent);
        while let Some(at) = ancestor {
            if at == id {
                if let Some(shard) = self.shards.get_mut(id) {
                    shard.parent = None;
                    shard.parent_settled = true;
                }
                return;
            }
            ancestor = self.shards.get(at).and_then(|shard| shard.parent.as_ref());
        }
        self.add_child(&parent, id);
    }

    fn add_child(&mut self, parent: &ShardId, child: &ShardId) {
        if let Some(known) = self.shards.get_mut(parent) {
            known.children.insert(child.clone());
            // It has a child, so it is closed, whatever the listing says.
            known.closed = true;
            self.childless.remove(parent);
        }
    }

    fn note_childless(&mut self, id: &ShardId) {
        let childless =
            self.shards.get(id).is_some_and(|s| s.progress == Progress::Ended && s.children.is_empty());
        if childless {
            self.childless.insert(id.clone());
        }
    }

    /// Takes note of a complete listing, whose shards have all been [`seen`](Self::seen). Decides
    /// about parents that two of them did not show: their children wait no longer.
    pub(super) fn listed(&mut self, listed: &BTreeSet<ShardId>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let known: BTreeSet<ShardId> = self.shards.keys().cloned().collect();
        for (id, shard) in &mut self.shards {
            shard.listed = listed.contains(id);
            shard.revive();
            if shard.parent_settled {
                continue;
            }
            let Some(parent) = shard.parent.as_ref().filter(|parent| !known.contains(*parent)) else {
                continue;
            };
            // Before the first complete listing everything is new, and nothing was promised.
            let promised = self.listed_once && shard.progress == Progress::Unread;
            // The pages of a listing are of different moments: a parent that came into sight between two
            // of them was on neither. The next listing shows it.
            if promised && !std::mem::replace(&mut shard.parent_missed, true) {
                continue;
            }
            if promised {
                findings.push(Finding {
                    cause: GapCause::ParentUnfinished,
                    from: None,
                    detail: format!(
                        "shard {id} of {} continues {parent}, which was never read and is gone",
                        self.stream
                    ),
                });
            }
            shard.parent = None;
            shard.parent_settled = true;
        }
        self.listed_once = true;
        findings
    }

    /// Whether the stream gets no new shards, so that no child is waited for.
    pub(super) fn set_closed(&mut self, closed: bool) {
        self.closed = closed;
    }

    /// Whether every shard has been seen once.
    pub(super) fn listed_once(&self) -> bool {
        self.listed_once
    }

    /// Whether the shard may be read now: its place is stored, it is not at its end, and all shards
    /// before it are.
    ///
    /// All, and not only its parent: after a restart a grandparent may have to be read again while
    /// the parent, all of whose changes were settled, is finished.
    pub(super) fn may_read(&self, id: &ShardId) -> bool {
        let Some(shard) = self.shards.get(id).filter(|shard| shard.saved.is_some() && !shard.ended()) else {
            return false;
        };
        let mut at = shard;
        while let Some(parent) = &at.parent {
            match self.shards.get(parent) {
                Some(parent) if parent.ended() => at = parent,
                Some(_) => return false,
                // Finished and forgotten, or not seen yet.
                None => return at.parent_settled,
            }
        }
        true
    }

    /// Takes a page of a shard; the `last` one ends it.
    pub(super) fn page(
        &mut self,
        id: &ShardId,
        records: &[ChangeRecord],
        last: bool,
        now: Timestamp,
    ) -> Option<PageRead> {
        let shard = self.shards.get_mut(id)?;
        if let Some(first) = records.first()
            && let Some(resumed) = shard.resumed.take()
            && first.sequence < resumed
        {
            let finding = Finding {
                cause: GapCause::FutureCheckpoint,
                from: Some(shard.through()),
                detail: format!(
                    "the checkpoint {resumed} of shard {id} of {} lies beyond its records ({})",
                    self.stream, first.sequence
                ),
            };
            shard.withdraw(now);
            return Some(PageRead::Refused(finding));
        }
        let stale = shard.mark.position() == Position::TrimHorizon
            && now.since(shard.read_through) > LOOKED_AT_IN_TIME;
        let missing = stale.then(|| Finding {
            cause: GapCause::Trimmed,
            from: Some(shard.read_through),
            detail: format!(
                "shard {id} of {} was last looked at {}, longer ago than the stream keeps records",
                self.stream, shard.read_through
            ),
        });
        if shard.progress == Progress::Unread {
            shard.progress = Progress::Reading;
        }
        if stale {
            shard.read_through = now;
        }
        let mut first_ordinal = None;
        for record in records {
            let ordinal = shard.mark.read(record.sequence.clone(), record.created);
            first_ordinal.get_or_insert(ordinal);
            shard.read_through = record.created;
        }
        shard.empty_pages = if records.is_empty() { shard.empty_pages.saturating_add(1) } else { 0 };
        if last {
            // When it was closed is not known, only that it was before now: its children may have
            // records that are older.
            self.end(id);
        } else if shard.caught_up() {
            shard.read_through = now;
        }
        Some(PageRead::Taken { first_ordinal: first_ordinal.unwrap_or_default(), missing })
    }

    /// Nothing more comes from the shard.
    pub(super) fn end(&mut self, id: &ShardId) {
        if let Some(shard) = self.shards.get_mut(id).filter(|shard| !shard.ended()) {
            shard.progress = Progress::Ended;
            shard.closed = true;
        }
        self.note_childless(id);
    }

    /// The shard's position is gone, or was never in it: it is read again from its beginning.
    pub(super) fn withdraw(&mut self, id: &ShardId, cause: GapCause, now: Timestamp) -> Option<Finding> {
        let shard = self.shards.get_mut(id)?;
        let detail = match shard.mark.position() {
            Position::After(sequence) => {
                format!("shard {id} of {} can no longer be read after {sequence}", self.stream)
            }
            Position::TrimHorizon => {
                format!("records of shard {id} of {} went before they were read", self.stream)
            }
        };
        let finding = Finding { cause, from: Some(shard.through()), detail };
        shard.withdraw(now);
        Some(finding)
    }

    /// The shard is gone before its end was read.
    pub(super) fn lose(&mut self, id: &ShardId, now: Timestamp) -> Option<Finding> {
        let shard = self.shards.get_mut(id).filter(|shard| !shard.ended())?;
        let from = Some(shard.through());
        shard.lose(now);
        let detail = format!("shard {id} of {} is gone and was not read to its end", self.stream);
        Some(Finding { cause: GapCause::ShardGone, from, detail })
    }

    /// The whole stream is gone: all that is unfinished goes with it.
    pub(super) fn lose_all(&mut self, now: Timestamp) -> Option<Finding> {
        let mut from: Option<Timestamp> = None;
        let mut count = 0_u32;
        for shard in self.shards.values_mut().filter(|shard| !shard.ended()) {
            from = Some(from.map_or(shard.through(), |from| from.min(shard.through())));
            shard.lose(now);
            count += 1;
        }
        let detail =
            format!("the stream {} is gone; {count} of its shards were not read to the end", self.stream);
        (count > 0).then_some(Finding { cause: GapCause::ShardGone, from, detail })
    }

    /// A change was settled. Tells whether the checkpoint moved.
    pub(super) fn settle(&mut self, id: &ShardId, ordinal: u64) -> bool {
        self.shards.get_mut(id).is_some_and(|shard| shard.mark.settle(ordinal).is_some())
    }

    /// The checkpoint to be stored for a shard, if what is stored does not say the same.
    pub(super) fn unsaved(&self, id: &ShardId, now: Timestamp) -> Option<ShardCheckpoint> {
        let shard = self.shards.get(id)?;
        let checkpoint = ShardCheckpoint {
            stream: self.stream.clone(),
            shard: id.clone(),
            parent: shard.parent.clone(),
            sequence: shard.mark.low().cloned(),
            begun: shard.progress != Progress::Unread,
            finished: shard.finished(),
            lost: shard.progress == Progress::Lost,
            through: shard.through(),
            updated: now,
        };
        let due = shard.saved.as_ref().is_none_or(|saved| {
            !saved.same_progress(&checkpoint)
                || (!saved.finished && checkpoint.through.since(saved.through) >= WRITE_IDLE)
        });
        due.then_some(checkpoint)
    }

    /// A checkpoint was stored.
    pub(super) fn saved(&mut self, checkpoint: ShardCheckpoint) {
        if let Some(shard) = self.shards.get_mut(&checkpoint.shard) {
            shard.saved = Some(checkpoint);
        }
    }

    /// Ended shards without a known child, to be asked about: a shard of a live stream is always
    /// continued, but its children may become visible late.
    pub(super) fn childless(&self) -> impl Iterator<Item = &ShardId> {
        let live = !self.closed;
        self.childless.iter().filter(move |id| live && self.shards.get(*id).is_some_and(|shard| shard.listed))
    }

    /// The shards that continue a shard.
    pub(super) fn children(&self, id: &ShardId) -> impl Iterator<Item = &ShardId> {
        self.shards.get(id).into_iter().flat_map(|shard| &shard.children)
    }

    /// Whether nothing of the stream is left to be read, handled or stored.
    pub(super) fn drained(&self) -> bool {
        self.listed_once
            && self
                .shards
                .values()
                .all(|shard| shard.finished() && shard.saved.as_ref().is_some_and(|saved| saved.finished))
    }

    /// Whether every open shard has brought only empty pages for a while, and all changes are settled.
    pub(super) fn quiet(&self) -> bool {
        self.listed_once
            && self.shards.values().all(|shard| {
                shard.finished()
                    || (shard.mark.outstanding() == 0 && shard.empty_pages >= EMPTY_PAGES_WHEN_CAUGHT_UP)
            })
    }

    /// Finished shards whose checkpoint need not be kept: older than anything that could refer to
    /// them, no longer listed, and all children known to have begun.
    pub(super) fn prunable(&self, now: Timestamp) -> Vec<ShardId> {
        let begun = |child: &ShardId| {
            self.shards
                .get(child)
                .is_none_or(|child| child.saved.as_ref().is_some_and(|saved| saved.begun || saved.finished))
        };
        self.shards
            .iter()
            .filter(|(_, shard)| {
                !shard.listed
                    && !shard.children.is_empty()
                    && shard
                        .saved
                        .as_ref()
                        .is_some_and(|saved| saved.finished && now.since(saved.updated) > KEEP_FINISHED)
                    && shard.children.iter().all(begun)
            })
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Forgets a shard whose checkpoint is no longer kept.
    pub(super) fn forget(&mut self, id: &ShardId) {
        let Some(gone) = self.shards.remove(id) else { return };
        self.childless.remove(id);
        for child in &gone.children {
            if let Some(child) = self.shards.get_mut(child) {
                child.parent_settled = true;
            }
        }
    }

    /// One shard.
    pub(super) fn shard(&self, id: &ShardId) -> Option<&Shard> {
        self.shards.get(id)
    }

    /// All shards.
    pub(super) fn shards(&self) -> impl Iterator<Item = (&ShardId, &Shard)> {
        self.shards.iter()
    }

    /// Until when everything was handled, over all shards that are not finished; when all are, over
    /// the last of each line.
    pub(super) fn through(&self) -> Option<Timestamp> {
        let unfinished = self.shards.values().filter(|shard| !shard.finished()).map(Shard::through).min();
        let last = self.shards.values().filter(|shard| shard.children.is_empty()).map(Shard::through).min();
        unfinished.or(last)
    }
}

impl Shard {
    fn new(description: &ShardDescription, known_since: Timestamp) -> Self {
        Self {
            parent: description.parent.clone(),
            parent_settled: false,
            parent_missed: false,
            children: BTreeSet::new(),
            progress: Progress::Unread,
            closed: description.closed,
            listed: true,
            listed_again: false,
            mark: LowWater::new(None),
            resumed: None,
            empty_pages: 0,
            read_through: known_since,
            saved: None,
        }
    }

    fn restore(saved: ShardCheckpoint) -> Self {
        let progress = match (saved.finished, saved.lost, saved.begun) {
            (true, true, _) => Progress::Lost,
            (true, false, _) => Progress::Ended,
            (false, _, true) => Progress::Reading,
            (false, _, false) => Progress::Unread,
        };
        Self {
            parent: saved.parent.clone(),
            // A shard that has begun is past its parent, whether that is still known or not.
            parent_settled: saved.parent.is_none() || progress != Progress::Unread,
            parent_missed: false,
            children: BTreeSet::new(),
            progress,
            closed: saved.finished,
            listed: true,
            listed_again: false,
            mark: LowWater::new(saved.sequence.clone()),
            resumed: saved.sequence.clone(),
            empty_pages: 0,
            read_through: saved.through,
            saved: Some(saved),
        }
    }

    fn withdraw(&mut self, now: Timestamp) {
        self.mark.withdraw();
        self.read_through = now;
        self.resumed = None;
        self.empty_pages = 0;
    }

    fn lose(&mut self, now: Timestamp) {
        self.progress = Progress::Lost;
        self.listed_again = false;
        self.read_through = now;
    }

    /// A shard that was given up and is listed after all is read on. Only the second listing counts:
    /// the first may have begun before the shard went.
    fn revive(&mut self) {
        if self.progress != Progress::Lost || !self.listed {
            return;
        }
        if self.listed_again {
            self.progress = Progress::Reading;
        }
        self.listed_again = true;
    }

    /// Read to its end, or lost.
    pub(super) fn ended(&self) -> bool {
        matches!(self.progress, Progress::Ended | Progress::Lost)
    }

    /// Ended, and everything of it settled.
    pub(super) fn finished(&self) -> bool {
        self.ended() && self.mark.outstanding() == 0
    }

    /// Nothing is known to be left to read: ended, or open and empty for a while.
    pub(super) fn caught_up(&self) -> bool {
        self.ended() || (!self.closed && self.empty_pages >= EMPTY_PAGES_WHEN_CAUGHT_UP)
    }

    /// Until when everything was handled.
    pub(super) fn through(&self) -> Timestamp {
        self.mark.oldest().unwrap_or(self.read_through)
    }

    /// Until when everything was read, or told as missing.
    pub(super) fn read_through(&self) -> Timestamp {
        self.read_through
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    pub(super) fn listed(&self) -> bool {
        self.listed
    }

    pub(super) fn is_saved(&self) -> bool {
        self.saved.is_some()
    }

    pub(super) fn mark(&self) -> &LowWater {
        &self.mark
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const STREAM: &str = "stream";

    fn start() -> Timestamp {
        Timestamp::from_secs(1_767_225_600)
    }

    fn id(name: &str) -> ShardId {
        ShardId(name.to_owned())
    }

    fn shown(name: &str, parent: Option<&str>) -> ShardDescription {
        ShardDescription { id: id(name), parent: parent.map(id), closed: false }
    }

    /// A graph of these shards, all stored and listed.
    fn graph(shards: &[(&str, Option<&str>)]) -> ShardGraph {
        let mut graph = ShardGraph::restore(STREAM, Vec::new(), false);
        for (name, parent) in shards {
            graph.seen(&shown(name, *parent), start());
        }
        graph.listed(&shards.iter().map(|(name, _)| id(name)).collect());
        for (name, _) in shards {
            save(&mut graph, name, start());
        }
        graph
    }

    fn save(graph: &mut ShardGraph, name: &str, now: Timestamp) {
        if let Some(checkpoint) = graph.unsaved(&id(name), now) {
            graph.saved(checkpoint);
        }
    }

    /// The shards that may be read.
    fn readable(graph: &ShardGraph) -> Vec<&str> {
        graph.shards().map(|(id, _)| id).filter(|id| graph.may_read(id)).map(|id| id.0.as_str()).collect()
    }

    #[test]
    fn which_shards_may_be_read() {
        for (shards, ended, expected) in [
            (vec![("a", None)], vec![], vec!["a"]),
            (vec![("a", None), ("b", Some("a")), ("c", Some("a"))], vec![], vec!["a"]),
            (vec![("a", None), ("b", Some("a")), ("c", Some("a"))], vec!["a"], vec!["b", "c"]),
            // Children before parents, in the order of the listing.
            (vec![("a", Some("b")), ("b", Some("c")), ("c", None)], vec![], vec!["c"]),
            // A parent that is not listed holds up nothing.
            (vec![("b", Some("gone"))], vec![], vec!["b"]),
            // Nor does a circle that an endpoint makes up.
            (vec![("a", Some("a"))], vec![], vec!["a"]),
            (vec![("a", Some("b")), ("b", Some("a"))], vec![], vec!["b"]),
            (vec![("a", Some("b")), ("b", Some("c")), ("c", Some("a"))], vec!["c", "b"], vec!["a"]),
        ] {
            let mut graph = graph(&shards);
            for name in &ended {
                graph.page(&id(name), &[], true, start());
            }
            assert_eq!(readable(&graph), expected, "{shards:?} {ended:?}");
        }
    }

    #[test]
    fn a_shard_is_read_only_when_its_place_is_stored_and_its_parent_is_decided() {
        let mut graph = graph(&[("a", None)]);
        graph.seen(&shown("c", Some("b")), start());
        save(&mut graph, "c", start());
        assert_eq!(readable(&graph), ["a"], "the parent may be on the next page");
        graph.seen(&shown("b", Some("a")), start());
        assert_eq!(graph.listed(&["a", "b", "c"].map(id).into()), []);
        graph.page(&id("a"), &[], true, start());
        assert_eq!(readable(&graph), Vec::<&str>::new(), "b has no stored place yet");
        save(&mut graph, "b", start());
        assert_eq!(readable(&graph), ["b"]);
    }

    #[test]
    fn a_parent_may_come_into_sight_between_two_pages() {
        for is_there in [true, false] {
            let mut graph = graph(&[("a", None)]);
            graph.seen(&shown("c", Some("b")), start());
            save(&mut graph, "c", start());
            assert_eq!(graph.listed(&["a", "c"].map(id).into()), []);
            assert_eq!(readable(&graph), ["a"], "it may still be there");
            if is_there {
                graph.seen(&shown("b", Some("a")), start());
            }
            let causes: Vec<_> =
                graph.listed(&["a", "c"].map(id).into()).into_iter().map(|finding| finding.cause).collect();
            let (expected, readable_now) = if is_there {
                (vec![], vec!["a"])
            } else {
                (vec![GapCause::ParentUnfinished], vec!["a", "c"])
            };
            assert_eq!((causes, readable(&graph)), (expected, readable_now));
        }
    }

    #[test]
    fn a_finished_shard_is_forgotten_when_nothing_can_refer_to_it() {
        let day = Duration::from_secs(24 * 3600);
        //   days later, still listed, child begun → forgotten
        for (days, listed, begun, expected) in [
            (1, false, true, false),
            (3, true, true, false),
            (3, false, false, false),
            (3, false, true, true),
        ] {
            let mut graph = graph(&[("a", None), ("b", Some("a"))]);
            graph.page(&id("a"), &[], true, start());
            save(&mut graph, "a", start());
            let later = start() + day * days;
            if begun {
                graph.page(&id("b"), &[], false, later);
                save(&mut graph, "b", later);
            }
            let shown = if listed { vec![id("a"), id("b")] } else { vec![id("b")] };
            graph.listed(&shown.into_iter().collect());
            let forgotten = graph.prunable(later);
            assert_eq!(forgotten == [id("a")], expected, "{days} {listed} {begun}");
            for gone in &forgotten {
                graph.forget(gone);
                assert_eq!(readable(&graph), ["b"]);
            }
        }
    }
}

//! Two Regions of one account: each has a table of the same name, a state table, parameters and
//! controllers of its own. IAM is one for both.
//!
//! The world is always seen from one Region: what is asked of its table, and what the invariants
//! remember, is that Region's. A call sees it from where its replica runs.

use std::ops::{Deref, DerefMut};
use std::sync::{MutexGuard, PoisonError};

use super::operator::Shelf;
use super::state::State;
use super::streams::StreamSet;
use super::{Account, Ssm, Table, World};
use crate::invariants::Book;

/// Where the first Region's controllers run, and those of the second.
pub(super) const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];

/// What a Region has of its own, while the world is seen from the other one.
pub(super) struct Region {
    table: Table,
    streams: StreamSet,
    ssm: Ssm,
    state: State,
    shelf: Option<Shelf>,
    book: Book,
}

impl Region {
    /// One without anything but an empty table.
    pub(super) fn new(table: &str) -> Self {
        Self {
            table: Table::new(table, REGIONS[1]),
            streams: StreamSet::default(),
            ssm: Ssm::default(),
            state: State::default(),
            shelf: None,
            book: Book::default(),
        }
    }
}

/// The world, seen from a Region; from the first one again when this is dropped.
pub(crate) struct Seen<'a>(MutexGuard<'a, World>);

impl Deref for Seen<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl DerefMut for Seen<'_> {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.0
    }
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        self.0.see_from(0);
    }
}

impl Account {
    /// The truth as of now, from a Region.
    pub(crate) fn seen_from(&self, region: usize) -> Seen<'_> {
        let mut world = self.0.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.catch_up();
        if world.violated() {
            self.0.violated.notify_one();
        }
        world.see_from(region);
        Seen(world)
    }

    /// The truth as of now, from where a replica runs.
    pub(crate) fn seen_by(&self, replica: usize) -> Seen<'_> {
        let mut world = self.seen_from(0);
        let region = world.replicas[replica].region;
        world.see_from(region);
        world
    }
}

impl World {
    /// Sees the world from a Region.
    pub(super) fn see_from(&mut self, region: usize) {
        if self.region == region {
            return;
        }
        self.region = region;
        let Region { table, streams, ssm, state, shelf, book } = &mut self.elsewhere;
        std::mem::swap(&mut self.table, table);
        std::mem::swap(&mut self.streams, streams);
        std::mem::swap(&mut self.ssm, ssm);
        std::mem::swap(&mut self.state, state);
        std::mem::swap(&mut self.shelf, shelf);
        std::mem::swap(&mut self.book, book);
    }

    /// Whether an invariant is broken in either Region.
    pub(crate) fn violated(&self) -> bool {
        self.book.violated() || self.elsewhere.book.violated()
    }

    /// What the invariants remember of both Regions.
    pub(crate) fn books(&self) -> [&Book; 2] {
        [&self.book, &self.elsewhere.book]
    }
}

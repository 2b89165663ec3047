//! The users table: rows in the order of a hash, scanned page by page while they change.

use std::collections::{BTreeMap, BTreeSet};

use iam_user_controller::ports::{
    CallError, Fault, ItemPage, StreamStatus, TableDescription, TableStream, UsersTable,
};

use super::{ACCOUNT, ReplicaPorts, World, refused};
use crate::faults::Call;
use crate::trace::Hash;

/// What has become of a row, by its exact spelling.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowLife {
    pub(crate) present: bool,
    /// Since when it is there without a break.
    pub(crate) present_since_ms: u64,
    /// When it was last removed, however that was.
    pub(crate) removed_ms: Option<u64>,
    /// When it was last removed with a record in the stream that can still be read: every
    /// credential of then must go.
    pub(crate) owed_ms: Option<u64>,
    /// Its last removal was recorded in the stream.
    pub(crate) recorded: bool,
    /// When the last removal was that was recorded in a stream, of this table or of one before it.
    pub(crate) told_ms: Option<u64>,
    /// It went with the whole table, which is no evidence for anything.
    pub(crate) dropped: bool,
    /// The program had never seen that table.
    pub(crate) unseen: bool,
    /// When it was last asked for and was not there, in the table that it went with.
    pub(crate) missed_ms: Option<u64>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) exists: bool,
    generation: u64,
    /// By hash, as a scan meets them.
    rows: BTreeSet<(u64, String)>,
    pub(crate) life: BTreeMap<String, RowLife>,
    /// When rows were last asked for and were not there.
    missed: BTreeMap<String, u64>,
    /// Another attribute of a row: what makes a write a change.
    pub(crate) notes: BTreeMap<String, String>,
    /// Since when there is no row.
    pub(crate) emptied_ms: Option<u64>,
    /// Rows that a scan passes over, as it may those that are written while it runs.
    pub(crate) unscanned: BTreeSet<String>,
}

fn place(name: &str) -> (u64, String) {
    (Hash::START.text(name).value(), name.to_owned())
}

impl Table {
    pub(crate) fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self {
            name,
            exists: true,
            generation: 1,
            rows: BTreeSet::new(),
            life: BTreeMap::new(),
            missed: BTreeMap::new(),
            notes: BTreeMap::new(),
            emptied_ms: Some(0),
            unscanned: BTreeSet::new(),
        }
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/{}", self.name)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.life.get(name).is_some_and(|life| life.present)
    }

    /// Whether this is another table than the first.
    pub(crate) fn was_recreated(&self) -> bool {
        self.generation > 1
    }

    /// Whether a row of this name is there in any spelling.
    pub(crate) fn contains_folded(&self, folded: &str) -> bool {
        self.life.iter().any(|(name, life)| life.present && name.eq_ignore_ascii_case(folded))
    }

    /// The names of all rows.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.life.iter().filter(|(_, life)| life.present).map(|(name, _)| name.as_str())
    }

    fn note_emptiness(&mut self, now: u64) {
        self.emptied_ms = if self.rows.is_empty() { self.emptied_ms.or(Some(now)) } else { None };
    }

    pub(super) fn insert(&mut self, name: &str, now: u64) -> bool {
        let life = self.life.entry(name.to_owned()).or_default();
        if !life.present {
            life.present = true;
            life.present_since_ms = now;
        }
        life.dropped = false;
        self.emptied_ms = None;
        self.rows.insert(place(name))
    }

    pub(super) fn remove(&mut self, name: &str, now: u64, recorded: bool, owned: bool) -> bool {
        let gone = self.rows.remove(&place(name));
        self.note_emptiness(now);
        if gone {
            let life = self.life.entry(name.to_owned()).or_default();
            life.present = false;
            life.removed_ms = Some(now);
            life.recorded = recorded;
            if recorded {
                life.told_ms = Some(now);
            }
            if recorded && owned {
                life.owed_ms = Some(now);
            }
        }
        gone
    }

    /// The table is dropped and created anew under the same name.
    pub(super) fn recreate(&mut self, now: u64, keep_rows: bool, known: bool) {
        self.generation += 1;
        self.exists = true;
        for (name, life) in &mut self.life {
            life.owed_ms = None;
            if life.present && !keep_rows {
                let (told_ms, missed_ms) = (life.told_ms, self.missed.get(name).copied());
                let gone =
                    RowLife { removed_ms: Some(now), dropped: true, unseen: !known, ..RowLife::default() };
                *life = RowLife { told_ms, missed_ms, ..gone };
            }
        }
        self.missed.clear();
        if !keep_rows {
            self.rows.clear();
        }
        self.note_emptiness(now);
    }
}

fn no_table(call: Call) -> CallError {
    refused(call, Fault::NotFound, "ResourceNotFoundException: table")
}

impl World {
    fn scan(&self, after: Option<&str>) -> Result<ItemPage, CallError> {
        use std::ops::Bound::{Excluded, Unbounded};
        if !self.table.exists {
            return Err(no_table(Call::Scan));
        }
        let size = self.conduct.page.max(1);
        let from = after.map(place).map_or(Unbounded, Excluded);
        let rows = self.table.rows.range((from, Unbounded)).take(size);
        let names: Vec<String> = rows.map(|(_, name)| name.clone()).collect();
        // As DynamoDB does: a full page has a last key even when nothing follows.
        let next = (names.len() == size).then(|| names.last().cloned()).flatten();
        let names = names.into_iter().filter(|name| !self.table.unscanned.contains(name)).collect();
        Ok(ItemPage { names, next })
    }
}

impl UsersTable for ReplicaPorts {
    async fn describe(&self) -> Result<Option<TableDescription>, CallError> {
        self.read(Call::DescribeTable, "", |world| {
            if !world.table.exists {
                return Ok(None);
            }
            let stream = world.streams.newest();
            Ok(Some(TableDescription {
                arn: world.table.arn(),
                id: format!("00000000-0000-4000-8000-{:012}", world.table.generation),
                readable: true,
                keyed_by_user_name: true,
                stream: stream.map(|stream| TableStream {
                    arn: stream.arn.clone(),
                    enabled: stream.status == StreamStatus::Enabled,
                }),
            }))
        })
        .await
    }

    async fn contains(&self, name: &str) -> Result<bool, CallError> {
        self.read(Call::GetItem, name, |world| {
            if !world.table.exists {
                return Err(no_table(Call::GetItem));
            }
            let present = world.table.contains(name);
            if !present {
                world.table.missed.insert(name.to_owned(), world.now);
            }
            Ok(present)
        })
        .await
    }

    async fn scan(&self, after: Option<&str>) -> Result<ItemPage, CallError> {
        self.read(Call::Scan, after.unwrap_or_default(), |world| world.scan(after)).await
    }
}

//! The state table: conditional writes, consistent reads.

use std::collections::BTreeMap;

use iam_user_controller::ports::{CallError, Record, StateError, StateStore};

use super::gate::Outcome;
use super::{ReplicaPorts, World};
use crate::faults::Call;
use crate::invariants;

/// All records of the state table.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) records: BTreeMap<String, Record>,
    /// Records that are lost, and the newest token of those who might write them again.
    lost: BTreeMap<String, u64>,
    /// What is wrong with the table, if anything is.
    pub(crate) fault: Option<String>,
}

impl State {
    /// The record is lost; nobody who led until now writes it again.
    pub(crate) fn lose(&mut self, id: &str, newest_token: u64) {
        self.records.remove(id);
        self.lost.insert(id.to_owned(), newest_token);
    }
}

/// Which state table a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// The service's.
    Own,
    /// Another one, which only an operator's command names.
    Other,
}

impl World {
    fn state(&mut self, which: Which) -> &mut State {
        match which {
            Which::Own => &mut self.state,
            Which::Other => &mut self.other_state,
        }
    }

    fn put_record(&mut self, which: Which, record: &Record) -> Result<(), StateError> {
        if which == Which::Own {
            invariants::state_written(self, record);
        }
        let state = self.state(which);
        if state.records.get(&record.id).is_some_and(|known| known.token > record.token) {
            return Err(StateError::Fenced);
        }
        if state.lost.get(&record.id).is_some_and(|dead| record.token <= *dead) {
            return Ok(());
        }
        state.records.insert(record.id.clone(), record.clone());
        if which == Which::Own {
            invariants::state_stored(self, record);
        }
        *self.book.written.entry(record.id.clone()).or_default() += 1;
        Ok(())
    }

    fn swap_record(
        &mut self,
        (which, replica): (Which, usize),
        expected: Option<&Record>,
        new: Record,
    ) -> Result<(), StateError> {
        if which == Which::Own {
            invariants::state_written(self, &new);
        }
        let records = &self.state(which).records;
        if records.get(&new.id) == Some(&new) {
            return Ok(());
        }
        let id = expected.map_or(&new.id, |expected| &expected.id);
        if *id != new.id || records.get(id) != expected {
            return Err(StateError::Fenced);
        }
        if which == Which::Own {
            invariants::swapped(self, replica, &new);
        }
        self.state(which).records.insert(new.id.clone(), new);
        Ok(())
    }
}

impl ReplicaPorts {
    fn which(&self) -> Which {
        if self.beside().is_some_and(|beside| beside.other_state) { Which::Other } else { Which::Own }
    }
}

impl StateStore for ReplicaPorts {
    async fn check(&self) -> Result<Result<(), String>, CallError> {
        let which = self.which();
        self.read(Call::CheckState, "", |world| Ok(world.state(which).fault.clone().map_or(Ok(()), Err)))
            .await
    }

    async fn load(&self) -> Result<Vec<Record>, CallError> {
        let which = self.which();
        self.read(Call::LoadState, "", |world| Ok(world.state(which).records.values().cloned().collect()))
            .await
    }

    async fn get(&self, id: &str) -> Result<Option<Record>, CallError> {
        let which = self.which();
        self.read(Call::GetState, id, |world| Ok(world.state(which).records.get(id).cloned())).await
    }

    async fn put(&self, record: &Record) -> Result<(), StateError> {
        let (which, record) = (self.which(), record.clone());
        let subject = record.id.clone();
        self.change(Call::PutState, &subject, move |world| world.put_record(which, &record)).await
    }

    async fn delete(&self, id: &str, token: u64) -> Result<(), StateError> {
        let (subject, id, which) = (id, id.to_owned(), self.which());
        self.change(Call::DeleteState, subject, move |world| {
            let records = &mut world.state(which).records;
            if records.get(&id).is_some_and(|known| known.token > token) {
                return Err(StateError::Fenced);
            }
            records.remove(&id);
            Ok(())
        })
        .await
    }

    async fn swap(&self, expected: Option<&Record>, new: &Record) -> Result<(), StateError> {
        let (expected, new) = (expected.cloned(), new.clone());
        let (subject, who) = (new.id.clone(), (self.which(), self.replica()));
        self.change(Call::SwapState, &subject, move |world| world.swap_record(who, expected.as_ref(), new))
            .await
    }
}

impl Outcome for StateError {
    fn word(&self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::Call(error) => error.word(),
        }
    }
}

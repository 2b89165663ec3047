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
    /// What is wrong with the table, if anything is.
    pub(crate) fault: Option<String>,
}

impl World {
    fn put_record(&mut self, record: &Record) -> Result<(), StateError> {
        invariants::state_written(self, record);
        let newer = self.state.records.get(&record.id).is_some_and(|known| known.token > record.token);
        if newer {
            return Err(StateError::Fenced);
        }
        *self.book.written.entry(record.id.clone()).or_default() += 1;
        self.state.records.insert(record.id.clone(), record.clone());
        Ok(())
    }
}

impl StateStore for ReplicaPorts {
    async fn check(&self) -> Result<Result<(), String>, CallError> {
        self.read(Call::CheckState, "", |world| Ok(world.state.fault.clone().map_or(Ok(()), Err))).await
    }

    async fn load(&self) -> Result<Vec<Record>, CallError> {
        self.read(Call::LoadState, "", |world| Ok(world.state.records.values().cloned().collect())).await
    }

    async fn get(&self, id: &str) -> Result<Option<Record>, CallError> {
        self.read(Call::GetState, id, |world| Ok(world.state.records.get(id).cloned())).await
    }

    async fn put(&self, record: &Record) -> Result<(), StateError> {
        let (subject, record) = (record.id.clone(), record.clone());
        self.change(Call::PutState, &subject, move |world| world.put_record(&record)).await
    }

    async fn delete(&self, id: &str, token: u64) -> Result<(), StateError> {
        let (subject, id) = (id, id.to_owned());
        self.change(Call::DeleteState, subject, move |world| {
            if world.state.records.get(&id).is_some_and(|known| known.token > token) {
                return Err(StateError::Fenced);
            }
            world.state.records.remove(&id);
            Ok(())
        })
        .await
    }

    async fn swap(&self, expected: Option<&Record>, new: &Record) -> Result<(), StateError> {
        let (expected, new) = (expected.cloned(), new.clone());
        let (subject, replica) = (new.id.clone(), self.replica());
        self.change(Call::SwapState, &subject, move |world| {
            invariants::state_written(world, &new);
            if world.state.records.get(&new.id) == Some(&new) {
                return Ok(());
            }
            let id = expected.as_ref().map_or(&new.id, |expected| &expected.id);
            if *id != new.id || world.state.records.get(id) != expected.as_ref() {
                return Err(StateError::Fenced);
            }
            invariants::swapped(world, replica, &new);
            world.state.records.insert(new.id.clone(), new);
            Ok(())
        })
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

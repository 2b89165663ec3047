//! `[state]`: the table with checkpoints, lease and brake.

use super::key::Key;
use super::reader::Reader;
use super::table::{Table, VALID_NAME, table_name};

const TABLE: Key = Key::of("state", "table");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[TABLE];

/// Follows the users table's name when the state table's is not set.
const SUFFIX: &str = "-controller";

/// The controller's own memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The name of the table that holds it.
    pub table: String,
}

impl State {
    pub(super) fn read(reader: &mut Reader, users: Option<&Table>) -> Option<Self> {
        let given = reader.optional(TABLE, VALID_NAME, |raw| raw.text().and_then(table_name));
        let users = users?;
        if given.as_ref() == Some(&users.name) {
            reader.conflict(
                TABLE,
                "it is the users table: the controller's own items would be users".to_owned(),
                format!("a table other than table.name, by default {}{SUFFIX}", users.name),
            );
            return None;
        }
        let table = given.unwrap_or_else(|| format!("{}{SUFFIX}", users.name));
        if let Err(problem) = table_name(&table) {
            reader.conflict(TABLE, format!("the default, {table}, is no name: {problem}"), VALID_NAME.into());
            return None;
        }
        Some(Self { table })
    }
}

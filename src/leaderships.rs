//! The records of the state table that say since when it leads for a users table, and by which settings:
//! `leadership/<ARN of the users table>`. `core::leadership` decides by them; `app` writes them.

use crate::core::leadership::Leadership;
use crate::lease::Guard;
use crate::ports::{Ports, Record, StateError, StateStore};

/// First part of the records' ids; the users table's ARN follows.
pub const PREFIX: &str = "leadership/";

/// What comes before a table's name in its ARN.
const TABLE: &str = ":table/";

/// The record of the users table of this ARN.
///
/// One that cannot be read says that the state table has led, and nothing more: `Err` with what is wrong.
pub fn find(records: &[Record], table_arn: &str) -> Option<Result<Leadership, String>> {
    let record = records.iter().find(|record| record.id.strip_prefix(PREFIX) == Some(table_arn))?;
    Some(serde_json::from_str(&record.body).map_err(|error| format!("{} is unreadable: {error}", record.id)))
}

/// The users tables that this state table has led for.
pub fn tables(records: &[Record]) -> impl Iterator<Item = &str> {
    records.iter().filter_map(|record| record.id.strip_prefix(PREFIX))
}

/// Whether it has led for a users table of this name: for those who cannot ask for its ARN, because the
/// table itself is gone.
pub fn has_led_for(records: &[Record], table_name: &str) -> bool {
    tables(records).any(|arn| arn.rsplit_once(TABLE).is_some_and(|(_, name)| name == table_name))
}

/// Stores the record.
///
/// # Errors
/// Those of the state table.
pub async fn store<P: Ports>(
    ports: &P,
    lease: &Guard<P>,
    table_arn: &str,
    leadership: &Leadership,
) -> Result<(), StateError> {
    let body = serde_json::to_string(leadership).unwrap_or_default();
    ports.state().put(&Record { id: format!("{PREFIX}{table_arn}"), body, token: lease.token() }).await
}

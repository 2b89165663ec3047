//! `[table]`: the users table.

use super::key::Key;
use super::reader::Reader;

const NAME: Key = Key::of("table", "name");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[NAME];

/// What DynamoDB takes as the name of a table.
pub(super) const VALID_NAME: &str = "a DynamoDB table's name: 3 to 255 of A-Z a-z 0-9 _ . -";

/// The users table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
}

impl Table {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let name = reader.required(NAME, VALID_NAME, |raw| raw.text().and_then(table_name))?;
        Some(Self { name })
    }
}

/// Checks a name as DynamoDB would.
pub(super) fn table_name(text: &str) -> Result<String, String> {
    if text.starts_with("arn:") {
        return Err(
            "it is an ARN; only the name is wanted, the table's account and Region are the SDK's".into()
        );
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if let Some(refused) = text.chars().find(|c| !allowed(*c)) {
        return Err(format!("DynamoDB does not allow {refused:?} in it"));
    }
    if !(3..=255).contains(&text.len()) {
        return Err(format!("it has {} characters", text.len()));
    }
    Ok(text.to_owned())
}

//! `[table]`: the users table.

use super::key::Key;
use super::reader::Reader;

const NAME: Key = Key::of("table", "name");
const ALLOW_REPLICAS: Key = Key::of("table", "allow_replicas");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[NAME, ALLOW_REPLICAS];

/// What DynamoDB takes as the name of a table.
pub(super) const VALID_NAME: &str = "a DynamoDB table's name: 3 to 255 of A-Z a-z 0-9 _ . -";

/// The users table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Whether to make a first start on a replica of a global table.
    pub allow_replicas: bool,
}

impl Table {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let name = reader.required(NAME, VALID_NAME, |raw| raw.text().and_then(table_name));
        let allow_replicas = reader.required(ALLOW_REPLICAS, "true or false", |raw| raw.flag());
        Some(Self { name: name?, allow_replicas: allow_replicas? })
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

//! What is stored in a user's SSM parameter: its keys, with their secrets.

use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::user::AccessKeyId;

/// A key and its secret, as consumers read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// The public half.
    pub id: AccessKeyId,
    /// The secret half.
    pub secret: Secret,
}

/// The JSON document in the parameter.
///
/// The parameter is the authority on which key is which: it changes in one call, while the tags on
/// the user follow it and may be seen late.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyDocument {
    /// The key that consumers use.
    pub current: Option<StoredKey>,
    /// The key before it, until it is deleted.
    pub pending: Option<StoredKey>,
    /// Members that somebody else added; they are kept as they are.
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// The parameter's value is not a document that the controller wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the parameter does not hold the key document: {0}")]
pub struct UnreadableDocument(&'static str);

/// The document's form; `K` is a key as it is read, or as it is written.
#[derive(Serialize, Deserialize)]
struct Wire<K> {
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    current: Option<K>,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pending_deletion: Option<K>,
    #[serde(flatten)]
    other: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct ReadKey {
    #[serde(rename = "AccessKeyID")]
    id: String,
    #[serde(rename = "SecretAccessKey")]
    secret: String,
}

#[derive(Serialize)]
struct WrittenKey<'a> {
    #[serde(rename = "AccessKeyID")]
    id: &'a str,
    #[serde(rename = "SecretAccessKey")]
    secret: &'a str,
}

impl KeyDocument {
    /// Reads a parameter's value.
    ///
    /// # Errors
    /// When it is not JSON, not an object, or a member of it has another form. The error never
    /// quotes the value.
    pub fn parse(text: &Secret) -> Result<Self, UnreadableDocument> {
        let wire: Wire<ReadKey> = serde_json::from_str(text.expose()).map_err(|error| {
            UnreadableDocument(match error.classify() {
                serde_json::error::Category::Data => "a member is missing or has another form",
                serde_json::error::Category::Io
                | serde_json::error::Category::Syntax
                | serde_json::error::Category::Eof => "it is not JSON",
            })
        })?;
        let stored = |key: Option<ReadKey>| {
            key.map(|key| {
                let id =
                    AccessKeyId::parse(&key.id).ok_or(UnreadableDocument("an AccessKeyID is malformed"))?;
                Ok(StoredKey { id, secret: Secret::new(key.secret) })
            })
            .transpose()
        };
        Ok(Self {
            current: stored(wire.current)?,
            pending: stored(wire.pending_deletion)?,
            other: wire.other,
        })
    }

    /// The parameter's value.
    pub fn to_text(&self) -> Secret {
        fn written(key: &StoredKey) -> WrittenKey<'_> {
            WrittenKey { id: key.id.as_str(), secret: key.secret.expose() }
        }
        let wire = Wire {
            current: self.current.as_ref().map(written),
            pending_deletion: self.pending.as_ref().map(written),
            other: self.other.clone(),
        };
        // Strings and maps with string keys always serialize.
        Secret::new(serde_json::to_string(&wire).unwrap_or_default())
    }

    /// The id of the key that consumers use.
    pub fn current_id(&self) -> Option<&AccessKeyId> {
        self.current.as_ref().map(|key| &key.id)
    }

    /// The id of the key before it.
    pub fn pending_id(&self) -> Option<&AccessKeyId> {
        self.pending.as_ref().map(|key| &key.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &str = r#"{"current":{"AccessKeyID":"AKIA2222222222222222","SecretAccessKey":"s2"},"pending_deletion":{"AccessKeyID":"AKIA1111111111111111","SecretAccessKey":"s1"}}"#;

    #[test]
    fn the_contract_round_trips() {
        let document = KeyDocument::parse(&Secret::new(CONTRACT)).unwrap();
        assert_eq!(document.current_id().unwrap().as_str(), "AKIA2222222222222222");
        assert_eq!(document.pending.as_ref().unwrap().secret.expose(), "s1");
        assert_eq!(document.to_text().expose(), CONTRACT);
    }

    #[test]
    fn a_document_without_a_pending_key_has_no_such_member() {
        let mut document = KeyDocument::parse(&Secret::new(CONTRACT)).unwrap();
        document.pending = None;
        assert!(!document.to_text().expose().contains("pending_deletion"));
    }

    #[test]
    fn members_of_others_are_kept() {
        let text =
            r#"{"current":{"AccessKeyID":"AKIA2222222222222222","SecretAccessKey":"s"},"note":{"by":"ops"}}"#;
        let document = KeyDocument::parse(&Secret::new(text)).unwrap();
        assert_eq!(document.to_text().expose(), text);
    }

    #[test]
    fn what_is_no_document_is_an_error_that_quotes_nothing() {
        for bad in [
            "",
            "hunter2",
            "[]",
            "\"hunter2\"",
            r#"{"current":"hunter2"}"#,
            r#"{"current":{"AccessKeyID":"hunter2","SecretAccessKey":"x"}}"#,
        ] {
            let error = KeyDocument::parse(&Secret::new(bad)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{bad}");
        }
    }

    #[test]
    fn secrets_are_not_formatted() {
        let document = KeyDocument::parse(&Secret::new(CONTRACT)).unwrap();
        assert!(!format!("{document:?}").contains("s2"));
    }
}

//! What is stored in a user's SSM parameter: its keys, with their secrets.

use std::fmt;

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
    /// What else is stored with the key; it goes where the key goes.
    pub other: Members,
}

impl StoredKey {
    /// A key with nothing beside it.
    pub fn new(id: AccessKeyId, secret: Secret) -> Self {
        Self { id, secret, other: Members::default() }
    }
}

/// Members that are kept as they are. Some are made from a secret, so none is ever formatted.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Members(serde_json::Map<String, serde_json::Value>);

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
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
    pub other: Members,
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
    other: Members,
}

#[derive(Deserialize)]
struct ReadKey {
    #[serde(rename = "AccessKeyID")]
    id: Option<String>,
    #[serde(rename = "SecretAccessKey")]
    secret: Option<String>,
    #[serde(flatten)]
    other: Members,
}

#[derive(Serialize)]
struct WrittenKey<'a> {
    #[serde(rename = "AccessKeyID")]
    id: &'a str,
    #[serde(rename = "SecretAccessKey")]
    secret: &'a str,
    #[serde(flatten)]
    other: &'a Members,
}

impl ReadKey {
    /// `Ok(None)` of `{}`, with which some writers say that there is no key.
    fn stored(self) -> Result<Option<StoredKey>, UnreadableDocument> {
        match (self.id, self.secret) {
            (None, None) if self.other == Members::default() => Ok(None),
            (Some(id), Some(secret)) => {
                let id = AccessKeyId::parse(&id).ok_or(UnreadableDocument("an AccessKeyID is malformed"))?;
                Ok(Some(StoredKey { id, secret: Secret::new(secret), other: self.other }))
            }
            _ => Err(UnreadableDocument("a key lacks its AccessKeyID or its SecretAccessKey")),
        }
    }
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
        let stored = |key: Option<ReadKey>| key.map_or(Ok(None), ReadKey::stored);
        Ok(Self {
            current: stored(wire.current)?,
            pending: stored(wire.pending_deletion)?,
            other: wire.other,
        })
    }

    /// The parameter's value.
    pub fn to_text(&self) -> Secret {
        fn written(key: &StoredKey) -> WrittenKey<'_> {
            WrittenKey { id: key.id.as_str(), secret: key.secret.expose(), other: &key.other }
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
    fn no_key_is_written_in_three_ways() {
        for none in ["null", "{}"] {
            for text in [
                format!(r#"{{"current":{none},"pending_deletion":{none}}}"#),
                format!(r#"{{"pending_deletion":{none}}}"#),
                "{}".to_owned(),
            ] {
                let document = KeyDocument::parse(&Secret::new(text.as_str())).expect(&text);
                assert_eq!((document.current, document.pending), (None, None), "{text}");
            }
        }
        let text = CONTRACT.replace(r#"{"AccessKeyID":"AKIA1111111111111111","SecretAccessKey":"s1"}"#, "{}");
        let document = KeyDocument::parse(&Secret::new(text)).unwrap();
        assert_eq!(
            (document.current_id().unwrap().as_str(), document.pending.as_ref()),
            ("AKIA2222222222222222", None)
        );
    }

    #[test]
    fn half_a_key_is_no_document() {
        for half in
            [r#"{"AccessKeyID":"AKIA2222222222222222"}"#, r#"{"SecretAccessKey":"s"}"#, r#"{"note":1}"#]
        {
            let text = format!(r#"{{"current":{half}}}"#);
            assert!(KeyDocument::parse(&Secret::new(text)).is_err(), "{half}");
        }
    }

    #[test]
    fn members_inside_a_key_go_where_the_key_goes() {
        let text = r#"{"current":{"AccessKeyID":"AKIA2222222222222222","SecretAccessKey":"s","SesSmtpPassword":{"eu-west-1":"hunter2"},"note":"ours"}}"#;
        let document = KeyDocument::parse(&Secret::new(text)).unwrap();
        assert_eq!(document.to_text().expose(), text);
        let rotated = KeyDocument { current: None, pending: document.current, ..KeyDocument::default() };
        assert_eq!(rotated.to_text().expose(), text.replacen("current", "pending_deletion", 1));
        assert!(!format!("{rotated:?}").contains("hunter2"), "it is made from the secret");
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

//! Names and ids of IAM users and their access keys, checked once and then trusted.

use std::borrow::Borrow;
use std::fmt;

/// IAM: a user name has at most this many characters.
const MAX_NAME: usize = 64;

/// A name that IAM accepts: 1–64 characters of `A-Z a-z 0-9 + = , . @ _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct UserName(String);

/// Why a text is not a user name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// IAM names have at least one character.
    #[error("the name is empty")]
    Empty,
    /// IAM names have at most 64 characters.
    #[error("the name has {0} characters; IAM allows 64")]
    TooLong(usize),
    /// The first character that IAM refuses.
    #[error("the name has the character {0:?}; IAM allows A-Z a-z 0-9 + = , . @ _ -")]
    Character(char),
}

impl UserName {
    /// Checks a name as IAM would.
    ///
    /// # Errors
    /// Says which of IAM's rules the text breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if let Some(refused) = text.chars().find(|c| !is_name_character(*c)) {
            return Err(InvalidName::Character(refused));
        }
        if text.len() > MAX_NAME {
            return Err(InvalidName::TooLong(text.len()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What IAM compares: the name without regard to case.
    pub fn folded(&self) -> FoldedName {
        FoldedName(self.0.to_ascii_lowercase())
    }
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '=' | ',' | '.' | '@' | '_' | '-')
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user name without regard to case. Two items with one folded name are one IAM user at most, so
/// this is what work is serialized by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedName(String);

impl FoldedName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for FoldedName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FoldedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// IAM's unique id of a user (`AIDA…`). A name can be used again; an id cannot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UserId(pub String);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The public half of an access key (`AKIA…`; an emulator's may begin otherwise).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct AccessKeyId(String);

impl AccessKeyId {
    /// Accepts what IAM's API model accepts: 16–128 letters, digits and underscores.
    pub fn parse(text: &str) -> Option<Self> {
        let plausible =
            (16..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        plausible.then(|| Self(text.to_owned()))
    }

    /// The id as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_iam_checks_them() {
        let longest = "x".repeat(64);
        for good in ["a", "A-Z_0.9+=,@", longest.as_str()] {
            assert_eq!(UserName::parse(good).map(|n| n.to_string()), Ok(good.to_owned()));
        }
        assert_eq!(UserName::parse(""), Err(InvalidName::Empty));
        assert_eq!(UserName::parse(&"x".repeat(65)), Err(InvalidName::TooLong(65)));
        for (bad, character) in [("a b", ' '), ("a/b", '/'), ("jürgen", 'ü'), ("a\0", '\0')] {
            assert_eq!(UserName::parse(bad), Err(InvalidName::Character(character)));
        }
    }

    #[test]
    fn case_is_folded() {
        let (upper, lower) = (UserName::parse("Mail.A"), UserName::parse("mail.a"));
        assert_ne!(upper, lower);
        assert_eq!(upper.map(|n| n.folded()), lower.map(|n| n.folded()));
    }

    #[test]
    fn key_ids_are_recognised() {
        assert!(AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").is_some());
        for not_an_id in ["managed-by", "short", "iam-user-controller:minting", ""] {
            assert!(AccessKeyId::parse(not_an_id).is_none(), "{not_an_id}");
        }
    }
}

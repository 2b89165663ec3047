//! Text that must never be shown.

use std::fmt;

use zeroize::Zeroizing;

/// A secret access key, or a document that holds one.
///
/// It can be formatted by nobody, compares in memory only, and is wiped when dropped. The one way
/// out is [`Secret::expose`], which is called where a secret is signed with or sent to SSM.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

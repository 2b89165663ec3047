//! The name of one setting, in the two spellings that an operator may use.

use std::fmt;

/// One setting: `keys.rotate_after` in a file, `IUC_KEYS__ROTATE_AFTER` in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The table of the file that it stands in; `None` at the top.
    pub(super) section: Option<&'static str>,
    /// Its name there.
    pub(super) name: &'static str,
}

/// What the environment variables of the program begin with.
pub(super) const PREFIX: &str = "IUC_";

impl Key {
    /// A key of a section.
    pub(super) const fn of(section: &'static str, name: &'static str) -> Self {
        Self { section: Some(section), name }
    }

    /// A key that stands in no section.
    pub(super) const fn top(name: &'static str) -> Self {
        Self { section: None, name }
    }

    /// The environment variable that sets it.
    pub(super) fn variable(self) -> String {
        match self.section {
            Some(section) => format!("{PREFIX}{section}__{}", self.name).to_ascii_uppercase(),
            None => format!("{PREFIX}{}", self.name).to_ascii_uppercase(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.section {
            Some(section) => write!(f, "{section}.{}", self.name),
            None => f.write_str(self.name),
        }
    }
}

/// The candidate that `written` was probably meant to be, if any is near.
pub(super) fn nearest(written: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    // Two thirds alike: `rotate_afer` and a forgotten section are found, `host` suggests nothing.
    const NEAR: f64 = 0.66;
    candidates
        .map(|candidate| (strsim::normalized_damerau_levenshtein(written, &candidate), candidate))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

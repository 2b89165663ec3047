//! The environment variables `IUC_…`: which of them are settings, and their text as it stands.
//!
//! Nothing here guesses a type. A table named `123` or `true` stays text; the key that reads a
//! value says what it has to be.

use std::collections::BTreeMap;

use figment::value::{Dict, Map};
use figment::{Error, Metadata, Profile, Provider};

use super::faults::{Fault, Source};
use super::file::sounds_secret;
use super::key::{Key, PREFIX, nearest};

/// Names the configuration file. Not a setting: the command line reads it.
const CONFIG_FILE: &str = "IUC_CONFIG";

/// The metadata's source of every value that comes from here.
pub(super) const SOURCE: &str = "environment";

/// This process's variables that begin with `IUC_`.
///
/// A value that is not UTF-8 comes with replacement characters: what reads it can then refuse it.
pub fn of_this_process() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(PREFIX))
}

/// The variables that are settings, as a layer of the configuration.
#[derive(Debug, Default)]
pub(super) struct Environment(BTreeMap<Key, String>);

impl Environment {
    /// Takes the settings out of `variables`; every other variable `IUC_…` becomes a fault.
    pub(super) fn read(
        variables: impl Iterator<Item = (String, String)>,
        keys: &[Key],
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut settings = BTreeMap::new();
        for (name, value) in variables {
            if !name.starts_with(PREFIX) || name == CONFIG_FILE {
                continue;
            }
            match keys.iter().find(|key| key.variable() == name) {
                Some(key) => {
                    settings.insert(*key, value);
                }
                None => faults.push(unknown(name, value, keys)),
            }
        }
        Self(settings)
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named(SOURCE).source(SOURCE)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut top = Dict::new();
        let mut sections: BTreeMap<&str, Dict> = BTreeMap::new();
        for (key, text) in &self.0 {
            let within = match key.section {
                Some(section) => sections.entry(section).or_default(),
                None => &mut top,
            };
            within.insert(key.name.to_owned(), text.as_str().into());
        }
        top.extend(sections.into_iter().map(|(name, section)| (name.to_owned(), section.into())));
        Ok(Profile::Default.collect(top))
    }
}

fn unknown(name: String, value: String, keys: &[Key]) -> Fault {
    let written = name.strip_prefix(PREFIX).unwrap_or(&name).to_ascii_uppercase();
    let without_prefix = |key: &Key| key.variable().split_off(PREFIX.len());
    let valid = match nearest(&written, keys.iter().map(without_prefix)) {
        Some(near) => format!("did you mean {PREFIX}{near}?"),
        None => {
            "unset it, or name a key as IUC_<SECTION>__<KEY>, with two underscores, in capitals".to_owned()
        }
    };
    let shown = (!sounds_secret(&name)).then(|| format!("{value:?}"));
    let unsaid = if shown.is_none() { "; its value is not shown" } else { "" };
    Fault {
        key: name.clone(),
        variable: None,
        value: shown,
        source: Source::Variable(name),
        problem: format!("there is no such setting{unsaid}"),
        valid,
    }
}

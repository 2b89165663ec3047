//! The settings that decide what happens to a user or to a deletion, as text: what two processes at one
//! state table have to agree on.
//!
//! A test counts every key of the configuration here, or among those that do not decide. Never a secret.

use std::collections::BTreeMap;

use super::Settings;
use super::keys::{COMPROMISED_KEYS, FOREIGN_KEYS};
use super::orphans::{ACTIONS, SCOPES};
use super::render::duration;
use super::users::ADOPTIONS;
use crate::core::leadership::Fingerprint;

/// What stands for a setting that has no value.
const UNSET: &str = "unset";

impl Settings {
    /// The settings that decide, with the values in force.
    pub fn fingerprint(&self) -> Fingerprint {
        let (users, keys, orphans, deletions) = (&self.users, &self.keys, &self.orphans, &self.deletions);
        let optional = |value: &Option<String>| value.clone().unwrap_or_else(|| UNSET.to_owned());
        let settings = [
            ("table.name", self.table.name.clone()),
            ("users.path", users.path.clone()),
            ("users.permissions_boundary", optional(&users.permissions_boundary)),
            ("users.adopt", word(ADOPTIONS, users.adopt)),
            ("users.adopt_paths", list(&users.adopt_paths)),
            ("users.adopt_from", list(&users.adopt_from)),
            ("keys.rotate_after", duration(keys.rotate_after)),
            ("keys.delete_after", duration(keys.delete_after)),
            ("keys.min_overlap", duration(keys.min_overlap)),
            ("keys.foreign", word(FOREIGN_KEYS, keys.foreign)),
            ("keys.compromised", word(COMPROMISED_KEYS, keys.compromised)),
            ("keys.verify", keys.verify.to_string()),
            ("keys.verify_for", duration(keys.verify_for)),
            ("keys.verify_timeout", duration(keys.verify_timeout)),
            ("parameters.name", self.parameters.template.text()),
            ("parameters.kms_key_id", optional(&self.parameters.kms_key_id)),
            ("orphans.scope", word(SCOPES, orphans.scope)),
            ("orphans.action", word(ACTIONS, orphans.action)),
            ("orphans.protect", list(orphans.protect.patterns())),
            ("orphans.include_console_users", orphans.include_console_users.to_string()),
            ("orphans.min_age", duration(orphans.min_age)),
            ("orphans.sweeps", orphans.sweeps.to_string()),
            ("deletions.max_count", deletions.max_count.to_string()),
            ("deletions.max_percent", deletions.max_percent.get().to_string()),
            ("deletions.window", duration(deletions.window)),
        ];
        let settings = settings.into_iter().map(|(key, value)| (key.to_owned(), value));
        Fingerprint(BTreeMap::from_iter(settings))
    }
}

/// The word for a choice.
fn word<T: PartialEq>(choices: &[(&str, T)], value: T) -> String {
    let word = choices.iter().find(|(_, choice)| *choice == value);
    word.map_or_else(|| UNSET.to_owned(), |(word, _)| (*word).to_owned())
}

/// A list whose order means nothing.
fn list(texts: &[String]) -> String {
    let mut texts = texts.to_vec();
    texts.sort();
    format!("{texts:?}")
}

#[cfg(test)]
mod tests {
    use super::super::{keys, load};
    use super::*;

    /// Keys that decide nothing about a user or a deletion, and what they do instead.
    const NOT_DECIDING: &[(&str, &str)] = &[
        ("dry_run", "changes nothing at all"),
        ("table.allow_replicas", "whether a first start is made"),
        ("state.table", "is where the fingerprint itself is kept"),
        ("stream.poll_interval", "how soon a change is seen"),
        ("stream.idle_interval", "how soon a change is seen"),
        ("sweep.schedule", "when it is looked"),
        ("sweep.full_every", "when it is looked"),
        ("executor.concurrency", "how much is done at once"),
        ("pace.iam", "how fast AWS is called"),
        ("pace.parameter_reads", "how fast AWS is called"),
        ("pace.parameter_lists", "how fast AWS is called"),
        ("pace.parameter_writes", "how fast AWS is called"),
        ("lease.ttl", "who leads"),
        ("http.listen", "what people see"),
        ("http.expose_users", "what people see"),
        ("log.format", "what people see"),
        ("log.level", "what people see"),
        ("shutdown.grace", "how the program ends"),
    ];

    fn with(variables: &[(&str, &str)]) -> Settings {
        let base = [("IUC_TABLE__NAME", "users")];
        let env = base.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(None, env).unwrap()
    }

    /// When this fails for a new key: add it to the fingerprint, unless it decides nothing about a user.
    #[test]
    fn every_key_is_in_the_fingerprint_or_decides_nothing() {
        let mut known: Vec<String> = with(&[]).fingerprint().0.into_keys().collect();
        known.extend(NOT_DECIDING.iter().map(|(key, _)| (*key).to_owned()));
        known.sort();
        let mut all: Vec<String> = keys().iter().map(ToString::to_string).collect();
        all.sort();
        assert_eq!(known, all);
    }

    #[test]
    fn a_fingerprint_tells_values_as_an_operator_writes_them() {
        let plain = with(&[]).fingerprint();
        let other = with(&[
            ("IUC_KEYS__ROTATE_AFTER", "10d"),
            ("IUC_ORPHANS__PROTECT", "[\"b*\", \"a\"]"),
            ("IUC_HTTP__LISTEN", "127.0.0.1:1"),
        ]);
        let told: Vec<_> = plain.differences(&other.fingerprint()).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                // It follows the two ages.
                "keys.min_overlap: the last leader had 180h, this process has 10d",
                "keys.rotate_after: the last leader had 15d, this process has 10d",
                "orphans.protect: the last leader had [], this process has [\"a\", \"b*\"]",
            ]
        );
    }
}

//! What a state table remembers of its leadership for a users table: since when, and by which settings.
//!
//! Two questions are answered from it. May a command do the work of a leader by itself? And is a REMOVE
//! record of the stream evidence, or a story of the time before the first start? `app` asks the first
//! one, `work` the second. Pure: it is told the time.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Everything in the configuration that decides what happens to a user or to a deletion: the value of
/// each setting by its key, as an operator would write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(pub BTreeMap<String, String>);

/// A setting that has one value in the state table and another one in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key, as in `keys.rotate_after`.
    pub setting: String,
    /// What the last leader had; `None` when it did not know the setting.
    pub stored: Option<String>,
    /// What this process has; `None` when it does not know the setting.
    pub own: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = "unknown";
        let (stored, own) = (self.stored.as_deref(), self.own.as_deref());
        let (stored, own) = (stored.unwrap_or(unknown), own.unwrap_or(unknown));
        write!(f, "{}: the last leader had {stored}, this process has {own}", self.setting)
    }
}

impl Fingerprint {
    /// Where `own` is not what is stored here, in the order of the keys.
    pub fn differences(&self, own: &Self) -> Vec<Difference> {
        let mut keys: Vec<&String> = self.0.keys().chain(own.0.keys()).collect();
        keys.sort();
        keys.dedup();
        let differs = keys.into_iter().filter(|key| self.0.get(*key) != own.0.get(*key));
        let difference = |key: &String| Difference {
            setting: key.clone(),
            stored: self.0.get(key).cloned(),
            own: own.0.get(key).cloned(),
        };
        differs.map(difference).collect()
    }
}

/// One state table's leadership for one users table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    /// When it first led, by AWS's clock: the latest that this may have been, as far as clocks agree.
    pub first: Timestamp,
    /// The settings of the last leader.
    pub settings: Fingerprint,
}

/// Why a command may not do the work of a leader by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No leader has ever had this state table for this users table: it may be the wrong one.
    NeverLed,
    /// The service has other settings, and would undo what is done by these.
    OtherSettings(Vec<Difference>),
}

/// Whether a command may do the work of a leader by itself. `first` is the operator's word that this
/// state table is the one.
///
/// # Errors
/// See [`Refusal`]; nothing may be changed then.
pub fn may_work_alone(stored: Option<&Leadership>, own: &Fingerprint, first: bool) -> Result<(), Refusal> {
    let Some(stored) = stored else {
        return if first { Ok(()) } else { Err(Refusal::NeverLed) };
    };
    let differences = stored.settings.differences(own);
    if differences.is_empty() { Ok(()) } else { Err(Refusal::OtherSettings(differences)) }
}

/// Whether a REMOVE record of this time says anything about a user. What was removed before the first
/// leadership was somebody else's business: the function before us, or a pipeline that replaced rows.
///
/// The stream rounds down to whole seconds, so that a row that goes in the very second of the first start
/// counts as gone before it. Sweeps find its user.
pub fn is_evidence(removed: Timestamp, first: Timestamp) -> bool {
    removed >= first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Fingerprint {
        Fingerprint(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn each_difference_is_told_with_both_values() {
        let stored = settings(&[("keys.rotate_after", "15d"), ("users.adopt", "tagged"), ("old", "1")]);
        let own = settings(&[("keys.rotate_after", "20d"), ("users.adopt", "tagged"), ("new", "2")]);
        let told: Vec<_> = stored.differences(&own).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "keys.rotate_after: the last leader had 15d, this process has 20d",
                "new: the last leader had unknown, this process has 2",
                "old: the last leader had 1, this process has unknown",
            ]
        );
        assert_eq!(stored.differences(&stored), []);
    }

    #[test]
    #[rustfmt::skip] // The columns are the point.
    fn a_command_works_alone_only_by_the_services_settings_and_in_a_state_table_that_has_led() {
        let service = Leadership { first: Timestamp::default(), settings: settings(&[("a", "1")]) };
        let check = |stored: Option<&Leadership>, own: &[(&str, &str)], first, allowed| {
            assert_eq!(may_work_alone(stored, &settings(own), first).is_ok(), allowed, "{own:?} {first}");
        };
        //    stored          own            --first  allowed
        check(Some(&service), &[("a", "1")], false,   true);
        check(Some(&service), &[("a", "1")], true,    true);
        check(Some(&service), &[("a", "2")], false,   false);
        // It says which state table is the one, not which settings are.
        check(Some(&service), &[("a", "2")], true,    false);
        check(None,           &[("a", "1")], false,   false);
        check(None,           &[("a", "1")], true,    true);
    }

    #[test]
    #[rustfmt::skip] // The columns are the point.
    fn a_removal_of_before_the_first_start_is_no_evidence() {
        let first = Timestamp::from_millis(1_800_000_000_500);
        let check = |removed: i64, expected| {
            assert_eq!(is_evidence(Timestamp::from_secs(1_800_000_000 + removed), first), expected, "{removed}");
        };
        //    seconds  evidence
        check(-3_600,  false);
        // The very second of the first start, as the stream tells it.
        check(0,       false);
        check(1,       true);
        check(3_600,   true);
    }
}

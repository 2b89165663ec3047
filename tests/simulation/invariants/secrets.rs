//! 9: no secret is seen outside the vault.

use iam_user_controller::ports::Record;

use super::{Change, Verdict, violation};
use crate::account::{SECRET_MARK, World};

/// The state table holds no secret.
pub(super) fn state_written(world: &mut World, record: &Record) {
    if record.body.contains(SECRET_MARK) || record.id.contains(SECRET_MARK) {
        violation(world, 9, format!("the state record {} holds a secret", record.id));
    }
}

/// Nor does a tag.
pub(super) fn tagged(folded: &str, change: &Change<'_>, verdict: &mut Verdict) {
    let told = match change {
        Change::TagUser(tags) => Some(*tags),
        Change::CreateUser(new) => Some(&new.tags),
        _ => None,
    };
    if told.is_some_and(|tags| tags.iter().any(|(k, v)| k.contains(SECRET_MARK) || v.contains(SECRET_MARK))) {
        verdict.breaks(9, format!("a tag of {folded} holds a secret"));
    }
}

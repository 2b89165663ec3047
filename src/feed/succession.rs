//! Which stream follows which. Pure.
//!
//! A stream's ARN is its table's ARN, `/stream/`, and the time at which it was enabled. A table has
//! one current stream; those before it can be read for another 24 hours.

use super::gap::GapCause;
use crate::ports::{TableDescription, TableStream};

/// Where a stored checkpoint's stream stands, seen from the table as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The table's current stream, or one before it.
    Ours,
    /// Not this table's.
    Foreign,
    /// This table's, but newer than its newest.
    Future,
}

fn split(stream: &str) -> (&str, &str) {
    stream.split_once("/stream/").unwrap_or((stream, ""))
}

/// Judges the stream of a stored checkpoint.
pub(super) fn origin(stream: &str, table: &TableDescription) -> Origin {
    let (of_table, label) = split(stream);
    let current = table.stream.as_ref().map(|current| split(&current.arn));
    if of_table != table.arn && current.is_none_or(|(current_table, _)| of_table != current_table) {
        return Origin::Foreign;
    }
    // Labels are times in one ISO 8601 form, which sort as text.
    match current {
        Some((_, current_label)) if label > current_label => Origin::Future,
        _ => Origin::Ours,
    }
}

/// The stream that is being followed as the table's current one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Followed<'a> {
    pub(super) arn: &'a str,
    /// Empty when not known.
    pub(super) table_id: &'a str,
}

/// What the table's current stream means for what is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Succession {
    /// There is none to follow.
    None,
    /// It is followed already.
    Same,
    /// It is the first ever: nothing was promised before.
    First,
    /// It takes the place of another.
    Next(GapCause),
}

/// Compares the table as it is with the stream that was followed last.
pub(super) fn succession(table: &TableDescription, followed: Option<Followed<'_>>) -> Succession {
    let Some(TableStream { arn, .. }) = &table.stream else { return Succession::None };
    let Some(followed) = followed else { return Succession::First };
    let recreated = !followed.table_id.is_empty() && !table.id.is_empty() && followed.table_id != table.id;
    match (recreated, followed.arn == arn) {
        (true, _) => Succession::Next(GapCause::TableRecreated),
        (false, true) => Succession::Same,
        (false, false) => Succession::Next(GapCause::NewStream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(id: &str, stream: Option<&str>) -> TableDescription {
        TableDescription {
            arn: "arn:t/users".to_owned(),
            id: id.to_owned(),
            readable: true,
            keyed_by_user_name: true,
            stream: stream.map(|arn| TableStream { arn: arn.to_owned(), enabled: true }),
        }
    }

    #[test]
    fn origins() {
        let second = Some("arn:t/users/stream/2026-02");
        for (stream, current, expected) in [
            ("arn:t/users/stream/2026-02", second, Origin::Ours),
            ("arn:t/users/stream/2026-01", second, Origin::Ours),
            ("arn:t/users/stream/2026-03", second, Origin::Future),
            ("arn:t/users/stream/2026-03", None, Origin::Ours),
            ("arn:t/others/stream/2026-01", second, Origin::Foreign),
            ("arn:t/users2/stream/2026-01", None, Origin::Foreign),
            ("nonsense", second, Origin::Foreign),
            // An endpoint whose stream ARNs do not begin with the table's.
            ("arn:x/users/stream/2026-01", Some("arn:x/users/stream/2026-02"), Origin::Ours),
        ] {
            assert_eq!(origin(stream, &table("1", current)), expected, "{stream} {current:?}");
        }
    }

    #[test]
    fn successions() {
        let at = |arn, table_id| Some(Followed { arn, table_id });
        for (id, stream, followed, expected) in [
            ("1", None, at("a", "1"), Succession::None),
            ("1", Some("a"), None, Succession::First),
            ("1", Some("a"), at("a", "1"), Succession::Same),
            ("", Some("a"), at("a", "1"), Succession::Same),
            ("1", Some("a"), at("a", ""), Succession::Same),
            ("1", Some("b"), at("a", "1"), Succession::Next(GapCause::NewStream)),
            ("2", Some("b"), at("a", "1"), Succession::Next(GapCause::TableRecreated)),
            ("2", Some("a"), at("a", "1"), Succession::Next(GapCause::TableRecreated)),
        ] {
            assert_eq!(succession(&table(id, stream), followed), expected, "{id} {stream:?} {followed:?}");
        }
    }
}

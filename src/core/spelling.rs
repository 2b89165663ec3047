//! Which of several rows that differ only in case is served. IAM takes their names for one user.
//!
//! The leader, `plan` and `dry_run` all ask here, so that they cannot disagree.

use std::collections::BTreeSet;

use super::plan::Desired;
use super::user::UserName;

/// What the table wants of `name`.
///
/// `rows` are the rows that differ from it in case at most; `user` is the name of the IAM user that IAM
/// finds under all of them, as IAM spells it. The row that names this user is served, else the first one
/// in byte order.
pub fn desired(name: &UserName, rows: &BTreeSet<UserName>, user: Option<&UserName>) -> Desired {
    if !rows.contains(name) {
        return Desired::Absent;
    }
    match user.filter(|user| rows.contains(*user)).or(rows.first()) {
        Some(served) if served != name => Desired::Shadowed { by: served.clone() },
        Some(_) | None => Desired::Present,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wanted of each of these names: `+` is served, `-` is no row, a name is the row that is.
    fn wanted(rows: &[&str], user: Option<&str>, names: [&str; 3]) -> [String; 3] {
        let name = |text: &str| UserName::parse(text).unwrap();
        let rows = rows.iter().map(|row| name(row)).collect();
        let user = user.map(name);
        names.map(|asked| match desired(&name(asked), &rows, user.as_ref()) {
            Desired::Present => "+".to_owned(),
            Desired::Absent => "-".to_owned(),
            Desired::Shadowed { by } => by.to_string(),
        })
    }

    #[test]
    #[rustfmt::skip] // The columns are the point.
    fn the_row_of_the_iam_user_is_served_else_the_first_one() {
        let check = |rows: &[&str], user, expected: [&str; 3]| {
            assert_eq!(wanted(rows, user, ["ANNA", "Anna", "anna"]), expected, "{rows:?} {user:?}");
        };
        //    rows                        IAM user        ANNA     Anna     anna
        check(&["anna"],                  None,           ["-",    "-",     "+"]);
        check(&["anna"],                  Some("anna"),   ["-",    "-",     "+"]);
        check(&["anna"],                  Some("Anna"),   ["-",    "-",     "+"]);
        check(&["Anna", "anna"],          None,           ["-",    "+",     "Anna"]);
        check(&["Anna", "anna"],          Some("Anna"),   ["-",    "+",     "Anna"]);
        check(&["Anna", "anna"],          Some("anna"),   ["-",    "anna",  "+"]);
        check(&["Anna", "anna"],          Some("ANNA"),   ["-",    "+",     "Anna"]);
        check(&["ANNA", "Anna", "anna"],  None,           ["+",    "ANNA",  "ANNA"]);
        check(&["ANNA", "Anna", "anna"],  Some("Anna"),   ["Anna", "+",     "Anna"]);
        check(&["ANNA", "Anna", "anna"],  Some("anna"),   ["anna", "anna",  "+"]);
        check(&["ANNA", "Anna", "anna"],  Some("aNNA"),   ["+",    "ANNA",  "ANNA"]);
        check(&[],                        Some("anna"),   ["-",    "-",     "-"]);
    }
}

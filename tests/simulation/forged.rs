//! Somebody who may write the users table, and nothing else, tries to get at users that are not owned.
//!
//! Each attempt is a row, written, written again, removed, and both in a hurry; keys that the
//! controller did not make are to be revoked. Nothing is sent to change any of those users, and the
//! rule that refuses is told.

use iam_user_controller::core::observed::Tags;
use iam_user_controller::core::policy::ForeignKeys;
use tracing::Level;

use crate::harness::{Act, Report, Scenario};
use crate::matrix::Log;
use crate::program;
use crate::stories::{self, put, remove, secs};
use crate::wrong::{self, Flaw};

const MANAGED_BY: (&str, &str) = ("managed-by", "iam-user-controller");
const TABLE: &str = "iam-user-controller:table";

/// One attempt.
struct Attempt {
    what: &'static str,
    /// Whom it is about, as IAM spells it.
    victim: &'static str,
    /// The row.
    row: &'static str,
    /// How the victim came to be.
    made: Vec<Act>,
    /// The rule that refuses; `None`: the name is none that IAM accepts.
    rule: Option<&'static str>,
}

/// A user that somebody made by hand, with a key.
fn by_hand(name: &str, tags: &[(&str, &str)]) -> Vec<Act> {
    let tags: Tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let name = name.to_owned();
    vec![Act::MakeUser { name: name.clone(), boundary: None, tags }, Act::AddForeignKey(name)]
}

/// A user as the function left it: a row would have it adopted, were it not for what it is.
fn adoptable(name: &str) -> Act {
    let (name, boundary, current) = (name.to_owned(), None, stories::days(3));
    Act::LegacyUser { name, current, pending: None, boundary, stored: true }
}

fn tagged(name: &str, tags: &[(&str, &str)]) -> impl Iterator<Item = Act> {
    let name = name.to_owned();
    let tags: Vec<_> = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    tags.into_iter().map(move |(key, value)| Act::SetTag(name.clone(), key, value))
}

fn attempts() -> Vec<Attempt> {
    let conflict = |what, name, made| Attempt { what, victim: name, row: name, made, rule: Some("adopt") };
    let invalid = |what, row| Attempt { what, victim: "admin", row, made: Vec::new(), rule: None };
    let others = [MANAGED_BY, (TABLE, "others")];
    let elsewhere = [adoptable("elsewhere")].into_iter().chain(tagged("elsewhere", &others)).collect();
    let stripped = vec![adoptable("stripped"), Act::StripKeyTags("stripped".to_owned())];
    let another = [("AKIAANOTHERUSERSKEY1", "current")];
    let mint = [("iam-user-controller:minting", "2026-01-01T00:00:00Z")];
    vec![
        conflict("an administrator", "admin", by_hand("admin", &[("team", "platform")])),
        conflict("tagged with another user's key", "other-key", by_hand("other-key", &another)),
        conflict("its own key without a tag", "stripped", stripped),
        conflict("only the first ownership tag", "half-1", by_hand("half-1", &[MANAGED_BY])),
        conflict("only the second ownership tag", "half-2", by_hand("half-2", &[(TABLE, "users")])),
        conflict("an open mint and no more", "minting", by_hand("minting", &mint)),
        conflict("owned from another table, its key tagged", "elsewhere", elsewhere),
        Attempt {
            what: "an adoptable user in upper case",
            victim: "chief",
            row: "CHIEF",
            made: vec![adoptable("chief")],
            rule: Some("other_spelling"),
        },
        Attempt {
            what: "the user that the controller runs as, adoptable by its tags",
            victim: "robot",
            row: "robot",
            made: vec![adoptable("robot")],
            rule: Some("own_principal"),
        },
        invalid("Cyrillic a", "\u{430}dmin"),
        invalid("full-width a", "\u{ff41}dmin"),
        invalid("zero-width space", "admin\u{200b}"),
        invalid("space after", "admin "),
        invalid("line break", "admin\n"),
        invalid("NUL", "admin\0"),
        invalid("path before", "staff/admin"),
        invalid("ARN", "arn:aws:iam::123456789012:user/admin"),
        invalid("percent-encoded", "%61dmin"),
        invalid("wildcard", "adm*"),
        invalid("too long", "adminadminadminadminadminadminadminadminadminadminadminadminadmin"),
    ]
}

fn scenario(attempts: &[Attempt]) -> Scenario {
    let mut scenario = stories::with("forged rows", |rules| rules.policy.foreign = ForeignKeys::Revoke);
    scenario.account.conduct.own_user = Some("robot".to_owned());
    for attempt in attempts {
        let row = attempt.row;
        scenario = scenario
            .before(attempt.made.iter().cloned())
            .at(secs(3), put(row))
            .at(secs(30), Act::ModifyRow(row.to_owned()))
            .at(secs(60), remove(row))
            .at(secs(110), put(row))
            .at(secs(110), remove(row))
            .at(secs(150), put(row))
            .at(secs(151), remove(row));
    }
    // Whoever writes an honest row gets a user.
    scenario.at(secs(3), put("honest"))
}

/// What is wrong with the history.
fn missed(attempts: &[Attempt], report: &Report, log: &str) -> Vec<String> {
    let mut missed = report.violations.clone();
    for Attempt { what, victim, row, rule, .. } in attempts {
        let touched = report.sent.iter().find(|(_, _, name)| name.eq_ignore_ascii_case(victim));
        missed.extend(touched.map(|sent| format!("{what}: {sent:?}")));
        let told = match rule {
            Some(rule) => log.contains(&format!("user={row} rule=\"{rule}\"")),
            None => log.contains("a row has a name that IAM does not accept"),
        };
        if !told {
            missed.push(format!("{what}: it is not told why it is refused"));
        }
    }
    if !report.sent.iter().any(|(_, _, name)| name == "honest") {
        missed.push("nobody is served".to_owned());
    }
    missed
}

#[test]
fn rows_hand_out_no_key_of_change_and_delete_nobody_who_is_not_owned() {
    let attempts = attempts();
    let scenario = scenario(&attempts);
    for seed in 0..4 {
        let (report, log) = Log::of(Level::DEBUG, || program::run(seed, &scenario));
        let missed = missed(&attempts, &report, &log);
        assert!(missed.is_empty(), "seed {seed}: {missed:#?}");
    }
    for attempt in &attempts {
        let outcome = attempt.rule.map_or("invalid", |_| "conflict");
        eprintln!("forged row, {}: {outcome} ({})", attempt.what, attempt.rule.unwrap_or("no IAM name"));
    }
    for flaw in [Flaw::AdoptsAll, Flaw::OwnsAll, Flaw::ForgetsItself] {
        let (report, log) = Log::of(Level::DEBUG, || wrong::run(0, &scenario, flaw));
        let missed = missed(&attempts, &report, &log);
        assert!(!missed.is_empty(), "{flaw:?} passes, too");
        eprintln!("forged rows: {flaw:?} fails: {}", missed[0]);
    }
}

//! What happens to the program: one story for each thing that it is for, and for each way in which
//! people get in its way. Alone, each has to end well; `matrix` lets things go wrong in them.

use std::time::Duration;

use iam_user_controller::core::observed::{Leftover, Tags};
use iam_user_controller::core::policy::{Adopt, ForeignKeys, OrphanScope};

use crate::account::AccountSettings;
use crate::harness::{Act, Scenario};
use crate::invariants::Rules;
use crate::program;

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn days(n: u64) -> Duration {
    secs(86_400 * n)
}

pub(crate) fn put(name: &str) -> Act {
    Act::PutRow(name.to_owned())
}

pub(crate) fn remove(name: &str) -> Act {
    Act::RemoveRow(name.to_owned())
}

pub(crate) fn owned(name: &str, current: u64, pending: Option<u64>) -> Act {
    Act::OwnedUser { name: name.to_owned(), current: days(current), pending: pending.map(days) }
}

fn legacy(name: &str, current: u64, pending: Option<u64>, stored: bool) -> Act {
    let boundary = None;
    Act::LegacyUser {
        name: name.to_owned(),
        current: days(current),
        pending: pending.map(days),
        boundary,
        stored,
    }
}

/// The tags with which a controller for this table owns a user.
pub(crate) fn tags_of(table: &str) -> Tags {
    let tags = [("managed-by", "iam-user-controller"), ("iam-user-controller:table", table)];
    tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// A story with a user that has nothing to do with it and is to stay as it is.
pub(crate) fn story(name: &'static str) -> Scenario {
    with(name, |_| {})
}

pub(crate) fn with(name: &'static str, change: impl FnOnce(&mut Rules)) -> Scenario {
    let mut rules = Rules::contract();
    rules.orphan_min_age = secs(30);
    rules.lateness = secs(60);
    rules.brake = (100, 100, secs(3_600));
    rules.grace = secs(30);
    change(&mut rules);
    let mut account = AccountSettings::new(rules);
    account.sweep_every = secs(20);
    account.conduct.spread_ms = 1_500;
    let mut scenario = Scenario::new(name, account);
    scenario.resume = program::resume;
    scenario.before([put("zoe"), owned("zoe", 1, None)])
}

/// The stories whose pairs of faults are tried as well.
pub(crate) fn principal() -> Vec<Scenario> {
    vec![create(), rotate(), expire(), removal(), adopt()]
}

fn create() -> Scenario {
    story("create").at(secs(3), put("alice"))
}

fn rotate() -> Scenario {
    story("rotate").before([put("alice"), owned("alice", 16, None)])
}

fn expire() -> Scenario {
    story("expire").before([put("alice"), owned("alice", 9, Some(31))])
}

fn removal() -> Scenario {
    story("remove").before([put("alice"), owned("alice", 1, Some(16))]).at(secs(3), remove("alice"))
}

fn adopt() -> Scenario {
    story("adopt").before([put("alice"), legacy("alice", 3, Some(18), true)])
}

/// Every story.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = principal();
    all.extend([
        story("create at start").before([put("alice"), put("Bob+1@example.com"), put("not a name")]),
        story("create, with tags of others")
            .at(secs(3), put("alice"))
            .at(secs(40), Act::SetTag("alice".to_owned(), "team".to_owned(), "blue".to_owned())),
        story("expire and rotate").before([put("alice"), owned("alice", 16, Some(31))]),
        story("adopt what was cut off").before([put("alice"), legacy("alice", 3, None, false)]),
        story("adopt and rotate").before([put("alice"), legacy("alice", 20, Some(40), true)]),
        story("remove everything")
            .before([put("alice"), owned("alice", 1, None)])
            .before(
                [
                    Leftover::LoginProfile,
                    Leftover::Group("staff".to_owned()),
                    Leftover::InlinePolicy("inline".to_owned()),
                    Leftover::AttachedPolicy("arn:aws:iam::123456789012:policy/some".to_owned()),
                    Leftover::ServiceCredential("ACCA123".to_owned()),
                ]
                .map(|leftover| Act::AddLeftover("alice".to_owned(), leftover)),
            )
            .at(secs(3), remove("alice")),
        story("remove and insert")
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(3), remove("alice"))
            .at(secs(5), put("alice")),
        story("remove and insert in one second")
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(3), remove("alice"))
            .at(Duration::from_millis(3_010), put("alice")),
        story("insert and remove").at(secs(3), put("alice")).at(secs(4), remove("alice")),
        story("insert, remove, insert")
            .at(secs(3), put("alice"))
            .at(secs(6), remove("alice"))
            .at(secs(8), put("alice")),
        story("orphan").before([owned("alice", 1, None)]),
        story("row back before the second sweep")
            .before([owned("alice", 1, None)])
            .at(secs(15), put("alice")),
        story("lost parameter")
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(3), Act::DeleteParameter("alice".to_owned())),
        story("lost user")
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(3), Act::DeleteUser("alice".to_owned())),
        story("lost key")
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(3), Act::DeleteKey("alice".to_owned(), 0)),
        story("spoilt parameter").before([put("alice"), owned("alice", 1, None)]).at(secs(3), {
            Act::OverwriteParameter { name: "alice".to_owned(), text: "{}".to_owned(), secure: true }
        }),
        story("lost boundary")
            .before([put("alice"), owned("alice", 16, None)])
            .at(secs(3), Act::SetBoundary("alice".to_owned(), None)),
        story("lost key tags")
            .before([put("alice"), owned("alice", 1, Some(16))])
            .at(secs(3), Act::StripKeyTags("alice".to_owned())),
        story("lost ownership")
            .before([put("alice"), owned("alice", 1, Some(16))])
            .at(secs(3), Act::StripOwnership("alice".to_owned())),
        story("foreign key")
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(3), Act::AddForeignKey("alice".to_owned())),
        with("foreign key revoked", |rules| rules.policy.foreign = ForeignKeys::Revoke)
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(3), Act::AddForeignKey("alice".to_owned())),
        story("deactivated key")
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(3), Act::DeactivateKey("alice".to_owned(), 0)),
        story("somebody else's name").before([
            Act::MakeUser { name: "alice".to_owned(), boundary: None, tags: Tags::new() },
            put("alice"),
        ]),
        with("everybody is adopted", |rules| rules.policy.adopt = Adopt::Always).before([
            Act::MakeUser { name: "alice".to_owned(), boundary: None, tags: Tags::new() },
            put("alice"),
        ]),
        with("orphans of the account", |rules| {
            rules.scope = OrphanScope::Account;
            rules.protect = vec!["root*".to_owned()];
        })
        .before([
            Act::MakeUser { name: "alice".to_owned(), boundary: None, tags: Tags::new() },
            Act::MakeUser { name: "root-7".to_owned(), boundary: None, tags: Tags::new() },
            Act::MakeUser { name: "carol".to_owned(), boundary: None, tags: Tags::new() },
            Act::AddLeftover("carol".to_owned(), Leftover::LoginProfile),
            Act::MakeUser { name: "dave".to_owned(), boundary: None, tags: tags_of("others") },
        ]),
        story("two spellings")
            .at(secs(3), put("Alice"))
            .at(secs(4), put("alice"))
            .at(secs(40), remove("Alice")),
        story("a removal that no stream tells")
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(2), Act::DisableStream)
            .at(secs(3), remove("alice"))
            .at(secs(10), Act::EnableStream),
        story("shards split")
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(3), Act::SplitShards)
            .at(secs(4), remove("alice"))
            .at(secs(5), put("bob")),
        story("restored table")
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(3), Act::RecreateTable { keep_rows: true })
            .at(secs(40), Act::ResumeDeletions),
        story("dropped table")
            .before([put("alice"), owned("alice", 1, None)])
            .at(secs(3), Act::RecreateTable { keep_rows: false })
            .at(secs(30), put("zoe"))
            .at(secs(40), put("alice"))
            .at(secs(60), Act::ResumeDeletions),
        handover(),
        brake(),
    ]);
    all
}

/// Another replica takes over, while a key is being made.
fn handover() -> Scenario {
    let mut scenario = story("handover")
        .before([put("alice"), owned("alice", 16, None)])
        .at(secs(2), put("bob"))
        .at(secs(3), Act::Terminate(0))
        .at(secs(20), remove("bob"))
        .at(secs(21), Act::Pause(1))
        .at(secs(60), Act::Resume(1));
    scenario.replicas = vec![(0, 0), (1_500, 200)];
    scenario
}

/// More deletions than the brake allows, until a person says that they are meant.
fn brake() -> Scenario {
    let mut scenario = with("brake", |rules| rules.brake = (1, 20, secs(3_600)));
    for name in ["anna", "bert", "carl"] {
        scenario = scenario.before([put(name), owned(name, 1, None)]).at(secs(3), remove(name));
    }
    // Faults may put the hold off until after the first word.
    scenario.resume_in_the_end = true;
    scenario.at(secs(60), Act::ResumeDeletions)
}

//! What a user of the product may expect, as tables: a scenario on the left, what is done on the right.

use std::time::Duration;

use super::super::memory::Mint;
use super::super::observed::{Leftover, Stored, Tags};
use super::super::ownership::tests::OTHER_ARN;
use super::super::parameter::Tier;
use super::super::plan::{Desired, Next, State};
use super::super::policy::{Adopt, ForeignKeys, OrphanScope};
use super::super::step::Step;
use super::super::tags;
use super::super::user::UserName;
use super::in_hand::{PROVEN, in_hand};
use super::world::{DAY, World, at, key_id, user_id};

/// What is done, without the particulars.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    Nothing,
    Step(&'static str),
    Asks,
    Proves,
    /// A proof is due in so many seconds.
    ProvesIn(u64),
    Waits(u64),
    Blocked,
    Conflict,
    Orphaned,
    NoUser,
    Lists,
    AsksSignIn,
}
use Done::{Asks, Blocked, Conflict, Lists, NoUser, Nothing, Orphaned, Proves, ProvesIn, Waits};

pub(super) const MINT: Done = Done::Step("open_mint");
pub(super) const DELETE: Done = Done::Step("delete_key");
const DEACTIVATE: Done = Done::Step("deactivate_key");
pub(super) const PUBLISH: Done = Done::Step("publish");
const ADOPT: Done = Done::Step("adopt");
const CREATE: Done = Done::Step("create_user");

/// What the planner does next about this world.
pub(super) fn next(mut world: World) -> Done {
    let now = world.now;
    match world.look().1.next {
        Next::Do(step) => Done::Step(step.action()),
        Next::Prove => Proves,
        Next::ProveLater { at, .. } => ProvesIn(at.since(now).as_secs()),
        Next::AskToDelete(..) => Asks,
        Next::WaitUntil(until, _) => Waits(until.since(now).as_secs()),
        Next::Rest { state: Some(State::Blocked), .. } => Blocked,
        Next::Rest { state: Some(State::Conflict), .. } => Conflict,
        Next::Rest { state: Some(State::Deleting), .. } => Orphaned,
        Next::Rest { state: None, .. } => NoUser,
        Next::Rest { .. } => Nothing,
        Next::ListLeftovers => Lists,
        Next::AskSignIn => Done::AsksSignIn,
        Next::ReadTier => Done::Step("read_tier"),
    }
}

pub(super) fn age(text: &str) -> Duration {
    humantime::parse_duration(text).unwrap()
}

/// A user whose current key is this old, was published so long ago, and has a key before it.
pub(super) fn rotating(current: &str, published: &str, pending: Option<&str>) -> World {
    let mut world = World::settled(age(current));
    if let Some(pending) = pending {
        let id = world.add_key(2, age(pending));
        world.tag(&id, tags::PENDING_DELETION);
    }
    world.publish(Some(1), pending.map(|_| 2), age(published));
    world
}

#[test]
#[rustfmt::skip] // The columns are the point.
fn rotation_and_expiry() {
    let check = |current, published, pending, expected| {
        assert_eq!(next(rotating(current, published, pending)), expected, "{current} {published} {pending:?}");
    };
    //    current         published        pending                    expected
    check("14d 23h 59m",  "14d",           None,                      Nothing);
    check("15d",          "15d",           None,                      MINT);
    check("15d",          "15d",           Some("29d 23h 59m"),       Nothing);
    check("15d",          "15d",           Some("30d"),               DELETE);
    check("2d",           "2d",            Some("17d"),               Nothing);
    // The controller was down for a month: the successor is young, and the old key still in use.
    check("1h",           "1h",            Some("45d"),               Nothing);
    check("7d 11h 59m",   "7d 11h 59m",    Some("45d"),               Nothing);
    check("7d 12h 1m",    "7d 12h 1m",     Some("45d"),               DELETE);
    // The parameter was written later than its key was made: consumers count from then, but not from
    // what anybody writes later than a key can be published.
    check("7d 12h 3m",    "7d 11h 58m",    Some("45d"),               Nothing);
    check("7d 12h 3m",    "7d 12h 1m",     Some("45d"),               DELETE);
    check("7d 12h 5m",    "1h",            Some("45d"),               Nothing);
    check("7d 12h 7m",    "1h",            Some("45d"),               DELETE);
    check("9d",           "1h",            Some("45d"),               DELETE);
}

#[test]
fn a_clock_that_is_off_rotates_and_deletes_nothing() {
    for mut world in [rotating("20d", "20d", None), rotating("20d", "20d", Some("45d"))] {
        world.clock_trusted = false;
        assert_eq!(next(world), Nothing);
    }
}

#[test]
fn a_published_key_that_is_gone_or_off() {
    let check = |spoil: fn(&mut World), expected| {
        let mut world = World::settled(2 * DAY);
        spoil(&mut world);
        assert_eq!(next(world), expected);
    };
    check(|world| world.keys.clear(), MINT);
    check(|world| world.stored = Stored::Missing, MINT);
    check(|world| world.stored = Stored::NotSecure, Blocked);
    check(|world| world.stored = Stored::Locked { reason: "disabled".to_owned() }, Blocked);
    // A person did that.
    check(|world| world.keys[0].active = false, Blocked);
    // Published two seconds ago: not listed yet, perhaps.
    check(
        |world| {
            world.keys.clear();
            world.publish(Some(1), None, age("2s"))
        },
        Waits(8),
    );
    check(|world| world.quarantine([key_id(1)], true), MINT);
    // A document that names a key twice, or a dead one, is mended.
    check(|world| world.publish(Some(1), Some(1), DAY), Done::Step("forget_key"));
    check(|world| world.publish(Some(1), Some(9), DAY), Done::Step("forget_key"));
    check(|world| world.publish(Some(1), Some(9), age("2s")), Waits(8));
    // A tag of a dead key goes, and the mint tag is closed when nobody needs a key.
    check(|world| world.tag(&key_id(9), tags::PENDING_DELETION), Done::Step("untag_keys"));
    check(|world| world.set_tag(tags::MINTING, "nonsense"), Done::Step("tag_keys"));
    check(|world| world.set_tag(tags::MINTING, "2099-01-01T00:00:00Z"), Done::Step("tag_keys"));
}

#[test]
#[rustfmt::skip] // The columns are the point.
fn a_document_that_cannot_be_read() {
    let check = |key_age: &str, tag: Option<&str>, active, expected| {
        let mut world = World::with_user();
        let id = world.add_key(1, age(key_age));
        if let Some(tag) = tag {
            world.tag(&id, tag);
        }
        world.keys[0].active = active;
        world.stored = Stored::Unreadable { reason: "it is not JSON".to_owned(), modified: at(-9) };
        let plan = world.clone().look().1;
        assert_eq!(next(world), expected, "{key_age} {tag:?} {active}");
        if expected == Blocked && tag.is_some() {
            assert!(plan.why.contains("it is not JSON") && plan.why.contains(id.as_str()), "{}", plan.why);
        }
    };
    //    age    its tag                         active  expected
    check("2d",  Some(tags::CURRENT),            true,   Blocked);
    check("14d", Some(tags::CURRENT),            true,   Blocked);
    check("15d", Some(tags::CURRENT),            true,   MINT);
    check("2d",  Some(tags::CURRENT),            false,  MINT);
    check("2d",  Some(tags::PENDING_DELETION),   true,   MINT);
    check("2d",  None,                           true,   MINT);
}

#[test]
fn a_parameter_that_cannot_be_decrypted_keeps_its_keys_and_its_user_can_be_removed() {
    let mut world = rotating("40d", "20d", Some("60d"));
    world.stored = Stored::Locked { reason: "the KMS key is disabled".to_owned() };
    let plan = world.look().1;
    assert_eq!(next(world.clone()), Blocked, "nothing expires, nothing is rotated");
    assert!(plan.why.contains("the KMS key is disabled"), "{}", plan.why);
    let mut held = in_hand("1s", PROVEN, None);
    held.stored = world.stored.clone();
    assert_eq!(next(held.clone()), Waits(10), "the document may hold the only copy of a secret");
    held.now = held.now + age("6m");
    assert_eq!(next(held), DELETE, "not one mint after another");
    world.desired = Desired::Absent;
    world.memory.revoke_before = Some(at(0));
    assert_eq!(world.settle().unwrap().next, Next::Rest { state: None, due: None });
    assert_eq!(world.stored, Stored::Missing);
}

#[test]
fn a_write_that_lacked_the_tier_is_sent_again() {
    let mut world = rotating("15d", "15d", None);
    world.advanced = true;
    let plan = world.settle().unwrap();
    assert_eq!(plan.rule, "ready", "{:?}", world.trace);
    assert_eq!(world.minted.len(), 1, "it costs no key: {:?}", world.trace);
    assert_eq!(world.trace.iter().filter(|rule| **rule == "learn_tier").count(), 1);

    let mut refused = in_hand("1s", PROVEN, None);
    refused.memory.refused_write = Some("SSM refused it".to_owned());
    let (observed, plan) = refused.look();
    assert_eq!(plan.next, Next::ReadTier);
    refused.memory.tier_is(Tier::Standard);
    assert_eq!(next(refused), DELETE, "the tier was not the reason");
    drop(observed);
}

#[test]
fn a_row_that_is_back_waits_until_ssm_takes_its_parameter() {
    let mut world = World::new();
    world.memory.parameter.deleted(world.now - age("4s"), world.now - age("4s"));
    assert_eq!(next(world.clone()), Waits(26));
    world.now = world.now + age("26s");
    assert_eq!(next(world), CREATE);
}

#[test]
fn what_rests_on_the_document_waits_for_the_last_word_of_a_leader_before() {
    let mut stale = World::settled(2 * DAY);
    stale.tag(&key_id(1), tags::PENDING_DELETION);
    assert_eq!(next(stale.clone()), Done::Step("tag_keys"));
    stale.memory.parameter.written_by_others(stale.now - age("3s"));
    assert_eq!(next(stale), Waits(17), "its tag may be of a document that is not visible yet");
    let mut hand = in_hand("1s", PROVEN, None);
    hand.memory.parameter.written_by_others(hand.now - age("3s"));
    assert_eq!(next(hand), Waits(17));
}

#[test]
fn adoption() {
    let check = |adopt, tagged: &[(&str, &str)], expected| {
        let mut world = World::settled(2 * DAY);
        world.policy.adopt = adopt;
        if let Some(user) = &mut world.user {
            user.tags = tagged.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        }
        assert_eq!(next(world), expected, "{adopt:?} {tagged:?}");
    };
    let key = key_id(1).to_string();
    let other = key_id(9).to_string();
    check(Adopt::Tagged, &[(&key, "current")], Done::AsksSignIn);
    check(Adopt::Tagged, &[(&key, "pending_deletion")], Done::AsksSignIn);
    check(Adopt::Tagged, &[(&key.to_lowercase(), "current")], Done::AsksSignIn);
    check(Adopt::Tagged, &[(&key, "precious")], Conflict);
    check(Adopt::Tagged, &[(&other, "current")], Conflict);
    check(Adopt::Tagged, &[], Conflict);
    check(Adopt::Tagged, &[(&key, "current"), (tags::TABLE, "others")], Conflict);
    check(Adopt::Never, &[(&key, "current")], Conflict);
    check(Adopt::Always, &[], ADOPT);
    check(Adopt::Always, &[(tags::TABLE_ARN, OTHER_ARN)], Conflict);
}

/// A user as the function left it, in the eyes of a controller that may adopt it.
fn function() -> World {
    let mut world = World::settled(2 * DAY);
    if let Some(user) = &mut world.user {
        user.tags.retain(|key, _| key.starts_with("AKIA"));
    }
    world
}

/// What comes of an adoption that asks whether the user is a person's.
fn adopted(mut world: World) -> Done {
    assert_eq!(next(world.clone()), Done::AsksSignIn);
    let plan = world.settle().unwrap();
    match plan.next {
        Next::Rest { state: Some(State::Conflict), .. } => Conflict,
        _ if world.trace.contains(&"adopt") && world.policy.ownership.owns(world.user.as_ref().unwrap()) => {
            ADOPT
        }
        _ => Nothing,
    }
}

#[test]
fn adoption_by_tag_takes_over_no_person() {
    let check = |leftovers: &[Leftover], expected| {
        let mut world = function();
        world.leftovers = leftovers.to_vec();
        assert_eq!(adopted(world), expected, "{leftovers:?}");
    };
    let phone = Leftover::MfaDevice { serial: "GAHT12345678".to_owned() };
    check(&[], ADOPT);
    check(&[Leftover::Group("staff".to_owned())], ADOPT);
    check(&[Leftover::LoginProfile], Conflict);
    check(std::slice::from_ref(&phone), Conflict);
    let mut always = function();
    (always.policy.adopt, always.leftovers) = (Adopt::Always, vec![Leftover::LoginProfile, phone]);
    assert_eq!(next(always), ADOPT);
}

#[test]
fn adoption_by_tag_takes_over_nobody_elsewhere() {
    let check = |path: &str, allowed: &[&str], expected| {
        let mut world = function();
        world.policy.adopt_paths = allowed.iter().map(|path| (*path).to_owned()).collect();
        if let Some(user) = &mut world.user {
            path.clone_into(&mut user.path);
        }
        assert_eq!(next(world), expected, "{path} {allowed:?}");
    };
    check("/", &["/"], Done::AsksSignIn);
    check("/staff/", &["/"], Done::AsksSignIn);
    check("/bots/", &["/bots/"], Done::AsksSignIn);
    check("/bots/mail/", &["/bots/"], Done::AsksSignIn);
    check("/", &["/bots/"], Conflict);
    check("/robots/", &["/bots/"], Conflict);
    check("/Bots/", &["/bots/"], Conflict);
    check("/robots/", &["/bots/", "/robots/"], Done::AsksSignIn);
}

#[test]
fn a_user_of_another_table_is_adopted_when_this_one_succeeds_it() {
    let moved = |adopt, from: &str, key_tags: bool| {
        let mut world = World::settled(2 * DAY);
        world.policy.adopt = adopt;
        world.policy.adopt_from = vec![from.to_owned()];
        if let Some(user) = &mut world.user {
            user.tags.insert(tags::TABLE_ARN.to_owned(), OTHER_ARN.to_owned());
            user.tags.retain(|key, _| key_tags || !key.starts_with("AKIA"));
        }
        world
    };
    assert_eq!(adopted(moved(Adopt::Tagged, OTHER_ARN, true)), ADOPT);
    assert_eq!(next(moved(Adopt::Always, OTHER_ARN, false)), ADOPT);
    assert_eq!(next(moved(Adopt::Tagged, OTHER_ARN, false)), Conflict, "its tags prove nothing");
    assert_eq!(next(moved(Adopt::Never, OTHER_ARN, true)), Conflict);
    assert_eq!(
        next(moved(Adopt::Always, "arn:aws:dynamodb:us-east-2:123456789012:table/users", true)),
        Conflict
    );
}

#[test]
fn names_that_are_not_ours_to_serve() {
    let mut own = World::settled(2 * DAY);
    own.own_user = Some(user_id(1));
    assert_eq!(next(own.clone()), Conflict);
    own.desired = Desired::Absent;
    own.memory.orphan = Some(user_id(1));
    own.memory.revoke_before = Some(at(0));
    assert_eq!(next(own), NoUser, "the controller does not delete itself");

    let mut spelled = World::settled(2 * DAY);
    spelled.name = UserName::parse("MAIL").unwrap();
    assert_eq!(next(spelled.clone()), Conflict);
    spelled.desired = Desired::Absent;
    spelled.memory.revoke_before = Some(at(0));
    assert_eq!(
        next(spelled),
        Done::Step("delete_parameter"),
        "the user of the other row stays, and its parameter"
    );

    let mut twin = World::settled(2 * DAY);
    twin.desired = Desired::Shadowed { by: UserName::parse("Mail").unwrap() };
    assert_eq!(next(twin), Conflict);

    let taken = |ago: &str| {
        let mut world = World::new();
        world.memory.name_taken_since = Some(world.now - age("2h"));
        world.memory.name_taken_again = Some(world.now - age(ago));
        next(world)
    };
    assert_eq!(taken("1m"), Conflict);
    assert_eq!(taken("1h"), CREATE, "it may have been deleted");
    let first_taken = |ago: &str| {
        let mut world = World::new();
        world.memory.name_taken_since = Some(world.now - age(ago));
        next(world)
    };
    assert_eq!(first_taken("1s"), Waits(2));
    assert_eq!(first_taken("1m"), CREATE, "the answer may have been about a user that was just deleted");
}

#[test]
#[rustfmt::skip] // The columns are the point.
fn removal_needs_evidence() {
    use Desired::{Absent, Present};
    let created = World::with_user().user.unwrap().created;
    let second = Duration::from_secs(1);
    let check = |row: Desired, removed, orphan, expected| {
        let mut world = World::settled(2 * DAY);
        world.desired = row.clone();
        world.memory.revoke_before = removed;
        world.memory.orphan = orphan;
        assert_eq!(next(world), expected, "{row:?} {removed:?}");
    };
    //    row      removed                   orphan             expected
    check(Absent,  None,                     None,              Orphaned);
    check(Absent,  Some(created + second),   None,              Asks);
    check(Absent,  Some(created - second),   None,              Orphaned);
    check(Absent,  None,                     Some(user_id(1)),  Lists);
    check(Absent,  None,                     Some(user_id(7)),  Orphaned);
    check(Present, None,                     Some(user_id(1)),  Nothing);
    // The row is back: what existed when it was removed is revoked, what came after is not.
    check(Present, Some(created + second),   None,              Asks);
    check(Present, Some(created - second),   None,              Nothing);
    // In one second: without a row the user goes; with one, it is the user made anew.
    check(Absent,  Some(created),            None,              Asks);
    check(Present, Some(created),            None,              Nothing);
}

#[test]
fn the_parameter_of_a_spelling_that_is_not_served_any_more() {
    let mut world = World::settled(2 * DAY);
    (world.user, world.keys) = (None, Vec::new());
    world.desired = Desired::Shadowed { by: UserName::parse("Mail").unwrap() };
    assert_eq!(next(world.clone()), Conflict);
    world.memory.revoke_before = Some(world.now);
    assert_eq!(next(world.clone()), Done::Step("delete_parameter"), "its user was removed, its row is back");
    world.clock_trusted = false;
    assert_eq!(next(world.clone()), Waits(10), "nothing is deleted while the clock is off");
    world.clock_trusted = true;
    world.memory.last_change = Some(world.now - age("1s"));
    assert_eq!(next(world), Waits(9), "the user may not be visible yet");
}

#[test]
fn a_granted_orphan_whose_row_is_back() {
    let granted = || {
        let mut world = World::settled(2 * DAY);
        world.memory.condemned = Some(user_id(1));
        world
    };
    assert_eq!(next(granted()), Nothing, "nothing was taken from it");
    let mut absent = granted();
    absent.desired = Desired::Absent;
    assert_eq!(next(absent.clone()), Orphaned, "sweeps have to find it again under this leader");
    absent.memory.orphan = Some(user_id(1));
    assert_eq!(next(absent.clone()), Lists, "it may have a console login by now");
    absent.see_leftovers(Some(&[]));
    assert_eq!(next(absent.clone()), Asks, "the table that it was granted for may be another now");
    absent.memory.told_to_delete = true;
    assert_eq!(next(absent.clone()), DEACTIVATE);
    absent.memory.told_to_delete = false;
    absent.keys[0].active = false;
    assert_eq!(next(absent), DELETE, "it has begun");
    let mut told = granted();
    told.memory.revoke_before = Some(told.now);
    assert_eq!(next(told.clone()), Asks, "a REMOVE record is honoured");
    let created = told.user.as_ref().map(|user| user.created);
    told.memory.revoke_before = created;
    assert_eq!(next(told), Nothing, "of the same second; its row is back");
    let mut half_done = granted();
    half_done.keys.clear();
    half_done.add_key(2, age("1h"));
    half_done.keys[0].active = false;
    assert_eq!(next(half_done.clone()), DELETE, "the published key is gone, the other one does not work");
    half_done.keys[0].active = true;
    assert_eq!(next(half_done), MINT, "somebody has deleted the published key by hand");
    let mut late = granted();
    late.memory.last_change = Some(late.now - age("1s"));
    assert_eq!(next(late), Waits(9), "its key may have been deactivated a moment ago");
}

#[test]
fn a_removal_is_not_forgotten_on_a_read_from_before_the_adoption() {
    let mut world = World::settled(2 * DAY);
    world.memory.revoke_before = Some(world.now);
    world.memory.last_change = Some(world.now - age("1s"));
    let mut spelled = world.clone();
    spelled.name = UserName::parse("MAIL").unwrap();
    assert_eq!(next(spelled), Waits(9), "the user of the other spelling may be gone");
    if let Some(user) = &mut world.user {
        user.tags.clear();
    }
    assert_eq!(next(world), Waits(9));
}

#[test]
fn no_two_mints_have_the_same_time() {
    let mut world = World::settled(16 * DAY);
    world.memory.last_mint = Some(world.now + age("3s"));
    let Next::Do(Step::OpenMint { at }) = world.look().1.next else { panic!("a new key is due") };
    assert_eq!(at, world.now + age("3s") + Duration::from_millis(1), "the clock was set back");
}

#[test]
#[rustfmt::skip] // The columns are the point.
fn orphans() {
    type Tagged = fn(&mut Tags);
    let ours: Tagged = |_| {};
    let none: Tagged = Tags::clear;
    let unsealed: Tagged = |tags| drop(tags.remove(tags::SEAL));
    let managed: Tagged = |tags| tags.retain(|key, _| key == tags::MANAGED_BY);
    let others: Tagged = |tags| drop(tags.insert(tags::TABLE_ARN.to_owned(), OTHER_ARN.to_owned()));
    let check = |scope, include, tagged: Tagged, seen: Option<&[Leftover]>, expected| {
        let mut world = World::settled(2 * DAY);
        world.desired = Desired::Absent;
        world.memory.orphan = Some(user_id(1));
        world.policy.orphan_scope = scope;
        world.policy.include_console_users = include;
        let user = world.user.as_mut().unwrap();
        tagged(&mut user.tags);
        let tags = format!("{:?}", user.tags);
        world.see_leftovers(seen);
        assert_eq!(next(world), expected, "{scope:?} {include} {tags} {seen:?}");
    };
    use OrphanScope::{Account, Owned};
    let person: &[Leftover] = &[Leftover::LoginProfile, Leftover::Group("staff".to_owned())];
    let robot: &[Leftover] = &[Leftover::Group("staff".to_owned())];
    // A user of which nothing is known is asked about; one that has a console login is left alone.
    //    scope    included  tags      what it has     expected
    check(Owned,   false,    ours,     None,           Lists);
    check(Owned,   false,    ours,     Some(robot),    Asks);
    check(Owned,   false,    ours,     Some(person),   Orphaned);
    check(Owned,   true,     ours,     None,           Asks);
    check(Owned,   true,     ours,     Some(person),   Asks);
    check(Owned,   true,     none,     Some(robot),    NoUser);
    check(Account, false,    ours,     None,           Lists);
    check(Account, false,    ours,     Some(person),   Orphaned);
    check(Account, false,    none,     None,           Lists);
    check(Account, false,    none,     Some(robot),    Asks);
    check(Account, false,    none,     Some(person),   NoUser);
    check(Account, true,     none,     None,           Asks);
    check(Account, true,     none,     Some(person),   Asks);
    // Tags of ours without a valid seal are forged; a table of others is theirs.
    for scope in [Owned, Account] {
        for tagged in [unsealed, managed, others] {
            check(scope, true, tagged, Some(robot), NoUser);
        }
    }
}

#[test]
fn a_console_login_stands_in_the_way_of_orphans_and_not_of_a_removed_row() {
    let removed = |created: i64| {
        let mut world = World::settled(2 * DAY);
        world.desired = Desired::Absent;
        world.leftovers = vec![Leftover::LoginProfile];
        let created_at = world.user.as_ref().unwrap().created;
        world.memory.revoke_before =
            Some(created_at + Duration::from_secs(1) * u32::try_from(created).unwrap());
        world
    };
    for seconds in [0, 1] {
        let mut world = removed(seconds);
        assert_eq!(next(world.clone()), Asks);
        world.settle().unwrap();
        assert_eq!(world.user, None, "a REMOVE record takes the console login, too");
    }
}

#[test]
fn the_teardown_revokes_access_first() {
    let mut world = rotating("2d", "2d", Some("17d"));
    world.desired = Desired::Absent;
    world.memory.revoke_before = Some(at(0));
    let plan = world.settle().unwrap();
    assert_eq!(plan.next, Next::Rest { state: None, due: None });
    let steps = ["remove", "teardown", "teardown", "teardown", "teardown", "teardown", "teardown"];
    assert_eq!(world.trace[..7], steps, "two deactivations, two deletions, a list, the user");
    assert_eq!(world.stored, Stored::Missing);
}

#[test]
fn a_removal_waits_for_a_write_that_would_bring_the_parameter_back() {
    let mut world = World::new();
    world.desired = Desired::Absent;
    world.memory.remove_parameter = true;
    assert_eq!(next(world.clone()), NoUser);
    world.memory.unanswered_write = Some(world.now - age("4s"));
    assert_eq!(next(world), Waits(6));
}

#[test]
fn a_mint_is_closed_also_when_the_next_one_is_due_and_has_no_place() {
    let mut world = rotating("16d", "16d", Some("20d"));
    world.set_tag(tags::MINTING, &(world.now - 16 * DAY).to_string());
    assert_eq!(next(world), Done::Step("tag_keys"));
    assert_eq!(next(rotating("16d", "1s", Some("20d"))), Nothing);
}

/// A user whose key is due and whose mint was opened so long ago, with a key that was made then.
pub(super) fn interrupted(opened: &str, keys: &[&str]) -> World {
    let mut world = World::settled(15 * DAY);
    world.set_tag(tags::MINTING, &(world.now - age(opened)).to_string());
    for (n, age_of_key) in (3..).zip(keys) {
        world.add_key(n, age(age_of_key));
    }
    world
}

#[test]
#[rustfmt::skip] // The columns are the point.
fn a_mint_that_lost_its_secret() {
    let check = |opened, keys: &[&str], expected| {
        assert_eq!(next(interrupted(opened, keys)), expected, "{opened} {keys:?}");
    };
    //    opened  unknown keys        expected
    check("3s",   &[],                Waits(27));
    check("31s",  &[],                MINT);
    check("3s",   &["2s"],            DEACTIVATE);
    check("1h",   &["59m 58s"],       DEACTIVATE);
    // Made by somebody else: too old, too young, or one of two.
    check("1h",   &["2d"],            Blocked);
    check("1h",   &["30m"],           Blocked);
    check("3s",   &["2s", "1s"],      Blocked);

    let mut late = interrupted("3s", &["2s"]);
    late.memory.last_change = Some(late.now - age("1s"));
    assert_eq!(next(late), Waits(9), "a process before us may still publish it");
    let mut hidden = interrupted("3s", &["2s"]);
    hidden.memory.mint = Mint::Opened { at: hidden.now, sent: false };
    assert_eq!(next(hidden), DEACTIVATE, "a CreateUser that was sent again does not hide it");
    let mut refused = interrupted("3s", &["2d"]);
    refused.memory.mint = Mint::Opened { at: refused.now - age("3s"), sent: false };
    assert_eq!(next(refused), Done::Step("tag_keys"), "a mint that found no place is closed");
    let mut off = interrupted("3s", &["2s"]);
    off.clock_trusted = false;
    // A user whose key is due needs none while the clock is off.
    assert_eq!(next(off), Waits(10));
}

#[test]
#[rustfmt::skip] // The columns are the point.
fn foreign_keys() {
    let check = |foreign, key_age, active, sweeps, expected| {
        let mut world = World::settled(2 * DAY);
        world.policy.foreign = foreign;
        world.add_key(7, age(key_age));
        world.keys[1].active = active;
        world.memory.idle_foreign.insert(key_id(7), world.sweep);
        world.sweep += sweeps;
        assert_eq!(next(world), expected, "{foreign:?} {key_age} {active} {sweeps}");
    };
    check(ForeignKeys::Report, "40d", true,  0, Nothing);
    check(ForeignKeys::Report, "40d", false, 9, Nothing);
    check(ForeignKeys::Revoke, "40d", true,  0, DEACTIVATE);
    check(ForeignKeys::Revoke, "40d", false, 0, Nothing);
    check(ForeignKeys::Revoke, "40d", false, 1, DELETE);

    let mut no_place = World::settled(15 * DAY);
    no_place.add_key(7, 40 * DAY);
    assert_eq!(next(no_place.clone()), Blocked);
    assert!(no_place.look().1.why.contains(key_id(7).as_str()), "the reason names the key");
    no_place.memory.last_change = Some(no_place.now);
    assert_eq!(next(no_place), Waits(10), "a late read may make our own key look foreign");
}

#[test]
#[rustfmt::skip] // The columns are the point.
fn without_a_document_the_younger_of_two_keys_stays() {
    let check = |first: &str, second: &str, second_active, expected| {
        let mut world = World::with_user();
        for (n, age_of_key) in [(1, first), (2, second)] {
            let id = world.add_key(n, age(age_of_key));
            world.tag(&id, tags::CURRENT);
        }
        world.keys[1].active = second_active;
        assert_eq!(next(world), expected, "{first} {second}");
    };
    check("40d", "8d", true,  DELETE);
    check("40d", "7d", true,  Blocked);
    check("29d", "8d", true,  Blocked);
    // Of the same second: one of them goes, not neither.
    check("40d", "40d", true, DELETE);
    // The younger does not work.
    check("40d", "8d", false, Blocked);
}

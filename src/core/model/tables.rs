//! What a user of the product may expect, as tables: a scenario on the left, what is done on the right.

use std::time::Duration;

use super::super::memory::{Hand, Mint};
use super::super::observed::{Leftover, Stored};
use super::super::plan::{Desired, Next, State};
use super::super::policy::{Adopt, ForeignKeys, OrphanScope};
use super::super::step::Step;
use super::super::tags;
use super::super::user::UserName;
use super::world::{DAY, World, at, key_id, stored_key, user_id};

/// What is done, without the particulars.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    Nothing,
    Step(&'static str),
    Asks,
    Proves,
    Waits(u64),
    Blocked,
    Conflict,
    Orphaned,
    NoUser,
    Lists,
}
use Done::{Asks, Blocked, Conflict, Lists, NoUser, Nothing, Orphaned, Proves, Waits};

const MINT: Done = Done::Step("open_mint");
const DELETE: Done = Done::Step("delete_key");
const DEACTIVATE: Done = Done::Step("deactivate_key");
const PUBLISH: Done = Done::Step("publish");
const ADOPT: Done = Done::Step("adopt");
const CREATE: Done = Done::Step("create_user");

/// What the planner does next about this world.
fn next(mut world: World) -> Done {
    let now = world.now;
    match world.look().1.next {
        Next::Do(step) => Done::Step(step.action()),
        Next::Prove => Proves,
        Next::AskToDelete(..) => Asks,
        Next::WaitUntil(until, _) => Waits(until.since(now).as_secs()),
        Next::Rest { state: Some(State::Blocked), .. } => Blocked,
        Next::Rest { state: Some(State::Conflict), .. } => Conflict,
        Next::Rest { state: Some(State::Deleting), .. } => Orphaned,
        Next::Rest { state: None, .. } => NoUser,
        Next::Rest { .. } => Nothing,
        Next::ListLeftovers => Lists,
    }
}

fn age(text: &str) -> Duration {
    humantime::parse_duration(text).unwrap()
}

/// A user whose current key is this old, was published so long ago, and has a key before it.
fn rotating(current: &str, published: &str, pending: Option<&str>) -> World {
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
    // The parameter was written later than its key was made: consumers count from then.
    check("9d",           "1h",            Some("45d"),               Nothing);
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
    check(
        |world| world.stored = Stored::Unreadable { reason: "not JSON".to_owned(), modified: at(-9) },
        MINT,
    );
    check(|world| world.stored = Stored::NotSecure, Blocked);
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
    check(
        |world| {
            world.memory.compromised.insert(key_id(1));
        },
        MINT,
    );
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
    check(Adopt::Tagged, &[(&key, "current")], ADOPT);
    check(Adopt::Tagged, &[(&key, "pending_deletion")], ADOPT);
    check(Adopt::Tagged, &[(&key.to_lowercase(), "current")], ADOPT);
    check(Adopt::Tagged, &[(&key, "precious")], Conflict);
    check(Adopt::Tagged, &[(&other, "current")], Conflict);
    check(Adopt::Tagged, &[], Conflict);
    check(Adopt::Tagged, &[(&key, "current"), (tags::TABLE, "others")], Conflict);
    check(Adopt::Never, &[(&key, "current")], Conflict);
    check(Adopt::Always, &[], ADOPT);
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
    check(Absent,  None,                     Some(user_id(1)),  Asks);
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
fn orphans_that_are_not_owned() {
    const MANAGED: &str = tags::MANAGED_BY;
    const OURS: [(&str, &str); 2] = [(MANAGED, tags::CONTROLLER), (tags::TABLE, "users")];
    let check = |scope, include, tags: &[(&str, &str)], seen: Option<&[Leftover]>, expected| {
        let mut world = World::settled(2 * DAY);
        world.desired = Desired::Absent;
        world.memory.orphan = Some(user_id(1));
        world.policy.orphan_scope = scope;
        world.policy.include_console_users = include;
        if let Some(user) = &mut world.user {
            user.tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        }
        world.see_leftovers(seen);
        assert_eq!(next(world), expected, "{scope:?} {include} {tags:?} {seen:?}");
    };
    use OrphanScope::{Account, Owned};
    let person: &[Leftover] = &[Leftover::LoginProfile, Leftover::Group("staff".to_owned())];
    let robot: &[Leftover] = &[Leftover::Group("staff".to_owned())];
    let others = [(MANAGED, tags::CONTROLLER), (tags::TABLE, "others")];
    //    scope    included  tags        what it has     expected
    check(Owned,   false,    &OURS,      None,           Asks);
    check(Owned,   true,     &[],        Some(robot),    NoUser);
    check(Account, false,    &OURS,      None,           Asks);
    check(Account, false,    &OURS,      Some(person),   Asks);
    // Whose console login is not known is asked about; whoever has one is left alone.
    check(Account, false,    &[],        None,           Lists);
    check(Account, false,    &[],        Some(robot),    Asks);
    check(Account, false,    &[],        Some(person),   NoUser);
    check(Account, true,     &[],        None,           Asks);
    check(Account, true,     &[],        Some(person),   Asks);
    // Half an ownership is none; a table of others is theirs, with or without the other tag.
    check(Account, false,    &OURS[..1], None,           Lists);
    check(Account, false,    &OURS[1..], None,           Lists);
    check(Account, true,     &others,     Some(robot),   NoUser);
    check(Account, true,     &others[1..], Some(robot),  NoUser);
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
fn interrupted(opened: &str, keys: &[&str]) -> World {
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

fn in_hand(minted: &str, proven: bool, unanswered_put: Option<&str>) -> World {
    let mut world = interrupted(minted, &[minted]);
    let now = world.now;
    world.memory.mint = Mint::InHand(Hand {
        id: key_id(3),
        secret: stored_key(&key_id(3)).secret,
        opened: now - age(minted),
        minted: now - age(minted),
        proven,
        rejected: None,
        unanswered_put: unanswered_put.map(|ago| now - age(ago)),
    });
    world
}

#[test]
#[rustfmt::skip] // The columns are the point.
fn the_key_in_hand() {
    let check = |minted, proven, put, expected| {
        assert_eq!(next(in_hand(minted, proven, put)), expected, "{minted} {proven} {put:?}");
    };
    //    minted   proven  PutParameter without an answer   expected
    check("1s",    false,  None,                            Proves);
    check("1s",    true,   None,                            PUBLISH);
    check("59s",   false,  None,                            Proves);
    check("60s",   false,  None,                            DELETE);
    check("5m",    true,   Some("1s"),                      PUBLISH);
    check("6m",    true,   None,                            DELETE);
    check("6m",    true,   Some("1s"),                      Waits(9));

    let mut written = in_hand("1s", true, None);
    written.memory.unanswered_write = Some(written.now - age("1s"));
    assert_eq!(next(written), Waits(9), "a late write would take the only copy of the secret away");

    let mut off = in_hand("60s", false, None);
    off.clock_trusted = false;
    assert_eq!(next(off), Waits(10), "nothing is deleted while the clock is off");
}

#[test]
fn the_key_before_stays_in_the_document() {
    let (_, plan) = in_hand("1s", true, None).look();
    let Next::Do(Step::Publish { document, .. }) = plan.next else { panic!("{plan:?}") };
    assert_eq!(document.current_id(), Some(&key_id(3)));
    assert_eq!(document.pending, Some(stored_key(&key_id(1))));
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

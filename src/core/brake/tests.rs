//! The brake by scenario, as an operator would tell them, and by random histories.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const SETTINGS: BrakeSettings =
    BrakeSettings { max_count: 10, max_percent: 20, window: Duration::from_secs(3_600) };

/// A REMOVE record; the brake does not care of when.
fn record() -> Evidence {
    Evidence::RemoveRecord(at(-60))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_767_225_600 + seconds)
}

fn name(user: usize) -> UserName {
    UserName::parse(&format!("User-{user}")).unwrap()
}

/// The id of a user in its so-manieth life.
fn id(user: usize, life: usize) -> UserId {
    UserId(format!("AIDA{life:04}X{user:08}"))
}

fn restarted(brake: &Brake) -> Brake {
    serde_json::from_str(&serde_json::to_string(brake).unwrap()).unwrap()
}

/// Asks for the first life of a user whose row was removed.
fn removed(brake: &mut Brake, user: usize, now: Timestamp, owned: u32) -> Verdict {
    brake.ask(&name(user), &id(user, 0), record(), now, Some(owned), SETTINGS)
}

fn orphaned(brake: &mut Brake, user: usize, now: Timestamp, owned: u32) -> Verdict {
    brake.ask(&name(user), &id(user, 0), Evidence::Orphan, now, Some(owned), SETTINGS)
}

fn sweep(brake: &mut Brake, users: std::ops::Range<usize>, now: Timestamp, owned: u32) -> Verdict {
    let orphans: Vec<_> = users.map(|user| (name(user), id(user, 0))).collect();
    brake.ask_many(orphans.iter().map(|(name, id)| (name, id)), now, Some(owned), SETTINGS)
}

fn causes(brake: &Brake) -> Vec<HoldCause> {
    brake.holds().iter().map(|hold| hold.cause).collect()
}

use HoldCause::{Budget, EmptyTable, TableIdentity as Identity};
use Verdict::{Go, Held};

#[test]
fn a_sweep_is_weighed_as_a_whole_and_at_once() {
    #[rustfmt::skip]
    let table = [
        // owned  orphans  verdict
        (5_000,   1,       Go),
        (5_000,   1_000,   Go),
        (5_000,   1_001,   Held(Budget)),
        (55,      11,      Go),
        (54,      11,      Held(Budget)),
        (10,      10,      Go),
        (11,      11,      Held(Budget)),
    ];
    for (owned, orphans, expected) in table {
        let mut brake = Brake::default();
        assert_eq!(sweep(&mut brake, 0..orphans, at(0), owned), expected, "{orphans} of {owned}");
        let granted = (0..orphans).filter(|user| orphaned(&mut brake, *user, at(1), owned) == Go).count();
        assert_eq!(granted, if expected == Go { orphans } else { 0 }, "{orphans} of {owned}");
    }
}

#[test]
fn the_budget_counts_what_was_granted_within_the_window() {
    let mut brake = Brake::default();
    assert_eq!(sweep(&mut brake, 0..800, at(0), 5_000), Go);
    (0..800).for_each(|user| assert_eq!(orphaned(&mut brake, user, at(1), 5_000), Go));
    (0..800).for_each(|user| brake.granted_done(&name(user), &id(user, 0)));
    assert_eq!(sweep(&mut brake, 1_000..1_200, at(3_000), 4_200), Go);
    assert_eq!(sweep(&mut brake, 2_000..2_001, at(3_000), 4_200), Held(Budget), "1,001 of 5,000");
    for user in (1_000..1_200).chain([2_000]) {
        brake.withdraw(&name(user));
    }
    assert_eq!(sweep(&mut brake, 1_000..1_800, at(3_700), 4_200), Go, "the first 800 count no more");

    let mut brake = Brake::default();
    assert_eq!(removed(&mut brake, 0, at(59), 5_000), Go);
    let spent = |seconds| brake.status(at(seconds), SETTINGS).spent;
    assert_eq!((spent(3_658), spent(3_660)), (1, 0), "the whole window, and a sixtieth at most");
}

/// Once a regression: users on their way out were counted as owned and as deleted.
#[test]
fn deletions_under_way_do_not_make_the_account_look_larger() {
    let mut brake = Brake::default();
    (0..10).for_each(|user| assert_eq!(removed(&mut brake, user, at(0), 50), Go));
    assert_eq!(removed(&mut brake, 10, at(0), 50), Held(Budget), "11 of 50");
}

#[test]
fn a_user_is_counted_once() {
    let mut brake = Brake::default();
    for _ in 0..100 {
        assert_eq!(removed(&mut brake, 7, at(0), 5_000), Go);
        brake = restarted(&brake);
    }
    assert_eq!(brake.status(at(0), SETTINGS).spent, 1);
    assert_eq!(brake.granted().collect::<Vec<_>>(), [(&name(7), &id(7, 0))]);
    brake.granted_done(&name(7), &id(7, 0));
    assert_eq!(brake.granted().count(), 0);
    assert_eq!(brake.status(at(0), SETTINGS).spent, 1, "the budget does not forget");
}

#[test]
fn more_than_a_few_wait_for_each_other_and_go_together() {
    let mut brake = Brake::default();
    (0..10).for_each(|user| assert_eq!(removed(&mut brake, user, at(0), 5_000), Go));
    assert_eq!(removed(&mut brake, 10, at(1), 5_000), Verdict::Wait { until: at(11) });
    assert_eq!(removed(&mut brake, 11, at(8), 5_000), Verdict::Wait { until: at(18) });
    brake = restarted(&brake);
    assert_eq!(brake.next_judgement(SETTINGS), Some(at(18)));
    assert_eq!(brake.judge(at(17), Some(5_000), SETTINGS), []);
    assert_eq!(brake.judge(at(18), Some(5_000), SETTINGS), [name(10), name(11)]);
    assert_eq!(removed(&mut brake, 11, at(19), 5_000), Go);
    assert_eq!(brake.next_judgement(SETTINGS), None);
}

#[test]
fn one_that_asks_when_the_batch_is_complete_clears_all_of_it() {
    let mut brake = Brake::default();
    (0..15).for_each(|user| _ = removed(&mut brake, user, at(0), 5_000));
    assert_eq!(removed(&mut brake, 12, at(10), 5_000), Go);
    assert!(brake.next_judgement(SETTINGS).is_some_and(|due| due <= at(10)), "others are to be told");
    let told = brake.judge(at(10), Some(5_000), SETTINGS);
    assert_eq!(told, [10, 11, 13, 14].map(name));
}

#[test]
fn patience_ends_while_deletions_keep_coming() {
    let mut brake = Brake::default();
    let verdicts: Vec<_> =
        (0..70).map(|user| removed(&mut brake, user, at(5 * user as i64), 5_000)).collect();
    assert_eq!(verdicts.iter().position(|v| *v != Go), Some(10));
    assert_eq!(verdicts[10], Verdict::Wait { until: at(60) });
    assert_eq!(verdicts[69], Verdict::Wait { until: at(350) }, "five minutes after the eleventh");
    assert_eq!(removed(&mut brake, 70, at(350), 5_000), Go);
}

#[test]
fn a_short_window_has_a_short_quiet_time() {
    let settings = BrakeSettings { window: Duration::from_secs(6), max_count: 0, ..SETTINGS };
    let mut brake = Brake::default();
    let verdict = brake.ask(&name(1), &id(1, 0), record(), at(0), Some(100), settings);
    assert_eq!(verdict, Verdict::Wait { until: at(1) });
}

#[test]
fn before_the_first_sweep_nobody_is_deleted() {
    let mut brake = Brake::default();
    let verdict = brake.ask(&name(1), &id(1, 0), record(), at(0), None, SETTINGS);
    assert_eq!(verdict, Verdict::Wait { until: at(10) });
    assert_eq!(brake.judge(at(99), None, SETTINGS), []);
    let verdict = brake.ask(&name(1), &id(1, 0), record(), at(99), None, SETTINGS);
    assert_eq!(verdict, Verdict::Wait { until: at(109) });
    assert_eq!(removed(&mut brake, 1, at(100), 5_000), Go);

    assert_eq!(sweep(&mut brake, 5..6, at(100), 5_000), Go);
    brake = restarted(&brake);
    let verdict = brake.ask(&name(5), &id(5, 0), Evidence::Orphan, at(101), None, SETTINGS);
    assert!(matches!(verdict, Verdict::Wait { .. }), "not even one that was cleared before a restart");
}

#[test]
fn announced_ones_count_before_they_are_looked_at() {
    let mut brake = Brake::default();
    (0..15).for_each(|user| brake.announce(&name(user), at(0)));
    assert_eq!(removed(&mut brake, 0, at(9), 5_000), Verdict::Wait { until: at(10) });
    brake.announce(&name(0), at(9));
    let status = brake.status(at(9), SETTINGS);
    assert_eq!((status.waiting, status.announced), (1, 14), "a user is one deletion");
    assert_eq!(removed(&mut brake, 0, at(10), 5_000), Go);
    assert_eq!(removed(&mut brake, 1, at(60), 5_000), Go, "announced long ago: weighed with the others");
    (2..15).for_each(|user| brake.withdraw(&name(user)));
    assert_eq!(brake.wanted().count(), 0);

    let mut small = Brake::default();
    (0..15).for_each(|user| small.announce(&name(user), at(0)));
    assert_eq!(removed(&mut small, 0, at(0), 20), Held(Budget), "before the first of them is deleted");
}

/// 5,000 owned users, 4,000 rows removed by mistake within a minute, restored after five.
#[test]
fn four_thousand_of_five_thousand() {
    #[rustfmt::skip]
    let table = [
        // looks a second  announced  deleted at most
        (200,              false,     10),
        (10,               false,     10),
        (2,                true,      10),
        (200,              true,      10),
    ];
    for (looks_a_second, announced, at_most) in table {
        let case = format!("{looks_a_second} looks a second, announced: {announced}");
        let mut brake = Brake::default();
        let mut deleted = BTreeSet::new();
        let mut gone_rows = 0..0;
        let mut next = 0;
        for second in 0..300 {
            gone_rows = 0..(67 * (second + 1)).min(4_000);
            let new = (67 * second).min(4_000)..gone_rows.end;
            new.filter(|_| announced).for_each(|user| brake.announce(&name(user), at(second as i64)));
            for _ in 0..looks_a_second {
                let user = next % gone_rows.end;
                next += 1;
                let owned = 5_000 - u32::try_from(deleted.len()).unwrap();
                if !deleted.contains(&user) && removed(&mut brake, user, at(second as i64), owned) == Go {
                    deleted.insert(user);
                    brake.granted_done(&name(user), &id(user, 0));
                }
            }
            if second == 250 {
                brake = restarted(&brake);
            }
        }
        assert!(deleted.len() <= at_most, "{case}: {} deleted", deleted.len());
        let status = brake.status(at(300), SETTINGS);
        assert_eq!(causes(&brake), [Budget], "{case}");
        assert_eq!(status.names.len(), LISTED, "{case}");

        gone_rows.for_each(|user| brake.withdraw(&name(user)));
        assert_eq!(causes(&brake), [], "{case}: nothing that was held is wanted any more");
        assert_eq!(brake.resume(at(400)), [], "{case}");
        assert_eq!(brake.judge(at(9_999), Some(5_000), SETTINGS), [], "{case}");
        assert_eq!(brake.wanted().count(), 0, "{case}");
    }
}

#[test]
fn while_held_nobody_goes_until_nothing_held_is_wanted() {
    let mut brake = Brake::default();
    assert_eq!(sweep(&mut brake, 0..11, at(0), 20), Held(Budget));
    brake = restarted(&brake);
    assert_eq!(removed(&mut brake, 50, at(9_999), 20), Held(Budget), "even one, even much later");
    (0..11).for_each(|user| brake.withdraw(&name(user)));
    assert_eq!(causes(&brake), [Budget], "one is still wanted");
    brake.withdraw(&UserName::parse("USER-50").unwrap());
    assert_eq!(causes(&brake), []);
    assert_eq!(removed(&mut brake, 50, at(9_999), 20), Go);
}

#[test]
fn of_two_spellings_the_one_is_wanted_that_was_asked_for() {
    let mut brake = Brake::default();
    assert_eq!(sweep(&mut brake, 0..11, at(0), 20), Held(Budget));
    let other_spelling = UserName::parse("USER-3").unwrap();
    assert!(brake.wants(&name(3)) && !brake.wants(&other_spelling) && !brake.wants(&name(50)));
    brake.withdraw(&name(3));
    assert!(!brake.wants(&name(3)));
    brake.announce(&other_spelling, at(1));
    assert!(!brake.wants(&name(3)) && brake.wants(&other_spelling));
}

#[test]
fn a_resumption_is_for_what_is_held_now() {
    let mut brake = Brake::default();
    assert_eq!(sweep(&mut brake, 0..15, at(0), 20), Held(Budget));
    brake.announce(&name(90), at(0));
    assert_eq!(brake.resume(at(60)).len(), 15);
    brake = restarted(&brake);
    assert_eq!(causes(&brake), []);

    assert_eq!(orphaned(&mut brake, 0, at(61), 20), Go);
    assert_eq!(brake.status(at(61), SETTINGS).spent, 0, "a licence uses up no budget");

    let later = brake.ask(&name(1), &id(1, 1), record(), at(61), Some(20), SETTINGS);
    assert_eq!((later, brake.status(at(61), SETTINGS).spent), (Go, 1), "another life: by the budget");

    brake.withdraw(&name(2));
    assert_eq!(removed(&mut brake, 2, at(61), 20), Go);
    assert_eq!(brake.status(at(61), SETTINGS).spent, 2, "its row had been back: by the budget");
    assert_eq!(removed(&mut brake, 5, at(61), 20), Go);
    assert_eq!(brake.status(at(61), SETTINGS).spent, 3, "so must that of an orphan that was removed now");

    assert_eq!(sweep(&mut brake, 20..35, at(62), 20), Held(Budget), "others are held anew");
    assert_eq!(orphaned(&mut brake, 3, at(62), 20), Go, "those with a licence still go");
    assert_eq!(orphaned(&mut brake, 20, at(62), 20), Held(Budget));
    let a_day_later = at(60 + 24 * 3_600);
    assert_eq!(orphaned(&mut brake, 4, a_day_later, 20), Held(Budget), "a licence ends");
}

#[test]
fn an_empty_table_is_no_evidence_but_a_record_is() {
    let mut brake = Brake::default();
    brake.sweep_saw(0, 30, 30, at(0));
    assert_eq!(sweep(&mut brake, 0..30, at(0), 30), Held(EmptyTable));
    brake = restarted(&brake);
    assert_eq!(orphaned(&mut brake, 0, at(1), 30), Held(EmptyTable));
    assert_eq!(brake.status(at(1), SETTINGS).names.len(), 30);
    assert_eq!(removed(&mut brake, 1, at(1), 30), Go, "the orphans that are held use up no budget");
    (2..30).for_each(|user| brake.withdraw(&name(user)));
    brake.sweep_saw(1, 30, 2, at(2));
    assert_eq!(orphaned(&mut brake, 0, at(2), 30), Go);

    let mut account_scope = Brake::default();
    account_scope.sweep_saw(0, 0, 3, at(0));
    assert_eq!(causes(&account_scope), [EmptyTable]);
    let mut nothing_at_all = Brake::default();
    nothing_at_all.sweep_saw(0, 0, 0, at(0));
    assert_eq!(causes(&nothing_at_all), []);
}

#[test]
fn what_was_cleared_is_held_again_when_the_table_is_empty() {
    let mut brake = Brake::default();
    assert_eq!(sweep(&mut brake, 0..3, at(0), 100), Go);
    brake.sweep_saw(0, 100, 100, at(1));
    assert_eq!(orphaned(&mut brake, 0, at(1), 100), Held(EmptyTable));
    assert_eq!(brake.resume(at(2)).len(), 3);
    brake.sweep_saw(0, 100, 100, at(3));
    assert_eq!(orphaned(&mut brake, 0, at(4), 100), Go, "a person said so");
    assert_eq!(orphaned(&mut brake, 7, at(4), 100), Held(EmptyTable));

    let mut brake = Brake::default();
    assert_eq!(sweep(&mut brake, 0..20, at(0), 100), Go);
    brake.sweep_saw(0, 100, 100, at(1));
    brake.sweep_saw(80, 100, 20, at(2));
    assert_eq!(brake.next_judgement(SETTINGS), Some(at(12)), "they wait anew");
    assert_eq!(brake.judge(at(12), Some(100), SETTINGS).len(), 20);

    let mut brake = Brake::default();
    (0..11).for_each(|user| _ = removed(&mut brake, user, at(0), 100));
    brake.sweep_saw(0, 100, 100, at(10));
    assert_eq!(brake.judge(at(10), Some(100), SETTINGS), [name(10)]);
    assert_eq!(orphaned(&mut brake, 10, at(10), 100), Held(EmptyTable), "cleared on the word of a record");
}

#[test]
fn a_granted_orphan_that_is_asked_for_again_is_held_while_the_table_is_in_doubt() {
    let granted = || {
        let mut brake = Brake::default();
        brake.table_seen("arn", "one", at(0));
        assert_eq!(orphaned(&mut brake, 0, at(0), 100), Go);
        restarted(&brake)
    };
    let mut brake = granted();
    assert_eq!(orphaned(&mut brake, 0, at(1), 100), Go, "nothing speaks against it");

    let mut brake = granted();
    brake.table_seen("arn", "two", at(1));
    assert_eq!(orphaned(&mut brake, 0, at(1), 100), Held(Identity));
    assert_eq!(brake.granted().count(), 0);
    assert_eq!(brake.resume(at(2)), [name(0)], "it is among those that a person decides about");
    assert_eq!(orphaned(&mut brake, 0, at(2), 100), Go);

    let mut brake = granted();
    brake.sweep_saw(0, 100, 100, at(1));
    assert_eq!(orphaned(&mut brake, 0, at(1), 100), Held(EmptyTable));
    brake.sweep_saw(99, 100, 1, at(2));
    assert_eq!(orphaned(&mut brake, 0, at(2), 100), Go);
}

#[test]
fn another_table_holds_everything() {
    const ARN: &str = "arn:aws:dynamodb:eu-central-1:123456789012:table/users";
    let mut brake = Brake::default();
    brake.table_seen(ARN, "one", at(0));
    assert_eq!(removed(&mut brake, 0, at(0), 100), Go);
    assert_eq!(sweep(&mut brake, 1..3, at(0), 100), Go);
    brake.table_seen(ARN, "", at(1));
    assert_eq!(causes(&brake), [], "an id that is not told is no difference");

    brake.table_seen(ARN, "two", at(2));
    brake = restarted(&brake);
    assert_eq!(removed(&mut brake, 1, at(3), 100), Held(Identity), "it had been cleared");
    assert_eq!(removed(&mut brake, 9, at(3), 100), Held(Identity));
    assert_eq!(removed(&mut brake, 0, at(3), 100), Go, "its row was removed from the table that it was");
    brake.table_seen(ARN, "three", at(4));
    assert_eq!(brake.holds(), [Hold { cause: Identity, since: at(2) }]);

    brake.table_seen(ARN, "one", at(5));
    assert_eq!(causes(&brake), [], "it is back");
    assert_eq!(removed(&mut brake, 9, at(5), 100), Go);
    assert_eq!(sweep(&mut brake, 20..30, at(5), 100), Go);
    brake.table_seen(ARN, "two", at(6));
    brake.table_seen(ARN, "one", at(6));
    assert_eq!(brake.next_judgement(SETTINGS), Some(at(16)), "those that were cleared wait anew");
    (20..30).for_each(|user| brake.withdraw(&name(user)));

    brake.table_seen("arn:aws:dynamodb:us-east-1:123456789012:table/users", "four", at(7));
    assert_eq!(removed(&mut brake, 10, at(7), 100), Held(Identity));
    assert_eq!(brake.resume(at(7)).len(), 3, "1, 2 and 10");
    brake.table_seen("arn:aws:dynamodb:us-east-1:123456789012:table/users", "four", at(8));
    assert_eq!(causes(&brake), [], "the new one is believed");
    brake.table_seen(ARN, "one", at(9));
    assert_eq!(removed(&mut brake, 10, at(9), 100), Held(Identity), "a licence was for the other table");
}

#[test]
fn what_is_decided_is_stored_at_once_and_who_is_merely_wanted_later() {
    let mut brake = Brake::default();
    let mut late = |change: &dyn Fn(&mut Brake)| {
        let before = brake.clone();
        change(&mut brake);
        assert_ne!(brake, before, "that changed nothing");
        brake.may_be_stored_late(&before)
    };
    let remove = |user: usize| {
        move |brake: &mut Brake| {
            removed(brake, user, at(0), 50);
        }
    };
    let see = |table: &'static str| move |brake: &mut Brake| brake.table_seen(table, "1", at(0));
    assert!(!late(&see("users")), "the table");
    assert!(!late(&remove(0)), "granted");
    assert!(!late(&|brake| brake.granted_done(&name(0), &id(0, 0))), "over, and no longer to be restored");
    assert!(late(&|brake| brake.announce(&name(1), at(0))), "announced");
    assert!(late(&|brake| brake.withdraw(&name(1))), "nothing to delete");
    assert!(late(&|brake| brake.sweep_saw(50, 50, 0, at(0))), "counted");
    for user in 1..10 {
        assert!(!late(&remove(user)), "granted");
    }
    assert!(!late(&remove(10)), "the hold begins");
    assert!(late(&remove(11)), "held, too");
    assert!(late(&|brake| brake.withdraw(&name(11))), "its row is back");
    assert!(!late(&|brake| drop(brake.resume(at(1)))), "licensed");
    assert!(!late(&remove(10)), "granted");
    assert!(!late(&see("others")), "another table");
    assert!(!late(&|brake| brake.sweep_saw(0, 50, 0, at(2))), "it is empty");
    assert!(!late(&|brake| brake.sweep_saw(1, 50, 0, at(3))), "it is not");
    assert!(!late(&see("users")), "the right one again");
}

#[test]
fn the_record_fits_into_an_item() {
    let long = |user: usize| UserName::parse(&format!("{user:064}")).unwrap();
    let mut brake = Brake::default();
    for user in 0..10_000 {
        brake.ask(&long(user), &id(user, 0), record(), at(0), Some(5_000), SETTINGS);
        brake.announce(&long(50_000 + user), at(0));
    }
    for minute in 0..600 {
        brake.spent.add(at(60 * minute), SETTINGS.window);
        brake.spent.forget_before(at(60 * minute), SETTINGS.window);
    }
    let stored = serde_json::to_string(&brake).unwrap();
    assert!((300_000..360_000).contains(&stored.len()), "{}", stored.len());
    assert!(stored == serde_json::to_string(&restarted(&brake)).unwrap());
    assert_eq!(brake.ask(&name(1), &id(1, 0), record(), at(0), Some(5_000), SETTINGS), Held(Budget));
    brake.wanted().cloned().collect::<Vec<_>>().iter().for_each(|name| brake.withdraw(name));
    assert_eq!(brake.wanted().count(), 0);
    assert_eq!(removed(&mut brake, 1, at(40_000), 5_000), Go, "there is room again");
}

#[test]
fn an_unreadable_record_is_an_error() {
    let good = serde_json::to_string(&Brake::default()).unwrap();
    assert!(serde_json::from_str::<Brake>(&good).is_ok());
    for bad in ["", "{}", "null", &good.replace("\"announced\":[]", "\"announced\":[\"a b\"]")] {
        assert!(serde_json::from_str::<Brake>(bad).is_err(), "{bad}");
    }
}

/// Users of the random world.
const USERS: usize = 30;

#[derive(Clone, Debug)]
enum Event {
    RemoveRows(std::ops::Range<usize>, bool),
    RestoreRows(std::ops::Range<usize>),
    Look(std::ops::Range<usize>),
    Finish(std::ops::Range<usize>),
    Recreate(usize),
    Sweep,
    Judge,
    Pass(u64),
    Restart,
    Resume,
    Describe(bool),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let range = (0..USERS, 1..12_usize).prop_map(|(first, many)| first..(first + many).min(USERS));
    let event = prop_oneof![
        4 => (range.clone(), any::<bool>()).prop_map(|(users, told)| Event::RemoveRows(users, told)),
        2 => range.clone().prop_map(Event::RestoreRows),
        6 => range.clone().prop_map(Event::Look),
        4 => range.prop_map(Event::Finish),
        2 => (0..USERS).prop_map(Event::Recreate),
        2 => Just(Event::Sweep),
        2 => Just(Event::Judge),
        4 => prop_oneof![0..12_u64, 60..2_000_u64].prop_map(Event::Pass),
        1 => Just(Event::Restart),
        1 => Just(Event::Resume),
        1 => prop::bool::weighted(0.8).prop_map(Event::Describe),
    ];
    prop::collection::vec(event, 1..80)
}

/// A small account, and what an auditor writes down about it.
struct World {
    brake: Brake,
    now: Timestamp,
    settings: BrakeSettings,
    rows: BTreeSet<usize>,
    /// User and life.
    users: BTreeMap<usize, usize>,
    lives: usize,
    /// Users that Go was said for, which are not gone.
    granted: BTreeSet<(usize, usize)>,
    /// What the operator has allowed, and nobody has taken back.
    licensed: BTreeSet<(usize, usize)>,
    /// When Go was said by the budget.
    by_budget: Vec<Timestamp>,
    same_table: bool,
}

impl World {
    fn new() -> Self {
        let mut brake = Brake::default();
        brake.table_seen("arn", "one", at(0));
        Self {
            brake,
            now: at(0),
            settings: BrakeSettings { max_count: 3, max_percent: 20, window: Duration::from_secs(600) },
            rows: (0..USERS).collect(),
            users: (0..USERS).map(|user| (user, 0)).collect(),
            lives: USERS,
            granted: BTreeSet::new(),
            licensed: BTreeSet::new(),
            by_budget: Vec::new(),
            same_table: true,
        }
    }

    fn owned(&self) -> Option<u32> {
        u32::try_from(self.users.len()).ok()
    }

    fn look(&mut self, user: usize) -> Option<Verdict> {
        let wanted = self.users.get(&user).copied().filter(|_| !self.rows.contains(&user));
        let Some(life) = wanted else {
            self.brake.withdraw(&name(user));
            self.licensed.retain(|(licensed, _)| *licensed != user);
            return None;
        };
        let evidence = if user.is_multiple_of(2) { record() } else { Evidence::Orphan };
        let holds = causes(&self.brake);
        let verdict =
            self.brake.ask(&name(user), &id(user, life), evidence, self.now, self.owned(), self.settings);
        let key = (user, life);
        if verdict != Go {
            self.granted.remove(&key);
        }
        if verdict == Go && self.granted.insert(key) {
            assert!(self.same_table, "granted on the word of another table");
            if !self.licensed.remove(&key) {
                assert!(!holds.contains(&Budget), "granted while held");
                assert!(evidence == record() || !holds.contains(&EmptyTable), "granted on an empty table");
                self.by_budget.push(self.now);
                self.audit();
            }
        }
        assert_eq!(
            matches!(verdict, Held(_)),
            !causes(&self.brake).is_empty()
                && verdict != Go
                && (evidence == Evidence::Orphan || causes(&self.brake) != [EmptyTable])
        );
        Some(verdict)
    }

    /// Never more within the window than is allowed, of all users that there ever were.
    fn audit(&self) {
        let recent = self.by_budget.iter().filter(|time| self.now.since(**time) < self.settings.window);
        let allowed = (self.lives * usize::from(self.settings.max_percent) / 100)
            .max(usize::try_from(self.settings.max_count).unwrap());
        assert!(recent.clone().count() <= allowed, "{recent:?}");
    }

    fn finish(&mut self, user: usize) {
        if let Some(life) = self.users.get(&user).copied()
            && self.granted.remove(&(user, life))
        {
            self.users.remove(&user);
            self.brake.granted_done(&name(user), &id(user, life));
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::RemoveRows(users, told) => users.for_each(|user| {
                if self.rows.remove(&user) && told {
                    self.brake.announce(&name(user), self.now);
                }
            }),
            Event::RestoreRows(users) => self.rows.extend(users),
            Event::Look(users) => users.for_each(|user| _ = self.look(user)),
            Event::Finish(users) => users.for_each(|user| self.finish(user)),
            Event::Recreate(user) => {
                if !self.users.contains_key(&user) {
                    self.users.insert(user, self.lives);
                    self.lives += 1;
                    self.rows.insert(user);
                }
            }
            Event::Sweep => {
                let orphans: Vec<_> =
                    self.users.iter().filter(|(user, _)| !self.rows.contains(user)).collect();
                let orphans: Vec<_> = orphans.iter().map(|(u, life)| (name(**u), id(**u, **life))).collect();
                self.brake.sweep_saw(self.rows.len(), self.users.len(), orphans.len(), self.now);
                let pairs = orphans.iter().map(|(name, id)| (name, id));
                self.brake.ask_many(pairs, self.now, self.owned(), self.settings);
            }
            Event::Judge => {
                let told = self.brake.judge(self.now, self.owned(), self.settings);
                assert!(told.is_empty() || (self.same_table && !causes(&self.brake).contains(&Budget)));
            }
            Event::Pass(seconds) => self.now = self.now + Duration::from_secs(seconds),
            Event::Restart => {
                let stored = restarted(&self.brake);
                assert_eq!(Brake { untold: self.brake.untold, ..stored.clone() }, self.brake);
                self.brake = stored;
            }
            Event::Resume => {
                let licensed = self.brake.resume(self.now);
                let lives = |user: usize| self.users.get(&user).map(|life| (user, *life));
                self.licensed.extend((0..USERS).filter(|u| licensed.contains(&name(*u))).filter_map(lives));
                self.same_table = true;
            }
            Event::Describe(same) => {
                self.brake.table_seen("arn", if same { "one" } else { "two" }, self.now);
                self.same_table = !causes(&self.brake).contains(&Identity);
                if !self.same_table {
                    self.licensed.clear();
                }
            }
        }
    }

    /// Once rows and table stay as they are and the operator agrees, everybody who has no row goes.
    fn converge(&mut self) {
        for _ in 0..3 {
            self.apply(Event::Look(0..USERS));
            self.apply(Event::Resume);
            self.now = self.now + PATIENCE;
        }
        self.apply(Event::Look(0..USERS));
        let left = self.users.iter().filter(|(u, _)| !self.rows.contains(u)).map(|(u, l)| (*u, *l));
        assert!(left.clone().all(|user| self.granted.contains(&user)), "{:?}", left.collect::<Vec<_>>());
        assert_eq!(self.brake.wanted().count(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_histories(events in events()) {
        let mut world = World::new();
        for event in events {
            world.apply(event);
        }
        world.converge();
    }
}

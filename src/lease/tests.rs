//! The lease under lost answers, late writes, suspended machines and clocks that disagree.

use std::cell::Cell;
use std::time::Duration;

use tokio::time;

use super::fake::{Fate, Machine};
use super::{Lease, LeaseError, Predecessor, Refused, Watch, Watcher};
use crate::ports::Record;

const TTL: Duration = Duration::from_secs(15);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn watcher(machine: &Machine, name: &str) -> Watcher<Machine> {
    Watcher::new(machine.clone(), name.to_owned(), TTL)
}

/// Takes the lease with one look.
async fn take(machine: &Machine, name: &str) -> Lease<Machine> {
    match watcher(machine, name).look().await {
        Ok(Watch::Taken(lease)) => lease,
        Ok(Watch::Standby(leader)) => panic!("{leader:?} holds it"),
        Err(error) => panic!("{error}"),
    }
}

async fn taken(watcher: &mut Watcher<Machine>) -> Option<Lease<Machine>> {
    match watcher.look().await {
        Ok(Watch::Taken(lease)) => Some(lease),
        Ok(Watch::Standby(_)) | Err(_) => None,
    }
}

/// Watches until the lease is free; gives it, and how long that took.
async fn wait_for_it(watcher: &mut Watcher<Machine>) -> (Lease<Machine>, Duration) {
    let began = watcher_clock(watcher);
    loop {
        if let Some(lease) = taken(watcher).await {
            return (lease, watcher_clock(watcher) - began);
        }
        time::sleep(watcher.pause()).await;
        assert!(watcher_clock(watcher) - began < 10 * TTL, "it is never free");
    }
}

fn watcher_clock(watcher: &Watcher<Machine>) -> Duration {
    use crate::ports::Clock;
    watcher.ports.monotonic()
}

/// Keeps the lease for so long; `Err` when it was lost before.
async fn keep(lease: &mut Lease<Machine>, time: Duration) -> Result<(), LeaseError> {
    tokio::select! {
        lost = lease.keep(|| {}) => Err(lost),
        () = time::sleep(time) => Ok(()),
    }
}

/// Makes a change that takes so long, and keeps the lease meanwhile.
async fn make(lease: &mut Lease<Machine>, time: Duration) -> Result<(), Refused> {
    let guard = lease.guard();
    tokio::select! {
        biased;
        made = guard.make(time::sleep(time)) => made,
        lost = lease.keep(|| {}) => panic!("{lost}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_holds_it_and_the_other_stands_by() {
    let one = Machine::new();
    let mut lease = take(&one, "one").await;
    assert_eq!((lease.guard().token(), lease.predecessor), (1, Predecessor::Nobody));
    let mut other = watcher(&one.another(), "other");
    for _ in 0..20 {
        keep(&mut lease, secs(7)).await.expect("kept");
        let Ok(Watch::Standby(leader)) = other.look().await else { panic!("it was taken away") };
        assert_eq!((leader.holder.as_str(), leader.token), ("one", 1));
    }
    // Renewed every third of its life, and no more: nobody wants to change anything.
    let writes = one.table().writes;
    assert!((27..=30).contains(&writes), "{writes} writes in 140 s");
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_followed_after_the_time_to_live_and_the_token_grows() {
    let one = Machine::new();
    drop(take(&one, "one").await);
    let mut other = watcher(&one.another(), "other");
    let (lease, took) = wait_for_it(&mut other).await;
    assert!(took >= TTL && took <= TTL + secs(1), "{took:?}");
    assert_eq!((lease.guard().token(), lease.predecessor), (2, Predecessor::Somebody));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_given_back_is_free_at_once() {
    let one = Machine::new();
    let mut lease = take(&one, "one").await;
    make(&mut lease, secs(1)).await.expect("made");
    lease.release().await.expect("given back");
    let (next, took) = wait_for_it(&mut watcher(&one.another(), "other")).await;
    assert!(took < secs(1), "{took:?}");
    assert_eq!((next.guard().token(), next.predecessor), (2, Predecessor::Somebody));
    // Nothing is changed under this one: but somebody did, before it.
    next.release().await.expect("given back");
    assert_eq!(take(&one, "one").await.predecessor, Predecessor::Somebody);
}

#[tokio::test(start_paused = true)]
async fn a_lease_without_a_change_leaves_nothing_behind() {
    let one = Machine::new();
    take(&one, "one").await.release().await.expect("given back");
    let next = take(&one, "one").await;
    assert_eq!((next.guard().token(), next.predecessor), (2, Predecessor::Nobody));
}

#[tokio::test(start_paused = true)]
async fn an_acquisition_whose_answer_was_lost_is_found_at_the_next_look() {
    let one = Machine::new();
    one.fate(Fate::AnswerLost);
    let mut watcher = watcher(&one, "one");
    assert!(watcher.look().await.is_err());
    time::sleep(secs(2)).await;
    let lease = taken(&mut watcher).await.expect("it is ours");
    assert_eq!((lease.guard().token(), one.table().writes), (1, 1));
    // It counts from when it was asked for.
    let left = lease.guard().left();
    assert!(left < TTL - secs(2) && left > TTL - secs(3), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn an_acquisition_that_was_lost_or_is_late_is_asked_for_again() {
    let one = Machine::new();
    one.fate(Fate::Lost);
    one.fate(Fate::Late);
    let mut watcher = watcher(&one, "one");
    assert!(watcher.look().await.is_err() && watcher.look().await.is_err());
    let lease = taken(&mut watcher).await.expect("free");
    // The late one asks for the same record, or finds another one: either way it takes nothing.
    let record = one.table().record.clone();
    one.table().deliver();
    assert_eq!((one.table().record.clone(), lease.guard().token()), (record, 1));
}

#[tokio::test(start_paused = true)]
async fn an_acquisition_that_is_found_too_late_is_of_no_use() {
    let one = Machine::new();
    one.fate(Fate::AnswerLost);
    let mut watcher = watcher(&one, "one");
    assert!(watcher.look().await.is_err());
    time::sleep(TTL).await;
    let mut lease = taken(&mut watcher).await.expect("nobody else has it");
    assert_eq!(lease.guard().make(async {}).await, Err(Refused::NotBegun));
    assert!(matches!(lease.keep(|| {}).await, LeaseError::RanOut));
    let mut next = taken(&mut watcher).await.expect("free at once");
    make(&mut next, secs(1)).await.expect("made");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_was_lost_is_a_renewal() {
    let one = Machine::new();
    let mut lease = take(&one, "one").await;
    for fates in [&[Fate::AnswerLost][..], &[Fate::Lost, Fate::AnswerLost], &[Fate::Lost], &[Fate::Late]] {
        fates.iter().for_each(|fate| one.fate(*fate));
        keep(&mut lease, secs(6)).await.expect("kept");
        assert!(one.table().fates.is_empty(), "it was renewed meanwhile");
        assert!(lease.guard().left() > TTL - secs(5), "{fates:?}: {:?}", lease.guard().left());
        one.table().deliver();
    }
    keep(&mut lease, secs(60)).await.expect("kept");
    assert_eq!(one.table().token(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_arrives_between_two_others_does_not_end_the_lease() {
    let one = Machine::new();
    let mut lease = take(&one, "one").await;
    // The look after it does not see it yet, and the next one finds another record than it expects.
    one.fate(Fate::Late);
    let renewed = lease.renew(false).await;
    assert!(matches!(renewed, Err(LeaseError::Call(_))));
    one.table().deliver();
    // Here it is the same record that the next renewal writes; make it another.
    one.fate(Fate::Late);
    assert!(lease.renew(true).await.is_err() || one.table().released());
    keep(&mut lease, secs(40)).await.expect("kept");
    assert!(!one.table().released());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_comes_back_after_the_end_is_none() {
    let one = Machine::new();
    let mut watcher = watcher(&one, "one");
    let mut lease = taken(&mut watcher).await.expect("free");
    let guard = lease.guard();
    one.fate(Fate::Slow(TTL + secs(3)));
    let meanwhile = Cell::new(None);
    let (ended, ()) = tokio::join!(lease.keep(|| {}), async {
        // The renewal is sent after 5 s, and answered after 23. What it is worth counts from when it was
        // sent: 5 s + 15 s are over.
        time::sleep(secs(16)).await;
        meanwhile.set(Some(guard.make(async {}).await));
    });
    assert_eq!(meanwhile.take(), Some(Err(Refused::NotBegun)));
    assert!(matches!(ended, LeaseError::RanOut), "{ended}");
    assert_eq!(guard.make(async {}).await, Err(Refused::NotBegun));
    // Nobody else has it, and nothing is left of what it was for.
    let next = taken(&mut watcher).await.expect("free at once");
    assert_eq!((next.predecessor, one.table().token()), (Predecessor::Somebody, 2));
}

/// What was decided before a machine slept for days is not carried out when it wakes.
#[tokio::test(start_paused = true)]
async fn a_lease_that_ran_out_is_not_renewed_though_nobody_else_has_taken_it() {
    for suspended in [true, false] {
        let one = Machine::new();
        let mut watcher = watcher(&one, "one");
        let mut lease = taken(&mut watcher).await.expect("free");
        if suspended {
            one.suspend(secs(172_800));
        } else {
            time::advance(secs(172_800)).await;
        }
        let ended = time::timeout(secs(6), lease.keep(|| {})).await.expect("it is noticed");
        assert!(matches!(ended, LeaseError::RanOut), "{ended}");
        assert!(taken(&mut watcher).await.is_some(), "free at once");
        assert_eq!(one.table().token(), 2);
    }
}

/// Whoever leads under the same name is somebody else all the same.
#[tokio::test(start_paused = true)]
async fn a_lease_that_ran_out_is_not_taken_back_from_another() {
    let one = Machine::new();
    let mut first = watcher(&one, "one");
    let mut lease = taken(&mut first).await.expect("free");
    let (_second, _) = wait_for_it(&mut watcher(&one.another(), "one")).await;
    assert!(matches!(lease.keep(|| {}).await, LeaseError::RanOut));
    assert!(taken(&mut first).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_was_overtaken_is_told_so_and_changes_nothing_more() {
    let one = Machine::new();
    let mut lease = take(&one, "one").await;
    let guard = lease.guard();
    // It stands still, and another takes over.
    let mut other = watcher(&one.another(), "other");
    let (second, _) = wait_for_it(&mut other).await;
    assert_eq!(guard.make(async {}).await, Err(Refused::NotBegun));
    assert!(matches!(lease.keep(|| {}).await, LeaseError::RanOut));
    assert!(matches!(lease.release().await, Err(LeaseError::Lost)), "nor does it give back another's");
    assert_eq!(one.table().state(), (2, false));
    assert_eq!(second.guard().make(async { 7 }).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_state_table_that_does_not_answer_ends_the_lease_in_time() {
    let one = Machine::new();
    let mut lease = take(&one, "one").await;
    let guard = lease.guard();
    one.table().unreadable = true;
    (0..100).for_each(|_| one.fate(Fate::Lost));
    let ended = tokio::select! {
        ended = lease.keep(|| {}) => ended,
        () = time::sleep(TTL + secs(1)) => panic!("it is not given up"),
    };
    assert!(matches!(ended, LeaseError::Call(_) | LeaseError::RanOut), "{ended}");
    assert!(guard.left().is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_change_has_the_lease_renewed_when_the_last_renewal_is_too_long_ago() {
    let one = Machine::new();
    let mut lease = take(&one, "one").await;
    keep(&mut lease, secs(2)).await.expect("kept");
    make(&mut lease, secs(0)).await.expect("a fifth is not over");
    assert_eq!(one.table().writes, 1);
    keep(&mut lease, secs(2)).await.expect("kept");
    make(&mut lease, secs(0)).await.expect("renewed first");
    assert_eq!(one.table().writes, 2);
    // Twenty at once need one renewal.
    keep(&mut lease, secs(4)).await.expect("kept");
    let guard = lease.guard();
    let many = futures_util::future::join_all((0..20).map(|_| guard.make(async {})));
    tokio::select! {
        lost = lease.keep(|| {}) => panic!("{lost}"),
        made = many => assert!(made.iter().all(Result::is_ok)),
    }
    keep(&mut lease, secs(1)).await.expect("kept");
    assert_eq!(one.table().writes, 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_not_begun_while_the_lease_cannot_be_renewed() {
    let one = Machine::new();
    let mut lease = take(&one, "one").await;
    keep(&mut lease, secs(4)).await.expect("kept");
    one.table().unreadable = true;
    (0..8).for_each(|_| one.fate(Fate::Lost));
    assert_eq!(make(&mut lease, secs(0)).await, Err(Refused::NotBegun));
    assert!(lease.guard().left() > secs(5), "although most of it is left");
    one.table().unreadable = false;
    keep(&mut lease, secs(6)).await.expect("kept");
    make(&mut lease, secs(0)).await.expect("renewed");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_given_up_when_it_takes_too_long() {
    let one = Machine::new();
    let mut lease = take(&one, "one").await;
    make(&mut lease, secs(5)).await.expect("as long as a change may take");
    assert_eq!(make(&mut lease, secs(6)).await, Err(Refused::NotWaitedFor));
}

/// A suspended machine: its monotonic clock has stood still, and its timers with it.
#[tokio::test(start_paused = true)]
async fn a_suspended_holder_begins_nothing_when_it_wakes() {
    let one = Machine::new();
    let lease = take(&one, "one").await;
    let guard = lease.guard();
    assert_eq!(guard.make(async {}).await, Ok(()));
    one.suspend(TTL);
    assert_eq!(guard.make(async {}).await, Err(Refused::NotBegun));
    assert!(guard.left().is_zero(), "whoever asks is told that it does not lead");
}

/// It fell asleep in the middle of a call that is not sent yet, and is woken by what it waited for.
#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_sent_before_a_suspension_is_not_sent_after_it() {
    for (time, sent) in [(secs(1), true), (secs(6), false), (TTL, false)] {
        let one = Machine::new();
        let lease = take(&one, "one").await;
        let reached = Cell::new(false);
        let (connected, connecting) = tokio::sync::oneshot::channel::<()>();
        let guard = lease.guard();
        let call = guard.make(async {
            connecting.await.expect("connected");
            reached.set(true);
        });
        let sleeper = async {
            tokio::task::yield_now().await;
            one.suspend(time);
            // It may have been given up already.
            let _ = connected.send(());
        };
        let (made, ()) = tokio::join!(call, sleeper);
        assert_eq!((made.is_ok(), reached.get()), (sent, sent), "{time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_forward_costs_the_lease_and_the_next_begins_at_once() {
    let one = Machine::new();
    let mut watcher = watcher(&one, "one");
    let mut lease = taken(&mut watcher).await.expect("free");
    one.set_ahead(secs(3_600));
    assert!(lease.guard().left().is_zero());
    assert!(matches!(lease.keep(|| {}).await, LeaseError::RanOut));
    let mut next = taken(&mut watcher).await.expect("free at once");
    make(&mut next, secs(1)).await.expect("made");
    assert_eq!(one.table().token(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_after_the_taking_over_at_any_rates_from_a_half_to_two() {
    for (holder, watcher_rate) in [(100, 100), (50, 100), (100, 200), (50, 200), (200, 50)] {
        let one = Machine::new().at_rate(holder);
        let lease = take(&one, "one").await;
        let guard = lease.guard();
        let mut other = watcher(&one.another().at_rate(watcher_rate), "other");
        // It cannot renew, and tries to change something every tenth of a second.
        let begun = Cell::new(0);
        let changes = async {
            loop {
                if guard.make(async {}).await.is_ok() {
                    begun.set(begun.get() + 1);
                }
                time::sleep(Duration::from_millis(100)).await;
            }
        };
        let overtaken = tokio::select! {
            _ = wait_for_it(&mut other) => begun.get(),
            () = changes => 0,
        };
        assert!(overtaken > 10, "{holder}/{watcher_rate}: {overtaken} changes before");
        let after = guard.make(async {}).await;
        assert_eq!(after, Err(Refused::NotBegun), "{holder}/{watcher_rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_answer_was_lost_is_a_release() {
    for fates in [&[Fate::AnswerLost][..], &[Fate::Lost], &[Fate::Lost, Fate::AnswerLost], &[Fate::Late]] {
        let one = Machine::new();
        let lease = take(&one, "one").await;
        fates.iter().for_each(|fate| one.fate(*fate));
        lease.release().await.expect("given back");
        assert!(one.table().released(), "{fates:?}");
        one.table().deliver();
        assert!(one.table().released(), "{fates:?}");
        assert_eq!(take(&one.another(), "other").await.guard().token(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_repeated_or_late_gives_back_nobody_elses() {
    let one = Machine::new();
    let lease = take(&one, "one").await;
    let again = Lease {
        guard: lease.guard(),
        record: lease.record.clone(),
        body: lease.body.clone(),
        predecessor: lease.predecessor,
    };
    lease.release().await.expect("given back");
    again.release().await.expect("it is given back already");
    let second = take(&one.another(), "other").await;
    // One more, after another has it; and one that was on its way for long.
    let late = Lease {
        guard: second.guard(),
        record: second.record.clone(),
        body: second.body.clone(),
        predecessor: second.predecessor,
    };
    (0..3).for_each(|_| one.fate(Fate::Late));
    assert!(late.release().await.is_err());
    drop(second);
    let (third, _) = wait_for_it(&mut watcher(&one.another(), "third")).await;
    one.table().deliver();
    assert_eq!(one.table().state(), (3, false));
    assert_eq!(third.guard().make(async {}).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_fails_leaves_a_lease_that_runs_out() {
    let one = Machine::new();
    let lease = take(&one, "one").await;
    let guard = lease.guard();
    one.table().unreadable = true;
    (0..9).for_each(|_| one.fate(Fate::Lost));
    assert!(matches!(lease.release().await, Err(LeaseError::Call(_))));
    assert_eq!(guard.make(async {}).await, Err(Refused::NotBegun), "it is over for its holder");
    one.table().unreadable = false;
    one.table().fates.clear();
    let (_, took) = wait_for_it(&mut watcher(&one.another(), "other")).await;
    assert!(took >= TTL && took <= TTL + secs(1), "{took:?}");
}

/// The record is unreadable, as by another version: it is nobody's once nothing is known of it.
#[tokio::test(start_paused = true)]
async fn the_token_grows_over_an_unreadable_record_too() {
    let one = Machine::new();
    let record = crate::ports::Record { id: super::RECORD.to_owned(), body: "?".to_owned(), token: 41 };
    one.table().record = Some(record);
    let lease = take(&one, "one").await;
    assert_eq!((lease.guard().token(), lease.predecessor), (42, Predecessor::Somebody));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_somebody_has_deleted_is_replaced_by_one_that_nothing_fences() {
    let machine = Machine::new();
    let other = |token| Record { id: "brake".to_owned(), body: String::new(), token };
    machine.table().others = vec![other(100), other(7)];
    // Its leader may still work.
    let (lease, waited) = wait_for_it(&mut watcher(&machine, "one")).await;
    assert_eq!((lease.guard().token(), lease.predecessor), (101, Predecessor::Somebody));
    assert!((TTL..TTL + secs(1)).contains(&waited), "{waited:?}");

    // A command that an operator has left says nothing of a leader.
    let machine = Machine::new();
    machine.table().others = vec![other(0)];
    let lease = take(&machine, "one").await;
    assert_eq!((lease.guard().token(), lease.predecessor), (1, Predecessor::Nobody));
}

#[tokio::test(start_paused = true)]
async fn a_long_time_to_live_is_no_reason_to_look_stuck() {
    let machine = Machine::new();
    let mut watcher = Watcher::new(machine.clone(), "one".to_owned(), secs(600));
    let mut lease = taken(&mut watcher).await.expect("it is free");
    let (last, longest) = (Cell::new(watcher_clock(&watcher)), Cell::new(Duration::ZERO));
    let turns = || {
        let now = watcher_clock(&watcher);
        longest.set(longest.get().max(now - last.replace(now)));
    };
    tokio::select! {
        lost = lease.keep(turns) => panic!("{lost}"),
        () = time::sleep(secs(3_600)) => {}
    }
    assert!(longest.get() <= secs(11), "{longest:?}");
    machine.table().unreadable = true;
    machine.table().fates.extend((0..100).map(|_| Fate::Lost));
    longest.set(Duration::ZERO);
    tokio::select! {
        lost = lease.keep(turns) => assert!(matches!(lost, LeaseError::Call(_) | LeaseError::RanOut)),
        () = time::sleep(secs(3_600)) => panic!("nothing was written for an hour"),
    }
    assert!(longest.get() <= secs(11), "{longest:?}");
}

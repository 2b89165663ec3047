//! A new key that is in hand, as tables: what AWS has said to it on the left, what is done on the right.

use super::super::memory::{Hand, Mint};
use super::super::plan::Next;
use super::super::step::Step;
use super::tables::Done::{self, Proves, ProvesIn, Waits};
use super::tables::{DELETE, PUBLISH, age, interrupted, next};
use super::world::{World, key_id, proofs, stored_key};

/// AWS has accepted the key over `keys.verify_for`.
pub(super) const PROVEN: &[&str] = &["16s", "8s", "1s"];

/// A user whose key is due, with a new one that was minted so long ago and accepted by AWS so long ago.
pub(super) fn in_hand(minted: &str, accepted: &[&str], unanswered_put: Option<&str>) -> World {
    let mut world = interrupted(minted, &[minted]);
    let now = world.now;
    world.accepted = accepted.iter().map(|ago| now - age(ago)).collect();
    world.memory.mint = Mint::InHand(Hand {
        id: key_id(3),
        secret: stored_key(&key_id(3)).secret,
        opened: now - age(minted),
        minted: now - age(minted),
        proofs: proofs(&world.accepted),
        rejected: None,
        unanswered_put: unanswered_put.map(|ago| now - age(ago)),
    });
    world
}

/// The same, and no key is published that works.
fn waited_for(minted: &str, accepted: &[&str]) -> World {
    let mut world = in_hand(minted, accepted, None);
    world.keys[0].active = false;
    world
}

#[test]
#[rustfmt::skip] // The columns are the point.
fn it_is_proven_and_published_or_deleted() {
    let check = |minted, accepted, put, expected| {
        assert_eq!(next(in_hand(minted, accepted, put)), expected, "{minted} {accepted:?} {put:?}");
    };
    //    minted  accepted  PutParameter without an answer  expected
    check("1s",   &[][..],  None,                           Proves);
    check("1s",   PROVEN,   None,                           PUBLISH);
    check("59s",  &[],      None,                           Proves);
    check("60s",  &[],      None,                           DELETE);
    check("5m",   PROVEN,   Some("1s"),                     PUBLISH);
    check("6m",   PROVEN,   None,                           DELETE);
    check("6m",   PROVEN,   Some("1s"),                     Waits(9));

    let mut written = in_hand("1s", PROVEN, None);
    written.memory.unanswered_write = Some(written.now - age("1s"));
    assert_eq!(next(written), Waits(9), "a late write would take the only copy of the secret away");

    let mut off = in_hand("60s", &[], None);
    off.clock_trusted = false;
    assert_eq!(next(off), Waits(10), "nothing is deleted while the clock is off");
}

#[test]
#[rustfmt::skip] // The columns are the point.
fn one_acceptance_is_not_enough_and_a_rotation_takes_its_time() {
    let check = |world: World, expected: Done| {
        let told = format!("{:?}", world.accepted);
        assert_eq!(next(world), expected, "{told}");
    };
    // Nobody waits for it: over keys.verify_for, 15 s.
    check(in_hand("1s", &["1s"], None),                             Proves);
    check(in_hand("1s", &["1s", "1s"], None),                       Proves);
    check(in_hand("1s", &["1s", "1s", "1s"], None),                 ProvesIn(2));
    check(in_hand("20s", &["14s", "14s", "14s", "3s"], None),       Proves);
    check(in_hand("20s", &["14s", "14s", "14s", "1s"], None),       ProvesIn(1));
    check(in_hand("20s", &["15s", "0s"], None),                     Proves);
    check(in_hand("20s", &["15s", "9s", "0s"], None),               PUBLISH);
    // Somebody waits: three in a row.
    check(waited_for("1s", &["0s"]),                                Proves);
    check(waited_for("1s", &["0s", "0s"]),                          Proves);
    check(waited_for("1s", &["0s", "0s", "0s"]),                    PUBLISH);
    let mut leaked = in_hand("1s", &["0s", "0s", "0s"], None);
    leaked.quarantine([key_id(1)], true);
    check(leaked,                                                   PUBLISH);
    // After a refusal, all of that begins anew.
    let mut refused = waited_for("1s", &["0s", "0s"]);
    let now = refused.now;
    if let Mint::InHand(hand) = &mut refused.memory.mint {
        hand.proofs.refused("InvalidClientTokenId", now);
    }
    let mut again = refused.clone();
    check(refused,                                                  ProvesIn(0));
    if let Mint::InHand(hand) = &mut again.memory.mint {
        hand.proofs.accepted(now, age("15s"));
    }
    check(again,                                                    Proves);
    // Without proofs, or without a time for them.
    let mut unproven = in_hand("1s", &[], None);
    unproven.policy.verify = false;
    check(unproven,                                                 PUBLISH);
    let mut quick = in_hand("1s", &["0s", "0s", "0s"], None);
    quick.policy.verify_for = age("0s");
    check(quick,                                                    PUBLISH);
}

#[test]
#[rustfmt::skip] // The columns are the point.
fn a_controller_that_stops_publishes_what_was_accepted_three_times_and_deletes_the_rest() {
    let check = |accepted, stops_in, expected| {
        let mut world = in_hand("5s", accepted, None);
        world.stop_by = Some(world.now + age(stops_in));
        assert_eq!(next(world), expected, "{accepted:?} {stops_in}");
    };
    //    accepted                  to be over in  expected
    check(&["1s", "1s", "1s"][..],  "10s",         PUBLISH);
    check(&["1s", "1s", "1s"],      "0s",          PUBLISH);
    check(&["1s", "1s"],            "10s",         Proves);
    check(&["1s", "1s"],            "0s",          DELETE);
}

#[test]
fn the_reason_tells_how_far_the_proof_has_come() {
    let why = |world: &mut World| world.look().1.why;
    let mut world = in_hand("60s", &["50s", "50s"], None);
    assert!(why(&mut world).contains("accepted 2 times in a row"), "{}", why(&mut world));
    let now = world.now;
    if let Mint::InHand(hand) = &mut world.memory.mint {
        hand.proofs.refused("SignatureDoesNotMatch", now);
    }
    let why = why(&mut world);
    assert!(why.contains("keys.verify_timeout") && why.contains("SignatureDoesNotMatch"), "{why}");
}

#[test]
fn the_key_before_stays_in_the_document() {
    let (_, plan) = in_hand("1s", PROVEN, None).look();
    let Next::Do(Step::Publish { document, .. }) = plan.next else { panic!("{plan:?}") };
    assert_eq!(document.current_id(), Some(&key_id(3)));
    assert_eq!(document.pending, Some(stored_key(&key_id(1))));
}

//! What AWS's quarantine of a user leads to.

use super::super::policy::CompromisedKeys;
use super::super::policy::CompromisedKeys::{Replace, Report};
use super::tables::Done::{Blocked, Nothing};
use super::tables::{MINT, next, rotating};
use super::world::{DAY, World, key_id, user_id};

#[test]
fn quarantine() {
    let quarantined = |appeared, compromised: CompromisedKeys, keys: &[u64]| {
        let mut world = World::settled(2 * DAY);
        world.policy.compromised = compromised;
        world.quarantine(keys.iter().map(|n| key_id(*n)), appeared);
        world
    };
    assert_eq!(next(quarantined(true, Replace, &[1])), MINT);
    // What replaced the quarantined key is sound; a person detaches the policy.
    assert_eq!(next(quarantined(true, Replace, &[9])), Blocked);
    assert_eq!(next(quarantined(false, Replace, &[1])), Blocked, "it was there at first sight");
    assert_eq!(next(quarantined(true, Report, &[1])), Blocked);
    let why = |mut world: World| world.look().1.why;
    let detach = "aws iam detach-user-policy --user-name mail --policy-arn arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV2";
    let replace = format!("aws iam delete-access-key --user-name mail --access-key-id {}", key_id(1));
    for (world, replaces) in [
        (quarantined(true, Replace, &[9]), false),
        (quarantined(false, Replace, &[9]), false),
        (quarantined(false, Replace, &[1]), true),
        (quarantined(true, Report, &[1]), true),
    ] {
        let why = why(world);
        assert!(why.contains(detach) && why.contains(&replace) == replaces, "{why}");
    }
    // It is another user's.
    let mut another = quarantined(true, Replace, &[1]);
    if let Some(case) = &mut another.memory.quarantine {
        case.user = user_id(7);
    }
    assert_eq!(next(another), Nothing);
    // Its keys are rotated all the same, and it stays blocked while that waits for a place.
    let mut due = rotating("15d", "15d", None);
    due.quarantine([key_id(1)], false);
    assert_eq!(next(due), MINT);
    let mut waiting = rotating("15d", "15d", Some("29d"));
    waiting.quarantine([key_id(1)], false);
    assert_eq!(next(waiting), Blocked);
}

//! Tags, and a document that names a dead key: AWS may refuse to mend them for ever, and no user goes without
//! its new key for that.

use std::collections::BTreeMap;

use super::super::plan::Next;
use super::super::step::Step;
use super::super::tags;
use super::super::user::AccessKeyId;
use super::exhaustive::brief;
use super::states;
use super::tables::Done::Waits;
use super::tables::{Done, MINT, age, next};
use super::world::{DAY, World, key_id};

/// Housekeeping: what AWS may refuse for ever without harm. A quota on tags, a policy that denies the tags of
/// some keys, a parameter with a labelled version.
const HOUSEKEEPING: [fn(&Step) -> bool; 4] = [
    |step| matches!(step, Step::UntagKeys { .. } | Step::TagKeys { .. } | Step::Publish { minted: None, .. }),
    |step| matches!(step, Step::UntagKeys { .. }),
    |step| matches!(step, Step::TagKeys { .. }),
    |step| matches!(step, Step::Publish { minted: None, .. }),
];

/// What a run has done for the user: it has a new key that works, and these keys are gone.
fn done_for(start: &World, end: &World) -> (bool, Vec<AccessKeyId>) {
    let new = end.current().is_some_and(|key| key.active && end.minted.contains(&key.id));
    let ids = start.keys.iter().map(|key| key.id.clone());
    (new, ids.filter(|id| end.key(id).is_none()).collect())
}

#[test]
fn housekeeping_that_fails_for_ever_keeps_no_new_key_back_and_no_lost_one_alive() {
    let (mut states, mut minting, mut broken) = (0, 0, BTreeMap::<String, (usize, String)>::new());
    states::lives(|start| {
        states += 1;
        // Without optimization a walk over all of them takes minutes.
        if cfg!(debug_assertions) && states % 7 != 0 {
            return;
        }
        let mut calm = start.clone();
        // Whether that is right is another test's.
        let Ok(_) = calm.settle() else { return };
        let (new, gone) = done_for(&start, &calm);
        if !new && gone.is_empty() {
            return;
        }
        minting += usize::from(new);
        // All of it at once from every state, and each alone from a share of them.
        let alone = if states % 4 == 0 { HOUSEKEEPING.len() } else { 1 };
        for refuses in HOUSEKEEPING.into_iter().take(alone) {
            let mut world = start.clone();
            let outcome = world.endure(refuses).and_then(|()| {
                let (published, dead) = done_for(&start, &world);
                let still_there = gone.iter().any(|id| !dead.contains(id));
                match () {
                    () if new && !published => Err("a new key is published".to_owned()),
                    () if still_there => Err("what has to go goes".to_owned()),
                    () => Ok(()),
                }
            });
            if let Err(what) = outcome {
                let example = || (0, format!("trace {:?}\n  from {}", world.trace, brief(&start)));
                broken.entry(what).or_insert_with(example).0 += 1;
            }
        }
    });
    eprintln!("{states} states, in {minting} of them a new key is needed");
    assert!(minting > 1_000);
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A user that has so many places left for tags.
fn crowded(mut world: World, places: usize) -> World {
    let tags = world.user.as_ref().map_or(0, |user| user.tags.len());
    for n in 0..tags::TAGS_PER_USER - tags - places {
        world.set_tag(&format!("team-{n}"), "x");
    }
    world
}

#[test]
fn a_user_without_room_for_another_tag() {
    let published = |places| {
        let mut world = World::settled(15 * DAY);
        world.add_key(2, age("20s"));
        world.publish(Some(2), Some(1), age("10s"));
        crowded(world, places)
    };
    let tagged = |mut world: World| match world.look().1.next {
        Next::Do(Step::TagKeys { tags }) => tags.into_values().collect::<Vec<_>>(),
        next => panic!("{next:?}"),
    };
    assert_eq!(tagged(published(1)), ["pending_deletion", "current", "none"]);
    assert_eq!(tagged(published(0)), ["pending_deletion", "none"], "a tag that is there changes");
    let mut world = published(0);
    let plan = world.settle().unwrap();
    assert!(plan.why.contains(key_id(2).as_str()) && plan.why.contains("50 tags"), "{}", plan.why);
    // The tag of a dead key makes room, and goes first.
    let mut dead = published(1);
    dead.tag(&key_id(9), tags::PENDING_DELETION);
    assert_eq!(next(dead.clone()), Done::Step("untag_keys"));
    dead.settle().unwrap();
    assert_eq!(tags::key_tag(&dead.user.unwrap().tags, &key_id(2)), Some(tags::KeyTag::Current));
}

#[test]
fn no_mint_begins_while_the_current_key_would_pass_for_its_key() {
    let mut world = World::with_user();
    world.add_key(2, age("3s"));
    world.publish(Some(2), None, age("1s"));
    world.quarantine([key_id(2)], true);
    assert_eq!(next(world.clone()), Done::Step("tag_keys"), "with its tag it is of an earlier mint");
    assert_eq!(next(crowded(world.clone(), 0)), Waits(2), "its tag has no place");
    world.tag(&key_id(2), tags::CURRENT);
    assert_eq!(next(world), MINT);
}

//! How the feed ends: drained, killed, or replaced.

use std::time::Duration;

use super::super::FeedError;
use super::super::fake::World;
use super::{Running, seconds};
use crate::ports::{Clock, Fault};

#[tokio::test(start_paused = true)]
async fn what_is_settled_while_draining_is_stored_and_the_rest_comes_again() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    for name in ["1", "2", "3", "4"] {
        world.write("s1", name);
    }
    let taken = [feed.next().await, feed.next().await, feed.next().await, feed.next().await];
    feed.stop.cancel();
    seconds(1).await;
    world.write("s1", "5");
    let polls = world.calls("GetRecords");
    seconds(5).await;
    assert_eq!(world.calls("GetRecords"), polls, "nothing is read any more");
    let [one, two, three, four] = taken;
    two.ticket.settle();
    one.ticket.settle();
    three.ticket.settle();
    feed.drained.cancel();
    let at = world.monotonic();
    feed.run.await.unwrap().unwrap();
    assert!(world.monotonic() - at < Duration::from_secs(1));
    assert_eq!(feed.view.stalled(world.monotonic() + Duration::from_secs(1_000)), None);
    drop(four);
    let mut feed = Running::start(&world).await;
    assert_eq!(feed.settle_all().await, ["4", "5"]);
    feed.stop().await;
}

/// At the end, the takers of changes and gaps go first; checkpoints are written all the same.
#[tokio::test(start_paused = true)]
async fn nobody_need_take_anything_while_it_drains() {
    let world = World::new();
    let mut feed = Running::start_with(&world, 1, 1).await;
    let sequences: Vec<_> = (0..5).map(|n| world.write("s1", &n.to_string())).collect();
    let first = feed.next().await;
    // A dozen gaps, more than there is room for.
    for n in 0..12 {
        world.add_shard(&format!("t{n:02}"), None);
    }
    seconds(65).await;
    for n in 0..12 {
        world.change_shard(&format!("t{n:02}"), |shard| shard.gone = true);
    }
    seconds(10).await;
    feed.stop.cancel();
    drop((feed.changes, feed.gaps));
    seconds(5).await;
    first.ticket.settle();
    feed.drained.cancel();
    assert_eq!(feed.run.await.unwrap(), Ok(()));
    assert_eq!(world.checkpoint("s1").unwrap()["sequence"], sequences[0].0);
}

/// A feed that is dropped in the middle, as with a lost lease, is not what stalls the program.
#[tokio::test(start_paused = true)]
async fn a_dropped_feed_is_not_stalled() {
    let world = World::new();
    let feed = Running::start(&world).await;
    world.write("s1", "x");
    seconds(30).await;
    assert!(feed.lag() > 20.0 && feed.metric("lag_seconds") > 20.0);
    feed.run.abort();
    seconds(100).await;
    assert_eq!((feed.stalled(), feed.metric("lag_seconds")), (None, 0.0));
    assert!(!feed.view.snapshot().positioned);
}

/// Stopped at every tenth of a second of a life with a burst, a shard's end, and discovery.
#[tokio::test(start_paused = true)]
async fn a_stop_at_any_moment_loses_nothing() {
    for tenth in 0..40 {
        let world = World::new();
        world.lock().page_size = Some(3);
        for n in 0..8 {
            world.write("s1", &format!("parent-{n}"));
        }
        world.split("s1", &["s2", "s3"]);
        for n in 0..5 {
            world.write("s2", &format!("left-{n}"));
            world.write("s3", &format!("right-{n}"));
        }
        let mut feed = Running::start_with(&world, 1, 2).await;
        let mut handled = Vec::new();
        let until = tokio::time::sleep(Duration::from_millis(100 * tenth));
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => break,
                change = feed.next() => {
                    handled.push(change.name);
                    // One in four is in hand, not settled, when the end comes.
                    if handled.len() % 4 != 0 {
                        change.ticket.settle();
                    } else {
                        handled.pop();
                    }
                }
            }
        }
        let at = world.monotonic();
        feed.stop().await;
        assert!(world.monotonic() - at < Duration::from_secs(2));
        let mut feed = Running::start(&world).await;
        handled.extend(feed.settle_all().await);
        assert_eq!(feed.gaps(), []);
        feed.stop().await;
        handled.sort();
        handled.dedup();
        assert_eq!(handled.len(), 18, "stopped after {tenth} tenths");
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_is_no_longer_the_leader_ends() {
    let world = World::new();
    let mut old = Running::start_with(&world, 1, 10).await;
    seconds(3).await;
    let mut new = Running::start_with(&world, 2, 10).await;
    seconds(3).await;
    world.write("s1", "x");
    new.next().await.ticket.settle();
    seconds(2).await;
    old.next().await.ticket.settle();
    assert_eq!(old.run.await.unwrap(), Err(FeedError::Fenced));
    new.run.abort();
}

#[tokio::test(start_paused = true)]
async fn a_state_table_that_fails_delays_checkpoints_and_not_changes() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    seconds(3).await;
    world.lock().failing.insert("PutItem", (1, Fault::Indeterminate));
    let sequence = world.write("s1", "x");
    assert_eq!(feed.settle_all().await, ["x"]);
    assert_ne!(world.checkpoint("s1").unwrap()["sequence"], sequence.0);
    world.lock().failing.clear();
    seconds(12).await;
    assert_eq!(world.checkpoint("s1").unwrap()["sequence"], sequence.0);
    feed.stop().await;
}

//! What a reader must get right, while nothing is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::fake::World;
use super::super::view::ShardState;
use super::{Running, seconds};
use crate::ports::{ChangeKind, Clock, Fault};

#[tokio::test(start_paused = true)]
async fn positions_are_stored_before_open_returns_and_nothing_falls_between() {
    let world = World::new();
    world.split("s1", &["s2", "s3"]);
    world.write("s1", "before");
    let mut feed = Running::start(&world).await;
    for shard in ["s1", "s2", "s3"] {
        let checkpoint = world.checkpoint(shard).unwrap();
        assert_eq!(checkpoint["sequence"], serde_json::Value::Null);
        assert_eq!(checkpoint["finished"], false);
    }
    assert!(feed.view.snapshot().positioned);
    world.write("s2", "after");
    assert_eq!(feed.settle_all().await, ["before", "after"]);
    assert_eq!(feed.gaps(), []);
    feed.stop().await;
}

/// If the process dies between two of the first writes, no shard may be taken for an unknown one.
#[tokio::test(start_paused = true)]
async fn the_first_listing_counts_only_when_all_its_positions_are_stored() {
    let world = World::new();
    for n in 0..30 {
        world.add_shard(&format!("t{n}"), None);
    }
    world.lock().failing.insert("PutItem", (2, Fault::Indeterminate));
    let watched = world.clone();
    let watch = tokio::spawn(async move {
        let stream = |id: &String| id.ends_with("T00:00:00.000");
        loop {
            {
                let inner = watched.lock();
                let listed = inner
                    .state
                    .iter()
                    .find(|(id, _)| stream(id))
                    .is_some_and(|(_, record)| record.body.contains(r#""listed":true"#));
                if listed {
                    break inner.state.len();
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let feed = Running::start(&world).await;
    assert_eq!(watch.await.unwrap(), 1 + 31);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_written_at_most_once_a_second() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    seconds(3).await;
    let before = world.calls("PutItem");
    for n in 0..400 {
        world.write("s1", &n.to_string());
    }
    for _ in 0..400 {
        feed.next().await.ticket.settle();
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let writes = world.calls("PutItem") - before;
    assert!((8..=11).contains(&writes), "{writes}");
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_hour_costs_few_calls_and_shows_no_lag() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    world.write("s1", "one");
    feed.settle_all().await;
    let before = (world.calls("GetRecords"), world.calls("DescribeStream"), world.calls("DescribeTable"));
    for _ in 0..360 {
        seconds(10).await;
        assert_eq!(feed.lag(), 0.0);
        assert_eq!(feed.stalled(), None);
    }
    let polls = world.calls("GetRecords") - before.0;
    assert!((3_500..=3_700).contains(&polls), "{polls}");
    assert!(world.calls("DescribeStream") - before.1 <= 70);
    assert!(world.calls("DescribeTable") - before.2 <= 70);
    // Ten minutes apart, so that a later gap knows when it began.
    assert!(world.calls("PutItem") < 12);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_hour_from_the_start_costs_no_more() {
    let world = World::new();
    let feed = Running::start(&world).await;
    seconds(3_600).await;
    let (polls, describes) = (world.calls("GetRecords"), world.calls("DescribeStream"));
    assert!(polls <= 3_700 && describes <= 70, "{polls} {describes}");
    feed.stop().await;
}

/// From the split to the child's first record, both while records flow and when idle.
#[tokio::test(start_paused = true)]
async fn a_child_is_read_within_a_second_of_the_split() {
    for (idle, filter) in [(0, true), (0, false), (600, true)] {
        let world = World::new();
        world.lock().no_child_filter = !filter;
        let mut feed = Running::start(&world).await;
        world.write("s1", "parent");
        feed.next().await.ticket.settle();
        seconds(idle).await;
        for (parent, child) in [("s1", "s2"), ("s2", "s3"), ("s3", "s4")] {
            let at = world.monotonic();
            world.split(parent, &[child]);
            world.write(child, child);
            let change = feed.next().await;
            let took = world.monotonic() - at;
            assert_eq!(change.name, child);
            // The fake needs 10 ms a call: children, PutItem, GetShardIterator, GetRecords.
            let calls = Duration::from_millis(100);
            assert!(
                took <= Duration::from_secs(1) + if idle > 0 { calls } else { Duration::ZERO },
                "{took:?}"
            );
            change.ticket.settle();
        }
        feed.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn children_that_are_visible_late_are_asked_for_for_ever() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    world.split("s1", &["s2"]);
    world.change_shard("s2", |shard| shard.hidden = true);
    world.write("s2", "late");
    seconds(7_200).await;
    // The shard is finished and not caught up with nothing: there is no lag to be known of.
    assert!(feed.changes.try_recv().is_err());
    world.change_shard("s2", |shard| shard.hidden = false);
    let at = world.monotonic();
    feed.next().await.ticket.settle();
    assert!(world.monotonic() - at <= Duration::from_secs(12));
    assert_eq!(feed.gaps(), []);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_second_child_of_a_split_may_come_into_sight_later() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    seconds(30).await;
    world.split("s1", &["s2", "s3"]);
    world.change_shard("s3", |shard| shard.hidden = true);
    world.write("s2", "early");
    world.write("s3", "late");
    let at = world.monotonic();
    let early = feed.next().await;
    assert_eq!(early.name, "early");
    early.ticket.settle();
    world.change_shard("s3", |shard| shard.hidden = false);
    feed.next().await.ticket.settle();
    assert!(world.monotonic() - at <= Duration::from_secs(6));
    assert_eq!(feed.gaps(), []);
    feed.stop().await;
}

/// A parent that looks open, but has a child, is read to its end first; a second child may come later.
#[tokio::test(start_paused = true)]
async fn parents_come_before_children() {
    let world = World::new();
    world.lock().page_size = Some(2);
    for n in 0..7 {
        world.write("s1", &format!("parent-{n}"));
    }
    world.add_shard("s2", Some("s1"));
    world.add_shard("s0", Some("s1"));
    world.change_shard("s0", |shard| shard.hidden = true);
    world.write("s2", "child");
    world.write("s0", "second child");
    let mut feed = Running::start(&world).await;
    seconds(30).await;
    world.change_shard("s1", |shard| shard.closed = true);
    let mut names = feed.settle_all().await;
    assert_eq!(names.pop().as_deref(), Some("child"));
    assert_eq!(names, (0..7).map(|n| format!("parent-{n}")).collect::<Vec<_>>());
    world.change_shard("s0", |shard| shard.hidden = false);
    seconds(61).await;
    assert_eq!(feed.settle_all().await, ["second child"]);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_null_iterator_comes_with_records_and_empty_pages_are_no_end() {
    for ends_with_records in [true, false] {
        let world = World::new();
        world.lock().page_size = Some(2);
        world.change_shard("s1", |shard| {
            shard.closed = true;
            shard.empty_pages = 20;
            shard.ends_with_records = ends_with_records;
        });
        let written: Vec<String> = (0..5).map(|n| n.to_string()).collect();
        for name in &written {
            world.write("s1", name);
        }
        let mut feed = Running::start(&world).await;
        seconds(3).await;
        // Nothing was handed over yet but empty pages; the shard is closed, so that is not "caught up".
        assert!(feed.changes.try_recv().is_err());
        assert!(feed.lag() >= 2.0, "{}", feed.lag());
        assert_eq!(feed.settle_all().await, written);
        assert_eq!(feed.lag(), 0.0);
        assert_eq!(world.checkpoint("s1").unwrap()["finished"], true);
        feed.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn expired_iterators_are_replaced_and_lose_nothing() {
    let world = World::new();
    world.lock().iterator_life = Some(Duration::from_millis(200));
    let mut feed = Running::start(&world).await;
    for n in 0..30 {
        world.write("s1", &n.to_string());
        seconds(2).await;
    }
    assert_eq!(feed.settle_all().await, (0..30).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(world.calls("GetShardIterator") > 20);
    assert_eq!(feed.gaps(), []);
    assert_eq!(feed.lag(), 0.0);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn records_settled_out_of_order_come_again_until_all_before_them_are_settled() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    let sequences: Vec<_> = ["1", "2", "3"].iter().map(|name| world.write("s1", name)).collect();
    let (one, two, three) = (feed.next().await, feed.next().await, feed.next().await);
    one.ticket.settle();
    three.ticket.settle();
    seconds(3).await;
    assert_eq!(world.checkpoint("s1").unwrap()["sequence"], sequences[0].0);
    feed.kill().await;
    drop(two);
    let mut feed = Running::start(&world).await;
    assert_eq!(feed.settle_all().await, ["2", "3"]);
    assert_eq!(world.checkpoint("s1").unwrap()["sequence"], sequences[2].0);
    feed.stop().await;
    let mut feed = Running::start(&world).await;
    assert_eq!(feed.settle_all().await, Vec::<String>::new());
    assert_eq!(feed.gaps(), []);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_parents_unsettled_records_survive_a_child_that_is_ahead() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    world.write("s1", "parent");
    world.split("s1", &["s2"]);
    world.write("s2", "child-1");
    let parent = feed.next().await;
    feed.next().await.ticket.settle();
    seconds(3).await;
    assert_eq!(world.checkpoint("s1").unwrap()["finished"], false);
    assert!(world.checkpoint("s2").unwrap()["sequence"].is_string());
    feed.kill().await;
    drop(parent);
    world.write("s2", "child-2");
    let mut feed = Running::start(&world).await;
    assert_eq!(feed.settle_all().await, ["parent", "child-2"]);
    assert_eq!(world.checkpoint("s1").unwrap()["finished"], true);
    feed.stop().await;
}

/// 700 shards in seven generations, with a third of all calls failing.
#[tokio::test(start_paused = true)]
async fn seven_hundred_shards_with_failing_calls_are_read_in_bounded_time() {
    let world = World::without_stream();
    world.enable("2026-01-01T00:00:00.000");
    let id = |generation: usize, n: usize| format!("shard-{:03}-{generation}", n);
    for generation in 0..7_usize {
        for n in 0..100 {
            let parent = generation.checked_sub(1).map(|parent| id(parent, n));
            world.add_shard(&id(generation, n), parent.as_deref());
            world.write(&id(generation, n), &format!("{n:03}-{generation}"));
            world.change_shard(&id(generation, n), |shard| shard.closed = generation < 6);
        }
    }
    world.lock().a_third_fails = true;
    let mut feed = Running::start_with(&world, 1, 10).await;
    let began = world.monotonic();
    let (mut seen, mut last): (BTreeMap<String, usize>, Duration) = (BTreeMap::new(), began);
    while seen.values().sum::<usize>() < 700 {
        let change = feed.next().await;
        // Progress in every round: never long without another shard.
        assert!(world.monotonic() - last < Duration::from_secs(20));
        last = world.monotonic();
        let (lineage, generation) = change.name.split_once('-').unwrap();
        let of_lineage = seen.entry(lineage.to_owned()).or_default();
        assert_eq!(generation.parse::<usize>().unwrap(), *of_lineage, "parents before children");
        *of_lineage += 1;
        change.ticket.settle();
    }
    let took = world.monotonic() - began;
    assert!(took < Duration::from_secs(120), "{took:?}");
    seconds(30).await;
    world.lock().a_third_fails = false;
    seconds(30).await;
    for n in 0..100 {
        assert_eq!(world.checkpoint(&id(0, n)).unwrap()["finished"], true);
    }
    assert_eq!(feed.gaps(), []);
    assert_eq!(feed.lag(), 0.0);
    assert_eq!(feed.stalled(), None);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_bounded_while_it_is_not_taken_and_the_lag_tells_its_age() {
    let world = World::new();
    for n in 0..40_000 {
        world.write("s1", &format!("user-{}", n % 500));
    }
    let mut feed = Running::start(&world).await;
    seconds(3_600).await;
    let snapshot = feed.view.snapshot();
    assert!((10_000..=11_000).contains(&snapshot.unsettled), "{}", snapshot.unsettled);
    assert_eq!(snapshot.shards[0].state, ShardState::Full);
    assert!(snapshot.lag_seconds >= 3_595.0);
    // Not being polled for want of room is no reason to restart anything.
    assert_eq!(feed.stalled(), None);
    assert_eq!(feed.settle_all().await.len(), 40_000);
    assert_eq!(feed.lag(), 0.0);
    // At most one write a second.
    assert!(world.calls("PutItem") < 200, "{}", world.calls("PutItem"));
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_long_idle_interval_is_neither_lag_nor_stuck() {
    let world = World::new();
    let feed = Running::open_with(&world, Duration::from_secs(60), 1, 10, None).await;
    for _ in 0..600 {
        seconds(7).await;
        assert_eq!((feed.lag(), feed.stalled()), (0.0, None));
    }
    // What fails is told all the same.
    for trouble in [Fault::Indeterminate, Fault::Denied] {
        world.lock().failing.insert("GetRecords", (1, trouble));
        seconds(180).await;
        assert!(feed.lag() > 100.0 && feed.stalled().is_some(), "{}", feed.lag());
        world.lock().failing.clear();
        seconds(30).await;
        assert_eq!((feed.lag(), feed.stalled()), (0.0, None));
    }
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_throttled_reader_lags_and_is_not_stuck_until_something_else_fails() {
    let throttled = Fault::Throttled { retry_after: None };
    let world = World::new();
    let feed = Running::start(&world).await;
    seconds(30).await;
    // For so long that the iterator expires, of which the fake knows as much as AWS.
    world.lock().failing.insert("GetRecords", (1, throttled));
    seconds(3_000).await;
    assert!((2_990.0..=3_001.0).contains(&feed.lag()), "{}", feed.lag());
    assert_eq!(feed.stalled(), None);
    world.lock().failing.insert("GetRecords", (1, Fault::Denied));
    seconds(15).await;
    world.lock().failing.insert("GetRecords", (1, throttled));
    seconds(70).await;
    assert!(feed.stalled().unwrap().contains("s1"));
    world.lock().failing.clear();
    seconds(15).await;
    assert_eq!((feed.lag(), feed.stalled()), (0.0, None));
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_reader_shows_lag_and_stalls_and_recovers() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    seconds(30).await;
    assert_eq!(feed.lag(), 0.0);
    world.lock().failing.insert("GetRecords", (1, Fault::Indeterminate));
    seconds(50).await;
    assert!((45.0..=51.0).contains(&feed.lag()), "{}", feed.lag());
    assert_eq!(feed.stalled(), None);
    seconds(15).await;
    assert!(feed.stalled().unwrap().contains("s1"));
    world.lock().failing.clear();
    seconds(15).await;
    assert_eq!((feed.lag(), feed.stalled()), (0.0, None));
    world.record("s1", "x", ChangeKind::Removed);
    let change = feed.next().await;
    assert_eq!(change.kind, ChangeKind::Removed);
    seconds(40).await;
    assert!((39.0..=42.0).contains(&feed.lag()), "{}", feed.lag());
    change.ticket.settle();
    seconds(2).await;
    assert_eq!(feed.lag(), 0.0);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn checkpoints_of_finished_shards_are_kept_for_two_days_and_then_pruned() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    world.split("s1", &["s2"]);
    world.write("s2", "child");
    feed.settle_all().await;
    world.change_shard("s1", |shard| shard.gone = true);
    feed.stop().await;
    seconds(47 * 3_600).await;
    let mut feed = Running::start(&world).await;
    seconds(3_000).await;
    assert!(world.checkpoint("s1").is_some());
    seconds(3_600).await;
    assert!(world.checkpoint("s1").is_none());
    assert!(world.checkpoint("s2").is_some());
    assert_eq!(feed.gaps(), []);
    feed.stop().await;
    // Its child has begun, so that nobody asks for the parent any more.
    let mut feed = Running::start(&world).await;
    world.write("s2", "more");
    assert_eq!(feed.settle_all().await, ["more"]);
    assert_eq!(feed.gaps(), []);
    feed.stop().await;
}

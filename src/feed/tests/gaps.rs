//! Every way to lose changes: counted once, with its cause, and reading goes on.

use std::time::Duration;

use super::super::GapCause;
use super::super::fake::{TABLE, World, stream_arn};
use super::{Running, seconds};
use crate::ports::{Clock, Fault, Record, StreamStatus};

const DAY: u64 = 24 * 3_600;

/// Runs a feed on `s1` with one change settled, and stops it.
async fn handled_once(world: &World) {
    let mut feed = Running::start(world).await;
    world.write("s1", "first");
    assert_eq!(feed.settle_all().await, ["first"]);
    assert_eq!(feed.gaps(), []);
    feed.stop().await;
}

/// Starts again: these gaps are found, and then these changes come.
async fn expect(world: &World, gaps: &[GapCause], names: &[&str]) -> Running {
    let mut feed = Running::start(world).await;
    assert_eq!(feed.settle_all().await, names);
    assert_eq!(feed.gaps(), gaps);
    assert_eq!(feed.metric("gaps_total"), gaps.len() as f64);
    assert_eq!(feed.lag(), 0.0);
    assert!(feed.view.snapshot().positioned);
    feed
}

/// What was found once is not found again.
async fn expect_no_more(world: &World) {
    expect(world, &[], &[]).await.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_trimmed_checkpoint() {
    let world = World::new();
    handled_once(&world).await;
    world.write("s1", "lost");
    world.write("s1", "kept");
    world.change_shard("s1", |shard| shard.trimmed = 2);
    let feed = expect(&world, &[GapCause::Trimmed], &["kept"]).await;
    feed.stop().await;
    expect_no_more(&world).await;
}

/// AWS tells nothing when a shard was never read and its oldest records went.
#[tokio::test(start_paused = true)]
async fn a_shard_that_was_never_read_and_lost_its_oldest_records() {
    let world = World::new();
    let feed = Running::start(&world).await;
    seconds(3).await;
    feed.stop().await;
    world.write("s1", "lost");
    seconds(DAY + 1_000).await;
    world.write("s1", "kept");
    world.change_shard("s1", |shard| shard.trimmed = 1);
    expect(&world, &[GapCause::Trimmed], &["kept"]).await.stop().await;
    expect_no_more(&world).await;
}

/// While running: records go before the reader, held up, comes to them.
#[tokio::test(start_paused = true)]
async fn records_trimmed_under_a_running_reader() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    world.write("s1", "first");
    feed.settle_all().await;
    world.lock().failing.insert("GetRecords", (1, Fault::Indeterminate));
    seconds(5).await;
    world.write("s1", "lost");
    world.write("s1", "kept");
    world.change_shard("s1", |shard| shard.trimmed = 2);
    world.lock().failing.clear();
    assert_eq!(feed.settle_all().await, ["kept"]);
    assert_eq!(feed.gaps(), [GapCause::Trimmed]);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_shard_that_is_gone() {
    let world = World::new();
    world.add_shard("t1", None);
    handled_once(&world).await;
    world.change_shard("s1", |shard| shard.gone = true);
    world.write("t1", "kept");
    expect(&world, &[GapCause::ShardGone], &["kept"]).await.stop().await;
    expect_no_more(&world).await;
}

/// What was given up and is there after all is read again, not only until the next restart.
#[tokio::test(start_paused = true)]
async fn a_shard_that_comes_back() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    world.write("s1", "first");
    feed.settle_all().await;
    world.change_shard("s1", |shard| shard.gone = true);
    seconds(5).await;
    world.change_shard("s1", |shard| shard.gone = false);
    world.write("s1", "second");
    seconds(130).await;
    assert_eq!(feed.settle_all().await, ["second"]);
    assert_eq!(feed.gaps(), [GapCause::ShardGone]);
    feed.stop().await;
    expect_no_more(&world).await;
}

/// The child of a shard that is gone does not wait for it.
#[tokio::test(start_paused = true)]
async fn an_unfinished_parent_that_is_gone() {
    let world = World::new();
    handled_once(&world).await;
    world.split("s1", &["s2"]);
    world.change_shard("s1", |shard| shard.gone = true);
    world.write("s2", "kept");
    expect(&world, &[GapCause::ShardGone], &["kept"]).await.stop().await;
    expect_no_more(&world).await;
}

/// A whole generation came and went while nobody looked.
#[tokio::test(start_paused = true)]
async fn a_parent_that_was_never_read() {
    let world = World::new();
    handled_once(&world).await;
    world.split("s1", &["s2"]);
    let mut feed = Running::start(&world).await;
    feed.settle_all().await;
    feed.stop().await;
    world.split("s2", &["s3"]);
    world.split("s3", &["s4"]);
    world.change_shard("s3", |shard| shard.gone = true);
    world.write("s4", "kept");
    expect(&world, &[GapCause::ParentUnfinished], &["kept"]).await.stop().await;
    expect_no_more(&world).await;
}

/// On the very first start, a parent that is no longer there is nobody's loss.
#[tokio::test(start_paused = true)]
async fn a_first_start_has_no_gaps() {
    let world = World::new();
    world.split("s1", &["s2"]);
    world.split("s2", &["s3"]);
    world.change_shard("s1", |shard| shard.gone = true);
    world.change_shard("s2", |shard| shard.gone = true);
    world.write("s3", "kept");
    expect(&world, &[], &["kept"]).await.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_while_running() {
    let world = World::new();
    world.lock().page_size = Some(1);
    let mut feed = Running::start_with(&world, 1, 1).await;
    world.write("s1", "old-1");
    feed.settle_all().await;
    // More than a minute's worth, so that the new stream is known before the old one is at its end.
    let mut expected: Vec<String> = (0..400).map(|n| format!("old-{n}")).collect();
    for name in &expected {
        world.write("s1", name);
    }
    world.enable("2026-01-02T00:00:00.000");
    world.add_shard("n1", None);
    world.write("n1", "new");
    expected.push("new".to_owned());
    assert_eq!(feed.settle_all().await, expected);
    assert_eq!(feed.gaps(), [GapCause::NewStream]);
    assert_eq!(feed.view.snapshot().stream, Some(stream_arn("2026-01-02T00:00:00.000")));
    seconds(15).await;
    let old = stream_arn("2026-01-01T00:00:00.000");
    assert!(world.lock().state.keys().all(|id| !id.contains(&old)), "the old stream's records are deleted");
    feed.stop().await;
    expect_no_more(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_while_down() {
    let world = World::new();
    handled_once(&world).await;
    world.write("s1", "old");
    world.enable("2026-01-02T00:00:00.000");
    world.add_shard("n1", None);
    world.write("n1", "new");
    expect(&world, &[GapCause::NewStream], &["old", "new"]).await.stop().await;
    expect_no_more(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_when_the_old_one_is_gone() {
    let world = World::new();
    for n in 0..50 {
        world.add_shard(&format!("t{n}"), None);
    }
    handled_once(&world).await;
    world.enable("2026-01-02T00:00:00.000");
    world.add_shard("n1", None);
    world.write("n1", "new");
    // One gap for all of its shards.
    world.lock().streams.values_mut().next().unwrap().gone = true;
    expect(&world, &[GapCause::NewStream, GapCause::ShardGone], &["new"]).await.stop().await;
    expect_no_more(&world).await;
}

/// The last shard of the old stream comes into sight when the new one is read already.
#[tokio::test(start_paused = true)]
async fn the_last_shard_of_the_old_stream_comes_late() {
    for down in [false, true] {
        let world = World::new();
        handled_once(&world).await;
        let running = if down { None } else { Some(Running::start(&world).await) };
        world.split("s1", &["s2"]);
        world.change_shard("s2", |shard| shard.hidden = true);
        world.write("s2", "late");
        world.enable("2026-01-02T00:00:00.000");
        world.add_shard("n1", None);
        world.write("n1", "new");
        let mut feed = match running {
            Some(feed) => feed,
            None => Running::start(&world).await,
        };
        let new = feed.next().await;
        assert_eq!(new.name, "new", "nothing is held up");
        new.ticket.settle();
        seconds(4).await;
        world.change_shard("s2", |shard| shard.hidden = false);
        assert_eq!(feed.settle_all().await, ["late"]);
        assert_eq!(feed.gaps(), [GapCause::NewStream]);
        let old = stream_arn("2026-01-01T00:00:00.000");
        assert!(world.lock().state.keys().all(|id| !id.contains(&old)), "the old stream is done with");
        feed.stop().await;
        expect_no_more(&world).await;
    }
}

/// An endpoint that never ends the shards of a closed stream holds up nothing.
#[tokio::test(start_paused = true)]
async fn an_old_stream_without_an_end() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    world.enable("2026-01-02T00:00:00.000");
    world.change_shard("s1", |shard| shard.closed = false);
    world.add_shard("n1", None);
    world.write("n1", "new");
    seconds(61).await;
    assert_eq!(feed.next().await.name, "new");
    seconds(700).await;
    let old = stream_arn("2026-01-01T00:00:00.000");
    assert!(world.lock().state.keys().all(|id| !id.contains(&old)));
    assert_eq!(feed.gaps(), [GapCause::NewStream]);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_switched_off_and_on_again() {
    let world = World::new();
    let mut feed = Running::start(&world).await;
    world.write("s1", "last");
    world.disable();
    feed.next().await.ticket.settle();
    seconds(6).await;
    assert_eq!(feed.gaps(), [GapCause::StreamDisabled]);
    // No children are waited for, and nothing is stuck, for as long as it takes.
    let before = world.calls("DescribeStream");
    seconds(DAY).await;
    assert!(world.calls("DescribeStream") - before <= DAY / 60 + 10);
    assert_eq!((feed.gaps(), feed.lag(), feed.stalled()), (vec![], 0.0, None));
    assert!(!feed.view.snapshot().enabled);
    world.enable("2026-01-03T00:00:00.000");
    world.add_shard("n1", None);
    world.write("n1", "new");
    seconds(12).await;
    let new = feed.changes.try_recv().unwrap();
    assert_eq!(new.name, "new");
    new.ticket.settle();
    assert_eq!(feed.gaps(), [GapCause::NewStream]);
    assert!(feed.view.snapshot().enabled);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_table_that_was_recreated() {
    let world = World::new();
    handled_once(&world).await;
    world.write("s1", "of the old table");
    world.enable("2026-01-02T00:00:00.000");
    world.lock().table.as_mut().unwrap().id = "table-2".to_owned();
    world.add_shard("n1", None);
    world.write("n1", "new");
    expect(&world, &[GapCause::TableRecreated], &["of the old table", "new"]).await.stop().await;
    expect_no_more(&world).await;
}

/// An endpoint that gives the new table's stream the old name: the positions mean nothing any more.
#[tokio::test(start_paused = true)]
async fn a_table_that_was_recreated_with_the_same_stream_name() {
    let world = World::new();
    handled_once(&world).await;
    world.lock().table.as_mut().unwrap().id = "table-2".to_owned();
    world.change_stream(|stream| stream.shards.clear());
    world.add_shard("s1", None);
    world.change_shard("s1", |shard| shard.records.clear());
    world.write("s1", "new");
    expect(&world, &[GapCause::TableRecreated], &["new"]).await.stop().await;
    expect_no_more(&world).await;
}

#[tokio::test(start_paused = true)]
async fn checkpoints_of_another_table_and_of_the_future() {
    for (arn, cause) in [
        (
            "arn:aws:dynamodb:eu-west-1:111122223333:table/other/stream/2026-01-01".to_owned(),
            GapCause::ForeignCheckpoint,
        ),
        (format!("{TABLE}/stream/2027-01-01T00:00:00.000"), GapCause::FutureCheckpoint),
    ] {
        let world = World::new();
        handled_once(&world).await;
        let moved: Vec<Record> = world
            .records()
            .into_iter()
            .map(|record| Record {
                id: record.id.replace(&stream_arn("2026-01-01T00:00:00.000"), &arn),
                body: record.body.replace(&stream_arn("2026-01-01T00:00:00.000"), &arn),
                token: record.token,
            })
            .collect();
        world.lock().state = moved.into_iter().map(|record| (record.id.clone(), record)).collect();
        expect(&world, &[cause], &["first"]).await.stop().await;
        assert!(world.lock().state.keys().all(|id| !id.contains(&arn)));
        expect_no_more(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sequence_number_of_the_future() {
    for strict in [true, false] {
        let world = World::new();
        handled_once(&world).await;
        let id = format!("checkpoint/{}/s1", stream_arn("2026-01-01T00:00:00.000"));
        {
            let mut inner = world.lock();
            inner.strict_positions = strict;
            let record = inner.state.get_mut(&id).unwrap();
            record.body = record.body.replace("000000000000000000101", "900000000000000000101");
        }
        let mut feed = Running::start(&world).await;
        seconds(2).await;
        world.write("s1", "second");
        // An endpoint that takes any number is found out by the next record.
        assert_eq!(feed.settle_all().await, ["first", "second"]);
        assert_eq!(feed.gaps(), [GapCause::FutureCheckpoint]);
        feed.stop().await;
        expect_no_more(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_cannot_be_read() {
    let world = World::new();
    handled_once(&world).await;
    let id = format!("checkpoint/{}/s1", stream_arn("2026-01-01T00:00:00.000"));
    world.lock().state.get_mut(&id).unwrap().body = "{\"kind\":\"shard\",".to_owned();
    expect(&world, &[GapCause::ForeignCheckpoint], &["first"]).await.stop().await;
    expect_no_more(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_comes_late() {
    let world = World::without_stream();
    let mut feed = Running::start(&world).await;
    assert!(world.monotonic() < Duration::from_secs(1));
    seconds(5).await;
    assert_eq!(feed.gaps(), [GapCause::StreamDisabled]);
    world.enable("2026-01-01T00:00:00.000");
    world.change_stream(|stream| stream.status = StreamStatus::Enabling);
    seconds(20).await;
    assert!(!feed.view.snapshot().positioned);
    world.change_stream(|stream| stream.status = StreamStatus::Enabled);
    world.add_shard("s1", None);
    world.write("s1", "first");
    assert_eq!(feed.settle_all().await, ["first"]);
    assert_eq!(feed.gaps(), [GapCause::OpenedLate]);
    assert!(feed.view.snapshot().positioned);
    feed.stop().await;
    expect_no_more(&world).await;
}

/// Opening does not wait for ever for an endpoint that does not answer.
#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_opened() {
    let world = World::new();
    world.lock().failing.insert("DescribeStream", (1, Fault::Denied));
    let mut feed = Running::start(&world).await;
    assert!(world.monotonic() < Duration::from_secs(40));
    seconds(100).await;
    assert_eq!(feed.gaps(), []);
    world.lock().failing.clear();
    world.write("s1", "first");
    assert_eq!(feed.settle_all().await, ["first"]);
    assert_eq!(feed.gaps(), [GapCause::OpenedLate]);
    feed.stop().await;
}

/// Nothing about gaps may depend on which stream is looked at first.
#[tokio::test(start_paused = true)]
async fn two_old_streams_are_drained_in_order() {
    let world = World::new();
    handled_once(&world).await;
    world.write("s1", "one");
    world.enable("2026-01-02T00:00:00.000");
    world.add_shard("m1", None);
    world.write("m1", "two");
    // Only taken note of, then down again.
    let feed = Running::start_with(&world, 1, 1).await;
    feed.kill().await;
    world.enable("2026-01-03T00:00:00.000");
    world.add_shard("n1", None);
    world.write("n1", "three");
    expect(&world, &[GapCause::NewStream], &["one", "two", "three"]).await.stop().await;
    expect_no_more(&world).await;
}

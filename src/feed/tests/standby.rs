//! A standby looks at the stream, and leads: it reads at once, and what has happened since its look is
//! told as if there had been none.

use std::time::Duration;

use super::super::fake::World;
use super::super::limits::{LOOK_PAGES, OPEN_LIMIT, OUTLOOK_LIFE};
use super::super::{GapCause, Lookout, Outlook};
use super::{Running, seconds};
use crate::ports::{Clock, Fault};

const CALL: Duration = Duration::from_millis(100);

/// Stands by for so many seconds. Tells what was seen.
async fn stand_by(world: &World, seconds: u64) -> Option<Outlook> {
    let mut lookout = Lookout::new(world.clone());
    let for_now = tokio::time::timeout(Duration::from_secs(seconds), lookout.keep()).await;
    assert!(for_now.is_err());
    lookout.into_outlook()
}

/// A leader that has come as far as it could, with `t1` and with `s2` after `s1`; a standby has looked
/// at that, when it is `warm`; then the leader is killed.
async fn left_behind(warm: bool) -> (World, Option<Outlook>) {
    let world = World::new();
    world.add_shard("t1", None);
    let mut feed = Running::start(&world).await;
    world.write("s1", "first");
    world.split("s1", &["s2"]);
    world.write("s2", "second");
    world.write("t1", "third");
    assert_eq!(feed.settle_all().await.len(), 3);
    let outlook = stand_by(&world, 5).await;
    assert!(outlook.is_some());
    feed.kill().await;
    (world, outlook.filter(|_| warm))
}

#[tokio::test(start_paused = true)]
async fn the_first_records_come_before_any_list_of_shards() {
    let world = World::new();
    for n in 1..700 {
        world.add_shard(&format!("t{n:03}"), None);
    }
    Running::start(&world).await.kill().await;
    let outlook = stand_by(&world, 10).await.unwrap();
    assert_eq!(outlook.shards.len(), 700);
    world.write("s1", "missed");
    world.lock().latency = Some(CALL);
    // GetShardIterator and GetRecords; else DescribeTable and seven pages of shards come before them.
    for (outlook, calls) in [(None, 1 + 7 + 2), (Some(outlook), 2)] {
        let warm = outlook.is_some();
        let at = world.monotonic();
        let mut feed = Running::take_over(&world, outlook).await;
        assert!(feed.view.snapshot().positioned);
        // It is not settled, and comes again.
        assert_eq!(feed.next().await.name, "missed");
        let took = world.monotonic() - at;
        if warm {
            assert!(took <= CALL * calls + Duration::from_millis(10), "{took:?}");
        } else {
            assert!(took >= CALL * calls, "this test shows nothing: {took:?}");
        }
        feed.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_reads_while_nothing_can_be_listed() {
    let (world, outlook) = left_behind(true).await;
    for call in ["DescribeTable", "DescribeStream"] {
        world.lock().failing.insert(call, (1, Fault::Denied));
    }
    world.write("s2", "fourth");
    let mut feed = Running::take_over(&world, outlook).await;
    assert_eq!(feed.settle_all().await, ["fourth"]);
    seconds(100).await;
    world.lock().failing.clear();
    world.split("s2", &["s3"]);
    world.write("s3", "fifth");
    assert_eq!(feed.settle_all().await, ["fifth"]);
    assert_eq!(feed.gaps(), []);
    feed.stop().await;
}

/// What happens between the look and the taking-over; the gaps and the changes that follow from it.
struct Meanwhile {
    what: &'static str,
    happens: fn(&World),
    gaps: &'static [GapCause],
    names: &'static [&'static str],
}

const MEANWHILE: [Meanwhile; 11] = [
    Meanwhile { what: "a row is written", happens: |_| {}, gaps: &[], names: &["late"] },
    Meanwhile {
        what: "a shard is split, and its child again",
        happens: |world| {
            world.split("t1", &["u1", "u2"]);
            world.split("u2", &["v1"]);
            world.write("u1", "one");
            world.write("u2", "two");
            world.write("v1", "three");
        },
        gaps: &[],
        names: &["late", "one", "two", "three"],
    },
    Meanwhile {
        what: "a shard that was read to its end goes",
        happens: |world| world.change_shard("s1", |shard| shard.gone = true),
        gaps: &[],
        names: &["late"],
    },
    Meanwhile {
        what: "the list does not show what is there",
        happens: |world| world.change_shard("t1", |shard| shard.hidden = true),
        gaps: &[],
        names: &["late"],
    },
    Meanwhile {
        what: "an unfinished shard goes",
        happens: |world| world.change_shard("t1", |shard| shard.gone = true),
        gaps: &[GapCause::ShardGone],
        names: &["late"],
    },
    Meanwhile {
        what: "a shard that nobody has seen goes before its child",
        happens: |world| {
            world.split("t1", &["u1"]);
            world.split("u1", &["v1"]);
            world.write("v1", "one");
            world.change_shard("u1", |shard| shard.gone = true);
        },
        gaps: &[GapCause::ParentUnfinished],
        names: &["late", "one"],
    },
    Meanwhile {
        what: "records go",
        happens: |world| {
            world.write("t1", "lost");
            world.write("t1", "one");
            world.change_shard("t1", |shard| shard.trimmed = 2);
        },
        gaps: &[GapCause::Trimmed],
        names: &["late", "one"],
    },
    Meanwhile {
        what: "the stream is switched off",
        happens: World::disable,
        gaps: &[GapCause::StreamDisabled],
        names: &["late"],
    },
    Meanwhile {
        what: "a new stream takes its place",
        happens: |world| {
            world.enable("2026-01-02T00:00:00.000");
            world.add_shard("m1", None);
            world.write("m1", "one");
        },
        gaps: &[GapCause::NewStream],
        names: &["late", "one"],
    },
    Meanwhile {
        what: "a new stream takes its place, and the old one goes",
        happens: |world| {
            world.change_stream(|stream| stream.gone = true);
            world.enable("2026-01-02T00:00:00.000");
            world.add_shard("m1", None);
            world.write("m1", "one");
        },
        gaps: &[GapCause::NewStream, GapCause::ShardGone],
        names: &["one"],
    },
    Meanwhile {
        what: "a new table takes its place",
        happens: |world| {
            world.lock().table.as_mut().unwrap().id = "table-2".to_owned();
            world.enable("2026-01-02T00:00:00.000");
            world.add_shard("m1", None);
            world.write("m1", "one");
        },
        gaps: &[GapCause::TableRecreated],
        names: &["late", "one"],
    },
];

#[tokio::test(start_paused = true)]
async fn what_has_happened_since_the_look_is_told_as_without_one() {
    for Meanwhile { what, happens, gaps, names } in MEANWHILE {
        for warm in [true, false] {
            let (world, outlook) = left_behind(warm).await;
            world.write("s2", "late");
            happens(&world);
            let at = world.monotonic();
            let mut feed = Running::take_over(&world, outlook).await;
            assert_eq!(world.monotonic() == at, warm, "{what}: it waits for a call, or does not");
            let mut came = feed.settle_all().await;
            // Shards beside each other have no order.
            came.sort_by_key(|name| names.iter().position(|known| known == name));
            assert_eq!(came, names, "{what}, warm: {warm}");
            assert_eq!(feed.gaps(), gaps, "{what}, warm: {warm}");
            feed.stop().await;
            let mut feed = Running::start(&world).await;
            assert_eq!(feed.settle_all().await, [""; 0], "{what}, warm: {warm}: once more");
            // That there is no stream is told at each start.
            let again: Vec<_> = gaps.iter().copied().filter(|gap| *gap == GapCause::StreamDisabled).collect();
            assert_eq!(feed.gaps(), again, "{what}, warm: {warm}: once more");
            feed.stop().await;
        }
    }
}

/// A gap is told on the leader's own listing; or without, when that does not come.
#[tokio::test(start_paused = true)]
async fn nothing_is_given_up_before_the_shards_are_listed() {
    for cause in [GapCause::ShardGone, GapCause::Trimmed] {
        for listed in [true, false] {
            let (world, outlook) = left_behind(true).await;
            world.write("t1", "lost");
            world.change_shard("t1", |shard| {
                shard.gone = cause == GapCause::ShardGone;
                shard.trimmed = 2;
            });
            world.lock().failing.insert("DescribeStream", (1, Fault::Denied));
            let mut feed = Running::take_over(&world, outlook).await;
            seconds(20).await;
            assert_eq!(feed.gaps(), [], "{cause:?}, listed: {listed}");
            if listed {
                world.lock().failing.clear();
            } else {
                tokio::time::sleep(OPEN_LIMIT).await;
            }
            seconds(30).await;
            assert_eq!(feed.gaps(), [cause], "{cause:?}, listed: {listed}");
            feed.stop().await;
        }
    }
}

/// The leader never saw it, and nothing of it was read: that is a loss, and told as one.
#[tokio::test(start_paused = true)]
async fn a_shard_that_only_the_standby_has_seen_and_that_is_gone() {
    let (world, _) = left_behind(true).await;
    world.split("t1", &["u1"]);
    world.write("u1", "lost");
    let outlook = stand_by(&world, 5).await;
    world.change_shard("u1", |shard| shard.gone = true);
    let mut feed = Running::take_over(&world, outlook).await;
    assert_eq!(feed.settle_all().await, [""; 0]);
    assert_eq!(feed.gaps(), [GapCause::ShardGone]);
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_not_used() {
    // Too old.
    let (world, outlook) = left_behind(true).await;
    tokio::time::sleep(OUTLOOK_LIFE).await;
    let before = world.calls("DescribeStream");
    let feed = Running::take_over(&world, outlook).await;
    assert_eq!(world.calls("DescribeStream"), before + 1);
    feed.stop().await;

    // Nobody has led before: every shard has its stored place before the first sweep.
    let world = World::new();
    let outlook = stand_by(&world, 5).await;
    assert!(outlook.is_some());
    let feed = Running::take_over(&world, outlook).await;
    assert!(world.checkpoint("s1").is_some());
    feed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_standing_by_costs_few_calls_and_no_writes() {
    for fails in [false, true] {
        let world = World::new();
        if fails {
            world.lock().failing.insert("DescribeStream", (1, Fault::Denied));
        }
        assert_eq!(stand_by(&world, 3_600).await.is_none(), fails);
        assert!((50..=70).contains(&world.calls("DescribeStream")), "{}", world.calls("DescribeStream"));
        assert!((50..=70).contains(&world.calls("DescribeTable")), "{}", world.calls("DescribeTable"));
        assert!(world.lock().calls.keys().all(|call| call.starts_with("Describe")));
        assert_eq!(world.records(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_asks_no_more_often_than_a_leader_would() {
    let world = World::new();
    for n in 2..=7 {
        world.add_shard(&format!("s{n}"), None);
    }
    world.change_stream(|stream| stream.shards_a_page = 1);
    assert!(stand_by(&world, 3_600).await.is_some());
    let of_standby = world.lock().calls.remove("DescribeStream").unwrap();
    let feed = Running::start(&world).await;
    seconds(3_600).await;
    feed.stop().await;
    let of_leader = world.calls("DescribeStream");
    assert!(of_standby <= of_leader, "{of_standby} {of_leader}");
}

#[tokio::test(start_paused = true)]
async fn only_a_whole_list_is_kept_and_it_is_not_too_long() {
    let pages = usize::try_from(LOOK_PAGES).unwrap();
    for (shards, expected) in [(pages, true), (pages + 1, false)] {
        let world = World::new();
        for n in 1..shards {
            world.add_shard(&format!("t{n}"), None);
        }
        world.change_stream(|stream| stream.shards_a_page = 1);
        assert_eq!(stand_by(&world, 30).await.is_some(), expected, "{shards} pages");
        assert_eq!(world.calls("DescribeStream"), u64::from(LOOK_PAGES));
    }
    let world = World::new();
    world.disable();
    assert!(stand_by(&world, 5).await.is_none());
    assert!(stand_by(&World::without_stream(), 5).await.is_none());
}

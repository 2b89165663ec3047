//! 7: who may be taken down, and how many at once.

use std::time::Duration;

use iam_user_controller::brakes;
use iam_user_controller::core::observed::Leftover;
use iam_user_controller::core::policy::OrphanAction;
use iam_user_controller::core::user::UserId;
use iam_user_controller::ports::Record;

use super::keys::meddled_lately;
use super::{Excuse, OWNERSHIP, ROUNDED_MS, Verdict, ms};
use crate::account::{RowLife, SimUser, World, is_owned, tag};

/// A record tells when a deletion was granted.
pub(super) fn state_written(world: &mut World, record: &Record) {
    for user in granted(record) {
        world.book.granted.entry(user).or_insert(world.now);
    }
}

/// Whose deletion was granted, as a removal's record and the brake's tell.
fn granted(record: &Record) -> Vec<UserId> {
    let body = || serde_json::from_str::<serde_json::Value>(&record.body).unwrap_or_default();
    let user = |id: &serde_json::Value| id.as_str().map(|id| UserId(id.to_owned()));
    if record.id.starts_with("removal/") {
        return user(&body()["condemned"]).into_iter().collect();
    }
    if record.id != brakes::RECORD || !record.body.contains(r#""granted""#) {
        return Vec::new();
    }
    let groups = body()["users"].as_array().cloned().unwrap_or_default();
    let granted = groups.iter().filter(|group| group["standing"] == "granted");
    granted.flat_map(|group| group["users"].as_array()).flatten().filter_map(|pair| user(&pair[1])).collect()
}

/// What speaks against taking a user down, and what excuses it all the same.
pub(super) type Obstacle = (&'static str, Option<Excuse>);

/// What is no evidence yet, and will be.
pub(super) const TOO_YOUNG: &str = "it is younger than an orphan has to be";

/// 7: what speaks against taking this user down.
pub(super) fn obstacles(world: &World, user: &SimUser) -> Vec<Obstacle> {
    let life = world.table.life.get(user.name.as_str()).copied().unwrap_or_default();
    // A record of the stream is evidence, also when the whole table goes after it.
    if life.told_ms.is_some_and(|at| at >= user.created_ms) {
        return Vec::new();
    }
    let same_second = life.told_ms.is_some_and(|at| at / 1_000 == user.created_ms / 1_000);
    let granted = world.book.granted.contains_key(&user.id);
    let bare = user.live_keys().all(|key| !*key.active.get());
    let whole = if user.doomed_ms.is_some() {
        Some(Excuse::Begun)
    } else if same_second && !life.present {
        Some(Excuse::SameSecond)
    } else {
        (granted && bare && user.meddled_ms.is_some()).then_some(Excuse::Bare)
    };
    let mut obstacles = obstacles_of_the_row(world, user, &life);
    obstacles.extend(obstacles_of_a_sweep(world, user, &life));
    obstacles.into_iter().map(|(why, excuse)| (why, excuse.or(whole))).collect()
}

/// What a row says, or a table in which it is not.
fn obstacles_of_the_row(world: &World, user: &SimUser, life: &RowLife) -> Vec<Obstacle> {
    let grace = ms(world.rules.grace);
    let lately = |at: Option<u64>| at.is_some_and(|at| at + grace >= world.now);
    let mut obstacles = Vec::new();
    if life.present {
        let excuse = lately(Some(life.present_since_ms)).then_some(Excuse::RowCameLately);
        obstacles.push(("its row has been there all its life", excuse));
    }
    let licensed = world.book.licensed.contains(&user.id).then_some(Excuse::Resumed);
    if life.dropped {
        // Whose row was asked for and not there, a moment before it was put into the table that went, may go.
        let missed = lately(life.missed_ms).then_some(Excuse::Missed);
        let unseen = life.unseen.then_some(Excuse::NeverSeen);
        obstacles.push(("its row went with the whole table", missed.or(unseen).or(licensed)));
    }
    if let Some(emptied) = world.table.emptied_ms.filter(|_| !life.recorded) {
        let excuse = lately(Some(emptied)).then_some(Excuse::EmptyLately);
        let why = "the table is empty, and no record says that its row was removed";
        obstacles.push((why, excuse.or(licensed)));
    }
    obstacles
}

/// What keeps sweeps from a user.
fn obstacles_of_a_sweep(world: &World, user: &SimUser, life: &RowLife) -> Vec<Obstacle> {
    let policy = &world.rules.policy;
    let recorded = life.recorded.then_some(Excuse::Recorded);
    let mut obstacles = Vec::new();
    if world.rules.protects(user.name.as_str()) {
        obstacles.push(("a pattern protects it", recorded));
    }
    if world.rules.action == OrphanAction::Report {
        obstacles.push(("orphans are to be reported", recorded));
    }
    if !is_owned(user.tags.get(), policy) {
        let excuse = meddled_lately(world, user).or(recorded);
        if tag(user.tags.get(), OWNERSHIP[1]).is_some_and(|table| table != policy.table) {
            obstacles.push(("it belongs to another table", excuse));
        }
        if user.leftovers.get().contains(&Leftover::LoginProfile) && !policy.include_console_users {
            obstacles.push(("it has a console login", excuse));
        }
    }
    let age = world.now.saturating_sub(user.created_ms) + ROUNDED_MS;
    if age < ms(world.rules.orphan_min_age) {
        let in_error = age + ms(world.rules.clock_error) >= ms(world.rules.orphan_min_age);
        obstacles.push((TOO_YOUNG, in_error.then_some(Excuse::ClockError).or(recorded)));
    }
    obstacles
}

/// Whatever takes a user down takes its keys: what would be a loss passes for the reason for which the
/// user may go.
pub(super) fn unless_doomed(mut loss: Verdict, obstacles: &[Obstacle]) -> Verdict {
    let Some((_, first)) = obstacles.first() else { return Verdict::default() };
    if obstacles.iter().all(|(_, excuse)| excuse.is_some()) {
        loss.excuse(|_| *first);
    }
    loss
}

/// An operator lets held deletions go on: those of users without a row, or from before its removal.
pub(crate) fn resume_deletions(world: &mut World) {
    let gone = |(_, user): (&str, &SimUser)| {
        let life = world.table.life.get(user.name.as_str());
        let told = life.and_then(|life| life.told_ms).is_some_and(|told| told >= user.created_ms);
        (told || !world.table.contains(user.name.as_str())).then(|| user.id.clone())
    };
    let licensed = world.iam.all().filter_map(gone).collect();
    world.book.resume_deletions(licensed, world.now);
}

/// The leader has read an operator's command within this.
const WORD_ARRIVES: Duration = Duration::from_secs(10);

/// The deletion brake.
pub(super) fn brake(world: &mut World, folded: &str) {
    let Some(user) = world.iam.live(folded) else { return };
    let id = user.id.clone();
    // What was granted is carried through; it counts from when that was.
    let granted = world.book.granted.get(&id).copied();
    let began = user.doomed_ms.into_iter().chain(granted).min().unwrap_or(world.now);
    // What is held when the operator's word arrives is let go, too.
    let removed = world.table.life.get(user.name.as_str()).and_then(|life| life.removed_ms);
    let word = world.book.resumed_ms..world.book.resumed_ms.saturating_add(ms(WORD_ARRIVES));
    let word_arrives = world.book.deletions_resumed && removed.is_some_and(|at| word.contains(&at));
    if !world.book.begun.insert(id.clone()) {
        return;
    }
    let excuse = if word_arrives {
        Some(Excuse::WordArrives)
    } else {
        world.book.licensed.contains(&id).then_some(Excuse::Licensed)
    };
    let window = ms(world.rules.brake.2);
    let mut verdict = Verdict::about(folded);
    if let Some(too_many) = beyond_the_brake(world, began, window, 0) {
        // What was granted long ago may be carried out now, after a restart or two.
        let window = window.saturating_sub(2 * ms(world.rules.grace));
        let long_ago = beyond_the_brake(world, began, window, 0).is_none().then_some(Excuse::GrantedLongAgo);
        // The program counts users when it sweeps; some may have come or gone since.
        let counted = beyond_the_brake(world, began, window, 1).is_none().then_some(Excuse::Counted);
        verdict.breaks_unless(excuse.or(long_ago).or(counted), 7, format!("{folded} is {too_many}"));
    }
    if excuse.is_none() {
        world.book.deletions.push_back(began);
        let now = world.now;
        world.book.deletions.retain(|at| at + window > now);
    }
    verdict.pass(world);
}

/// Whether one more deletion, which began then, is too many among the owned users and so many `more`.
fn beyond_the_brake(world: &World, began: u64, window: u64, more: u64) -> Option<String> {
    let (count, percent, _) = world.rules.brake;
    let deletions = world.book.deletions.iter().chain([&began]);
    let deleted = deletions.filter(|at| **at + window > world.now).count() as u64;
    let owned = world.iam.all().filter(|(_, user)| is_owned(user.tags.get(), &world.rules.policy)).count();
    let base = owned as u64 + deleted + more;
    let beyond = deleted > u64::from(count) && deleted * 100 > u64::from(percent) * base;
    beyond.then(|| format!("deletion number {deleted} of {base} users: the brake should hold"))
}

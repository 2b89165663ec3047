//! 7: who may be taken down, and how many at once.

use std::time::Duration;

use iam_user_controller::brakes;
use iam_user_controller::core::observed::Leftover;
use iam_user_controller::core::policy::OrphanAction;
use iam_user_controller::core::user::UserId;
use iam_user_controller::ports::Record;

use super::{OWNERSHIP, ms, violation};
use crate::account::{RowLife, SimUser, World, is_owned, tag};

/// A record tells when a deletion was granted.
pub(super) fn state_written(world: &mut World, record: &Record) {
    for user in granted(record) {
        world.book.granted.entry(user).or_insert(world.now);
    }
}

/// Whose deletion was granted, as a removal's record and the brake's tell.
pub(super) fn granted(record: &Record) -> Vec<UserId> {
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

/// Whether the row of this user is there, in its very spelling, and has been for longer than the grace.
fn row_stands(world: &World, user: &SimUser) -> bool {
    let since = world.now.saturating_sub(ms(world.rules.grace));
    let life = world.table.life.get(user.name.as_str());
    life.is_some_and(|life| life.present && life.present_since_ms <= since.max(1))
}

/// What is no evidence yet, and will be.
pub(super) const TOO_YOUNG: &str = "it is younger than an orphan has to be";

/// 7: why this user may be taken down, or why not.
pub(super) fn removal_evidence(world: &World, user: &SimUser) -> Result<(), String> {
    let life = world.table.life.get(user.name.as_str());
    let removed = life.and_then(|life| life.told_ms);
    // A record of the stream is evidence, also when the whole table goes after it. Whole seconds are all
    // that the stream and IAM tell; who has a row gets the benefit of the doubt.
    let told = removed.is_some_and(|at| at >= user.created_ms);
    let perhaps = removed.is_some_and(|at| at / 1_000 >= user.created_ms / 1_000);
    if user.doomed_ms.is_some() || told || (perhaps && !world.table.contains(user.name.as_str())) {
        return Ok(());
    }
    // Nobody could tell who has taken the keys from somebody whose deletion was granted.
    let granted = world.book.granted.contains_key(&user.id);
    let bare = user.live_keys().all(|key| !*key.active.get());
    if granted && bare && user.meddled_ms.is_some() {
        return Ok(());
    }
    if row_stands(world, user) {
        return Err("its row has been there all its life".to_owned());
    }
    // Whose row was asked for and not there, a moment before it was put into the table that went, may go.
    let missed = |life: &RowLife| life.missed_ms.is_some_and(|at| at + ms(world.rules.grace) >= world.now);
    let dropped = life.is_some_and(|life| life.dropped && !missed(life));
    if dropped && !world.book.deletions_resumed {
        return Err("its row went with the whole table".to_owned());
    }
    let emptied = world.table.emptied_ms.is_some_and(|at| at + ms(world.rules.grace) < world.now);
    if emptied && !life.is_some_and(|life| life.recorded) && !world.book.deletions_resumed {
        return Err("the table is empty, and no record says that its row was removed".to_owned());
    }
    if !life.is_some_and(|life| life.recorded) {
        if world.rules.protects(user.name.as_str()) {
            return Err("a pattern protects it".to_owned());
        }
        if world.rules.action == OrphanAction::Report {
            return Err("orphans are to be reported".to_owned());
        }
        if !is_owned(user.tags.get(), &world.rules.policy)
            && let Some(why) = not_for_a_sweep(world, user)
        {
            return Err(why);
        }
        let age = world.now.saturating_sub(user.created_ms);
        if age + ms(world.rules.clock_error) + 1_000 < ms(world.rules.orphan_min_age) {
            return Err(TOO_YOUNG.to_owned());
        }
    }
    Ok(())
}

/// Why nobody may be deleted by a sweep who is not owned; whatever a hand has just done to the user
/// may not have been seen yet.
fn not_for_a_sweep(world: &World, user: &SimUser) -> Option<String> {
    let policy = &world.rules.policy;
    if user.meddled_ms.is_some_and(|at| at + ms(world.rules.grace) >= world.now) {
        return None;
    }
    if tag(user.tags.get(), OWNERSHIP[1]).is_some_and(|table| table != policy.table) {
        return Some("it belongs to another table".to_owned());
    }
    let person = user.leftovers.get().contains(&Leftover::LoginProfile);
    (person && !policy.include_console_users).then(|| "it has a console login".to_owned())
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
    let now = world.now;
    let Some(user) = world.iam.live(folded) else { return };
    // What is held when the operator's word arrives is let go, too.
    let removed = world.table.life.get(user.name.as_str()).and_then(|life| life.removed_ms);
    let word = world.book.resumed_ms..world.book.resumed_ms.saturating_add(ms(WORD_ARRIVES));
    if world.book.deletions_resumed && removed.is_some_and(|at| word.contains(&at)) {
        return;
    }
    let began = user.doomed_ms.into_iter().chain(world.book.granted.get(&user.id).copied()).min();
    let (id, began) = (user.id.clone(), began.unwrap_or(now));
    // What was granted is carried through; it counts from when that was.
    if world.book.licensed.contains(&id) || !world.book.begun.insert(id.clone()) {
        return;
    }
    let (count, percent, window) = world.rules.brake;
    // What was granted long ago may be carried out now, after a restart or two.
    let window = ms(window).saturating_sub(2 * ms(world.rules.grace));
    world.book.deletions.push_back(began);
    world.book.deletions.retain(|at| at + window > now);
    let deleted = world.book.deletions.len() as u64;
    let owned =
        world.iam.all().filter(|(_, user)| is_owned(user.tags.get(), &world.rules.policy)).count() as u64;
    // The program counts users when it sweeps; some may have come or gone since.
    let base = owned + deleted + 1;
    if deleted > u64::from(count) && deleted * 100 > u64::from(percent) * base {
        violation(
            world,
            7,
            format!("{folded} is deletion number {deleted} of {base} users: the brake should hold"),
        );
    }
}

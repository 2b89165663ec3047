//! 7, before the first start: what the stream tells of the time before is no evidence.

use iam_user_controller::leaderships;
use iam_user_controller::ports::Record;

use crate::account::{RowLife, World};

/// Since when a state table has led for a users table, as the truth has it and as the program notes it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FirstLed {
    /// When the lease was first taken.
    truth_ms: u64,
    /// The program's own note, from which on it owes what records say.
    noted_ms: Option<u64>,
}

/// The lease is taken, for the first time perhaps.
pub(super) fn lease_taken(world: &mut World) {
    let (now, name) = (world.now, &world.table.name);
    if !world.book.first_led.contains_key(name) {
        let first = FirstLed { truth_ms: now, noted_ms: None };
        world.book.first_led.insert(name.clone(), first);
    }
}

/// The program notes since when it leads.
pub(super) fn state_stored(world: &mut World, record: &Record) {
    if !record.id.starts_with(leaderships::PREFIX) {
        return;
    }
    let body = serde_json::from_str::<iam_user_controller::core::leadership::Leadership>(&record.body);
    if let (Ok(leadership), Some(first)) = (body, world.book.first_led.get_mut(&world.table.name)) {
        first.noted_ms = Some(leadership.first.as_millis());
    }
}

/// Whether the program has noted by then that it leads. The stream tells whole seconds, rounded down.
pub(super) fn is_noted(world: &World, at: Option<u64>) -> bool {
    let noted = world.book.first_led.get(&world.table.name).and_then(|first| first.noted_ms);
    at.zip(noted).is_some_and(|(at, noted)| at / 1_000 * 1_000 >= noted)
}

/// What has become of a row, without what was recorded before the first start.
pub(super) fn life(world: &World, name: &str) -> Option<RowLife> {
    let mut life = *world.table.life.get(name)?;
    let first = world.book.first_led.get(&world.table.name);
    life.told_ms = life.told_ms.filter(|at| first.is_some_and(|first| *at > first.truth_ms));
    life.owed_ms = life.owed_ms.filter(|at| is_noted(world, Some(*at)));
    life.recorded &= life.told_ms.is_some();
    Some(life)
}

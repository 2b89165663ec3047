//! 8: what is left to do when everything should be done, and what may still be done then.

use std::collections::BTreeMap;
use std::time::Duration;

use iam_user_controller::core::document::KeyDocument;
use iam_user_controller::core::policy::{ForeignKeys, OrphanScope};
use iam_user_controller::core::time::Timestamp;
use iam_user_controller::core::user::{AccessKeyId, UserName};

use super::deletion::{TOO_YOUNG, obstacles};
use super::keys::{current_works, expired_since, of_the_mint};
use super::ownership::adoptable;
use super::{Excuse, MINTING, ROUNDING, Verdict, ms};
use crate::account::{Maker, SimKey, SimUser, World, is_owned, tag};

/// 8: what is not as it should be. Breaks nothing once everything has settled.
pub(crate) fn unsettled(world: &World) -> Verdict {
    let mut found = Verdict::default();
    let mut rows: Vec<&str> = world.table.names().filter(|name| UserName::parse(name).is_ok()).collect();
    rows.sort_by_key(|name| name.to_ascii_lowercase());
    for group in rows.chunk_by(|a, b| a.eq_ignore_ascii_case(b)) {
        if let Some(row) = served(world, group) {
            found.append(row_faults(world, row));
        }
    }
    found.append(orphans(world));
    found.append(abandoned(world));
    found
}

/// What is wrong with the user of a row.
fn row_faults(world: &World, row: &str) -> Verdict {
    let folded = row.to_ascii_lowercase();
    let mut found = Verdict::about(&folded);
    let Some(user) = world.iam.live(&folded) else {
        found.breaks(8, format!("{row}: there is no user"));
        return found;
    };
    if !is_owned(user.tags.get(), &world.rules.policy) {
        if user.name.as_str() == row && adoptable(world, user) {
            found.breaks(8, format!("{row}: not adopted"));
        }
        return found;
    }
    // IAM finds it in any spelling. Only the removal of its own row makes it go; else it is a conflict.
    survives(world, user, &mut found);
    if user.name.as_str() == row {
        let faults = faults_of(world, user);
        let blocked = blocked(world, user).filter(|_| !faults.is_empty());
        for (fault, excuse) in faults {
            found.breaks_unless(excuse.or(blocked), 8, format!("{row}: {fault}"));
        }
    }
    found
}

/// Whether a user that a row has should have gone when a row was removed.
fn survives(world: &World, user: &SimUser, found: &mut Verdict) {
    let life = world.table.life.get(user.name.as_str()).copied().unwrap_or_default();
    let second = |at: Option<u64>| at.map(|at| at / 1_000);
    let created = Some(user.created_ms / 1_000);
    if life.told_ms.is_none_or(|told| told < user.created_ms) {
        return;
    }
    let excuse = if second(life.told_ms) == created {
        Some(Excuse::SameSecond)
    } else if second(life.owed_ms) <= created {
        Some(Excuse::RemovalLost)
    } else {
        let may_be_held = world.rules.brake.0 < 100 || world.table.was_recreated();
        may_be_held.then_some(Excuse::MayBeHeld)
    };
    found.breaks_unless(excuse, 8, format!("{}: it is older than the removal of its row", user.name));
}

/// Of rows that differ only in case, the one that is served.
fn served<'a>(world: &World, rows: &[&'a str]) -> Option<&'a str> {
    let first = rows.iter().min().copied()?;
    let live = world.iam.live(&first.to_ascii_lowercase());
    let exact = live.and_then(|user| rows.iter().find(|row| **row == user.name.as_str()).copied());
    Some(exact.unwrap_or(first))
}

/// Something that is wrong with a user, and what excuses it.
type Fault = (String, Option<Excuse>);

/// What is wrong with a user that has a row and is owned.
pub(super) fn faults_of(world: &World, user: &SimUser) -> Vec<Fault> {
    let policy = &world.rules.policy;
    let mut faults: Vec<Fault> = Vec::new();
    let tags = user.tags.get();
    if policy.boundary.is_some() && user.boundary.get() != &policy.boundary {
        faults.push((format!("boundary is {:?}", user.boundary.get()), None));
    }
    if tag(tags, MINTING) != Some("none") {
        faults.push((format!("minting is {:?}", tag(tags, MINTING)), None));
    }
    let Some(document) = world.document_of(&user.name) else {
        faults.push(("no document".to_owned(), None));
        return faults;
    };
    if !current_works(world, user) {
        faults.push((format!("current {:?} does not work", document.current_id()), None));
    }
    let roles = [(document.current_id(), "current"), (document.pending_id(), "pending_deletion")];
    for (id, role) in roles.into_iter().filter_map(|(id, role)| id.map(|id| (id, role))) {
        if user.live_key(id).is_none() {
            faults.push((format!("the document names {id} as {role}, which does not exist"), None));
        }
        if tag(tags, id.as_str()) != Some(role) {
            faults.push((format!("{id} is {role} but tagged {:?}", tag(tags, id.as_str())), None));
        }
    }
    for name in tags.keys() {
        let key = AccessKeyId::parse(name).filter(|_| name.starts_with("AKIA"));
        if key.is_some_and(|id| user.live_key(&id).is_none()) {
            faults.push((format!("there is a tag for {name}, which does not exist"), None));
        }
    }
    for key in user.live_keys() {
        key_faults(world, user, &document, key, &mut faults);
    }
    faults
}

fn key_faults(world: &World, user: &SimUser, document: &KeyDocument, key: &SimKey, faults: &mut Vec<Fault>) {
    let policy = &world.rules.policy;
    let late = ms(world.rules.lateness);
    let age = world.now.saturating_sub(key.created_ms);
    let crowded = user.live_keys().count() >= 2;
    if document.current_id() == Some(&key.id) {
        let older = document.pending_id().and_then(|id| user.live_key(id));
        let room = older.is_none_or(|older| expired_since(world, user, document, older) > late);
        if room && age > ms(policy.rotate_after) + late {
            let excuse = (older.is_none() && crowded).then_some(Excuse::NoRoom);
            faults.push((format!("current {} is {age} ms old", key.id), excuse));
        }
    } else if document.pending_id() == Some(&key.id) {
        if expired_since(world, user, document, key) > late {
            faults.push((format!("pending {} is {age} ms old", key.id), None));
        }
    } else if tag(user.tags.get(), key.id.as_str()) == Some("pending_deletion") {
        // The document that named it is lost. Consumers may still use it, so it goes in its own time.
        let overlap = key.superseded_ms.map_or(0, |at| world.now.saturating_sub(at));
        if expired_since(world, user, document, key) > late {
            let excuse = (overlap <= ms(policy.delete_after) + late).then_some(Excuse::DocumentLost);
            faults.push((format!("{} is superseded, and {age} ms old", key.id), excuse));
        }
    } else if key.maker == Maker::Program || key.claimed {
        faults.push((format!("{} is a key that nobody can use", key.id), None));
    } else if policy.foreign == ForeignKeys::Revoke || key.disowned {
        let excuse = (policy.foreign != ForeignKeys::Revoke).then_some(Excuse::Disowned);
        faults.push((format!("{} is foreign and still there", key.id), excuse));
    }
}

/// A mint that is open for longer is not going on: a key is given up when it cannot be proven in time.
const MINT_IS_OVER: Duration = Duration::from_secs(180);

/// Why only a person can help.
fn blocked(world: &World, user: &SimUser) -> Option<Excuse> {
    let parameter = world.ssm.parameters.get(&world.parameter_of(&user.name));
    let document = world.document_of(&user.name);
    let current = document.as_ref().and_then(KeyDocument::current_id).and_then(|id| user.live_key(id));
    let both = user.live_keys().count() >= 2;
    let foreign = |key: &&SimKey| key.maker == Maker::Operator && !key.claimed;
    let report = world.rules.policy.foreign == ForeignKeys::Report;
    // A mint that was cut off, and a key that somebody made meanwhile: nobody can tell which is which.
    let minting = tag(user.tags.get(), MINTING).is_some_and(|at| at != "none");
    let opened = tag(user.tags.get(), MINTING).and_then(Timestamp::parse);
    let given_up = minting && opened.is_none_or(|at| world.timestamp().since(at) > MINT_IS_OVER);
    let alike = user.live_keys().filter(foreign).any(|key| key.ambiguous || of_the_mint(user, key));
    let due = |key: &SimKey| world.now.saturating_sub(key.created_ms) >= ms(world.rules.policy.rotate_after);
    let alien = user.live_keys().any(|key| foreign(&key));
    [
        (parameter.is_some_and(|parameter| !parameter.secure), Excuse::NotSecure),
        (user.meddled_ms.is_some() && current.is_some_and(|key| !*key.active.get()), Excuse::Deactivated),
        (given_up && both && alike, Excuse::Puzzling),
        (report && current.is_some_and(due) && both && alien, Excuse::InTheWay),
        // Two keys, and no document that works: consumers may use either, and one has to leave first.
        (both && !current_works(world, user) && !minting && (report || !alien), Excuse::Crowded),
    ]
    .into_iter()
    .find_map(|(blocks, excuse)| blocks.then_some(excuse))
}

/// Users that should be gone.
fn orphans(world: &World) -> Verdict {
    let mut found = Verdict::default();
    for (folded, user) in world.iam.all().filter(|(folded, _)| !world.table.contains_folded(folded)) {
        let ours =
            is_owned(user.tags.get(), &world.rules.policy) || world.rules.scope == OrphanScope::Account;
        let mut obstacles = obstacles(world, user).into_iter();
        if ours && obstacles.all(|(why, excuse)| excuse.is_some() || why == TOO_YOUNG) {
            let mut one = Verdict::about(folded);
            one.breaks(8, format!("{folded}: no row, and still a user"));
            found.append(one);
        }
    }
    found
}

/// Parameters that should be gone.
fn abandoned(world: &World) -> Verdict {
    let mut found = Verdict::default();
    for (name, parameter) in &world.ssm.parameters {
        let Some(owner) = world.ssm.owners.get(name) else { continue };
        if world.iam.live(owner).is_some() || world.table.contains_folded(owner) {
            continue;
        }
        // Nobody lists parameters: a record leads to it, or the deletion of its user.
        let told = world.table.life.iter().any(|(row, life)| {
            let parameter = UserName::parse(row).ok().map(|row| world.parameter_of(&row));
            parameter.as_ref() == Some(name) && life.recorded && life.owed_ms.is_some()
        });
        let traced = told || world.book.bereft.contains(name);
        let excuse = match (parameter.secure, traced && !world.ssm.forsaken.contains(name)) {
            (false, _) => Some(Excuse::NotSecure),
            (true, false) => Some(Excuse::Untraceable),
            (true, true) => None,
        };
        let mut one = Verdict::about(owner);
        one.breaks_unless(excuse, 8, format!("{name}: a parameter of nobody"));
        found.append(one);
    }
    found
}

/// Users that may be changed although everything has settled, and why.
pub(crate) fn may_change(world: &World, within: Duration) -> BTreeMap<String, Excuse> {
    let excuse = |(folded, user): (&str, &SimUser)| {
        let excuse = if may_be_revoked(world, folded, user) {
            Excuse::MayBeRevoked
        } else if user.meddled_ms.is_some_and(|at| at + ms(within) > world.now) {
            // No sweep may have seen it yet: of one that waits for a person, tags are mended then.
            Excuse::MeddledBeforeSilence
        } else if user.live_keys().any(|key| comes_of_age(world, user, key, within)) {
            Excuse::ComesOfAge
        } else {
            return None;
        };
        Some((folded.to_owned(), excuse))
    };
    world.iam.all().filter_map(excuse).collect()
}

/// Whether a REMOVE record that may not have been read yet is older than its user's adoption: what
/// existed then is revoked when it is read, but nobody is owed that.
fn may_be_revoked(world: &World, folded: &str, user: &SimUser) -> bool {
    let life = world.table.life.get(user.name.as_str());
    let told = life.and_then(|life| life.told_ms).is_some_and(|told| told >= user.created_ms);
    // Sweeps may have found it an orphan before the row of another spelling came.
    let twin = !world.table.contains(user.name.as_str()) && world.table.contains_folded(folded);
    (told || twin) && is_owned(user.tags.get(), &world.rules.policy)
}

/// Whether a key is due for rotation or deletion within this time.
fn comes_of_age(world: &World, user: &SimUser, key: &SimKey, within: Duration) -> bool {
    let policy = &world.rules.policy;
    let then = world.now + ms(within + ROUNDING);
    let age = then.saturating_sub(key.created_ms);
    let Some(superseded) = key.superseded_ms else { return age >= ms(policy.rotate_after) };
    // When the document is lost, nothing tells when the successor was published, but when it was made.
    let successor = user.live_keys().map(|other| other.created_ms).max();
    let overlap = then.saturating_sub(successor.map_or(superseded, |made| made.min(superseded)));
    age >= ms(policy.delete_after) && overlap >= ms(policy.min_overlap)
}

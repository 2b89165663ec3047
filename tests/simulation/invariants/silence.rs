//! 8: what is left to do when everything should be done, and what may still be done then.

use std::time::Duration;

use iam_user_controller::core::document::KeyDocument;
use iam_user_controller::core::policy::{ForeignKeys, OrphanScope};
use iam_user_controller::core::time::Timestamp;
use iam_user_controller::core::user::{AccessKeyId, UserName};

use super::deletion::{TOO_YOUNG, removal_evidence};
use super::keys::{current_works, expired_since, of_the_mint};
use super::ownership::adoptable;
use super::{MINTING, ROUNDING, ms};
use crate::account::{Maker, SimKey, SimUser, World, is_owned, tag};

/// 8: what is not as it should be. Empty once everything has settled.
pub(crate) fn unsettled(world: &World) -> Vec<String> {
    let mut faults = Vec::new();
    let policy = &world.rules.policy;
    let mut rows: Vec<&str> = world.table.names().filter(|name| UserName::parse(name).is_ok()).collect();
    rows.sort_by_key(|name| name.to_ascii_lowercase());
    for group in rows.chunk_by(|a, b| a.eq_ignore_ascii_case(b)) {
        let Some(row) = served(world, group) else { continue };
        let folded = row.to_ascii_lowercase();
        let Some(user) = world.iam.live(&folded) else {
            faults.push(format!("{row}: there is no user"));
            continue;
        };
        if user.name.as_str() != row {
            // IAM finds it all the same. Only the removal of its own row makes it go; else it is a conflict.
            let life = world.table.life.get(user.name.as_str());
            let owed = life.and_then(|life| life.owed_ms).unwrap_or(0);
            let never_held = world.rules.brake.0 >= 100 && !world.table.was_recreated();
            if is_owned(user.tags.get(), policy) && never_held && owed / 1_000 > user.created_ms / 1_000 {
                faults.push(format!("{row}: the user is still spelled {}", user.name));
            }
            continue;
        }
        let owed = world.table.life.get(user.name.as_str()).and_then(|life| life.owed_ms);
        // A deletion that was held is over when the row is back.
        let never_held = world.rules.brake.0 >= 100 && !world.table.was_recreated();
        if is_owned(user.tags.get(), policy)
            && never_held
            && owed.is_some_and(|owed| owed / 1_000 > user.created_ms / 1_000)
        {
            faults.push(format!("{row}: the user is older than the removal of its row"));
        }
        if !is_owned(user.tags.get(), policy) {
            if adoptable(world, &folded, user) {
                faults.push(format!("{row}: not adopted"));
            }
            continue;
        }
        if blocked(world, user) {
            continue;
        }
        faults.extend(faults_of(world, user).into_iter().map(|fault| format!("{row}: {fault}")));
    }
    orphans(world, &mut faults);
    faults
}

/// Of rows that differ only in case, the one that is served.
fn served<'a>(world: &World, rows: &[&'a str]) -> Option<&'a str> {
    let first = rows.iter().min().copied()?;
    let live = world.iam.live(&first.to_ascii_lowercase());
    let exact = live.and_then(|user| rows.iter().find(|row| **row == user.name.as_str()).copied());
    Some(exact.unwrap_or(first))
}

/// What is wrong with a user that has a row and is owned.
pub(super) fn faults_of(world: &World, user: &SimUser) -> Vec<String> {
    let policy = &world.rules.policy;
    let mut faults = Vec::new();
    let tags = user.tags.get();
    if policy.boundary.is_some() && user.boundary.get() != &policy.boundary {
        faults.push(format!("boundary is {:?}", user.boundary.get()));
    }
    if tag(tags, MINTING) != Some("none") {
        faults.push(format!("minting is {:?}", tag(tags, MINTING)));
    }
    let Some(document) = world.document_of(&user.name) else {
        faults.push("no document".to_owned());
        return faults;
    };
    if !current_works(world, user) {
        faults.push(format!("current {:?} does not work", document.current_id()));
    }
    let roles = [(document.current_id(), "current"), (document.pending_id(), "pending_deletion")];
    for (id, role) in roles.into_iter().filter_map(|(id, role)| id.map(|id| (id, role))) {
        if user.live_key(id).is_none() {
            faults.push(format!("the document names {id} as {role}, which does not exist"));
        }
        if tag(tags, id.as_str()) != Some(role) {
            faults.push(format!("{id} is {role} but tagged {:?}", tag(tags, id.as_str())));
        }
    }
    for name in tags.keys() {
        let key = AccessKeyId::parse(name).filter(|_| name.starts_with("AKIA"));
        if key.is_some_and(|id| user.live_key(&id).is_none()) {
            faults.push(format!("there is a tag for {name}, which does not exist"));
        }
    }
    for key in user.live_keys() {
        key_faults(world, user, &document, key, &mut faults);
    }
    faults
}

fn key_faults(world: &World, user: &SimUser, document: &KeyDocument, key: &SimKey, faults: &mut Vec<String>) {
    let policy = &world.rules.policy;
    let late = ms(world.rules.lateness);
    let age = world.now.saturating_sub(key.created_ms);
    let crowded = user.live_keys().count() >= 2;
    if document.current_id() == Some(&key.id) {
        let older = document.pending_id().and_then(|id| user.live_key(id));
        let room = older.map_or(!crowded, |older| expired_since(world, user, document, older) > late);
        if room && age > ms(policy.rotate_after) + late {
            faults.push(format!("current {} is {age} ms old", key.id));
        }
    } else if document.pending_id() == Some(&key.id) {
        if expired_since(world, user, document, key) > late {
            faults.push(format!("pending {} is {age} ms old", key.id));
        }
    } else if tag(user.tags.get(), key.id.as_str()) == Some("pending_deletion") {
        // The document that named it is lost. Consumers may still use it, so it goes in its own time.
        let overlap = key.superseded_ms.map_or(0, |at| world.now.saturating_sub(at));
        let expired = expired_since(world, user, document, key) > late;
        if expired && overlap > ms(policy.delete_after) + late {
            faults.push(format!("{} is superseded, and {age} ms old", key.id));
        }
    } else if key.maker == Maker::Program || key.claimed {
        faults.push(format!("{} is a key that nobody can use", key.id));
    } else if policy.foreign == ForeignKeys::Revoke {
        faults.push(format!("{} is foreign and still there", key.id));
    }
}

/// A mint that is open for longer is not going on: a key is given up when it cannot be proven in time.
const MINT_IS_OVER: Duration = Duration::from_secs(180);

/// Whether only a person can help: a parameter of another type, keys of others in the way, or a
/// current key that a person deactivated.
fn blocked(world: &World, user: &SimUser) -> bool {
    let parameter = world.ssm.parameters.get(&world.parameter_of(&user.name));
    if parameter.is_some_and(|parameter| !parameter.secure) {
        return true;
    }
    let foreign: Vec<&SimKey> =
        user.live_keys().filter(|key| key.maker == Maker::Operator && !key.claimed).collect();
    // Two keys, and no document that works: consumers may use either, and one has to leave first.
    let minting = tag(user.tags.get(), MINTING).is_some_and(|at| at != "none");
    let crowded = user.live_keys().count() >= 2 && !current_works(world, user) && !minting;
    let reported = world.rules.policy.foreign == ForeignKeys::Report;
    // A mint that was cut off, and a key that somebody made meanwhile: nobody can tell which is which.
    let opened = tag(user.tags.get(), MINTING).and_then(Timestamp::parse);
    let given_up = minting && opened.is_none_or(|at| world.timestamp().since(at) > MINT_IS_OVER);
    let alike = foreign.iter().any(|key| key.ambiguous || of_the_mint(user, key));
    let puzzling = given_up && user.live_keys().count() >= 2 && alike;
    let document = world.document_of(&user.name);
    let current = document.as_ref().and_then(KeyDocument::current_id).and_then(|id| user.live_key(id));
    let deactivated = user.meddled_ms.is_some() && current.is_some_and(|key| !*key.active.get());
    // The controller says so, and waits for a person.
    let due = current
        .is_some_and(|key| world.now.saturating_sub(key.created_ms) >= ms(world.rules.policy.rotate_after));
    let in_the_way = reported && due && user.live_keys().count() >= 2 && !foreign.is_empty();
    deactivated || puzzling || in_the_way || (crowded && (reported || foreign.is_empty()))
}

/// Users and parameters that should be gone.
pub(super) fn orphans(world: &World, faults: &mut Vec<String>) {
    let policy = &world.rules.policy;
    for (folded, user) in world.iam.all() {
        let ours = is_owned(user.tags.get(), policy) || world.rules.scope == OrphanScope::Account;
        let evidence = removal_evidence(world, user);
        let owed = evidence.is_ok() || evidence.is_err_and(|why| why == TOO_YOUNG);
        if ours && owed && !world.table.contains_folded(folded) {
            faults.push(format!("{folded}: no row, and still a user"));
        }
    }
    for (name, owner) in &world.ssm.owners {
        // Nobody lists parameters: a record leads to it, or the deletion of its user.
        let told = world.table.life.iter().any(|(row, life)| {
            let parameter = UserName::parse(row).ok().map(|row| world.parameter_of(&row));
            parameter.as_ref() == Some(name) && life.recorded && life.owed_ms.is_some()
        });
        let deleted = world.book.bereft.contains(name);
        let abandoned = (told || deleted)
            && world.ssm.parameters.get(name).is_some_and(|parameter| parameter.secure)
            && world.iam.live(owner).is_none()
            && !world.table.contains_folded(owner);
        if abandoned {
            faults.push(format!("{name}: a parameter of nobody"));
        }
    }
}

/// Whether a REMOVE record that may not have been read yet is older than its user's adoption: what
/// existed then is revoked when it is read, but nobody is owed that.
pub(crate) fn may_be_revoked(world: &World) -> bool {
    world.iam.all().any(|(folded, user)| {
        let life = world.table.life.get(user.name.as_str());
        let told = life.and_then(|life| life.told_ms).is_some_and(|told| told >= user.created_ms);
        // Sweeps may have found it an orphan before the row of another spelling came.
        let twin = !world.table.contains(user.name.as_str()) && world.table.contains_folded(folded);
        (told || twin) && is_owned(user.tags.get(), &world.rules.policy)
    })
}

/// Whether somebody changed a user by hand so lately that no sweep may have seen it yet: of one that
/// waits for a person in other respects, tags are mended then.
pub(crate) fn meddled_within(world: &World, time: Duration) -> bool {
    world.iam.all().any(|(_, user)| user.meddled_ms.is_some_and(|at| at + ms(time) > world.now))
}

/// Whether a key is due for rotation or deletion within this time, so that there will be no silence.
pub(crate) fn comes_of_age(world: &World, within: Duration) -> bool {
    let policy = &world.rules.policy;
    let then = world.now + ms(within + ROUNDING);
    let comes_of_age = |user: &SimUser, key: &SimKey| {
        let age = then.saturating_sub(key.created_ms);
        let Some(superseded) = key.superseded_ms else { return age >= ms(policy.rotate_after) };
        // When the document is lost, nothing tells when the successor was published, but when it was made.
        let successor = user.live_keys().map(|other| other.created_ms).max();
        let overlap = then.saturating_sub(successor.map_or(superseded, |made| made.min(superseded)));
        age >= ms(policy.delete_after) && overlap >= ms(policy.min_overlap)
    };
    world.iam.all().any(|(_, user)| user.live_keys().any(|key| comes_of_age(user, key)))
}

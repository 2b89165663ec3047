//! What must hold before every step, and when a user is at rest. Each is said from the contract,
//! about the world as it is, and not with the planner's own words.

use super::super::document::KeyDocument;
use super::super::memory::{MINT_FRESH, MINT_SLACK, MINT_WINDOW, Mint};
use super::super::observed::{Key, Leftover, Observed, Stored, Tags, User};
use super::super::plan::{Desired, Evidence, Next, Plan, State};
use super::super::policy::{ForeignKeys, OrphanScope};
use super::super::step::Step;
use super::super::tags;
use super::super::time::Timestamp;
use super::super::user::{AccessKeyId, UserId};
use super::world::{BOUNDARY, Stale, World};

type Verdict = Result<(), String>;

fn demand(holds: bool, what: &str) -> Verdict {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Checks a plan before it is carried out.
pub(super) fn before(world: &World, observed: &Observed, plan: &Plan) -> Verdict {
    let checked = match &plan.next {
        Next::Do(step) => change(world, step),
        Next::AskToDelete(id, evidence) => ask_to_delete(world, observed, id, *evidence),
        Next::Prove | Next::ListLeftovers | Next::WaitUntil(..) | Next::Rest { .. } => Ok(()),
    };
    checked.map_err(|what| format!("{what}: rule {} plans {:?}", plan.rule, plan.next))
}

fn change(world: &World, step: &Step) -> Verdict {
    ownership(world, step)?;
    demand(!step.takes_away() || world.clock_trusted, "nothing is taken away while the clock is off")?;
    match step {
        Step::CreateUser { .. } => demand(world.desired == Desired::Present, "a user needs a row"),
        Step::OpenMint { .. } => boundary(world),
        Step::CreateKey => boundary(world).and_then(|()| create_key(world)),
        Step::DeactivateKey { key } | Step::DeleteKey { key } => lose_key(world, step, key),
        Step::Publish { document, minted } => publish(world, document, minted.as_ref()),
        Step::TagKeys { tags: written } => tag_keys(world, written),
        Step::UntagKeys { tags: names } => {
            let living =
                |name: &String| world.keys.iter().any(|key| key.id.as_str().eq_ignore_ascii_case(name));
            demand(!names.iter().any(living), "only tags of dead keys are removed")
        }
        Step::DeleteUser { user } => {
            demand(world.keys.is_empty() && world.leftovers.is_empty(), "the user is bare")?;
            demand(world.memory.condemned.as_ref() == Some(user), "deletion was granted")
        }
        Step::DeleteParameter => {
            let same = world.user.as_ref().is_some_and(|user| user.name == world.name);
            let served = world.desired == Desired::Present;
            demand(!same && !served, "the user is gone, and its row gone or not served")?;
            let evidence = world.memory.remove_parameter || world.memory.revoke_before.is_some();
            demand(evidence, "there is evidence of a removal")
        }
        Step::Adopt { .. } | Step::RestoreBoundary { .. } | Step::Remove { .. } => Ok(()),
    }
}

/// Only owned users are changed, of exactly this name, and never the one that the controller runs as.
fn ownership(world: &World, step: &Step) -> Verdict {
    let Some(user) = &world.user else {
        let harmless = matches!(step, Step::CreateUser { .. } | Step::DeleteParameter);
        return demand(harmless || world.stale != Stale::default(), "there is a user to be changed");
    };
    demand(world.own_user.as_ref() != Some(&user.id), "the controller's own user is left alone")?;
    if step.takes_away() && world.memory.condemned.as_ref() == Some(&user.id) {
        // What a user has besides keys is listed once the keys are gone.
        let listed = matches!(step, Step::Remove { .. } | Step::DeleteUser { .. });
        return demand(may_go(world, user, listed), "a user that is not in question is left alone");
    }
    if matches!(step, Step::DeleteParameter) || (matches!(step, Step::CreateUser { .. }) && world.stale.user)
    {
        return Ok(());
    }
    demand(user.name == world.name, "a user of another spelling is left alone")?;
    demand(world.desired == Desired::Present, "a user without a row is left alone")?;
    let owned = tags::owned(&user.tags, &world.policy.table);
    demand(owned || matches!(step, Step::Adopt { .. }), "a user that is not owned is left alone")
}

/// Whether the user may be deleted at all: owned ones; where the whole account is swept, those that
/// belong to no other table; and of these, unless they are included, nobody with a console login,
/// once what the user has is `listed`.
fn may_go(world: &World, user: &User, listed: bool) -> bool {
    let tag = |name: &str| user.tags.get(name).map(String::as_str);
    if tag(tags::MANAGED_BY) == Some(tags::CONTROLLER) && tag(tags::TABLE) == Some("users") {
        return true;
    }
    let person = listed && world.leftovers.contains(&Leftover::LoginProfile);
    world.policy.orphan_scope == OrphanScope::Account
        && tag(tags::TABLE).is_none_or(|table| table == "users")
        && (!person || world.policy.include_console_users)
}

fn boundary(world: &World) -> Verdict {
    let boundary = world.user.as_ref().and_then(|user| user.boundary.as_deref());
    demand(boundary == Some(BOUNDARY), "the boundary is right before a key is minted")
}

fn create_key(world: &World) -> Verdict {
    let Mint::Opened { at, sent: false } = &world.memory.mint else {
        return Err("a mint is open and nothing was sent under it".to_owned());
    };
    let tag = world.user.as_ref().and_then(|user| tags::minting_since(&user.tags));
    demand(tag == Some(*at), "the tag is open with the time that the process remembers")?;
    demand(world.now.since(*at) < MINT_FRESH && *at <= world.now, "the tag is fresh")?;
    demand(!world.asked_under.contains(at), "one key at most is asked for under one tag")
}

fn compromised(world: &World, key: &AccessKeyId) -> bool {
    world.memory.compromised.contains(key)
}

/// Every reason for which a key may be taken away; each is proven anew from the world.
fn lose_key(world: &World, step: &Step, id: &AccessKeyId) -> Verdict {
    let Some(user) = &world.user else { return Ok(()) };
    if world.memory.condemned.as_ref() == Some(&user.id) {
        return Ok(());
    }
    let Some(key) = world.key(id) else {
        return demand(world.stale.keys || hand(world) == Some(id), "the key is there");
    };
    let document = world.stored.document();
    demand(document.and_then(KeyDocument::current_id) != Some(id), "the published key is kept")?;
    if compromised(world, id) || hand(world) == Some(id) {
        return Ok(());
    }
    let pending = document.and_then(KeyDocument::pending_id) == Some(id);
    if pending || tags::key_tag(&user.tags, id).is_some() {
        demand(matches!(step, Step::DeleteKey { .. }), "an expired key is deleted")?;
        return expired(world, key.created, id);
    }
    let near = |at: Timestamp| key.created + MINT_SLACK >= at && key.created <= at + MINT_WINDOW;
    let opened = match world.memory.mint {
        Mint::Opened { at, sent: true } => Some(at),
        Mint::Opened { .. } | Mint::Idle | Mint::InHand(_) => tags::minting_since(&user.tags),
    };
    let lost = opened.is_some_and(near);
    demand(lost || world.policy.foreign == ForeignKeys::Revoke, "a foreign key is left alone")
}

fn expired(world: &World, created: Timestamp, id: &AccessKeyId) -> Verdict {
    demand(world.now >= created + world.policy.delete_after, "it has reached keys.delete_after")?;
    let published = match (&world.stored, world.current()) {
        (Stored::Document { modified, .. }, Some(current)) => {
            demand(current.active, "the key that stays works")?;
            *modified
        }
        _ => {
            let user = world.user.as_ref().ok_or("there is a user")?;
            let pending = world.stored.document().and_then(KeyDocument::pending_id);
            let known = |key: &&Key| tags::key_tag(&user.tags, &key.id).is_some() || pending == Some(&key.id);
            let others = world.keys.iter().filter(known).filter(|key| key.id != *id);
            let youngest = others.filter(|key| key.active).map(|key| key.created);
            let youngest = youngest.max().ok_or("the last working key is kept")?;
            demand(youngest >= created, "the youngest key is kept")?;
            youngest
        }
    };
    demand(world.now >= published + world.policy.min_overlap, "its successor has been out for long enough")
}

fn hand(world: &World) -> Option<&AccessKeyId> {
    match &world.memory.mint {
        Mint::InHand(hand) => Some(&hand.id),
        Mint::Idle | Mint::Opened { .. } => None,
    }
}

fn publish(world: &World, new: &KeyDocument, minted: Option<&AccessKeyId>) -> Verdict {
    let old = world.stored.document();
    let lives = |id: &AccessKeyId| world.key(id).is_some();
    match minted {
        Some(id) => {
            let Mint::InHand(hand) = &world.memory.mint else {
                return Err("the new key is in hand".to_owned());
            };
            demand(hand.id == *id && hand.proven && hand.rejected.is_none(), "the new key is proven")?;
            demand(new.current_id() == Some(id), "the new key becomes current")?;
            let before = old.and_then(KeyDocument::current_id).filter(|id| lives(id));
            demand(before.is_none_or(|before| new.pending_id() == Some(before)), "the old key stays readable")
        }
        None => {
            let old = old.ok_or("there is a document")?;
            demand(new.current == old.current && new.pending.is_none(), "only a dead key is forgotten")?;
            let dead = |id: &AccessKeyId| !lives(id) || old.current_id() == Some(id);
            demand(old.pending_id().is_some_and(dead), "the forgotten key is dead")
        }
    }
}

fn tag_keys(world: &World, written: &Tags) -> Verdict {
    let current = world.stored.document().and_then(KeyDocument::current_id);
    for (name, id) in tags::key_tags(written) {
        let is_current = current == Some(&id);
        let says_current = written.get(name).map(String::as_str) == Some(tags::CURRENT);
        demand(is_current == says_current, "tags say what the document says")?;
    }
    Ok(())
}

fn ask_to_delete(world: &World, observed: &Observed, id: &UserId, evidence: Evidence) -> Verdict {
    let user = observed.user.as_ref().filter(|user| user.id == *id).ok_or("it was seen")?;
    demand(world.clock_trusted, "nobody is deleted while the clock is off")?;
    demand(world.own_user.as_ref() != Some(id), "the controller's own user is left alone")?;
    match evidence {
        Evidence::RemoveRecord(removed) => {
            demand(tags::owned(&user.tags, &world.policy.table), "only an owned user is removed")?;
            demand(user.name == world.name, "a user of another spelling has another row")?;
            demand(world.memory.revoke_before == Some(removed), "there is a record")?;
            let older = user.created < removed;
            let tie = user.created == removed && world.desired == Desired::Absent;
            demand(older || tie, "the user is older than its removal")
        }
        Evidence::Orphan => {
            demand(world.memory.orphan.as_ref() == Some(id), "sweeps say so")?;
            demand(may_go(world, user, true), "a user that is not in question is no orphan")?;
            demand(world.desired == Desired::Absent, "an orphan has no row")
        }
    }
}

/// Whether a reader finds a key that works.
pub(super) fn published(world: &World) -> bool {
    world.current().is_some_and(|key| key.active)
}

/// From the first publication on there is never a time without a working key, removal apart.
pub(super) fn still_published(world: &World, before: bool) -> Verdict {
    let removed = world.user.is_none()
        || world.memory.condemned.is_some()
        || world.desired == Desired::Absent
        || world.user.as_ref().is_some_and(|user| user.name != world.name);
    demand(!before || removed || published(world), "a published key works")
}

/// Checks a user at rest.
pub(super) fn at_rest(world: &World, plan: &Plan) -> Verdict {
    let Next::Rest { state, .. } = plan.next else { return Err("at rest".to_owned()) };
    let checked = match state {
        Some(State::Ready) => ready(world),
        Some(State::Blocked) => demand(blocked(world), "there is something that a person has to do"),
        Some(State::Conflict) | None => Ok(()),
        Some(State::Deleting) => demand(world.desired == Desired::Absent, "what is removed has no row"),
        Some(State::Pending | State::Failed | State::Invalid) => Err("at rest is settled".to_owned()),
    };
    checked.map_err(|what| format!("{what}: rule {} rests as {state:?}", plan.rule))
}

fn ready(world: &World) -> Verdict {
    let user = world.user.as_ref().ok_or("there is a user")?;
    demand(world.desired == Desired::Present, "there is a row")?;
    demand(tags::owned(&user.tags, &world.policy.table), "it is owned")?;
    boundary(world)?;
    demand(published(world), "a working key is published")?;
    let rotating = world.current().is_some_and(|key| world.now >= key.created + world.policy.rotate_after);
    demand(rotating || tags::says_not_minting(&user.tags), "no mint is open")?;
    let document = world.stored.document().ok_or("there is a document")?;
    let alive = document.pending_id().is_none_or(|id| world.key(id).is_some());
    demand(alive, "the document names no dead key")?;
    demand(document.pending_id() != document.current_id(), "the document names a key once")?;
    for (_, id) in tags::key_tags(&user.tags) {
        let listed = world.keys.iter().any(|key| key.id.as_str().eq_ignore_ascii_case(id.as_str()));
        demand(listed, "no tag names a dead key")?;
    }
    for key in &world.keys {
        let known = document.current_id() == Some(&key.id)
            || document.pending_id() == Some(&key.id)
            || tags::key_tag(&user.tags, &key.id).is_some();
        demand(known || !world.minted.contains(&key.id), "no key without a stored secret lives on")?;
    }
    Ok(())
}

fn blocked(world: &World) -> bool {
    let unknown = |id: &AccessKeyId| {
        let document = world.stored.document();
        let tags = world.user.as_ref().map(|user| &user.tags);
        document.and_then(KeyDocument::current_id) != Some(id)
            && document.and_then(KeyDocument::pending_id) != Some(id)
            && tags.is_none_or(|tags| tags::key_tag(tags, id).is_none())
    };
    let foreign = world.keys.iter().any(|key| unknown(&key.id) && !world.minted.contains(&key.id));
    let deactivated = world.current().is_some_and(|key| !key.active);
    deactivated
        || world.stored == Stored::NotSecure
        || world.keys.len() >= 2 && !published(world)
        || foreign
        || world.keys.len() >= 2 && world.current().is_some_and(|key| compromised(world, &key.id))
}

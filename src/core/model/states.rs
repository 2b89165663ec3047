//! The states that a user can be in, enumerated.
//!
//! Two families, because the full product has no more to say than they have. *Lives*: an owned user
//! with a row, every combination of keys, document, `minting` tag and memory. *Strangers*: every
//! combination of who the user is, row, evidence and adoption, over a handful of key sets. Left out:
//! the order of keys (the planner does not depend on it, so key sets are unordered); ages that a
//! key's tag makes impossible (a tagged key is not seconds old, since tags follow publication); memory of
//! a mint under a tag that is closed. Every life is seen with a right clock and settled reads; each
//! fourth besides in one other way (clock off, late reads, revoking, compromised, no boundary, proofs
//! refused), in turn. Three keys come only without memory, with at most one of them inactive, and of
//! those each ninth. Of strangers, only owned users and the function's come with every key set.

use std::time::Duration;

use super::super::document::KeyDocument;
use super::super::memory::{Hand, Mint};
use super::super::observed::{Leftover, Stored};
use super::super::plan::Desired;
use super::super::policy::{Adopt, ForeignKeys, OrphanScope};
use super::super::tags;
use super::super::time::Timestamp;
use super::super::user::UserName;
use super::world::{DAY, World, at, key_id, stored_key, user_id};

/// A key as it may be found: its age, whether AWS accepts it, and what its tag says.
type KeyState = (Duration, bool, Option<&'static str>);

const SECONDS: Duration = Duration::from_secs(2);
const YOUNG: Duration = Duration::from_secs(2 * 86_400);
const DUE: Duration = Duration::from_secs(16 * 86_400);
const OLD: Duration = Duration::from_secs(40 * 86_400);
/// When the `minting` tag was written, in states where it is fresh.
const FRESH: Duration = Duration::from_secs(3);

fn key_states() -> Vec<KeyState> {
    let mut states = Vec::new();
    for active in [true, false] {
        states.extend([SECONDS, YOUNG, OLD].map(|age| (age, active, None)));
        for tag in [tags::CURRENT, tags::PENDING_DELETION] {
            states.extend([YOUNG, DUE, OLD].map(|age| (age, active, Some(tag))));
        }
    }
    states
}

/// All unordered sets of up to three keys.
fn key_sets() -> Vec<Vec<KeyState>> {
    let states = key_states();
    let mut sets = vec![Vec::new()];
    for (i, a) in states.iter().enumerate() {
        sets.push(vec![*a]);
        for (j, b) in states.iter().enumerate().skip(i) {
            sets.push(vec![*a, *b]);
            for c in states.iter().skip(j) {
                let set = vec![*a, *b, *c];
                if set.iter().filter(|key| !key.1).count() <= 1 {
                    sets.push(set);
                }
            }
        }
    }
    sets
}

/// What is stored; keys are named by their number, 9 is a key that IAM does not list.
fn stored_states(keys: u64, now: Timestamp) -> Vec<Stored> {
    let reason = "it is not JSON".to_owned();
    let mut all =
        vec![Stored::Missing, Stored::NotSecure, Stored::Unreadable { reason, modified: now - 20 * DAY }];
    let names: Vec<Option<u64>> = [None, Some(9)].into_iter().chain((1..=keys).map(Some)).collect();
    for current in &names {
        for pending in &names {
            for ago in [FRESH, 20 * DAY] {
                let document = KeyDocument {
                    current: current.map(|n| stored_key(&key_id(n))),
                    pending: pending.map(|n| stored_key(&key_id(n))),
                    other: serde_json::Map::new(),
                };
                all.push(Stored::Document { document, modified: now - ago });
            }
        }
    }
    all
}

fn hand(now: Timestamp, proven: bool, rejected: bool) -> Mint {
    Mint::InHand(Hand {
        id: key_id(3),
        secret: stored_key(&key_id(3)).secret,
        opened: now - FRESH,
        minted: now - SECONDS,
        proven,
        rejected: rejected.then(|| "AWS refused it".to_owned()),
        unanswered_put: rejected.then(|| now - SECONDS),
    })
}

/// The `minting` tag, and what the process remembers of the mint.
fn mint_states(now: Timestamp) -> Vec<(Option<String>, Mint)> {
    let fresh = now - FRESH;
    let open = Some(fresh.to_string());
    let opened = |sent| Mint::Opened { at: fresh, sent };
    vec![
        (None, Mint::Idle),
        (Some(tags::NOT_MINTING.to_owned()), Mint::Idle),
        (Some("yesterday".to_owned()), Mint::Idle),
        (open.clone(), Mint::Idle),
        (Some((now - Duration::from_secs(3_600)).to_string()), Mint::Idle),
        (Some((now + 400 * DAY).to_string()), Mint::Idle),
        (open.clone(), opened(false)),
        (open.clone(), opened(true)),
        (open.clone(), hand(now, false, false)),
        (open.clone(), hand(now, true, false)),
        (open, hand(now, false, true)),
    ]
}

/// How the process sees the world, one thing at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    Clear,
    ClockOff,
    Unsettled,
    Revoking,
    Compromised,
    BoundaryGone,
    ProofsRefused,
}

impl Sight {
    const OTHERS: [Sight; 6] = [
        Self::ClockOff,
        Self::Unsettled,
        Self::Revoking,
        Self::Compromised,
        Self::BoundaryGone,
        Self::ProofsRefused,
    ];

    fn set(self, world: &mut World) {
        match self {
            Self::Clear => {}
            Self::ClockOff => world.clock_trusted = false,
            Self::Unsettled => world.memory.last_change = Some(world.now - FRESH),
            Self::Revoking => world.policy.foreign = ForeignKeys::Revoke,
            Self::Compromised => {
                world.memory.compromised = world.keys.iter().map(|key| key.id.clone()).collect();
            }
            Self::BoundaryGone => {
                if let Some(user) = &mut world.user {
                    user.boundary = None;
                }
            }
            Self::ProofsRefused => world.refuse_proofs = 20,
        }
    }
}

/// Owned users with a row.
pub(super) fn lives(mut visit: impl FnMut(World)) {
    let mut count = 0_usize;
    for set in key_sets() {
        let mut world = World::with_user();
        for (n, (age, active, tag)) in (1_u64..).zip(&set) {
            let id = world.add_key(n, *age);
            if let Some(key) = world.keys.last_mut() {
                key.active = *active;
            }
            if let Some(tag) = tag {
                world.tag(&id, tag);
            }
        }
        let three = set.len() == 3;
        for stored in stored_states(u64::try_from(set.len()).unwrap(), world.now) {
            for (tag, mint) in mint_states(world.now) {
                let in_hand = matches!(mint, Mint::InHand(_));
                if three && mint != Mint::Idle {
                    continue;
                }
                count += 1;
                if three && !count.is_multiple_of(9) {
                    continue;
                }
                let other = Sight::OTHERS[count / 4 % Sight::OTHERS.len()];
                let sights = [Some(Sight::Clear), count.is_multiple_of(4).then_some(other)];
                for sight in sights.into_iter().flatten() {
                    let mut start = world.clone();
                    start.stored = stored.clone();
                    start.memory.mint = mint.clone();
                    match &tag {
                        Some(tag) => start.set_tag(tags::MINTING, tag),
                        None => {
                            if let Some(user) = &mut start.user {
                                user.tags.remove(tags::MINTING);
                            }
                        }
                    }
                    if in_hand {
                        start.add_key(3, SECONDS);
                        start.minted.insert(key_id(3));
                    }
                    sight.set(&mut start);
                    visit(start);
                }
            }
        }
    }
}

/// Who has the name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Owned,
    Function,
    Administrator,
    OwnedElsewhere,
    OwnPrincipal,
    OwnedOwnPrincipal,
    OtherSpelling,
}

impl Who {
    const ALL: [Who; 8] = [
        Self::Nobody,
        Self::Owned,
        Self::Function,
        Self::Administrator,
        Self::OwnedElsewhere,
        Self::OwnPrincipal,
        Self::OwnedOwnPrincipal,
        Self::OtherSpelling,
    ];

    fn set(self, world: &mut World) {
        let Some(user) = &mut world.user else { return };
        match self {
            Self::Nobody => {
                world.user = None;
                world.keys.clear();
                return;
            }
            Self::Owned => {}
            Self::Function => {
                user.tags.retain(|key, _| key.starts_with("AKIA"));
            }
            Self::Administrator => user.tags.clear(),
            Self::OwnedElsewhere => {
                user.tags.insert(tags::TABLE.to_owned(), "others".to_owned());
            }
            Self::OwnPrincipal => user.tags.retain(|key, _| key.starts_with("AKIA")),
            Self::OwnedOwnPrincipal => {}
            Self::OtherSpelling => user.name = UserName::parse("Mail").unwrap(),
        }
        if matches!(self, Self::OwnPrincipal | Self::OwnedOwnPrincipal) {
            world.own_user = Some(user.id.clone());
        }
    }
}

/// A handful of key sets that stand for all.
fn households() -> Vec<World> {
    let mut worlds = vec![World::with_user(), World::settled(YOUNG), World::settled(DUE)];
    let mut rotated = World::settled(YOUNG);
    let old = rotated.add_key(2, DUE);
    rotated.tag(&old, tags::PENDING_DELETION);
    rotated.publish(Some(1), Some(2), YOUNG);
    worlds.push(rotated);
    let mut lost = World::settled(DUE);
    lost.add_key(3, SECONDS);
    lost.minted.insert(key_id(3));
    lost.set_tag(tags::MINTING, &(lost.now - FRESH).to_string());
    worlds.push(lost);
    for world in &mut worlds {
        world.leftovers = vec![
            Leftover::LoginProfile,
            Leftover::Group("staff".to_owned()),
            Leftover::InlinePolicy("p".to_owned()),
        ];
    }
    worlds
}

/// Everybody whom a name can belong to.
pub(super) fn strangers(mut visit: impl FnMut(World)) {
    let created = World::with_user().user.unwrap().created;
    let rows =
        [Desired::Present, Desired::Absent, Desired::Shadowed { by: UserName::parse("MAIL").unwrap() }];
    let second = Duration::from_secs(1);
    let records = [None, Some(created - second), Some(created), Some(created + second)];
    for (number, household) in households().into_iter().enumerate() {
        for who in Who::ALL {
            let keys_matter = matches!(who, Who::Owned | Who::Function);
            if !keys_matter && number.is_multiple_of(2) {
                continue;
            }
            for row in &rows {
                for record in records {
                    for (adopt, orphan, condemned, kept, clock, settled, taken, scope) in flags(who) {
                        let mut world = household.clone();
                        who.set(&mut world);
                        scope.set(&mut world);
                        if who != Who::Owned {
                            world.minted.clear();
                        }
                        world.desired = row.clone();
                        world.memory.revoke_before = record;
                        world.policy.adopt = adopt;
                        world.memory.orphan = orphan.then(|| user_id(1));
                        world.memory.condemned = condemned.map(|(id, _)| user_id(id));
                        world.memory.told_to_delete = condemned.is_some_and(|(_, told)| told);
                        world.memory.remove_parameter = !kept;
                        world.clock_trusted = clock;
                        world.memory.last_change = (!settled).then(|| world.now - FRESH);
                        world.memory.name_taken_since = taken.map(|ago| world.now - ago);
                        world.memory.name_taken_again = world.memory.name_taken_since;
                        visit(world);
                    }
                }
            }
        }
    }
}

/// Whom a sweep may delete, and whether this user has a console login.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Owned,
    Account,
    AccountWithoutLogin,
    AccountWithConsoleUsers,
}

impl Scope {
    const ALL: [Scope; 4] =
        [Self::Owned, Self::Account, Self::AccountWithoutLogin, Self::AccountWithConsoleUsers];

    fn set(self, world: &mut World) {
        if self != Self::Owned {
            world.policy.orphan_scope = OrphanScope::Account;
        }
        world.policy.include_console_users = self == Self::AccountWithConsoleUsers;
        if self == Self::AccountWithoutLogin {
            world.leftovers.retain(|leftover| *leftover != Leftover::LoginProfile);
        }
    }
}

/// `condemned` has the id of the user, and whether it was granted to this process.
type Flags = (Adopt, bool, Option<(u64, bool)>, bool, bool, bool, Option<Duration>, Scope);

/// The remaining choices, as far as they can matter to this user.
fn flags(who: Who) -> Vec<Flags> {
    let adopts: &[Adopt] = match who {
        Who::Nobody | Who::Owned | Who::OwnedOwnPrincipal | Who::OtherSpelling => &[Adopt::Tagged],
        Who::Function | Who::Administrator | Who::OwnedElsewhere | Who::OwnPrincipal => {
            &[Adopt::Never, Adopt::Tagged, Adopt::Always]
        }
    };
    let taken: &[Option<Duration>] = match who {
        Who::Nobody => &[None, Some(FRESH), Some(DAY)],
        Who::Owned
        | Who::Function
        | Who::Administrator
        | Who::OwnedElsewhere
        | Who::OwnPrincipal
        | Who::OwnedOwnPrincipal
        | Who::OtherSpelling => &[None],
    };
    // Who may be adopted has nothing to do with whom a sweep may delete.
    let scopes = |adopt: Adopt| if adopt == Adopt::Tagged { &Scope::ALL[..] } else { &[Scope::Owned] };
    let mut all = Vec::new();
    for (adopt, scope) in
        adopts.iter().flat_map(|adopt| scopes(*adopt).iter().map(move |scope| (adopt, scope)))
    {
        for orphan in [false, true] {
            for condemned in [None, Some((1, true)), Some((1, false)), Some((7, true))] {
                for kept in [true, false] {
                    for clock in [true, false] {
                        for settled in [true, false] {
                            for taken in taken {
                                all.push((*adopt, orphan, condemned, kept, clock, settled, *taken, *scope));
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

/// Start of the runs in which every call is broken.
pub(super) fn turning_points() -> Vec<(&'static str, World)> {
    let mut all = vec![("create", World::new()), ("rotate", World::settled(15 * DAY))];
    let mut expire = World::settled(DUE);
    let old = expire.add_key(2, OLD);
    expire.tag(&old, tags::PENDING_DELETION);
    expire.publish(Some(1), Some(2), DUE);
    all.push(("expire and rotate", expire));
    let mut adopt = World::settled(YOUNG);
    Who::Function.set(&mut adopt);
    if let Some(user) = &mut adopt.user {
        user.boundary = None;
    }
    all.push(("adopt", adopt.clone()));
    adopt.stored = Stored::Missing;
    all.push(("adopt without a parameter", adopt));
    let mut refused = World::settled(15 * DAY);
    refused.refuse_proofs = 14;
    all.push(("rotate, and AWS refuses the key", refused));
    let mut lost = World::settled(15 * DAY);
    lost.add_key(3, SECONDS);
    lost.minted.insert(key_id(3));
    lost.set_tag(tags::MINTING, &(lost.now - FRESH).to_string());
    all.push(("lost mint", lost));
    let mut quarantined = World::settled(YOUNG);
    quarantined.memory.compromised.insert(key_id(1));
    all.push(("compromised", quarantined));
    let mut foreign = World::settled(YOUNG);
    foreign.policy.foreign = ForeignKeys::Revoke;
    foreign.add_key(2, OLD);
    all.push(("foreign key to be revoked", foreign));
    let mut remove = World::settled(YOUNG);
    remove.leftovers = vec![Leftover::LoginProfile, Leftover::Group("staff".to_owned())];
    remove.memory.revoke_before = Some(at(-1));
    let mut recreate = remove.clone();
    remove.desired = Desired::Absent;
    all.push(("remove", remove));
    recreate.desired = Desired::Present;
    all.push(("recreate", recreate));
    all
}

//! The world of one user: what is in AWS, what the process remembers, and what each step does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::document::{KeyDocument, StoredKey};
use super::super::memory::{Hand, Memory, Mint, SETTLE};
use super::super::observed::{Key, Leftover, Observed, Stored, Tags, User};
use super::super::plan::{Desired, Next, Plan, State, View, plan};
use super::super::policy::{Adopt, ForeignKeys, Policy};
use super::super::secret::Secret;
use super::super::step::Step;
use super::super::tags;
use super::super::time::Timestamp;
use super::super::user::{AccessKeyId, UserId, UserName};
use super::invariants;

pub(super) const DAY: Duration = Duration::from_secs(86_400);
pub(super) const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/limit";
/// How long a call takes.
const CALL: Duration = Duration::from_millis(200);
/// Looks after which a user must be at rest.
pub(super) const LOOKS: usize = 60;
/// With reads that are as late as they may be, a step is seen and repeated for some seconds.
const LATE_LOOKS: usize = 400;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process dies before the call.
    CrashBefore,
    /// The process dies when the call has taken effect.
    CrashAfter,
    /// The process dies, and the call takes effect seconds later.
    CrashLate,
    /// The call takes effect, and its answer is lost.
    LostReply,
    /// The call is lost.
    LostCall,
    /// The answer is lost, and the call takes effect seconds later.
    Late,
}

impl Fault {
    pub(super) const ALL: [Fault; 6] =
        [Self::CrashBefore, Self::CrashAfter, Self::CrashLate, Self::LostReply, Self::LostCall, Self::Late];

    fn crashes(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter | Self::CrashLate)
    }
}

/// Which reads of IAM show the world of [`SETTLE`] ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stale {
    pub(super) user: bool,
    pub(super) keys: bool,
}

/// What the process takes IAM to hold after its own last change, which reads may not show yet.
#[derive(Clone, Debug)]
struct Believed {
    observed: Observed,
    until: Timestamp,
    /// Whether the read that it began with was settled.
    settled: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) name: UserName,
    pub(super) now: Timestamp,
    pub(super) desired: Desired,
    pub(super) policy: Policy,
    pub(super) clock_trusted: bool,
    pub(super) own_user: Option<UserId>,
    pub(super) user: Option<User>,
    pub(super) keys: Vec<Key>,
    pub(super) stored: Stored,
    pub(super) leftovers: Vec<Leftover>,
    listed: Option<Vec<Leftover>>,
    pub(super) memory: Memory,
    pub(super) sweep: u64,
    /// Proofs that AWS will refuse.
    pub(super) refuse_proofs: u32,
    /// Keys that the model has minted.
    pub(super) minted: BTreeSet<AccessKeyId>,
    /// Tags under which a key was asked for.
    pub(super) asked_under: BTreeSet<Timestamp>,
    /// Whether the brake grants deletions.
    pub(super) brake_open: bool,
    pub(super) stale: Stale,
    believed: Option<Believed>,
    /// Whether a reader has found a key that works, and nothing was removed since.
    was_published: bool,
    past: Vec<(Timestamp, Option<User>, Vec<Key>)>,
    late: Vec<(Timestamp, Step)>,
    serial: u64,
    /// The n-th change fails so.
    pub(super) fault: Option<(usize, Fault)>,
    /// Changes that were begun.
    pub(super) changes: usize,
    /// Names of the rules that decided, for failures' messages.
    pub(super) trace: Vec<&'static str>,
    pub(super) looks: usize,
}

pub(super) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

pub(super) fn key_id(n: u64) -> AccessKeyId {
    AccessKeyId::parse(&format!("AKIA{n:016}")).unwrap()
}

pub(super) fn user_id(n: u64) -> UserId {
    UserId(format!("AIDA{n}"))
}

pub(super) fn stored_key(id: &AccessKeyId) -> StoredKey {
    StoredKey { id: id.clone(), secret: Secret::new(format!("secret of {id}")) }
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis() / 1_000 * 1_000)
}

pub(super) fn policy() -> Policy {
    Policy {
        table: "users".to_owned(),
        boundary: Some(BOUNDARY.to_owned()),
        adopt: Adopt::Tagged,
        rotate_after: 15 * DAY,
        delete_after: 30 * DAY,
        min_overlap: 15 * DAY / 2,
        foreign: ForeignKeys::Report,
        verify: true,
        verify_timeout: Duration::from_secs(60),
        orphan_scope: crate::core::policy::OrphanScope::Owned,
        include_console_users: false,
    }
}

impl World {
    /// A row, and nothing else.
    pub(super) fn new() -> Self {
        Self {
            name: UserName::parse("mail").unwrap(),
            now: at(0) + Duration::from_millis(300),
            desired: Desired::Present,
            policy: policy(),
            clock_trusted: true,
            own_user: None,
            user: None,
            keys: Vec::new(),
            stored: Stored::Missing,
            leftovers: Vec::new(),
            listed: None,
            memory: Memory::default(),
            sweep: 1,
            refuse_proofs: 0,
            minted: BTreeSet::new(),
            asked_under: BTreeSet::new(),
            brake_open: true,
            stale: Stale::default(),
            believed: None,
            was_published: false,
            past: Vec::new(),
            late: Vec::new(),
            serial: 100,
            fault: None,
            changes: 0,
            trace: Vec::new(),
            looks: 0,
        }
    }

    /// An owned user without keys, as wanted but for them.
    pub(super) fn with_user() -> Self {
        let mut world = Self::new();
        let mut tags = tags::ownership("users");
        tags.insert(tags::MINTING.to_owned(), tags::NOT_MINTING.to_owned());
        world.user = Some(User {
            name: world.name.clone(),
            id: user_id(1),
            created: at(-86_400 * 60),
            boundary: Some(BOUNDARY.to_owned()),
            tags,
        });
        world
    }

    /// A settled user whose one key has this age.
    pub(super) fn settled(age: Duration) -> Self {
        let mut world = Self::with_user();
        let id = world.add_key(1, age);
        world.tag(&id, tags::CURRENT);
        world.publish(Some(1), None, age);
        world
    }

    pub(super) fn add_key(&mut self, n: u64, age: Duration) -> AccessKeyId {
        let created = whole_second(self.now - age);
        self.keys.push(Key { id: key_id(n), active: true, created });
        key_id(n)
    }

    pub(super) fn tag(&mut self, key: &AccessKeyId, value: &str) {
        self.set_tag(key.as_str(), value);
    }

    pub(super) fn set_tag(&mut self, key: &str, value: &str) {
        if let Some(user) = &mut self.user {
            user.tags.insert(key.to_owned(), value.to_owned());
        }
    }

    pub(super) fn publish(&mut self, current: Option<u64>, pending: Option<u64>, ago: Duration) {
        let document = KeyDocument {
            current: current.map(|n| stored_key(&key_id(n))),
            pending: pending.map(|n| stored_key(&key_id(n))),
            other: serde_json::Map::new(),
        };
        self.stored = Stored::Document { document, modified: self.now - ago };
    }

    /// What the last look has found on the user besides keys, if it looked.
    pub(super) fn see_leftovers(&mut self, seen: Option<&[Leftover]>) {
        self.listed = seen.map(<[_]>::to_vec);
    }

    pub(super) fn key(&self, id: &AccessKeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == *id)
    }

    pub(super) fn current(&self) -> Option<&Key> {
        self.stored.document().and_then(KeyDocument::current_id).and_then(|id| self.key(id))
    }

    /// A look: what IAM and SSM answer now.
    fn observe(&self) -> Observed {
        let then = self.now - SETTLE;
        // Each entry is what was there before the change of that time.
        let old = self.past.iter().find(|(time, ..)| *time > then);
        let (mut user, mut keys) = (self.user.clone(), self.keys.clone());
        if let Some((_, old_user, old_keys)) = old {
            if self.stale.user {
                user.clone_from(old_user);
            }
            if self.stale.keys {
                keys.clone_from(old_keys);
            }
        }
        if user.is_none() {
            keys.clear();
        }
        Observed { user, keys, stored: self.stored.clone(), leftovers: self.listed.clone() }
    }

    fn believed(&self) -> Option<&Believed> {
        self.believed.as_ref().filter(|believed| self.now < believed.until)
    }

    fn reads_settled(&self) -> bool {
        match self.believed() {
            Some(believed) => believed.settled,
            None => self.memory.unsettled_until(self.now).is_none(),
        }
    }

    fn view<'a>(&'a self, observed: &'a Observed) -> View<'a> {
        View {
            name: &self.name,
            desired: &self.desired,
            observed,
            memory: &self.memory,
            policy: &self.policy,
            now: self.now,
            clock_trusted: self.clock_trusted,
            reads_settled: self.reads_settled(),
            sweep: self.sweep,
            own_user: self.own_user.as_ref(),
        }
    }

    /// One look, and the plan that follows from it.
    pub(super) fn look(&mut self) -> (Observed, Plan) {
        self.arrive();
        let observed = match self.believed() {
            Some(Believed { observed, .. }) => {
                Observed { stored: self.stored.clone(), leftovers: self.listed.clone(), ..observed.clone() }
            }
            None => self.observe(),
        };
        self.memory.take_in(&observed, self.sweep);
        let plan = plan(&self.view(&observed));
        self.trace.push(plan.rule);
        self.looks += 1;
        (observed, plan)
    }

    /// Looks and acts until there is nothing left to do, and checks every step.
    pub(super) fn settle(&mut self) -> Result<Plan, String> {
        let limit = if self.stale == Stale::default() { LOOKS } else { LATE_LOOKS };
        let mut waits_for_clock = 0;
        for _ in 0..limit {
            let (observed, plan) = self.look();
            invariants::before(self, &observed, &plan)?;
            invariants::still_published(self, self.was_published)?;
            self.was_published = invariants::published(self);
            match &plan.next {
                Next::WaitUntil(until, _) => {
                    if *until <= self.now {
                        return Err(format!("{} waits for the past", plan.rule));
                    }
                    if until.since(self.now) > Duration::from_secs(3_600) {
                        return Err(format!("{} waits for {:?}", plan.rule, until.since(self.now)));
                    }
                    waits_for_clock += 1;
                    if waits_for_clock == 4 {
                        self.clock_trusted = true;
                    }
                    self.pass(*until);
                }
                Next::Rest { due, .. } => {
                    if due.is_some_and(|due| due <= self.now) {
                        return Err(format!("{} rests until the past", plan.rule));
                    }
                    if !self.clock_trusted {
                        self.clock_trusted = true;
                        continue;
                    }
                    if let Some(soon) =
                        due.filter(|due| due.since(self.now) <= SETTLE && !self.reads_settled())
                    {
                        self.pass(soon);
                        continue;
                    }
                    let (_, again) = self.look();
                    if again != plan {
                        return Err(format!("rests, then plans {again:?}"));
                    }
                    if !self.late.is_empty() {
                        self.pass(self.now + SETTLE);
                        continue;
                    }
                    invariants::at_rest(self, &plan)?;
                    return Ok(plan);
                }
                next @ (Next::Do(_) | Next::Prove | Next::ListLeftovers | Next::AskToDelete(..)) => {
                    self.act(&next.clone(), observed);
                    if matches!(next, Next::AskToDelete(..)) && !self.brake_open {
                        return Ok(plan);
                    }
                }
            }
            invariants::still_published(self, self.was_published)?;
        }
        Err(format!("not at rest after {limit} looks"))
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, until: Timestamp) {
        self.now = until;
    }

    fn arrive(&mut self) {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|(time, _)| *time <= now);
        self.late = later;
        for (time, step) in due {
            self.now = time;
            self.remember_past();
            self.effect(&step);
        }
        self.now = now;
    }

    fn remember_past(&mut self) {
        if self.stale != Stale::default() {
            self.past.push((self.now, self.user.clone(), self.keys.clone()));
        }
    }

    fn act(&mut self, next: &Next, observed: Observed) {
        let listed = self.listed.take();
        match next {
            Next::Do(step) => self.apply(step, observed),
            Next::Prove => {
                if self.refuse_proofs > 0 {
                    self.refuse_proofs -= 1;
                    self.now = self.now + Duration::from_secs(5);
                } else if let Mint::InHand(hand) = &mut self.memory.mint {
                    hand.proven = true;
                }
            }
            Next::ListLeftovers => self.listed = Some(self.leftovers.clone()),
            Next::AskToDelete(id, _) if self.brake_open => {
                self.memory.condemned = Some(id.clone());
                self.memory.told_to_delete = true;
                self.memory.remove_parameter = self.desired == Desired::Absent;
            }
            Next::AskToDelete(..) => self.listed = listed,
            Next::WaitUntil(..) | Next::Rest { .. } => {}
        }
    }

    fn apply(&mut self, step: &Step, mut observed: Observed) {
        self.remember_past();
        self.changes += 1;
        let fault = self.fault.filter(|(n, _)| *n == self.changes).map(|(_, fault)| fault);
        self.now = self.now + CALL;
        if let Step::CreateUser { minting: at } | Step::OpenMint { at } = step {
            self.memory.last_mint = Some(*at);
        }
        if let (Step::CreateKey, Mint::Opened { at, .. }) = (step, &self.memory.mint) {
            self.asked_under.insert(*at);
        }
        let done = match fault {
            None => self.effect(step),
            Some(Fault::CrashAfter | Fault::LostReply) => {
                self.effect(step);
                false
            }
            Some(Fault::CrashLate | Fault::Late) => {
                self.late.push((self.now + Duration::from_secs(8), step.clone()));
                false
            }
            Some(Fault::CrashBefore | Fault::LostCall) => false,
        };
        if fault.is_some_and(Fault::crashes) {
            self.crash();
        } else if fault.is_some() {
            self.unanswered(step);
        } else if done {
            let settled = self.reads_settled();
            self.answered(step, &mut observed);
            self.memory.last_change = Some(self.now);
            self.believed = Some(Believed { observed, until: self.now + SETTLE, settled });
        } else {
            self.believed = None;
            if matches!(step, Step::CreateUser { .. }) {
                self.memory.name_taken(self.now);
                self.now = self.now + Duration::from_secs(2);
            }
        }
    }

    /// The process dies; the next one knows what is recorded in the state table.
    fn crash(&mut self) {
        let before = std::mem::take(&mut self.memory);
        self.listed = None;
        self.believed = None;
        self.memory.last_change = Some(self.now);
        // The granted deletion and the REMOVE record are kept elsewhere until they are settled.
        self.memory.condemned = before.condemned;
        self.memory.remove_parameter = before.remove_parameter;
        self.memory.revoke_before = before.revoke_before;
        self.memory.orphan = before.orphan;
        self.memory.compromised = before.compromised;
        self.now = self.now + Duration::from_secs(1);
    }

    fn unanswered(&mut self, step: &Step) {
        self.believed = None;
        self.memory.last_change = Some(self.now);
        match (step, &mut self.memory.mint) {
            (Step::CreateKey, Mint::Opened { sent, .. }) => *sent = true,
            (Step::Publish { minted: Some(_), .. }, Mint::InHand(hand)) => {
                hand.unanswered_put = Some(self.now);
            }
            (Step::Publish { minted: None, .. } | Step::DeleteParameter, _) => {
                self.memory.unanswered_write = Some(self.now);
            }
            _ => {}
        }
    }

    /// What reconciling takes in of an answer.
    fn answered(&mut self, step: &Step, observed: &mut Observed) {
        match (step, &self.memory.mint) {
            (Step::CreateUser { minting }, _) => {
                observed.user.clone_from(&self.user);
                self.memory.mint = Mint::Opened { at: *minting, sent: false };
            }
            (Step::CreateKey, Mint::Opened { at, .. }) => {
                if let Some(key) = self.keys.last() {
                    observed.keys.push(key.clone());
                    self.memory.mint = Mint::InHand(Hand {
                        id: key.id.clone(),
                        secret: stored_key(&key.id).secret,
                        opened: *at,
                        minted: self.now,
                        proven: !self.policy.verify,
                        rejected: None,
                        unanswered_put: None,
                    });
                }
            }
            _ => observed.after(step, &mut self.memory, self.now),
        }
    }

    /// What a call does in AWS; false when AWS refuses it.
    fn effect(&mut self, step: &Step) -> bool {
        match step {
            Step::CreateUser { minting } => {
                if self.user.is_some() {
                    return false;
                }
                self.serial += 1;
                let mut tags = tags::ownership(&self.policy.table);
                tags.insert(tags::MINTING.to_owned(), minting.to_string());
                self.user = Some(User {
                    name: self.name.clone(),
                    id: user_id(self.serial),
                    created: whole_second(self.now),
                    boundary: self.policy.boundary.clone(),
                    tags,
                });
            }
            Step::Adopt { tags } | Step::TagKeys { tags } => self.put_tags(tags),
            Step::OpenMint { at } => {
                self.put_tags(&BTreeMap::from([(tags::MINTING.to_owned(), at.to_string())]));
            }
            Step::RestoreBoundary { policy } => {
                if let Some(user) = &mut self.user {
                    user.boundary = Some(policy.clone());
                }
            }
            Step::CreateKey => {
                if self.user.is_none() || self.keys.len() >= 3 {
                    return false;
                }
                self.serial += 1;
                let id = key_id(self.serial);
                self.keys.push(Key { id: id.clone(), active: true, created: whole_second(self.now) });
                self.minted.insert(id);
            }
            Step::Publish { document, .. } => {
                self.stored = Stored::Document { document: document.clone(), modified: self.now };
            }
            Step::UntagKeys { tags } => {
                if let Some(user) = &mut self.user {
                    user.tags.retain(|key, _| !tags.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
                }
            }
            Step::DeactivateKey { key } => {
                for key in self.keys.iter_mut().filter(|other| other.id == *key) {
                    key.active = false;
                }
            }
            Step::DeleteKey { key } => self.keys.retain(|other| other.id != *key),
            Step::Remove { leftover } => self.leftovers.retain(|other| other != leftover),
            // IAM acts on the name, and refuses while anything is left.
            Step::DeleteUser { .. } => {
                if !self.keys.is_empty() || !self.leftovers.is_empty() {
                    return false;
                }
                self.user = None;
            }
            Step::DeleteParameter => self.stored = Stored::Missing,
        }
        true
    }

    /// TagUser: keys are compared without regard to case, and keep the case that they have.
    fn put_tags(&mut self, tags: &Tags) {
        let Some(user) = &mut self.user else { return };
        for (key, value) in tags {
            let same = user.tags.keys().find(|old| old.eq_ignore_ascii_case(key)).cloned();
            user.tags.insert(same.unwrap_or_else(|| key.clone()), value.clone());
        }
    }
}

/// The state that a plan to rest leaves a user in.
pub(super) fn rests_as(plan: &Plan) -> Option<State> {
    let Next::Rest { state, .. } = plan.next else { panic!("{:?} is no rest", plan.next) };
    state
}

//! Invariants 1–9 of the architecture, judged at every change that the program makes.
//!
//! The account calls [`take_off`] when a change is sent, [`arrives`] when it reaches AWS, [`before`]
//! when it is about to take effect, [`after`] when it has, and [`published`], [`minted`],
//! [`state_written`] and [`swapped`] where those things happen. [`unsettled`] says what is left to do
//! when everything should be done.
//!
//! What an operator did by hand excuses the program until that user is as it should be again, and
//! what just changed excuses it for [`Rules::grace`]: it decides by what it saw a moment ago.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use iam_user_controller::brakes;
use iam_user_controller::core::document::KeyDocument;
use iam_user_controller::core::memory::{MINT_SLACK, MINT_WINDOW};
use iam_user_controller::core::observed::{Leftover, Tags};
use iam_user_controller::core::parameter_name::ParameterTemplate;
use iam_user_controller::core::policy::{Adopt, ForeignKeys, OrphanAction, OrphanScope, Policy};
use iam_user_controller::core::time::Timestamp;
use iam_user_controller::core::user::{AccessKeyId, UserId, UserName};
use iam_user_controller::ports::{NewUser, Record};

use crate::account::{Maker, RowLife, SECRET_MARK, Sent, SimKey, SimUser, World, is_owned, tag};
use crate::faults::Call;

const MINTING: &str = "iam-user-controller:minting";
const OWNERSHIP: [&str; 2] = ["managed-by", "iam-user-controller:table"];

/// What the program was told to do, as far as the invariants depend on it.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    pub(crate) template: ParameterTemplate,
    pub(crate) scope: OrphanScope,
    pub(crate) action: OrphanAction,
    /// Names that no sweep deletes; a `*` at the end stands for anything.
    pub(crate) protect: Vec<String>,
    pub(crate) orphan_min_age: Duration,
    /// In how many sweeps running somebody has to be an orphan.
    pub(crate) orphan_sweeps: NonZeroU32,
    /// The deletion brake: count, percent, window.
    pub(crate) brake: (u32, u32, Duration),
    /// How long the program may act on what it saw before something changed.
    pub(crate) grace: Duration,
    /// How wrong the program's clock may be.
    pub(crate) clock_error: Duration,
    /// How late a due key may be when everything has settled: a sweep, and the time to work on it.
    pub(crate) lateness: Duration,
    /// How often every user is looked at in full.
    pub(crate) full_every: Duration,
    /// The record of the state table that says who leads.
    pub(crate) lease_record: String,
}

impl Rules {
    /// The contract's defaults, for a table and a boundary.
    pub(crate) fn contract() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            policy: Policy {
                table: "users".to_owned(),
                boundary: Some("arn:aws:iam::123456789012:policy/boundary".to_owned()),
                adopt: Adopt::Tagged,
                rotate_after: 15 * DAY,
                delete_after: 30 * DAY,
                min_overlap: 15 * DAY / 2,
                foreign: ForeignKeys::Report,
                verify: true,
                verify_timeout: Duration::from_secs(60),
                orphan_scope: iam_user_controller::core::policy::OrphanScope::Owned,
                include_console_users: false,
            },
            template: ParameterTemplate::parse("/iam_users/{UserName}_keys").expect("the contract's own"),
            scope: OrphanScope::Owned,
            action: OrphanAction::Delete,
            protect: Vec::new(),
            orphan_min_age: Duration::from_secs(900),
            orphan_sweeps: const { NonZeroU32::new(2).expect("not 0") },
            brake: (10, 20, Duration::from_secs(3_600)),
            grace: Duration::from_secs(60),
            clock_error: Duration::from_secs(2),
            lateness: Duration::from_secs(2 * 3_600),
            // Between the end of the faults and the end of the silence.
            full_every: Duration::from_secs(20),
            lease_record: "lease".to_owned(),
        }
    }

    fn protects(&self, name: &str) -> bool {
        self.protect.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        })
    }
}

/// A change of a user or of its parameter, about to take effect.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    CreateUser(&'a NewUser),
    TagUser(&'a Tags),
    UntagUser(&'a [String]),
    PutBoundary(&'a str),
    CreateKey,
    DeactivateKey(&'a AccessKeyId),
    DeleteKey(&'a AccessKeyId),
    Remove(&'a Leftover),
    DeleteUser,
    PutParameter,
    DeleteParameter,
}

impl Change<'_> {
    /// Whether it is a part of taking a user down.
    fn destroys(&self) -> bool {
        match self {
            Self::DeactivateKey(_)
            | Self::DeleteKey(_)
            | Self::Remove(_)
            | Self::DeleteUser
            | Self::DeleteParameter => true,
            Self::CreateUser(_)
            | Self::TagUser(_)
            | Self::UntagUser(_)
            | Self::PutBoundary(_)
            | Self::CreateKey
            | Self::PutParameter => false,
        }
    }
}

/// A change that was sent and has not been answered.
#[derive(Debug)]
struct InFlight {
    number: u64,
    replica: usize,
    subject: String,
    begun_ms: u64,
}

/// What the invariants remember.
#[derive(Debug, Default)]
pub(crate) struct Book {
    violations: Vec<String>,
    in_flight: Vec<InFlight>,
    /// Users that the change under way touched.
    touched: Vec<String>,
    program_acts: bool,
    /// Which replica holds the lease, and since when.
    holder: Option<(usize, u64)>,
    /// It has given the lease back.
    given_back: bool,
    /// The last fencing token of each replica, and the newest of all.
    tokens: BTreeMap<usize, u64>,
    newest_token: u64,
    /// How many changes of a user have reached AWS under a token after there was a newer one.
    overtaken: BTreeMap<(String, u64), u32>,
    /// Which users the program deleted, or tried to.
    begun: BTreeSet<UserId>,
    /// Whose deletion was granted, and when that was first on record.
    granted: BTreeMap<UserId, u64>,
    /// Users who were given what was meant for another one of their name, whom somebody had deleted.
    strays: BTreeSet<UserId>,
    /// The parameters of those whom the program deleted.
    bereft: BTreeSet<String>,
    /// When it began with those that still count.
    deletions: VecDeque<u64>,
    /// Whom the program has deleted, and when in the history.
    pub(crate) deleted: Vec<(u64, String)>,
    /// What it sent to change whom, and when in the history.
    pub(crate) sent: Vec<(u64, Call, String)>,
    /// How often each record of the state table was written.
    pub(crate) written: BTreeMap<String, u64>,
    /// An operator let held deletions go on.
    pub(crate) deletions_resumed: bool,
    /// When that was last.
    resumed_ms: u64,
    /// Users whose row was not there then: their deletion is licensed, and uses up no budget.
    licensed: Vec<UserId>,
}

impl Book {
    pub(crate) fn violated(&self) -> bool {
        !self.violations.is_empty()
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Whether this replica holds the lease.
    pub(crate) fn leads(&self, replica: usize) -> bool {
        self.holder.is_some_and(|(holder, _)| holder == replica) && !self.given_back
    }

    /// The token that a replica took its last lease with.
    pub(crate) fn token(&self, replica: usize) -> u64 {
        self.tokens.get(&replica).copied().unwrap_or(0)
    }

    /// The newest fencing token.
    pub(crate) fn newest_token(&self) -> u64 {
        self.newest_token
    }

    /// The replica that took the lease last.
    pub(crate) fn holder(&self) -> Option<usize> {
        self.holder.map(|(replica, _)| replica)
    }

    /// How many changes have reached AWS after the lease under which they were sent.
    pub(crate) fn overtaken(&self) -> u32 {
        self.overtaken.values().sum()
    }

    pub(crate) fn program_acts(&mut self, acts: bool) {
        self.program_acts = acts;
    }

    /// Says that a user or its parameter has changed.
    pub(crate) fn touch(&mut self, folded: &str) {
        if self.program_acts {
            self.touched.push(folded.to_owned());
        }
    }

    /// The change has been answered, or its caller has given it up.
    pub(crate) fn lands(&mut self, number: u64) {
        self.in_flight.retain(|flight| flight.number != number);
    }

    /// A process is gone, and nobody waits for its answers.
    pub(crate) fn dies(&mut self, replica: usize) {
        self.in_flight.retain(|flight| flight.replica != replica);
    }

    /// An operator says that held deletions, which are of these users at most, may go on.
    pub(crate) fn resume_deletions(&mut self, licensed: Vec<UserId>, now: u64) {
        (self.deletions_resumed, self.resumed_ms) = (true, now);
        self.licensed.extend(licensed);
    }
}

/// Remembers a broken invariant, with its number.
pub(crate) fn violation(world: &mut World, number: u8, what: String) {
    if world.book.violations.len() < 20 {
        let text = format!("invariant {number}: {what}");
        world.note(0xBAD, 0, "VIOLATION", || text.clone());
        world.book.violations.push(text);
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// 5: a change is sent. One user, one worker; and who does not lead begins nothing.
pub(crate) fn take_off(
    world: &mut World,
    replica: usize,
    number: u64,
    begun_ms: u64,
    call: Call,
    subject: &str,
) {
    let flight = InFlight { number, replica, subject: subject.to_owned(), begun_ms };
    // What was begun before another took the lease over counts when it arrives.
    if world.book.holder.is_some_and(|(holder, since)| holder != replica && begun_ms <= since) {
        world.book.in_flight.push(flight);
        return;
    }
    let book = &world.book;
    let rival = book.holder.filter(|(holder, _)| *holder != replica);
    let leads_since = book.holder.filter(|(holder, _)| *holder == replica).map(|(_, since)| since);
    let mut stale = 0;
    let mut broken = None;
    for flight in book.in_flight.iter().filter(|flight| flight.subject == subject) {
        let harmless = flight.replica != replica && leads_since.is_some_and(|since| flight.begun_ms <= since);
        stale += usize::from(harmless);
        if !harmless || stale > 1 {
            broken = Some(format!(
                "{} on {subject} is sent by replica {replica} while call #{} of replica {} is on its way",
                call.name(),
                flight.number,
                flight.replica
            ));
        }
    }
    if let Some((holder, _)) = rival {
        broken = Some(format!(
            "{} on {subject} is sent by replica {replica} while replica {holder} holds the lease",
            call.name()
        ));
    }
    if book.given_back && rival.is_none() && book.holder.is_some() {
        broken = Some(format!(
            "{} on {subject} is sent by replica {replica} after it has given the lease back",
            call.name()
        ));
    }
    if let Some(broken) = broken {
        violation(world, 5, broken);
    }
    let when = world.elapsed_ms();
    world.book.sent.push((when, call, subject.to_owned()));
    world.book.in_flight.push(flight);
}

/// A record was put exactly where another was: the lease changes hands so.
pub(crate) fn swapped(world: &mut World, replica: usize, record: &Record) {
    if record.id != world.rules.lease_record {
        return;
    }
    let (now, book) = (world.now, &mut world.book);
    if record.token < book.newest_token {
        violation(world, 5, format!("the lease's token goes down to {}", record.token));
        return;
    }
    book.given_back = record.body.contains(r#""released":true"#);
    book.newest_token = record.token;
    book.tokens.insert(replica, record.token);
    if book.holder.is_none_or(|(holder, _)| holder != replica) {
        book.holder = Some((replica, now));
    }
}

/// 5: a change reaches AWS. Under a token that is not the newest any more, one change of a user may: the
/// one that was on its way. What it does is judged like everything else.
pub(crate) fn arrives(world: &mut World, replica: usize, sent: &Sent) {
    let Some(user) = sent.user.as_ref().filter(|_| sent.token < world.book.newest_token) else { return };
    let late = world.book.overtaken.entry((user.clone(), sent.token)).or_default();
    *late += 1;
    let late = *late;
    world.note(9, replica, user, || "a change arrives after its lease".to_owned());
    if late > 1 {
        let what =
            format!("change number {late} of {user} arrives under token {}, which is stale", sent.token);
        violation(world, 5, what);
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

/// 9: the state table holds no secret. 7: it tells when a deletion was granted.
pub(crate) fn state_written(world: &mut World, record: &Record) {
    for user in granted(record) {
        world.book.granted.entry(user).or_insert(world.now);
    }
    if record.body.contains(SECRET_MARK) || record.id.contains(SECRET_MARK) {
        violation(world, 9, format!("the state record {} holds a secret", record.id));
    }
}

/// Whether a row of this name was there within the grace.
fn row_lately(world: &World, folded: &str) -> bool {
    let since = world.now.saturating_sub(ms(world.rules.grace));
    let mut lives = world.table.life.iter().filter(|(name, _)| name.eq_ignore_ascii_case(folded));
    lives.any(|(_, life)| life.present || life.removed_ms.is_some_and(|removed| removed >= since))
}

/// Whether the row of this user is there, in its very spelling, and has been for longer than the grace.
fn row_stands(world: &World, user: &SimUser) -> bool {
    let since = world.now.saturating_sub(ms(world.rules.grace));
    let life = world.table.life.get(user.name.as_str());
    life.is_some_and(|life| life.present && life.present_since_ms <= since.max(1))
}

/// A mint that is open for longer is not going on: a key is given up when it cannot be proven in time.
const MINT_IS_OVER: Duration = Duration::from_secs(180);

/// What is no evidence yet, and will be.
const TOO_YOUNG: &str = "it is younger than an orphan has to be";

/// 7: why this user may be taken down, or why not.
fn removal_evidence(world: &World, user: &SimUser) -> Result<(), String> {
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

fn adoptable(world: &World, folded: &str, user: &SimUser) -> bool {
    row_lately(world, folded)
        && match world.rules.policy.adopt {
            Adopt::Never => false,
            Adopt::Always => true,
            Adopt::Tagged => user.live_keys().any(|key| {
                tag(user.tags.get(), key.id.as_str())
                    .is_some_and(|role| role == "current" || role == "pending_deletion")
            }),
        }
}

/// Judges a change that is about to take effect.
pub(crate) fn before(world: &mut World, folded: &str, change: &Change<'_>) {
    let mut broken: Vec<(u8, String)> = Vec::new();
    match (change, world.iam.live(folded)) {
        (Change::CreateUser(new), _) => creation(world, folded, new, &mut broken),
        (_, None) => {}
        (change, Some(user)) => {
            ownership(world, folded, user, change, &mut broken);
            let excused = user.meddled_ms.is_some();
            let evidence = removal_evidence(world, user);
            match change {
                Change::PutBoundary(arn) if world.rules.policy.boundary.as_deref() != Some(*arn) => {
                    broken.push((3, format!("the boundary of {folded} is set to {arn}")));
                }
                Change::CreateKey => mint(world, folded, user, &mut broken),
                Change::DeactivateKey(id) | Change::DeleteKey(id) if evidence.is_err() => {
                    key_loss(world, folded, user, id, &mut broken);
                }
                Change::Remove(leftover) if !excused => {
                    if let Err(why) = evidence {
                        broken.push((7, format!("{leftover:?} of {folded} is removed, but {why}")));
                    }
                }
                Change::DeleteUser => {
                    if let Err(why) = evidence {
                        broken.push((7, format!("user {folded} is deleted, but {why}")));
                    }
                }
                Change::CreateUser(_)
                | Change::TagUser(_)
                | Change::UntagUser(_)
                | Change::PutBoundary(_)
                | Change::DeactivateKey(_)
                | Change::DeleteKey(_)
                | Change::Remove(_)
                | Change::PutParameter
                | Change::DeleteParameter => {}
            }
        }
    }
    let told = match change {
        Change::TagUser(tags) => Some(*tags),
        Change::CreateUser(new) => Some(&new.tags),
        _ => None,
    };
    if told.is_some_and(|tags| tags.iter().any(|(k, v)| k.contains(SECRET_MARK) || v.contains(SECRET_MARK))) {
        broken.push((9, format!("a tag of {folded} holds a secret")));
    }
    for (number, what) in broken {
        violation(world, number, what);
    }
    if change.destroys() {
        let doomed = world.iam.live(folded).is_some_and(|user| removal_evidence(world, user).is_ok());
        let now = world.now;
        if let Some(user) = world.iam.live_mut(folded) {
            user.doomed_ms = doomed.then(|| user.doomed_ms.unwrap_or(now));
        }
    }
    if matches!(change, Change::DeleteUser) {
        if let Some(user) = world.iam.live(folded) {
            let parameter = world.parameter_of(&user.name);
            world.book.bereft.insert(parameter);
        }
        brake(world, folded);
    }
}

/// 3, 4: what a user is born with.
fn creation(world: &World, folded: &str, new: &NewUser, broken: &mut Vec<(u8, String)>) {
    let policy = &world.rules.policy;
    if policy.boundary.is_some() && new.boundary != policy.boundary {
        broken.push((3, format!("{folded} is created with boundary {:?}", new.boundary)));
    }
    if !is_owned(&new.tags, policy) {
        broken.push((4, format!("{folded} is created without ownership tags")));
    }
    if !row_lately(world, folded) {
        broken.push((4, format!("{folded} is created, but no row names it")));
    }
}

/// 4: only owned users are changed.
fn ownership(
    world: &World,
    folded: &str,
    user: &SimUser,
    change: &Change<'_>,
    broken: &mut Vec<(u8, String)>,
) {
    let policy = &world.rules.policy;
    match change {
        Change::TagUser(tags) => {
            let spoilt = OWNERSHIP.iter().any(|key| tag(tags, key).is_some());
            if spoilt && !is_owned(tags, policy) {
                broken.push((4, format!("{folded} gets half an ownership: {tags:?}")));
            }
        }
        Change::UntagUser(keys)
            if keys.iter().any(|key| OWNERSHIP.iter().any(|tag| tag.eq_ignore_ascii_case(key))) =>
        {
            broken.push((4, format!("ownership tags of {folded} are removed")));
        }
        _ => {}
    }
    if is_owned(user.tags.get(), policy) {
        return;
    }
    let adopts =
        matches!(change, Change::TagUser(tags) if is_owned(tags, policy)) && adoptable(world, folded, user);
    let lately = user.meddled_ms.is_some_and(|at| at + ms(world.rules.grace) >= world.now);
    let orphan = world.rules.scope == OrphanScope::Account
        && change.destroys()
        && removal_evidence(world, user).is_ok();
    if !(adopts || lately || orphan) {
        broken.push((4, format!("{change:?} on {folded}, which is not owned")));
    }
}

/// 2, 3, 5: a key is minted once for each intention, on a user with its boundary.
fn mint(world: &World, folded: &str, user: &SimUser, broken: &mut Vec<(u8, String)>) {
    let policy = &world.rules.policy;
    let excused = user.meddled_ms.is_some();
    if policy.boundary.is_some() && user.boundary.get() != &policy.boundary && !excused {
        broken.push((3, format!("a key of {folded} is minted with boundary {:?}", user.boundary.get())));
    }
    if !row_lately(world, folded) {
        broken.push((4, format!("a key of {folded} is minted, but no row names it")));
    }
    match tag(user.tags.get(), MINTING) {
        Some(value) if value != "none" => {
            // A late call that was meant for the user before it may have used the tag up.
            if !world.book.strays.contains(&user.id) && user.minted_under.iter().any(|spent| spent == value) {
                broken.push((5, format!("a second key of {folded} is minted for the mint of {value}")));
            }
        }
        _ if excused => {}
        _ => broken.push((2, format!("a key of {folded} is minted while no mint is open"))),
    }
    if excused {
        return;
    }
    let document = world.document_of(&user.name);
    let current = document.as_ref().and_then(KeyDocument::current_id);
    let pending = document.as_ref().and_then(KeyDocument::pending_id);
    for key in user.live_keys() {
        let listed = Some(&key.id) == current || Some(&key.id) == pending;
        if key.maker == Maker::Program && !listed && key.published_ms.is_none() {
            broken.push((2, format!("a key of {folded} is minted while {} is unpublished", key.id)));
        }
        let age = world.now.saturating_sub(key.created_ms) + 1_000 + ms(world.rules.clock_error);
        if Some(&key.id) == current && *key.active.get() && age < ms(policy.rotate_after) {
            broken.push((1, format!("{folded} gets a new key while its current one is only {age} ms old")));
        }
    }
}

/// 1, 2: a key is deactivated or deleted although its user is to stay.
fn key_loss(world: &World, folded: &str, user: &SimUser, id: &AccessKeyId, broken: &mut Vec<(u8, String)>) {
    let policy = &world.rules.policy;
    let Some(key) = user.live_key(id) else { return };
    if user.meddled_ms.is_some() && key.maker == Maker::Program {
        return;
    }
    if key.maker == Maker::Operator && !key.claimed && key.published_ms.is_none() {
        if policy.foreign == ForeignKeys::Report && !key.ambiguous && !of_the_mint(user, key) {
            broken.push((2, format!("{id} of {folded} is taken away, and somebody else made it")));
        }
        return;
    }
    if user.meddled_ms.is_some() {
        return;
    }
    let document = world.document_of(&user.name);
    if document.as_ref().and_then(KeyDocument::current_id) == Some(id) {
        broken.push((1, format!("{id} of {folded} is taken away while it is published as current")));
        return;
    }
    if key.published_ms.is_none() {
        return;
    }
    let slack = ms(world.rules.clock_error) + 1_000;
    let now = world.now;
    let age = now.saturating_sub(key.created_ms);
    let published = document.as_ref().map_or(now, |document| successor_published(user, document, key));
    let overlap = now.saturating_sub(published);
    if age + slack < ms(policy.delete_after) || overlap + slack < ms(policy.min_overlap) {
        broken.push((
            1,
            format!("{id} of {folded} is taken away {age} ms old, its successor published {overlap} ms ago"),
        ));
    }
}

/// Since when consumers could have gone over from this key to the one that is published now.
fn successor_published(user: &SimUser, document: &KeyDocument, key: &SimKey) -> u64 {
    let current = document.current_id().and_then(|id| user.live_key(id));
    let published = current.and_then(|current| current.published_ms);
    published.max(key.superseded_ms).unwrap_or(u64::MAX)
}

/// For how long a key that has a successor should have been gone.
fn expired_since(world: &World, user: &SimUser, document: &KeyDocument, key: &SimKey) -> u64 {
    let policy = &world.rules.policy;
    let overlapped = successor_published(user, document, key).saturating_add(ms(policy.min_overlap));
    world.now.saturating_sub(overlapped.max(key.created_ms + ms(policy.delete_after)))
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
fn brake(world: &mut World, folded: &str) {
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

/// A key is about to be made, or tags are to be written, and were meant for this user when the call was
/// sent. When somebody has deleted that one meanwhile, a late call gives them to whoever has the name
/// now: that is their doing.
pub(crate) fn meant_for(world: &mut World, folded: &str, meant: Option<&UserId>) {
    let Some(meant) = meant.filter(|meant| !world.book.begun.contains(*meant)) else { return };
    let now = world.now;
    if let Some(user) = world.iam.live_mut(folded).filter(|user| user.id != *meant) {
        user.meddled_ms = Some(now);
        world.book.strays.insert(user.id.clone());
    }
}

/// 2, 5: a key was minted.
pub(crate) fn minted(world: &mut World, folded: &str) {
    if let Some(user) = world.iam.live_mut(folded) {
        let value = tag(user.tags.get(), MINTING).unwrap_or("none").to_owned();
        if user.minted_under.len() == 8 {
            user.minted_under.remove(0);
        }
        user.minted_under.push(value);
    }
}

/// 1: a document was published where another one, or none, was `before`.
pub(crate) fn published(world: &mut World, folded: &str, before: Option<&KeyDocument>, text: &str) {
    let now = world.now;
    let document = KeyDocument::parse(&iam_user_controller::core::secret::Secret::new(text));
    let verify = world.rules.policy.verify;
    let Some(user) = world.iam.live_mut(folded) else { return };
    let excused = user.meddled_ms.is_some();
    let mut broken = None;
    let current = match &document {
        Ok(document) => document.current.as_ref(),
        Err(_) => None,
    };
    match current {
        None => broken = Some(format!("a document without a current key is published for {folded}")),
        Some(stored) => {
            for key in user.keys.iter_mut().filter(|key| key.exists()) {
                if key.id == stored.id {
                    key.claimed = true;
                    key.published_ms.get_or_insert(now);
                    key.superseded_ms = None;
                    if key.secret != stored.secret.expose() {
                        broken = Some(format!("{} of {folded} is published with a wrong secret", key.id));
                    } else if !*key.active.get() && !excused {
                        broken = Some(format!("{} of {folded} is published inactive", key.id));
                    } else if verify && key.usable_ms > now && !excused {
                        broken = Some(format!("{} of {folded} is published before AWS accepts it", key.id));
                    }
                } else if key.published_ms.is_some() {
                    key.superseded_ms.get_or_insert(now);
                }
            }
            let new = before.and_then(KeyDocument::current_id) != Some(&stored.id);
            if new && user.live_key(&stored.id).is_none() && !excused {
                broken = Some(format!("{} is published for {folded}, which has no such key", stored.id));
            }
            // Consumers that have read the document before still use its key, and may ask for it again.
            let pending = document.as_ref().ok().and_then(KeyDocument::pending_id);
            let left = before.and_then(KeyDocument::current_id).filter(|id| **id != stored.id);
            if let Some(left) = left.filter(|id| Some(*id) != pending && !excused)
                && user.live_key(left).is_some()
            {
                broken = Some(format!("{left} of {folded} is left out of the document, and lives"));
            }
        }
    }
    if let Some(broken) = broken {
        violation(world, 1, broken);
    }
}

/// Whether `current` in the user's parameter is a key that works.
fn current_works(world: &World, user: &SimUser) -> bool {
    world.document_of(&user.name).and_then(|document| document.current).is_some_and(|stored| {
        let key = user.live_key(&stored.id);
        key.is_some_and(|key| *key.active.get() && key.secret == stored.secret.expose())
    })
}

/// Judges what a change has made of the users that it touched.
pub(crate) fn after(world: &mut World) {
    while let Some(folded) = world.book.touched.pop() {
        let Some(user) = world.iam.live(&folded) else { continue };
        let works = current_works(world, user);
        let owned = is_owned(user.tags.get(), &world.rules.policy);
        let lost = user.armed && !works && user.meddled_ms.is_none();
        let unjustified = lost && removal_evidence(world, user).is_err();
        let mended = user.meddled_ms.is_some_and(|at| at + ms(world.rules.grace) < world.now)
            && faults_of(world, user).is_empty();
        if let Some(user) = world.iam.live_mut(&folded) {
            user.armed = owned && works;
            if mended {
                user.meddled_ms = None;
            }
            let SimUser { keys, tags, .. } = user;
            for key in keys.iter_mut().filter(|key| !key.claimed) {
                key.claimed = tag(tags.get(), key.id.as_str()).is_some();
            }
        }
        if unjustified {
            violation(world, 1, format!("`current` of {folded} is no working key any more"));
        }
    }
}

/// Of rows that differ only in case, the one that is served.
fn served<'a>(world: &World, rows: &[&'a str]) -> Option<&'a str> {
    let first = rows.iter().min().copied()?;
    let live = world.iam.live(&first.to_ascii_lowercase());
    let exact = live.and_then(|user| rows.iter().find(|row| **row == user.name.as_str()).copied());
    Some(exact.unwrap_or(first))
}

/// What is wrong with a user that has a row and is owned.
fn faults_of(world: &World, user: &SimUser) -> Vec<String> {
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

/// Whether a key is of the age that a key of the open mint would have: clocks differ a little, and IAM
/// tells whole seconds.
fn of_the_mint(user: &SimUser, key: &SimKey) -> bool {
    let opened = tag(user.tags.get(), MINTING).and_then(Timestamp::parse);
    let created = Timestamp::from_millis(key.created_ms);
    opened.is_some_and(|at| created + MINT_SLACK + ROUNDING >= at && created <= at + MINT_WINDOW)
}

/// Users and parameters that should be gone.
fn orphans(world: &World, faults: &mut Vec<String>) {
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

/// AWS tells times in whole seconds, and the program's clock differs a little from it.
const ROUNDING: Duration = Duration::from_secs(5);

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

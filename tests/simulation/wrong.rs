//! Wrong versions of the program: each has one thing done wrong at a port, or is configured otherwise
//! than the invariants believe. Random histories have to catch them, or the bars of `safety`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iam_user_controller::config::Settings;
use iam_user_controller::core::document::KeyDocument;
use iam_user_controller::core::observed::{Glance, Key, Leftover, Tags, User};
use iam_user_controller::core::parameter_name::ParameterName;
use iam_user_controller::core::policy::{Adopt, ForeignKeys};
use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::time::Timestamp;
use iam_user_controller::core::user::{AccessKeyId, UserId, UserName};
use iam_user_controller::ports::{
    Batch, CallError, Caller, ChangeKind, Clock, Directory, Fault, Identity, ItemPage, MintedKey, NewUser,
    Page, ParameterValue, Ports, Position, Proof, Receipt, Record, SequenceNumber, ShardDescription, ShardId,
    ShardIterator, ShardPage, StateError, StateStore, StreamError, Streams, TableDescription, UsersTable,
    Vault,
};
use prometheus::Registry;

use crate::account::ReplicaPorts;
use crate::harness::{self, Report, Scenario};
use crate::matrix;
use crate::program;
use crate::swarm;

/// One thing done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// CreateAccessKey is sent again when its answer is lost.
    RetriesCreateKey,
    /// Keys are published without a proof.
    ProvesNothing,
    /// The `minting` tag is not written before the key is made.
    OpensNoMint,
    /// Users are created without their boundary.
    ForgetsBoundary,
    /// A user that cannot be read is taken for one that is gone.
    ErrorMeansNoUser,
    /// Only the first page of the table is scanned.
    ScansOnePage,
    /// REMOVE records are passed over.
    SkipsRemovals,
    /// A write of the parameter that brings no answer is taken for done.
    BelievesPut,
    /// The document loses the key before the current one.
    PublishesCurrentOnly,
    /// The tags say that a mint is over before its key is published.
    ClosesMintFirst,
    /// Removals that wait are not read back after a restart.
    ForgetsRemovals,
    /// The lease is taken by whoever wants it.
    SharesLease,
    /// The secret is written into a tag.
    TagsSecret,
    /// Half of the keys' time.
    RotatesEarly,
    /// Old keys go as soon as they are old.
    NoOverlap,
    /// Everybody is adopted.
    AdoptsAll,
    /// Keys of others are revoked.
    RevokesForeign,
    /// The brake never holds.
    NoBrake,
    /// The checkpoint passes what was read, not what is settled.
    CheckpointsAhead,
    /// A shard is read from its end, not from its beginning.
    BeginsAtTheEnd,
    /// Every table is taken for the same table.
    ForgetsTableId,
    /// A read of the table that fails has found nothing of interest; of a table that is gone, too.
    ErrorMeansNoRow,
    /// Who is not in the scan, or in the part of it that was answered, has no row.
    BelievesScan,
    /// An empty table is a table like others.
    NeverEmpty,
    /// A list of users that fails ends there.
    ErrorEndsList,
    /// A parameter that cannot be read is taken for one that is gone.
    ErrorMeansNoParameter,
    /// The local clock is right.
    TrustsClock,
    /// Who is owned by anybody is owned by us.
    OwnsAll,
    /// The program does not know that it runs as a user.
    ForgetsItself,
    /// The answer to a question about leftovers is that there are none.
    SeesNoLeftovers,
}

/// Those that random histories have to catch.
const FLAWS: [Flaw; 21] = [
    Flaw::RetriesCreateKey,
    Flaw::ProvesNothing,
    Flaw::OpensNoMint,
    Flaw::ForgetsBoundary,
    Flaw::ErrorMeansNoUser,
    Flaw::ScansOnePage,
    Flaw::SkipsRemovals,
    Flaw::BelievesPut,
    Flaw::PublishesCurrentOnly,
    Flaw::ClosesMintFirst,
    Flaw::ForgetsRemovals,
    Flaw::SharesLease,
    Flaw::TagsSecret,
    Flaw::RotatesEarly,
    Flaw::NoOverlap,
    Flaw::AdoptsAll,
    Flaw::RevokesForeign,
    Flaw::NoBrake,
    Flaw::CheckpointsAhead,
    Flaw::BeginsAtTheEnd,
    Flaw::ForgetsTableId,
];

impl Flaw {
    fn settings(self, settings: &mut Settings) {
        match self {
            Self::RotatesEarly => settings.keys.rotate_after /= 2,
            Self::NoOverlap => settings.keys.min_overlap = Duration::ZERO,
            Self::AdoptsAll => settings.users.adopt = Adopt::Always,
            Self::RevokesForeign => settings.keys.foreign = ForeignKeys::Revoke,
            Self::NoBrake => settings.deletions.max_count = u32::MAX,
            _ => {}
        }
    }
}

/// Ports that do one thing wrong.
#[derive(Clone)]
struct Wrong {
    right: ReplicaPorts,
    flaw: Flaw,
    secret: Arc<Mutex<Option<String>>>,
    stream: Arc<Mutex<Read>>,
    table: Arc<Mutex<Seen>>,
}

/// What was seen of the users table.
#[derive(Default)]
struct Seen {
    description: Option<TableDescription>,
    /// Rows of the last scan.
    scanned: BTreeSet<String>,
}

/// What was read of the stream.
#[derive(Default)]
struct Read {
    /// Iterators to the beginning of a shard.
    beginnings: BTreeSet<String>,
    /// The last record of each shard.
    last: BTreeMap<ShardId, SequenceNumber>,
    /// Which shard an iterator reads.
    shards: BTreeMap<String, ShardId>,
}

fn unclear<T>(answer: &Result<T, CallError>) -> bool {
    answer.as_ref().is_err_and(|error| error.fault == Fault::Indeterminate)
}

const MINTING: &str = "iam-user-controller:minting";

impl Directory for Wrong {
    async fn glance(&self, token: Option<&str>) -> Result<Page<Glance>, CallError> {
        let mut page = match self.right.glance(token).await {
            Err(_) if self.flaw == Flaw::ErrorEndsList => Page { items: Vec::new(), next: None },
            answer => answer?,
        };
        page.items.iter_mut().for_each(|glance| self.claim(&mut glance.user));
        Ok(page)
    }
    async fn user(&self, name: &UserName) -> Result<Option<User>, CallError> {
        match self.right.user(name).await {
            Err(_) if self.flaw == Flaw::ErrorMeansNoUser => Ok(None),
            mut answer => {
                if let Ok(Some(user)) = &mut answer {
                    self.claim(user);
                }
                answer
            }
        }
    }
    async fn keys(&self, name: &UserName) -> Result<Option<Vec<Key>>, CallError> {
        self.right.keys(name).await
    }
    async fn has_console_login(&self, name: &UserName) -> Result<bool, CallError> {
        self.right.has_console_login(name).await
    }
    async fn leftovers(&self, name: &UserName) -> Result<Vec<Leftover>, CallError> {
        match self.flaw {
            Flaw::SeesNoLeftovers => Ok(Vec::new()),
            _ => self.right.leftovers(name).await,
        }
    }
    async fn create_user(&self, user: &NewUser) -> Result<(UserId, Timestamp, Receipt), CallError> {
        let mut user = user.clone();
        if self.flaw == Flaw::ForgetsBoundary {
            user.boundary = None;
        }
        self.right.create_user(&user).await
    }
    async fn tag_user(&self, name: &UserName, tags: &Tags) -> Result<Receipt, CallError> {
        let mut tags = tags.clone();
        let opens = tags.get(MINTING).is_some_and(|at| at != "none");
        if opens && self.flaw == Flaw::OpensNoMint {
            tags.insert(MINTING.to_owned(), "none".to_owned());
        }
        if self.flaw == Flaw::TagsSecret {
            let secret = self.secret.lock().expect("nobody panics").clone();
            tags.extend(secret.map(|secret| ("secret".to_owned(), secret)));
        }
        self.right.tag_user(name, &tags).await
    }
    async fn untag_user(&self, name: &UserName, keys: &[String]) -> Result<Receipt, CallError> {
        self.right.untag_user(name, keys).await
    }
    async fn put_boundary(&self, name: &UserName, policy_arn: &str) -> Result<Receipt, CallError> {
        self.right.put_boundary(name, policy_arn).await
    }
    async fn create_key(&self, name: &UserName) -> Result<(MintedKey, Receipt), CallError> {
        let mut answer = self.right.create_key(name).await;
        if self.flaw == Flaw::RetriesCreateKey && unclear(&answer) {
            answer = self.right.create_key(name).await;
        }
        if let Ok((key, _)) = &answer {
            *self.secret.lock().expect("nobody panics") = Some(key.secret.expose().to_owned());
            if self.flaw == Flaw::ClosesMintFirst {
                let closed = Tags::from([(MINTING.to_owned(), "none".to_owned())]);
                self.right.tag_user(name, &closed).await?;
            }
        }
        answer
    }
    async fn deactivate_key(&self, name: &UserName, key: &AccessKeyId) -> Result<Receipt, CallError> {
        self.right.deactivate_key(name, key).await
    }
    async fn delete_key(&self, name: &UserName, key: &AccessKeyId) -> Result<Receipt, CallError> {
        self.right.delete_key(name, key).await
    }
    async fn remove(&self, name: &UserName, leftover: &Leftover) -> Result<Receipt, CallError> {
        self.right.remove(name, leftover).await
    }
    async fn delete_user(&self, name: &UserName) -> Result<Receipt, CallError> {
        self.right.delete_user(name).await
    }
}

impl Vault for Wrong {
    async fn get(&self, name: &ParameterName) -> Result<Option<ParameterValue>, CallError> {
        match Vault::get(&self.right, name).await {
            Err(_) if self.flaw == Flaw::ErrorMeansNoParameter => Ok(None),
            answer => answer,
        }
    }
    async fn put(&self, name: &ParameterName, text: &Secret) -> Result<Receipt, CallError> {
        let document = KeyDocument::parse(text).ok().filter(|_| self.flaw == Flaw::PublishesCurrentOnly);
        let text = match document {
            Some(document) => KeyDocument { pending: None, ..document }.to_text(),
            None => text.clone(),
        };
        match Vault::put(&self.right, name, &text).await {
            Err(error) if self.flaw == Flaw::BelievesPut && error.fault == Fault::Indeterminate => {
                Ok(Receipt::default())
            }
            answer => answer,
        }
    }
    async fn delete(&self, name: &ParameterName) -> Result<Receipt, CallError> {
        Vault::delete(&self.right, name).await
    }
}

impl Identity for Wrong {
    async fn caller(&self) -> Result<Caller, CallError> {
        let mut caller = self.right.caller().await?;
        if self.flaw == Flaw::ForgetsItself {
            caller.arn = caller.arn.replace(":user/", ":assumed-role/");
        }
        Ok(caller)
    }
    async fn prove(&self, key: &AccessKeyId, secret: &Secret) -> Result<Proof, CallError> {
        match self.flaw {
            Flaw::ProvesNothing => Ok(Proof::Accepted),
            _ => self.right.prove(key, secret).await,
        }
    }
}

impl UsersTable for Wrong {
    async fn describe(&self) -> Result<Option<TableDescription>, CallError> {
        let mut table = UsersTable::describe(&self.right).await?;
        if let Some(table) = table.as_mut().filter(|_| self.flaw == Flaw::ForgetsTableId) {
            table.id = "always the same".to_owned();
            table.arn = "always the same".to_owned();
        }
        let mut seen = self.table.lock().expect("nobody panics");
        match (table, self.flaw) {
            (None, Flaw::ErrorMeansNoRow) => Ok(seen.description.clone()),
            (table, _) => {
                seen.description = table.clone().or(seen.description.take());
                Ok(table)
            }
        }
    }
    async fn contains(&self, name: &str) -> Result<bool, CallError> {
        match (self.right.contains(name).await, self.flaw) {
            (Err(_), Flaw::ErrorMeansNoRow) => Ok(false),
            (_, Flaw::BelievesScan) => Ok(self.table.lock().expect("nobody panics").scanned.contains(name)),
            (answer, _) => answer,
        }
    }
    async fn scan(&self, after: Option<&str>) -> Result<ItemPage, CallError> {
        let mut page = match (self.right.scan(after).await, self.flaw) {
            // So that it is not empty, which is another matter.
            (Err(_), Flaw::ErrorMeansNoRow) => ItemPage { names: vec!["nobody".to_owned()], next: None },
            (Err(_), Flaw::BelievesScan) => ItemPage { names: Vec::new(), next: None },
            (answer, _) => answer?,
        };
        if self.flaw == Flaw::ScansOnePage {
            page.next = None;
        }
        if self.flaw == Flaw::NeverEmpty && after.is_none() && page.names.is_empty() {
            page.names.push("nobody".to_owned());
        }
        let mut seen = self.table.lock().expect("nobody panics");
        if after.is_none() {
            seen.scanned.clear();
        }
        seen.scanned.extend(page.names.iter().cloned());
        Ok(page)
    }
}

impl Streams for Wrong {
    async fn shards(&self, stream: &str, after: Option<&ShardId>) -> Result<ShardPage, StreamError> {
        self.right.shards(stream, after).await
    }
    async fn children(&self, stream: &str, parent: &ShardId) -> Result<Vec<ShardDescription>, StreamError> {
        self.right.children(stream, parent).await
    }
    async fn iterator(
        &self,
        stream: &str,
        shard: &ShardId,
        position: &Position,
    ) -> Result<ShardIterator, StreamError> {
        let iterator = self.right.iterator(stream, shard, position).await?;
        let mut read = self.stream.lock().expect("nobody panics");
        read.shards.insert(iterator.0.clone(), shard.clone());
        if *position == Position::TrimHorizon {
            read.beginnings.insert(iterator.0.clone());
        }
        Ok(iterator)
    }
    async fn records(&self, iterator: &ShardIterator) -> Result<Batch, StreamError> {
        let mut batch = self.right.records(iterator).await?;
        if self.flaw == Flaw::SkipsRemovals {
            batch.records.retain(|record| record.kind != ChangeKind::Removed);
        }
        let mut read = self.stream.lock().expect("nobody panics");
        if self.flaw == Flaw::BeginsAtTheEnd && read.beginnings.contains(&iterator.0) {
            batch.records.clear();
        }
        if let Some(shard) = read.shards.get(&iterator.0).cloned() {
            read.last.extend(batch.records.last().map(|record| (shard.clone(), record.sequence.clone())));
            read.shards.extend(batch.next.clone().map(|next| (next.0, shard)));
        }
        Ok(batch)
    }
}

impl StateStore for Wrong {
    async fn check(&self) -> Result<Result<(), String>, CallError> {
        self.right.check().await
    }
    async fn load(&self) -> Result<Vec<Record>, CallError> {
        let mut records = self.right.load().await?;
        if self.flaw == Flaw::ForgetsRemovals {
            records.retain(|record| !record.id.starts_with("removal/"));
        }
        Ok(records)
    }
    async fn get(&self, id: &str) -> Result<Option<Record>, CallError> {
        StateStore::get(&self.right, id).await
    }
    async fn put(&self, record: &Record) -> Result<(), StateError> {
        let mut record = record.clone();
        let body = serde_json::from_str(&record.body).ok();
        if self.flaw == Flaw::CheckpointsAhead
            && record.id.starts_with("checkpoint/")
            && let Some(serde_json::Value::Object(mut body)) = body
        {
            let read = self.stream.lock().expect("nobody panics");
            let mut ends = read.last.iter();
            if let Some((_, last)) = ends.find(|(shard, _)| record.id.ends_with(shard.0.as_str())) {
                body.insert("sequence".to_owned(), last.0.clone().into());
                record.body = serde_json::Value::Object(body).to_string();
            }
        }
        StateStore::put(&self.right, &record).await
    }
    async fn delete(&self, id: &str, token: u64) -> Result<(), StateError> {
        StateStore::delete(&self.right, id, token).await
    }
    async fn swap(&self, expected: Option<&Record>, new: &Record) -> Result<(), StateError> {
        match self.right.swap(expected, new).await {
            Err(StateError::Fenced) if self.flaw == Flaw::SharesLease => Ok(()),
            answer => answer,
        }
    }
}

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        self.right.now()
    }
    fn monotonic(&self) -> Duration {
        self.right.monotonic()
    }
    fn skew_millis(&self) -> Option<i64> {
        self.right.skew_millis().filter(|_| self.flaw != Flaw::TrustsClock)
    }
    fn random(&self) -> u64 {
        self.right.random()
    }
}

impl Wrong {
    fn claim(&self, user: &mut User) {
        let table = "iam-user-controller:table";
        if self.flaw == Flaw::OwnsAll && user.tags.contains_key(table) {
            let ours = self.right.account().lock().table.name.clone();
            user.tags.insert(table.to_owned(), ours);
        }
    }
}

impl Ports for Wrong {
    type Directory = Self;
    type Vault = Self;
    type Identity = Self;
    type UsersTable = Self;
    type Streams = Self;
    type StateStore = Self;
    type Clock = Self;
    type Alarm = ReplicaPorts;

    fn directory(&self) -> &Self {
        self
    }
    fn vault(&self) -> &Self {
        self
    }
    fn identity(&self) -> &Self {
        self
    }
    fn users_table(&self) -> &Self {
        self
    }
    fn streams(&self) -> &Self {
        self
    }
    fn state(&self) -> &Self {
        self
    }
    fn clock(&self) -> &Self {
        self
    }
    fn alarm(&self) -> &ReplicaPorts {
        &self.right
    }
}

/// One history of a wrong version.
pub(crate) fn run(seed: u64, scenario: &Scenario, flaw: Flaw) -> Report {
    let mut settings = program::settings(&scenario.account.rules);
    flaw.settings(&mut settings);
    harness::run(seed, scenario, |right, shutdown| {
        let (holder, settings) = (program::holder(&right), program::settings_of(&right, &settings));
        let (secret, stream, table) = Default::default();
        let wrong = Wrong { right, flaw, secret, stream, table };
        program::process(wrong, settings, Registry::new(), holder, shutdown)
    })
}

/// So many histories are tried for each.
const SEEDS: u64 = 10_000;

/// Where to begin: with optimization at the beginning, without it at a seed that is known to catch it.
fn first_seed(flaw: Flaw) -> u64 {
    if !cfg!(debug_assertions) {
        return 0;
    }
    let known = CAUGHT_BY.iter().find(|(known, _)| *known == flaw);
    known.map_or(0, |(_, seed)| *seed)
}

/// After how many histories a wrong version is caught, and by what.
fn caught(flaw: Flaw) -> Option<(u64, u64, String)> {
    let first = first_seed(flaw);
    (first..first + SEEDS).find_map(|seed| {
        let report = run(seed, &swarm::scenario(seed), flaw);
        let violation = report.violations.first()?.clone();
        // What the right program would be blamed for as well is no catch.
        let right = program::run(seed, &swarm::scenario(seed)).ok();
        right.then_some((seed - first + 1, seed, violation))
    })
}

/// `FLAW=name` asks for one of them.
#[test]
fn wrong_versions_are_caught() {
    let asked = std::env::var("FLAW").ok();
    let asked = |flaw: &Flaw| asked.as_ref().is_none_or(|name| *name == format!("{flaw:?}"));
    let flaws: Vec<Flaw> = FLAWS.into_iter().filter(asked).collect();
    let slipped = Mutex::new(Vec::new());
    matrix::spread(&flaws, |flaw, _| match caught(*flaw) {
        Some((histories, seed, how)) => {
            eprintln!("{flaw:?} is caught after {histories} histories, by seed {seed}: {how}");
        }
        None => slipped.lock().expect("nobody panics").push(*flaw),
    });
    let slipped = slipped.into_inner().expect("nobody panics");
    assert!(slipped.is_empty(), "not caught within {SEEDS} histories: {slipped:?}");
}

/// Without optimization a history takes long: these seeds are among the first that catch each.
const CAUGHT_BY: &[(Flaw, u64)] = &[
    (Flaw::RetriesCreateKey, 91),
    (Flaw::ErrorMeansNoUser, 481),
    (Flaw::ScansOnePage, 4),
    (Flaw::BelievesPut, 273),
    (Flaw::ForgetsRemovals, 5),
    (Flaw::SharesLease, 2),
    (Flaw::NoOverlap, 7),
    (Flaw::AdoptsAll, 26),
    (Flaw::RevokesForeign, 22),
    (Flaw::NoBrake, 4),
    (Flaw::CheckpointsAhead, 2242),
    (Flaw::BeginsAtTheEnd, 5),
    (Flaw::ForgetsTableId, 78),
];

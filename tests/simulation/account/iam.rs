//! IAM: users, keys, tags, boundaries, leftovers; each thing read with its own staleness.

use std::collections::{BTreeMap, BTreeSet};

use iam_user_controller::core::observed::{Glance, Key, Leftover, Tags, User};
use iam_user_controller::core::ownership::Ownership;
use iam_user_controller::core::seal::SealKey;
use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::time::Timestamp;
use iam_user_controller::core::user::{AccessKeyId, UserId, UserName};
use iam_user_controller::ports::{CallError, Directory, Fault, MintedKey, NewUser, Page, Receipt, Record};

use super::{History, ReplicaPorts, SECRET_MARK, World, refused, whole_seconds};
use crate::faults::Call;
use crate::invariants::{self, Change};
use crate::quarantine::Leak;

/// IAM: not adjustable.
const KEYS_PER_USER: usize = 2;
const TAGS_PER_USER: usize = 50;
const USERS: usize = 5_000;

/// Who made a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    Program,
    Operator,
}

/// An access key, with all that the invariants want to know about it.
#[derive(Clone, Debug)]
pub(crate) struct SimKey {
    pub(crate) id: AccessKeyId,
    pub(crate) secret: String,
    pub(crate) created_ms: u64,
    pub(crate) deleted_ms: Option<u64>,
    pub(crate) active: History<bool>,
    /// Every host of AWS accepts it from then on.
    pub(crate) usable_ms: u64,
    /// When hosts have accepted it, since the last refusal.
    pub(crate) accepted_ms: Vec<u64>,
    pub(crate) maker: Maker,
    /// A tag or the document has named it: it is the program's to rotate.
    pub(crate) claimed: bool,
    /// Somebody took away what named it.
    pub(crate) disowned: bool,
    /// It was made while a mint was open, so that nobody can tell it from the minted one.
    pub(crate) ambiguous: bool,
    /// When it was first published as `current`.
    pub(crate) published_ms: Option<u64>,
    /// When another key was first published in its place.
    pub(crate) superseded_ms: Option<u64>,
}

impl SimKey {
    pub(crate) fn exists(&self) -> bool {
        self.deleted_ms.is_none()
    }

    fn existed(&self, moment: u64) -> bool {
        self.created_ms <= moment && self.deleted_ms.is_none_or(|deleted| deleted > moment)
    }
}

/// One life of a user: a name that is used again is another one.
#[derive(Clone, Debug)]
pub(crate) struct SimUser {
    pub(crate) name: UserName,
    pub(crate) id: UserId,
    pub(crate) path: String,
    pub(crate) created_ms: u64,
    pub(crate) deleted_ms: Option<u64>,
    pub(crate) boundary: History<Option<String>>,
    pub(crate) tags: History<Tags>,
    pub(crate) leftovers: History<Vec<Leftover>>,
    pub(crate) keys: Vec<SimKey>,
    /// When an operator last changed it by hand.
    pub(crate) meddled_ms: Option<u64>,
    /// From now on `current` must be a working key (invariant 1).
    pub(crate) armed: bool,
    /// Its removal has begun, with evidence: a row that comes back now is too late for this life.
    pub(crate) doomed_ms: Option<u64>,
    /// What there is to say of its quarantine.
    pub(crate) leak: Leak,
    /// Mints already spent: values of the `minting` tag under which CreateAccessKey was sent.
    pub(crate) minted_under: Vec<String>,
}

impl SimUser {
    pub(crate) fn live_keys(&self) -> impl Iterator<Item = &SimKey> {
        self.keys.iter().filter(|key| key.exists())
    }

    pub(crate) fn live_key(&self, id: &AccessKeyId) -> Option<&SimKey> {
        self.keys.iter().find(|key| key.exists() && key.id == *id)
    }

    fn live_key_mut(&mut self, id: &AccessKeyId) -> Option<&mut SimKey> {
        self.keys.iter_mut().find(|key| key.exists() && key.id == *id)
    }

    /// A managed policy is attached.
    pub(crate) fn attach(&mut self, arn: &str, now: u64, bound: u64) {
        self.detach(arn, now, bound);
        let mut leftovers = self.leftovers.get().clone();
        leftovers.push(Leftover::AttachedPolicy(arn.to_owned()));
        self.leftovers.set(now, bound, leftovers);
    }

    /// A managed policy is detached, when it is attached.
    pub(crate) fn detach(&mut self, arn: &str, now: u64, bound: u64) {
        let mut leftovers = self.leftovers.get().clone();
        leftovers.retain(|leftover| *leftover != Leftover::AttachedPolicy(arn.to_owned()));
        if leftovers != *self.leftovers.get() {
            self.leftovers.set(now, bound, leftovers);
        }
    }

    fn existed(&self, moment: u64) -> bool {
        self.created_ms <= moment && self.deleted_ms.is_none_or(|deleted| deleted > moment)
    }
}

/// A tag's value; keys compare without regard to case.
pub(crate) fn tag<'a>(tags: &'a Tags, key: &str) -> Option<&'a str> {
    tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
}

pub(crate) const TABLE: &str = "iam-user-controller:table";
pub(crate) const TABLE_ARN: &str = "iam-user-controller:table-arn";
pub(crate) const SEAL: &str = "iam-user-controller:seal";

/// A seal is of a user that was created this near to its time.
const SEAL_NEAR_MS: u64 = 300_000;

/// A seal that the program has written: of whom, and under which key of the state table. What somebody
/// else writes, or copies, is none, whatever it looks like; so nothing here has to know how it is made.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    folded: String,
    table_arn: String,
    key: Option<String>,
}

impl World {
    /// Notes the seal among tags that the program writes.
    fn issue(&mut self, folded: &str, tags: &Tags) {
        if let Some(seal) = tag(tags, SEAL) {
            let key = self.state.records.get("seal").map(|record| record.body.clone());
            let issued = Issued { folded: folded.to_owned(), table_arn: self.table.arn(), key };
            self.iam.seals.insert(seal.to_owned(), issued);
        }
    }

    /// Whether tags say that a user belongs to the table, and have a seal of whatever worth.
    pub(crate) fn claims(&self, tags: &Tags) -> bool {
        tag(tags, "managed-by") == Some("iam-user-controller")
            && tag(tags, TABLE) == Some(self.table.name.as_str())
            && tag(tags, TABLE_ARN) == Some(self.table.arn().as_str())
            && tag(tags, SEAL).is_some()
    }

    /// Whether the program owns a user, for the table and the state table that it follows now.
    pub(crate) fn owns(&self, user: &SimUser) -> bool {
        let tags = user.tags.get();
        let Some(seal) = tag(tags, SEAL).filter(|_| self.claims(tags)) else { return false };
        let key = self.state.records.get("seal").map(|record| &record.body);
        let at = seal.rsplit_once('.').and_then(|(at, _)| Timestamp::parse(at));
        let near = at.is_some_and(|at| at.as_millis().abs_diff(user.created_ms) <= SEAL_NEAR_MS + 1_000);
        near && self.iam.seals.get(seal).is_some_and(|issued| {
            issued.folded == user.name.folded().as_str()
                && issued.table_arn == self.table.arn()
                && issued.key.as_ref() == key
        })
    }

    /// The seal key of the state table; one is made where the program has not made one yet.
    fn seal_key(&mut self) -> SealKey {
        let record = self.state.records.entry("seal".to_owned()).or_insert_with(|| Record {
            id: "seal".to_owned(),
            body: SealKey::new([42; 32]).to_record(),
            token: 0,
        });
        SealKey::from_record(&record.body).expect("a key")
    }

    /// The ownership tags of a user of the table that was created then, as the program writes them.
    pub(crate) fn own_tags(&mut self, name: &UserName, created_ms: u64) -> Tags {
        let key = self.seal_key();
        let tags = self.tags_under(key, name, whole_seconds(created_ms));
        self.issue(name.folded().as_str(), &tags);
        tags
    }

    /// Such tags as nobody has written, by who knows the key that the state table holds.
    pub(crate) fn forged_tags(&self, name: &UserName, created: Timestamp) -> Option<Tags> {
        let key = self.state.records.get("seal").and_then(|record| SealKey::from_record(&record.body).ok());
        key.map(|key| self.tags_under(key, name, created))
    }

    fn tags_under(&self, key: SealKey, name: &UserName, created: Timestamp) -> Tags {
        Ownership::new(self.table.name.clone(), self.table.arn(), Some(key)).tags(name, created)
    }
}

/// Whether there is a tag of the controller's, whoever has written it.
pub(crate) fn has_our_tags(tags: &Tags) -> bool {
    tags.keys().any(|key| key.to_ascii_lowercase().starts_with("iam-user-controller:"))
        || tag(tags, "managed-by") == Some("iam-user-controller")
}

/// All users, in IAM's order, with their past lives as long as a stale read may see them.
#[derive(Debug, Default)]
pub(crate) struct Iam {
    pub(crate) users: BTreeMap<String, Vec<SimUser>>,
    policies: BTreeSet<String>,
    ids: u64,
    /// Every seal that the program has written.
    seals: BTreeMap<String, Issued>,
}

impl Iam {
    /// The user of that name that is alive.
    pub(crate) fn live(&self, folded: &str) -> Option<&SimUser> {
        self.users.get(folded)?.last().filter(|user| user.deleted_ms.is_none())
    }

    pub(crate) fn live_mut(&mut self, folded: &str) -> Option<&mut SimUser> {
        self.users.get_mut(folded)?.last_mut().filter(|user| user.deleted_ms.is_none())
    }

    /// The key of that id, of whoever is alive.
    pub(crate) fn key_mut(&mut self, id: &AccessKeyId) -> Option<&mut SimKey> {
        let alive = self.users.values_mut().filter_map(|lives| lives.last_mut());
        alive.filter(|user| user.deleted_ms.is_none()).find_map(|user| user.live_key_mut(id))
    }

    /// All users that are alive.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &SimUser)> {
        self.users.iter().filter_map(|(folded, lives)| {
            lives.last().filter(|user| user.deleted_ms.is_none()).map(|user| (folded.as_str(), user))
        })
    }

    /// A managed policy that can be a boundary.
    pub(crate) fn allow_policy(&mut self, arn: Option<&str>) {
        self.policies.extend(arn.map(str::to_owned));
    }

    fn seen(&self, folded: &str, moment: u64) -> Option<&SimUser> {
        self.users.get(folded)?.iter().rev().find(|user| user.existed(moment))
    }
}

fn is_tag_text(text: &str) -> bool {
    // IAM: letters, spaces and numbers of any script, and _ . : / = + - @
    text.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c))
}

fn check_tags(call: Call, tags: &Tags) -> Result<(), CallError> {
    for (key, value) in tags {
        let sizes = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
        let reserved = key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
        let twice = tags.keys().filter(|other| other.eq_ignore_ascii_case(key)).count() > 1;
        if !sizes || reserved || twice || !is_tag_text(key) || !is_tag_text(value) {
            return Err(refused(call, Fault::Invalid, "ValidationError: tags"));
        }
    }
    Ok(())
}

fn receipt(world: &World) -> Receipt {
    Receipt { request_id: format!("{:08x}", world.calls) }
}

fn no_such_user(call: Call) -> CallError {
    refused(call, Fault::NotFound, "NoSuchEntity: user")
}

fn attached(leftovers: &[Leftover]) -> Vec<String> {
    let arn = |leftover: &Leftover| match leftover {
        Leftover::AttachedPolicy(arn) => Some(arn.clone()),
        Leftover::LoginProfile
        | Leftover::MfaDevice { .. }
        | Leftover::SshPublicKey(_)
        | Leftover::SigningCertificate(_)
        | Leftover::ServiceCredential(_)
        | Leftover::Group(_)
        | Leftover::InlinePolicy(_) => None,
    };
    leftovers.iter().filter_map(arn).collect()
}

impl World {
    /// A user as GetUser tells it: existence, tags and boundary each from its own moment.
    fn seen_user(&mut self, folded: &str) -> Option<User> {
        let now = self.now;
        let (existence, tags, boundary) = (now - self.lag(), now - self.lag(), now - self.lag());
        let user = self.iam.seen(folded, existence)?;
        Some(User {
            name: user.name.clone(),
            id: user.id.clone(),
            path: user.path.clone(),
            created: whole_seconds(user.created_ms),
            boundary: user.boundary.at(boundary).clone(),
            tags: user.tags.at(tags).clone(),
        })
    }

    /// A user to change: one that was just created may not be known everywhere yet.
    fn known_user(&mut self, call: Call, folded: &str) -> Result<&mut SimUser, CallError> {
        let lag = self.lag();
        let known_since = self.now - lag;
        self.iam
            .live_mut(folded)
            .filter(|user| lag == 0 || user.created_ms <= known_since)
            .ok_or_else(|| no_such_user(call))
    }

    fn change_user<T>(
        &mut self,
        call: Call,
        folded: &str,
        change: &Change<'_>,
        act: impl FnOnce(&mut SimUser, u64, u64) -> Result<T, CallError>,
    ) -> Result<(T, Receipt), CallError> {
        invariants::before(self, folded, change);
        let (now, bound) = (self.now, self.conduct.stale_bound_ms);
        let done = act(self.known_user(call, folded)?, now, bound)?;
        self.book.touch(folded);
        Ok((done, receipt(self)))
    }

    /// A new user; nobody is asked whether that is wise.
    pub(crate) fn new_user(&mut self, name: &UserName, boundary: Option<String>, tags: Tags) -> UserId {
        self.iam.ids += 1;
        let id = UserId(format!("AIDA{:016}", self.iam.ids));
        let (now, bound) = (self.now, self.conduct.stale_bound_ms);
        let lives = self.iam.users.entry(name.folded().as_str().to_owned()).or_default();
        lives.retain(|life| life.deleted_ms.is_none_or(|deleted| deleted + bound > now));
        lives.push(SimUser {
            name: name.clone(),
            id: id.clone(),
            path: "/".to_owned(),
            created_ms: now,
            deleted_ms: None,
            boundary: History::new(boundary),
            tags: History::new(tags),
            leftovers: History::default(),
            keys: Vec::new(),
            meddled_ms: None,
            armed: false,
            doomed_ms: None,
            leak: Leak::default(),
            minted_under: Vec::new(),
        });
        id
    }

    /// A new key of a user that exists.
    pub(crate) fn new_key(&mut self, folded: &str, maker: Maker) -> Option<MintedKey> {
        const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let random = self.prng.next();
        let mut id = String::with_capacity(20);
        id.push_str("AKIA");
        id.extend((0..16).map(|i| char::from(LETTERS[(random.rotate_left(i * 4) & 31) as usize])));
        let secret = format!("{SECRET_MARK}{:016x}{:017}", self.prng.next(), self.now);
        let spread = self.prng.between(0, self.conduct.spread_ms);
        let id = AccessKeyId::parse(&id)?;
        let now = self.now;
        let user = self.iam.live_mut(folded)?;
        let mint_open = tag(user.tags.get(), "iam-user-controller:minting").is_some_and(|at| at != "none");
        user.keys.push(SimKey {
            id: id.clone(),
            secret: secret.clone(),
            created_ms: now,
            deleted_ms: None,
            active: History::new(true),
            usable_ms: now + spread,
            accepted_ms: Vec::new(),
            maker,
            claimed: false,
            disowned: false,
            ambiguous: maker == Maker::Operator && mint_open,
            published_ms: None,
            superseded_ms: None,
        });
        Some(MintedKey { id, secret: Secret::new(secret), created: whole_seconds(now) })
    }

    /// Ends a user's life, whatever it still has.
    pub(crate) fn end_user(&mut self, folded: &str) {
        let now = self.now;
        if let Some(user) = self.iam.live_mut(folded) {
            user.deleted_ms = Some(now);
        }
    }

    fn create_user(&mut self, new: &NewUser) -> Result<(UserId, Timestamp, Receipt), CallError> {
        const CALL: Call = Call::CreateUser;
        check_tags(CALL, &new.tags)?;
        let path = &new.path;
        if path != "/" && !(path.len() > 2 && path.starts_with('/') && path.ends_with('/')) {
            return Err(refused(CALL, Fault::Invalid, "ValidationError: path"));
        }
        if new.tags.len() > TAGS_PER_USER {
            return Err(refused(CALL, Fault::Quota, "LimitExceeded: tags"));
        }
        if new.boundary.as_ref().is_some_and(|arn| !self.iam.policies.contains(arn)) {
            return Err(refused(CALL, Fault::NotFound, "NoSuchEntity: boundary policy"));
        }
        let folded = new.name.folded();
        let lag = self.lag();
        let then = self.now - lag;
        let remembered = lag > 0 && self.iam.seen(folded.as_str(), then).is_some();
        if self.iam.live(folded.as_str()).is_some() || remembered {
            return Err(refused(CALL, Fault::AlreadyExists, "EntityAlreadyExists"));
        }
        if self.iam.users.len() >= USERS && self.iam.all().count() >= USERS {
            return Err(refused(CALL, Fault::Quota, "LimitExceeded: users"));
        }
        invariants::before(self, folded.as_str(), &Change::CreateUser(new));
        let id = self.new_user(&new.name, new.boundary.clone(), new.tags.clone());
        if let Some(user) = self.iam.live_mut(folded.as_str()) {
            user.path.clone_from(&new.path);
        }
        self.issue(folded.as_str(), &new.tags);
        self.know_parameter(new.name.as_str());
        self.book.touch(folded.as_str());
        Ok((id, whole_seconds(self.now), receipt(self)))
    }

    fn tag_user(&mut self, folded: &str, tags: &Tags) -> Result<Receipt, CallError> {
        const CALL: Call = Call::TagUser;
        check_tags(CALL, tags)?;
        let done = self.change_user(CALL, folded, &Change::TagUser(tags), |user, now, bound| {
            let mut after = user.tags.get().clone();
            after.retain(|key, _| tag(tags, key).is_none());
            after.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone())));
            if after.len() > TAGS_PER_USER {
                return Err(refused(CALL, Fault::Quota, "LimitExceeded: tags"));
            }
            if after != *user.tags.get() {
                user.tags.set(now, bound, after);
            }
            Ok(())
        });
        if done.is_ok() {
            self.issue(folded, tags);
        }
        done.map(|((), receipt)| receipt)
    }

    fn create_key(&mut self, folded: &str) -> Result<(MintedKey, Receipt), CallError> {
        const CALL: Call = Call::CreateKey;
        self.change_user(CALL, folded, &Change::CreateKey, |user, _, _| {
            if user.live_keys().count() >= KEYS_PER_USER {
                return Err(refused(CALL, Fault::Quota, "LimitExceeded: AccessKeysPerUser: 2"));
            }
            Ok(())
        })?;
        let key = self.new_key(folded, Maker::Program).ok_or_else(|| no_such_user(CALL))?;
        invariants::minted(self, folded);
        Ok((key, receipt(self)))
    }

    fn delete_user(&mut self, folded: &str) -> Result<Receipt, CallError> {
        const CALL: Call = Call::DeleteUser;
        let lag = self.lag();
        let done = self.change_user(CALL, folded, &Change::DeleteUser, |user, now, _| {
            // IAM may still remember a key that was just deleted.
            let remembered = lag > 0 && user.keys.iter().any(|key| key.existed(now - lag));
            if remembered || user.live_keys().next().is_some() || !user.leftovers.get().is_empty() {
                return Err(refused(CALL, Fault::Conflict, "DeleteConflict"));
            }
            user.deleted_ms = Some(now);
            Ok(())
        });
        if done.is_ok() {
            let when = self.elapsed_ms();
            self.book.deleted.push((when, folded.to_owned()));
        }
        done.map(|((), receipt)| receipt)
    }
}

fn key_missing(call: Call) -> CallError {
    refused(call, Fault::NotFound, "NoSuchEntity: access key")
}

/// The adapter gives a page up after this.
const LONGEST_PAGE_MS: u64 = 30_000;

impl ReplicaPorts {
    /// Takes as long as IAM takes over a page; false when that is longer than anybody waits.
    async fn page_in_time(&self, most: u32) -> bool {
        let took = {
            let world = self.account().lock();
            let users = world.iam.all().count().min(world.conduct.page).min(most as usize);
            users as u64 * world.conduct.page_ms_a_user
        };
        if took > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(took.min(LONGEST_PAGE_MS))).await;
        }
        took <= LONGEST_PAGE_MS
    }
}

impl Directory for ReplicaPorts {
    async fn glance(&self, token: Option<&str>, most: u32) -> Result<Page<Glance>, CallError> {
        let in_time = self.page_in_time(most).await;
        self.read(Call::Glance, token.unwrap_or_default(), |world| {
            if !in_time {
                return Err(refused(Call::Glance, Fault::Indeterminate, "no answer in time"));
            }
            // Whether a marker is good for pages of another size, AWS says nowhere.
            let begun = match token.map(|token| token.split_once('/').expect("a marker")) {
                Some((of, _)) if of != most.to_string() => {
                    return Err(refused(Call::Glance, Fault::Invalid, "ValidationError: marker"));
                }
                begun => begun.map(|(_, after)| after),
            };
            let size = world.conduct.page.clamp(1, most as usize);
            let mut items = Vec::new();
            let mut last: Option<String> = None;
            loop {
                use std::ops::Bound::{Excluded, Unbounded};
                let from = last.as_deref().or(begun).map_or(Unbounded, Excluded);
                let next = world.iam.users.range::<str, _>((from, Unbounded)).next();
                let Some(folded) = next.map(|(folded, _)| folded.clone()) else {
                    return Ok(Page { items, next: None });
                };
                if items.len() == size {
                    return Ok(Page { items, next: last.map(|last| format!("{most}/{last}")) });
                }
                let owned = world.iam.live(&folded).is_some_and(|user| world.owns(user));
                world.listed(&folded, owned);
                if let Some(user) = world.seen_user(&folded) {
                    let moment = world.now - world.lag();
                    let seen = world.iam.seen(&folded, moment);
                    let attached_policies =
                        seen.map(|user| attached(user.leftovers.at(moment))).unwrap_or_default();
                    items.push(Glance { user, attached_policies });
                }
                last = Some(folded);
            }
        })
        .await
    }

    async fn user(&self, name: &UserName) -> Result<Option<User>, CallError> {
        let folded = name.folded();
        self.read(Call::GetUser, folded.as_str(), |world| Ok(world.seen_user(folded.as_str()))).await
    }

    async fn keys(&self, name: &UserName) -> Result<Option<Vec<Key>>, CallError> {
        let folded = name.folded();
        self.read(Call::ListKeys, folded.as_str(), |world| {
            let moment = world.now - world.lag();
            let Some(index) = world
                .iam
                .users
                .get(folded.as_str())
                .and_then(|lives| lives.iter().rposition(|user| user.existed(moment)))
            else {
                return Ok(None);
            };
            let count = world.iam.users[folded.as_str()][index].keys.len();
            let mut keys = Vec::with_capacity(count);
            for at in 0..count {
                // Key by key: one may be seen and the other not.
                let (existence, status) = (world.now - world.lag(), world.now - world.lag());
                let key = &world.iam.users[folded.as_str()][index].keys[at];
                if key.existed(existence) {
                    let (id, active) = (key.id.clone(), *key.active.at(status));
                    keys.push(Key { id, active, created: whole_seconds(key.created_ms) });
                }
            }
            keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
            Ok(Some(keys))
        })
        .await
    }

    async fn has_console_login(&self, name: &UserName) -> Result<bool, CallError> {
        let folded = name.folded();
        self.read(Call::GetLogin, folded.as_str(), |world| {
            let moment = world.now - world.lag();
            let seen = world.iam.seen(folded.as_str(), moment);
            Ok(seen.is_some_and(|user| user.leftovers.at(moment).contains(&Leftover::LoginProfile)))
        })
        .await
    }

    async fn has_mfa_device(&self, name: &UserName) -> Result<bool, CallError> {
        let folded = name.folded();
        self.read(Call::ListMfa, folded.as_str(), |world| {
            let moment = world.now - world.lag();
            let seen = world.iam.seen(folded.as_str(), moment);
            let seen = seen.ok_or_else(|| no_such_user(Call::ListMfa))?;
            Ok(seen.leftovers.at(moment).iter().any(|one| matches!(one, Leftover::MfaDevice { .. })))
        })
        .await
    }

    async fn leftovers(&self, name: &UserName) -> Result<Vec<Leftover>, CallError> {
        let folded = name.folded();
        self.read(Call::ListLeftovers, folded.as_str(), |world| {
            let moment = world.now - world.lag();
            let seen = world.iam.seen(folded.as_str(), moment);
            let seen = seen.ok_or_else(|| no_such_user(Call::ListLeftovers))?;
            let mut leftovers = seen.leftovers.at(moment).clone();
            leftovers.sort();
            Ok(leftovers)
        })
        .await
    }

    async fn create_user(&self, user: &NewUser) -> Result<(UserId, Timestamp, Receipt), CallError> {
        let (folded, user) = (user.name.folded(), user.clone());
        self.change(Call::CreateUser, folded.as_str(), move |world| world.create_user(&user)).await
    }

    async fn tag_user(&self, name: &UserName, tags: &Tags) -> Result<Receipt, CallError> {
        let (folded, tags) = (name.folded(), tags.clone());
        let subject = folded.clone();
        let meant = self.account().lock().iam.live(folded.as_str()).map(|user| user.id.clone());
        let tag = move |world: &mut World| {
            invariants::meant_for(world, folded.as_str(), meant.as_ref());
            world.tag_user(folded.as_str(), &tags)
        };
        self.change(Call::TagUser, subject.as_str(), tag).await
    }

    async fn untag_user(&self, name: &UserName, keys: &[String]) -> Result<Receipt, CallError> {
        let (folded, keys) = (name.folded(), keys.to_vec());
        let subject = folded.clone();
        self.change(Call::UntagUser, subject.as_str(), move |world| {
            if keys.is_empty() || keys.len() > TAGS_PER_USER {
                return Err(refused(Call::UntagUser, Fault::Invalid, "ValidationError: tag keys"));
            }
            let change = Change::UntagUser(&keys);
            let done = world.change_user(Call::UntagUser, folded.as_str(), &change, |user, now, bound| {
                let mut after = user.tags.get().clone();
                after.retain(|key, _| !keys.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
                if after != *user.tags.get() {
                    user.tags.set(now, bound, after);
                }
                Ok(())
            });
            done.map(|((), receipt)| receipt)
        })
        .await
    }

    async fn put_boundary(&self, name: &UserName, policy_arn: &str) -> Result<Receipt, CallError> {
        let (folded, arn) = (name.folded(), policy_arn.to_owned());
        let subject = folded.clone();
        self.change(Call::PutBoundary, subject.as_str(), move |world| {
            if !world.iam.policies.contains(&arn) {
                return Err(refused(Call::PutBoundary, Fault::NotFound, "NoSuchEntity: policy"));
            }
            let change = Change::PutBoundary(&arn);
            let done = world.change_user(Call::PutBoundary, folded.as_str(), &change, |user, now, bound| {
                user.boundary.set(now, bound, Some(arn.clone()));
                Ok(())
            });
            done.map(|((), receipt)| receipt)
        })
        .await
    }

    async fn create_key(&self, name: &UserName) -> Result<(MintedKey, Receipt), CallError> {
        let folded = name.folded();
        let subject = folded.clone();
        let meant = self.account().lock().iam.live(folded.as_str()).map(|user| user.id.clone());
        let create = move |world: &mut World| {
            invariants::meant_for(world, folded.as_str(), meant.as_ref());
            world.create_key(folded.as_str())
        };
        self.change(Call::CreateKey, subject.as_str(), create).await
    }

    async fn deactivate_key(&self, name: &UserName, key: &AccessKeyId) -> Result<Receipt, CallError> {
        let (folded, key) = (name.folded(), key.clone());
        let subject = folded.clone();
        self.change(Call::DeactivateKey, subject.as_str(), move |world| {
            let change = Change::DeactivateKey(&key);
            let done =
                world.change_user(Call::DeactivateKey, folded.as_str(), &change, |user, now, bound| {
                    let known = user.live_key_mut(&key).ok_or_else(|| key_missing(Call::DeactivateKey))?;
                    known.active.set(now, bound, false);
                    Ok(())
                });
            done.map(|((), receipt)| receipt)
        })
        .await
    }

    async fn delete_key(&self, name: &UserName, key: &AccessKeyId) -> Result<Receipt, CallError> {
        let (folded, key) = (name.folded(), key.clone());
        let subject = folded.clone();
        self.change(Call::DeleteKey, subject.as_str(), move |world| {
            let change = Change::DeleteKey(&key);
            let done = world.change_user(Call::DeleteKey, folded.as_str(), &change, |user, now, bound| {
                user.live_key_mut(&key).ok_or_else(|| key_missing(Call::DeleteKey))?.deleted_ms = Some(now);
                user.keys.retain(|key| key.deleted_ms.is_none_or(|deleted| deleted + bound >= now));
                Ok(())
            });
            done.map(|((), receipt)| receipt)
        })
        .await
    }

    async fn remove(&self, name: &UserName, leftover: &Leftover) -> Result<Receipt, CallError> {
        let (folded, leftover) = (name.folded(), leftover.clone());
        let subject = folded.clone();
        self.change(Call::RemoveLeftover, subject.as_str(), move |world| {
            let change = Change::Remove(&leftover);
            let done =
                world.change_user(Call::RemoveLeftover, folded.as_str(), &change, |user, now, bound| {
                    let mut after = user.leftovers.get().clone();
                    after.retain(|other| *other != leftover);
                    if after == *user.leftovers.get() {
                        return Err(refused(Call::RemoveLeftover, Fault::NotFound, "NoSuchEntity"));
                    }
                    user.leftovers.set(now, bound, after);
                    Ok(())
                });
            done.map(|((), receipt)| receipt)
        })
        .await
    }

    async fn delete_user(&self, name: &UserName) -> Result<Receipt, CallError> {
        let folded = name.folded();
        let subject = folded.clone();
        self.change(Call::DeleteUser, subject.as_str(), move |world| world.delete_user(folded.as_str())).await
    }
}

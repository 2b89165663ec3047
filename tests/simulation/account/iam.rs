//! IAM: users, keys, tags, boundaries, leftovers; each thing read with its own staleness.

use std::collections::{BTreeMap, BTreeSet};

use iam_user_controller::core::observed::{Glance, Key, Leftover, Tags, User};
use iam_user_controller::core::policy::Policy;
use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::time::Timestamp;
use iam_user_controller::core::user::{AccessKeyId, UserId, UserName};
use iam_user_controller::ports::{CallError, Directory, Fault, MintedKey, NewUser, Page, Receipt};

use super::{History, ReplicaPorts, SECRET_MARK, World, refused, whole_seconds};
use crate::faults::Call;
use crate::invariants::{self, Change};

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
    /// STS accepts it from then on.
    pub(crate) usable_ms: u64,
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

    fn existed(&self, moment: u64) -> bool {
        self.created_ms <= moment && self.deleted_ms.is_none_or(|deleted| deleted > moment)
    }
}

/// A tag's value; keys compare without regard to case.
pub(crate) fn tag<'a>(tags: &'a Tags, key: &str) -> Option<&'a str> {
    tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
}

/// Whether both ownership tags match.
pub(crate) fn is_owned(tags: &Tags, policy: &Policy) -> bool {
    tag(tags, "managed-by") == Some("iam-user-controller")
        && tag(tags, "iam-user-controller:table") == Some(policy.table.as_str())
}

/// All users, in IAM's order, with their past lives as long as a stale read may see them.
#[derive(Debug, Default)]
pub(crate) struct Iam {
    pub(crate) users: BTreeMap<String, Vec<SimUser>>,
    policies: BTreeSet<String>,
    ids: u64,
}

impl Iam {
    /// The user of that name that is alive.
    pub(crate) fn live(&self, folded: &str) -> Option<&SimUser> {
        self.users.get(folded)?.last().filter(|user| user.deleted_ms.is_none())
    }

    pub(crate) fn live_mut(&mut self, folded: &str) -> Option<&mut SimUser> {
        self.users.get_mut(folded)?.last_mut().filter(|user| user.deleted_ms.is_none())
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

fn policy_name(arn: &str) -> String {
    arn.rsplit('/').next().unwrap_or(arn).to_owned()
}

fn attached(leftovers: &[Leftover]) -> Vec<String> {
    let arn = |leftover: &Leftover| match leftover {
        Leftover::AttachedPolicy(arn) => Some(policy_name(arn)),
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
            created_ms: now,
            deleted_ms: None,
            boundary: History::new(boundary),
            tags: History::new(tags),
            leftovers: History::default(),
            keys: Vec::new(),
            meddled_ms: None,
            armed: false,
            doomed_ms: None,
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

impl Directory for ReplicaPorts {
    async fn glance(&self, token: Option<&str>) -> Result<Page<Glance>, CallError> {
        self.read(Call::Glance, token.unwrap_or_default(), |world| {
            let size = world.conduct.page.max(1);
            let mut items = Vec::with_capacity(size);
            let mut last: Option<String> = None;
            loop {
                use std::ops::Bound::{Excluded, Unbounded};
                let from = last.as_deref().or(token).map_or(Unbounded, Excluded);
                let next = world.iam.users.range::<str, _>((from, Unbounded)).next();
                let Some(folded) = next.map(|(folded, _)| folded.clone()) else {
                    return Ok(Page { items, next: None });
                };
                if items.len() == size {
                    return Ok(Page { items, next: last });
                }
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

//! The deletion brake, with its memory in the state table: what it decides is stored before it is told.
//!
//! Who is merely wanted is stored a second later, all together: thousands are wanted in a minute when
//! somebody makes a mistake, each time the whole record would be written, up to 350 KB, and DynamoDB
//! takes 1 MB a second for a partition, in which the lease may be as well.

use std::sync::{Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::core::brake::{Brake, BrakeSettings, Status as BrakeStatus, Verdict};
use crate::core::memory::SETTLE;
use crate::core::plan::Evidence;
use crate::core::time::Timestamp;
use crate::core::user::{UserId, UserName};
use crate::lease::Guard;
use crate::ports::{Clock, Fault, Ports, Record, StateError, StateStore};

/// The brake's record in the state table.
pub const RECORD: &str = "deletions";

/// The deletion brake of one leadership.
pub struct Brakes<P> {
    ports: P,
    lease: Guard<P>,
    settings: BrakeSettings,
    kept: Mutex<Kept>,
    owned_users: SyncMutex<Option<u32>>,
    announced: SyncMutex<Vec<UserName>>,
    /// ARN and id of the first table that was seen.
    first_table: SyncMutex<Option<(String, String)>>,
}

struct Kept {
    brake: Brake,
    /// Whether the state table has it as it is.
    stored: bool,
    /// When a write brought no answer, by the monotonic clock. Until [`SETTLE`] is over it may still take
    /// the place of a later one.
    unanswered: Option<Duration>,
}

impl<P: Ports> Brakes<P> {
    /// The brake as the state table has it.
    ///
    /// A record that cannot be read is no licence to begin anew: everything is held.
    pub fn load(ports: P, lease: Guard<P>, settings: BrakeSettings, records: &[Record]) -> Self {
        let kept = Kept { brake: read(records), stored: true, unanswered: None };
        Self {
            ports,
            lease,
            settings,
            kept: Mutex::new(kept),
            owned_users: SyncMutex::new(None),
            announced: SyncMutex::default(),
            first_table: SyncMutex::default(),
        }
    }

    /// A row was removed: a deletion will be asked for, unless the look finds nothing to delete. Counts
    /// as wanted until then, so that a mass deletion is seen whole however slow the looks are.
    pub fn announce(&self, name: UserName) {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    }

    /// Asks whether a user may be deleted now. Nobody is told to go while an earlier write may still undo
    /// the record of it.
    ///
    /// # Errors
    /// When the answer could not be stored; then it was not given.
    pub async fn ask(
        &self,
        name: &UserName,
        user: &UserId,
        evidence: Evidence,
        now: Timestamp,
    ) -> Result<Verdict, StateError> {
        if let Some(left) = self.may_be_overwritten(&*self.kept.lock().await) {
            return Ok(Verdict::Wait { until: now + left });
        }
        let owned = self.owned_users();
        self.change(now, |brake| brake.ask(name, user, evidence, now, owned, self.settings)).await
    }

    /// Announces all orphans that a sweep wants to delete, so that they are judged as a whole.
    ///
    /// # Errors
    /// Those of the state table.
    pub async fn ask_many(
        &self,
        orphans: &[(UserName, UserId)],
        now: Timestamp,
    ) -> Result<Verdict, StateError> {
        let owned = self.owned_users();
        let orphans = orphans.iter().map(|(name, user)| (name, user));
        self.change(now, |brake| brake.ask_many(orphans, now, owned, self.settings)).await
    }

    /// Deletions that may go on now, besides those that ask by themselves.
    ///
    /// # Errors
    /// Those of the state table.
    pub async fn judge(&self, now: Timestamp) -> Result<Vec<UserName>, StateError> {
        let due = self.kept.lock().await.brake.next_judgement(self.settings);
        if due.is_none_or(|due| now < due) {
            return Ok(Vec::new());
        }
        let owned = self.owned_users();
        self.change(now, |brake| brake.judge(now, owned, self.settings)).await
    }

    /// A look at the user has found nothing to delete, or nothing any more. `granted` is the user
    /// whose deletion was granted and is over.
    ///
    /// # Errors
    /// Those of the state table.
    pub async fn settled(
        &self,
        name: &UserName,
        granted: Option<&UserId>,
        now: Timestamp,
    ) -> Result<(), StateError> {
        if granted.is_some() {
            let mut owned = self.owned_users.lock().unwrap_or_else(PoisonError::into_inner);
            *owned = owned.map(|owned| owned.saturating_sub(1));
        }
        self.change(now, |brake| {
            brake.withdraw(name);
            if let Some(user) = granted {
                brake.granted_done(name, user);
            }
        })
        .await
    }

    /// Tells which table this is.
    ///
    /// # Errors
    /// Those of the state table.
    pub async fn table_seen(&self, arn: &str, id: &str, now: Timestamp) -> Result<(), StateError> {
        let first = {
            let mut first = self.first_table.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| (arn.to_owned(), id.to_owned())).clone()
        };
        self.change(now, |brake| {
            // What could not be stored was seen all the same.
            if !brake.knows_table() {
                brake.table_seen(&first.0, &first.1, now);
            }
            brake.table_seen(arn, id, now);
        })
        .await
    }

    /// Whether the deletion of this user is wanted and not granted.
    pub async fn wants(&self, name: &UserName) -> bool {
        self.kept.lock().await.brake.wants(name)
    }

    /// Tells what a complete sweep has counted, and which users exist. Gives the names of those whose
    /// deletion is wanted.
    ///
    /// # Errors
    /// Those of the state table.
    pub async fn sweep_saw(
        &self,
        rows: usize,
        owned: usize,
        orphans: usize,
        exists: impl Fn(&UserName) -> bool,
        now: Timestamp,
    ) -> Result<Vec<UserName>, StateError> {
        let owned_users = u32::try_from(owned).unwrap_or(u32::MAX);
        *self.owned_users.lock().unwrap_or_else(PoisonError::into_inner) = Some(owned_users);
        self.change(now, |brake| {
            let gone: Vec<UserName> = brake.wanted().filter(|name| !exists(name)).cloned().collect();
            gone.iter().for_each(|name| brake.withdraw(name));
            brake.sweep_saw(rows, owned, orphans, now);
            brake.wanted().cloned().collect()
        })
        .await
    }

    /// Lets go what is held now; gives the names.
    ///
    /// # Errors
    /// Those of the state table.
    pub async fn resume(&self, now: Timestamp) -> Result<Vec<UserName>, StateError> {
        self.change(now, |brake| brake.resume(now)).await
    }

    /// What is held, and why.
    pub async fn status(&self, now: Timestamp) -> BrakeStatus {
        self.kept.lock().await.brake.status(now, self.settings)
    }

    /// Stores what was left for later.
    ///
    /// # Errors
    /// Those of the state table.
    pub async fn store(&self) -> Result<(), StateError> {
        let mut kept = self.kept.lock().await;
        let overwritten = kept.unanswered.is_some() && self.may_be_overwritten(&kept).is_none();
        if !kept.stored || overwritten {
            let brake = kept.brake.clone();
            self.put(&mut kept, brake).await?;
        }
        Ok(())
    }

    fn owned_users(&self) -> Option<u32> {
        *self.owned_users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the brake, and stores what has to be stored before the answer is told.
    async fn change<T>(&self, now: Timestamp, change: impl FnOnce(&mut Brake) -> T) -> Result<T, StateError> {
        let mut kept = self.kept.lock().await;
        for name in std::mem::take(&mut *self.announced.lock().unwrap_or_else(PoisonError::into_inner)) {
            kept.brake.announce(&name, now);
            kept.stored = false;
        }
        let mut next = kept.brake.clone();
        let answer = change(&mut next);
        if next.may_be_stored_late(&kept.brake) {
            kept.stored &= next == kept.brake;
            kept.brake = next;
        } else {
            self.put(&mut kept, next).await?;
        }
        Ok(answer)
    }

    /// For how long yet a write that brought no answer may take the place of a later one.
    fn may_be_overwritten(&self, kept: &Kept) -> Option<Duration> {
        let settled = kept.unanswered? + SETTLE;
        settled.checked_sub(self.ports.clock().monotonic()).filter(|left| !left.is_zero())
    }

    async fn put(&self, kept: &mut Kept, brake: Brake) -> Result<(), StateError> {
        let body = serde_json::to_string(&brake).unwrap_or_default();
        let record = Record { id: RECORD.to_owned(), body, token: self.lease.token() };
        let settled = self.may_be_overwritten(kept).is_none();
        let outcome = self.ports.state().put(&record).await;
        match &outcome {
            Ok(()) => {
                kept.unanswered = kept.unanswered.filter(|_| !settled);
                (kept.brake, kept.stored) = (brake, true);
            }
            Err(StateError::Call(error)) if error.fault == Fault::Indeterminate => {
                kept.unanswered = Some(self.ports.clock().monotonic());
            }
            Err(_) => {}
        }
        outcome
    }
}

/// The brake among the records of the state table.
pub fn read(records: &[Record]) -> Brake {
    match records.iter().find(|record| record.id == RECORD) {
        None => Brake::default(),
        Some(record) => serde_json::from_str(&record.body).unwrap_or_else(|error| {
            tracing::error!(%error, "the deletion brake's record is unreadable: all deletions are held until resumed");
            // A table that no table is: whatever is found differs from it, and that holds everything.
            let mut brake = Brake::default();
            brake.table_seen("unknown: the record was unreadable", "", Timestamp::default());
            brake
        }),
    }
}

//! What people do to the account by hand, and what the function before us left in it.

use std::time::Duration;

use iam_user_controller::core::document::{KeyDocument, StoredKey};
use iam_user_controller::core::observed::{Leftover, Tags};
use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::user::{AccessKeyId, UserId, UserName};
use iam_user_controller::ports::ChangeKind;

use super::state::State;
use super::streams::StreamSet;
use super::{History, Maker, SimKey, SimUser, Table, World, is_owned, tag};

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What the brake's record has in it once it remembers a table.
const TABLE_KNOWN: &str = r#""table":{"#;

/// The tag that the function, and the controller after it, put on a key.
const CURRENT: &str = "current";
const PENDING: &str = "pending_deletion";

/// A table that the program does not follow at present, with all that goes with it.
pub(super) struct Shelf {
    table: Table,
    streams: StreamSet,
    state: State,
}

impl World {
    // The users table.

    /// Writes a row, of any spelling. A row that is there already makes no record.
    pub(crate) fn put_row(&mut self, name: &str) {
        self.know_parameter(name);
        let now = self.now;
        if self.table.insert(name, now) {
            self.record_change(name, ChangeKind::Written);
        }
    }

    /// Changes a row's other attributes.
    pub(crate) fn modify_row(&mut self, name: &str) {
        if self.table.contains(name) {
            self.record_change(name, ChangeKind::Written);
        }
    }

    pub(crate) fn remove_row(&mut self, name: &str) {
        if self.table.contains(name) {
            let recorded = self.record_change(name, ChangeKind::Removed);
            let now = self.now;
            // Whoever is not owned then is not the program's to revoke.
            let live = self.iam.live(&name.to_ascii_lowercase());
            let owned = live.is_none_or(|user| is_owned(user.tags.get(), &self.rules.policy));
            self.table.remove(name, now, recorded, owned);
        }
    }

    /// Drops the table and makes it anew, empty or (a restore) with its rows; its stream is another.
    pub(crate) fn recreate_table(&mut self, keep_rows: bool) {
        let now = self.now;
        self.disable_stream();
        // A controller that never saw the table before cannot know that this is another one.
        let known =
            self.state.records.get("deletions").is_some_and(|record| record.body.contains(TABLE_KNOWN));
        self.table.recreate(now, keep_rows, known);
        self.enable_stream();
    }

    /// Drops the table, with its rows and its stream.
    pub(crate) fn drop_table(&mut self) {
        let now = self.now;
        self.disable_stream();
        let known = self.state.records.contains_key("deletions");
        self.table.recreate(now, false, known);
        self.table.exists = false;
    }

    /// Restores the table from a backup that has these rows: another table of the same name, whose stream
    /// tells nothing of them.
    pub(crate) fn restore_table(&mut self, rows: &[String]) {
        let now = self.now;
        self.disable_stream();
        let known = self.state.records.contains_key("deletions");
        self.table.recreate(now, false, known);
        for row in rows {
            self.know_parameter(row);
            self.table.insert(row, now);
        }
        self.enable_stream();
    }

    /// The program's configuration names another table, which has these rows at first; or the first
    /// one again. `own_state`: so it does the state table.
    pub(crate) fn swap_table(&mut self, name: &str, rows: &[String], own_state: bool) {
        let shelved = self.shelf.take();
        let first_time = shelved.is_none();
        let mut other = shelved.unwrap_or_else(|| Shelf {
            table: Table::new(name),
            streams: StreamSet::default(),
            state: State::default(),
        });
        std::mem::swap(&mut self.table, &mut other.table);
        std::mem::swap(&mut self.streams, &mut other.streams);
        if own_state {
            std::mem::swap(&mut self.state, &mut other.state);
        }
        self.shelf = Some(other);
        if first_time {
            let now = self.now;
            for row in rows {
                self.table.insert(row, now);
            }
            self.enable_stream();
        }
    }

    pub(super) fn know_parameter(&mut self, name: &str) {
        if let Ok(name) = UserName::parse(name) {
            let parameter = self.rules.template.name_for(&name).as_str().to_owned();
            self.ssm.forsaken.remove(&parameter);
            self.ssm.owners.insert(parameter, name.folded().as_str().to_owned());
        }
    }

    /// The name of the parameter in which a user's keys are, or would be.
    pub(crate) fn parameter_of(&self, name: &UserName) -> String {
        self.rules.template.name_for(name).as_str().to_owned()
    }

    // IAM.

    fn meddle(&mut self, folded: &str, act: impl FnOnce(&mut SimUser, u64, u64)) {
        let (now, bound) = (self.now, self.conduct.stale_bound_ms);
        if let Some(user) = self.iam.live_mut(folded) {
            user.meddled_ms = Some(now);
            user.armed = false;
            act(user, now, bound);
        }
    }

    /// A user that somebody made by hand.
    pub(crate) fn make_user(&mut self, name: &UserName, boundary: Option<&str>, tags: Tags) -> UserId {
        self.know_parameter(name.as_str());
        self.new_user(name, boundary.map(str::to_owned), tags)
    }

    /// Deletes a user with all that it has, by hand.
    pub(crate) fn delete_user_by_hand(&mut self, folded: &str) {
        self.end_user(folded);
        // Nobody lists parameters: without a user or a row, nothing leads to this one any more.
        let theirs = self.ssm.owners.iter().filter(|(_, owner)| *owner == folded);
        self.ssm.forsaken.extend(theirs.map(|(parameter, _)| parameter.clone()));
    }

    /// Adds a key by hand, where there is room for one.
    pub(crate) fn add_foreign_key(&mut self, folded: &str) -> Option<AccessKeyId> {
        if self.iam.live(folded)?.live_keys().count() >= 2 {
            return None;
        }
        self.meddle(folded, |_, _, _| {});
        self.new_key(folded, Maker::Operator).map(|key| key.id)
    }

    /// Deletes the user's key number `which`, oldest first.
    pub(crate) fn delete_key_by_hand(&mut self, folded: &str, which: usize) {
        self.meddle(folded, |user, now, _| {
            if let Some(key) = user.keys.iter_mut().filter(|key| key.exists()).nth(which) {
                key.deleted_ms = Some(now);
            }
        });
    }

    pub(crate) fn deactivate_key_by_hand(&mut self, folded: &str, which: usize) {
        self.meddle(folded, |user, now, bound| {
            if let Some(key) = user.keys.iter_mut().filter(|key| key.exists()).nth(which) {
                key.active.set(now, bound, false);
            }
        });
    }

    /// Removes the user's tags whose key satisfies `which`.
    pub(crate) fn strip_tags(&mut self, folded: &str, which: impl Fn(&str) -> bool) {
        // Whose ownership was taken away is not the program's to revoke, until it is adopted anew.
        for (_, life) in self.table.life.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case(folded)) {
            life.owed_ms = None;
        }
        self.meddle(folded, |user, now, bound| {
            let (gone, kept): (Tags, Tags) =
                user.tags.get().clone().into_iter().partition(|(key, _)| which(key));
            user.tags.set(now, bound, kept);
            // Without its tag, and unless the document names it, a key is as good as a stranger's.
            for key in user.keys.iter_mut().filter(|key| tag(&gone, key.id.as_str()).is_some()) {
                (key.maker, key.claimed, key.disowned) = (Maker::Operator, false, true);
            }
        });
    }

    pub(crate) fn set_tag(&mut self, folded: &str, key: &str, value: &str) {
        self.meddle(folded, |user, now, bound| {
            let mut tags = user.tags.get().clone();
            tags.insert(key.to_owned(), value.to_owned());
            user.tags.set(now, bound, tags);
        });
    }

    /// Drops the boundary, or sets another.
    pub(crate) fn alter_boundary(&mut self, folded: &str, boundary: Option<&str>) {
        self.meddle(folded, |user, now, bound| user.boundary.set(now, bound, boundary.map(str::to_owned)));
    }

    /// Gives a user something that stands in the way of its deletion.
    pub(crate) fn add_leftover(&mut self, folded: &str, leftover: Leftover) {
        self.meddle(folded, |user, now, bound| {
            let mut leftovers = user.leftovers.get().clone();
            if !leftovers.contains(&leftover) {
                leftovers.push(leftover);
                user.leftovers.set(now, bound, leftovers);
            }
        });
    }

    // The vault.

    fn vault_meddled(&mut self, parameter: &str) {
        let owner = self.parameter_owner(parameter);
        self.meddle(&owner, |user, _, _| {
            let SimUser { keys, tags, .. } = user;
            // Whose tag somebody has taken away before was known by the document alone.
            let known =
                |key: &SimKey| key.published_ms.is_none() || tag(tags.get(), key.id.as_str()).is_some();
            for key in keys.iter_mut().filter(|key| !known(key)) {
                (key.maker, key.claimed, key.disowned) = (Maker::Operator, false, true);
            }
        });
    }

    pub(crate) fn delete_parameter_by_hand(&mut self, name: &UserName) {
        let parameter = self.parameter_of(name);
        self.vault_meddled(&parameter);
        self.erase_parameter(&parameter);
    }

    /// Writes something else over a parameter, as a SecureString or (where none is) a String.
    pub(crate) fn overwrite_parameter(&mut self, name: &UserName, text: &str, secure: bool) {
        let parameter = self.parameter_of(name);
        self.vault_meddled(&parameter);
        let owner = self.parameter_owner(&parameter);
        let is_new = !self.ssm.parameters.contains_key(&parameter);
        if self.iam.live(&owner).is_none() || (is_new && !self.table.contains(name.as_str())) {
            // A parameter that somebody writes for nobody, or for who has no row, is theirs to delete.
            self.ssm.forsaken.insert(parameter.clone());
        }
        // What SSM refuses changes nothing; an operator may try.
        let _refused = self.write_parameter(&parameter, text, secure);
    }

    // The function before us.

    /// A user as the function made it: no ownership tags, `<key id>` tags, the document.
    ///
    /// `current` and `pending` are the ages of its keys. `stored` false: it was cut off before it
    /// stored the document.
    pub(crate) fn make_legacy_user(
        &mut self,
        name: &UserName,
        current: Duration,
        pending: Option<Duration>,
        boundary: Option<&str>,
        stored: bool,
    ) {
        let folded = name.folded();
        let folded = folded.as_str();
        self.make_user(name, boundary, Tags::new());
        let mut document = KeyDocument::default();
        let ages = [pending.map(|age| (age, PENDING)), Some((current, CURRENT))];
        for (age, role) in ages.into_iter().flatten() {
            let Some(minted) = self.new_key(folded, Maker::Operator) else { return };
            let now = self.now;
            let stored_key = StoredKey { id: minted.id.clone(), secret: minted.secret };
            match role {
                PENDING => document.pending = Some(stored_key),
                _ => document.current = Some(stored_key),
            }
            let Some(user) = self.iam.live_mut(folded) else { return };
            let born = now.saturating_sub(millis(age));
            user.created_ms = user.created_ms.min(born.saturating_sub(1_000));
            let mut tags = user.tags.get().clone();
            tags.insert(minted.id.as_str().to_owned(), role.to_owned());
            user.tags = History::new(tags);
            if let Some(key) = user.keys.iter_mut().find(|key| key.id == minted.id) {
                key.created_ms = born;
                key.usable_ms = born;
                key.claimed = true;
                if stored {
                    key.published_ms = Some(born);
                    key.superseded_ms = (role == PENDING).then(|| now.saturating_sub(millis(current)));
                }
            }
        }
        if stored {
            let parameter = self.parameter_of(name);
            let _always_fits = self.write_parameter(&parameter, document.to_text().expose(), true);
            let published = self.now.saturating_sub(millis(current));
            if let Some(parameter) = self.ssm.parameters.get_mut(&parameter) {
                parameter.modified_ms = published;
            }
        }
    }

    /// A user as the controller left it: owned, settled, and not touched by hand.
    pub(crate) fn make_owned_user(&mut self, name: &UserName, current: Duration, pending: Option<Duration>) {
        let boundary = self.rules.policy.boundary.clone();
        self.make_legacy_user(name, current, pending, boundary.as_deref(), true);
        let table = self.rules.policy.table.clone();
        let Some(user) = self.iam.live_mut(name.folded().as_str()) else { return };
        let mut tags = user.tags.get().clone();
        tags.insert("managed-by".to_owned(), "iam-user-controller".to_owned());
        tags.insert("iam-user-controller:table".to_owned(), table);
        tags.insert("iam-user-controller:minting".to_owned(), "none".to_owned());
        user.tags = History::new(tags);
        user.armed = true;
        for key in &mut user.keys {
            key.maker = Maker::Program;
        }
    }

    /// The document in a user's parameter, when there is one that can be read.
    pub(crate) fn document_of(&self, name: &UserName) -> Option<KeyDocument> {
        let parameter = self.ssm.parameters.get(&self.parameter_of(name))?;
        KeyDocument::parse(&Secret::new(parameter.text.as_str())).ok()
    }
}

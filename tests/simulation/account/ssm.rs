//! SSM Parameter Store: the last write wins, whole; a deleted name rests for 30 s; reads may be late.

use std::collections::{BTreeMap, BTreeSet};

use iam_user_controller::core::document::KeyDocument;
use iam_user_controller::core::parameter::{Tier, Version};
use iam_user_controller::core::parameter_name::ParameterName;
use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::time::Timestamp;
use iam_user_controller::ports::{CallError, Fault, ParameterValue, Receipt, Vault, Written};

use super::{RECREATE_AFTER_MS, ReplicaPorts, World, refused};
use crate::faults::Call;
use crate::invariants::{self, Change};

/// SSM: an advanced parameter holds this much, and the vault asks for one where a standard one is too small.
const MAX_VALUE: usize = 8_192;
/// SSM: a standard parameter holds this much.
const STANDARD_VALUE: usize = 4_096;

/// One parameter.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) text: String,
    pub(crate) secure: bool,
    pub(crate) modified_ms: u64,
    /// How often it was written in this life: a name that is deleted and made anew begins at 1.
    pub(crate) version: u64,
    pub(crate) advanced: bool,
}

impl Parameter {
    fn value(&self) -> ParameterValue {
        ParameterValue {
            text: Secret::new(self.text.as_str()),
            secure: self.secure,
            version: Version { modified: Timestamp::from_millis(self.modified_ms), number: self.version },
        }
    }
}

/// All parameters.
#[derive(Debug, Default)]
pub(crate) struct Ssm {
    pub(crate) parameters: BTreeMap<String, Parameter>,
    deleted_ms: BTreeMap<String, u64>,
    /// What each was, and until when, oldest first: reads may be answered from it.
    past: BTreeMap<String, Vec<(u64, Option<Parameter>)>>,
    /// The KMS key that encrypts all of them is disabled.
    pub(crate) locked: bool,
    /// Whose parameter a name is: the folded name of the user that it was made from.
    pub(crate) owners: BTreeMap<String, String>,
    /// Parameters that nothing leads to any more: nobody lists them.
    pub(crate) forsaken: BTreeSet<String>,
}

impl World {
    /// Writes a parameter as SSM would.
    pub(crate) fn write_parameter(
        &mut self,
        name: &str,
        text: &str,
        secure: bool,
        tier: Tier,
    ) -> Result<(), CallError> {
        const CALL: Call = Call::PutParameter;
        let tier = if text.len() > STANDARD_VALUE { Tier::Advanced } else { tier };
        if secure && self.ssm.locked {
            return Err(self.key_disabled(CALL));
        }
        if text.is_empty() || text.len() > MAX_VALUE {
            return Err(refused(CALL, Fault::Invalid, "ValidationException: value"));
        }
        let now = self.now;
        let before = self.ssm.parameters.get(name).cloned();
        if let Some(known) = self.ssm.parameters.get_mut(name) {
            if known.secure != secure {
                return Err(refused(CALL, Fault::Invalid, "the type of a parameter cannot be changed"));
            }
            if known.advanced && tier == Tier::Standard {
                return Err(refused(CALL, Fault::Invalid, "ValidationException: advanced to standard"));
            }
            known.advanced = tier == Tier::Advanced;
            text.clone_into(&mut known.text);
            known.modified_ms = now;
            known.version += 1;
            self.remember_parameter(name, before);
            return Ok(());
        }
        if self.ssm.deleted_ms.get(name).is_some_and(|deleted| deleted + RECREATE_AFTER_MS > now) {
            let fault = Fault::Throttled { retry_after: None };
            return Err(refused(CALL, fault, "TooManyUpdates: the name was deleted less than 30 s ago"));
        }
        let parameter = Parameter {
            text: text.to_owned(),
            secure,
            modified_ms: now,
            version: 1,
            advanced: tier == Tier::Advanced,
        };
        self.ssm.parameters.insert(name.to_owned(), parameter);
        self.remember_parameter(name, before);
        Ok(())
    }

    /// It was written at that time: no read is so late that it shows what was there before.
    pub(crate) fn written_long_ago(&mut self, name: &str, modified_ms: u64) {
        self.ssm.past.remove(name);
        if let Some(known) = self.ssm.parameters.get_mut(name) {
            known.modified_ms = modified_ms;
        }
    }

    /// Somebody makes it an advanced parameter.
    pub(crate) fn upgrade_parameter(&mut self, name: &str) {
        if let Some(known) = self.ssm.parameters.get_mut(name) {
            known.advanced = true;
        }
    }

    /// Somebody writes what is in it once more.
    pub(crate) fn touch_parameter(&mut self, name: &str) {
        let Some(known) = self.ssm.parameters.get(name).cloned() else { return };
        let tier = if known.advanced { Tier::Advanced } else { Tier::Standard };
        // What SSM refuses changes nothing.
        let _refused = self.write_parameter(name, &known.text, known.secure, tier);
    }

    fn key_disabled(&self, call: Call) -> CallError {
        refused(call, Fault::KmsKey, "InvalidKeyId: the key is disabled (KMS: DisabledException)")
    }

    /// Reads may be answered with what it was before a change, for as long as they may be late.
    fn remember_parameter(&mut self, name: &str, before: Option<Parameter>) {
        let (now, bound) = (self.now, self.conduct.vault_late_ms);
        let past = self.ssm.past.entry(name.to_owned()).or_default();
        past.retain(|(until, _)| until + bound > now);
        past.push((now, before));
    }

    /// What a read of a parameter answers: the truth, or what held a while ago.
    fn read_parameter(&mut self, name: &str) -> Result<Option<ParameterValue>, CallError> {
        let moment = self.now - self.vault_lag();
        let past = self.ssm.past.get(name).and_then(|past| past.iter().find(|(until, _)| *until > moment));
        let seen = match past {
            Some((_, before)) => before.as_ref(),
            None => self.ssm.parameters.get(name),
        };
        if self.ssm.locked && seen.is_some_and(|seen| seen.secure) {
            return Err(self.key_disabled(Call::GetParameter));
        }
        Ok(seen.map(Parameter::value))
    }

    /// Deletes a parameter with its versions.
    pub(crate) fn erase_parameter(&mut self, name: &str) -> bool {
        let erased = self.ssm.parameters.remove(name);
        let is_erased = erased.is_some();
        if is_erased {
            self.ssm.deleted_ms.insert(name.to_owned(), self.now);
            self.remember_parameter(name, erased);
        }
        is_erased
    }

    /// The folded name of the user whose parameter it is; the name itself when nobody's.
    pub(crate) fn parameter_owner(&self, name: &str) -> String {
        self.ssm.owners.get(name).map_or_else(|| name.to_owned(), Clone::clone)
    }
}

impl Vault for ReplicaPorts {
    async fn get(&self, name: &ParameterName) -> Result<Option<ParameterValue>, CallError> {
        self.read(Call::GetParameter, name.as_str(), |world| world.read_parameter(name.as_str())).await
    }

    async fn tier(&self, name: &ParameterName) -> Result<Option<Tier>, CallError> {
        self.read(Call::DescribeParameters, name.as_str(), |world| {
            let known = world.ssm.parameters.get(name.as_str());
            Ok(known.map(|known| if known.advanced { Tier::Advanced } else { Tier::Standard }))
        })
        .await
    }

    async fn put(&self, name: &ParameterName, text: &Secret, tier: Tier) -> Result<Written, CallError> {
        let owner = self.world().parameter_owner(name.as_str());
        let (subject, name, text) = (owner.clone(), name.clone(), text.clone());
        self.change(Call::PutParameter, &subject, move |world| {
            invariants::before(world, &owner, &Change::PutParameter);
            let known = world.ssm.parameters.get(name.as_str());
            let known = known.and_then(|known| KeyDocument::parse(&Secret::new(known.text.as_str())).ok());
            world.write_parameter(name.as_str(), text.expose(), true, tier)?;
            invariants::published(world, &owner, known.as_ref(), text.expose());
            world.book.touch(&owner);
            let number = world.ssm.parameters.get(name.as_str()).map_or(0, |parameter| parameter.version);
            Ok(Written { number, receipt: Receipt { request_id: String::new() } })
        })
        .await
    }

    async fn delete(&self, name: &ParameterName) -> Result<Receipt, CallError> {
        let owner = self.world().parameter_owner(name.as_str());
        let (subject, name) = (owner.clone(), name.clone());
        self.change(Call::DeleteParameter, &subject, move |world| {
            // That of another spelling of the name is not the user's.
            let user = world.iam.live(&owner).map(|user| user.name.clone());
            if user.is_none_or(|user| world.parameter_of(&user) == name.as_str()) {
                invariants::before(world, &owner, &Change::DeleteParameter);
            }
            if !world.erase_parameter(name.as_str()) {
                return Err(refused(Call::DeleteParameter, Fault::NotFound, "ParameterNotFound"));
            }
            world.book.touch(&owner);
            Ok(Receipt { request_id: String::new() })
        })
        .await
    }
}

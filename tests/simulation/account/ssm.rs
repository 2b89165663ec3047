//! SSM Parameter Store: the last write wins, whole; a deleted name rests for 30 s.

use std::collections::{BTreeMap, BTreeSet};

use iam_user_controller::core::document::KeyDocument;
use iam_user_controller::core::parameter_name::ParameterName;
use iam_user_controller::core::secret::Secret;
use iam_user_controller::ports::{CallError, Fault, ParameterValue, Receipt, Vault};

use super::{RECREATE_AFTER_MS, ReplicaPorts, World, refused};
use crate::faults::Call;
use crate::invariants::{self, Change};

/// SSM: an advanced parameter holds this much, and the vault asks for one where a standard one is too small.
const MAX_VALUE: usize = 8_192;

/// One parameter.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) text: String,
    pub(crate) secure: bool,
    pub(crate) modified_ms: u64,
    /// How often it was written.
    pub(crate) version: u64,
}

/// All parameters.
#[derive(Debug, Default)]
pub(crate) struct Ssm {
    pub(crate) parameters: BTreeMap<String, Parameter>,
    deleted_ms: BTreeMap<String, u64>,
    /// Whose parameter a name is: the folded name of the user that it was made from.
    pub(crate) owners: BTreeMap<String, String>,
    /// Parameters that nothing leads to any more: nobody lists them.
    pub(crate) forsaken: BTreeSet<String>,
}

impl World {
    /// Writes a parameter as SSM would.
    pub(crate) fn write_parameter(&mut self, name: &str, text: &str, secure: bool) -> Result<(), CallError> {
        const CALL: Call = Call::PutParameter;
        if text.is_empty() || text.len() > MAX_VALUE {
            return Err(refused(CALL, Fault::Invalid, "ValidationException: value"));
        }
        let now = self.now;
        if let Some(known) = self.ssm.parameters.get_mut(name) {
            if known.secure != secure {
                return Err(refused(CALL, Fault::Invalid, "the type of a parameter cannot be changed"));
            }
            text.clone_into(&mut known.text);
            known.modified_ms = now;
            known.version += 1;
            return Ok(());
        }
        if self.ssm.deleted_ms.get(name).is_some_and(|deleted| deleted + RECREATE_AFTER_MS > now) {
            let fault = Fault::Throttled { retry_after: None };
            return Err(refused(CALL, fault, "TooManyUpdates: the name was deleted less than 30 s ago"));
        }
        let parameter = Parameter { text: text.to_owned(), secure, modified_ms: now, version: 1 };
        self.ssm.parameters.insert(name.to_owned(), parameter);
        Ok(())
    }

    /// Deletes a parameter with its versions.
    pub(crate) fn erase_parameter(&mut self, name: &str) -> bool {
        let erased = self.ssm.parameters.remove(name).is_some();
        if erased {
            self.ssm.deleted_ms.insert(name.to_owned(), self.now);
        }
        erased
    }

    /// The folded name of the user whose parameter it is; the name itself when nobody's.
    pub(crate) fn parameter_owner(&self, name: &str) -> String {
        self.ssm.owners.get(name).map_or_else(|| name.to_owned(), Clone::clone)
    }
}

impl Vault for ReplicaPorts {
    async fn get(&self, name: &ParameterName) -> Result<Option<ParameterValue>, CallError> {
        self.read(Call::GetParameter, name.as_str(), |world| {
            Ok(world.ssm.parameters.get(name.as_str()).map(|parameter| ParameterValue {
                text: Secret::new(parameter.text.as_str()),
                secure: parameter.secure,
                modified: iam_user_controller::core::time::Timestamp::from_millis(parameter.modified_ms),
            }))
        })
        .await
    }

    async fn put(&self, name: &ParameterName, text: &Secret) -> Result<Receipt, CallError> {
        let owner = self.account().lock().parameter_owner(name.as_str());
        let (subject, name, text) = (owner.clone(), name.clone(), text.clone());
        self.change(Call::PutParameter, &subject, move |world| {
            invariants::before(world, &owner, &Change::PutParameter);
            let known = world.ssm.parameters.get(name.as_str());
            let known = known.and_then(|known| KeyDocument::parse(&Secret::new(known.text.as_str())).ok());
            world.write_parameter(name.as_str(), text.expose(), true)?;
            invariants::published(world, &owner, known.as_ref(), text.expose());
            world.book.touch(&owner);
            Ok(Receipt { request_id: String::new() })
        })
        .await
    }

    async fn delete(&self, name: &ParameterName) -> Result<Receipt, CallError> {
        let owner = self.account().lock().parameter_owner(name.as_str());
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

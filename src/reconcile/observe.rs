//! Reads everything that a plan depends on.

use futures_util::future::try_join3;

use super::{File, Reconciler};
use crate::core::document::KeyDocument;
use crate::core::observed::{Observed, Stored};
use crate::core::parameter_name::ParameterTemplate;
use crate::core::time::Timestamp;
use crate::core::user::UserName;
use crate::pace::{Lane, Pace};
use crate::ports::{CallError, Clock, Directory, ParameterValue, Ports, Vault};

/// Beyond this the local clock is not trusted with anybody's keys. SigV4 refuses signatures that are
/// older than 5 minutes as well.
const MAX_SKEW_MILLIS: u64 = 300_000;

/// `Date` headers tell whole seconds, and take time to arrive; a smaller difference is none.
const SKEW_NOISE_MILLIS: u64 = 2_000;

/// The time as AWS has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwsTime {
    /// The time, by AWS's clock.
    pub now: Timestamp,
    /// Whether the local clock agrees with it.
    pub trusted: bool,
}

impl AwsTime {
    /// Reads the clock.
    pub fn of(clock: &impl Clock) -> Self {
        let local = clock.now();
        let Some(skew) = clock.skew_millis() else { return Self { now: local, trusted: true } };
        let size = skew.unsigned_abs();
        let difference = std::time::Duration::from_millis(size);
        let now = match size {
            0..=SKEW_NOISE_MILLIS => local,
            _ if skew > 0 => local + difference,
            _ => local - difference,
        };
        Self { now, trusted: size <= MAX_SKEW_MILLIS }
    }
}

/// Reads the user, its keys and its parameter.
///
/// # Errors
/// When a call fails: a missing answer is never taken for a missing user.
pub async fn observe<P: Ports>(
    ports: &P,
    pace: &Pace,
    template: &ParameterTemplate,
    name: &UserName,
) -> Result<Observed, CallError> {
    let parameter = template.name_for(name);
    let stored = pace.read(ports, Lane::ParameterReads, ports.vault().get(&parameter));
    let user = pace.read(ports, Lane::Iam, ports.directory().user(name));
    let keys = pace.read(ports, Lane::Iam, ports.directory().keys(name));
    let (user, keys, stored) = try_join3(user, keys, stored).await?;
    let keys = if user.is_some() { keys.unwrap_or_default() } else { Vec::new() };
    Ok(Observed { user, keys, stored: stored_as(stored), leftovers: None })
}

impl<P: Ports> Reconciler<P> {
    /// Reads what is not believed: IAM may not show our own last change yet.
    pub(super) async fn observe(&self, name: &UserName, file: &File) -> Result<Observed, CallError> {
        let Some((user, keys)) = file.believed(AwsTime::of(self.ports.clock()).now) else {
            return observe(&self.ports, &self.pace, &self.template, name).await;
        };
        let parameter = self.template.name_for(name);
        let call = self.ports.vault().get(&parameter);
        let stored = self.pace.read(&self.ports, Lane::ParameterReads, call).await?;
        Ok(Observed { user, keys, stored: stored_as(stored), leftovers: None })
    }
}

fn stored_as(value: Option<ParameterValue>) -> Stored {
    match value {
        None => Stored::Missing,
        Some(value) if !value.secure => Stored::NotSecure,
        Some(ParameterValue { text, modified, .. }) => match KeyDocument::parse(&text) {
            Ok(document) => Stored::Document { document, modified },
            Err(error) => Stored::Unreadable { reason: error.to_string(), modified },
        },
    }
}

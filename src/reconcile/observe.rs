//! Reads everything that a plan depends on.

use std::time::Duration;

use futures_util::future::try_join;

use super::{File, Reconciler};
use crate::core::document::KeyDocument;
use crate::core::observed::{Observed, SignIn, Stored};
use crate::core::parameter::Reading;
use crate::core::parameter_name::ParameterTemplate;
use crate::core::time::Timestamp;
use crate::core::user::UserName;
use crate::pace::{Lane, Pace};
use crate::ports::{CallError, Clock, Directory, Fault, ParameterValue, Ports, Vault};

/// Beyond this the local clock is not trusted with anybody's keys. SigV4 refuses signatures that are
/// older than 5 minutes as well.
const MAX_SKEW_MILLIS: u64 = 300_000;

/// `Date` headers tell whole seconds, and take time to arrive; a smaller difference is none.
const SKEW_NOISE_MILLIS: u64 = 2_000;

/// What is measured of AWS's clock is right to the second: half a second of rounding, and half a round
/// trip.
const MEASURED_WITHIN: Duration = Duration::from_secs(1);

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
        let difference = Duration::from_millis(size);
        let now = match size {
            0..=SKEW_NOISE_MILLIS => local,
            _ if skew > 0 => local + difference,
            _ => local - difference,
        };
        Self { now, trusted: size <= MAX_SKEW_MILLIS }
    }

    /// The latest that it may be by AWS's clock: for a time that must not lie too early.
    pub fn latest(clock: &impl Clock) -> Timestamp {
        let skew = clock.skew_millis().unwrap_or_default();
        let difference = Duration::from_millis(skew.unsigned_abs());
        let measured = if skew > 0 { clock.now() + difference } else { clock.now() - difference };
        measured + MEASURED_WITHIN
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
    let (observed, reading) =
        try_join(directory(ports, pace, name), read(ports, pace, template, name)).await?;
    Ok(Observed { stored: reading.stored, ..observed })
}

/// IAM's side of the user.
async fn directory<P: Ports>(ports: &P, pace: &Pace, name: &UserName) -> Result<Observed, CallError> {
    let user = pace.read(ports, Lane::Iam, || ports.directory().user(name));
    let keys = pace.read(ports, Lane::Iam, || ports.directory().keys(name));
    let (user, keys) = try_join(user, keys).await?;
    let keys = if user.is_some() { keys.unwrap_or_default() } else { Vec::new() };
    Ok(Observed { user, keys, ..Observed::nothing() })
}

/// Asks whether a user is a person's.
///
/// # Errors
/// When a call fails: nobody is taken for a machine for want of an answer.
pub async fn sign_in<P: Ports>(ports: &P, pace: &Pace, name: &UserName) -> Result<SignIn, CallError> {
    let console = pace.read(ports, Lane::Iam, || ports.directory().has_console_login(name));
    let mfa = pace.read(ports, Lane::Iam, || ports.directory().has_mfa_device(name));
    let (console, mfa) = try_join(console, mfa).await?;
    Ok(SignIn { console, mfa })
}

/// The parameter, as SSM shows it.
async fn read<P: Ports>(
    ports: &P,
    pace: &Pace,
    template: &ParameterTemplate,
    name: &UserName,
) -> Result<Reading, CallError> {
    let parameter = template.name_for(name);
    match pace.read(ports, Lane::ParameterReads, || ports.vault().get(&parameter)).await {
        // Its user can be removed all the same.
        Err(error) if error.fault == Fault::KmsKey => {
            Ok(Reading { stored: Stored::Locked { reason: error.to_string() }, version: None })
        }
        answer => answer.map(reading),
    }
}

impl<P: Ports> Reconciler<P> {
    /// Reads what is not believed: IAM may not show our own last change yet.
    pub(super) async fn observe(&self, name: &UserName, file: &mut File) -> Result<Observed, CallError> {
        let reading = read(&self.ports, &self.pace, &self.template, name);
        let (observed, reading) = match file.believed(AwsTime::of(self.ports.clock()).now) {
            Some((user, keys)) => (Observed { user, keys, ..Observed::nothing() }, reading.await?),
            None => try_join(directory(&self.ports, &self.pace, name), reading).await?,
        };
        let stored = file.memory.parameter.judge(reading, AwsTime::of(self.ports.clock()).now);
        Ok(Observed { stored, ..observed })
    }
}

fn reading(value: Option<ParameterValue>) -> Reading {
    let Some(ParameterValue { text, secure, version }) = value else {
        return Reading { stored: Stored::Missing, version: None };
    };
    let modified = version.modified;
    let stored = match KeyDocument::parse(&text) {
        _ if !secure => Stored::NotSecure,
        Ok(document) => Stored::Document { document, modified },
        Err(error) => Stored::Unreadable { reason: error.to_string(), modified },
    };
    Reading { stored, version: Some(version) }
}

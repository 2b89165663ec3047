//! The configuration: what an operator may set, from where, and what is refused.
//!
//! Three layers, the later over the earlier: the defaults (`config/default.toml`, part of the
//! program), a TOML file, and environment variables `IUC_<SECTION>__<KEY>`. One file here is one
//! section: its keys, their bounds, and what they become. Everything is checked at once, before
//! anything else happens, so that nothing later has to ask whether a setting makes sense.
//!
//! Reads the file that it is given and nothing else; the environment is passed in. Called by `main`.

use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::Dict;
use figment::{Figment, Metadata, Profile, Provider};

use crate::core::policy::Policy;

pub use deletions::{Deletions, Percent};
pub use environment::of_this_process;
pub use executor::Executor;
pub use faults::{ConfigFaults, Fault, Source};
pub use http::Http;
pub use keys::Keys;
pub use lease::Lease;
pub use log::{Log, LogFormat};
pub use orphans::{Orphans, ProtectedNames};
pub use parameters::Parameters;
pub use shutdown::Shutdown;
pub use state::State;
pub use stream::Stream;
pub use sweep::Sweep;
pub use table::Table;
pub use users::Users;

use environment::Environment;
use key::Key;
use reader::Reader;

mod deletions;
mod environment;
mod executor;
mod faults;
mod file;
mod http;
mod key;
mod keys;
mod lease;
mod log;
mod orphans;
mod parameters;
mod reader;
mod render;
mod shutdown;
mod state;
mod stream;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod users;

/// The defaults, and the documentation of every key.
const DEFAULTS: &str = include_str!("../../config/default.toml");

const DRY_RUN: Key = Key::top("dry_run");

/// Everything that an operator may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The users table.
    pub table: Table,
    /// The controller's own table.
    pub state: State,
    /// The IAM users.
    pub users: Users,
    /// The life of an access key.
    pub keys: Keys,
    /// Where keys are stored.
    pub parameters: Parameters,
    /// How often the table's stream is read.
    pub stream: Stream,
    /// When the whole account is looked at.
    pub sweep: Sweep,
    /// Users that are in IAM and not in the table.
    pub orphans: Orphans,
    /// The brake.
    pub deletions: Deletions,
    /// How much is done at once.
    pub executor: Executor,
    /// Which replica works.
    pub lease: Lease,
    /// The pages for health, metrics and status.
    pub http: Http,
    /// The log.
    pub log: Log,
    /// The end of the program.
    pub shutdown: Shutdown,
    /// Observe and plan, change nothing.
    pub dry_run: bool,
}

impl Settings {
    /// The settings that decide what happens to a user.
    pub fn policy(&self) -> Policy {
        Policy {
            table: self.table.name.clone(),
            boundary: self.users.permissions_boundary.clone(),
            adopt: self.users.adopt,
            rotate_after: self.keys.rotate_after,
            delete_after: self.keys.delete_after,
            min_overlap: self.keys.min_overlap,
            foreign: self.keys.foreign,
            verify: self.keys.verify,
            orphan_scope: self.orphans.scope,
            include_console_users: self.orphans.include_console_users,
            verify_timeout: self.keys.verify_timeout,
        }
    }

    /// `None` when the reader has at least one fault.
    fn read(reader: &mut Reader) -> Option<Self> {
        let table = Table::read(reader);
        let state = State::read(reader, table.as_ref());
        let users = Users::read(reader);
        let keys = Keys::read(reader);
        let parameters = Parameters::read(reader);
        let stream = Stream::read(reader);
        let sweep = Sweep::read(reader);
        let orphans = Orphans::read(reader);
        let deletions = Deletions::read(reader);
        let executor = Executor::read(reader);
        let lease = Lease::read(reader);
        let http = Http::read(reader);
        let log = Log::read(reader);
        let shutdown = Shutdown::read(reader);
        let dry_run = reader.required(DRY_RUN, "true or false", |raw| raw.flag());
        Some(Self {
            table: table?,
            state: state?,
            users: users?,
            keys: keys?,
            parameters: parameters?,
            stream: stream?,
            sweep: sweep?,
            orphans: orphans?,
            deletions: deletions?,
            executor: executor?,
            lease: lease?,
            http: http?,
            log: log?,
            shutdown: shutdown?,
            dry_run: dry_run?,
        })
    }
}

/// Every key that there is.
fn keys() -> Vec<Key> {
    [
        &[DRY_RUN],
        table::KEYS,
        state::KEYS,
        users::KEYS,
        keys::KEYS,
        parameters::KEYS,
        stream::KEYS,
        sweep::KEYS,
        orphans::KEYS,
        deletions::KEYS,
        executor::KEYS,
        lease::KEYS,
        http::KEYS,
        log::KEYS,
        shutdown::KEYS,
    ]
    .concat()
}

/// Reads the configuration: the defaults, then `config_file`, then the variables `IUC_…` of `env`.
///
/// # Errors
/// Everything that is wrong, at once. When the file cannot be read, that and whatever is certainly
/// wrong without it.
pub fn load(
    config_file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Settings, ConfigFaults> {
    let keys = keys();
    let mut faults = Vec::new();
    let mut below = Figment::from(Toml::string(DEFAULTS));
    let mut partial = false;
    if let Some(path) = config_file {
        if let Some(dict) = file::read(path, &mut faults) {
            let dict = file::known_only(dict, path, &keys, &mut faults);
            below = below.merge(FileLayer { path, dict });
        } else {
            partial = true;
        }
    }
    let layers = below.clone().merge(Environment::read(env, &keys, &mut faults));
    let mut reader = Reader::new(below, layers, partial, faults);
    let settings = Settings::read(&mut reader);
    match (settings, reader.into_faults()) {
        (Some(settings), faults) if faults.is_empty() => Ok(settings),
        (_, faults) => Err(ConfigFaults(faults)),
    }
}

/// What the file says, as a layer that knows its file.
struct FileLayer<'a> {
    path: &'a Path,
    dict: Dict,
}

impl Provider for FileLayer<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::from("configuration file", self.path)
    }

    fn data(&self) -> Result<figment::value::Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

//! Everything outside the program, as narrow traits in the domain's words.
//!
//! No SDK type crosses these traits. They are implemented twice: by `aws` for the service, and by
//! the simulated account of the tests, which has to keep the same promises.

mod clock;
mod directory;
mod error;
mod identity;
mod state;
mod streams;
mod table;
#[cfg(test)]
mod untouched;
mod vault;

use std::time::Duration;

pub use clock::{Alarm, Clock};
pub use directory::{Directory, MintedKey, NewUser, Page};
pub use error::{CallError, Fault, Receipt};
pub use identity::{Caller, Identity, Proof};
pub use state::{Record, StateError, StateStore};
pub use streams::{
    Batch, ChangeKind, ChangeRecord, Position, SequenceNumber, ShardDescription, ShardId, ShardIterator,
    ShardPage, StreamError, StreamStatus, Streams,
};
pub use table::{ItemPage, TableDescription, TableStream, UsersTable};
pub use vault::{ParameterValue, Vault};

#[cfg(test)]
pub(crate) use untouched::Untouched;

/// The longest time that a call that changes IAM or SSM can take, from its start to its result. It has
/// one attempt. The lease is reckoned with it.
pub const LONGEST_CHANGE: Duration = Duration::from_secs(5);

/// All ports in one bundle. Clones are handles to the same outside world.
pub trait Ports: Clone + Send + Sync + 'static {
    /// Users and keys.
    type Directory: Directory;
    /// Parameters.
    type Vault: Vault;
    /// Who a key belongs to.
    type Identity: Identity;
    /// The users table.
    type UsersTable: UsersTable;
    /// The table's stream.
    type Streams: Streams;
    /// The state table.
    type StateStore: StateStore;
    /// Time and randomness.
    type Clock: Clock;
    /// When to sweep.
    type Alarm: Alarm;

    /// Users and keys: IAM.
    fn directory(&self) -> &Self::Directory;
    /// Parameters: SSM Parameter Store.
    fn vault(&self) -> &Self::Vault;
    /// Who a key belongs to: STS.
    fn identity(&self) -> &Self::Identity;
    /// The users table: DynamoDB.
    fn users_table(&self) -> &Self::UsersTable;
    /// The table's stream: DynamoDB Streams.
    fn streams(&self) -> &Self::Streams;
    /// The state table: DynamoDB.
    fn state(&self) -> &Self::StateStore;
    /// Time and randomness.
    fn clock(&self) -> &Self::Clock;
    /// When to sweep: the cron schedule.
    fn alarm(&self) -> &Self::Alarm;
}

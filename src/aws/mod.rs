//! AWS itself, behind the traits of [`ports`](crate::ports): one file a service.
//!
//! Translates and nothing more: no decision about a user is made here, no answer is remembered, and
//! no type of the SDK leaves this module. Only `main` and the composition root know it.
//!
//! Two rules hold for every call. Reads are repeated by the SDK, within [`limits`]; **changes are
//! sent once**, because only the error of a single attempt says truly whether it may have had an
//! effect: after an attempt without an answer, the refusal of a second one would hide it. Whoever
//! wants a change looks again and decides anew.
//!
//! And no input or output of the SDK is ever formatted: some hold secrets.

pub mod actions;
mod alarm;
mod clock;
mod dynamodb;
mod errors;
mod iam;
mod intercept;
pub mod limits;
mod ssm;
mod state;
mod streams;
mod sts;
mod whole;

use std::sync::Arc;

use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder as HttpClientBuilder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;

pub use self::alarm::CronAlarm;
pub use self::clock::SystemClock;
pub use self::dynamodb::DynamoUsersTable;
pub use self::iam::Iam;
pub use self::ssm::ParameterStore;
pub use self::state::DynamoStateStore;
pub use self::streams::DynamoStreams;
pub use self::sts::Sts;
use crate::ports::Ports;

/// What the adapters have to know of the configuration. Region, credentials and endpoints are not
/// here: they come from the SDK's own chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSettings {
    /// `table.name`.
    pub users_table: String,
    /// `state.table`.
    pub state_table: String,
    /// `parameters.kms_key_id`.
    pub kms_key_id: Option<String>,
    /// `sweep.schedule`: cron with seconds, in UTC.
    pub sweep_schedule: String,
}

/// Why there are no ports.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing in the SDK's chain names a region.
    #[error("no AWS region is set; set AWS_REGION, or `region` in the AWS profile")]
    NoRegion,
    /// `sweep.schedule` is no cron expression.
    #[error("the sweep schedule {schedule:?} is not valid: {reason}")]
    Schedule {
        /// The setting.
        schedule: String,
        /// What the scheduler says about it.
        reason: String,
    },
    /// The registry has metrics of these names already.
    #[error("the metrics of AWS requests cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// All ports, implemented by AWS. Clones share clients, connections and measurements.
#[derive(Clone)]
pub struct AwsPorts(Arc<Adapters>);

struct Adapters {
    directory: Iam,
    vault: ParameterStore,
    identity: Sts,
    users_table: DynamoUsersTable,
    streams: DynamoStreams,
    state: DynamoStateStore,
    clock: SystemClock,
    alarm: CronAlarm,
}

impl AwsPorts {
    /// Finds region, credentials and endpoints as every AWS tool does, and makes the clients. Calls
    /// nothing yet.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        settings: &AwsSettings,
        registry: &prometheus::Registry,
    ) -> Result<Self, ConnectError> {
        let mut loader = aws_config::defaults(behavior()).http_client(http_client());
        if let Ok(name) = AppName::new(env!("CARGO_PKG_NAME")) {
            loader = loader.app_name(name);
        }
        Self::with_config(&loader.load().await, settings, registry).await
    }

    /// The same on a configuration made elsewhere; tests bring one with canned answers.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn with_config(
        config: &SdkConfig,
        settings: &AwsSettings,
        registry: &prometheus::Registry,
    ) -> Result<Self, ConnectError> {
        if config.region().is_none() {
            return Err(ConnectError::NoRegion);
        }
        // Every answer is read whole, within the time limit of its attempt; there is no stream that
        // could stall beside it.
        let config = config
            .to_builder()
            .behavior_version(behavior())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        let clock = SystemClock::start();
        let watch = intercept::Watch::new(clock.clone(), registry)?;
        Ok(Self(Arc::new(Adapters {
            directory: Iam::new(&config, &watch),
            vault: ParameterStore::new(&config, &watch, settings.kms_key_id.clone()),
            identity: Sts::new(&config, &watch),
            users_table: DynamoUsersTable::new(&config, &watch, settings.users_table.clone()),
            streams: DynamoStreams::new(&config, &watch),
            state: DynamoStateStore::new(&config, &watch, settings.state_table.clone()),
            clock,
            alarm: CronAlarm::start(&settings.sweep_schedule).await?,
        })))
    }
}

/// The SDK's set of defaults, pinned, so that an update of it changes nothing here unseen.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// One pool of connections and one set of roots for all clients, the short-lived ones that prove a
/// new key included. Left alone, the SDK makes one for each client.
fn http_client() -> SharedHttpClient {
    HttpClientBuilder::new().build_with_connector_fn(|settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.set_pool_idle_timeout(Some(Some(limits::IDLE_CONNECTION)));
        connector.build()
    })
}

impl Ports for AwsPorts {
    type Directory = Iam;
    type Vault = ParameterStore;
    type Identity = Sts;
    type UsersTable = DynamoUsersTable;
    type Streams = DynamoStreams;
    type StateStore = DynamoStateStore;
    type Clock = SystemClock;
    type Alarm = CronAlarm;

    fn directory(&self) -> &Iam {
        &self.0.directory
    }

    fn vault(&self) -> &ParameterStore {
        &self.0.vault
    }

    fn identity(&self) -> &Sts {
        &self.0.identity
    }

    fn users_table(&self) -> &DynamoUsersTable {
        &self.0.users_table
    }

    fn streams(&self) -> &DynamoStreams {
        &self.0.streams
    }

    fn state(&self) -> &DynamoStateStore {
        &self.0.state
    }

    fn clock(&self) -> &SystemClock {
        &self.0.clock
    }

    fn alarm(&self) -> &CronAlarm {
        &self.0.alarm
    }
}

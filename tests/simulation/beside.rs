//! Processes beside the service that it does not know: an operator's `sweep` with other settings, or with
//! another state table. And replicas of one name.

use std::sync::OnceLock;

use iam_user_controller::cli;
use iam_user_controller::config::{self, Settings};
use iam_user_controller::ports::Ports;
use tokio_util::sync::CancellationToken;

/// An operator's `sweep`, as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beside {
    /// It names another state table than the service.
    pub(crate) other_state: bool,
    /// Of the service's settings it has only the table's name.
    pub(crate) bare: bool,
    /// `--first`.
    pub(crate) first: bool,
}

impl Beside {
    /// The settings of the command, beside a service with these.
    pub(crate) fn settings(self, service: &Settings) -> Settings {
        static BARE: OnceLock<Settings> = OnceLock::new();
        let mut settings = service.clone();
        if self.bare {
            let env = [("IUC_TABLE__NAME".to_owned(), "users".to_owned())];
            let bare =
                BARE.get_or_init(|| config::load(None, env.into_iter()).expect("a table's name is enough"));
            settings.clone_from(bare);
            settings.table.name.clone_from(&service.table.name);
        }
        if self.other_state {
            settings.state.table.push_str("-other");
        }
        settings
    }

    /// Whether no change of a user may ever come from it.
    pub(crate) fn may_change_nothing(self) -> bool {
        self.other_state || self.bare
    }
}

/// One process of `iam-user-controller sweep`, on any ports.
pub(crate) async fn sweep<P: Ports>(
    ports: P,
    settings: Settings,
    beside: Beside,
    holder: String,
    shutdown: CancellationToken,
) {
    // It is refused, or another leader is in its way, or a call failed: all of that is an operator's to see.
    let _ = cli::sweep::sweep(ports, settings, beside.first, holder, shutdown).await;
}

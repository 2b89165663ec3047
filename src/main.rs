//! Arguments, configuration, log, adapters; then the program.

use std::process::ExitCode;

use clap::Parser;
use iam_user_controller::app::{self, AppError};
use iam_user_controller::aws::{AwsPorts, AwsSettings};
use iam_user_controller::cli::args::{Args, Command};
use iam_user_controller::cli::{self, FAILED, USAGE, fail};
use iam_user_controller::config::{self, Settings};
use iam_user_controller::telemetry;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let settings = match config::load(args.config_file(), config::of_this_process()) {
        Ok(settings) => settings,
        Err(faults) => return fail(USAGE, faults),
    };
    if let Command::Health = args.command() {
        return cli::health::run(settings.http.listen).await;
    }
    if let Err(error) = telemetry::start(&settings.log, *args.command() == Command::Run) {
        return fail(FAILED, error);
    }
    let registry = Registry::new();
    let ports = match AwsPorts::connect(&aws_settings(&settings), &registry).await {
        Ok(ports) => ports,
        Err(error) => return fail(FAILED, error),
    };
    let shutdown = match stop_on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => return fail(FAILED, error),
    };
    let holder = telemetry::holder();
    match args.command() {
        Command::Plan(args) => cli::plan::run(&ports, &settings, args).await,
        Command::Sweep(args) => cli::sweep::run(ports, settings, args, holder, shutdown).await,
        Command::Check => cli::check::run(&ports, &settings).await,
        Command::Deletions(command) => cli::deletions::run(&ports, &settings, *command, holder).await,
        Command::Run | Command::Health => match serve(ports, settings, registry, holder, shutdown).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(%error, "the program ends");
                fail(FAILED, error)
            }
        },
    }
}

async fn serve(
    ports: AwsPorts,
    settings: Settings,
    registry: Registry,
    holder: String,
    shutdown: CancellationToken,
) -> Result<(), AppError> {
    let listener = TcpListener::bind(settings.http.listen).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %listener.local_addr()?, "started");
    app::run(ports, settings, registry, Some(listener), holder, shutdown).await
}

fn aws_settings(settings: &Settings) -> AwsSettings {
    AwsSettings {
        users_table: settings.table.name.clone(),
        state_table: settings.state.table.clone(),
        kms_key_id: settings.parameters.kms_key_id.clone(),
        sweep_schedule: settings.sweep.schedule.clone(),
    }
}

/// The first SIGTERM or SIGINT asks for a graceful end; a second one ends at once.
fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let asked = shutdown.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if asked.is_cancelled() {
                tracing::warn!("a second signal: ending at once");
                std::process::exit(i32::from(FAILED));
            }
            tracing::info!("stopping: finishing the users in hand");
            asked.cancel();
        }
    });
    Ok(shutdown)
}

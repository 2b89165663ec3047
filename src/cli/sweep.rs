//! `sweep`: one full pass, by the leader when there is one, else by this process. With `dry_run` it
//! is a survey, which needs no lease.

use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::args::SweepArgs;
use super::deletions::{Asked, CommandError, ask_leader};
use super::{FAILED, fail, say, say_json};
use crate::app::{self, CommandKind};
use crate::config::Settings;
use crate::ports::{CallError, Identity, Ports};
use crate::survey::Surveyor;
use crate::sweep::SweepReport;

/// Makes one sweep, and prints its report.
pub async fn run<P: Ports>(
    ports: P,
    settings: Settings,
    args: &SweepArgs,
    holder: String,
    shutdown: CancellationToken,
) -> ExitCode {
    let dry_run = settings.dry_run;
    match sweep(ports, settings, holder, shutdown).await {
        Ok(report) => {
            if args.json {
                say_json(&report);
            } else {
                say(text(&report, dry_run));
            }
            if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(error) => fail(FAILED, error),
    }
}

fn text(report: &SweepReport, dry_run: bool) -> String {
    let mut lines = vec![format!(
        "Swept {} rows and {} owned users in {:.1} s; {} were looked at, {} are orphans.",
        report.rows,
        report.owned_users,
        Duration::from_millis(report.took_millis).as_secs_f64(),
        report.looked_at,
        report.orphans
    )];
    if report.failed > 0 {
        lines.push(format!("{} looks failed: the log tells whose and why.", report.failed));
    }
    if dry_run {
        lines.push("dry_run is set: nothing was changed.".to_owned());
    }
    lines.join("\n")
}

async fn sweep<P: Ports>(
    ports: P,
    settings: Settings,
    holder: String,
    shutdown: CancellationToken,
) -> Result<SweepReport, String> {
    if settings.dry_run {
        let surveyed = survey(&ports, &settings).await;
        return surveyed.map_err(|error| error.to_string());
    }
    let asked = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Err("stopped".to_owned()),
        asked = ask_leader(&ports, &settings, CommandKind::Sweep, holder.clone()) => asked,
    };
    match asked.map_err(|error: CommandError| error.to_string())? {
        Asked::Leader(answer) => answer.report.ok_or_else(|| "the leader gave no report".to_owned()),
        Asked::Nobody(lease) => {
            lease.release().await.map_err(|error| error.to_string())?;
            let metrics = prometheus::Registry::new();
            app::sweep_once(ports, settings, metrics, holder, shutdown)
                .await
                .map_err(|error| error.to_string())
        }
    }
}

async fn survey<P: Ports>(ports: &P, settings: &Settings) -> Result<SweepReport, CallError> {
    let own_user = ports.identity().caller().await?.own_user();
    let (_, report) = Surveyor { ports, settings, own_user }.instead_of_a_sweep().await?;
    Ok(report)
}

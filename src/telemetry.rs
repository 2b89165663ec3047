//! The log, and the name under which this process appears in it.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat};

/// Libraries that would write whole requests and answers, secrets included, at `debug` or `trace`;
/// the scheduler says "Uninited" at `info`, as if something were wrong.
/// Whatever `log.level` says, only their warnings are kept.
/// These are beginnings of their names.
const TALKATIVE: [&str; 6] = ["aws_", "h2", "hyper", "rustls", "tokio_cron_scheduler", "tower"];

/// Starts the log: of the service on standard output, where containers expect it; of a command on
/// standard error, beside what it prints.
///
/// # Errors
/// When a log was started already.
pub fn start(settings: &Log, service: bool) -> Result<(), TryInitError> {
    let writer =
        if service { BoxMakeWriter::new(std::io::stdout) } else { BoxMakeWriter::new(std::io::stderr) };
    let registry = tracing_subscriber::registry().with(filter(&settings.level)).with(quiet());
    match settings.format {
        LogFormat::Json => {
            let layer =
                fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
            registry.with(layer.with_writer(writer)).try_init()
        }
        LogFormat::Text => registry.with(fmt::layer().with_ansi(false).with_writer(writer)).try_init(),
    }
}

/// The name of this replica: the ECS task where there is one, else host and process.
pub fn holder() -> String {
    let process = std::process::id();
    // `http://169.254.170.2/v4/<container id>`: the id begins with the task's id.
    let task = std::env::var("ECS_CONTAINER_METADATA_URI_V4").ok();
    let task = task.as_deref().and_then(|uri| uri.rsplit('/').next()).filter(|id| !id.is_empty());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match task {
        Some(task) => format!("{task}/{process}"),
        None => format!("{}/{process}", host.trim()),
    }
}

fn filter(level: &str) -> EnvFilter {
    // Checked by the configuration; a filter that cannot be read is none worth ending for.
    EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::default().add_directive(LevelFilter::INFO.into()))
}

/// A filter of its own, because a directive of the operator's would override one in the same filter.
fn quiet() -> tracing_subscriber::filter::Targets {
    let targets = TALKATIVE.iter().map(|target| (*target, LevelFilter::WARN));
    tracing_subscriber::filter::Targets::new().with_targets(targets).with_default(LevelFilter::TRACE)
}

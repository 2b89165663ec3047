//! The log, and the name under which this process appears in it.

use std::any::Any;
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat};

/// Libraries that would write whole requests and answers, secrets included, at `debug` or `trace`;
/// the scheduler says "Uninited" at `info`, as if something were wrong.
/// Whatever `log.level` says, only their warnings are kept.
/// These are beginnings of their names.
const TALKATIVE: [&str; 6] = ["aws_", "h2", "hyper", "rustls", "tokio_cron_scheduler", "tower"];

/// Starts the log: of the service on standard output, where containers expect it; of a command on
/// standard error, beside what it prints. Each line names the users table, and each panic is a line.
///
/// # Errors
/// When a log was started already.
pub fn start(settings: &Log, table: &str, service: bool) -> Result<(), TryInitError> {
    std::panic::set_hook(Box::new(tell));
    let writer =
        if service { BoxMakeWriter::new(std::io::stdout) } else { BoxMakeWriter::new(std::io::stderr) };
    let registry = tracing_subscriber::registry().with(filter(&settings.level)).with(quiet());
    match settings.format {
        LogFormat::Json => {
            let layer =
                fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
            let layer = layer.map_event_format(|line| Naming { line, table: table.to_owned() });
            registry.with(layer.with_writer(writer)).try_init()
        }
        LogFormat::Text => {
            let layer = fmt::layer().with_ansi(false);
            let layer = layer.map_event_format(|line| Naming { line, table: table.to_owned() });
            registry.with(layer.with_writer(writer)).try_init()
        }
    }
}

/// Writes the users table at the end of each line: services of two tables may write to one place.
struct Naming<F> {
    line: F,
    table: String,
}

impl<S, N, F> FormatEvent<S, N> for Naming<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut line = String::new();
        self.line.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end();
        match line.strip_suffix('}').filter(|_| line.starts_with('{')) {
            // A table's name has no character that JSON escapes.
            Some(members) => writeln!(writer, "{members},\"table\":\"{}\"}}", self.table),
            None => writeln!(writer, "{line} table={}", self.table),
        }
    }
}

/// Makes a panic one line of the log.
fn tell(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    tracing::error!(place, said = words(panic.payload()), "a panic: a fault of the program");
}

/// Only words that stand so in the program's text: what was formatted may hold a secret.
fn words(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("not shown: it may hold a secret")
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

/// Libraries that write of an error that the program tells in its own words, and twice in one line.
const DOUBLED: [&str; 2] = ["aws_config::default_provider::endpoint_url", "aws_config::meta::credentials"];

/// A filter of its own, because a directive of the operator's would override one in the same filter.
fn quiet() -> tracing_subscriber::filter::Targets {
    let targets = TALKATIVE.iter().map(|target| (*target, LevelFilter::WARN));
    let doubled = DOUBLED.iter().map(|target| (*target, LevelFilter::ERROR));
    tracing_subscriber::filter::Targets::new()
        .with_targets(targets.chain(doubled))
        .with_default(LevelFilter::TRACE)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_names_the_table() {
        let written = Written::default();
        let writer = written.clone();
        let layer = fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
        let layer = layer.map_event_format(|line| Naming { line, table: "users-a".to_owned() });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(user = "a}", "changed");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["user"], &line["table"]), (&"a}".into(), &"users-a".into()), "{text}");
        assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text:?}");
    }

    #[test]
    fn a_panic_shows_no_words_that_were_formatted() {
        let payload = |panics: fn()| std::panic::catch_unwind(panics).unwrap_err();
        assert_eq!(words(&*payload(|| panic!("fixed words"))), "fixed words");
        let secret = || panic!("{}", std::hint::black_box("secret"));
        assert_eq!(words(&*payload(secret)), "not shown: it may hold a secret");
    }
}

//! `[log]`: what is written to the log, and how.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::key::{Key, nearest};
use super::reader::{Reader, one_of};

const FORMAT: Key = Key::of("log", "format");
const LEVEL: Key = Key::of("log", "level");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[FORMAT, LEVEL];

const FORMATS: &[(&str, LogFormat)] = &[("json", LogFormat::Json), ("text", LogFormat::Text)];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// For people.
    Text,
}

/// What is written to the log, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Which lines there are: the directives of an `EnvFilter`.
    pub level: String,
}

impl Log {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let format = reader.required(FORMAT, &one_of(FORMATS), |raw| raw.choice(FORMATS));
        let valid =
            format!("one of {}, or directives as in info,iam_user_controller=debug", LEVELS.join(", "));
        let level = reader.required(LEVEL, &valid, |raw| raw.text().and_then(directives));
        Some(Self { format: format?, level: level? })
    }
}

fn directives(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map_err(|error| error.to_string())?;
    // To EnvFilter a misspelt level is the name of a module whose every line is wanted.
    let module = |word: &&str| !word.contains(['=', '[']) && word.parse::<LevelFilter>().is_err();
    let words = || text.split(',').map(str::trim);
    if let Some(word) = words().find(module) {
        let near = nearest(&word.to_ascii_lowercase(), LEVELS.iter().map(|level| (*level).to_owned()));
        return Err(match near {
            Some(level) => format!("{word:?} is no level; did you mean {level}?"),
            None => format!("{word:?} is no level; all of a module is {word}=trace"),
        });
    }
    Ok(text.to_owned())
}

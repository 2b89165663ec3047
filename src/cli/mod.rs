//! The commands of people. Each writes to standard output and ends with an exit code.

pub mod args;
pub mod check;
pub mod deletions;
pub mod health;
pub mod plan;
pub mod sweep;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Failed.
pub const FAILED: u8 = 1;

/// The command line or the configuration is wrong.
pub const USAGE: u8 = 2;

/// `plan --detailed-exitcode`: there are changes to make.
pub const CHANGES: u8 = 2;

/// Says what is wrong on standard error, and gives the exit code for it.
pub fn fail(code: u8, what: impl Display) -> ExitCode {
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(std::io::stderr(), "iam-user-controller: {what}");
    ExitCode::from(code)
}

/// Writes to standard output. A reader that has gone, as `head` does, is no failure.
fn say(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes a value as JSON to standard output.
fn say_json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say(text),
        Err(error) => say(format_args!("{{\"error\": \"{error}\"}}")),
    }
}

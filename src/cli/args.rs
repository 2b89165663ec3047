//! The command line's words, and nothing that they do. Read by `main`.

use std::ffi::OsString;
use std::path::Path;

use clap::{Parser, Subcommand};

use crate::core::user::UserName;

/// Makes the IAM users of an AWS account agree with a DynamoDB table, and keeps their access keys
/// fresh.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "iam-user-controller", version, disable_help_subcommand = true)]
pub struct Args {
    /// Configuration file (TOML); variables IUC_… in the environment override it
    #[arg(long, global = true, value_name = "PATH", env = "IUC_CONFIG")]
    config: Option<OsString>,

    #[command(subcommand)]
    command: Option<Command>,
}

impl Args {
    /// The configuration file. An empty name is none, so that `IUC_CONFIG=` can unset it.
    pub fn config_file(&self) -> Option<&Path> {
        self.config.as_deref().filter(|path| !path.is_empty()).map(Path::new)
    }

    /// What to do.
    pub fn command(&self) -> &Command {
        self.command.as_ref().unwrap_or(&Command::Run)
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the service (the default)
    Run,
    /// Show what would be done, and change nothing
    Plan(PlanArgs),
    /// Make one full pass, then exit
    Sweep(SweepArgs),
    /// Say what is wrong with configuration, table, stream and permissions, and how to mend it
    Check,
    /// Look at held deletions, or let them go on
    #[command(subcommand)]
    Deletions(DeletionsCommand),
    /// Ask the running service's /healthz; for container health checks
    Health,
}

/// How to plan.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct PlanArgs {
    /// Only this user
    #[arg(long, value_name = "NAME", value_parser = UserName::parse)]
    pub user: Option<UserName>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
    /// Exit with 0 for no changes, 1 for an error, 2 for changes
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// How to sweep.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct SweepArgs {
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// What to do about held deletions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum DeletionsCommand {
    /// Show whether deletions are held, and why
    Status,
    /// Let held deletions go on
    Resume,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::error::ErrorKind> {
        let words = std::iter::once("iam-user-controller").chain(line.split_whitespace());
        Args::try_parse_from(words).map_err(|error| error.kind())
    }

    #[test]
    fn every_line_of_the_contract_is_understood() {
        let user = UserName::parse("a+b").ok();
        let plan = |user, json, detailed_exitcode| Command::Plan(PlanArgs { user, json, detailed_exitcode });
        for (line, expected) in [
            ("", Command::Run),
            ("run", Command::Run),
            ("plan", plan(None, false, false)),
            ("plan --user a+b --json --detailed-exitcode", plan(user, true, true)),
            ("sweep", Command::Sweep(SweepArgs { json: false })),
            ("sweep --json", Command::Sweep(SweepArgs { json: true })),
            ("check", Command::Check),
            ("deletions status", Command::Deletions(DeletionsCommand::Status)),
            ("deletions resume", Command::Deletions(DeletionsCommand::Resume)),
            ("health", Command::Health),
        ] {
            assert_eq!(parse(line).map(|args| args.command().clone()), Ok(expected), "{line}");
        }
        for line in ["deletions", "deletions forget", "plan --user a/b", "run --json", "help", "--conf x"] {
            assert!(parse(line).is_err(), "{line}");
        }
        <Args as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_file_may_be_named_before_or_after_the_command_and_an_empty_name_is_none() {
        for line in ["--config x.toml check", "check --config x.toml", "--config=x.toml"] {
            let args = parse(line).unwrap();
            assert_eq!(args.config_file(), Some(Path::new("x.toml")), "{line}");
        }
        assert_eq!(parse("--config= check").unwrap().config_file(), None);
    }
}

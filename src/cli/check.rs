//! `check`: what is wrong with configuration, tables, stream and permissions, and how to mend it.
//!
//! Changes nothing. Permissions to change IAM and SSM show themselves when they are needed; those to
//! read, and to write the state table, are tried here.

use std::process::ExitCode;

use super::{FAILED, say};
use crate::config::Settings;
use crate::core::user::UserName;
use crate::ports::{
    CallError, Directory, Fault, Identity, Ports, StateStore, StreamError, Streams, UsersTable, Vault,
};
use crate::reconcile::AwsTime;

/// A name that is as good as any to try permissions with.
const NOBODY: &str = "iam-user-controller-check";

/// One line of the report.
enum Finding {
    Good(String),
    Note(String),
    Bad(String),
}

/// Checks everything that can be checked without changing anything.
pub async fn run<P: Ports>(ports: &P, settings: &Settings) -> ExitCode {
    let mut findings = vec![Finding::Good("the configuration is valid".to_owned())];
    findings.push(caller(ports).await);
    findings.extend(users_table(ports, settings).await);
    findings.push(state_table(ports, settings).await);
    findings.extend(permissions(ports, settings).await);
    findings.push(clock(ports));
    if settings.users.permissions_boundary.is_none() {
        let note = "users.permissions_boundary is not set: nothing limits what a created user can become";
        findings.push(Finding::Note(note.to_owned()));
    }
    let mut bad = 0;
    for finding in &findings {
        match finding {
            Finding::Good(text) => say(format_args!("ok    {text}")),
            Finding::Note(text) => say(format_args!("note  {text}")),
            Finding::Bad(text) => {
                bad += 1;
                say(format_args!("WRONG {text}"));
            }
        }
    }
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

async fn caller<P: Ports>(ports: &P) -> Finding {
    match ports.identity().caller().await {
        Ok(caller) => Finding::Good(format!("running as {} in account {}", caller.arn, caller.account)),
        Err(error) => Finding::Bad(format!("the credentials do not work: {error}")),
    }
}

async fn users_table<P: Ports>(ports: &P, settings: &Settings) -> Vec<Finding> {
    let name = &settings.table.name;
    let table = match ports.users_table().describe().await {
        Ok(Some(table)) => table,
        Ok(None) => {
            let text = format!("the users table {name} does not exist in this account and Region");
            return vec![Finding::Bad(text)];
        }
        Err(error) => return vec![Finding::Bad(wants("dynamodb:DescribeTable", &error))],
    };
    let mut findings = vec![Finding::Good(format!("the users table is {}", table.arn))];
    if !table.keyed_by_user_name {
        findings.push(Finding::Bad(format!("the key of {name} is not the hash key UserName (S) alone")));
    }
    if let Err(error) = ports.users_table().scan(None).await {
        findings.push(Finding::Bad(wants("dynamodb:Scan", &error)));
    }
    if let Err(error) = ports.users_table().contains(NOBODY).await {
        findings.push(Finding::Bad(wants("dynamodb:GetItem", &error)));
    }
    findings.push(match table.stream {
        Some(stream) if stream.enabled => match ports.streams().shards(&stream.arn, None).await {
            Ok(_) => Finding::Good(format!("its stream is {}", stream.arn)),
            Err(StreamError::Call(error)) => Finding::Bad(wants("dynamodb:DescribeStream", &error)),
            Err(error) => Finding::Bad(format!("its stream cannot be read: {error}")),
        },
        Some(_) | None => Finding::Bad(format!(
            "{name} has no stream, so that changes are only seen by sweeps: aws dynamodb update-table --table-name {name} \
             --stream-specification StreamEnabled=true,StreamViewType=KEYS_ONLY"
        )),
    });
    findings
}

async fn state_table<P: Ports>(ports: &P, settings: &Settings) -> Finding {
    if settings.dry_run {
        return Finding::Note("dry_run is set, which needs no state table".to_owned());
    }
    match ports.state().check().await {
        Ok(Ok(())) => match ports.state().load().await {
            Ok(_) => Finding::Good(format!("the state table is {}", settings.state.table)),
            Err(error) => Finding::Bad(wants("dynamodb:Scan on the state table", &error)),
        },
        Ok(Err(problem)) => Finding::Bad(format!("the state table {}: {problem}", settings.state.table)),
        Err(error) => Finding::Bad(wants("dynamodb:DescribeTable on the state table", &error)),
    }
}

async fn permissions<P: Ports>(ports: &P, settings: &Settings) -> Vec<Finding> {
    let Ok(nobody) = UserName::parse(NOBODY) else { return Vec::new() };
    let parameter = settings.parameters.template.name_for(&nobody);
    let directory = ports.directory();
    let tried = [
        ("iam:GetAccountAuthorizationDetails", directory.glance(None).await.err()),
        ("iam:GetUser", directory.user(&nobody).await.err()),
        ("iam:ListAccessKeys", directory.keys(&nobody).await.err()),
        ("ssm:GetParameter", ports.vault().get(&parameter).await.err()),
    ];
    let outcome = |(action, error): (&str, Option<CallError>)| match error {
        None => Finding::Good(format!("{action} is allowed")),
        Some(error) => Finding::Bad(wants(action, &error)),
    };
    tried.into_iter().map(outcome).collect()
}

fn wants(action: &str, error: &CallError) -> String {
    match error.fault {
        Fault::Denied => format!("the role needs {action}: {error}"),
        Fault::NotFound
        | Fault::AlreadyExists
        | Fault::Conflict
        | Fault::Quota
        | Fault::Throttled { .. }
        | Fault::Invalid
        | Fault::Indeterminate => format!("{action} failed: {error}"),
    }
}

fn clock<P: Ports>(ports: &P) -> Finding {
    if AwsTime::of(ports.clock()).trusted {
        Finding::Good("the clock agrees with AWS's".to_owned())
    } else {
        Finding::Bad(
            "the clock is more than 5 minutes from AWS's: nothing would be rotated or deleted".to_owned(),
        )
    }
}

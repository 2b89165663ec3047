//! The house rules that no compiler checks: which room may know which, and what no file holds.

// Nothing here is a program: what cannot be read fails the test. Helpers of tests are not exempt by
// themselves, as test functions are.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms of this crate that it may name. What is not listed here may name anything
/// but `aws`, which only `main` knows.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("core", &["core"]),
    ("ports", &["core", "ports"]),
    ("aws", &["core", "ports", "aws"]),
    ("config", &["core", "config"]),
    ("feed", &["core", "ports", "feed"]),
    ("lease", &["core", "ports", "lease"]),
    ("heartbeat", &["heartbeat"]),
    ("registry", &["core", "registry"]),
    ("removals", &["core", "ports", "lease", "removals"]),
    ("brakes", &["core", "ports", "lease", "brakes"]),
    ("pace", &["core", "ports", "lease", "work", "pace"]),
    ("reconcile", &["core", "ports", "lease", "pace", "brakes", "removals", "registry", "reconcile"]),
    ("work", &["core", "ports", "brakes", "feed", "heartbeat", "reconcile", "registry", "removals", "work"]),
    (
        "sweep",
        &[
            "core",
            "ports",
            "config",
            "lease",
            "pace",
            "brakes",
            "heartbeat",
            "reconcile",
            "registry",
            "work",
            "sweep",
        ],
    ),
    ("status", &["core", "ports", "feed", "heartbeat", "lease", "registry", "sweep", "status"]),
    ("metrics", &["core", "ports", "config", "registry", "status", "metrics"]),
    ("admin", &["ports", "metrics", "status", "admin"]),
    ("telemetry", &["config", "telemetry"]),
];

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn sources() -> Vec<(String, String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let room = |path: &Path| {
        let relative = path.strip_prefix(&src).unwrap();
        relative.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "")
    };
    rust_files(&src)
        .iter()
        .map(|path| (room(path), path.display().to_string(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// The rooms that a line of code names as `crate::room`, also inside braces.
fn named_rooms(text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(inside) = rest.strip_prefix('{') {
            rooms.extend(inside[..inside.find('}').unwrap()].split(',').map(|part| word(part.trim())));
        } else {
            rooms.push(word(rest));
        }
    }
    rooms
}

#[test]
fn dependencies_point_one_way() {
    let sources = sources();
    let rooms: Vec<String> = sources.iter().map(|(room, ..)| room.clone()).collect();
    let mut wrong = Vec::new();
    for (room, path, text) in &sources {
        for named in named_rooms(text).into_iter().filter(|named| rooms.contains(named)) {
            let allowed = match MAY_KNOW.iter().find(|(name, _)| name == room) {
                Some((_, may_know)) => may_know.contains(&named.as_str()),
                None => named != "aws" || room == "main",
            };
            if !allowed {
                wrong.push(format!("{path}: {room} must not know {named}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(sources.len() > 50, "the sources were not found");
}

#[test]
fn only_aws_knows_the_sdk() {
    for (room, path, text) in sources() {
        let sdk = text.lines().find(|line| line.contains("aws_sdk_") || line.contains("aws_smithy"));
        assert!(room == "aws" || sdk.is_none(), "{path}: {}", sdk.unwrap_or_default());
    }
}

#[test]
fn core_has_no_clock_and_no_async() {
    for (room, path, text) in sources() {
        if room == "core" {
            let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
            let banned = ["async ", ".await", "tokio", "Instant", "SystemTime::now", "fastrand", "tracing::"];
            let found = banned.iter().find(|word| text[..tests].contains(**word));
            assert!(found.is_none(), "{path}: {}", found.unwrap_or(&""));
        }
    }
}

#[test]
fn main_is_short() {
    let main = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/main.rs")).unwrap();
    assert!(main.lines().count() < 100, "{} lines", main.lines().count());
}

#[test]
fn the_check_for_imports_finds_what_it_looks_for() {
    assert_eq!(
        named_rooms("use crate::{core::plan, aws};\nlet x = crate::feed::Feed;"),
        ["core", "aws", "feed"]
    );
    assert!(named_rooms("//! [`crate::aws`]").is_empty());
}

#[test]
fn terraform_renders_the_role_from_the_programs_own_list() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("terraform/actions.json");
    let listed: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let called = serde_json::to_value(iam_user_controller::aws::actions::ACTIONS).unwrap();
    assert_eq!(listed, called, "terraform/actions.json has to say what src/aws/actions.rs says");
}

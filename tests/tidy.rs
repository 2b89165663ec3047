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
    ("leaderships", &["core", "ports", "lease", "leaderships"]),
    ("heartbeat", &["heartbeat"]),
    ("registry", &["core", "registry"]),
    ("removals", &["core", "ports", "lease", "removals"]),
    ("brakes", &["core", "ports", "lease", "brakes"]),
    ("seals", &["core", "ports", "seals"]),
    ("pace", &["core", "ports", "config", "lease", "work", "pace"]),
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

/// Rows of docs/aws-assumptions.md: what is believed, its source, what if it is false, the test.
fn assumptions(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| belief |"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

#[test]
fn the_tests_that_the_assumptions_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/aws-assumptions.md")).unwrap();
    let rows = assumptions(&page);
    let (mut wrong, mut without) = (Vec::new(), 0);
    for row in &rows {
        let [belief, _, _, tests] = row[..] else {
            wrong.push(format!("{row:?} has not four cells"));
            continue;
        };
        without += usize::from(tests == "**no test**");
        for named in tests.split('`').filter(|part| part.contains("::")) {
            let (file, test) = named.split_once("::").unwrap();
            let text = fs::read_to_string(root.join(file)).unwrap_or_default();
            if !text.contains(&format!("fn {test}(")) && !text.contains(&format!("def {test}(")) {
                wrong.push(format!("{belief} names {named}, which is not there"));
            }
        }
        if tests != "**no test**" && !tests.contains("::") {
            wrong.push(format!("{belief} names no test"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let count = format!("Rows without a test: {without} of {}.", rows.len());
    assert!(page.contains(&count), "docs/aws-assumptions.md has to say: {count}");
}

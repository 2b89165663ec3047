//! The configuration file: read, parsed, and freed of what is no setting.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};

use super::faults::{Fault, Source};
use super::key::{Key, nearest};
use super::render::render;

/// A configuration of every key with long lists has some ten kilobytes. More than this is not a
/// configuration, and might have no end.
const MAX_BYTES: u64 = 1024 * 1024;

/// Reads a TOML file.
///
/// What is wrong with the file as a whole is one fault, with line and column where there are any.
pub(super) fn read(path: &Path, faults: &mut Vec<Fault>) -> Option<Dict> {
    let readable = "the path of a TOML file that this process may read, or no --config and no IUC_CONFIG";
    let toml = "TOML, as in config/default.toml";
    let document = match contents(path) {
        Ok(text) => parse(&text).map_err(|problem| (problem, toml)),
        Err(problem) => Err((problem, readable)),
    };
    let (problem, valid) = match document {
        Ok(document) => return Some(document),
        Err(fault) => fault,
    };
    faults.push(Fault {
        key: "configuration file".to_owned(),
        variable: Some("IUC_CONFIG".to_owned()),
        value: None,
        source: Source::File(path.to_owned()),
        problem,
        valid: valid.to_owned(),
    });
    None
}

fn contents(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| unreadable(path, &error))?;
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes <= MAX_BYTES) {
        Ok(text)
    } else {
        Err("it has more than 1 MiB, which no configuration has".to_owned())
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let problem = if error.kind() == ErrorKind::NotFound {
        "there is no such file".to_owned()
    } else if error.kind() == ErrorKind::InvalidData {
        "it is not UTF-8".to_owned()
    } else {
        format!("it cannot be read: {error}")
    };
    if path.is_relative() { format!("{problem}; looked at {}", absolute.display()) } else { problem }
}

/// Parses TOML; says line and column of what it cannot parse.
fn parse(text: &str) -> Result<Dict, String> {
    Toml::from_str::<Dict>(text).map_err(|error| {
        let message = error.message().trim().replace('\n', ", ");
        let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
            return message;
        };
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("line {line}, column {column}: {message}")
    })
}

/// Keeps the settings of a file; everything else in it becomes a fault.
pub(super) fn known_only(file: Dict, path: &Path, keys: &[Key], faults: &mut Vec<Fault>) -> Dict {
    let mut known = Dict::new();
    for (name, value) in file {
        let is_section = keys.iter().any(|key| key.section == Some(name.as_str()));
        if is_key(keys, None, &name) {
            known.insert(name, value);
        } else if let Value::Dict(tag, entries) = value {
            if entries.is_empty() && !is_section {
                faults.push(unknown(&name, None, path, keys));
            }
            let mut section = Dict::new();
            for (entry, value) in entries {
                if is_key(keys, Some(&name), &entry) {
                    section.insert(entry, value);
                } else {
                    faults.push(unknown(&format!("{name}.{entry}"), Some(&value), path, keys));
                }
            }
            known.insert(name, Value::Dict(tag, section));
        } else if is_section {
            faults.push(no_section(&name, &value, path));
        } else {
            faults.push(unknown(&name, Some(&value), path, keys));
        }
    }
    known
}

fn is_key(keys: &[Key], section: Option<&str>, name: &str) -> bool {
    keys.iter().any(|key| key.section == section && key.name == name)
}

fn unknown(written: &str, value: Option<&Value>, path: &Path, keys: &[Key]) -> Fault {
    Fault {
        key: written.to_owned(),
        variable: None,
        value: value.filter(|_| !sounds_secret(written)).map(render),
        source: Source::File(path.to_owned()),
        problem: "there is no such key".to_owned(),
        valid: instead(written, keys),
    }
}

fn no_section(name: &str, value: &Value, path: &Path) -> Fault {
    Fault {
        key: name.to_owned(),
        variable: None,
        value: Some(render(value)),
        source: Source::File(path.to_owned()),
        problem: "it is a section, not a key".to_owned(),
        valid: format!("a line [{name}] with the section's keys below it"),
    }
}

/// What somebody may have put here by mistake, and nobody should read in a log.
pub(super) fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["secret", "sekret", "passw", "pwd", "token", "credential", "private", "api_key", "apikey"]
        .iter()
        .any(|word| name.contains(word))
}

/// What to write in place of an unknown key: the nearest key, the section's keys, or the sections.
fn instead(written: &str, keys: &[Key]) -> String {
    if let Some(near) = nearest(written, keys.iter().map(Key::to_string)) {
        return format!("did you mean {near}?");
    }
    let section = written.split('.').next().unwrap_or_default();
    let in_section: Vec<_> =
        keys.iter().filter(|key| key.section == Some(section)).map(|key| key.name).collect();
    if !in_section.is_empty() {
        return format!("the keys of [{section}]: {}", in_section.join(", "));
    }
    let mut sections: Vec<_> = keys.iter().filter_map(|key| key.section).collect();
    sections.dedup();
    format!("a key of one of the sections {}", sections.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_and_column_count_characters_from_one() {
        let at = |text| parse(text).unwrap_err().split(": ").next().unwrap().to_owned();
        assert_eq!(at("a = 1\nb = \n"), "line 2, column 5");
        assert_eq!(at("a = 1\na = 2"), "line 2, column 1");
        assert_eq!(at("a = 'é' x"), "line 1, column 9");
    }
}

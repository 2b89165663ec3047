//! Reads typed settings out of the layers, and collects what is wrong with them.
//!
//! A section asks for each of its keys with a parser; a value that does not pass becomes a fault,
//! and the section goes on, so that all faults are told at once.

use std::ops::RangeInclusive;
use std::time::Duration;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Source as Origin};

use super::environment;
use super::faults::{Fault, Source};
use super::key::{Key, nearest};
use super::render::{self, render};

/// The layers, and the faults so far.
pub(super) struct Reader {
    /// The defaults and the file.
    below: Figment,
    /// The same with the environment on top.
    layers: Figment,
    /// Whether there is a file that could not be read. Then nothing is known to be missing, and no
    /// two values to contradict each other.
    partial: bool,
    faults: Vec<Fault>,
}

/// A value and where it was given.
struct Given {
    value: Value,
    source: Source,
}

impl Reader {
    /// A reader of these layers; `below` is all but the environment.
    pub(super) fn new(below: Figment, layers: Figment, partial: bool, faults: Vec<Fault>) -> Self {
        Self { below, layers, partial, faults }
    }

    /// Every fault found.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// The value of a key that must have one.
    pub(super) fn required<T>(
        &mut self,
        key: Key,
        valid: &str,
        parse: impl FnOnce(&Raw<'_>) -> Result<T, String>,
    ) -> Option<T> {
        match self.given(key, &self.layers) {
            Some(given) => self.parsed(key, given, valid, parse),
            None => {
                self.missing(key, valid);
                None
            }
        }
    }

    /// The value of a key that may be left out. In the environment, left out and empty are the same:
    /// then the layers below count.
    ///
    /// `None` is also the answer to a value that does not pass; the fault tells them apart.
    pub(super) fn optional<T>(
        &mut self,
        key: Key,
        valid: &str,
        parse: impl FnOnce(&Raw<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.given(key, &self.layers).filter(|given| !given.is_empty_variable());
        let given = given.or_else(|| self.given(key, &self.below))?;
        self.parsed(key, given, valid, parse)
    }

    /// A fault of a value that is fine by itself, but not together with others.
    pub(super) fn conflict(&mut self, key: Key, problem: String, valid: String) {
        if self.partial {
            return;
        }
        let (value, source) = match self.given(key, &self.layers) {
            Some(given) => (Some(render(&given.value)), given.source),
            None => (None, Source::Nowhere),
        };
        let variable = Some(key.variable());
        self.faults.push(Fault { key: key.to_string(), variable, value, source, problem, valid });
    }

    /// A key with its value and where that comes from: what a value is in conflict with.
    pub(super) fn told(&self, key: Key) -> String {
        match self.given(key, &self.layers) {
            Some(given) => format!("{key} ({} from {})", render(&given.value), given.source),
            None => key.to_string(),
        }
    }

    fn missing(&mut self, key: Key, valid: &str) {
        if self.partial {
            return;
        }
        let place = match key.section {
            Some(section) => format!("{} under [{section}] in the configuration file", key.name),
            None => format!("{} in the configuration file", key.name),
        };
        self.faults.push(Fault {
            key: key.to_string(),
            variable: Some(key.variable()),
            value: None,
            source: Source::Nowhere,
            problem: "it has no default and must be set".to_owned(),
            valid: format!("{valid}; set {}, or {place}", key.variable()),
        });
    }

    fn parsed<T>(
        &mut self,
        key: Key,
        given: Given,
        valid: &str,
        parse: impl FnOnce(&Raw<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let untyped = matches!(given.source, Source::Variable(_));
        match parse(&Raw { value: &given.value, untyped }) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.faults.push(Fault {
                    key: key.to_string(),
                    variable: Some(key.variable()),
                    value: Some(render(&given.value)),
                    source: given.source,
                    problem,
                    valid: valid.to_owned(),
                });
                None
            }
        }
    }

    fn given(&self, key: Key, layers: &Figment) -> Option<Given> {
        let value = layers.find_value(&key.to_string()).ok()?;
        let source = match layers.get_metadata(value.tag()).and_then(|metadata| metadata.source.as_ref()) {
            Some(Origin::File(path)) => Source::File(path.clone()),
            Some(Origin::Custom(name)) if name == environment::SOURCE => Source::Variable(key.variable()),
            _ => Source::Default,
        };
        Some(Given { value, source })
    }
}

impl Given {
    fn is_empty_variable(&self) -> bool {
        matches!(self.source, Source::Variable(_)) && self.value.as_str() == Some("")
    }
}

/// A value as it was given: typed by TOML, or the bare text of an environment variable.
pub(super) struct Raw<'a> {
    value: &'a Value,
    untyped: bool,
}

impl Raw<'_> {
    /// A text with something in it.
    pub(super) fn text(&self) -> Result<&str, String> {
        match self.value.as_str() {
            Some("") => Err("it is empty".to_owned()),
            Some(text) => Ok(text),
            None if matches!(self.value, Value::Num(..) | Value::Bool(..)) => {
                Err(format!("it is {}, not a text: write it in quotes", render::kind(self.value)))
            }
            None => Err(self.is_not("a text")),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Result<bool, String> {
        match (self.value.to_bool(), self.bare_text()) {
            (Some(flag), _) => Ok(flag),
            (None, Some("true")) => Ok(true),
            (None, Some("false")) => Ok(false),
            (None, Some(_)) => Err("it is neither true nor false".to_owned()),
            (None, None) => Err(self.is_not("true or false")),
        }
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, bounds: RangeInclusive<u32>) -> Result<u32, String> {
        let number = self.value.to_i128().or_else(|| self.bare_text()?.parse().ok());
        let number = number.ok_or_else(|| self.is_not("a whole number"))?;
        if number < i128::from(*bounds.start()) {
            return Err(format!("it is less than {}", bounds.start()));
        }
        match u32::try_from(number) {
            Ok(number) if bounds.contains(&number) => Ok(number),
            _ => Err(format!("it is more than {}", bounds.end())),
        }
    }

    /// A list of texts; in the environment, a TOML array.
    pub(super) fn list(&self) -> Result<Vec<String>, String> {
        let values = match (self.value.as_array(), self.bare_text()) {
            (Some(values), _) => values.to_owned(),
            (None, Some(text)) => array(text).ok_or_else(|| "it is no TOML array".to_owned())?,
            (None, None) => return Err(self.is_not("a list")),
        };
        let text = |value: Value| {
            let fault = format!("{} in it is {}, not a text in quotes", render(&value), render::kind(&value));
            value.into_string().ok_or(fault)
        };
        values.into_iter().map(text).collect()
    }

    /// A duration within bounds.
    pub(super) fn duration(&self, bounds: &Durations) -> Result<Duration, String> {
        let without_unit = |number: &str| format!("it has no unit: write \"{number}s\" for seconds");
        if self.value.to_num().is_some() {
            return Err(without_unit(&render(self.value)));
        }
        let text = self.text()?;
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(without_unit(text));
        }
        let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
        if duration < bounds.least {
            Err(format!("it is less than {}", render::duration(bounds.least)))
        } else if duration > bounds.most {
            Err(format!("it is more than {}", render::duration(bounds.most)))
        } else {
            Ok(duration)
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, String> {
        let text = self.text()?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Ok(*choice);
        }
        let near = nearest(&text.to_ascii_lowercase(), choices.iter().map(|(word, _)| (*word).to_owned()));
        Err(match near {
            Some(near) => format!("it is none of the choices; did you mean {near}?"),
            None => "it is none of the choices".to_owned(),
        })
    }

    /// The text of an environment variable, which is not typed yet.
    fn bare_text(&self) -> Option<&str> {
        self.value.as_str().filter(|_| self.untyped)
    }

    fn is_not(&self, wanted: &str) -> String {
        if self.untyped {
            format!("it is not {wanted}")
        } else {
            format!("it is {}, not {wanted}", render::kind(self.value))
        }
    }
}

/// The elements of a TOML array, and nothing but an array.
fn array(text: &str) -> Option<Vec<Value>> {
    let mut document = Toml::from_str::<Dict>(&format!("list = {text}")).ok()?;
    let list = document.remove("list")?.into_array()?;
    document.is_empty().then_some(list)
}

/// The durations that a key may have.
pub(super) struct Durations {
    /// The shortest.
    pub(super) least: Duration,
    /// The longest.
    pub(super) most: Duration,
    /// Why not shorter or longer.
    pub(super) because: &'static str,
}

impl Durations {
    /// What is valid, as a fault says it.
    pub(super) fn valid(&self) -> String {
        let (least, most) = (render::duration(self.least), render::duration(self.most));
        format!("a duration from {least} to {most} ({}), such as 250ms, 15d or \"1h 30m\"", self.because)
    }
}

/// What is valid for a choice, as a fault says it.
pub(super) fn one_of<T>(choices: &[(&str, T)]) -> String {
    let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
    format!("one of {}", words.join(", "))
}

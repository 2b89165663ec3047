//! What is wrong with a configuration, told so that it can be mended without reading the code.

use std::fmt;
use std::path::PathBuf;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The defaults that are part of the program.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// This environment variable.
    Variable(String),
    /// Nowhere.
    Nowhere,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("the default"),
            Source::File(path) => write!(f, "file {}", path.display()),
            Source::Variable(name) => write!(f, "environment variable {name}"),
            Source::Nowhere => f.write_str("set nowhere"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, the unknown variable, or `configuration file`.
    pub key: String,
    /// The environment variable for the key, where there is one.
    pub variable: Option<String>,
    /// The value as it was given; `None` where there is none, or where it is not to be shown.
    pub value: Option<String>,
    /// Where it was given.
    pub source: Source,
    /// What is wrong with it.
    pub problem: String,
    /// What would be right.
    pub valid: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(variable) = &self.variable {
            write!(f, " (environment: {variable})")?;
        }
        if let Some(value) = &self.value {
            write!(f, "\n     value:  {value}")?;
        }
        write!(f, "\n     source: {}", self.source)?;
        write!(f, "\n     wrong:  {}", self.problem)?;
        write!(f, "\n     valid:  {}", self.valid)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFaults(pub(super) Vec<Fault>);

impl ConfigFaults {
    /// The faults in the order of the sections; never none.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl std::error::Error for ConfigFaults {}

/// A numbered list, with no newline at the end.
impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has 1 fault")?,
            faults => write!(f, "the configuration has {faults} faults")?,
        }
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "\n\n{:>2}. {fault}", index + 1)?;
        }
        Ok(())
    }
}

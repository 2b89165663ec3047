//! `[pace]`: how fast the limits that AWS shares among everybody in the account are used.

use super::key::Key;
use super::reader::Reader;

const IAM: Key = Key::of("pace", "iam");
const PARAMETER_READS: Key = Key::of("pace", "parameter_reads");
const PARAMETER_LISTS: Key = Key::of("pace", "parameter_lists");
const PARAMETER_WRITES: Key = Key::of("pace", "parameter_writes");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[IAM, PARAMETER_READS, PARAMETER_LISTS, PARAMETER_WRITES];

/// The highest quota of Parameter Store that AWS sells is 10,000 reads a second.
const MOST: u32 = 10_000;

/// Calls a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Where a new leader begins.
    pub start: u32,
    /// Never more than this.
    pub most: u32,
}

/// Calls a second, for each of AWS's limits. Between start and ceiling the pace follows what AWS accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// IAM.
    pub iam: Rate,
    /// SSM: GetParameter.
    pub parameter_reads: Rate,
    /// SSM: DescribeParameters.
    pub parameter_lists: Rate,
    /// SSM: PutParameter, DeleteParameter.
    pub parameter_writes: Rate,
}

impl Pace {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let valid = format!(
            "a table such as {{ start = 20, most = 1000 }}: whole numbers from 1 to {MOST}, start at most most"
        );
        let mut rate = |key| {
            reader.required(key, &valid, |raw| {
                let [start, most] = raw.integers(["start", "most"], 1..=MOST)?;
                if start > most {
                    Err("start is more than most".to_owned())
                } else {
                    Ok(Rate { start, most })
                }
            })
        };
        let (iam, parameter_reads) = (rate(IAM), rate(PARAMETER_READS));
        let (parameter_lists, parameter_writes) = (rate(PARAMETER_LISTS), rate(PARAMETER_WRITES));
        Some(Self {
            iam: iam?,
            parameter_reads: parameter_reads?,
            parameter_lists: parameter_lists?,
            parameter_writes: parameter_writes?,
        })
    }
}

//! Values as an operator would write them, for faults.

use std::time::Duration;

use figment::value::{Num, Value};

/// More of a value than this does not help to recognise it.
const MAX_SHOWN: usize = 160;

/// A value as TOML writes it, cut when it is long.
pub(super) fn render(value: &Value) -> String {
    let mut text = whole(value);
    if let Some((end, _)) = text.char_indices().nth(MAX_SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn whole(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, character) => format!("{:?}", character.to_string()),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => digits(*number),
        Value::Empty(..) => "nothing".to_owned(),
        Value::Array(_, values) => {
            format!("[{}]", values.iter().map(whole).collect::<Vec<_>>().join(", "))
        }
        Value::Dict(_, entries) => match entries.iter().next() {
            // How the TOML parser hands a date to other data models.
            Some((name, Value::String(_, date))) if name == "$__toml_private_datetime" => date.clone(),
            _ => {
                let entries = entries.iter().map(|(name, value)| format!("{name} = {}", whole(value)));
                format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
            }
        },
    }
}

fn digits(number: Num) -> String {
    match (number.to_i128(), number.to_u128(), number.to_f64()) {
        (Some(signed), _, _) => signed.to_string(),
        (None, Some(unsigned), _) => unsigned.to_string(),
        (None, None, Some(float)) => format!("{float:?}"),
        (None, None, None) => "a number".to_owned(),
    }
}

/// What kind of value it is, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "a text",
        Value::Bool(..) => "true or false",
        Value::Num(_, Num::F32(_) | Num::F64(_)) => "a number with a fraction",
        Value::Num(..) => "a whole number",
        Value::Empty(..) => "nothing",
        Value::Array(..) => "a list",
        Value::Dict(_, entries) if entries.contains_key("$__toml_private_datetime") => "a date",
        Value::Dict(..) => "a table",
    }
}

/// A duration in the largest unit that says it exactly: `15d`, `36h`, `250ms`.
pub(super) fn duration(duration: Duration) -> String {
    const MILLI: u128 = 1_000_000;
    const UNITS: [(&str, u128); 5] = [
        ("d", 86_400_000 * MILLI),
        ("h", 3_600_000 * MILLI),
        ("m", 60_000 * MILLI),
        ("s", 1_000 * MILLI),
        ("ms", MILLI),
    ];
    let nanos = duration.as_nanos();
    match UNITS.iter().find(|(_, unit)| nanos > 0 && nanos.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", nanos / unit),
        None => humantime::format_duration(duration).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_exact() {
        for text in ["15d", "36h", "90m", "45s", "250ms", "0s", "1s 7ns"] {
            assert_eq!(duration(humantime::parse_duration(text).unwrap()), text);
        }
    }
}

//! Values as text, for messages and for what takes any plain type.

use crate::report::Checked;
use toml::de::DeValue;

/// Collects values, going on after a mistake.
pub(crate) fn all<T>(values: impl Iterator<Item = Checked<T>>) -> Checked<Vec<T>> {
    // `collect` alone would stop at the first mistake, before the others are reported.
    let values: Vec<Checked<T>> = values.collect();
    values.into_iter().collect()
}

/// Returns a value of any plain type as text: strings as they are, integers and booleans as written. Else, what
/// it is.
pub(crate) fn scalar(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(integer) => Ok(integer.to_string()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        other => Err(described(other)),
    }
}

/// Quotes a text for a title: on one line, and not too long.
pub(crate) fn quoted(text: &str) -> String {
    match one_line(text).as_str() {
        "" => "an empty text".to_owned(),
        line => format!("`{line}`"),
    }
}

/// Puts a text on one line of at most 60 characters.
pub(crate) fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(60) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Names a value's type, with its article.
pub(crate) const fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

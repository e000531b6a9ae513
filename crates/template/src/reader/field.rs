//! A value of the template, and the types it is asked for.

use crate::{
    context::Context,
    interpolation::{Style, has_reference},
    model::Text,
    names::{Words, listed, nearest},
    reader::{Table, all, one_line, quoted, scalar, value::described},
    report::{Checked, Diagnostic, Reported},
    scope::{Written, expand, expand_for_installer},
};
use kiln_types::ParseError;
use std::{
    ops::{Range, RangeInclusive},
    str::FromStr,
};
use toml::{Spanned, de::DeValue};

/// Where a sensitive value may go.
const SENSITIVE: &str = "sensitive values may be used in `inline`, `environment`, `content`, `command` and \
                         `extra_vars` of a provisioner, `password` of the communicator and `http_content` of \
                         the source";

/// A key and its value, or an element of an array under the array's key.
#[derive(Clone)]
pub(crate) struct Field<'c> {
    pub(crate) context: &'c Context<'c>,
    pub(crate) name: String,
    pub(crate) key: Range<usize>,
    value: &'c Spanned<DeValue<'c>>,
    /// Whether it is an element of the array of that name.
    is_element: bool,
}

impl<'c> Field<'c> {
    pub(crate) fn new(
        context: &'c Context<'c>,
        name: &str,
        key: Range<usize>,
        value: &'c Spanned<DeValue<'c>>,
    ) -> Self {
        Self { context, name: name.to_owned(), key, value, is_element: false }
    }

    /// Returns the value's place.
    pub(crate) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// Names the value for a message.
    pub(crate) fn subject(&self) -> String {
        if self.is_element { format!("an element of `{}`", self.name) } else { format!("`{}`", self.name) }
    }

    pub(crate) fn is_table(&self) -> bool {
        let tables = |array: &toml::de::DeArray<'_>| array.iter().any(|item| item.get_ref().is_table());
        self.value.get_ref().is_table() || self.value.get_ref().as_array().is_some_and(tables)
    }

    pub(crate) fn is_integer(&self) -> bool {
        self.value.get_ref().is_integer()
    }

    pub(crate) fn is_array(&self) -> bool {
        self.value.get_ref().is_array()
    }

    /// Returns the value as a string whose `${…}` are still there.
    pub(crate) fn written(&self) -> Checked<Written<'c>> {
        match self.value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                Err(self.wrong("a text cannot hold a NUL character", "holds `\\u0000`"))
            }
            DeValue::String(text) => Ok(Written { text, span: self.span() }),
            _ => Err(self.wrong_type("a string")),
        }
    }

    /// Reads a text that goes to the guest: it may hold secrets.
    pub(crate) fn text(&self, style: Style) -> Checked<Text> {
        let value = expand(self.context, &self.written()?, style);
        self.context.used(value.uses);
        value.text
    }

    /// Reads a text for an installer: `${http.…}` stand in it until the server runs.
    pub(crate) fn text_for_installer(&self, style: Style) -> Checked<Text> {
        let value = expand_for_installer(self.context, &self.written()?, style);
        self.context.used(value.uses);
        value.text
    }

    /// Reads a string that may be shown.
    pub(crate) fn string(&self) -> Checked<String> {
        self.shown(&self.text(Style::Strict)?)
    }

    /// Refuses a text that cannot be shown.
    pub(crate) fn shown(&self, text: &Text) -> Checked<String> {
        if text.is_sensitive() {
            let title = format!("a sensitive value cannot be used in `{}`", self.name);
            let diagnostic = Diagnostic::at(self.span(), title).label("would be shown or stored in clear");
            return Err(self.context.report(diagnostic.help(SENSITIVE)));
        }
        Ok(text.expose().to_owned())
    }

    /// Reads a string that is checked by `well_made`, which says what is expected otherwise.
    pub(crate) fn checked(
        &self,
        what: &str,
        well_made: impl FnOnce(&str) -> Result<(), String>,
    ) -> Checked<String> {
        let text = self.string()?;
        match well_made(&text) {
            Ok(()) => Ok(text),
            Err(why) => Err(self.wrong(format!("{} is not {what}", quoted(&text)), why)),
        }
    }

    /// Reads a value of a type that parses from text.
    pub(crate) fn parse<T: FromStr<Err = ParseError>>(&self) -> Checked<T> {
        let text = self.string()?;
        text.parse().map_err(|error: ParseError| {
            self.wrong(format!("{} is not {}", quoted(&text), error.what), error.why)
        })
    }

    /// Reads a quantity: a text of a number and a unit. `example` is one.
    pub(crate) fn quantity<T: FromStr<Err = ParseError>>(&self, what: &str, example: &str) -> Checked<T> {
        if self.value.get_ref().is_str() {
            return self.parse();
        }
        let title = format!("`{}` must be {what}, not {}", self.name, described(self.value.get_ref()));
        Err(self.wrong(title, format!("expected {what} with its unit in quotes: `\"{example}\"`")))
    }

    /// Reads one of an enumeration's words.
    pub(crate) fn word<W: Words>(&self) -> Checked<W> {
        let text = self.string()?;
        W::from_name(&text).ok_or_else(|| self.not_among(&text, W::NAMES))
    }

    /// Reports that a string is not one of the words known.
    pub(crate) fn not_among(&self, text: &str, known: &[&str]) -> Reported {
        let title = format!("{} is not a value of `{}`", quoted(text), self.name);
        let mut diagnostic = Diagnostic::at(self.span(), title).label("no such value");
        if let Some(near) = nearest(text, known.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        }
        let known = listed(known.iter().copied());
        self.context.report(diagnostic.help(format!("values of `{}`: {known}", self.name)))
    }

    /// Reads a whole number, or a string of one that comes from a variable.
    pub(crate) fn integer(&self, range: RangeInclusive<i64>) -> Checked<i64> {
        let number = match self.value.get_ref() {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            DeValue::String(text) if has_reference(text) => {
                let text = self.string()?;
                let number = text.parse().ok();
                if number.is_none() {
                    let title = format!("{} is not a whole number", quoted(&text));
                    return Err(self.wrong(title, format!("what `{}` comes to", self.name)));
                }
                number
            }
            _ => return Err(self.wrong_type("an integer")),
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let expected = format!("expected {} to {}", range.start(), range.end());
            self.wrong(format!("{} is out of range", self.subject()), expected)
        })
    }

    /// Reads a boolean, or a string of one that comes from a variable.
    pub(crate) fn boolean(&self) -> Checked<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            DeValue::String(text) if has_reference(text) => {
                let text = self.string()?;
                let wrong = |_error: std::str::ParseBoolError| {
                    self.wrong(format!("{} is not a boolean", quoted(&text)), "expected true or false")
                };
                text.parse().map_err(wrong)
            }
            _ => Err(self.wrong_type("a boolean")),
        }
    }

    /// Returns the elements of an array, each under the array's name.
    pub(crate) fn items(&self) -> Checked<Vec<Self>> {
        let DeValue::Array(array) = self.value.get_ref() else { return Err(self.wrong_type("an array")) };
        let item = |value| Self { value, is_element: true, ..self.clone() };
        Ok(array.iter().map(item).collect())
    }

    /// Reads an array, every element with `read`.
    pub(crate) fn each<T>(&self, read: impl Fn(&Self) -> Checked<T>) -> Checked<Vec<T>> {
        all(self.items()?.iter().map(read))
    }

    /// Reads an array that has an element.
    pub(crate) fn some<T>(&self, read: impl Fn(&Self) -> Checked<T>) -> Checked<Vec<T>> {
        let values = self.each(read)?;
        if values.is_empty() {
            return Err(self.wrong(format!("`{}` is empty", self.name), "expected at least one element"));
        }
        Ok(values)
    }

    /// Reads a table whose keys are free: every key and value with `read`.
    pub(crate) fn entries<T>(&self, read: impl Fn(&Self) -> Checked<T>) -> Checked<Vec<(String, T)>> {
        let table = self.table(format!("`{}`", self.name))?;
        all(table.fields().iter().map(|field| Ok((field.name.clone(), read(field)?))))
    }

    /// Opens a table.
    pub(crate) fn table(&self, title: impl Into<String>) -> Checked<Table<'c>> {
        match self.value.get_ref() {
            DeValue::Table(table) => Ok(Table::new(self.context, title, Some(self.span()), table)),
            DeValue::Array(_) if self.is_table() => {
                let title = format!("there can be only one `{}`", self.name);
                let help = format!("write `[{0}]` in place of `[[{0}]]`", self.name);
                Err(self.context.report(Diagnostic::at(self.span(), title).help(help)))
            }
            _ => Err(self.wrong_type("a table")),
        }
    }

    /// Returns a value of any plain type as text.
    pub(crate) fn scalar(&self) -> Result<String, &'static str> {
        scalar(self.value.get_ref())
    }

    /// Reports that the value is wrong.
    pub(crate) fn wrong(&self, title: impl Into<String>, label: impl Into<String>) -> Reported {
        self.context.report(Diagnostic::at(self.span(), title).label(label))
    }

    /// Reports that the value has another type than the one expected.
    pub(crate) fn wrong_type(&self, expected: &str) -> Reported {
        let value = self.value.get_ref();
        let title = format!("{} must be {expected}, not {}", self.subject(), described(value));
        let diagnostic = Diagnostic::at(self.span(), title).label(format!("expected {expected}"));
        let written = one_line(&self.context.text[self.span()]);
        let helped = match (expected, value) {
            _ if self.context.is_hidden(&self.span()) => None,
            ("a string", DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => {
                Some(format!("put it in quotes: `\"{written}\"`"))
            }
            ("an integer", DeValue::String(text)) if text.parse::<i64>().is_ok() => {
                Some(format!("write `{text}` without quotes"))
            }
            ("a boolean", DeValue::String(text)) if text.parse::<bool>().is_ok() => {
                Some(format!("write `{text}` without quotes"))
            }
            ("an array", DeValue::String(_)) => Some(format!("put it in brackets: `[{written}]`")),
            _ => None,
        };
        self.context.report(match helped {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        })
    }
}

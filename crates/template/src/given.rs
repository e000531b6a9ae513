//! Values given for variables: `--var`, and variable files.

use crate::{
    context::Context,
    reader::{one_line, quoted, scalar},
    report::{Diagnostic, Place, TEMPLATE},
};
use std::ops::Range;
use toml::de::DeTable;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `--var`.
    CommandLine,
    /// A value in a file, by the file's number in the report.
    File(usize, Range<usize>),
    /// An environment variable, and where the template names it.
    Environment(String, Range<usize>),
    /// The declaration's own default.
    Default(Range<usize>),
}

impl Origin {
    /// Returns where a mistake in the value is shown.
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::CommandLine => Place::Outside,
            Self::File(file, span) => Place::Span(*file, span.clone()),
            Self::Environment(_, span) | Self::Default(span) => Place::Span(TEMPLATE, span.clone()),
        }
    }

    /// Names the value for a message, by its text where it may be shown.
    pub(crate) fn subject(&self, name: &str, value: Option<&str>) -> String {
        let shown = value.map(quoted);
        match (self, shown) {
            (Self::CommandLine, Some(_)) => format!("`--var {name}={}`", one_line(value.unwrap_or_default())),
            (Self::CommandLine, None) => format!("the value that `--var {name}=…` gives"),
            (Self::Environment(env, _), Some(shown)) => {
                format!("{shown}, from the environment variable `{env}`,")
            }
            (Self::Environment(env, _), None) => format!("the value of the environment variable `{env}`"),
            (Self::File(..), Some(shown)) => format!("{shown} for variable `{name}`"),
            (Self::Default(_), Some(shown)) => format!("{shown}, the default of variable `{name}`,"),
            (Self::File(..), None) => format!("the value of variable `{name}`"),
            (Self::Default(_), None) => format!("the default of variable `{name}`"),
        }
    }
}

/// A value given for a variable.
pub(crate) struct GivenValue {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// The values given for variables, in the order of rising precedence.
pub(crate) struct Given(Vec<GivenValue>);

impl Given {
    /// Reads the variable files and the command line.
    pub(crate) fn read(context: &Context<'_>) -> Self {
        let mut values = Vec::new();
        for (index, file) in context.inputs.var_files.iter().enumerate() {
            values.extend(read_file(context, TEMPLATE + 1 + index, &file.text));
        }
        values.extend(context.inputs.vars.iter().map(|(name, value)| GivenValue {
            name: name.clone(),
            value: value.clone(),
            origin: Origin::CommandLine,
        }));
        Self(values)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &GivenValue> {
        self.0.iter()
    }

    /// Returns the value that wins for a variable.
    pub(crate) fn last(&self, name: &str) -> Option<(String, Origin)> {
        let value = self.0.iter().rev().find(|value| value.name == name)?;
        Some((value.value.clone(), value.origin.clone()))
    }

    /// Keeps the values given under a name out of all messages.
    pub(crate) fn hide(&self, context: &Context<'_>, name: &str) {
        for value in self.0.iter().filter(|value| value.name == name) {
            if let Origin::File(file, span) = &value.origin {
                context.hide(*file, span.clone());
            }
        }
    }
}

/// Reads a variable file. Which of its values are secrets is not known yet, so that a mistake is shown by its
/// line and column alone.
fn read_file(context: &Context<'_>, file: usize, text: &str) -> Vec<GivenValue> {
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            context.report(Diagnostic::new(syntax_error(&error), Place::Hidden(file, at)));
            return Vec::new();
        }
    };
    let mut values = Vec::new();
    for (key, value) in &table {
        let name = key.get_ref().clone().into_owned();
        match scalar(value.get_ref()) {
            Ok(text) => {
                values.push(GivenValue { name, value: text, origin: Origin::File(file, value.span()) });
            }
            Err(found) => {
                let title = format!("the value of variable `{name}` must be a string, not {found}");
                context.report(Diagnostic::new(title, Place::Hidden(file, value.span().start)));
            }
        }
    }
    values
}

/// Says what TOML's parser did not understand, on one line.
pub(crate) fn syntax_error(error: &toml::de::Error) -> String {
    let lines = error.message().lines().filter(|line| *line != "expected nothing");
    format!("not TOML: {}", lines.collect::<Vec<_>>().join(", "))
}

//! `only`, `except` and `when` of a step: whether this run leaves it out.

use crate::{
    model::{Communicator, Firmware, Machine, Source},
    names::{Words, listed, nearest},
    reader::{Field, Table, one_line, quoted},
    report::{Checked, Diagnostic},
    tables::{communicator::CommunicatorKind, source::SourceKind},
};
use kiln_types::Architecture;

/// What is true of this run.
pub(crate) struct Run {
    /// Words for it: the template's name, and the kinds of its source, machine and communicator.
    words: Vec<String>,
    /// The template's name; nothing where it is mistaken, and any word may be meant to be it.
    template: Option<String>,
    /// Whether the steps run through the agent.
    pub(crate) over_agent: bool,
}

impl Run {
    pub(crate) fn new(
        template: &Checked<String>,
        source: &Checked<Source>,
        machine: &Checked<Machine>,
        communicator: &Checked<Communicator>,
    ) -> Self {
        let mut words = Vec::from_iter(template.clone());
        words.extend(source.iter().map(|source| source.as_str().to_owned()));
        words.extend(communicator.iter().map(|communicator| communicator.as_str().to_owned()));
        if let Ok(machine) = machine {
            words.extend([machine.architecture.to_string(), machine.firmware.to_string()]);
        }
        let over_agent = *communicator == Ok(Communicator::Agent);
        Self { words, template: template.clone().ok(), over_agent }
    }

    /// Returns the first of these words that is true of this run.
    fn first<'w>(&self, words: &'w [String]) -> Option<&'w str> {
        words.iter().find(|word| self.words.contains(word)).map(String::as_str)
    }

    /// Returns every word that could be true of a run, the template's name first.
    fn known(&self) -> impl Iterator<Item = &str> {
        let kinds = [SourceKind::NAMES, CommunicatorKind::NAMES, Firmware::NAMES].into_iter().flatten();
        let kinds = kinds.copied().chain(Architecture::ALL.map(Architecture::as_str));
        self.template.as_deref().into_iter().chain(kinds)
    }
}

/// Reads the conditions of a step. Returns why this run leaves it out, where it does.
pub(crate) fn skipped(table: &mut Table<'_>, run: &Run) -> Checked<Option<String>> {
    let when = table.optional("when", when).map(Option::flatten);
    let filter = match table.at_most_one(["only", "except"]) {
        Some(field) => filter(&field, run),
        None => Ok(None),
    };
    Ok(when?.or(filter?))
}

fn filter(field: &Field<'_>, run: &Run) -> Checked<Option<String>> {
    let words = field.some(|field| word(field, run))?;
    let found = run.first(&words);
    let skipped = match field.name.as_str() {
        "only" => found.is_none().then(|| words.join(", ")),
        _ => found.map(str::to_owned),
    };
    Ok(skipped.map(|why| format!("{}: {why}", field.name)))
}

fn word(field: &Field<'_>, run: &Run) -> Checked<String> {
    let word = field.string()?;
    if run.template.is_none() || run.known().any(|known| known == word) {
        return Ok(word);
    }
    let title = format!("{} is nothing that a run can be", quoted(&word));
    let mut diagnostic = Diagnostic::at(field.span(), title).label("no such word");
    if let Some(near) = nearest(&word, run.known()) {
        diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
    }
    let known = listed(run.known());
    Err(field.context.report(diagnostic.help(format!("words of `{}`: {known}", field.name))))
}

/// Reads `when`, and returns the condition where it does not hold.
fn when(field: &Field<'_>) -> Checked<Option<String>> {
    let text = field.string()?;
    match holds(&text) {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(format!("when: {}", one_line(&text)))),
        Err(why) => {
            let title = format!("{} is not a condition", quoted(&text));
            let diagnostic = Diagnostic::at(field.span(), title).label(why);
            Err(field.context.report(
                diagnostic.help(
                    "a condition is `true`, `false`, `A == B` or `A != B`, once its `${…}` are replaced",
                ),
            ))
        }
    }
}

/// Says whether a condition holds.
fn holds(text: &str) -> Result<bool, &'static str> {
    let comparisons = ["==", "!="].map(|operator| text.match_indices(operator));
    match comparisons.into_iter().flatten().collect::<Vec<_>>().as_slice() {
        [] => match text.trim() {
            "true" => Ok(true),
            "false" => Ok(false),
            text if text.contains('=') => Err("texts are compared with `==` or `!=`"),
            _ => Err("neither true nor false"),
        },
        [(at, _)] if text[at + 2..].starts_with('=') => Err("texts are compared with `==` or `!=`"),
        [(at, operator)] => {
            let (left, right) = (text[..*at].trim(), text[at + 2..].trim());
            Ok((unquoted(left) == unquoted(right)) == (*operator == "=="))
        }
        // A value may hold an operator: which of them was meant cannot be told.
        [..] => Err("holds more than one comparison"),
    }
}

/// Takes off a pair of quotes, which other languages want around a text.
fn unquoted(text: &str) -> &str {
    let without = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    without('\'').or_else(|| without('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        for text in
            ["true", " true ", "a == a", "a==a", "a != b", " == ", "'a' == a", "a b == a b", "'' == \"\""]
        {
            assert_eq!(holds(text), Ok(true), "{text}");
        }
        for text in ["false", "a == b", "a != a", "a == ", "A == a", "a  b == a b"] {
            assert_eq!(holds(text), Ok(false), "{text}");
        }
        for text in ["", "yes", "a = a", "a == b == c", "a === a", "a !== b", "a == b != c", "1"] {
            assert!(holds(text).is_err(), "{text}");
        }
    }
}

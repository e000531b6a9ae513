//! The names that `${…}` may hold, and strings with their values put in.

use crate::{
    context::Context,
    interpolation::{Mistake, Piece, Style, split},
    model::{Combination, Text},
    names::{listed, nearest},
    report::{Checked, Diagnostic, Reported},
};
use kiln_types::{PLACEHOLDERS, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// The first words of names, before the dot.
const NAMESPACES: [&str; 5] = ["var", "local", "matrix", "build", "image"];

/// Bytes that a text may come to. Texts that each hold another twice would fill the memory otherwise.
const LONGEST: usize = 16 << 20;

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) text: Checked<Text>,
    /// The variables that it comes from.
    pub(crate) uses: BTreeSet<String>,
}

impl Value {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: Ok(Text::plain(text)), uses: BTreeSet::new() }
    }

    pub(crate) const fn failed(reported: Reported) -> Self {
        Self { text: Err(reported), uses: BTreeSet::new() }
    }
}

/// The names that `${…}` may hold.
#[derive(Debug)]
pub(crate) struct Scope {
    values: BTreeMap<String, Value>,
    /// First words whose table could not be read: nothing is said about names that start with them.
    failed: BTreeMap<&'static str, Reported>,
}

impl Scope {
    pub(crate) fn new(now: Timestamp, combination: &Combination) -> Self {
        let timestamp = ("build.timestamp".to_owned(), Value::plain(now.compact()));
        let axes = combination.axes().map(|(axis, value)| (format!("matrix.{axis}"), Value::plain(value)));
        Self { values: axes.chain([timestamp]).collect(), failed: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, name: String, value: Value) {
        self.values.insert(name, value);
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Takes every name that starts with this word as one that was reported already.
    pub(crate) fn fail(&mut self, namespace: &'static str, reported: Reported) {
        self.failed.insert(namespace, reported);
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        let failed = || self.failed.get(name.split('.').next()?).copied().map(Value::failed);
        self.values.get(name).cloned().or_else(failed)
    }
}

/// A string of the template, before its `${…}` are replaced.
#[derive(Debug, Clone)]
pub(crate) struct Written<'c> {
    pub(crate) text: &'c str,
    /// With its quotes.
    pub(crate) span: Range<usize>,
}

impl Written<'_> {
    /// Finds part of the string in the template. Where an escape hides it, that is the whole string.
    fn locate(&self, template: &str, raw: &str, at: usize) -> Range<usize> {
        let earlier = self.text[..at].matches(raw).count();
        let found = template[self.span.clone()].match_indices(raw).nth(earlier);
        found.map_or_else(
            || self.span.clone(),
            |(offset, _)| self.span.start + offset..self.span.start + offset + raw.len(),
        )
    }
}

/// A `${…}` of a string, with its place.
pub(crate) struct Reference<'t> {
    pub(crate) name: &'t str,
    pub(crate) span: Range<usize>,
    style: Style,
}

/// Replaces every `${…}` by its value in the scope.
pub(crate) fn expand(context: &Context<'_>, written: &Written<'_>, style: Style) -> Value {
    expand_with(context, written, style, &mut |reference| {
        let found = context.scope.borrow().get(reference.name);
        found.unwrap_or_else(|| {
            let scope = context.scope.borrow();
            Value::failed(unknown(context, reference, scope.names()))
        })
    })
}

/// Replaces every `${…}` by its value in the scope, but for those that only the build can tell.
pub(crate) fn expand_for_installer(context: &Context<'_>, written: &Written<'_>, style: Style) -> Value {
    expand_with(context, written, style, &mut |reference| {
        if PLACEHOLDERS.contains(&reference.name) {
            return Value::plain(format!("${{{}}}", reference.name));
        }
        let found = context.scope.borrow().get(reference.name);
        found.unwrap_or_else(|| {
            let scope = context.scope.borrow();
            Value::failed(unknown(context, reference, scope.names().chain(PLACEHOLDERS)))
        })
    })
}

/// Replaces every `${…}` by what `lookup` returns for it.
pub(crate) fn expand_with(
    context: &Context<'_>,
    written: &Written<'_>,
    style: Style,
    lookup: &mut dyn FnMut(&Reference<'_>) -> Value,
) -> Value {
    let mut whole = Value::plain("");
    for piece in split(written.text, style) {
        let value = match piece {
            Piece::Literal(text) => Value::plain(text),
            Piece::Reference { raw, name, at } => {
                lookup(&Reference { name, span: written.locate(context.text, raw, at), style })
            }
            Piece::Mistake { raw, at, mistake } => {
                let span = written.locate(context.text, raw, at);
                Value::failed(malformed(context, raw, span, mistake))
            }
        };
        whole.uses.extend(value.uses);
        match (&mut whole.text, value.text) {
            (Ok(text), Ok(more)) => text.push(&more),
            (_, Err(reported)) => whole.text = Err(reported),
            (Err(_), Ok(_)) => {}
        }
    }
    if whole.text.as_ref().is_ok_and(|text| text.expose().len() > LONGEST) {
        let diagnostic =
            Diagnostic::at(written.span.clone(), "this text is too long once its references are replaced");
        whole.text = Err(context.report(diagnostic.label("longer than 16 MiB")));
    }
    whole
}

fn malformed(context: &Context<'_>, raw: &str, span: Range<usize>, mistake: Mistake) -> Reported {
    let diagnostic = match mistake {
        Mistake::Unclosed => Diagnostic::at(span, "`${` without its `}`").label("opened here"),
        Mistake::Malformed => {
            let inside = raw.trim_start_matches("${").trim_end_matches('}');
            let known = context.scope.borrow().get(&format!("var.{inside}")).is_some();
            let diagnostic = Diagnostic::at(span, format!("`{raw}` is not a reference"))
                .label("expected the form `${var.name}`");
            if known { diagnostic.help(format!("did you mean `${{var.{inside}}}`?")) } else { diagnostic }
        }
    };
    context.report(diagnostic.help(format!("write `${raw}` for the text itself")))
}

/// Reports a name that nothing is known by.
pub(crate) fn unknown<'k>(
    context: &Context<'_>,
    reference: &Reference<'_>,
    known: impl Iterator<Item = &'k str>,
) -> Reported {
    let known: Vec<&str> = known.collect();
    let (namespace, name) = reference.name.split_once('.').unwrap_or(("", reference.name));
    let (title, label) = match namespace {
        "var" => (format!("no variable is named `{name}`"), "not declared in `[variables]`"),
        "local" => (format!("no local is named `{name}`"), "not declared in `[locals]`"),
        "matrix" => (format!("no axis is named `{name}`"), "not declared in `[matrix]`"),
        _ => (format!("nothing is named `{}`", reference.name), ""),
    };
    let mut diagnostic = Diagnostic::at(reference.span.clone(), title).label(label);
    diagnostic = diagnostic.help(remedy(namespace, name, &known));
    if reference.style == Style::Guest && !NAMESPACES.contains(&namespace) {
        diagnostic = diagnostic.help(format!("write `$${{{}}}` for the text itself", reference.name));
    }
    context.report(diagnostic)
}

fn remedy(namespace: &str, name: &str, known: &[&str]) -> String {
    let of_namespace = |word: &&&str| word.split_once('.').is_some_and(|(first, _)| first == namespace);
    let siblings: Vec<&str> = known.iter().filter(of_namespace).copied().collect();
    let full = format!("{namespace}.{name}");
    if let Some(near) =
        nearest(&full, siblings.iter().copied()).or_else(|| nearest(&full, known.iter().copied()))
    {
        return format!("did you mean `${{{near}}}`?");
    }
    match namespace {
        "var" => format!("declare it: `{name} = {{ default = \"…\" }}` in `[variables]`"),
        "local" => format!("declare it: `{name} = \"…\"` in `[locals]`"),
        "matrix" => format!("declare it: `{name} = [\"…\"]` in `[matrix]`"),
        "env" => format!(
            "the environment is read through a variable: `{name} = {{ env = \"{name}\" }}` in `[variables]`"
        ),
        "http" => "`${http.…}` is known in `boot_command` and `http_content` only".to_owned(),
        _ if !siblings.is_empty() => format!("known here: {}", listed(siblings)),
        _ => format!("a reference starts with {} and a dot", listed(NAMESPACES)),
    }
}

//! The way in.

use crate::{
    context::Context,
    given::syntax_error,
    inputs::Inputs,
    model::{Combination, Template},
    report::{Diagnostic, Place, Report, SourceFile, TEMPLATE},
    tables,
};
use std::{ops::Range, path::Path};
use toml::de::DeTable;

/// Reads a template: once, or once for each combination of its matrix. `path` is its name in messages.
///
/// # Errors
/// With every mistake in the text and in the values given to it; what is wrong in several combinations is said once.
pub fn load(path: &Path, text: &str, inputs: &Inputs) -> Result<Vec<Template>, Report> {
    let mut mistakes = Mistakes::default();
    let context = Context::new(text, inputs, &Combination::default());
    let root = match DeTable::parse(text) {
        Ok(root) => root.into_inner(),
        Err(error) => {
            context.report(not_toml(text, &error));
            mistakes.take(&context);
            return Err(mistakes.report(path, text, inputs));
        }
    };
    let combinations = tables::combinations(&context, &root);
    let mut templates = Vec::new();
    for combination in combinations.as_deref().unwrap_or(&[Combination::default()]) {
        let context = Context::new(text, inputs, combination);
        if let Err(reported) = &combinations {
            context.scope.borrow_mut().fail("matrix", *reported);
        }
        templates.extend(tables::read(&context, &root).ok());
        mistakes.take(&context);
    }
    if mistakes.diagnostics.is_empty() {
        tables::distinct(&context, &root, &templates);
    }
    mistakes.take(&context);
    // A reader may go on with a value after a mistake: what counts is whether one was reported.
    if mistakes.diagnostics.is_empty() { Ok(templates) } else { Err(mistakes.report(path, text, inputs)) }
}

/// What was found wrong so far, in any combination.
#[derive(Default)]
struct Mistakes {
    diagnostics: Vec<Diagnostic>,
    /// Spans that must not be shown, each with the number of its file.
    hidden: Vec<(usize, Range<usize>)>,
}

impl Mistakes {
    fn take(&mut self, context: &Context<'_>) {
        for diagnostic in context.take_diagnostics() {
            if !self.diagnostics.contains(&diagnostic) {
                self.diagnostics.push(diagnostic);
            }
        }
        self.hidden.extend(context.take_hidden());
    }

    fn report(self, path: &Path, text: &str, inputs: &Inputs) -> Report {
        let file = |number, path: &Path, text| {
            let hidden = self.hidden.iter().filter(|(of, _)| *of == number);
            let hidden: Vec<_> = hidden.map(|(_, span)| span.clone()).collect();
            SourceFile::new(path.display().to_string(), text, &hidden)
        };
        let given = inputs.var_files.iter().enumerate();
        let given = given.map(|(index, given)| file(TEMPLATE + 1 + index, &given.path, &given.text));
        let files = [file(TEMPLATE, path, text)].into_iter().chain(given).collect();
        Report::new(files, self.diagnostics)
    }
}

/// A mistake in the TOML itself. Which values are sensitive cannot be known then, so that a line that may hold
/// one is not shown.
fn not_toml(text: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let secret = text.contains("sensitive") && lines(text, &span).contains("default");
    let place = if secret { Place::Hidden(TEMPLATE, span.start) } else { Place::Span(TEMPLATE, span) };
    let diagnostic = Diagnostic::new(syntax_error(error), place);
    if error.message().contains("leading zero") {
        return diagnostic.help("no number starts with 0; a file's mode is a text: `mode = \"0644\"`");
    }
    diagnostic
}

/// Returns the whole lines that a span is part of.
fn lines<'t>(text: &'t str, span: &Range<usize>) -> &'t str {
    let start = text[..span.start].rfind('\n').map_or(0, |end| end + 1);
    let end = text[span.end..].find('\n').map_or(text.len(), |end| span.end + end);
    &text[start..end]
}

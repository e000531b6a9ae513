//! The way in.

use crate::{
    context::Context,
    given::syntax_error,
    inputs::Inputs,
    model::Template,
    report::{Diagnostic, Place, Report, SourceFile, TEMPLATE},
    tables,
};
use std::{ops::Range, path::Path};
use toml::de::DeTable;

/// Reads a template. `path` is its name in messages.
///
/// # Errors
/// With every mistake in the text and in the values given to it.
pub fn load(path: &Path, text: &str, inputs: &Inputs) -> Result<Template, Report> {
    let context = Context::new(text, inputs);
    let root = match DeTable::parse(text) {
        Ok(root) => root.into_inner(),
        Err(error) => {
            context.report(not_toml(text, &error));
            return Err(report(path, text, &context));
        }
    };
    // A reader may go on with a value after a mistake: what counts is whether one was reported.
    match tables::read(&context, &root) {
        Ok(template) if !context.has_mistakes() => Ok(template),
        _ => Err(report(path, text, &context)),
    }
}

fn report(path: &Path, text: &str, context: &Context<'_>) -> Report {
    let mut files = vec![SourceFile::new(path.display().to_string(), text, &context.hidden(TEMPLATE))];
    for (index, file) in context.inputs.var_files.iter().enumerate() {
        let hidden = context.hidden(TEMPLATE + 1 + index);
        files.push(SourceFile::new(file.path.display().to_string(), &file.text, &hidden));
    }
    Report::new(files, context.diagnostics())
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

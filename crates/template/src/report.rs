//! Everything that is wrong with a template, at once.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle};
use std::{fmt, ops::Range};

/// Proof that a mistake was reported. Only [`crate::context::Context::report`] makes one, so a value that could
/// not be had never goes by without a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reported(());

impl Reported {
    pub(crate) const fn after_reporting() -> Self {
        Self(())
    }
}

/// A value, or the knowledge that what is wrong with it has been said.
pub(crate) type Checked<T> = Result<T, Reported>;

/// Number of the template among the files of a report; variable files follow.
pub(crate) const TEMPLATE: usize = 0;

/// Where a mistake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Part of a file.
    Span(usize, Range<usize>),
    /// Part of a file whose text must not be shown.
    Hidden(usize, usize),
    /// A whole file.
    File(usize),
    /// The command line or the environment.
    Outside,
}

impl Place {
    fn order(&self) -> (usize, usize) {
        match self {
            Self::File(file) => (*file, 0),
            Self::Span(file, span) => (*file, span.start),
            Self::Hidden(file, at) => (*file, *at),
            Self::Outside => (usize::MAX, 0),
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    title: String,
    place: Place,
    label: String,
    /// Another part of the template that explains the mistake.
    context: Option<(Range<usize>, String)>,
    helps: Vec<String>,
}

impl Diagnostic {
    pub(crate) fn new(title: impl Into<String>, place: Place) -> Self {
        Self { title: title.into(), place, label: String::new(), context: None, helps: Vec::new() }
    }

    /// A mistake in the template.
    pub(crate) fn at(span: Range<usize>, title: impl Into<String>) -> Self {
        Self::new(title, Place::Span(TEMPLATE, span))
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn context(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.context = Some((span, label.into()));
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(help.into());
        self
    }
}

/// A file that spans point into.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SourceFile {
    path: String,
    /// The text, sensitive values overwritten.
    text: String,
}

impl SourceFile {
    /// Takes a file and the spans in it that must not be shown.
    pub(crate) fn new(path: String, text: &str, hidden: &[Range<usize>]) -> Self {
        let covered = |at: usize| hidden.iter().any(|span| span.contains(&at));
        let mut shown = String::with_capacity(text.len());
        for (at, character) in text.char_indices() {
            if covered(at) && !matches!(character, '\n' | '\r') {
                shown.extend(std::iter::repeat_n('*', character.len_utf8()));
            } else {
                shown.push(character);
            }
        }
        Self { path, text: shown }
    }
}

/// The mistakes in a template and in the values given to it; never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    files: Vec<SourceFile>,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    pub(crate) fn new(files: Vec<SourceFile>, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|diagnostic| diagnostic.place.order());
        Self { files, diagnostics }
    }

    /// Returns how many mistakes there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a report is never empty")]
    pub fn len(&self) -> usize {
        self.diagnostics.len()
    }

    /// Returns the mistakes in rustc's shape, with colours or without, an empty line between two of them.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let blocks: Vec<String> =
            self.diagnostics.iter().map(|diagnostic| renderer.render(&[self.group(diagnostic)])).collect();
        blocks.join("\n\n") + "\n"
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(diagnostic.title.as_str()));
        match &diagnostic.place {
            Place::Span(file, span) => group = group.element(self.snippet(*file, span, diagnostic)),
            Place::Hidden(file, at) => {
                let file = &self.files[*file];
                let before = &file.text[..*at];
                let line = before.matches('\n').count() + 1;
                let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
                group = group.element(Origin::path(file.path.as_str()).line(line).char_column(column));
            }
            Place::File(file) => group = group.element(Origin::path(self.files[*file].path.as_str())),
            Place::Outside => {}
        }
        group.elements(diagnostic.helps.iter().map(|help| Level::HELP.message(help.as_str())))
    }

    fn snippet<'a>(
        &'a self,
        file: usize,
        span: &Range<usize>,
        diagnostic: &'a Diagnostic,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let label = (!diagnostic.label.is_empty()).then_some(diagnostic.label.as_str());
        let snippet = Snippet::source(self.files[file].text.as_str())
            .path(self.files[file].path.as_str())
            .annotation(AnnotationKind::Primary.span(span.clone()).label(label));
        let Some((context, label)) = diagnostic.context.as_ref().filter(|_| file == TEMPLATE) else {
            return snippet;
        };
        snippet.annotation(AnnotationKind::Context.span(context.clone()).label(label.as_str()))
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Report").field(&self.diagnostics).finish()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            1 => write!(f, "1 mistake in {}", self.files[TEMPLATE].path),
            count => write!(f, "{count} mistakes in {}", self.files[TEMPLATE].path),
        }
    }
}

impl std::error::Error for Report {}

//! What every part of the reader shares: the text, the names in scope, and the mistakes found so far.

use crate::{
    inputs::Inputs,
    model::Combination,
    report::{Diagnostic, Reported, TEMPLATE},
    scope::Scope,
};
use std::{cell::RefCell, collections::BTreeSet, ops::Range};

/// What every part of the reader shares.
pub(crate) struct Context<'c> {
    /// The template's text.
    pub(crate) text: &'c str,
    pub(crate) inputs: &'c Inputs,
    /// Which build of the template's matrix is read.
    pub(crate) combination: Combination,
    /// Names that `${…}` may hold; filled while `[variables]`, `[locals]` and `image.name` are read.
    pub(crate) scope: RefCell<Scope>,
    /// Variables used since [`Context::take_uses`] was last called.
    uses: RefCell<BTreeSet<String>>,
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// Spans that must not be shown, each with the number of its file.
    hidden: RefCell<Vec<(usize, Range<usize>)>>,
}

impl<'c> Context<'c> {
    pub(crate) fn new(text: &'c str, inputs: &'c Inputs, combination: &Combination) -> Self {
        Self {
            text,
            inputs,
            combination: combination.clone(),
            scope: RefCell::new(Scope::new(inputs.now, combination)),
            uses: RefCell::default(),
            diagnostics: RefCell::default(),
            hidden: RefCell::default(),
        }
    }

    pub(crate) fn report(&self, diagnostic: Diagnostic) -> Reported {
        self.diagnostics.borrow_mut().push(diagnostic);
        Reported::after_reporting()
    }

    /// Keeps part of a file out of every message.
    pub(crate) fn hide(&self, file: usize, span: Range<usize>) {
        self.hidden.borrow_mut().push((file, span));
    }

    pub(crate) fn used(&self, variables: impl IntoIterator<Item = String>) {
        self.uses.borrow_mut().extend(variables);
    }

    /// Returns the variables used since the last call.
    pub(crate) fn take_uses(&self) -> BTreeSet<String> {
        self.uses.take()
    }

    /// Returns the line of an offset into the template, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// Takes the mistakes out.
    pub(crate) fn take_diagnostics(&self) -> Vec<Diagnostic> {
        self.diagnostics.take()
    }

    /// Says whether part of the template must not be shown.
    pub(crate) fn is_hidden(&self, span: &Range<usize>) -> bool {
        let hidden = self.hidden.borrow();
        hidden.iter().any(|(file, part)| *file == TEMPLATE && part.start < span.end && span.start < part.end)
    }

    /// Takes the spans out that must not be shown, each with the number of its file.
    pub(crate) fn take_hidden(&self) -> Vec<(usize, Range<usize>)> {
        self.hidden.take()
    }
}

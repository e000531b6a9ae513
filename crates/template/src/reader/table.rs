//! A table of the template: which keys it has, which of them are known.

use crate::{
    context::Context,
    names::{Words, listed, nearest},
    reader::Field,
    report::{Checked, Diagnostic, Place, Reported, TEMPLATE},
};
use std::ops::Range;
use toml::de::DeTable;

/// A table that is being read.
pub(crate) struct Table<'c> {
    pub(crate) context: &'c Context<'c>,
    /// As messages call it: `` `[source]` ``.
    pub(crate) title: String,
    /// The header, or the whole of an inline table; nothing for the template itself.
    pub(crate) span: Option<Range<usize>>,
    /// Ordered as written.
    fields: Vec<Field<'c>>,
    known: Vec<&'static str>,
    /// Keys known elsewhere, and where.
    elsewhere: Vec<(&'static str, &'static str)>,
}

impl<'c> Table<'c> {
    pub(crate) fn new(
        context: &'c Context<'c>,
        title: impl Into<String>,
        span: Option<Range<usize>>,
        table: &'c DeTable<'c>,
    ) -> Self {
        let fields = table.iter().map(|(key, value)| Field::new(context, key.get_ref(), key.span(), value));
        let mut fields: Vec<Field<'c>> = fields.collect();
        fields.sort_by_key(|field| field.key.start);
        Self { context, title: title.into(), span, fields, known: Vec::new(), elsewhere: Vec::new() }
    }

    /// Returns every field, for tables whose keys are free.
    pub(crate) fn fields(&self) -> &[Field<'c>] {
        &self.fields
    }

    /// Returns the field of a key, and takes the key as known from now on.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Field<'c>> {
        self.known.push(key);
        self.fields.iter().find(|field| field.name == key).cloned()
    }

    /// Reads a key that must be there. `example` is what it could be.
    pub(crate) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&Field<'c>) -> Checked<T>,
    ) -> Checked<T> {
        match self.get(key) {
            Some(field) => read(&field),
            None => {
                let title = format!("missing key `{key}` in {}", self.title);
                Err(self.report(self.mistake(title).help(format!("add `{key} = {example}`"))))
            }
        }
    }

    /// Opens a table that must be there. `example` is what it needs.
    pub(crate) fn required_table(&mut self, key: &'static str, example: &str) -> Checked<Self> {
        match self.get(key) {
            Some(field) => field.table(format!("`[{key}]`")),
            None => {
                let title = format!("missing table `[{key}]`");
                Err(self.report(self.mistake(title).help(format!("add `[{key}]` {example}"))))
            }
        }
    }

    /// Reads a key that may be left out.
    pub(crate) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Field<'c>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        self.get(key).map(|field| read(&field)).transpose()
    }

    /// Reads a key that has a default.
    pub(crate) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Field<'c>) -> Checked<T>,
    ) -> Checked<T> {
        self.get(key).map_or(Ok(default), |field| read(&field))
    }

    /// Reads `type`. Where it is mistyped, the nearest type is returned beside the mistake, so that the rest of
    /// the table can be checked all the same.
    pub(crate) fn kind<W: Words>(&mut self, example: &str) -> Checked<(W, Checked<()>)> {
        let read = |field: &Field<'c>| Ok((field.string()?, field.clone()));
        let (word, field) = self.required("type", &format!("\"{example}\""), read)?;
        if let Some(kind) = W::from_name(&word) {
            return Ok((kind, Ok(())));
        }
        let reported = field.not_among(&word, W::NAMES);
        let near = nearest(&word, W::NAMES.iter().copied()).and_then(W::from_name);
        near.map(|kind| (kind, Err(reported))).ok_or(reported)
    }

    /// Returns the one of several keys that is there.
    pub(crate) fn exactly_one<const N: usize>(&mut self, keys: [&'static str; N]) -> Checked<Field<'c>> {
        self.at_most_one(keys).ok_or_else(|| {
            let title = format!("{} needs one of {}", self.title, listed(keys));
            self.report(self.mistake(title))
        })
    }

    /// Returns the one of several keys that is there, if any.
    pub(crate) fn at_most_one<const N: usize>(&mut self, keys: [&'static str; N]) -> Option<Field<'c>> {
        let mut there = keys.map(|key| self.get(key)).into_iter().flatten();
        let first = there.next()?;
        for other in there {
            let title = format!("`{}` and `{}` exclude each other", first.name, other.name);
            let diagnostic = Diagnostic::at(other.key.clone(), title)
                .label("one too many")
                .context(first.key.clone(), "already given here");
            self.report(diagnostic);
        }
        Some(first)
    }

    /// Says where keys that are none of this table would be right.
    pub(crate) fn elsewhere(&mut self, keys: &[&'static str], place: &'static str) {
        self.elsewhere.extend(keys.iter().map(|key| (*key, place)));
    }

    /// Refuses the keys that nobody asked for.
    pub(crate) fn finish(mut self) -> Checked<()> {
        let mut known = std::mem::take(&mut self.known);
        known.sort_unstable();
        known.dedup();
        let mut result = Ok(());
        for field in self.fields.iter().filter(|field| !known.contains(&field.name.as_str())) {
            let is_root = self.span.is_none();
            let kind = if is_root && field.is_table() { "table" } else { "key" };
            let known_kind = if is_root { "tables" } else { "keys" };
            let place = if is_root { String::new() } else { format!(" in {}", self.title) };
            let title = format!("unknown {kind} `{}`{place}", field.name);
            let diagnostic = Diagnostic::at(field.key.clone(), title).label(format!("no such {kind}"));
            let place = self.elsewhere.iter().find(|(key, _)| *key == field.name);
            let diagnostic = match (place, nearest(&field.name, known.iter().copied())) {
                (Some((_, place)), _) => diagnostic.help(format!("`{}` is a key of {place}", field.name)),
                (None, Some(near)) => diagnostic.help(format!("did you mean `{near}`?")),
                (None, None) => {
                    diagnostic.help(format!("known {known_kind}: {}", listed(known.iter().copied())))
                }
            };
            result = Err(self.report(diagnostic));
        }
        result
    }

    /// A mistake of the whole table.
    pub(crate) fn mistake(&self, title: impl Into<String>) -> Diagnostic {
        let place = self.span.clone().map_or(Place::File(TEMPLATE), |span| Place::Span(TEMPLATE, span));
        Diagnostic::new(title, place)
    }

    pub(crate) fn report(&self, diagnostic: Diagnostic) -> Reported {
        self.context.report(diagnostic)
    }
}

//! `[locals]` and the image's name: texts made of others, in whatever order they are written.
//!
//! Each is settled when first asked for; one that is asked for while it is being settled is a cycle.

use crate::{
    context::Context,
    interpolation::Style,
    reader::{Field, Table},
    report::{Checked, Diagnostic, Reported},
    scope::{Reference, Value, expand_with, unknown},
    variables::check_name,
};
use std::collections::BTreeMap;

/// The name under which the image's name is known.
pub(crate) const IMAGE_NAME: &str = "image.name";

/// How long a chain of texts that use one another may be. Longer ones are no template, and would end the stack.
const DEEPEST: usize = 64;

/// A text on its way to being settled.
enum Node<'c> {
    Written(Field<'c>),
    Open,
    Settled(Value),
}

/// Settles the locals and the image's name, and puts them into the scope. `image` is the field of the name, or
/// what to take where there is none.
pub(crate) fn read<'c>(
    context: &'c Context<'c>,
    table: &Checked<Option<Table<'c>>>,
    image: Result<Field<'c>, Value>,
) -> Checked<()> {
    let (fields, mut result) = match table {
        Ok(table) => (table.as_ref().map(Table::fields).unwrap_or_default(), Ok(())),
        Err(reported) => {
            context.scope.borrow_mut().fail("local", *reported);
            (&[][..], Err(*reported))
        }
    };
    let mut settling = Settling { context, nodes: BTreeMap::new(), open: Vec::new() };
    for field in fields {
        result = check_name(field, "local").and(result);
        settling.nodes.insert(format!("local.{}", field.name), Node::Written(field.clone()));
    }
    settling.nodes.insert(IMAGE_NAME.to_owned(), image.map_or_else(Node::Settled, Node::Written));
    let names: Vec<String> = settling.nodes.keys().cloned().collect();
    for name in names {
        let value = settling.value(&name);
        result = value.text.as_ref().map_or_else(|reported| Err(*reported), |_| result);
        context.scope.borrow_mut().insert(name, value);
    }
    result
}

struct Settling<'c> {
    context: &'c Context<'c>,
    nodes: BTreeMap<String, Node<'c>>,
    /// The names being settled, each asked for by the one before.
    open: Vec<String>,
}

impl Settling<'_> {
    /// Returns the value of a node, settling it where that has not been done.
    fn value(&mut self, name: &str) -> Value {
        let field = match self.nodes.get(name) {
            Some(Node::Written(field)) => field.clone(),
            Some(Node::Settled(value)) => return value.clone(),
            Some(Node::Open) | None => return Value::plain(""),
        };
        self.nodes.insert(name.to_owned(), Node::Open);
        self.open.push(name.to_owned());
        let value = match field.written() {
            Ok(written) => {
                expand_with(self.context, &written, Style::Strict, &mut |reference| self.lookup(reference))
            }
            Err(reported) => Value::failed(reported),
        };
        self.open.pop();
        self.nodes.insert(name.to_owned(), Node::Settled(value.clone()));
        value
    }

    fn lookup(&mut self, reference: &Reference<'_>) -> Value {
        match self.nodes.get(reference.name) {
            Some(Node::Open) => Value::failed(self.cycle(reference)),
            Some(_) if self.open.len() >= DEEPEST => {
                let title = "locals use one another too deeply";
                let diagnostic = Diagnostic::at(reference.span.clone(), title);
                Value::failed(
                    self.context.report(diagnostic.label(format!("{DEEPEST} texts lead to this one"))),
                )
            }
            Some(_) => self.value(reference.name),
            None => {
                let scope = self.context.scope.borrow();
                scope.get(reference.name).unwrap_or_else(|| {
                    let known = scope.names().chain(self.nodes.keys().map(String::as_str));
                    Value::failed(unknown(self.context, reference, known))
                })
            }
        }
    }

    fn cycle(&self, reference: &Reference<'_>) -> Reported {
        let start = self.open.iter().position(|name| name == reference.name).unwrap_or_default();
        let chain: Vec<String> = self.open[start..].iter().map(|name| format!("`{name}`")).collect();
        let title = format!("`{}` is made of itself", reference.name);
        let mut diagnostic =
            Diagnostic::at(reference.span.clone(), title).label("leads back to where it is used");
        if chain.len() > 1 {
            diagnostic = diagnostic.help(format!("the circle: {} → {}", chain.join(" → "), chain[0]));
        }
        self.context.report(diagnostic)
    }
}

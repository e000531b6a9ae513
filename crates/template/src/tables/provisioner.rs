//! `[[provisioner]]`: what every type has, and the order of the steps.

use crate::{
    model::{Provisioner, Step},
    names::words,
    reader::{Field, Table, all},
    report::{Checked, Diagnostic},
    tables::{file, shell},
};
use std::{collections::BTreeMap, ops::Range};

words! {
    /// The types of `[[provisioner]]`.
    enum StepKind {
        /// Runs commands.
        Shell = "shell",
        /// Puts a file or folder into the guest.
        File = "file",
    }
}

/// Characters that a step's name may have.
const LONGEST_NAME: usize = 100;

/// Reads the steps.
pub(crate) fn read(field: &Field<'_>) -> Checked<Vec<Provisioner>> {
    if !field.is_array() {
        let diagnostic = Diagnostic::at(field.span(), "`provisioner` must be an array of tables")
            .help("write `[[provisioner]]`, once for each step");
        return Err(field.context.report(diagnostic));
    }
    let mut names = BTreeMap::new();
    all(field.items()?.iter().map(|item| step(item, &mut names)))
}

fn step(field: &Field<'_>, names: &mut BTreeMap<String, Range<usize>>) -> Checked<Provisioner> {
    let context = field.context;
    let mut table = field.table("`[[provisioner]]`")?;
    let line = context.line(field.span().start);
    drop(context.take_uses());
    let name = table.optional("name", |field| name(field, names));
    // A name changes nothing in the image: what it uses is not the step's.
    drop(context.take_uses());
    let step = table.kind("shell").and_then(|(kind, known)| {
        let step = read_step(table, kind);
        known.and(step)
    });
    let variables = context.take_uses();
    let (name, (default_name, step)) = (name?, step?);
    Ok(Provisioner { name: name.unwrap_or(default_name), line, variables, step })
}

/// Reads what a step does, and makes the name it has where none is written.
fn read_step(mut table: Table<'_>, kind: StepKind) -> Checked<(String, Step)> {
    match kind {
        StepKind::Shell => {
            table.elsewhere(&file::KEYS, "provisioners of type `file`");
            shell::read(table).map(|shell| (shell::name(&shell), Step::Shell(shell)))
        }
        StepKind::File => {
            table.elsewhere(&shell::KEYS, "provisioners of type `shell`");
            file::read(table).map(|file| (file::name(&file), Step::File(file)))
        }
    }
}

fn name(field: &Field<'_>, names: &mut BTreeMap<String, Range<usize>>) -> Checked<String> {
    let name = field.checked("a step's name", |name| {
        if name.trim().is_empty() {
            return Err("is empty".to_owned());
        }
        if name.chars().any(char::is_control) {
            return Err("holds a control character".to_owned());
        }
        if name.chars().count() > LONGEST_NAME {
            return Err(format!("expected at most {LONGEST_NAME} characters"));
        }
        Ok(())
    })?;
    if let Some(first) = names.insert(name.clone(), field.span()) {
        let title = format!("two steps are named `{name}`");
        let diagnostic =
            Diagnostic::at(field.span(), title).label("the same name").context(first, "the first");
        return Err(field.context.report(diagnostic));
    }
    Ok(name)
}

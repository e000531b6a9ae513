//! `[[provisioner]]` of type `breakpoint`.

use crate::{
    model::BreakpointStep,
    reader::{Field, Table, one_line},
    report::Checked,
};

/// Keys that not every type has.
pub(super) const KEYS: [&str; 1] = ["note"];

/// Reads a breakpoint.
pub(super) fn read(mut table: Table<'_>) -> Checked<BreakpointStep> {
    let note = table.optional("note", Field::string);
    table.finish()?;
    Ok(BreakpointStep { note: note? })
}

/// Makes the name of a step that has none.
pub(super) fn name(step: &BreakpointStep) -> String {
    step.note
        .as_deref()
        .map_or_else(|| "breakpoint".to_owned(), |note| format!("breakpoint: {}", one_line(note)))
}

//! `[[provisioner]]` of type `reboot`.

use crate::{interpolation::Style, model::RebootStep, reader::Table, report::Checked};
use kiln_types::TimeSpan;

/// Keys that not every type has.
pub(super) const KEYS: [&str; 1] = ["command"];

/// How long a guest may take to be back where nothing is written.
const TIMEOUT: TimeSpan = TimeSpan::from_secs(600);

/// Reads a reboot. Its `timeout` is read by then, as that of every step.
pub(super) fn read(mut table: Table<'_>, timeout: Option<TimeSpan>) -> Checked<RebootStep> {
    let command = table.optional("command", |field| {
        let command = field.text(Style::Guest)?;
        if command.expose().trim().is_empty() {
            return Err(field.wrong("`command` is empty", "expected a command that reboots the guest"));
        }
        Ok(command)
    });
    table.finish()?;
    Ok(RebootStep { timeout: timeout.unwrap_or(TIMEOUT), command: command? })
}

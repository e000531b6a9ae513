//! `[[provisioner]]` of type `shell`.

use crate::{
    interpolation::Style,
    model::{InlineLine, ShellCode, ShellStep},
    reader::{Field, Kind, Table, one_line},
    report::{Checked, Diagnostic},
};
use kiln_types::TimeSpan;

/// Keys that only this type has.
pub(crate) const KEYS: [&str; 9] = [
    "inline",
    "script",
    "scripts",
    "environment",
    "interpreter",
    "working_directory",
    "user",
    "timeout",
    "valid_exit_codes",
];

/// Reads a shell step.
pub(crate) fn read(mut table: Table<'_>) -> Checked<ShellStep> {
    let code = table.exactly_one(["inline", "script", "scripts"]).and_then(|field| code(&field));
    let environment = table.optional("environment", |field| {
        field.entries(|field| {
            check_variable(field)?;
            field.text(Style::Strict)
        })
    });
    let default = || vec!["/bin/sh".to_owned(), "-e".to_owned()];
    let interpreter = table.get("interpreter").map_or_else(|| Ok(default()), |field| interpreter(&field));
    let working_directory = table.optional("working_directory", Field::guest_path);
    let user = table.optional("user", Field::account);
    let timeout = table.optional("timeout", |field| {
        let span: TimeSpan = field.quantity("a duration", "10m")?;
        if span.as_duration().is_zero() {
            return Err(field.wrong("`timeout` is out of range", "expected more than nothing"));
        }
        Ok(span)
    });
    let valid_exit_codes = table.or("valid_exit_codes", vec![0], |field| {
        field.some(|code| {
            let code = code.integer(0..=255)?;
            Ok(u8::try_from(code).expect("the range fits"))
        })
    });
    table.finish()?;
    Ok(ShellStep {
        code: code?,
        environment: environment?.unwrap_or_default().into_iter().collect(),
        interpreter: interpreter?,
        working_directory: working_directory?,
        user: user?,
        timeout: timeout?,
        valid_exit_codes: valid_exit_codes?.into_iter().collect(),
    })
}

/// Makes the name of a step that has none.
pub(crate) fn name(step: &ShellStep) -> String {
    let what = match &step.code {
        ShellCode::Inline(lines) => {
            lines.iter().map(|line| one_line(line.text.shown())).find(|line| !line.is_empty())
        }
        ShellCode::Scripts(scripts) => scripts.first().map(|script| script.written.clone()),
    };
    what.map_or_else(|| "shell".to_owned(), |what| format!("shell: {what}"))
}

fn code(field: &Field<'_>) -> Checked<ShellCode> {
    match field.name.as_str() {
        "inline" => field.some(inline_line).map(ShellCode::Inline),
        "scripts" => field.some(|script| script.host_path(Kind::File)).map(ShellCode::Scripts),
        _ => field.host_path(Kind::File).map(|script| ShellCode::Scripts(vec![script])),
    }
}

fn inline_line(field: &Field<'_>) -> Checked<InlineLine> {
    Ok(InlineLine { text: field.text(Style::Guest)?, line: field.context.line(field.span().start) })
}

fn interpreter(field: &Field<'_>) -> Checked<Vec<String>> {
    let parts = if field.is_array() { field.some(Field::string)? } else { vec![field.string()?] };
    if !parts.first().is_some_and(|program| program.starts_with('/')) {
        let title = "`interpreter` must name a program by its absolute path";
        return Err(field.wrong(title, "expected it to start with `/`"));
    }
    Ok(parts)
}

/// Checks the name of an environment variable of the guest.
fn check_variable(field: &Field<'_>) -> Checked<()> {
    let known = field.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if known && !field.name.starts_with(|c: char| c.is_ascii_digit()) && !field.name.is_empty() {
        return Ok(());
    }
    let title = format!("`{}` cannot name an environment variable", field.name);
    let diagnostic = Diagnostic::at(field.key.clone(), title);
    Err(field.context.report(diagnostic.label("expected letters, digits and `_`, and no digit first")))
}

//! `[[provisioner]]` of type `shell`.

use crate::{
    interpolation::Style,
    model::{InlineLine, ShellCode, ShellStep},
    names::{listed, nearest},
    reader::{Field, Kind, Table, one_line, quoted},
    report::{Checked, Diagnostic},
};
use std::collections::BTreeSet;

/// Keys that not every type has.
pub(in crate::tables) const KEYS: [&str; 10] = [
    "inline",
    "script",
    "scripts",
    "environment",
    "interpreter",
    "working_directory",
    "user",
    "valid_exit_codes",
    "expect_disconnect",
    "secrets",
];

/// Reads a shell step. `over_agent` is whether it runs through the agent.
pub(in crate::tables) fn read(mut table: Table<'_>, over_agent: bool) -> Checked<ShellStep> {
    let code = table.exactly_one(["inline", "script", "scripts"]).and_then(|field| code(&field));
    let environment = table.optional("environment", Field::environment);
    let default = || vec!["/bin/sh".to_owned(), "-e".to_owned()];
    let interpreter = table.get("interpreter").map_or_else(|| Ok(default()), |field| interpreter(&field));
    let working_directory = table.optional("working_directory", Field::guest_path);
    let user = table.optional("user", Field::account);
    let valid_exit_codes = table.or("valid_exit_codes", vec![0], |field| {
        field.some(|code| {
            let code = code.integer(0..=255)?;
            Ok(u8::try_from(code).expect("the range fits"))
        })
    });
    let expect_disconnect =
        table.or("expect_disconnect", false, |field| expect_disconnect(field, over_agent));
    let secrets = table.or("secrets", Vec::new(), |field| field.each(secret));
    table.finish()?;
    Ok(ShellStep {
        code: code?,
        environment: environment?.unwrap_or_default(),
        interpreter: interpreter?,
        working_directory: working_directory?,
        user: user?,
        valid_exit_codes: valid_exit_codes?.into_iter().collect(),
        expect_disconnect: expect_disconnect?,
        secrets: BTreeSet::from_iter(secrets?),
    })
}

/// Makes the name of a step that has none.
pub(in crate::tables) fn name(step: &ShellStep) -> String {
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

/// Reads whether the connection may end. The agent's cannot: no guest runs that could end it.
fn expect_disconnect(field: &Field<'_>, over_agent: bool) -> Checked<bool> {
    let expected = field.boolean()?;
    if expected && over_agent {
        let title = "`expect_disconnect` needs a guest that is booted";
        let diagnostic =
            Diagnostic::at(field.key.clone(), title).label("the `agent` communicator boots none");
        return Err(field.context.report(diagnostic.help(super::USE_SSH)));
    }
    Ok(expected)
}

/// Reads the name of a sensitive variable.
fn secret(field: &Field<'_>) -> Checked<String> {
    let name = field.string()?;
    let context = field.context;
    let value = context.scope.borrow().get(&format!("var.{name}"));
    let Some(value) = value else {
        let scope = context.scope.borrow();
        let known: Vec<&str> = scope.names().filter_map(|name| name.strip_prefix("var.")).collect();
        let title = format!("no variable is named {}", quoted(&name));
        let diagnostic = Diagnostic::at(field.span(), title).label("not declared in `[variables]`");
        let help = match nearest(&name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("variables of this template: {}", listed(known)),
        };
        return Err(context.report(diagnostic.help(help)));
    };
    context.used(value.uses);
    if !value.text?.is_sensitive() {
        let diagnostic = Diagnostic::at(field.span(), format!("variable `{name}` is not sensitive"));
        let help = format!("add `sensitive = true` to it, or use `${{var.{name}}}` in `environment`");
        return Err(context.report(diagnostic.label("not a secret").help(help)));
    }
    Ok(name)
}

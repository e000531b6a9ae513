//! `[[provisioner]]` of type `ansible`.

use crate::{
    interpolation::Style,
    model::{AnsibleStep, Text},
    reader::{Field, Kind, Table},
    report::{Checked, Diagnostic},
};

/// Keys that not every type has.
pub(super) const KEYS: [&str; 7] =
    ["playbook", "extra_arguments", "extra_vars", "groups", "galaxy_file", "user", "environment"];

/// Reads a play.
pub(super) fn read(mut table: Table<'_>) -> Checked<AnsibleStep> {
    let playbook = table.required("playbook", "\"playbook.yml\"", |field| field.host_path(Kind::File));
    let extra_arguments = table.or("extra_arguments", Vec::new(), |field| field.each(argument));
    let extra_vars = table.optional("extra_vars", |field| {
        field.entries(|field| {
            field.check_identifier("a variable of Ansible")?;
            field.text(Style::Strict)
        })
    });
    let groups = table.or("groups", Vec::new(), |field| field.each(group));
    let galaxy_file = table.optional("galaxy_file", |field| field.host_path(Kind::File));
    let user = table.optional("user", Field::account);
    let environment = table.optional("environment", Field::environment);
    table.finish()?;
    Ok(AnsibleStep {
        playbook: playbook?,
        extra_arguments: extra_arguments?,
        extra_vars: extra_vars?.unwrap_or_default().into_iter().collect(),
        groups: groups?,
        galaxy_file: galaxy_file?,
        user: user?,
        environment: environment?.unwrap_or_default(),
    })
}

/// Makes the name of a step that has none.
pub(super) fn name(step: &AnsibleStep) -> String {
    format!("ansible: {}", step.playbook)
}

/// Reads an argument of `ansible-playbook`. Whoever lists this host's processes sees it.
fn argument(field: &Field<'_>) -> Checked<Text> {
    let text = field.text(Style::Strict)?;
    if text.is_sensitive() {
        let title = "a sensitive value cannot be used in `extra_arguments`";
        let diagnostic = Diagnostic::at(field.span(), title).label("every user of this host could see it");
        return Err(field.context.report(diagnostic.help("put it into `extra_vars`")));
    }
    Ok(text)
}

fn group(field: &Field<'_>) -> Checked<String> {
    field.checked("the name of a group", |name| {
        let known = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if known && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Ok(());
        }
        Err("expected a letter, then letters, digits, `_` and `-`".to_owned())
    })
}

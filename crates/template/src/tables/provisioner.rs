//! `[[provisioner]]`: what every type has, and the order of the steps.

mod ansible;
mod breakpoint;
mod download;
pub(super) mod file;
mod reboot;
pub(super) mod shell;

use crate::{
    model::{Provisioner, Step, StepCache},
    names::words,
    reader::{Field, Table, all},
    report::{Checked, Diagnostic},
    tables::condition::{Run, skipped},
};
use kiln_types::TimeSpan;
use std::{collections::BTreeMap, ops::Range};

words! {
    /// The types of `[[provisioner]]`.
    enum StepKind {
        /// Runs commands.
        Shell = "shell",
        /// Puts a file or folder into the guest.
        File = "file",
        /// Fetches a file or folder from the guest.
        Download = "download",
        /// Starts the guest anew.
        Reboot = "reboot",
        /// Stops for a person.
        Breakpoint = "breakpoint",
        /// Runs a playbook of this host.
        Ansible = "ansible",
    }
}

/// What to do where a step needs more than the agent.
const USE_SSH: &str = "boot the image itself: add `[communicator]` with `type = \"ssh\"`";

/// Characters that a step's or a test's name may have.
const LONGEST_NAME: usize = 100;

/// Reads the steps.
pub(crate) fn read(field: &Field<'_>, run: &Run) -> Checked<Vec<Provisioner>> {
    if !field.is_array() {
        let diagnostic = Diagnostic::at(field.span(), "`provisioner` must be an array of tables")
            .help("write `[[provisioner]]`, once for each step");
        return Err(field.context.report(diagnostic));
    }
    let mut names = BTreeMap::new();
    all(field.items()?.iter().map(|item| step(item, run, &mut names)))
}

fn step(field: &Field<'_>, run: &Run, names: &mut BTreeMap<String, Range<usize>>) -> Checked<Provisioner> {
    let context = field.context;
    let mut table = field.table("`[[provisioner]]`")?;
    let line = context.line(field.span().start);
    drop(context.take_uses());
    let name = table.optional("name", |field| name(field, "step", names));
    let skipped = skipped(&mut table, run);
    let pause_before = table.optional("pause_before", Field::duration);
    let timeout = table.optional("timeout", Field::time_limit);
    let max_retries = table.or("max_retries", 0, |field| {
        let retries = field.integer(0..=100)?;
        Ok(u32::try_from(retries).expect("the range fits"))
    });
    let continue_on_error = table.or("continue_on_error", false, Field::boolean);
    let cache = cache(&mut table);
    // None of these changes what the step does: what they use is not the step's.
    drop(context.take_uses());
    let over_agent = run.over_agent && skipped == Ok(None);
    let step = table.kind("shell").and_then(|(kind, known)| {
        let runs = if over_agent { runs_over_agent(&mut table, kind) } else { Ok(()) };
        let step = read_step(table, kind, over_agent, timeout.unwrap_or_default());
        known.and(runs).and(step)
    });
    let mut variables = context.take_uses();
    let (name, (default_name, step)) = (name?, step?);
    if let Step::Shell(shell) = &step {
        variables.extend(shell.secrets.iter().cloned());
    }
    Ok(Provisioner {
        name: name.unwrap_or(default_name),
        line,
        variables,
        skipped: skipped?,
        pause_before: pause_before?,
        timeout: timeout?.filter(|_| !matches!(step, Step::Reboot(_))),
        max_retries: max_retries?,
        continue_on_error: continue_on_error?,
        cache: cache?,
        step,
    })
}

/// Reads how long the step's result stands for running it.
fn cache(table: &mut Table<'_>) -> Checked<StepCache> {
    let Some(field) = table.at_most_one(["cache", "cache_for"]) else { return Ok(StepCache::Kept) };
    Ok(match field.name.as_str() {
        "cache_for" => StepCache::For(field.time_limit()?),
        _ if field.boolean()? => StepCache::Kept,
        _ => StepCache::Never,
    })
}

/// Refuses what needs a guest that is booted.
fn runs_over_agent(table: &mut Table<'_>, kind: StepKind) -> Checked<()> {
    let why = match kind {
        StepKind::Reboot => "the `agent` communicator boots no guest that could reboot",
        StepKind::Ansible => "the `agent` communicator has no SSH server for Ansible",
        StepKind::Shell | StepKind::File | StepKind::Download | StepKind::Breakpoint => return Ok(()),
    };
    let Some(field) = table.get("type") else { return Ok(()) };
    let diagnostic =
        Diagnostic::at(field.span(), format!("a step of type `{kind}` needs a guest that is booted"));
    Err(table.report(diagnostic.label(why).help(USE_SSH)))
}

/// Reads what a step does, and makes the name it has where none is written.
fn read_step(
    mut table: Table<'_>,
    kind: StepKind,
    over_agent: bool,
    timeout: Option<TimeSpan>,
) -> Checked<(String, Step)> {
    for (other, keys, place) in [
        (StepKind::Shell, &shell::KEYS[..], "provisioners of type `shell`"),
        (StepKind::File, &file::KEYS, "provisioners of type `file`"),
        (StepKind::Download, &download::KEYS, "provisioners of type `download`"),
        (StepKind::Reboot, &reboot::KEYS, "provisioners of type `reboot`"),
        (StepKind::Breakpoint, &breakpoint::KEYS, "provisioners of type `breakpoint`"),
        (StepKind::Ansible, &ansible::KEYS, "provisioners of type `ansible`"),
    ] {
        if other != kind {
            table.elsewhere(keys, place);
        }
    }
    match kind {
        StepKind::Shell => {
            shell::read(table, over_agent).map(|shell| (shell::name(&shell), Step::Shell(shell)))
        }
        StepKind::File => file::read(table).map(|file| (file::name(&file), Step::File(file))),
        StepKind::Download => {
            download::read(table).map(|download| (download::name(&download), Step::Download(download)))
        }
        StepKind::Reboot => {
            reboot::read(table, timeout).map(|reboot| ("reboot".to_owned(), Step::Reboot(reboot)))
        }
        StepKind::Breakpoint => {
            breakpoint::read(table).map(|stop| (breakpoint::name(&stop), Step::Breakpoint(stop)))
        }
        StepKind::Ansible => ansible::read(table).map(|play| (ansible::name(&play), Step::Ansible(play))),
    }
}

/// Reads the name of a step or a test.
pub(super) fn name(
    field: &Field<'_>,
    what: &str,
    names: &mut BTreeMap<String, Range<usize>>,
) -> Checked<String> {
    let name = field.checked(&format!("a {what}'s name"), |name| {
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
        let title = format!("two {what}s are named `{name}`");
        let diagnostic =
            Diagnostic::at(field.span(), title).label("the same name").context(first, "the first");
        return Err(field.context.report(diagnostic));
    }
    Ok(name)
}

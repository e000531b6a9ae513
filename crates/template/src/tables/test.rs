//! `[[test]]`.

use crate::{
    model::{Check, FileCheck, Test},
    names::words,
    reader::{Field, Table, all, one_line},
    report::{Checked, Diagnostic},
    tables::{
        condition::{Run, skipped},
        provisioner::{file, name, shell},
    },
};
use kiln_types::TimeSpan;
use std::{collections::BTreeMap, ops::Range};

words! {
    /// The types of `[[test]]`.
    enum CheckKind {
        /// Commands end well.
        Shell = "shell",
        /// The image starts by itself.
        Boots = "boots",
        /// Somebody listens.
        Port = "port",
        /// A service runs.
        Service = "service",
        /// A file is there.
        File = "file",
        /// A package is installed.
        Package = "package",
        /// A program ends as it should.
        Command = "command",
        /// No unit failed.
        NoFailedUnits = "no_failed_units",
        /// The image has no machine id.
        UniqueMachineId = "unique_machine_id",
    }
}

/// How long a test may take where it does not say: services of an emulated guest take their time.
const TIMEOUT: TimeSpan = TimeSpan::from_secs(120);

const SERVICE_KEYS: [&str; 2] = ["service", "enabled"];
const FILE_KEYS: [&str; 4] = ["path", "mode", "owner", "contains"];
const PACKAGE_KEYS: [&str; 2] = ["package", "version"];
const COMMAND_KEYS: [&str; 2] = ["command", "exit_code"];

/// Reads the tests.
pub(crate) fn read(field: &Field<'_>, run: &Run) -> Checked<Vec<Test>> {
    if !field.is_array() {
        let diagnostic = Diagnostic::at(field.span(), "`test` must be an array of tables")
            .help("write `[[test]]`, once for each test");
        return Err(field.context.report(diagnostic));
    }
    let mut names = BTreeMap::new();
    all(field.items()?.iter().map(|item| test(item, run, &mut names)))
}

fn test(field: &Field<'_>, run: &Run, names: &mut BTreeMap<String, Range<usize>>) -> Checked<Test> {
    let context = field.context;
    let mut table = field.table("`[[test]]`")?;
    let line = context.line(field.span().start);
    drop(context.take_uses());
    let written = table.optional("name", |field| name(field, "test", names));
    let skipped = skipped(&mut table, run);
    let timeout = table.or("timeout", TIMEOUT, Field::time_limit);
    // What these use is not the check's.
    drop(context.take_uses());
    let check = table.kind("shell").and_then(|(kind, known)| {
        let check = read_check(table, kind);
        known.and(check)
    });
    let mut variables = context.take_uses();
    let (written, check) = (written?, check?);
    if let Check::Shell(shell) = &check {
        variables.extend(shell.secrets.iter().cloned());
    }
    Ok(Test {
        name: written.unwrap_or_else(|| default_name(&check)),
        line,
        variables,
        skipped: skipped?,
        timeout: timeout?,
        check,
    })
}

fn read_check(mut table: Table<'_>, kind: CheckKind) -> Checked<Check> {
    for (other, keys, place) in [
        (CheckKind::Shell, &shell::KEYS[..], "tests of type `shell`"),
        (CheckKind::Port, &["port"], "tests of type `port`"),
        (CheckKind::Service, &SERVICE_KEYS, "tests of type `service`"),
        (CheckKind::File, &FILE_KEYS, "tests of type `file`"),
        (CheckKind::Package, &PACKAGE_KEYS, "tests of type `package`"),
        (CheckKind::Command, &COMMAND_KEYS, "tests of type `command`"),
    ] {
        if other != kind {
            table.elsewhere(keys, place);
        }
    }
    match kind {
        CheckKind::Shell => shell::read(table, false).map(Check::Shell),
        CheckKind::Boots => table.finish().map(|()| Check::Boots),
        CheckKind::NoFailedUnits => table.finish().map(|()| Check::NoFailedUnits),
        CheckKind::UniqueMachineId => table.finish().map(|()| Check::UniqueMachineId),
        CheckKind::Port => port(table),
        CheckKind::Service => service(table),
        CheckKind::File => file_check(table).map(Check::File),
        CheckKind::Package => package(table),
        CheckKind::Command => command(table),
    }
}

fn port(mut table: Table<'_>) -> Checked<Check> {
    let port = table.required("port", "80", |field| {
        let port = field.integer(1..=65_535)?;
        Ok(u16::try_from(port).expect("the range fits"))
    });
    table.finish()?;
    Ok(Check::Port { port: port? })
}

fn service(mut table: Table<'_>) -> Checked<Check> {
    let service = table.required("service", "\"nginx\"", |field| field.checked("a service", word));
    let enabled = table.optional("enabled", Field::boolean);
    table.finish()?;
    Ok(Check::Service { service: service?, enabled: enabled? })
}

fn file_check(mut table: Table<'_>) -> Checked<FileCheck> {
    let path = table.required("path", "\"/etc/motd\"", Field::guest_path);
    let absent = absent(&mut table, &["mode", "owner", "contains"]);
    let mode = table.optional("mode", file::mode);
    let owner = table.optional("owner", file::owner);
    let contains = table.optional("contains", contains);
    table.finish()?;
    Ok(FileCheck { path: path?, mode: mode?, owner: owner?, contains: contains?, absent: absent? })
}

fn package(mut table: Table<'_>) -> Checked<Check> {
    let package = table.required("package", "\"nginx\"", |field| field.checked("a package", word));
    let absent = absent(&mut table, &["version"]);
    let version = table.optional("version", |field| field.checked("a pattern of versions", word));
    table.finish()?;
    Ok(Check::Package { package: package?, version: version?, absent: absent? })
}

fn command(mut table: Table<'_>) -> Checked<Check> {
    let command = table.required("command", "[\"nginx\", \"-t\"]", |field| {
        if field.is_array() { field.some(Field::string) } else { Ok(vec![field.string()?]) }
    });
    let exit_code = table.or("exit_code", 0, |field| {
        let code = field.integer(0..=255)?;
        Ok(u8::try_from(code).expect("the range fits"))
    });
    let contains = table.optional("contains", contains);
    table.finish()?;
    Ok(Check::Command { command: command?, exit_code: exit_code?, contains: contains? })
}

/// Reads whether something must not be there; then nothing else can be asked of it.
fn absent(table: &mut Table<'_>, more: &[&'static str]) -> Checked<bool> {
    let Some(field) = table.get("absent") else { return Ok(false) };
    if !field.boolean()? {
        return Ok(false);
    }
    for key in more {
        let Some(other) = table.get(key) else { continue };
        let title = format!("`{}` of something that must not be there", other.name);
        let diagnostic = Diagnostic::at(other.key.clone(), title).label("nothing to look at");
        table.report(diagnostic.context(field.key.clone(), "`absent` says so"));
    }
    Ok(true)
}

fn contains(field: &Field<'_>) -> Checked<String> {
    field.checked("a text to look for", |text| match text {
        "" => Err("is empty".to_owned()),
        _ if text.contains('\n') => Err("holds a line end; it is looked for in each line".to_owned()),
        _ => Ok(()),
    })
}

/// Checks a word of a guest's command line.
fn word(text: &str) -> Result<(), String> {
    match text {
        "" => Err("is empty".to_owned()),
        _ if text.starts_with('-') => Err("starts with `-`".to_owned()),
        _ => crate::reader::no_spaces(text),
    }
}

fn default_name(check: &Check) -> String {
    let or_absent = |what: &str, name: &str, absent: bool| {
        if absent { format!("no {what}: {name}") } else { format!("{what}: {name}") }
    };
    match check {
        Check::Shell(step) => shell::name(step),
        Check::Boots => "boots".to_owned(),
        Check::Port { port } => format!("port: {port}"),
        Check::Service { service, .. } => format!("service: {service}"),
        Check::File(file) => or_absent("file", &file.path, file.absent),
        Check::Package { package, absent, .. } => or_absent("package", package, *absent),
        Check::Command { command, .. } => format!("command: {}", one_line(&command.join(" "))),
        Check::NoFailedUnits => "no failed units".to_owned(),
        Check::UniqueMachineId => "unique machine id".to_owned(),
    }
}

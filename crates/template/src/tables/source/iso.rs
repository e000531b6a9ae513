//! `[source]` of type `iso`.

use super::fetched::{checksum, location};
use crate::{
    interpolation::Style,
    model::{HostPath, Install, Iso, Text},
    reader::{Field, Kind, Table, quoted},
    report::{Checked, Diagnostic, Reported},
};
use kiln_types::{BootCommand, BootCommandError, ByteSize, TimeSpan};

/// Keys that not every type has.
pub(super) const KEYS: [&str; 12] = [
    "path",
    "url",
    "checksum",
    "boot_wait",
    "boot_command",
    "http_directory",
    "http_content",
    "cd_files",
    "cd_label",
    "floppy_files",
    "floppy_label",
    "install",
];

/// The label where none is written: the one that cloud-init and Debian's installer look for.
const LABEL: &str = "cidata";

/// Characters of a label that the file system of each medium can hold: Joliet's, and FAT's.
const LONGEST_CD_LABEL: usize = 16;
const LONGEST_FLOPPY_LABEL: usize = 11;

/// Reads the source. `offline` is whether the guest reaches nothing.
pub(super) fn read(mut table: Table<'_>, offline: bool) -> Checked<Iso> {
    let location = location(&mut table);
    let checksum = table.required("checksum", "\"sha256:…\"", checksum);
    let disk_size = table.required("disk_size", "\"8GiB\"", |field| field.size(ByteSize::from_mib(64)));
    let boot_wait = table.or("boot_wait", TimeSpan::from_secs(0), Field::duration);
    let boot_command = table.or("boot_command", BootCommand::default(), boot_command);
    if offline {
        refuse_server(&mut table);
    }
    let http_directory = table.optional("http_directory", |field| field.host_path(Kind::Folder));
    let http_content = table.optional("http_content", |field| field.entries(served));
    let (cd_files, cd_label) = medium(&mut table, "cd_files", "cd_label", LONGEST_CD_LABEL);
    let (floppy_files, floppy_label) =
        medium(&mut table, "floppy_files", "floppy_label", LONGEST_FLOPPY_LABEL);
    let install = table.or("install", Install::default(), install);
    table.finish()?;
    Ok(Iso {
        location: location?,
        checksum: checksum?,
        disk_size: disk_size?,
        boot_wait: boot_wait?,
        boot_command: boot_command?,
        http_directory: http_directory?,
        http_content: http_content?.unwrap_or_default().into_iter().collect(),
        cd_files: cd_files?,
        cd_label: cd_label?,
        floppy_files: floppy_files?,
        floppy_label: floppy_label?,
        install: install?,
    })
}

/// Reads what is typed. `${http.…}` stays in it: the server's port is not known yet.
fn boot_command(field: &Field<'_>) -> Checked<BootCommand> {
    let elements = field.items()?;
    let line = |element: &Field<'_>| element.shown(&element.text_for_installer(Style::Strict)?);
    let lines: Vec<Checked<String>> = elements.iter().map(line).collect();
    let (first, reported) = match lines.iter().cloned().collect::<Checked<Vec<String>>>() {
        Ok(lines) => match BootCommand::parse(&lines) {
            Ok(command) => return Ok(command),
            Err(mistake) => (mistake.line + 1, boot_mistake(&elements[mistake.line], mistake)),
        },
        Err(reported) => (0, reported),
    };
    // Keys that are held go from line to line: such a line cannot be judged once another is mistaken.
    for (element, line) in elements.iter().zip(&lines).skip(first) {
        if let Ok(line) = line
            && !holds_or_releases(line)
            && let Err(mistake) = BootCommand::parse(std::slice::from_ref(line))
        {
            boot_mistake(element, mistake);
        }
    }
    Err(reported)
}

fn holds_or_releases(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.contains("on>") || line.contains("off>")
}

fn boot_mistake(element: &Field<'_>, mistake: BootCommandError) -> Reported {
    let diagnostic = Diagnostic::at(element.span(), mistake.what);
    element.context.report(match mistake.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    })
}

/// Refuses a server that the guest could not reach.
fn refuse_server(table: &mut Table<'_>) {
    for key in ["http_directory", "http_content"] {
        let Some(field) = table.get(key) else { continue };
        let diagnostic = Diagnostic::at(field.key.clone(), format!("`{key}` needs a network"))
            .label("the guest could not reach it")
            .help("write `network = \"user\"` in `[machine]`, or put the files into `cd_files`");
        table.report(diagnostic);
    }
}

fn install(field: &Field<'_>) -> Checked<Install> {
    let mut table = field.table("`[source.install]`")?;
    let default = Install::default();
    let ends_with = table.or("ends_with", default.ends_with, Field::word);
    let timeout = table.or("timeout", default.timeout, Field::time_limit);
    table.finish()?;
    Ok(Install { ends_with: ends_with?, timeout: timeout? })
}

/// Reads the files of a medium and its label.
fn medium(
    table: &mut Table<'_>,
    files: &'static str,
    label: &'static str,
    longest: usize,
) -> (Checked<Vec<HostPath>>, Checked<String>) {
    let found = table.optional(files, |field| field.some(|field| field.host_path(Kind::FileOrFolder)));
    let label = table.or(label, LABEL.to_owned(), |field| {
        if found == Ok(None) {
            let diagnostic = Diagnostic::at(field.key.clone(), format!("`{}` without `{files}`", field.name));
            return Err(field
                .context
                .report(diagnostic.help(format!("add `{files} = […]`, or leave both out"))));
        }
        field.checked("a medium's label", |label| {
            let known = label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            if known && (1..=longest).contains(&label.len()) {
                return Ok(());
            }
            Err(format!("expected 1 to {longest} letters, digits, `_` and `-`"))
        })
    });
    (found.map(Option::unwrap_or_default), label)
}

/// Reads a file that the guest can fetch, under its path.
fn served(field: &Field<'_>) -> Checked<Text> {
    let path = &field.name;
    let label = match path.strip_prefix('/') {
        None => "expected it to start with `/`",
        Some("") => "names no file",
        Some(rest) if rest.split('/').any(|part| matches!(part, "" | "." | "..")) => {
            "holds an empty part, `.` or `..`"
        }
        Some(rest) if rest.contains("${") => "no `${…}` is replaced in a key",
        Some(rest) if rest.contains(no_part_of_a_path) => "holds a character that is no part of a path",
        Some(_) => return field.text_for_installer(Style::Guest),
    };
    let diagnostic = Diagnostic::at(field.key.clone(), format!("{} is not a path to serve", quoted(path)));
    Err(field.context.report(diagnostic.label(label)))
}

/// Says whether a character would be escaped in a URL, or end its path.
fn no_part_of_a_path(c: char) -> bool {
    c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '%' | '\\')
}

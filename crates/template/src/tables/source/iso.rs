//! `[source]` of type `iso`.

use super::fetched::{checksum, location};
use crate::{
    interpolation::Style,
    model::{HostPath, Install, Iso, Text},
    reader::{Field, Kind, Table, quoted},
    report::{Checked, Diagnostic},
};
use kiln_types::{ByteSize, TimeSpan};

/// Keys that not every type has.
pub(super) const KEYS: [&str; 11] = [
    "path",
    "url",
    "checksum",
    "boot_wait",
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

/// Characters of a label that every file system of such media can hold: FAT's limit.
const LONGEST_LABEL: usize = 11;

/// Reads the source. `offline` is whether the guest reaches nothing.
pub(super) fn read(mut table: Table<'_>, offline: bool) -> Checked<Iso> {
    let location = location(&mut table);
    let checksum = table.required("checksum", "\"sha256:…\"", checksum);
    let disk_size = table.required("disk_size", "\"8GiB\"", |field| field.size(ByteSize::from_mib(64)));
    let boot_wait = table.or("boot_wait", TimeSpan::from_secs(0), Field::duration);
    if offline {
        refuse_server(&mut table);
    }
    let http_directory = table.optional("http_directory", |field| field.host_path(Kind::Folder));
    let http_content = table.optional("http_content", |field| field.entries(served));
    let (cd_files, cd_label) = medium(&mut table, "cd_files", "cd_label");
    let (floppy_files, floppy_label) = medium(&mut table, "floppy_files", "floppy_label");
    let install = table.or("install", Install::default(), install);
    table.finish()?;
    Ok(Iso {
        location: location?,
        checksum: checksum?,
        disk_size: disk_size?,
        boot_wait: boot_wait?,
        http_directory: http_directory?,
        http_content: http_content?.unwrap_or_default().into_iter().collect(),
        cd_files: cd_files?,
        cd_label: cd_label?,
        floppy_files: floppy_files?,
        floppy_label: floppy_label?,
        install: install?,
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
            if known && (1..=LONGEST_LABEL).contains(&label.len()) {
                return Ok(());
            }
            Err(format!("expected 1 to {LONGEST_LABEL} letters, digits, `_` and `-`"))
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
        Some(rest) if rest.contains(|c: char| c.is_control() || matches!(c, '?' | '#' | '%')) => {
            "holds a character that is no part of a path"
        }
        Some(_) => return field.text_for_installer(Style::Guest),
    };
    let diagnostic = Diagnostic::at(field.key.clone(), format!("{} is not a path to serve", quoted(path)));
    Err(field.context.report(diagnostic.label(label)))
}

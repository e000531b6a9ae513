//! `[[export]]`.

use crate::{
    locals::IMAGE_NAME,
    model::{Compat, Compression, Export, ExportFormat, HostPath, Subformat},
    reader::{Field, Table, all},
    report::{Checked, Diagnostic},
};
use kiln_types::{BLOCK_SIZE, ByteSize};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Component, Path, PathBuf},
};

/// Where each path is used first.
type Taken = BTreeMap<PathBuf, Range<usize>>;

/// Reads the exports.
pub(crate) fn read(field: &Field<'_>) -> Checked<Vec<Export>> {
    if !field.is_array() {
        let diagnostic = Diagnostic::at(field.span(), "`export` must be an array of tables")
            .help("write `[[export]]`, once for each file");
        return Err(field.context.report(diagnostic));
    }
    let mut taken = BTreeMap::new();
    all(field.items()?.iter().map(|item| export(item, &mut taken)))
}

fn export(field: &Field<'_>, taken: &mut Taken) -> Checked<Export> {
    let mut table = field.table("`[[export]]`")?;
    let format = table.required("format", "\"qcow2\"", Field::word);
    let (written, place) = match table.get("path") {
        Some(field) => (path(&field), field.span()),
        None => (format.and_then(|format| default_path(field, format)), field.span()),
    };
    let path = written.and_then(|written| claim(field, &written, place, taken));
    let of = |formats: &'static [ExportFormat]| move |found: ExportFormat| formats.contains(&found);
    let qcow2 = of(&[ExportFormat::Qcow2]);
    let compression = only(&mut table, "compression", format, qcow2, Field::word);
    let cluster_size = only(&mut table, "cluster_size", format, qcow2, cluster_size);
    let compat = only(&mut table, "compat", format, qcow2, |field| compat(field, compression));
    let disks = of(&[ExportFormat::Vmdk, ExportFormat::Vhd]);
    let subformat = only(&mut table, "subformat", format, disks, |field| subformat(field, format));
    table.finish()?;
    Ok(Export {
        format: format?,
        path: path?,
        compression: compression?,
        cluster_size: cluster_size?,
        compat: compat?,
        subformat: subformat?,
    })
}

/// Reads a key that only some formats have.
fn only<'c, T>(
    table: &mut Table<'c>,
    key: &'static str,
    format: Checked<ExportFormat>,
    belongs: impl Fn(ExportFormat) -> bool,
    read: impl FnOnce(&Field<'c>) -> Checked<T>,
) -> Checked<Option<T>> {
    table.optional(key, |field| match format {
        Ok(format) if !belongs(format) => {
            Err(field.wrong(format!("`{key}` does not belong to a {format}"), "this format has none"))
        }
        _ => read(field),
    })
}

fn cluster_size(field: &Field<'_>) -> Checked<ByteSize> {
    let size: ByteSize = field.quantity("a size", "\"64KiB\"")?;
    if size.bytes().is_power_of_two() && (4096..=BLOCK_SIZE).contains(&size.bytes()) {
        return Ok(size);
    }
    Err(field.wrong("a cluster of this size cannot be", "no power of two from 4KiB to 512KiB"))
}

fn compat(field: &Field<'_>, compression: Checked<Option<Compression>>) -> Checked<Compat> {
    let compat = field.word()?;
    if compat == Compat::V2 && compression == Ok(Some(Compression::Zstd)) {
        return Err(field.wrong("zstd in a file of compat 0.10", "QEMU 5.1 was the first to know zstd"));
    }
    Ok(compat)
}

fn subformat(field: &Field<'_>, format: Checked<ExportFormat>) -> Checked<Subformat> {
    let subformat = field.word()?;
    let of = match subformat {
        Subformat::StreamOptimized | Subformat::Sparse => ExportFormat::Vmdk,
        Subformat::Dynamic | Subformat::Fixed => ExportFormat::Vhd,
    };
    match format {
        Ok(format) if format != of => {
            Err(field.wrong(format!("a {format} is never {subformat}"), format!("a {of} can be")))
        }
        _ => Ok(subformat),
    }
}

fn path(field: &Field<'_>) -> Checked<String> {
    field.checked("the path of a file", |path| match path {
        "" => Err("is empty".to_owned()),
        _ if path.ends_with('/') => Err("names a folder".to_owned()),
        _ => Ok(()),
    })
}

fn default_path(field: &Field<'_>, format: ExportFormat) -> Checked<String> {
    let scope = field.context.scope.borrow();
    let name = scope.get(IMAGE_NAME).expect("the image's name is settled before the exports are read");
    let ending = if format == ExportFormat::Gce { "tar.gz" } else { format.as_str() };
    Ok(format!("dist/{}.{ending}", name.text?.shown()))
}

/// Takes a path for this export alone.
fn claim(field: &Field<'_>, written: &str, place: Range<usize>, taken: &mut Taken) -> Checked<HostPath> {
    let path = HostPath::new(&field.context.inputs.folder, written);
    if let Some(first) = taken.get(&plain(&path.path)) {
        let title = format!("two exports go to `{written}`");
        let diagnostic =
            Diagnostic::at(place, title).label("the same file").context(first.clone(), "the first");
        return Err(field.context.report(diagnostic.help("give each export a `path` of its own")));
    }
    taken.insert(plain(&path.path), place);
    Ok(path)
}

/// Leaves out `.`, and takes back what a `..` takes back, so that two spellings of a path compare equal.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

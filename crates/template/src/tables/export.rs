//! `[[export]]`.

use crate::{
    locals::IMAGE_NAME,
    model::{DiskFormat, Export, HostPath},
    reader::{Field, all},
    report::{Checked, Diagnostic},
};
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
    table.finish()?;
    Ok(Export { format: format?, path: path? })
}

fn path(field: &Field<'_>) -> Checked<String> {
    field.checked("the path of a file", |path| match path {
        "" => Err("is empty".to_owned()),
        _ if path.ends_with('/') => Err("names a folder".to_owned()),
        _ => Ok(()),
    })
}

fn default_path(field: &Field<'_>, format: DiskFormat) -> Checked<String> {
    let scope = field.context.scope.borrow();
    let name = scope.get(IMAGE_NAME).expect("the image's name is settled before the exports are read");
    Ok(format!("dist/{}.{format}", name.text?.shown()))
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

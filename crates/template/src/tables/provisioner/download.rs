//! `[[provisioner]]` of type `download`.

use crate::{
    model::{DownloadStep, HostPath},
    reader::{Field, Table},
    report::Checked,
};

/// Keys that not every type has.
pub(super) const KEYS: [&str; 2] = ["source", "destination"];

/// Reads a download.
pub(super) fn read(mut table: Table<'_>) -> Checked<DownloadStep> {
    let source = table.required("source", "\"/var/log/setup.log\"", |field| {
        field.checked("a path of the guest", |path| match path {
            _ if path.ends_with("/.") || path.ends_with("/..") => Err("names no file".to_owned()),
            "/" => Err("is all of the guest".to_owned()),
            _ if !path.starts_with('/') => Err("expected it to start with `/`".to_owned()),
            _ if path.contains('\n') => Err("holds a line end".to_owned()),
            _ => Ok(()),
        })
    });
    let destination = table.required("destination", "\"out/\"", destination);
    table.finish()?;
    Ok(DownloadStep { source: source?, destination: destination? })
}

/// Reads where it goes; nothing needs to be there yet.
fn destination(field: &Field<'_>) -> Checked<HostPath> {
    let written = field.checked("a path of this host", |path| match path {
        "" => Err("is empty".to_owned()),
        _ => Ok(()),
    })?;
    Ok(HostPath::new(&field.context.inputs.folder, &written))
}

/// Makes the name of a step that has none.
pub(super) fn name(step: &DownloadStep) -> String {
    format!("download: {} -> {}", step.source, step.destination)
}

//! `[source]` of type `disk`.

use super::fetched::{checksum, location};
use crate::{
    model::DiskSource,
    reader::{Field, Table},
    report::{Checked, Diagnostic},
};
use kiln_types::ByteSize;

/// Keys that not every type has.
pub(super) const KEYS: [&str; 5] = ["path", "url", "checksum", "format", "grow"];

/// Reads the source.
pub(super) fn read(mut table: Table<'_>) -> Checked<DiskSource> {
    let location = location(&mut table);
    let checksum = table.required("checksum", "\"sha256:…\"", checksum);
    let format = table.optional("format", Field::word);
    let disk_size = table.optional("disk_size", |field| field.size(ByteSize::from_mib(1)));
    let grow = table.or("grow", disk_size != Ok(None), |field| {
        let grow = field.boolean()?;
        if grow && disk_size == Ok(None) {
            let diagnostic = Diagnostic::at(field.span(), "`grow` without a `disk_size`");
            let diagnostic = diagnostic.label("the disk keeps its own size, which leaves nothing to take");
            return Err(field
                .context
                .report(diagnostic.help("add `disk_size = \"…\"`, larger than the image's own")));
        }
        Ok(grow)
    });
    table.finish()?;
    Ok(DiskSource {
        location: location?,
        checksum: checksum?,
        format: format?,
        disk_size: disk_size?,
        grow: grow?,
    })
}

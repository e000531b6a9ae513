//! vmdk, vhd and vhdx: `qemu-img` converts a qcow2 that was just exported and verified.

use crate::{
    Error,
    file::{self, Written},
    staged::Staged,
    stamp,
};
use kiln_qcow2::{Conversion, Format};
use kiln_types::SnapshotId;
use std::ops::ControlFlow;
use tokio::{sync::mpsc, task::spawn_blocking};

/// What `qemu-img` is asked for: single files, that take the space of their data, with the volume's exact size.
const fn options(format: Format) -> &'static [&'static str] {
    match format {
        Format::Vmdk => &["subformat=streamOptimized"],
        Format::Vhd => &["subformat=dynamic,force_size=on"],
        Format::Vhdx => &["subformat=dynamic"],
        Format::Qcow2 | Format::Raw => &[],
    }
}

/// Converts a staged qcow2 into another staged file; `progress` gets whole per cents.
pub(crate) async fn write(
    source: &Staged,
    format: Format,
    size: u64,
    snapshot: SnapshotId,
    staged: &Staged,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Written, Error> {
    let (from, to) = (source.path().to_owned(), staged.path().to_owned());
    let failure = staged.failure(size);
    let told = failure.clone();
    let (reports, mut inbox) = mpsc::unbounded_channel();
    let work = spawn_blocking(move || {
        let conversion = Conversion {
            source: &from,
            format: Format::Qcow2,
            target: &to,
            target_format: format,
            options: options(format),
            size: size.next_multiple_of(512),
        };
        // Nobody listens any more: the caller has gone, and `qemu-img` has to go too.
        let mut report = |done, total| match reports.send((done, total)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        conversion.run(&mut report).map_err(|error| told.image(error))?;
        let file = fs_err::OpenOptions::new().read(true).write(true).open(&to);
        let file = file.map_err(|error| told.write(error))?;
        stamp::stamp(file.file(), format, snapshot).map_err(|error| told.write(error))?;
        file::hash(file.file()).map_err(|error| told.write(error))
    });
    while let Some((done, total)) = inbox.recv().await {
        progress(done / (total / 100).max(1));
    }
    let written = work.await.map_err(|_panicked| failure.worker())??;
    progress(100);
    Ok(written)
}

//! vmdk, vhd and vhdx: `qemu-img` converts a qcow2 that was just exported and verified.

use crate::{
    Error, Target,
    file::{self, Written},
    qcow2::{self, Way},
    staged::Staged,
    stamp,
    target::{Qcow2, Vhd, Vmdk},
};
use kiln_qcow2::{Conversion, Format};
use kiln_store::{BlockMap, Region, Verify};
use std::{ops::ControlFlow, path::Path};
use tokio::{sync::mpsc, task::spawn_blocking};

/// What `qemu-img` is asked for: single files, that take the space of their data, with the volume's exact size.
fn wanted(target: &Target) -> (Format, &'static [&'static str]) {
    match target {
        Target::Vmdk(Vmdk::Sparse) => (Format::Vmdk, &["subformat=monolithicSparse"]),
        Target::Vmdk(Vmdk::StreamOptimized) | Target::Ova(_) => {
            (Format::Vmdk, &["subformat=streamOptimized"])
        }
        Target::Vhd(Vhd::Dynamic) => (Format::Vhd, &["subformat=dynamic,force_size=on"]),
        Target::Vhd(Vhd::Fixed) => (Format::Vhd, &["subformat=fixed,force_size=on"]),
        Target::Vhdx => (Format::Vhdx, &["subformat=dynamic"]),
        Target::Qcow2(_) => (Format::Qcow2, &[]),
        Target::Raw | Target::Gce => (Format::Raw, &[]),
    }
}

/// Writes a snapshot into a staged file by way of a qcow2 beside it.
///
/// Half of the work is done when the blocks have been read, and half when they have been converted.
pub(crate) async fn write(
    region: &Region,
    map: &BlockMap,
    target: &Target,
    beside: &Path,
    staged: &Staged,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Written, Error> {
    let source = Staged::beside(beside)?;
    let size = target.volume_size(map.size().bytes());
    let mut all = 0;
    let mut reading = |done, total| {
        all = total;
        progress(done, 2 * total);
    };
    let way = Way { staged: &source, size, verify: Verify::Digest, sha256: false };
    qcow2::write(region, map, &Qcow2::default(), &way, &mut reading).await?;
    let mut converting = |percent| progress(all + all * percent / 100, 2 * all);
    let job = Job { from: source.path().to_owned(), to: staged.path().to_owned(), size };
    job.run(target, map, staged, &mut converting).await
}

/// One conversion of a staged qcow2 into another staged file.
struct Job {
    from: std::path::PathBuf,
    to: std::path::PathBuf,
    size: u64,
}

impl Job {
    /// `progress` gets whole per cents.
    async fn run(
        self,
        target: &Target,
        map: &BlockMap,
        staged: &Staged,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Written, Error> {
        let failure = staged.failure(self.size);
        let told = failure.clone();
        let (format, options) = wanted(target);
        let snapshot = map.lineage().last().copied();
        let (reports, mut inbox) = mpsc::unbounded_channel();
        let work = spawn_blocking(move || {
            let conversion = Conversion {
                source: &self.from,
                format: Format::Qcow2,
                target: &self.to,
                target_format: format,
                options,
                size: self.size,
            };
            // Nobody listens any more: the caller has gone, and `qemu-img` has to go too.
            let mut report = |done, total| match reports.send((done, total)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            conversion.run(&mut report).map_err(|error| told.image(error))?;
            let file = fs_err::OpenOptions::new().read(true).write(true).open(&self.to);
            let file = file.map_err(|error| told.write(error))?;
            let stamped = snapshot.map_or(Ok(()), |snapshot| stamp::stamp(file.file(), format, snapshot));
            stamped.and_then(|()| file::hash(file.file())).map_err(|error| told.write(error))
        });
        while let Some((done, total)) = inbox.recv().await {
            progress(done / (total / 100).max(1));
        }
        let written = work.await.map_err(|_panicked| failure.worker())??;
        progress(100);
        Ok(written)
    }
}

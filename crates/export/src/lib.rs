//! A snapshot as a disk image: qcow2, raw and Google's tar.gz written here, vmdk, vhd and vhdx by `qemu-img`.
//!
//! ```text
//! block map ─→ jobs ─→ read frames ─→ decode, check, compress ─→ write and hash ─→ rename
//!                      (async)        (a thread a core)          (a thread)
//! ```
//! A qcow2 of 512 KiB clusters and zstd holds the region's frames as they are: nothing is decompressed or compressed.
//! The file lies beside its target under another name until it is whole; a failure leaves nothing. The same snapshot
//! and options give the same bytes, in every format. The disk has a new file when the system writes it out, as with `cp`
//! and `qemu-img`: the snapshot is what lasts. Only one that replaces another is written out before it takes the name.
//!
//! **Invariant:** an export reads the region and nothing else; where a disk came from does not matter any more.

mod convert;
mod error;
mod file;
mod gce;
mod hasher;
mod ovf;
mod piece;
mod pipeline;
mod qcow2;
mod raw;
mod request;
mod staged;
mod stamp;
mod target;

pub use error::Error;
pub use ovf::Machine;
pub use request::{ExportRequest, Exported};
pub use target::{Compress, Kind, Options, Qcow2, Target, Vhd, Vmdk};

use file::Written;
use kiln_store::{BlockMap, Region};
use kiln_types::SnapshotId;
use staged::{Failure, Staged};
use std::{io, path::Path};
use tokio::task::spawn_blocking;

/// Writes a snapshot to a file; `progress` gets bytes of stored blocks that are done, and all of them.
///
/// The exact size of the volume is restored, as far as the format can say it: [`Target::volume_size`].
///
/// # Errors
/// When the snapshot cannot be read or a block of it is damaged, or the file cannot be written.
pub async fn export(
    region: &Region,
    request: &ExportRequest,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<Exported, Error> {
    let map = region.block_map(request.snapshot).await.map_err(Error::Store)?;
    let ExportRequest { target, path, verify, sha256, .. } = request;
    let size = target.volume_size(map.size().bytes());
    let staged = Staged::beside(path)?;
    let written = match target {
        Target::Qcow2(options) => {
            let way = qcow2::Way { staged: &staged, size, verify: *verify, sha256: *sha256 };
            qcow2::write(region, &map, options, &way, &mut progress).await?
        }
        Target::Raw => raw::write(region, &map, &staged, *sha256, &mut progress).await?,
        Target::Gce => gce::write(region, &map, size, &staged, *sha256, &mut progress).await?,
        Target::Ova(machine) => ova(region, &map, machine, request, &staged, &mut progress).await?,
        Target::Vmdk(_) | Target::Vhd(_) | Target::Vhdx => {
            convert::write(region, &map, target, path, &staged, &mut progress).await?
        }
    };
    staged.publish()?;
    let sha256 = written.sha256.filter(|_| *sha256);
    Ok(Exported { path: path.clone(), kind: target.kind(), sha256, size: written.size })
}

async fn ova(
    region: &Region,
    map: &BlockMap,
    machine: &Machine,
    request: &ExportRequest,
    staged: &Staged,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Written, Error> {
    let disk = Staged::beside(&request.path)?;
    let written = convert::write(region, map, &request.target, &request.path, &disk, progress).await?;
    let size = request.target.volume_size(map.size().bytes());
    let failure = staged.failure(written.size);
    let (archive, told) = (staged.open()?, failure.clone());
    let (machine, sha256) = (machine.clone(), request.sha256);
    let work = spawn_blocking(move || ovf::write(&machine, &disk, &written, size, archive, sha256));
    work.await.map_err(|_panicked| failure.worker())?.map_err(|error| told.write(error))
}

/// Sends a snapshot's volume down a stream, byte by byte as a disk has them; returns how many there were.
///
/// # Errors
/// When the snapshot cannot be read or a block of it is damaged, or the stream takes no more.
pub async fn stream(
    region: &Region,
    snapshot: SnapshotId,
    out: impl io::Write + Send + 'static,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<u64, Error> {
    let map = region.block_map(snapshot).await.map_err(Error::Store)?;
    let failure = Failure::of(Path::new("-"));
    let mut sent = raw::send(region, &map, raw::Stream(out), &failure, &mut progress).await?;
    sent.0.flush().map_err(|error| failure.write(error))?;
    Ok(map.size().bytes())
}

#[cfg(test)]
mod tests;

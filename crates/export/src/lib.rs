//! A snapshot as a disk image: qcow2 and raw written here, vmdk, vhd and vhdx by `qemu-img`.
//!
//! ```text
//! block map ─→ jobs ─→ read frames ─→ decode or check ─→ write and hash ─→ sync ─→ rename
//!                      (async)        (threads)          (a thread)
//! ```
//! A qcow2 of 512 KiB clusters and zstd holds the region's frames as they are: nothing is decompressed or compressed.
//! The file lies beside its target under another name until it is whole; a failure leaves nothing. The same snapshot
//! gives the same bytes, in every format.
//!
//! **Invariant:** an export reads the region and nothing else; where a disk came from does not matter any more.

mod convert;
mod error;
mod file;
mod pipeline;
mod qcow2;
mod raw;
mod request;
mod staged;
mod stamp;

pub use error::Error;
pub use request::{ExportRequest, Exported};

use kiln_qcow2::Format;
use kiln_store::{Region, Verify};

/// Writes a snapshot to a file; `progress` gets bytes of stored blocks that are done, and all of them.
///
/// The exact size of the volume is restored; formats other than raw have whole sectors of 512 bytes.
///
/// # Errors
/// When the snapshot cannot be read or a block of it is damaged, or the file cannot be written.
pub async fn export(
    region: &Region,
    request: &ExportRequest,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<Exported, Error> {
    let map = region.block_map(request.snapshot).await.map_err(Error::Store)?;
    let (path, format) = (request.path.as_path(), request.format);
    let staged = staged::Staged::beside(path)?;
    let written = match format {
        Format::Qcow2 => qcow2::write(region, &map, request.verify, &staged, &mut progress).await?,
        Format::Raw => raw::write(region, &map, &staged, &mut progress).await?,
        Format::Vmdk | Format::Vhd | Format::Vhdx => {
            let source = staged::Staged::beside(path)?;
            // Half of the work is done when the blocks have been read, and half when they have been converted.
            let mut all = 0;
            let mut reading = |done, total| {
                all = total;
                progress(done, 2 * total);
            };
            qcow2::write(region, &map, Verify::Digest, &source, &mut reading).await?;
            let mut converting = |percent| progress(all + all * percent / 100, 2 * all);
            let size = map.size().bytes();
            convert::write(&source, format, size, request.snapshot, &staged, &mut converting).await?
        }
    };
    staged.publish()?;
    Ok(Exported { path: path.to_owned(), format, sha256: written.sha256, size: written.size })
}

#[cfg(test)]
mod tests;

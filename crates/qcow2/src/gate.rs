//! The gate: what an image must be before any other program or crate may open it.
//!
//! A foreign image is untrusted input. Readers of disk images follow the names that they find in them (backing files,
//! external data files, extents, parents) to any file that the user may read, and trust sizes that a few bytes can
//! claim. So the headers are read here first, with checked arithmetic, reads of at most 64 KiB and no table read
//! whole; what names another file is refused with the reason.
//!
//! **Invariant:** the gate never opens a file by a name that it read from an image.

mod qcow2;
mod vhd;
mod vhdx;
mod vmdk;

pub(crate) use qcow2::{Geometry, Policy, examine};

use crate::{Error, Format, probe::Probe};
use std::path::Path;

/// The largest volume that is accepted: EBS's own largest, 64 TiB.
pub(crate) const LARGEST_VOLUME: u64 = 64 << 40;

/// What the gate found out about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageInfo {
    /// The format, as it was named or detected.
    pub format: Format,
    /// Exact bytes of the volume inside; a raw file's need not be a multiple of 512.
    pub virtual_size: u64,
}

/// Examines an image of a named format.
///
/// What is accepted: qcow2 without a backing file, data file or encryption (any cluster size, zstd, extended L2,
/// internal snapshots and the dirty mark are fine: refcounts are not used in reading); a single-file VMDK
/// (`monolithicSparse`, `streamOptimized`); a fixed or dynamic VHD; a VHDX without parent; any raw file that is not
/// empty.
///
/// # Errors
/// [`Error::Malformed`] when the image breaks its format's rules, [`Error::Refused`] when it is valid and not
/// accepted, [`Error::NotAFile`] for devices, FIFOs and folders.
pub fn gate(path: &Path, format: Format) -> Result<ImageInfo, Error> {
    let probe = Probe::open(path, format)?;
    let virtual_size = match format {
        Format::Raw => probe.len(),
        Format::Qcow2 => examine(&probe, Policy::Foreign)?.size,
        Format::Vmdk => vmdk::examine(&probe)?,
        Format::Vhd => vhd::examine(&probe)?,
        Format::Vhdx => vhdx::examine(&probe)?,
    };
    probe.require(virtual_size > 0, || "the volume is empty".to_owned())?;
    probe.require(virtual_size <= LARGEST_VOLUME, || {
        format!("the volume of {virtual_size} bytes is larger than {LARGEST_VOLUME} (64 TiB)")
    })?;
    Ok(ImageInfo { format, virtual_size })
}

#[cfg(test)]
mod tests;

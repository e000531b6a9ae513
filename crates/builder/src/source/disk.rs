//! `source.type = "disk"`: a disk image that exists, on this host or behind a URL.
//!
//! The image is verified, then gated, then converted once to a sparse raw file: nothing but `kiln-qcow2`'s gate and
//! a `qemu-img` child with limits ever looks inside a foreign image.

use super::Workshop;
use crate::{
    Error,
    key::KeyMaker,
    plan::canonical,
    source::{
        Lookups,
        fetched::{expected, obtain, place},
    },
};
use kiln_template::{DiskFormat, DiskSource};
use kiln_types::{ByteSize, Digest};
use std::path::Path;

pub(super) fn describe(source: &DiskSource) -> String {
    place(&source.location).to_owned()
}

/// The content decides, not the place: the same image from another mirror is the same base.
pub(super) fn key(source: &DiskSource, lookups: &Lookups) -> Result<Digest, Error> {
    let mut maker = KeyMaker::new("disk");
    maker.part("checksum", expected(&source.location, &source.checksum, lookups)?.hex().as_bytes());
    maker.part("format", &canonical(&source.format)?);
    maker.part("size", &canonical(&(source.disk_size, source.grow))?);
    Ok(maker.finish())
}

pub(super) fn make(source: &DiskSource, out: &Path, workshop: &Workshop<'_>) -> Result<bool, Error> {
    let image = obtain(&source.location, &source.checksum, workshop)?;
    let format = match source.format {
        Some(format) => image_format(format),
        None => kiln_qcow2::detect(&image)?,
    };
    let info = kiln_qcow2::gate(&image, format)?;
    workshop.events.output(format!("{format} image, {}", ByteSize::from_bytes(info.virtual_size)));
    kiln_qcow2::import(&image, format, out, &mut |done, total| workshop.events.progress(done, total))?;
    match source.disk_size {
        Some(size) => enlarge(out, size, source.grow),
        None => Ok(false),
    }
}

/// Makes the disk larger, and with `grow` its last partition, too. Says whether there is more than before.
fn enlarge(disk: &Path, size: ByteSize, grow: bool) -> Result<bool, Error> {
    let has = ByteSize::from_bytes(fs_err::metadata(disk)?.len());
    if size < has {
        return Err(Error::DiskTooSmall { asked: size, has });
    }
    if size == has {
        return Ok(false);
    }
    if grow {
        return Ok(kiln_disk::grow(disk, size.bytes())?.is_root);
    }
    fs_err::OpenOptions::new().write(true).open(disk)?.set_len(size.bytes())?;
    Ok(false)
}

/// Maps a template's word to the format it names.
fn image_format(format: DiskFormat) -> kiln_qcow2::Format {
    match format {
        DiskFormat::Qcow2 => kiln_qcow2::Format::Qcow2,
        DiskFormat::Raw => kiln_qcow2::Format::Raw,
        DiskFormat::Vmdk => kiln_qcow2::Format::Vmdk,
        DiskFormat::Vhd => kiln_qcow2::Format::Vhd,
        DiskFormat::Vhdx => kiln_qcow2::Format::Vhdx,
    }
}

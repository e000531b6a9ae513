//! `source.type = "disk"`: a disk image that exists, on this host or behind a URL.
//!
//! The image is verified, then gated, then converted once to a sparse raw file: nothing but `kiln-qcow2`'s gate and
//! a `qemu-img` child with limits ever looks inside a foreign image.

use super::Workshop;
use crate::{
    Error,
    checksum::Expected,
    download::{Downloader, file_name},
    key::KeyMaker,
    plan::canonical,
};
use kiln_template::{Checksum, DiskFormat, DiskSource, Location};
use kiln_types::{ByteSize, Digest};
use std::path::{Path, PathBuf};

pub(super) fn describe(source: &DiskSource) -> String {
    match &source.location {
        Location::Path(path) => path.written.clone(),
        Location::Url(url) => url.clone(),
    }
}

/// The content decides, not the place: the same image from another mirror is the same base.
pub(super) fn key(source: &DiskSource) -> Result<Digest, Error> {
    let mut maker = KeyMaker::new("disk");
    maker.part("checksum", expected(source)?.hex().as_bytes());
    maker.part("format", &canonical(&source.format)?);
    maker.part("size", &canonical(&source.disk_size)?);
    Ok(maker.finish())
}

pub(super) fn make(source: &DiskSource, out: &Path, workshop: &Workshop<'_>) -> Result<(), Error> {
    let image = obtain(source, workshop)?;
    let format = match source.format {
        Some(format) => image_format(format),
        None => kiln_qcow2::detect(&image)?,
    };
    let info = kiln_qcow2::gate(&image, format)?;
    workshop.events.output(format!("{format} image, {}", ByteSize::from_bytes(info.virtual_size)));
    kiln_qcow2::import(&image, format, out, &mut |done, total| workshop.events.progress(done, total))?;
    if let Some(size) = source.disk_size {
        grow(out, size)?;
    }
    Ok(())
}

/// Finds what the image must hash to.
fn expected(source: &DiskSource) -> Result<Expected, Error> {
    let name = match &source.location {
        Location::Path(path) => path.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        Location::Url(url) => file_name(url),
    };
    let (text, place) = match &source.checksum {
        Checksum::Sha256(digest) => return Ok(Expected::Sha256(digest.to_string())),
        Checksum::Sha512(hex) => return Ok(Expected::Sha512(hex.clone())),
        Checksum::Url(url) => (Downloader::default().text(url)?, url.clone()),
        Checksum::File(file) => (fs_err::read_to_string(&file.path)?, file.written.clone()),
    };
    Expected::find(&text, &name).ok_or(Error::NotInChecksumFile { place, name })
}

/// Brings the verified image onto this host.
fn obtain(source: &DiskSource, workshop: &Workshop<'_>) -> Result<PathBuf, Error> {
    let expected = expected(source)?;
    match &source.location {
        Location::Path(path) => {
            expected.verify(&path.path, &path.written)?;
            Ok(path.path.clone())
        }
        Location::Url(url) => {
            let folder = workshop.home.downloads();
            Downloader::default().file(url, &expected, &folder, workshop.events, workshop.cancel)
        }
    }
}

fn grow(disk: &Path, size: ByteSize) -> Result<(), Error> {
    let file = fs_err::OpenOptions::new().write(true).open(disk)?;
    let has = file.metadata()?.len();
    if size.bytes() < has {
        return Err(Error::DiskTooSmall { asked: size, has: ByteSize::from_bytes(has) });
    }
    file.set_len(size.bytes())?;
    Ok(())
}

/// Maps a template's word to the format it names.
pub(crate) fn image_format(format: DiskFormat) -> kiln_qcow2::Format {
    match format {
        DiskFormat::Qcow2 => kiln_qcow2::Format::Qcow2,
        DiskFormat::Raw => kiln_qcow2::Format::Raw,
        DiskFormat::Vmdk => kiln_qcow2::Format::Vmdk,
        DiskFormat::Vhd => kiln_qcow2::Format::Vhd,
        DiskFormat::Vhdx => kiln_qcow2::Format::Vhdx,
    }
}

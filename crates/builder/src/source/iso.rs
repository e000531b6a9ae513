//! `source.type = "iso"`: the medium of an installation, and what the installed disk depends on.

use super::{
    Lookups, Workshop,
    fetched::{self, expected, place},
};
use crate::{Error, key::KeyMaker, plan::canonical};
use kiln_template::{Iso, Machine};
use kiln_types::Digest;
use std::path::PathBuf;

pub(super) fn describe(source: &Iso) -> String {
    format!("install from {}, {}", place(&source.location), source.disk_size)
}

/// The medium, what is typed and served, and the hardware that an installer looks at.
pub(super) fn key(source: &Iso, machine: &Machine, lookups: &Lookups) -> Result<Digest, Error> {
    let mut maker = KeyMaker::new("iso");
    maker.part("checksum", expected(&source.location, &source.checksum, lookups)?.hex().as_bytes());
    maker.part("boot command", &canonical(&(source.boot_wait, &source.boot_command))?);
    maker.part("content", &canonical(&source.http_content)?);
    maker.part("labels", &canonical(&(&source.cd_label, &source.floppy_label))?);
    maker.part("install", &canonical(&(&source.install, source.disk_size))?);
    maker.part(
        "hardware",
        &canonical(&(machine.architecture, machine.firmware, machine.tpm, machine.network))?,
    );
    let folders = source.http_directory.iter();
    for path in folders.chain(&source.cd_files).chain(&source.floppy_files) {
        maker.tree("file", &path.path, &path.written)?;
    }
    Ok(maker.finish())
}

/// Brings the verified medium onto this host.
pub(crate) fn obtain(source: &Iso, workshop: &Workshop<'_>) -> Result<PathBuf, Error> {
    fetched::obtain(&source.location, &source.checksum, workshop)
}

//! The disks of a build's machine: each a raw base that is only read, and an overlay that takes every write.

use crate::{Error, base::Base};
use kiln_machine::{
    Qemu,
    config::{Disk, Interface},
};
use kiln_template::Template;
use kiln_types::{DeviceName, SnapshotId};
use std::path::{Path, PathBuf};

/// What the guest finds its root disk by.
pub(crate) const ROOT: &str = "kiln-root";

/// A disk of a build.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    /// What the guest finds it by, and the name of its overlay.
    pub(crate) serial: String,
    /// Its name in the image's block device mapping.
    pub(crate) device_name: DeviceName,
    pub(crate) base: PathBuf,
    /// Layers that are only read, the lowest first.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) overlay: PathBuf,
    pub(crate) size: u64,
    /// The base's snapshot; a blank disk has none.
    pub(crate) parent: Option<SnapshotId>,
}

impl Volume {
    /// Makes the overlay anew: whatever was written is gone.
    pub(crate) fn clear(&self, qemu: &Qemu) -> Result<(), Error> {
        Ok(qemu.create_overlay(&self.overlay, self.size)?)
    }

    /// Lists what lies on the base, the lowest first.
    pub(crate) fn chain(&self) -> Vec<PathBuf> {
        self.layers.iter().chain([&self.overlay]).cloned().collect()
    }

    /// Returns the disk as a machine sees it.
    pub(crate) fn disk(&self, interface: Interface) -> Disk {
        Disk { serial: self.serial.clone(), base: Some(self.base.clone()), overlays: self.chain(), interface }
    }
}

/// Lists the disks of a template's machine: the base's, then the template's own, which start blank.
pub(crate) fn of_build(template: &Template, base: &Base, folder: &Path) -> Result<Vec<Volume>, Error> {
    let mut volumes = vec![Volume {
        serial: ROOT.to_owned(),
        device_name: template.image.root_device_name.clone(),
        base: base.disk.clone(),
        layers: Vec::new(),
        overlay: folder.join("overlay.qcow2"),
        size: base.record.size,
        parent: Some(base.snapshot),
    }];
    for disk in &template.machine.disks {
        let blank = blank(&folder.join(format!("{}.raw", disk.name)), disk.size.bytes())?;
        volumes.push(Volume {
            serial: disk.name.clone(),
            device_name: disk.device_name.clone(),
            base: blank,
            layers: Vec::new(),
            overlay: folder.join(format!("{}.qcow2", disk.name)),
            size: disk.size.bytes(),
            parent: None,
        });
    }
    Ok(volumes)
}

/// Makes a disk of zeros, which takes no space.
pub(crate) fn blank(path: &Path, size: u64) -> Result<PathBuf, Error> {
    fs_err::File::create(path)?.set_len(size)?;
    Ok(path.to_owned())
}

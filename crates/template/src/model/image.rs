//! `[image]` and `[[export]]`: what a build leaves behind.

use crate::{
    model::{HostPath, Lifecycle, RootDeviceType},
    names::words,
};
use kiln_types::{ByteSize, DeviceName, ImageName};
use serde::Serialize;
use std::collections::BTreeMap;

/// The image to register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Its name, unique per owner and region.
    pub name: ImageName,
    /// What it is for.
    pub description: Option<String>,
    /// At most 50; keys up to 127 characters, values up to 255.
    pub tags: BTreeMap<String, String>,
    /// The root's name in the block device mapping.
    pub root_device_name: DeviceName,
    /// What the root is made from.
    pub root_device_type: RootDeviceType,
    /// What becomes of the images as they age.
    #[serde(skip)]
    pub lifecycle: Option<Lifecycle>,
}

/// A file to make from the finished image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Export {
    /// Its format.
    pub format: ExportFormat,
    /// Where it goes; relative to the template's folder, as every path in a template.
    pub path: HostPath,
    /// How a qcow2's clusters are compressed.
    pub compression: Option<Compression>,
    /// How large a qcow2's clusters are.
    pub cluster_size: Option<ByteSize>,
    /// Which programs can read a qcow2.
    pub compat: Option<Compat>,
    /// How a vmdk or a vhd lies in its file.
    pub subformat: Option<Subformat>,
}

words! {
    /// The format of an export.
    pub enum ExportFormat {
        /// QEMU's copy-on-write format.
        Qcow2 = "qcow2",
        /// The bytes as they are.
        Raw = "raw",
        /// VMware's.
        Vmdk = "vmdk",
        /// Microsoft's, of Virtual PC and Azure.
        Vhd = "vhd",
        /// Microsoft's, of Hyper-V.
        Vhdx = "vhdx",
        /// A vmdk with a description of its machine.
        Ova = "ova",
        /// Google's: `disk.raw` in a tar.gz.
        Gce = "gce",
    }
}

words! {
    /// How clusters are compressed.
    pub enum Compression {
        /// zstd.
        Zstd = "zstd",
        /// deflate.
        Zlib = "zlib",
        /// Not at all.
        None = "none",
    }
}

words! {
    /// The oldest QEMU that can read a qcow2.
    pub enum Compat {
        /// Version 2 of the format.
        V2 = "0.10",
        /// Version 3 of the format.
        V3 = "1.1",
    }
}

words! {
    /// How a vmdk or a vhd lies in its file.
    pub enum Subformat {
        /// A vmdk that is compressed, to be read in order.
        StreamOptimized = "stream-optimized",
        /// A vmdk to run from.
        Sparse = "sparse",
        /// A vhd with the blocks that hold data.
        Dynamic = "dynamic",
        /// A vhd with every byte of the disk.
        Fixed = "fixed",
    }
}

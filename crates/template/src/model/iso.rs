//! `[source]` of type `iso`: a disk that an installer fills.

use crate::{
    model::{Checksum, HostPath, Location, Text},
    names::words,
};
use kiln_types::{BootCommand, ByteSize, TimeSpan};
use serde::Serialize;
use std::collections::BTreeMap;

/// A blank disk that an installer fills, started from its medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Iso {
    /// Where the medium is.
    pub location: Location,
    /// What it must hash to.
    pub checksum: Checksum,
    /// Size of the disk, at least 64 MiB.
    pub disk_size: ByteSize,
    /// How long the machine runs before anything is typed.
    pub boot_wait: TimeSpan,
    /// What is typed; `${http.address}`, `${http.ip}` and `${http.port}` stand in it until the server runs.
    pub boot_command: BootCommand,
    /// A folder that the guest can fetch files from.
    pub http_directory: Option<HostPath>,
    /// Files that the guest can fetch, by their path from `/`; `${http.…}` stand in them as in `boot_command`.
    pub http_content: BTreeMap<String, Text>,
    /// Files and folders on a CD.
    pub cd_files: Vec<HostPath>,
    /// The CD's label.
    pub cd_label: String,
    /// Files and folders on a floppy disk.
    pub floppy_files: Vec<HostPath>,
    /// The floppy disk's label.
    pub floppy_label: String,
    /// How the installation ends.
    pub install: Install,
}

/// How an installation ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Install {
    /// What the installer does when it is done.
    pub ends_with: EndsWith,
    /// How long it may take. No part of the serialised form: it changes nothing on the disk.
    #[serde(skip)]
    pub timeout: TimeSpan,
}

impl Default for Install {
    fn default() -> Self {
        Self { ends_with: EndsWith::Poweroff, timeout: TimeSpan::from_secs(2 * 60 * 60) }
    }
}

words! {
    /// What an installer does when it is done.
    pub enum EndsWith {
        /// It powers the machine off.
        Poweroff = "poweroff",
        /// It reboots the machine, for the first time.
        Reboot = "reboot",
    }
}

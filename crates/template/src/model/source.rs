//! `[source]`: where the base disk comes from.

use crate::{
    model::{HostPath, Iso},
    names::words,
};
use kiln_types::{ByteSize, Digest, ImageId, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;

/// Where the base disk comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Source {
    /// A Debian userland put together from packages.
    Bootstrap(Bootstrap),
    /// A disk image that exists.
    Disk(DiskSource),
    /// An image of the catalogue.
    Image(ImageSource),
    /// An installation from its medium.
    Iso(Iso),
}

impl Source {
    /// Returns the word for its type in a template.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Bootstrap(_) => "bootstrap",
            Self::Disk(_) => "disk",
            Self::Image(_) => "image",
            Self::Iso(_) => "iso",
        }
    }
}

/// A Debian base disk that Kiln makes through `mmdebstrap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bootstrap {
    /// Debian's suite: `bookworm`.
    pub suite: String,
    /// The mirror's URL; nothing means the host's own apt sources.
    pub mirror: Option<String>,
    /// The moment whose archive is taken from snapshot.debian.org in place of a mirror's newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Timestamp>,
    /// Components of the archive.
    pub components: Vec<String>,
    /// mmdebstrap's variant: which packages to start from.
    pub variant: Variant,
    /// Packages to add.
    pub packages: Vec<String>,
    /// A keyring to trust in place of the host's.
    pub apt_keyring: Option<HostPath>,
    /// Size of the disk, at least 1 GiB.
    pub disk_size: ByteSize,
    /// Whether the image runs cloud-init.
    pub cloud_init: bool,
    /// The image's host name.
    pub hostname: String,
}

/// A disk image that exists, on this host or behind a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskSource {
    /// Where it is.
    pub location: Location,
    /// What it must hash to.
    pub checksum: Checksum,
    /// Its format; nothing means to detect it.
    pub format: Option<DiskFormat>,
    /// The size to grow it to; nothing keeps its own.
    pub disk_size: Option<ByteSize>,
    /// Whether the last partition and its file system take the space that `disk_size` adds.
    pub grow: bool,
}

/// An image of the catalogue, as the account that builds sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// The image with this id.
    Id(ImageId),
    /// The image that a search finds.
    Search {
        /// Who owns it, as `kiln image list --owner` takes it.
        owners: Vec<String>,
        /// What it has, by the name of the filter: one of the values must fit.
        filters: BTreeMap<String, Vec<String>>,
        /// Whether the newest is meant where several are found.
        most_recent: bool,
    },
}

/// Where a disk image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// A file on this host.
    Path(HostPath),
    /// An http or https URL.
    Url(String),
}

/// What a disk image must hash to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// A SHA-256 digest.
    Sha256(Digest),
    /// A SHA-512 digest: 128 lower-case hexadecimal digits.
    Sha512(String),
    /// An http or https URL of a checksum file that names the image.
    Url(String),
    /// A checksum file on this host.
    File(HostPath),
}

words! {
    /// The format of a disk image.
    pub enum DiskFormat {
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
    }
}

words! {
    /// mmdebstrap's variants: which packages a base starts from.
    pub enum Variant {
        /// Unpacked, nothing installed.
        Extract = "extract",
        /// Only the packages named.
        Custom = "custom",
        /// Essential packages.
        Essential = "essential",
        /// Essential packages and apt.
        Apt = "apt",
        /// Packages of priority required, and apt.
        Required = "required",
        /// Another word for `required`.
        Minbase = "minbase",
        /// `minbase` and build-essential.
        Buildd = "buildd",
        /// Packages of priority important.
        Important = "important",
        /// Another word for `important`.
        Debootstrap = "debootstrap",
        /// Packages of priority standard.
        Standard = "standard",
    }
}

//! What an export can be: the formats, and what can be chosen in each.

use crate::{Error, ovf::Machine};
use kiln_qcow2::{
    Format,
    writer::{Backing, Version},
};
use kiln_types::{BLOCK_SIZE, ByteSize, ParseError};
use std::{fmt, path::Path, str::FromStr};

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// QEMU's format.
    Qcow2,
    /// The disk's bytes, sparse.
    Raw,
    /// VMware's.
    Vmdk,
    /// Virtual PC's and Azure's.
    Vhd,
    /// Hyper-V's.
    Vhdx,
    /// A VMDK with its description in an archive: what VMware and VirtualBox import.
    Ova,
    /// `disk.raw` in a tar.gz: what Google Compute Engine imports.
    Gce,
}

impl Kind {
    /// Every format, in the order in which they are listed to people.
    pub const ALL: [Self; 7] =
        [Self::Qcow2, Self::Raw, Self::Vmdk, Self::Vhd, Self::Vhdx, Self::Ova, Self::Gce];

    /// Returns the word that people use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Ova => "ova",
            Self::Gce => "gce",
        }
    }

    /// Tells by a file's name what it is meant to be; qcow2 where the name does not say.
    #[must_use]
    pub fn by_ending(path: &Path) -> Self {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending {
            "raw" | "img" => Self::Raw,
            "vmdk" => Self::Vmdk,
            "vhd" | "vpc" => Self::Vhd,
            "vhdx" => Self::Vhdx,
            "ova" => Self::Ova,
            "gz" | "tgz" => Self::Gce,
            _ => Self::Qcow2,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| ParseError {
            text: text.to_owned(),
            what: "an export's format",
            why: "expected qcow2, raw, vmdk, vhd, vhdx, ova or gce".to_owned(),
        })
    }
}

/// How a qcow2's clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compress {
    /// zstd: QEMU 5.1 and later.
    #[default]
    Zstd,
    /// deflate: every QEMU, and most else that reads qcow2.
    Zlib,
    /// Not at all.
    None,
}

/// A qcow2 file. By default its clusters are the region's frames, copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qcow2 {
    /// The size of a cluster, as a power of two; no more than a block.
    pub cluster_bits: u32,
    /// How clusters are compressed.
    pub compress: Compress,
    /// The version of the format.
    pub version: Version,
    /// Of an incremental export: the file that holds the parent's disk.
    pub parent: Option<Backing>,
}

impl Default for Qcow2 {
    fn default() -> Self {
        Self {
            cluster_bits: BLOCK_SIZE.trailing_zeros(),
            compress: Compress::Zstd,
            version: Version::V3,
            parent: None,
        }
    }
}

/// How a VMDK lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Vmdk {
    /// Compressed, to be read in order: what vSphere imports.
    #[default]
    StreamOptimized,
    /// Uncompressed, to be run from: what Workstation and VirtualBox write.
    Sparse,
}

/// How a VHD lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Vhd {
    /// It has the blocks that hold data.
    #[default]
    Dynamic,
    /// The disk's bytes and a footer: what Azure takes.
    Fixed,
}

/// What a file is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// QEMU's format.
    Qcow2(Qcow2),
    /// The disk's bytes.
    Raw,
    /// VMware's.
    Vmdk(Vmdk),
    /// Virtual PC's and Azure's; the disk grows to whole MiB, which Azure wants.
    Vhd(Vhd),
    /// Hyper-V's.
    Vhdx,
    /// An archive of a description and a VMDK.
    Ova(Machine),
    /// A tar.gz; the disk grows to whole GiB, which Google wants.
    Gce,
}

/// What people can choose, as they write it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Of qcow2: `zstd`, `zlib` or `none`.
    pub compression: Option<String>,
    /// Of qcow2: a power of two.
    pub cluster_size: Option<ByteSize>,
    /// Of qcow2: version 2 or 3.
    pub compat: Option<String>,
    /// Of vmdk: `stream-optimized` or `sparse`; of vhd: `dynamic` or `fixed`.
    pub subformat: Option<String>,
    /// Of qcow2: the file that holds the parent's disk, as it is to be named in the overlay.
    pub incremental: Option<String>,
    /// Of ova: what the description says of the machine.
    pub machine: Machine,
}

impl Target {
    /// Makes a target of what was chosen.
    ///
    /// # Errors
    /// [`Error::Option`] when an option does not belong to the format, or its value is not known.
    pub fn new(kind: Kind, options: Options) -> Result<Self, Error> {
        let Options { compression, cluster_size, compat, subformat, incremental, machine } = options;
        let chosen = [
            ("compression", compression.is_some(), Kind::Qcow2),
            ("cluster size", cluster_size.is_some(), Kind::Qcow2),
            ("compat", compat.is_some(), Kind::Qcow2),
            ("incremental", incremental.is_some(), Kind::Qcow2),
        ];
        for (name, is_there, of) in chosen {
            if is_there && kind != of {
                return Err(wrong(name, format!("{kind} has none; {of} has")));
            }
        }
        Ok(match (kind, subformat.as_deref()) {
            (Kind::Qcow2, None) => {
                Self::Qcow2(qcow2(compression.as_deref(), cluster_size, compat.as_deref(), incremental)?)
            }
            (Kind::Raw, None) => Self::Raw,
            (Kind::Vmdk, None | Some("stream-optimized")) => Self::Vmdk(Vmdk::StreamOptimized),
            (Kind::Vmdk, Some("sparse")) => Self::Vmdk(Vmdk::Sparse),
            (Kind::Vhd, None | Some("dynamic")) => Self::Vhd(Vhd::Dynamic),
            (Kind::Vhd, Some("fixed")) => Self::Vhd(Vhd::Fixed),
            (Kind::Vhdx, None) => Self::Vhdx,
            (Kind::Ova, None) => Self::Ova(machine),
            (Kind::Gce, None) => Self::Gce,
            (_, Some(word)) => {
                let known = "vmdk has stream-optimized and sparse, vhd has dynamic and fixed";
                return Err(wrong("subformat", format!("{kind} has no `{word}`; {known}")));
            }
        })
    }

    /// Returns the format.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Qcow2(_) => Kind::Qcow2,
            Self::Raw => Kind::Raw,
            Self::Vmdk(_) => Kind::Vmdk,
            Self::Vhd(_) => Kind::Vhd,
            Self::Vhdx => Kind::Vhdx,
            Self::Ova(_) => Kind::Ova,
            Self::Gce => Kind::Gce,
        }
    }

    /// Returns the size that a volume gets in the file: formats other than raw have whole sectors, and clouds want more.
    #[must_use]
    pub fn volume_size(&self, size: u64) -> u64 {
        match self {
            Self::Raw => size,
            Self::Qcow2(_) | Self::Vmdk(_) | Self::Vhdx | Self::Ova(_) => size.next_multiple_of(512),
            Self::Vhd(_) => size.next_multiple_of(1 << 20),
            Self::Gce => size.next_multiple_of(1 << 30),
        }
    }
}

fn qcow2(
    compression: Option<&str>,
    cluster_size: Option<ByteSize>,
    compat: Option<&str>,
    incremental: Option<String>,
) -> Result<Qcow2, Error> {
    let version = match compat {
        None | Some("1.1") => Version::V3,
        Some("0.10") => Version::V2,
        Some(word) => return Err(wrong("compat", format!("`{word}` is neither 0.10 nor 1.1"))),
    };
    let compress = match (compression, version) {
        (Some("zstd"), Version::V3) | (None, Version::V3) => Compress::Zstd,
        (Some("zlib"), _) | (None, Version::V2) => Compress::Zlib,
        (Some("none"), _) => Compress::None,
        (Some("zstd"), Version::V2) => {
            return Err(wrong("compression", "compat 0.10 has no zstd".to_owned()));
        }
        (Some(word), _) => return Err(wrong("compression", format!("`{word}` is not zstd, zlib or none"))),
    };
    // What programs that know neither zstd nor Kiln expect.
    let usual = if compress == Compress::Zstd { BLOCK_SIZE } else { 64 << 10 };
    let cluster = cluster_size.map_or(usual, ByteSize::bytes);
    if !cluster.is_power_of_two() || !(4096..=BLOCK_SIZE).contains(&cluster) {
        let why = format!("{} is no power of two from 4KiB to 512KiB", ByteSize::from_bytes(cluster));
        return Err(wrong("cluster size", why));
    }
    let parent = match incremental {
        None => None,
        Some(_) if version == Version::V2 => {
            return Err(wrong("incremental", "compat 0.10 cannot say that a cluster is zeros".to_owned()));
        }
        Some(name) if name.is_empty() || name.len() > 1023 => {
            return Err(wrong("incremental", "a file's name has 1 to 1023 bytes".to_owned()));
        }
        Some(name) => Some(Backing { format: backing_format(&name)?, name }),
    };
    Ok(Qcow2 { cluster_bits: cluster.trailing_zeros(), compress, version, parent })
}

/// Readers must not guess the format of a backing file, and QEMU takes any.
fn backing_format(name: &str) -> Result<Format, Error> {
    match Kind::by_ending(Path::new(name)) {
        Kind::Qcow2 => Ok(Format::Qcow2),
        Kind::Raw => Ok(Format::Raw),
        Kind::Vmdk => Ok(Format::Vmdk),
        Kind::Vhdx => Ok(Format::Vhdx),
        // Their disks may be larger than the parent's volume.
        kind => Err(wrong("incremental", format!("a {kind} cannot be the parent's file"))),
    }
}

fn wrong(option: &'static str, why: String) -> Error {
    Error::Option { option, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: Kind, options: Options) -> Result<Target, String> {
        Target::new(kind, options).map_err(|error| error.to_string())
    }

    #[test]
    fn endings() {
        for (name, kind) in [("a/disk.vhd", Kind::Vhd), ("disk.img", Kind::Raw), ("disk", Kind::Qcow2)] {
            assert_eq!(Kind::by_ending(Path::new(name)), kind);
        }
        assert_eq!(Kind::by_ending(Path::new("image.tar.gz")), Kind::Gce);
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
    }

    #[test]
    fn options_belong_to_formats() {
        let zlib = || Options { compression: Some("zlib".to_owned()), ..Options::default() };
        let plain = Qcow2 { compress: Compress::Zlib, cluster_bits: 16, ..Qcow2::default() };
        assert_eq!(target(Kind::Qcow2, zlib()), Ok(Target::Qcow2(plain)));
        assert!(target(Kind::Raw, zlib()).is_err());
        let fixed = || Options { subformat: Some("fixed".to_owned()), ..Options::default() };
        assert_eq!(target(Kind::Vhd, fixed()), Ok(Target::Vhd(Vhd::Fixed)));
        assert!(target(Kind::Vmdk, fixed()).is_err_and(|error| error.contains("stream-optimized")));
        let old = |compression: &str| Options {
            compat: Some("0.10".to_owned()),
            compression: Some(compression.to_owned()),
            ..Options::default()
        };
        assert!(target(Kind::Qcow2, old("zstd")).is_err());
        assert!(target(Kind::Qcow2, old("none")).is_ok());
        for bytes in [0, 2048, 5000, 1 << 20] {
            let size = Options { cluster_size: Some(ByteSize::from_bytes(bytes)), ..Options::default() };
            assert!(target(Kind::Qcow2, size).is_err(), "{bytes}");
        }
        let over = |name: &str| Options { incremental: Some(name.to_owned()), ..Options::default() };
        assert!(target(Kind::Qcow2, over("base.qcow2")).is_ok());
        assert!(target(Kind::Qcow2, over("base.vhd")).is_err(), "its disk may be larger than the volume");
        assert!(target(Kind::Qcow2, over("")).is_err());
    }

    #[test]
    fn sizes_that_clouds_take() {
        assert_eq!(Target::Vhd(Vhd::Fixed).volume_size((4 << 30) + 512), (4 << 30) + (1 << 20));
        assert_eq!(Target::Gce.volume_size(1), 1 << 30);
        assert_eq!(Target::Vhdx.volume_size(513), 1024);
        assert_eq!(Target::Raw.volume_size(513), 513);
    }
}

//! Which file system starts here, by its magic bytes, and what it calls itself.
//!
//! ```text
//! ext4   1080  53 EF             UUID 1128   label 1144 (16)
//! FAT     510  55 AA, "FAT1" at 54 or "FAT32" at 82      serial 39 or 67   label 43 or 71 (11)
//! XFS       0  "XFSB"            UUID 32     label 108 (12)
//! Btrfs 65600  "_BHRfS_M"        UUID 65568  label 65835 (256)
//! LUKS      0  "LUKS" BA BE      UUID 168 as text (40)
//! LVM     512  "LABELONE", "LVM2 001" at 536
//! swap   4086  "SWAPSPACE2"      UUID 1036   label 1052 (16)
//! ```

use crate::region::Region;
use std::{fmt, io};

/// What a partition's first bytes say it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileSystem {
    /// ext2, ext3 or ext4.
    Ext4,
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// An encrypted LUKS container.
    Luks,
    /// An LVM physical volume.
    Lvm,
    /// Swap space.
    Swap,
}

impl FileSystem {
    /// Returns the name that `mount` and fstab use (`blkid`'s for what cannot be mounted).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Vfat => "vfat",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Luks => "crypto_LUKS",
            Self::Lvm => "LVM2_member",
            Self::Swap => "swap",
        }
    }
}

impl FileSystem {
    /// Returns the kernel's modules that mount it, as [`crate::KernelTree::modules`] takes them.
    #[must_use]
    pub const fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["ext4"],
            // The tables of characters that kernels have for their default.
            Self::Vfat => &["vfat", "nls_cp437?", "nls_iso8859-1?", "nls_ascii?", "nls_utf8?"],
            Self::Xfs => &["xfs"],
            Self::Btrfs => &["btrfs"],
            Self::Luks | Self::Lvm | Self::Swap => &[],
        }
    }
}

/// As in a sentence: `an XFS file system`.
impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 => "an ext4 file system",
            Self::Vfat => "a FAT file system",
            Self::Xfs => "an XFS file system",
            Self::Btrfs => "a Btrfs file system",
            Self::Luks => "an encrypted LUKS container",
            Self::Lvm => "an LVM physical volume",
            Self::Swap => "swap space",
        })
    }
}

/// What was recognised.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Probe {
    pub(super) filesystem: Option<FileSystem>,
    pub(super) uuid: Option<String>,
    pub(super) label: Option<String>,
}

impl Probe {
    /// Looks at the first bytes of a partition or disk; `None` when nothing is known about them.
    pub(super) fn of(region: &Region) -> io::Result<Option<Self>> {
        let head = region.peek::<8192>(0)?;
        if let Some(probe) = Self::of_head(&head) {
            return Ok(Some(probe));
        }
        let btrfs = region.peek::<1024>(65536)?;
        let found = &btrfs[64..72] == b"_BHRfS_M";
        Ok(found.then(|| Self::new(FileSystem::Btrfs, uuid(&btrfs[32..48]), text(&btrfs[299..555]))))
    }

    fn of_head(head: &[u8; 8192]) -> Option<Self> {
        let fat16 = head[54..].starts_with(b"FAT1");
        let fat32 = head[82..].starts_with(b"FAT32");
        if head.starts_with(b"XFSB") {
            Some(Self::new(FileSystem::Xfs, uuid(&head[32..48]), text(&head[108..120])))
        } else if head.starts_with(b"LUKS\xba\xbe") {
            Some(Self::new(FileSystem::Luks, text(&head[168..208]), None))
        } else if head[512..].starts_with(b"LABELONE") && head[536..].starts_with(b"LVM2 001") {
            Some(Self::new(FileSystem::Lvm, None, None))
        } else if head[4086..].starts_with(b"SWAPSPACE2") {
            Some(Self::new(FileSystem::Swap, uuid(&head[1036..1052]), text(&head[1052..1068])))
        } else if head[1080..1082] == [0x53, 0xef] {
            Some(Self::new(FileSystem::Ext4, uuid(&head[1128..1144]), text(&head[1144..1160])))
        } else if head[510..512] == [0x55, 0xaa] && (fat16 || fat32) {
            let at = if fat32 { 67 } else { 39 };
            let label = text(&head[at + 4..at + 15]).filter(|label| label != "NO NAME");
            Some(Self::new(FileSystem::Vfat, serial(&head[at..at + 4]), label))
        } else {
            None
        }
    }

    fn new(filesystem: FileSystem, uuid: Option<String>, label: Option<String>) -> Self {
        Self { filesystem: Some(filesystem), uuid, label }
    }
}

/// Sixteen bytes as `8-4-4-4-12` digits; none when all are zero.
fn uuid(bytes: &[u8]) -> Option<String> {
    if bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    let digits = |range: std::ops::Range<usize>| -> String {
        bytes[range].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    Some([0..4, 4..6, 6..8, 8..10, 10..16].map(digits).join("-"))
}

/// FAT's serial number as `1A2B-3C4D`.
fn serial(bytes: &[u8]) -> Option<String> {
    let [a, b, c, d] = *bytes.first_chunk()?;
    Some(format!("{d:02X}{c:02X}-{b:02X}{a:02X}"))
}

/// Text padded with zeros or spaces; none when empty.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

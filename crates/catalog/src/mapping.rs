//! Block device mappings: which volume is seen under which device name.

use kiln_types::{DeviceName, SnapshotId};
use serde::{Deserialize, Serialize, de::IntoDeserializer};
use std::{fmt, str::FromStr};

/// One device of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BlockDeviceMapping {
    /// The name that the device is known by.
    pub device_name: DeviceName,
    /// What lies behind it.
    #[serde(flatten)]
    pub device: BlockDevice,
}

/// What lies behind a device name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockDevice {
    /// A volume made at launch.
    Ebs(EbsBlockDevice),
    /// An instance store volume, `ephemeral0` to `ephemeral23`.
    VirtualName(String),
    /// No device: hides one that would be there; the text is empty.
    NoDevice(String),
}

impl BlockDevice {
    /// Returns the snapshot that the device is made from, if it is.
    #[must_use]
    pub const fn snapshot(&self) -> Option<SnapshotId> {
        match self {
            Self::Ebs(ebs) => ebs.snapshot_id,
            Self::VirtualName(_) | Self::NoDevice(_) => None,
        }
    }
}

/// A volume made at launch, from a snapshot or empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EbsBlockDevice {
    /// The snapshot that the volume is made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<SnapshotId>,
    /// The volume's size in GiB, at least the snapshot's.
    pub volume_size: u32,
    /// The kind of volume.
    pub volume_type: VolumeType,
    /// Operations a second, where the kind asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iops: Option<u32>,
    /// MiB a second, where the kind asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<u32>,
    /// Whether the volume goes away with the instance.
    pub delete_on_termination: bool,
    /// Always false: Kiln does not encrypt.
    pub encrypted: bool,
}

/// EC2's kinds of volume; locally all are files, and the word is kept for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeType {
    /// EC2's default in an image record (captured: a minimal RegisterImage answers gp2).
    #[default]
    Gp2,
    /// General purpose, third generation.
    Gp3,
    /// Provisioned operations.
    Io1,
    /// Provisioned operations, second generation.
    Io2,
    /// Throughput-optimised.
    St1,
    /// Cold.
    Sc1,
    /// Magnetic.
    Standard,
}

impl fmt::Display for VolumeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gp2 => "gp2",
            Self::Gp3 => "gp3",
            Self::Io1 => "io1",
            Self::Io2 => "io2",
            Self::St1 => "st1",
            Self::Sc1 => "sc1",
            Self::Standard => "standard",
        })
    }
}

impl FromStr for VolumeType {
    type Err = serde::de::value::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::deserialize(IntoDeserializer::<Self::Err>::into_deserializer(text))
    }
}

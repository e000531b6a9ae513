//! What a registration asks for.

use crate::{BootMode, ImageKiln, Tag, TpmSupport, VolumeType};
use kiln_types::{AccountId, Architecture, DeviceName, ImageName, SnapshotId};

/// An image to be registered.
#[derive(Debug, Clone)]
pub struct NewImage {
    /// The name, unique per owner and region.
    pub name: ImageName,
    /// What it is, for people.
    pub description: Option<String>,
    /// The account that will own it.
    pub owner: AccountId,
    /// The processor architecture.
    pub architecture: Architecture,
    /// The device of the root volume; one of `mappings`.
    pub root_device_name: DeviceName,
    /// The devices.
    pub mappings: Vec<NewMapping>,
    /// How it boots, where it cannot do both.
    pub boot_mode: Option<BootMode>,
    /// The TPM that it is launched with.
    pub tpm_support: Option<TpmSupport>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// What Kiln knows of its making.
    pub kiln: ImageKiln,
}

/// One device of an image to be registered.
#[derive(Debug, Clone)]
pub struct NewMapping {
    /// The name that the device is known by.
    pub device_name: DeviceName,
    /// What lies behind it.
    pub device: NewBlockDevice,
}

impl NewMapping {
    /// A volume from a snapshot, all else as EC2 has it by default.
    #[must_use]
    pub fn from_snapshot(device_name: DeviceName, snapshot: SnapshotId) -> Self {
        let ebs = NewEbs { snapshot_id: Some(snapshot), ..NewEbs::default() };
        Self { device_name, device: NewBlockDevice::Ebs(ebs) }
    }
}

/// What lies behind a device name, as asked for.
#[derive(Debug, Clone)]
pub enum NewBlockDevice {
    /// A volume made at launch.
    Ebs(NewEbs),
    /// An instance store volume, `ephemeral0` to `ephemeral23`.
    VirtualName(String),
    /// No device.
    NoDevice,
}

/// A volume as asked for; what is left out takes EC2's default.
#[derive(Debug, Clone)]
pub struct NewEbs {
    /// The snapshot that the volume is made from.
    pub snapshot_id: Option<SnapshotId>,
    /// The size in GiB; the snapshot's where left out.
    pub volume_size: Option<u32>,
    /// The kind of volume.
    pub volume_type: VolumeType,
    /// Operations a second, where the kind asks for them.
    pub iops: Option<u32>,
    /// MiB a second, where the kind asks for them.
    pub throughput: Option<u32>,
    /// Whether the volume goes away with the instance; true by default.
    pub delete_on_termination: bool,
}

impl Default for NewEbs {
    fn default() -> Self {
        Self {
            snapshot_id: None,
            volume_size: None,
            volume_type: VolumeType::default(),
            iops: None,
            throughput: None,
            delete_on_termination: true,
        }
    }
}

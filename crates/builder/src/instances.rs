//! Instances: machines made from images, which outlive the command that launched them.
//!
//! ```text
//! instances/i-…/instance.json          the record
//!               lock                   held by whoever keeps the machine, or changes what lies here
//!               status.json            what the keeper said last; true while the lock is held
//!               control                the keeper's socket
//!               vol-….raw              the snapshot's disk, a link of the cache's; only read
//!               vol-….qcow2            what the guest wrote; vol-…-1.qcow2 after an image was made while it ran
//!               seed.iso               the NoCloud seed
//!               key, key.pub           what its owner gets in with
//!               known_hosts            the guest's host key
//!               user-data              what its owner gave it, where it did
//!               uefi-variables.fd tpm/ what firmware and TPM keep
//!               console.log qemu.log keeper.log
//! ```
//! A process of its own keeps the machine: a hidden command, in a session of its own, that ends with the machine. Nothing else
//! says that an instance runs but that it holds the lock, which dies with it: an instance is found again after any crash.

mod control;
mod create_image;
mod describe;
mod error;
mod files;
mod keeper;
mod launch;
mod metadata;
mod volumes;
mod wait;

pub use create_image::CreateImageRequest;
pub use describe::{Described, InstanceState, StateName};
pub use error::InstanceError;
pub use files::{InstanceFiles, SshAccess};
pub use keeper::Keeper;
pub use launch::LaunchRequest;
pub use metadata::{METADATA, serve_metadata};

use kiln_catalog::{BootMode, StateReason, Tag};
use kiln_template::{Firmware, Machine};
use kiln_types::{
    AccountId, Architecture, ByteSize, DeviceName, ImageId, InstanceId, RegionName, SnapshotId, Timestamp,
    VolumeId,
};
use serde::{Deserialize, Serialize};

/// The port of the guest that `kiln instance ssh` reaches.
pub(crate) const SSH: u16 = 22;

/// An instance's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Instance {
    /// The id.
    pub instance_id: InstanceId,
    /// The image that it was made from.
    pub image_id: ImageId,
    /// The region of the image.
    pub region_name: RegionName,
    /// The account that launched it.
    pub owner_id: AccountId,
    /// When it was launched.
    pub launch_time: Timestamp,
    /// The processor architecture.
    pub architecture: Architecture,
    /// Virtual processors.
    pub cpus: u8,
    /// Bytes of memory.
    pub memory: u64,
    /// How the image boots, where it cannot do both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_mode: Option<BootMode>,
    /// Whether it has a TPM.
    pub tpm: bool,
    /// The device of the root volume.
    pub root_device_name: DeviceName,
    /// The volumes, in the guest's order; the root is the first.
    pub volumes: Vec<Volume>,
    /// Ports of the guest that are reached through ports of this host.
    pub ports: Vec<Port>,
    /// How often its disks got overlays since its machine started.
    #[serde(skip)]
    pub(crate) generations: usize,
    /// Whether its guest is told about itself at 169.254.169.254.
    #[serde(default)]
    pub metadata: bool,
    /// Whether it is terminated when its guest turns itself off.
    pub terminates_when_off: bool,
    /// Tags; `Name` is its name.
    pub tags: Vec<Tag>,
    /// When it was terminated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub termination_time: Option<Timestamp>,
    /// Why it does not run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state_reason: Option<StateReason>,
}

/// A volume of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// The id; the guest finds the disk by it, without its hyphen.
    pub volume_id: VolumeId,
    /// The device's name in the mapping.
    pub device_name: DeviceName,
    /// The snapshot that it was made from; none for a blank one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub snapshot_id: Option<SnapshotId>,
    /// Its size in bytes.
    pub size: u64,
    /// The overlays that lie on it, at least one; the last takes the writes.
    pub overlays: u32,
    /// Whether it goes away with the instance; a snapshot is made of it otherwise.
    pub delete_on_termination: bool,
    /// Whether it is an instance store volume, which no image is made with.
    #[serde(default)]
    pub ephemeral: bool,
}

/// A TCP port of the guest that a port of this host's loopback address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Port {
    /// The host's; chosen at each start where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<u16>,
    /// The guest's.
    pub guest: u16,
}

impl Instance {
    /// Returns the name, where it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.tags.iter().find(|tag| tag.key == "Name").map(|tag| tag.value.as_str())
    }

    /// Describes its machine as a template would.
    pub(crate) fn machine(&self) -> Machine {
        let firmware = match self.boot_mode {
            Some(BootMode::Uefi | BootMode::UefiPreferred) => Firmware::Uefi,
            // Arm has no other.
            _ if self.architecture == Architecture::Arm64 => Firmware::Uefi,
            Some(BootMode::LegacyBios) | None => Firmware::Bios,
        };
        Machine {
            cpus: self.cpus,
            memory: ByteSize::from_bytes(self.memory),
            architecture: self.architecture,
            firmware,
            tpm: self.tpm,
            ..Machine::default()
        }
    }
}

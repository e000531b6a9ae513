//! What a registration asks for.

use crate::{BlockDevice, BlockDeviceMapping, BootMode, Error, ImageKiln, Tag, TpmSupport, VolumeType};
use kiln_types::{AccountId, Architecture, DeviceName, ImageName, ParseError, SnapshotId};
use std::str::FromStr;

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

/// The bundle that an instance-store image's root is made from at every launch.
#[derive(Debug, Clone)]
pub struct NewBundle {
    /// Where its manifest lies: `bucket/prefix.manifest.xml`.
    pub location: String,
    /// The kernel of paravirtual machines.
    pub kernel_id: Option<String>,
    /// The RAM disk of paravirtual machines.
    pub ramdisk_id: Option<String>,
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

impl From<BlockDeviceMapping> for NewMapping {
    /// The device of an image that exists, for another.
    fn from(mapping: BlockDeviceMapping) -> Self {
        let device = match mapping.device {
            BlockDevice::Ebs(ebs) => NewBlockDevice::Ebs(NewEbs {
                snapshot_id: ebs.snapshot_id,
                volume_size: Some(ebs.volume_size),
                volume_type: ebs.volume_type,
                iops: ebs.iops,
                throughput: ebs.throughput,
                delete_on_termination: ebs.delete_on_termination,
            }),
            BlockDevice::VirtualName(name) => NewBlockDevice::VirtualName(name),
            BlockDevice::NoDevice(_) => NewBlockDevice::NoDevice,
        };
        Self { device_name: mapping.device_name, device }
    }
}

impl FromStr for NewMapping {
    type Err = Error;

    /// Reads a mapping as EC2's tools take it: `DEVICE=[SNAPSHOT]:[GIB]:[true|false]:[TYPE]:[IOPS]:[THROUGHPUT]`, where what
    /// is left out has its default, `DEVICE=ephemeral0`, or `DEVICE=none`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::MappingMalformed { text: text.to_owned(), why: why.to_owned() };
        let (name, what) = text.split_once('=').ok_or_else(|| bad("expected DEVICE=…"))?;
        let device_name: DeviceName = name.parse().map_err(|error: ParseError| bad(&error.why))?;
        if what == "none" {
            return Ok(Self { device_name, device: NewBlockDevice::NoDevice });
        }
        if what.starts_with("ephemeral") {
            return Ok(Self { device_name, device: NewBlockDevice::VirtualName(what.to_owned()) });
        }
        let mut parts = what.split(':');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let snapshot_id = part().map(str::parse).transpose().map_err(|error: ParseError| bad(&error.why))?;
        let number = |part: Option<&str>, what: &str| {
            part.map(|part| part.parse::<u32>().map_err(|_not_one| bad(what))).transpose()
        };
        let volume_size = number(part(), "the size is a number of GiB")?;
        let delete_on_termination = match part() {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(bad("true or false says whether the volume is deleted with its instance")),
        };
        let volume_type = match part() {
            None => VolumeType::default(),
            Some(word) => word.parse().map_err(|_not_one| bad("no such volume type"))?,
        };
        let iops = number(part(), "the operations a second are a number")?;
        let throughput = number(part(), "the throughput is a number of MiB a second")?;
        if parts.next().is_some() {
            return Err(bad("too many colons"));
        }
        let ebs = NewEbs { snapshot_id, volume_size, volume_type, iops, throughput, delete_on_termination };
        Ok(Self { device_name, device: NewBlockDevice::Ebs(ebs) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_read_as_ec2s_tools_take_it() {
        let snapshot = "snap-0123456789abcdef0";
        let mapping: NewMapping = format!("/dev/sdf={snapshot}:8:false:gp3:3000:125").parse().unwrap();
        let NewBlockDevice::Ebs(ebs) = mapping.device else { panic!("{mapping:?}") };
        assert_eq!(ebs.snapshot_id.map(|id| id.to_string()).as_deref(), Some(snapshot));
        assert_eq!(
            (ebs.volume_size, ebs.delete_on_termination, ebs.volume_type),
            (Some(8), false, VolumeType::Gp3)
        );
        assert_eq!((ebs.iops, ebs.throughput), (Some(3000), Some(125)));
        let mapping: NewMapping = "sdb=:10".parse().unwrap();
        assert!(matches!(
            mapping.device,
            NewBlockDevice::Ebs(NewEbs { snapshot_id: None, volume_size: Some(10), .. })
        ));
        assert!(matches!("sdb=none".parse::<NewMapping>().unwrap().device, NewBlockDevice::NoDevice));
        assert!(matches!(
            "sdb=ephemeral1".parse::<NewMapping>().unwrap().device,
            NewBlockDevice::VirtualName(_)
        ));
        for text in [
            "sdb",
            "x=:1",
            "sdb=snap-1",
            "sdb=:x",
            "sdb=:1:maybe",
            "sdb=:1:true:gp9",
            "sdb=:1:true:gp2:1:1:1",
        ] {
            assert_eq!(text.parse::<NewMapping>().unwrap_err().code(), "InvalidBlockDeviceMapping", "{text}");
        }
    }
}

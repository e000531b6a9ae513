//! OVA: an archive of the description (OVF 1.0, DMTF DSP0243), its manifest, and a stream-optimised VMDK.
//!
//! ```text
//! NAME.ovf    what the machine needs; names the disk
//! NAME.mf     SHA-256 of both
//! NAME.vmdk
//! ```
//! The description stands first, as the standard wants it, so that a reader knows the machine before the disk comes.

use crate::{
    file::{HashedFile, Written},
    staged::Staged,
};
use kiln_types::{Architecture, Digest};
use sha2::{Digest as _, Sha256};
use std::{fmt::Write, fs::File, io};

/// The files' names in the archive, without their ending.
const STEM: &str = "disk";

/// What a description says of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The machine's name.
    pub name: String,
    /// The processor that the disk is for.
    pub architecture: Architecture,
    /// Whether it boots by UEFI.
    pub uefi: bool,
    /// Processors that an importer gives it at first.
    pub cpus: u32,
    /// Memory that an importer gives it at first, in MiB.
    pub memory_mib: u32,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            name: "kiln".to_owned(),
            architecture: Architecture::X86_64,
            uefi: false,
            cpus: 2,
            memory_mib: 2048,
        }
    }
}

/// Writes the archive of a converted disk into a staged file.
pub(crate) fn write(
    machine: &Machine,
    disk: &Staged,
    disk_written: &Written,
    volume: u64,
    archive: File,
    sha256: bool,
) -> io::Result<Written> {
    let ovf = description(machine, disk_written.size, volume);
    let digest = Digest::from_bytes(Sha256::digest(ovf.as_bytes()).into());
    let disk_digest = disk_written.sha256.ok_or_else(|| io::Error::other("the disk was not hashed"))?;
    let manifest = format!("SHA256({STEM}.ovf)= {digest}\nSHA256({STEM}.vmdk)= {disk_digest}\n");
    let mut tar = tar::Builder::new(HashedFile::new(archive, sha256));
    for (ending, bytes) in [("ovf", ovf.as_bytes()), ("mf", manifest.as_bytes())] {
        let size = u64::try_from(bytes.len()).map_err(io::Error::other)?;
        tar.append_data(&mut member(size), format!("{STEM}.{ending}"), bytes)?;
    }
    tar.append_data(&mut member(disk_written.size), format!("{STEM}.vmdk"), disk.open_raw()?)?;
    tar.into_inner()?.finish()
}

fn member(size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(size);
    header
}

/// The number of a Linux in CIM_OperatingSystem, which importers choose their defaults by.
const fn system(architecture: Architecture) -> (u32, &'static str) {
    match architecture {
        Architecture::X86_64 => (101, "otherLinux64Guest"),
        Architecture::Arm64 => (101, "arm-other-64"),
        Architecture::I386 => (36, "otherLinuxGuest"),
    }
}

/// Hardware that every importer has and every Linux drives: AHCI and E1000.
fn description(machine: &Machine, file: u64, volume: u64) -> String {
    let (system, vmware) = system(machine.architecture);
    let name = escaped(&machine.name);
    let items = items(machine);
    let firmware = if machine.uefi {
        "<vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"efi\"/>"
    } else {
        ""
    };
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:id="file1" ovf:href="{STEM}.vmdk" ovf:size="{file}"/>
  </References>
  <DiskSection>
    <Info>The disk</Info>
    <Disk ovf:diskId="disk1" ovf:fileRef="file1" ovf:capacity="{volume}" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>The network</Info>
    <Network ovf:name="network"><Description>The network</Description></Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="{system}" vmw:osType="{vmware}">
      <Info>The operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>What the machine needs</Info>
      <System><vssd:ElementName>Virtual hardware</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier><vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType></System>
{items}      {firmware}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
    )
}

/// The machine's parts; inside one, elements stand in the alphabet's order, as the schema has them.
fn items(machine: &Machine) -> String {
    let (cpus, memory) = (machine.cpus, machine.memory_mib);
    let parts = [
        vec![
            ("AllocationUnits", "hertz * 10^6".to_owned()),
            ("ElementName", "processors".to_owned()),
            ("InstanceID", "1".to_owned()),
            ("ResourceType", "3".to_owned()),
            ("VirtualQuantity", cpus.to_string()),
        ],
        vec![
            ("AllocationUnits", "byte * 2^20".to_owned()),
            ("ElementName", "memory".to_owned()),
            ("InstanceID", "2".to_owned()),
            ("ResourceType", "4".to_owned()),
            ("VirtualQuantity", memory.to_string()),
        ],
        vec![
            ("Address", "0".to_owned()),
            ("ElementName", "SATA controller".to_owned()),
            ("InstanceID", "3".to_owned()),
            ("ResourceSubType", "AHCI".to_owned()),
            ("ResourceType", "20".to_owned()),
        ],
        vec![
            ("AddressOnParent", "0".to_owned()),
            ("ElementName", "disk".to_owned()),
            ("HostResource", "ovf:/disk/disk1".to_owned()),
            ("InstanceID", "4".to_owned()),
            ("Parent", "3".to_owned()),
            ("ResourceType", "17".to_owned()),
        ],
        vec![
            ("AddressOnParent", "1".to_owned()),
            ("AutomaticAllocation", "true".to_owned()),
            ("Connection", "network".to_owned()),
            ("ElementName", "network".to_owned()),
            ("InstanceID", "5".to_owned()),
            ("ResourceSubType", "E1000".to_owned()),
            ("ResourceType", "10".to_owned()),
        ],
    ];
    let mut text = String::new();
    for part in parts {
        text.push_str("      <Item>");
        for (name, value) in part {
            write!(text, "<rasd:{name}>{value}</rasd:{name}>").expect("a string takes what is written");
        }
        text.push_str("</Item>\n");
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

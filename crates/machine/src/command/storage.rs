//! Disks and media as QEMU's block nodes and devices.
//!
//! ```text
//! disk0-base-file ── disk0-base (raw) ◀── disk0-layer0 (qcow2) ◀── … ◀── disk0 (qcow2, takes the writes)
//! medium0-file ── medium0 (raw, read-only)
//! ```
//! Overlays are thrown away when anything dies, so the guest's flushes need not reach the host's disk; the snapshot that
//! is made of them is what gets synced. A full host disk stops the guest, which then is told as what it is.

use super::Arguments;
use crate::config::{Boot, Disk, Interface, MachineConfig, Medium, MediumKind};
use kiln_types::Architecture;
use serde_json::{Value, json};
use std::path::Path;

/// Adds every disk and every medium. Firmware tries the first disk, then the media that boot: an empty disk is passed over.
pub(super) fn arguments(args: &mut Arguments, config: &MachineConfig) {
    // A kernel given from outside takes the first place of the boot order itself.
    let firmware = !matches!(config.boot, Boot::Kernel { .. });
    let mut boots = 0;
    let mut next_boot = |wanted: bool| {
        let index = boots;
        boots += i32::from(wanted && firmware);
        (wanted && firmware).then(|| json!(index))
    };
    let mut ports = SataPorts::default();
    for (number, disk) in config.disks.iter().enumerate() {
        for node in disk_nodes(number, disk) {
            args.add(["-blockdev", &node.to_string()]);
        }
        let mut device = disk_device(number, disk);
        if disk.interface == Interface::Sata {
            device["bus"] = json!(ports.next(args, config.architecture));
        }
        if let Some(index) = next_boot(number == 0) {
            device["bootindex"] = index;
        }
        args.add(["-device", &device.to_string()]);
    }
    let mut floppies = 0;
    for (number, medium) in config.media.iter().enumerate() {
        let mut device = medium_arguments(args, number, medium);
        match medium.kind {
            MediumKind::Cdrom => device["bus"] = json!(ports.next(args, config.architecture)),
            MediumKind::Floppy => {
                if floppies == 0 {
                    args.add(["-device", "isa-fdc,id=floppies"]);
                }
                device["bus"] = json!("floppies.0");
                device["unit"] = json!(floppies);
                floppies += 1;
            }
            MediumKind::Disk => {}
        }
        if let Some(index) = next_boot(medium.boots) {
            device["bootindex"] = index;
        }
        args.add(["-device", &device.to_string()]);
    }
}

/// The ports of the SATA controllers, six each: x86's machine has one, others get theirs here.
#[derive(Default)]
struct SataPorts(usize);

impl SataPorts {
    const EACH: usize = 6;

    fn next(&mut self, args: &mut Arguments, architecture: Architecture) -> String {
        let number = self.0;
        self.0 += 1;
        if architecture != Architecture::Arm64 && number < Self::EACH {
            return format!("ide.{number}");
        }
        let controller = number / Self::EACH;
        if number.is_multiple_of(Self::EACH) {
            args.add(["-device", &format!("ahci,id=sata{controller}")]);
        }
        format!("sata{controller}.{}", number % Self::EACH)
    }
}

/// Returns the nodes of a disk, each after those it is made of.
pub(crate) fn disk_nodes(number: usize, disk: &Disk) -> Vec<Value> {
    let name = |part: &str| format!("{}{part}", disk_node(number));
    let file = |name: &str, path: &Path, read_only: bool| {
        json!({"node-name": name, "driver": "file", "filename": path, "discard": "unmap", "read-only": read_only,
               "cache": {"direct": false, "no-flush": true}})
    };
    let mut nodes = Vec::new();
    let mut below = None;
    if let Some(base) = &disk.base {
        let (node, storage) = (name("-base"), name("-base-file"));
        nodes.push(file(&storage, base, true));
        nodes.push(json!({"node-name": node, "driver": "raw", "file": storage, "read-only": true}));
        below = Some(node);
    }
    for (layer, overlay) in disk.overlays.iter().enumerate() {
        let last = layer + 1 == disk.overlays.len();
        let part = if last { String::new() } else { format!("-layer{layer}") };
        let (node, storage) = (name(&part), name(&format!("{part}-file")));
        nodes.push(file(&storage, overlay, !last));
        let mut top = json!({"node-name": node, "driver": "qcow2", "file": storage, "backing": below,
                             "read-only": !last, "discard": "unmap",
                             "cache": {"direct": false, "no-flush": true}});
        if last {
            top["detect-zeroes"] = json!("unmap");
        }
        nodes.push(top);
        below = Some(node);
    }
    nodes
}

/// Returns the device of a disk.
pub(crate) fn disk_device(number: usize, disk: &Disk) -> Value {
    let mut device = json!({"drive": disk_node(number), "serial": disk.serial});
    device["driver"] = json!(match disk.interface {
        Interface::VirtioBlk => "virtio-blk-pci",
        Interface::Nvme => "nvme",
        Interface::Sata => "ide-hd",
    });
    // NVMe has no say in it: QEMU stops it on a full disk by default, and tells the guest of other errors.
    if disk.interface != Interface::Nvme {
        device["werror"] = json!("stop");
        device["rerror"] = json!("stop");
    }
    device
}

/// Names the topmost node of a disk, the one that QEMU's events speak of.
pub(crate) fn disk_node(number: usize) -> String {
    format!("disk{number}")
}

fn medium_arguments(args: &mut Arguments, number: usize, medium: &Medium) -> Value {
    let node = format!("medium{number}");
    let file = format!("{node}-file");
    let storage = json!({"node-name": file, "driver": "file", "filename": medium.path, "read-only": true});
    let format = json!({"node-name": node, "driver": "raw", "file": file, "read-only": true});
    args.add(["-blockdev", &storage.to_string(), "-blockdev", &format.to_string()]);
    let driver = match medium.kind {
        MediumKind::Cdrom => "ide-cd",
        MediumKind::Floppy => "floppy",
        MediumKind::Disk => "virtio-blk-pci",
    };
    json!({"driver": driver, "drive": node})
}

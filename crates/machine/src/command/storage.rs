//! Disks and media as QEMU's block nodes and devices.
//!
//! ```text
//! disk0-base-file ── disk0-base (raw) ◀── disk0-layer0 (qcow2) ◀── … ◀── disk0 (qcow2, takes the writes)
//! medium0-file ── medium0 (raw, read-only)
//! ```
//! A build's overlays are thrown away when anything dies, so the guest's flushes need not reach the host's disk; the snapshot
//! that is made of them is what gets synced. Those of a machine that lasts are `durable`. A full host disk stops the guest, which then is told as what it is.

use super::{Arguments, board::Board};
use crate::config::{Boot, Disk, Interface, MachineConfig, Medium, MediumKind};
use serde_json::{Value, json};
use std::path::Path;

/// Adds every disk and every medium. Firmware tries the first disk, then the media that boot: an empty disk is passed over.
pub(super) fn arguments(args: &mut Arguments, config: &MachineConfig, board: &Board) {
    // A kernel given from outside takes the first place of the boot order itself.
    let firmware = !matches!(config.boot, Boot::Kernel { .. });
    let mut order = 0..;
    let mut turn = |boots: bool| if firmware && boots { order.next() } else { None };
    let disks: Vec<_> = config.disks.iter().enumerate().map(|(n, disk)| (disk, turn(n == 0))).collect();
    let media: Vec<_> = config.media.iter().map(|medium| (medium, turn(medium.boots))).collect();
    let mut places = Places { sata: board.sata, drives: 0, floppies: 0 };
    for (number, (disk, turn)) in disks.into_iter().enumerate() {
        for mut node in disk_nodes(number, disk) {
            if config.durable && node["read-only"] == json!(false) {
                node["cache"]["no-flush"] = json!(false);
            }
            args.add(["-blockdev", &node.to_string()]);
        }
        let mut device = disk_device(number, disk);
        if disk.interface == Interface::Sata {
            places.drive(args, &mut device, "hd");
        }
        add_device(args, device, turn);
    }
    let is_floppy = |medium: &Medium| board.sata && medium.kind == MediumKind::Floppy;
    let floppies = media.iter().filter(|(medium, _)| is_floppy(medium));
    floppy_controller(args, floppies.map(|(_, turn)| *turn));
    for (number, (medium, turn)) in media.into_iter().enumerate() {
        let mut device = medium_arguments(args, number, medium);
        match medium.kind {
            MediumKind::Disk => device["driver"] = json!("virtio-blk-pci"),
            MediumKind::Cdrom => places.drive(args, &mut device, "cd"),
            MediumKind::Floppy if !board.sata => places.drive(args, &mut device, "hd"),
            MediumKind::Floppy => {
                places.floppy(&mut device);
                add_device(args, device, None);
                continue;
            }
        }
        add_device(args, device, turn);
    }
}

/// Adds the controller of floppies, if there is one. Unlike other drives they do not know their turn at booting: it does.
fn floppy_controller(args: &mut Arguments, turns: impl Iterator<Item = Option<u32>>) {
    let mut turns = turns.peekable();
    if turns.peek().is_none() {
        return;
    }
    let mut controller = json!({"driver": "isa-fdc", "id": "floppies"});
    for (property, turn) in ["bootindexA", "bootindexB"].into_iter().zip(turns) {
        if let Some(turn) = turn {
            controller[property] = json!(turn);
        }
    }
    args.add(["-device", &controller.to_string()]);
}

fn add_device(args: &mut Arguments, mut device: Value, turn: Option<u32>) {
    if let Some(turn) = turn {
        device["bootindex"] = json!(turn);
    }
    args.add(["-device", &device.to_string()]);
}

/// The places that are taken on the controllers of drives, which are added with the first drive on them.
struct Places {
    /// Whether drives are SATA's; else SCSI's.
    sata: bool,
    drives: usize,
    floppies: usize,
}

impl Places {
    /// Ports of a SATA controller. The machine has one of its own.
    const PORTS: usize = 6;

    /// Connects a disk (`hd`) or a CD (`cd`).
    fn drive(&mut self, args: &mut Arguments, device: &mut Value, kind: &str) {
        let number = self.drives;
        self.drives += 1;
        let (controller, port) = (number / Self::PORTS, number % Self::PORTS);
        if !self.sata {
            if number == 0 {
                args.add(["-device", "virtio-scsi-pci,id=scsi"]);
            }
            device["driver"] = json!(format!("scsi-{kind}"));
            device["bus"] = json!("scsi.0");
            return;
        }
        if controller > 0 && port == 0 {
            args.add(["-device", &format!("ahci,id=sata{controller}")]);
        }
        device["driver"] = json!(format!("ide-{kind}"));
        device["bus"] =
            json!(if controller == 0 { format!("ide.{port}") } else { format!("sata{controller}.{port}") });
    }

    fn floppy(&mut self, device: &mut Value) {
        device["driver"] = json!("floppy");
        device["bus"] = json!("floppies.0");
        device["unit"] = json!(self.floppies);
        self.floppies += 1;
    }
}

/// Returns the nodes of a disk, each after those it is made of.
pub(crate) fn disk_nodes(number: usize, disk: &Disk) -> Vec<Value> {
    let name = |part: &str| format!("{}{part}", disk_node(number));
    let mut nodes = Vec::new();
    let mut below = None;
    if let Some(base) = &disk.base {
        let (node, storage) = (name("-base"), name("-base-file"));
        nodes.push(file_node(&storage, base, true));
        nodes.push(json!({"node-name": node, "driver": "raw", "file": storage, "read-only": true}));
        below = Some(node);
    }
    for (layer, overlay) in disk.overlays.iter().enumerate() {
        let last = layer + 1 == disk.overlays.len();
        let node = name(&if last { String::new() } else { format!("-layer{layer}") });
        nodes.extend(overlay_nodes(&node, overlay, below.as_deref(), last));
        below = Some(node);
    }
    nodes
}

/// Returns the nodes of an overlay, over what the node `below` gives.
pub(crate) fn overlay_nodes(name: &str, path: &Path, below: Option<&str>, writable: bool) -> [Value; 2] {
    let storage = format!("{name}-file");
    let mut top = json!({"node-name": name, "driver": "qcow2", "file": storage, "backing": below,
                         "read-only": !writable, "discard": "unmap",
                         "cache": {"direct": false, "no-flush": true}});
    if writable {
        top["detect-zeroes"] = json!("unmap");
    }
    [file_node(&storage, path, !writable), top]
}

fn file_node(name: &str, path: &Path, read_only: bool) -> Value {
    json!({"node-name": name, "driver": "file", "filename": path, "discard": "unmap", "read-only": read_only,
           "cache": {"direct": false, "no-flush": true}})
}

/// Returns the device of a disk; SATA's still needs its place.
pub(crate) fn disk_device(number: usize, disk: &Disk) -> Value {
    let mut device = json!({"drive": disk_node(number), "serial": disk.serial});
    match disk.interface {
        Interface::VirtioBlk => device["driver"] = json!("virtio-blk-pci"),
        Interface::Nvme => device["driver"] = json!("nvme"),
        // Its controller says.
        Interface::Sata => {}
    }
    // NVMe has no such options: its guest is told of a full disk as of a broken one.
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
    json!({"drive": node})
}

//! A machine as QEMU's arguments. Nothing is left to QEMU's defaults, and no file's format is guessed.

use crate::config::{Accelerator, Boot, Disk, MachineConfig, Network};
use serde_json::json;
use std::{ffi::OsString, path::Path};

/// The file descriptors that QEMU inherits for its two connections.
pub(crate) const QMP_FD: i32 = 3;
pub(crate) const AGENT_FD: i32 = 4;

/// Returns QEMU's arguments.
pub(crate) fn arguments(config: &MachineConfig) -> Vec<OsString> {
    let mut args = Arguments::default();
    args.add(["-name", "kiln"]).add(["-nodefaults", "-no-user-config"]).add(["-display", "none"]);
    // A guest that restarts has ended: a kernel that panics under `panic=-1` restarts at once.
    args.add(["-machine", "q35", "-no-reboot"]);
    match config.accelerator {
        Accelerator::Kvm => args.add(["-accel", "kvm", "-cpu", "host"]),
        Accelerator::Tcg => args.add(["-accel", "tcg,thread=multi", "-cpu", "max"]),
    };
    args.add(["-smp", &config.cpus.to_string()]);
    args.add(["-m", &format!("{}M", config.memory.mib_rounded_up())]);
    args.add(["-chardev", &format!("socket,id=qmp,fd={QMP_FD}"), "-mon", "chardev=qmp,mode=control"]);
    let console = format!("file,id=console,path={}", escaped(&config.console));
    args.add(["-chardev", &console, "-serial", "chardev:console"]);
    args.add(["-device", "virtio-rng-pci"]);
    for (number, disk) in config.disks.iter().enumerate() {
        disk_arguments(&mut args, number, disk);
    }
    if config.network == Network::User {
        // No option ROM: nothing boots from the network.
        args.add(["-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="]);
    }
    if let Some(port) = config.agent_port {
        args.add(["-device", "virtio-serial-pci", "-chardev", &format!("socket,id=agent,fd={AGENT_FD}")]);
        args.add(["-device", &format!("virtserialport,chardev=agent,name={port}")]);
    }
    if let Boot::Kernel { kernel, initrd, command_line } = &config.boot {
        args.add(["-kernel"]).path(kernel).add(["-initrd"]).path(initrd).add(["-append", command_line]);
    }
    args.0
}

/// A raw base below a qcow2 overlay, each by a node of its own.
///
/// The overlay is thrown away when anything dies, so the guest's flushes need not reach the host's disk; the snapshot
/// that is made of it is what gets synced. A full host disk stops the guest, which then is told as what it is.
fn disk_arguments(args: &mut Arguments, number: usize, disk: &Disk) {
    let node = |part: &str| format!("disk{number}{part}");
    let file = |part: &str, path: &Path| {
        json!({"node-name": node(part), "driver": "file", "filename": path, "discard": "unmap",
               "cache": {"direct": false, "no-flush": true}})
    };
    let mut base_file = file("-base-file", &disk.base);
    base_file["read-only"] = json!(true);
    let base =
        json!({"node-name": node("-base"), "driver": "raw", "file": node("-base-file"), "read-only": true});
    let top_file = file("-file", &disk.overlay);
    let top = json!({"node-name": node(""), "driver": "qcow2", "file": node("-file"), "backing": node("-base"),
                     "discard": "unmap", "detect-zeroes": "unmap", "cache": {"direct": false, "no-flush": true}});
    for blockdev in [base_file, base, top_file, top] {
        args.add(["-blockdev", &blockdev.to_string()]);
    }
    let device = format!("virtio-blk-pci,drive={},serial={},werror=stop,rerror=stop", node(""), disk.serial);
    args.add(["-device", &device]);
}

/// Doubles commas, which separate the options of an argument.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn add<const N: usize>(&mut self, words: [&str; N]) -> &mut Self {
        self.0.extend(words.map(OsString::from));
        self
    }

    fn path(&mut self, path: &Path) -> &mut Self {
        self.0.push(path.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_types::ByteSize;

    fn shown(config: &MachineConfig) -> String {
        arguments(config).iter().map(|arg| arg.to_string_lossy() + "\n").collect()
    }

    fn config() -> MachineConfig {
        MachineConfig {
            cpus: 2,
            memory: ByteSize::from_gib(1),
            accelerator: Accelerator::Tcg,
            disks: vec![Disk {
                serial: "kiln-disk-0".to_owned(),
                base: "/b,a/disk.raw".into(),
                overlay: "/o/overlay.qcow2".into(),
            }],
            boot: Boot::Kernel {
                kernel: "/o/kernel".into(),
                initrd: "/o/initrd".into(),
                command_line: "console=ttyS0".to_owned(),
            },
            network: Network::User,
            console: "/o,x/console.log".into(),
            log: "/o/qemu.log".into(),
            agent_port: Some("org.kiln.agent.0"),
        }
    }

    #[test]
    fn every_format_is_named_and_nothing_listens() {
        let text = shown(&config());
        assert!(text.contains("file,id=console,path=/o,,x/console.log"), "{text}");
        assert!(text.contains(r#""filename":"/b,a/disk.raw""#), "{text}");
        assert!(text.contains(r#""backing":"disk0-base""#) && text.contains(r#""driver":"qcow2""#), "{text}");
        for word in ["hostfwd", "vnc", "server=on", "-drive"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }

    #[test]
    fn no_network_is_no_card() {
        let text = shown(&MachineConfig { network: Network::None, ..config() });
        assert!(!text.contains("net0"), "{text}");
    }
}

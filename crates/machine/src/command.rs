//! A machine as QEMU's arguments. Nothing is left to QEMU's defaults, and no file's format is guessed.

use crate::config::{Accelerator, Boot, Disk, MachineConfig, Network};
use serde_json::{Value, json};
use std::{ffi::OsString, path::Path};

/// The file descriptors that QEMU inherits for its two connections.
pub(crate) const QMP_FD: i32 = 3;
pub(crate) const AGENT_FD: i32 = 4;

/// Returns QEMU's arguments.
pub(crate) fn arguments(config: &MachineConfig) -> Vec<OsString> {
    let mut args = Arguments::default();
    args.add(["-name", "kiln"]).add(["-nodefaults", "-no-user-config"]).add(["-display", "none"]);
    args.add(["-machine", machine(&config.boot)]);
    // A guest that restarts has ended: a kernel that panics under `panic=-1` restarts at once. One that only stops
    // tells its panic through the device.
    args.add(["-no-reboot", "-action", "panic=pause", "-device", "pvpanic"]);
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
        // A kernel given from outside takes the first place of the boot order itself.
        let boots = number == 0 && !matches!(config.boot, Boot::Kernel { .. });
        disk_arguments(&mut args, number, disk, boots);
    }
    network_arguments(&mut args, &config.network);
    if let Some(port) = config.agent_port {
        args.add(["-device", "virtio-serial-pci", "-chardev", &format!("socket,id=agent,fd={AGENT_FD}")]);
        args.add(["-device", &format!("virtserialport,chardev=agent,name={port}")]);
    }
    match &config.boot {
        Boot::Kernel { kernel, initrd, command_line } => {
            args.add(["-kernel"]).path(kernel).add(["-initrd"]).path(initrd).add(["-append", command_line]);
        }
        Boot::Uefi { code, variables } => firmware_arguments(&mut args, code, variables),
        Boot::Bios => {}
    }
    args.0
}

/// Without a screen SeaBIOS talks to the serial port: that nothing could be booted is then seen on the console. A
/// kernel given from outside must not be preceded by it, since the first words there show that the kernel lives.
fn machine(boot: &Boot) -> &'static str {
    match boot {
        Boot::Kernel { .. } => "q35",
        Boot::Bios => "q35,graphics=off",
        Boot::Uefi { .. } => "q35,pflash0=firmware,pflash1=variables",
    }
}

fn firmware_arguments(args: &mut Arguments, code: &Path, variables: &Path) {
    for (node, path, read_only) in [("firmware", code, true), ("variables", variables, false)] {
        let file = format!("{node}-file");
        let storage = json!({"node-name": file, "driver": "file", "filename": path, "read-only": read_only});
        let format = json!({"node-name": node, "driver": "raw", "file": file, "read-only": read_only});
        args.add(["-blockdev", &storage.to_string(), "-blockdev", &format.to_string()]);
    }
}

fn network_arguments(args: &mut Arguments, network: &Network) {
    let ports: &[u16] = match network {
        Network::None => return,
        Network::User => &[],
        Network::Forwarded(ports) => ports,
    };
    // Port 0: the system chooses when QEMU binds, so that nobody can take the port before.
    let forwards: String = ports.iter().map(|port| format!(",hostfwd=tcp:127.0.0.1:0-:{port}")).collect();
    // No option ROM: nothing boots from the network.
    args.add(["-netdev", &format!("user,id=net0{forwards}")]);
    args.add(["-device", "virtio-net-pci,netdev=net0,romfile="]);
}

/// Returns the nodes of a disk, each after those it is made of: a raw base below a qcow2 overlay.
///
/// The overlay is thrown away when anything dies, so the guest's flushes need not reach the host's disk; the snapshot
/// that is made of it is what gets synced. A full host disk stops the guest, which then is told as what it is.
pub(crate) fn disk_nodes(number: usize, disk: &Disk) -> Vec<Value> {
    let node = |part: &str| format!("{}{part}", disk_node(number));
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
    vec![base_file, base, top_file, top]
}

/// Returns the device of a disk.
pub(crate) fn disk_device(number: usize, disk: &Disk) -> Value {
    json!({"driver": "virtio-blk-pci", "drive": disk_node(number), "serial": disk.serial,
           "werror": "stop", "rerror": "stop"})
}

fn disk_arguments(args: &mut Arguments, number: usize, disk: &Disk, boots: bool) {
    for node in disk_nodes(number, disk) {
        args.add(["-blockdev", &node.to_string()]);
    }
    let mut device = disk_device(number, disk);
    if boots {
        device["bootindex"] = json!(0);
    }
    args.add(["-device", &device.to_string()]);
}

/// Names the topmost node of a disk, the one that QEMU's events speak of.
pub(crate) fn disk_node(number: usize) -> String {
    format!("disk{number}")
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
    fn the_whole_of_it() {
        insta::assert_snapshot!(shown(&config()));
    }

    #[test]
    fn firmware_boots_from_the_first_disk() {
        let bios = shown(&MachineConfig { boot: Boot::Bios, ..config() });
        assert!(bios.contains("q35,graphics=off\n") && !bios.contains("-kernel"), "{bios}");
        assert!(bios.contains(r#""bootindex":0"#), "{bios}");
        let boot = Boot::Uefi { code: "/f/code.fd".into(), variables: "/o/vars.fd".into() };
        let uefi = shown(&MachineConfig { boot, ..config() });
        let read_only = r#"{"driver":"raw","file":"firmware-file","node-name":"firmware","read-only":true}"#;
        assert!(uefi.contains("pflash0=firmware,pflash1=variables") && uefi.contains(read_only), "{uefi}");
    }

    #[test]
    fn forwarded_ports_are_on_loopback_and_chosen_by_the_system() {
        let text = shown(&MachineConfig { network: Network::Forwarded(vec![22, 80]), ..config() });
        assert!(
            text.contains("user,id=net0,hostfwd=tcp:127.0.0.1:0-:22,hostfwd=tcp:127.0.0.1:0-:80\n"),
            "{text}"
        );
    }

    #[test]
    fn no_network_is_no_card() {
        let text = shown(&MachineConfig { network: Network::None, ..config() });
        assert!(!text.contains("net0"), "{text}");
    }
}

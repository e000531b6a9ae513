//! A machine as QEMU's arguments. Nothing is left to QEMU's defaults, and no file's format is guessed.

mod board;
mod storage;

pub(crate) use storage::{disk_device, disk_node, disk_nodes, overlay_nodes};

use crate::{
    config::{Accelerator, Boot, Forward, MachineConfig, Network},
    tpm::TPM_FD,
};
use board::Board;
use serde_json::json;
use std::{ffi::OsString, path::Path};

/// The file descriptors that QEMU inherits for its two connections.
pub(crate) const QMP_FD: i32 = 3;
pub(crate) const AGENT_FD: i32 = 4;

/// Returns QEMU's arguments.
pub(crate) fn arguments(config: &MachineConfig) -> Vec<OsString> {
    let mut args = Arguments::default();
    let board = Board::of(config.architecture);
    args.add(["-name", "kiln"]).add(["-nodefaults", "-no-user-config"]).add(["-display", "none"]);
    args.add(["-machine", &machine(config, &board)]);
    if !config.restarts {
        // A guest that restarts has ended: a kernel that panics under `panic=-1` restarts at once.
        args.add(["-no-reboot"]);
    }
    // A kernel that only stops tells its panic through the device.
    args.add(["-action", "panic=pause", "-device", board.panic]);
    match config.accelerator {
        Accelerator::Kvm => args.add(["-accel", "kvm", "-cpu", "host"]),
        Accelerator::Tcg => args.add(["-accel", "tcg,thread=multi", "-cpu", board.emulated_cpu]),
    };
    args.add(["-smp", &config.cpus.to_string()]);
    args.add(["-m", &format!("{}M", config.memory.mib_rounded_up())]);
    args.add(["-chardev", &format!("socket,id=qmp,fd={QMP_FD}"), "-mon", "chardev=qmp,mode=control"]);
    let console = format!("file,id=console,path={}", escaped(&config.console));
    args.add(["-chardev", &console, "-serial", "chardev:console"]);
    args.add(["-device", "virtio-rng-pci"]);
    if config.screen {
        for device in board.screen {
            args.add(["-device", device]);
        }
    }
    storage::arguments(&mut args, config, &board);
    network_arguments(&mut args, &config.network);
    if let Some(port) = config.agent_port {
        args.add(["-device", "virtio-serial-pci", "-chardev", &format!("socket,id=agent,fd={AGENT_FD}")]);
        args.add(["-device", &format!("virtserialport,chardev=agent,name={port}")]);
    }
    if config.tpm.is_some() {
        args.add([
            "-chardev",
            &format!("socket,id=tpm,fd={TPM_FD}"),
            "-tpmdev",
            "emulator,id=tpm0,chardev=tpm",
        ]);
        args.add(["-device", &format!("{},tpmdev=tpm0", board.tpm)]);
    }
    boot_arguments(&mut args, &config.boot, &board);
    args.0.extend(config.extra_args.iter().map(OsString::from));
    args.0
}

fn machine(config: &MachineConfig, board: &Board) -> String {
    let options = match config.boot {
        Boot::Kernel { .. } => "",
        Boot::Bios => board.bios,
        Boot::Uefi { secure: true, .. } if board.smm => ",smm=on,pflash0=firmware,pflash1=variables",
        Boot::Uefi { .. } => ",pflash0=firmware,pflash1=variables",
    };
    format!("{}{options}", board.machine)
}

fn boot_arguments(args: &mut Arguments, boot: &Boot, board: &Board) {
    match boot {
        Boot::Kernel { kernel, initrd, command_line } => {
            args.add(["-kernel"]).path(kernel);
            if let Some(initrd) = initrd {
                args.add(["-initrd"]).path(initrd);
            }
            args.add(["-append", command_line]);
        }
        Boot::Uefi { code, variables, secure } => {
            firmware_arguments(args, code, variables);
            if *secure && board.smm {
                // Only the firmware itself, in system management mode, may write to the variables.
                args.add(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
                args.add(["-global", "ICH9-LPC.disable_s3=1"]);
            }
        }
        Boot::Bios => {}
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
    let (ports, metadata): (&[Forward], _) = match network {
        Network::None => return,
        Network::User => (&[], String::new()),
        Network::Forwarded(ports) => (ports, String::new()),
        Network::WithMetadata { ports, program } => (ports, metadata(program)),
    };
    // Port 0: the system chooses when QEMU binds, so that nobody can take the port before.
    let forward =
        |port: &Forward| format!(",hostfwd=tcp:127.0.0.1:{}-:{}", port.host.unwrap_or(0), port.guest);
    let forwards: String = ports.iter().map(forward).collect();
    // No option ROM: nothing boots from the network.
    args.add(["-netdev", &format!("user,id=net0{metadata}{forwards}")]);
    args.add(["-device", "virtio-net-pci,netdev=net0,romfile="]);
}

/// Has QEMU start a program for each connection to the metadata address. It takes the program's words apart as a shell does.
fn metadata(program: &[String]) -> String {
    let quoted = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    let words = program.iter().map(quoted).collect::<Vec<_>>().join(" ");
    format!(",net=169.254.0.0/16,guestfwd=tcp:169.254.169.254:80-cmd:{}", words.replace(',', ",,"))
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
    use crate::config::{Disk, Interface, Medium, MediumKind};
    use kiln_types::{Architecture, ByteSize};

    fn shown(config: &MachineConfig) -> String {
        arguments(config).iter().map(|arg| arg.to_string_lossy() + "\n").collect()
    }

    fn config() -> MachineConfig {
        MachineConfig {
            architecture: Architecture::X86_64,
            cpus: 2,
            memory: ByteSize::from_gib(1),
            accelerator: Accelerator::Tcg,
            disks: vec![Disk {
                serial: "kiln-disk-0".to_owned(),
                base: Some("/b,a/disk.raw".into()),
                overlays: vec!["/o/overlay.qcow2".into()],
                interface: Interface::VirtioBlk,
            }],
            media: Vec::new(),
            boot: Boot::Kernel {
                kernel: "/o/kernel".into(),
                initrd: Some("/o/initrd".into()),
                command_line: "console=ttyS0".to_owned(),
            },
            durable: false,
            network: Network::User,
            screen: false,
            tpm: None,
            restarts: false,
            extra_args: Vec::new(),
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
    fn flushes_reach_the_disk_of_a_machine_that_lasts() {
        assert!(!shown(&config()).contains(r#""no-flush":false"#));
        let lasting = shown(&MachineConfig { durable: true, ..config() });
        assert_eq!(lasting.matches(r#""no-flush":false"#).count(), 2, "{lasting}");
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
        let boot = Boot::Uefi { code: "/f/code.fd".into(), variables: "/o/vars.fd".into(), secure: false };
        let uefi = shown(&MachineConfig { boot, ..config() });
        let read_only = r#"{"driver":"raw","file":"firmware-file","node-name":"firmware","read-only":true}"#;
        assert!(uefi.contains("pflash0=firmware,pflash1=variables") && uefi.contains(read_only), "{uefi}");
    }

    /// Everything that the other one has not.
    #[test]
    fn an_installer_under_secure_boot() {
        let overlay = |name: &str| format!("/o/{name}.qcow2").into();
        let disk = |serial: &str, interface| Disk {
            serial: serial.to_owned(),
            base: None,
            overlays: vec![overlay(serial)],
            interface,
        };
        let medium = |name: &str, kind, boots| Medium { path: name.into(), kind, boots };
        let chain = vec![overlay("a"), overlay("b"), overlay("c")];
        let config = MachineConfig {
            disks: vec![
                Disk { overlays: chain, base: Some("/b/disk.raw".into()), ..disk("root", Interface::Nvme) },
                disk("data", Interface::Sata),
            ],
            media: vec![
                medium("/i/installer.iso", MediumKind::Cdrom, true),
                medium("/i/answers.img", MediumKind::Floppy, false),
                medium("/i/seed.img", MediumKind::Disk, true),
            ],
            boot: Boot::Uefi { code: "/f/code.fd".into(), variables: "/o/vars.fd".into(), secure: true },
            network: Network::Forwarded(vec![Forward::to(22)]),
            screen: true,
            tpm: Some("/o/tpm".into()),
            restarts: true,
            extra_args: vec!["-device".to_owned(), "edu".to_owned()],
            agent_port: None,
            ..config()
        };
        insta::assert_snapshot!("x86_secure", shown(&config));
        insta::assert_snapshot!(
            "arm64_secure",
            shown(&MachineConfig { architecture: Architecture::Arm64, ..config })
        );
    }

    #[test]
    fn more_drives_than_ports() {
        let cd = Medium { path: "/i/cd.iso".into(), kind: MediumKind::Cdrom, boots: false };
        let text = shown(&MachineConfig { media: vec![cd; 8], ..config() });
        assert!(text.contains(r#""bus":"ide.5""#) && !text.contains("ide.6"), "{text}");
        assert!(text.contains("ahci,id=sata1\n") && text.contains(r#""bus":"sata1.1""#), "{text}");
        assert_eq!(text.matches("ahci").count(), 1);
    }

    #[test]
    fn forwarded_ports_are_on_loopback_and_the_system_chooses_those_without_a_name() {
        let named = Forward { host: Some(8080), guest: 80 };
        let network = Network::Forwarded(vec![Forward::to(22), named]);
        let text = shown(&MachineConfig { network, ..config() });
        assert!(
            text.contains("user,id=net0,hostfwd=tcp:127.0.0.1:0-:22,hostfwd=tcp:127.0.0.1:8080-:80\n"),
            "{text}"
        );
    }

    #[test]
    fn the_words_of_the_metadata_program_stay_apart() {
        let program = ["/a b/kiln", "it's,so"].map(str::to_owned).to_vec();
        let text = shown(&MachineConfig {
            network: Network::WithMetadata { ports: vec![Forward::to(22)], program },
            ..config()
        });
        let words = r"cmd:'/a b/kiln' 'it'\''s,,so',hostfwd=";
        let netdev = format!("user,id=net0,net=169.254.0.0/16,guestfwd=tcp:169.254.169.254:80-{words}");
        assert!(text.contains(&netdev), "{text}");
    }

    #[test]
    fn no_network_is_no_card() {
        let text = shown(&MachineConfig { network: Network::None, ..config() });
        assert!(!text.contains("net0"), "{text}");
    }
}

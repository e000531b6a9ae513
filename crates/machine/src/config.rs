//! What a machine consists of.

use kiln_types::{Architecture, ByteSize};
use std::path::PathBuf;

/// What runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself, through KVM.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl std::fmt::Display for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        })
    }
}

/// A machine before it is started.
#[derive(Debug, Clone)]
pub struct MachineConfig {
    /// Its processor's architecture.
    pub architecture: Architecture,
    /// Virtual processors.
    pub cpus: u8,
    /// Memory.
    pub memory: ByteSize,
    /// What runs it.
    pub accelerator: Accelerator,
    /// The disks, in the order in which the guest sees them; firmware boots from the first.
    pub disks: Vec<Disk>,
    /// Media that are only read, and can be taken out.
    pub media: Vec<Medium>,
    /// What it starts.
    pub boot: Boot,
    /// Whether what the guest flushes reaches the host's disk, so that it outlives a crash of the host.
    pub durable: bool,
    /// Its network.
    pub network: Network,
    /// Whether it has a screen and a keyboard. Nobody sees the screen: it is there for programs that want one, and for
    /// screenshots.
    pub screen: bool,
    /// The folder of its TPM's state, where it has a TPM.
    pub tpm: Option<PathBuf>,
    /// Whether a guest that restarts goes on. Otherwise its restart ends the machine.
    pub restarts: bool,
    /// Arguments for QEMU after all others.
    pub extra_args: Vec<String>,
    /// The file that gets what the guest writes to its first serial port.
    pub console: PathBuf,
    /// The file that gets what QEMU itself says.
    pub log: PathBuf,
    /// The name of the virtio-serial port that the agent listens on, where the guest runs one.
    pub agent_port: Option<&'static str>,
}

/// A disk: a raw base that is only read, and qcow2 overlays, of which the last takes every write. One of the two may be
/// missing: a disk without a base starts blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// What the guest finds it by; at most 20 bytes.
    pub serial: String,
    /// The raw base.
    pub base: Option<PathBuf>,
    /// The overlays, the lowest first. They name no backing files: the chain is given to QEMU here.
    pub overlays: Vec<PathBuf>,
    /// What it is connected to.
    pub interface: Interface,
}

/// What a disk is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interface {
    /// virtio-blk: the fastest, where the guest has its driver.
    #[default]
    VirtioBlk,
    /// NVMe, whose driver most kernels have built in. Alone it does not stop the machine when the host's disk is full: its
    /// guest takes its disk for broken.
    Nvme,
    /// SATA, which every installer knows. On arm64, whose firmware does not, virtio-scsi.
    Sata,
}

/// A medium that is only read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// The file, raw.
    pub path: PathBuf,
    /// What the guest takes it for.
    pub kind: MediumKind,
    /// Whether firmware tries to boot it, after the disks.
    pub boots: bool,
}

/// What a guest takes a medium for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediumKind {
    /// A CD-ROM: SATA's, on arm64 virtio-scsi's.
    Cdrom,
    /// A floppy disk, of which a machine has two at the most. On arm64, which has none, a small disk.
    Floppy,
    /// A virtio-blk disk.
    Disk,
}

/// What a machine starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// A kernel given from outside.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// Its initramfs, if it needs one.
        initrd: Option<PathBuf>,
        /// Its command line.
        command_line: String,
    },
    /// The boot loader of the first disk, by SeaBIOS, whose own words reach the console too.
    Bios,
    /// The boot loader of the first disk, by UEFI.
    Uefi {
        /// The firmware; only read.
        code: PathBuf,
        /// This machine's own copy of the firmware's variables; written to.
        variables: PathBuf,
        /// Whether the firmware guards its variables by system management mode, as that for Secure Boot does on x86; see
        /// [`UefiFirmware::guarded`](crate::UefiFirmware::guarded).
        secure: bool,
    },
}

/// A machine's network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// None.
    None,
    /// QEMU's user network: the guest reaches what the host reaches, nothing reaches the guest.
    User,
    /// The same, and these TCP ports of the guest are reached through the loopback ports that are named, or that the system chooses:
    /// [`Running::forwarded`](crate::Running::forwarded) tells them.
    Forwarded(Vec<Forward>),
    /// The same, and port 80 of 169.254.169.254 is a program's: the guest's own address is a link-local one then, since QEMU
    /// hands over connections to addresses of its network alone.
    WithMetadata {
        /// The ports of the guest that are reached.
        ports: Vec<Forward>,
        /// A program that is started for each connection, with its arguments; standard input and output are the connection.
        program: Vec<String>,
    },
}

/// A TCP port of the guest's that a port of the host's loopback address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// The host's port; the system chooses where there is none.
    pub host: Option<u16>,
    /// The guest's port.
    pub guest: u16,
}

impl Forward {
    /// A port that the system chooses, to this one of the guest's.
    #[must_use]
    pub const fn to(guest: u16) -> Self {
        Self { host: None, guest }
    }
}

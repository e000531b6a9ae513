//! What a machine consists of.

use kiln_types::ByteSize;
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
    /// Virtual processors.
    pub cpus: u8,
    /// Memory.
    pub memory: ByteSize,
    /// What runs it.
    pub accelerator: Accelerator,
    /// The disks, in the order in which the guest sees them.
    pub disks: Vec<Disk>,
    /// What it starts.
    pub boot: Boot,
    /// Its network.
    pub network: Network,
    /// The file that gets what the guest writes to its first serial port.
    pub console: PathBuf,
    /// The file that gets what QEMU itself says.
    pub log: PathBuf,
    /// The name of the virtio-serial port that the agent listens on, where the guest runs one.
    pub agent_port: Option<&'static str>,
}

/// A disk: a raw base that is only read, and a qcow2 overlay that takes every write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// What the guest finds it by; at most 20 bytes.
    pub serial: String,
    /// The raw base.
    pub base: PathBuf,
    /// The overlay. It names no backing file: the chain is given to QEMU here.
    pub overlay: PathBuf,
}

/// What a machine starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// A kernel given from outside.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// Its initramfs.
        initrd: PathBuf,
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
    },
}

/// A machine's network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// None.
    None,
    /// QEMU's user network: the guest reaches what the host reaches, nothing reaches the guest.
    User,
    /// The same, and these TCP ports of the guest are reached through loopback ports that the system chooses:
    /// [`Running::forwarded`](crate::Running::forwarded) tells them.
    Forwarded(Vec<u16>),
}

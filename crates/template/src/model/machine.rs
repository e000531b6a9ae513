//! `[machine]`: the machine that a build runs in.

use crate::{model::HostPath, names::words};
use kiln_types::{Architecture, ByteSize, DeviceName};
use serde::Serialize;

/// The machine that a build runs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Virtual processors, 1 to 255.
    pub cpus: u8,
    /// Memory, at least 128 MiB.
    pub memory: ByteSize,
    /// Processor architecture.
    pub architecture: Architecture,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
    /// The firmware that the image is started with.
    pub firmware: Firmware,
    /// A kernel to run the steps with in place of the image's own.
    pub kernel: Option<HostPath>,
    /// An initramfs to go with the kernel.
    pub initrd: Option<HostPath>,
    /// What the guest reaches while the steps run.
    pub network: Network,
    /// Whether it has a TPM 2.0.
    pub tpm: bool,
    /// Disks beside the root, in the guest's order; each starts blank and becomes a snapshot of its own.
    pub disks: Vec<ExtraDisk>,
    /// Arguments for QEMU, after all that Kiln gives it.
    pub qemu_args: Vec<String>,
}

/// A disk beside the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExtraDisk {
    /// What the guest finds it by, its serial number: at most 14 letters, digits and hyphens; unique.
    pub name: String,
    /// Its size.
    pub size: ByteSize,
    /// Its name in the block device mapping; unique, and not the root's.
    pub device_name: DeviceName,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            cpus: 2,
            memory: ByteSize::from_gib(1),
            architecture: Architecture::X86_64,
            accelerator: Accelerator::Auto,
            firmware: Firmware::Bios,
            kernel: None,
            initrd: None,
            network: Network::User,
            tpm: false,
            disks: Vec::new(),
            qemu_args: Vec::new(),
        }
    }
}

words! {
    /// What runs the guest's instructions.
    pub enum Accelerator {
        /// KVM where it can work, TCG otherwise.
        Auto = "auto",
        /// The processor itself, through KVM.
        Kvm = "kvm",
        /// QEMU's translator.
        Tcg = "tcg",
    }
}

words! {
    /// Firmware of a machine.
    pub enum Firmware {
        /// SeaBIOS.
        Bios = "bios",
        /// OVMF, or AAVMF on arm64.
        Uefi = "uefi",
        /// The same with Secure Boot, and Microsoft's keys enrolled.
        UefiSecure = "uefi-secure",
    }
}

words! {
    /// What a guest reaches while the steps run.
    pub enum Network {
        /// Everything that the host reaches, through QEMU's user network.
        User = "user",
        /// Nothing.
        None = "none",
    }
}

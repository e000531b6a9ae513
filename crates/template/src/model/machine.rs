//! `[machine]` and `[communicator]`: the machine that a build runs in, and how Kiln talks to it.

use crate::{model::HostPath, names::words};
use kiln_types::{Architecture, ByteSize};
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
        /// OVMF.
        Uefi = "uefi",
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

words! {
    /// How Kiln talks to a guest.
    pub enum Communicator {
        /// A small program started in place of the image's init.
        Agent = "agent",
    }
}

//! What the machines of two processors have in place of one another.

use kiln_types::Architecture;

/// The parts of a machine that its processor decides.
pub(super) struct Board {
    /// The machine.
    pub(super) machine: &'static str,
    /// What the machine is told where its BIOS boots.
    pub(super) bios: &'static str,
    /// Whether it has system management mode.
    pub(super) smm: bool,
    /// Everything that the translator can do.
    pub(super) emulated_cpu: &'static str,
    /// What a kernel tells its panic to.
    pub(super) panic: &'static str,
    /// A screen, and a keyboard where the machine has none of its own.
    pub(super) screen: &'static [&'static str],
    /// The TPM.
    pub(super) tpm: &'static str,
    /// Whether its firmware knows SATA and floppy disks. SCSI takes their place elsewhere.
    pub(super) sata: bool,
}

/// 32-bit guests run on the 64-bit machine, as they do elsewhere.
const X86: Board = Board {
    machine: "q35",
    // SeaBIOS then talks to the serial port, too: that nothing could be booted is seen on the console. A kernel given from
    // outside must not be preceded by it, since the first words there show that the kernel lives.
    bios: ",graphics=off",
    smm: true,
    emulated_cpu: "max",
    panic: "pvpanic",
    screen: &["VGA"],
    tpm: "tpm-crb",
    sata: true,
};

const ARM64: Board = Board {
    machine: "virt,gic-version=max",
    bios: "",
    smm: false,
    // Pointer authentication by the architected algorithm would take half of the time.
    emulated_cpu: "max,pauth-impdef=on",
    panic: "pvpanic-pci",
    screen: &["virtio-gpu-pci", "qemu-xhci,id=keys", "usb-kbd,bus=keys.0"],
    tpm: "tpm-tis-device",
    sata: false,
};

impl Board {
    pub(super) const fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::X86_64 | Architecture::I386 => X86,
            Architecture::Arm64 => ARM64,
        }
    }
}

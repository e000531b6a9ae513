//! What differs from one architecture to the next: the names under which firmware, GRUB and Debian know them.

use kiln_types::Architecture;

/// How machines of an architecture boot a disk that they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Firmware {
    /// GRUB's name of the platform under BIOS; arm64 has none.
    pub(crate) bios: Option<&'static str>,
    /// GRUB's name of the platform under UEFI.
    pub(crate) efi: &'static str,
    /// The file that UEFI looks for in `EFI/BOOT` (UEFI specification, section 3.5.1.1).
    pub(crate) efi_file: &'static str,
    /// Debian's packages with GRUB's modules.
    pub(crate) grub: &'static [&'static str],
    /// Debian's kernel: the one for virtual machines, where there is one.
    pub(crate) kernel: &'static str,
    /// The kernel's name of the first serial port, and its speed.
    pub(crate) console: &'static str,
    /// Whether GRUB drives the serial port itself; elsewhere the firmware's console is on it.
    pub(crate) grub_serial: bool,
}

impl Firmware {
    pub(crate) const fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::X86_64 => Self {
                bios: Some("i386-pc"),
                efi: "x86_64-efi",
                efi_file: "BOOTX64.EFI",
                grub: &["grub-pc-bin", "grub-efi-amd64-bin"],
                kernel: "linux-image-cloud-amd64",
                console: "ttyS0,115200",
                grub_serial: true,
            },
            Architecture::I386 => Self {
                bios: Some("i386-pc"),
                efi: "i386-efi",
                efi_file: "BOOTIA32.EFI",
                grub: &["grub-pc-bin", "grub-efi-ia32-bin"],
                kernel: "linux-image-686-pae",
                console: "ttyS0,115200",
                grub_serial: true,
            },
            Architecture::Arm64 => Self {
                bios: None,
                efi: "arm64-efi",
                efi_file: "BOOTAA64.EFI",
                grub: &["grub-efi-arm64-bin"],
                kernel: "linux-image-cloud-arm64",
                console: "ttyAMA0,115200",
                grub_serial: false,
            },
        }
    }
}

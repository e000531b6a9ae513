//! The small system that the agent runs in: a kernel, this initramfs, the agent as `/init`.

mod initramfs;
pub(crate) mod kernel_image;

pub use initramfs::{ModuleFile, agent_program, initramfs};

/// Why there is no appliance.
#[derive(Debug, thiserror::Error)]
pub enum ApplianceError {
    /// Kiln was built for a target that the agent cannot be built for.
    #[error("this kiln holds no agent: only builds for x86_64 Linux do")]
    NoAgent,
    /// A file does not fit into an initramfs.
    #[error("{name} is too large for an initramfs: {size} bytes")]
    TooLarge {
        /// Its name there.
        name: String,
        /// Its size.
        size: usize,
    },
}

/// The name of the virtio-serial port that the agent listens on.
pub const PORT: &str = kiln_agent::PORT;

/// Modules that the appliance needs, for `kiln_disk::KernelTree::modules`; those that end in `?` may be missing.
pub const WANTED_MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "ext4",
    "virtio_net?",
    "virtio_rng?",
    "vfat?",
    "nls_cp437?",
    "nls_iso8859-1?",
    "nls_ascii?",
    "nls_utf8?",
    "nls_cp850?",
    "af_packet?",
    "pvpanic_pci?",
    "pvpanic_mmio?",
];

/// Returns the kernel's command line for the appliance.
#[must_use]
pub fn command_line() -> String {
    "console=ttyS0 panic=-1 rdinit=/init loglevel=4".to_owned()
}

//! The initramfs: a cpio archive of the agent and the modules it loads.

/// A kernel module, uncompressed.
#[derive(Debug, Clone, Copy)]
pub struct ModuleFile<'a> {
    /// Its name, like `virtio_pci`.
    pub name: &'a str,
    /// The ELF file.
    pub bytes: &'a [u8],
}

/// Why there is no appliance.
#[derive(Debug, thiserror::Error)]
pub enum ApplianceError {
    /// Kiln was built for a target that the agent cannot be built for.
    #[error("this kiln holds no agent: only builds for x86_64 Linux do")]
    NoAgent,
}

/// Returns the agent's program.
///
/// # Errors
/// When this build holds none.
pub fn agent_program() -> Result<&'static [u8], ApplianceError> {
    todo!()
}

/// Makes the initramfs: `agent` as `/init`, and `modules` in load order.
#[must_use]
pub fn initramfs(agent: &[u8], modules: &[ModuleFile<'_>]) -> Vec<u8> {
    todo!("{} {}", agent.len(), modules.len())
}

//! The initramfs: a cpio archive that the kernel unpacks into its root.
//!
//! ```text
//! dev/console          without it the agent has no standard streams
//! dev/null
//! init                 the agent
//! modules/00-name.ko   in load order
//!
//! newc entry   "070701", then 13 numbers of 8 hexadecimal digits: inode, mode, uid, gid, links, mtime, size, device (2),
//!              device node (2), length of the name with its 0, checksum (0)
//!              name, 0, padded to 4 bytes; contents, padded to 4 bytes
//! last         an entry named TRAILER!!!
//! ```
//! Not compressed: an emulated CPU takes longer to unpack it than the host takes to hand over the bytes. Times are 0 and
//! inodes count up, so that the same agent and modules make the same bytes.

use super::ApplianceError;

static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kiln-agent"));

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// A kernel module, uncompressed.
#[derive(Debug, Clone, Copy)]
pub struct ModuleFile<'a> {
    /// Its name, like `virtio_pci`.
    pub name: &'a str,
    /// The ELF file.
    pub bytes: &'a [u8],
}

/// Returns the agent's program.
///
/// # Errors
/// When this build holds none.
pub fn agent_program() -> Result<&'static [u8], ApplianceError> {
    if AGENT.is_empty() { Err(ApplianceError::NoAgent) } else { Ok(AGENT) }
}

/// Makes the initramfs: `agent` as `/init`, and `modules` in load order.
///
/// # Errors
/// When a file is too large for the format, 4 GiB.
pub fn initramfs(agent: &[u8], modules: &[ModuleFile<'_>]) -> Result<Vec<u8>, ApplianceError> {
    let size: usize = modules.iter().map(|module| module.bytes.len() + 256).sum();
    let mut archive = Archive { bytes: Vec::with_capacity(size + agent.len() + 4096), inode: 0 };
    archive.entry("dev", FOLDER, (0, 0), &[])?;
    archive.entry("dev/console", CHARACTER_DEVICE, (5, 1), &[])?;
    archive.entry("dev/null", CHARACTER_DEVICE, (1, 3), &[])?;
    archive.entry("init", PROGRAM, (0, 0), agent)?;
    archive.entry("modules", FOLDER, (0, 0), &[])?;
    for (index, module) in modules.iter().enumerate() {
        archive.entry(&format!("modules/{index:02}-{}.ko", module.name), FILE, (0, 0), module.bytes)?;
    }
    archive.inode = 0;
    archive.entry("TRAILER!!!", 0, (0, 0), &[])?;
    Ok(archive.bytes)
}

struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn entry(
        &mut self,
        name: &str,
        mode: u32,
        device: (u32, u32),
        contents: &[u8],
    ) -> Result<(), ApplianceError> {
        let too_large = || ApplianceError::TooLarge { name: name.to_owned(), size: contents.len() };
        let size = u32::try_from(contents.len()).map_err(|_too_large| too_large())?;
        let name_size = u32::try_from(name.len() + 1).map_err(|_too_large| too_large())?;
        let links = if mode == FOLDER { 2 } else { 1 };
        self.bytes.extend_from_slice(b"070701");
        let (major, minor) = device;
        for number in [self.inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0] {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.inode += 1;
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests;

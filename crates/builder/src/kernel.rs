//! Which kernel the appliance boots: the template's, else the image's own, else the fallback from the cache.
//!
//! A kernel of the template's is given as a file. Its modules are looked for by its version, which the file's header
//! tells, in the image and in the cache; where there are none, everything that the agent needs must be built in, or
//! come with the template's `initrd`, whose files the appliance's own are added to.

use crate::Error;
use kiln_disk::{KernelTree, Module, Root, cached_kernels, find_kernel};
use kiln_machine::appliance::WANTED_MODULES;
use kiln_template::Machine;
use kiln_types::Architecture;
use std::path::Path;

/// A kernel, and what goes with it into the initramfs.
pub(crate) struct Kernel {
    pub(crate) vmlinuz: Vec<u8>,
    pub(crate) modules: Vec<Module>,
    /// A cpio archive that the appliance's is put behind; mostly empty.
    pub(crate) initrd: Vec<u8>,
    /// For people.
    pub(crate) described: String,
}

/// Chooses.
pub(crate) fn choose(machine: &Machine, disk: &Path, root: &Root, cache: &Path) -> Result<Kernel, Error> {
    let (own, why) = match find_kernel(disk, root)? {
        // The agent is a 64-bit program; a 64-bit kernel runs the image's own.
        Some(tree) if tree.architecture()? == Some(Architecture::I386) => {
            (None, "the image's own is a 32-bit one")
        }
        own => (own, "the image holds none"),
    };
    let wanted: Vec<_> = WANTED_MODULES.iter().copied().chain(root.modules()).collect();
    let fallbacks = cached_kernels(cache)?;
    if let Some(given) = &machine.kernel {
        let vmlinuz = fs_err::read(&given.path)?;
        let version = version(&vmlinuz);
        let trees = own.iter().chain(&fallbacks);
        let tree = version.as_ref().and_then(|version| trees.clone().find(|tree| tree.version() == version));
        let modules = tree.map_or(Ok(Vec::new()), |tree| tree.modules(&wanted))?;
        let mut initrd = machine.initrd.as_ref().map_or(Ok(Vec::new()), |path| fs_err::read(&path.path))?;
        // The kernel looks for the next archive at the next multiple of 4.
        initrd.resize(initrd.len().next_multiple_of(4), 0);
        let version = version.as_deref().unwrap_or("of unknown version");
        let described = format!("{version} (the template's), {} modules", modules.len());
        return Ok(Kernel { vmlinuz, modules, initrd, described });
    }
    let (tree, whose): (KernelTree, _) = match own {
        Some(own) => (own, "the image's own".to_owned()),
        None => (fallbacks.into_iter().next().ok_or(Error::NoKernel)?, format!("the fallback: {why}")),
    };
    Ok(Kernel {
        vmlinuz: tree.read_vmlinuz()?,
        modules: tree.modules(&wanted)?,
        initrd: Vec::new(),
        described: format!("{} ({whose})", tree.version()),
    })
}

/// Reads the version out of a bzImage: `HdrS` at 0x202, at 0x20e the place of the text, less 0x200
/// (Documentation/arch/x86/boot.rst).
fn version(vmlinuz: &[u8]) -> Option<String> {
    if vmlinuz.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let place = usize::from(u16::from_le_bytes(vmlinuz.get(0x20e..0x210)?.try_into().ok()?)) + 0x200;
    let text = vmlinuz.get(place..)?.get(..256)?;
    let end = text.iter().position(|byte| matches!(byte, 0 | b' '))?;
    let version = std::str::from_utf8(&text[..end]).ok()?;
    (!version.is_empty()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_and_nothing_else_is() {
        let mut image = vec![0; 0x1000];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
        image[0x500..0x51a].copy_from_slice(b"6.1.0-56-cloud-amd64 (x@y)");
        assert_eq!(version(&image).as_deref(), Some("6.1.0-56-cloud-amd64"));
        image[0x20f] = 0xff;
        assert_eq!(version(&image), None, "a place past the end");
        assert_eq!(version(b"\x7fELF"), None);
    }
}

//! Which kernel the appliance boots: the template's, else the image's own, else the fallback from the cache.
//!
//! A kernel of the template's is given as a file. Its modules are looked for by its version, which the file's header
//! tells, in the image and in the cache; where there are none, everything that the agent needs must be built in, or
//! come with the template's `initrd`, whose files the appliance's own are added to.

use crate::Error;
use kiln_disk::{KernelTree, Module, Root, cached_kernels, find_kernel, kernel_version};
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
    let own = find_kernel(disk, root)?;
    let wanted: Vec<_> = WANTED_MODULES.iter().copied().chain(root.modules()).collect();
    let fallbacks = cached_kernels(cache)?;
    if let Some(given) = &machine.kernel {
        let vmlinuz = fs_err::read(&given.path)?;
        let version = kernel_version(&vmlinuz);
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
    let why = match own.map(|tree| fit(&tree, &wanted)).transpose()? {
        Some(Ok(kernel)) => return Ok(kernel),
        Some(Err(why)) => why,
        None => "the image holds none".to_owned(),
    };
    let fallback = fallbacks.into_iter().next().ok_or_else(|| Error::NoKernel { why: why.clone() })?;
    let modules = fallback.modules(&wanted)?;
    let whose = format!("the fallback: {why}");
    described(&fallback, modules, &whose)
}

/// Takes the image's own kernel where the agent can run on it, else says why not.
fn fit(tree: &KernelTree, wanted: &[&str]) -> Result<Result<Kernel, String>, Error> {
    match tree.architecture()? {
        Some(Architecture::X86_64) | None => {}
        // The agent is a 64-bit program; a 64-bit kernel runs the programs of a 32-bit image.
        Some(Architecture::I386) => return Ok(Err("the image's own is a 32-bit one".to_owned())),
        Some(other) => return Ok(Err(format!("the image's own is for {other}"))),
    }
    match tree.modules(wanted) {
        Ok(modules) => described(tree, modules, "the image's own").map(Ok),
        Err(kiln_disk::Error::MissingModule { kernel, module }) => {
            Ok(Err(format!("the image's own, {kernel}, has no {module}")))
        }
        Err(error) => Err(error.into()),
    }
}

fn described(tree: &KernelTree, modules: Vec<Module>, whose: &str) -> Result<Kernel, Error> {
    Ok(Kernel {
        vmlinuz: tree.read_vmlinuz()?,
        modules,
        initrd: Vec::new(),
        described: format!("{} ({whose})", tree.version()),
    })
}

//! The distribution's kernel package through apt, unpacked and read.

use anyhow::{Context, Result};
use kiln_disk::{FileSystem, cached_kernels, fetch_kernel, kernel_version};
use kiln_types::Architecture;

#[test]
fn the_cloud_kernel_comes_with_its_modules() -> Result<()> {
    let cache = tempfile::tempdir()?;
    assert!(cached_kernels(cache.path())?.is_empty());
    let kernel = fetch_kernel(cache.path(), &mut |_| {})?;
    let image = kernel.read_vmlinuz()?;
    assert_eq!(image.get(0x202..0x206), Some(b"HdrS".as_slice()), "a bzImage has its header here");

    let names = [
        "virtio_pci",
        "virtio_blk",
        "virtio_console",
        "virtio_net",
        "virtio_rng?",
        "ext4",
        "vfat",
        "nls_ascii?",
    ];
    let modules = kernel.modules(&names)?;
    let position =
        |name: &str| modules.iter().position(|module| module.name == name).context(name.to_owned());
    assert!(position("virtio_ring")? < position("virtio_pci")?);
    assert!(position("virtio")? < position("virtio_blk")?);
    assert!(position("fat")? < position("vfat")?);
    assert!(modules.iter().all(|module| module.bytes.starts_with(b"\x7fELF")));

    let names: Vec<_> =
        FileSystem::Xfs.modules().iter().chain(FileSystem::Btrfs.modules()).copied().collect();
    let modules = kernel.modules(&names)?;
    let position =
        |name: &str| modules.iter().position(|module| module.name == name).context(name.to_owned());
    assert!(position("libcrc32c")? < position("xfs")? && position("xor")? < position("btrfs")?);
    assert!(kernel.built_in("nvme")? && kernel.built_in("ext4")? && !kernel.built_in("xfs")?);
    assert_eq!(kernel.architecture()?, Some(Architecture::X86_64));
    assert_eq!(kernel_version(&image).as_deref(), Some(kernel.version()));

    let cached = cached_kernels(cache.path())?;
    assert_eq!(cached.iter().map(|kernel| kernel.version()).collect::<Vec<_>>(), [kernel.version()]);
    let mut lines = Vec::new();
    fetch_kernel(cache.path(), &mut |line| lines.push(line.to_owned()))?;
    assert_eq!(lines.len(), 1, "a second fetch downloads nothing: {lines:?}");
    Ok(())
}

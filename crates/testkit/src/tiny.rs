//! The tiny base: busybox, the cloud kernel and GRUB on a disk that boots by itself.
//!
//! ```text
//! <cache>/kernels/<version>/…          from kiln_disk::fetch_kernel
//! <cache>/tiny/<key>-<variant>/disk.raw
//!                             /sha256  of disk.raw
//!              .staging-…              what a killed run leaves behind
//! ```
//! `key` is the SHA-256 of the packages' file names (which hold their versions) and of this recipe's source: the same
//! packages and recipe are made once. Nothing is installed on the host; `apt-get`, `dpkg-deb` and `mke2fs` must be there.

mod packages;
mod root;

use anyhow::{Context, Result, ensure};
use kiln_disk::{
    BiosImages, BootImages, Extent, Geometry, KernelTree, fetch_kernel, make_bootable, make_bootable_mbr,
};
use kiln_types::Architecture;
pub(crate) use packages::Packages;
pub(crate) use root::{initramfs, userland};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// `libdevmapper1.02.1` is what `grub-mkimage` needs and small hosts lack.
const PACKAGES: [&str; 4] = ["busybox-static", "grub-pc-bin", "grub-common", "libdevmapper1.02.1"];

/// The line that the tiny base's init prints on its console when it is up.
pub const MARKER: &str = "KILN-TINY-UP";

/// The disk's size; small, and room for what tests write.
const DISK_SIZE: u64 = 512 << 20;

/// Always the same, so that equal recipes make equal boot configurations.
const ROOT_UUID: &str = "4b696c6e-0000-4000-8000-54696e790001";

/// Everything that makes the result.
const RECIPE: [&str; 4] = [
    include_str!("tiny.rs"),
    include_str!("tiny/root.rs"),
    include_str!("tiny/rcS.sh"),
    include_str!("tiny/init.sh"),
];

/// How the tiny base is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// GPT with a BIOS boot partition, an EFI system partition and an ext4 root on partition 3, as `kiln_disk::build`
    /// makes it; boots under SeaBIOS.
    Gpt,
    /// An MBR with one ext4 partition; boots under SeaBIOS.
    Mbr,
    /// One ext4 file system over the whole disk, with a kernel in it; does not boot by itself.
    WholeDisk,
    /// As `WholeDisk`, without a kernel.
    WholeDiskNoKernel,
    /// A Btrfs over the whole disk, without a kernel.
    Btrfs,
    /// An XFS over the whole disk, without a kernel.
    Xfs,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Gpt => "gpt",
            Self::Mbr => "mbr",
            Self::WholeDisk => "whole",
            Self::WholeDiskNoKernel => "whole-no-kernel",
            Self::Btrfs => "btrfs",
            Self::Xfs => "xfs",
        }
    }

    /// Where the root goes, and how large the disk is.
    fn root(self) -> Result<(Extent, u64)> {
        let start = 1 << 20;
        Ok(match self {
            Self::Gpt => (Geometry::new(DISK_SIZE, 0)?.root, DISK_SIZE),
            Self::Mbr => (Extent { offset: start, size: DISK_SIZE - start }, DISK_SIZE),
            Self::WholeDisk | Self::WholeDiskNoKernel | Self::Btrfs | Self::Xfs => {
                (Extent { offset: 0, size: DISK_SIZE }, DISK_SIZE)
            }
        })
    }
}

/// A tiny base in the cache.
#[derive(Debug, Clone)]
pub struct TinyBase {
    /// The raw disk; never write to it.
    pub disk: PathBuf,
    /// The SHA-256 of the disk in hexadecimal.
    pub sha256: String,
}

/// Makes the GPT tiny base below `cache`, or finds it there.
///
/// # Errors
/// When packages cannot be fetched or a tool fails.
pub fn tiny_base(cache: &Path) -> Result<TinyBase> {
    tiny_base_variant(cache, Variant::Gpt)
}

/// Makes one variant of the tiny base below `cache`, or finds it there. Several processes may do so at once: one makes
/// it, the others wait.
///
/// # Errors
/// When packages cannot be fetched or a tool fails.
pub fn tiny_base_variant(cache: &Path, variant: Variant) -> Result<TinyBase> {
    let folder = cache.join("tiny");
    fs_err::create_dir_all(&folder)?;
    let lock = fs_err::File::create(folder.join("lock"))?;
    lock.file().lock()?;

    let kernel = fetch_kernel(cache, &mut |_| {})?;
    let packages = Packages::resolve(&PACKAGES)?;
    let target = folder.join(format!("{}-{}", key(&kernel, &packages), variant.name()));
    if !target.join("sha256").exists() {
        let staging = tempfile::Builder::new().prefix(".staging-").tempdir_in(&folder)?;
        let made = staging.path().join("made");
        fs_err::create_dir(&made)?;
        make(cache, staging.path(), &made.join("disk.raw"), variant, &kernel, &packages)?;
        fs_err::write(made.join("sha256"), sha256(&made.join("disk.raw"))?)?;
        fs_err::rename(&made, &target)?;
    }
    Ok(TinyBase { disk: target.join("disk.raw"), sha256: fs_err::read_to_string(target.join("sha256"))? })
}

fn key(kernel: &KernelTree, packages: &Packages) -> String {
    let mut hash = Sha256::new();
    for part in packages.names.iter().map(String::as_str).chain(RECIPE).chain([kernel.version()]) {
        hash.update(part);
        hash.update([0]);
    }
    hexadecimal(&hash.finalize())[..16].to_owned()
}

fn make(
    cache: &Path,
    work: &Path,
    disk: &Path,
    variant: Variant,
    kernel: &KernelTree,
    packages: &Packages,
) -> Result<()> {
    let unpacked = packages.unpack(work)?;
    let tree = work.join("tree");
    root::userland(&tree, &unpacked)?;
    if matches!(variant, Variant::Gpt | Variant::Mbr | Variant::WholeDisk) {
        let builtin = cache.join("kernels").join(kernel.version());
        root::kernel(&tree, kernel, &unpacked, &builtin)?;
    }
    let (extent, size) = variant.root()?;
    fs_err::File::create_new(disk)?.set_len(size)?;
    match variant {
        Variant::Btrfs => run(Command::new("mkfs.btrfs").args(["-q", "-r"]).args([&tree, disk]))?,
        Variant::Xfs => {
            let prototype = work.join("prototype");
            fs_err::write(&prototype, xfs_prototype(&tree)?)?;
            run(Command::new("mkfs.xfs").args(["-q", "-p"]).args([&prototype, disk]))?;
        }
        _ => ext4(&tree, disk, extent)?,
    }
    match variant {
        Variant::Gpt => {
            let bios = Some(boot_images(work, &unpacked)?);
            let images = BootImages { architecture: Architecture::X86_64, bios, efi: None };
            make_bootable(disk, &Geometry::new(DISK_SIZE, 0)?, &images, 0x4b69_6c6e)?;
        }
        Variant::Mbr => make_bootable_mbr(disk, extent, &boot_images(work, &unpacked)?)?,
        Variant::WholeDisk | Variant::WholeDiskNoKernel | Variant::Btrfs | Variant::Xfs => {}
    }
    Ok(())
}

fn ext4(tree: &Path, disk: &Path, extent: Extent) -> Result<()> {
    let mut mke2fs = Command::new("/usr/sbin/mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-L", "root", "-U", ROOT_UUID]);
    mke2fs.args(["-O", "^metadata_csum_seed", "-E"]).arg(format!(
        "offset={},lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0",
        extent.offset
    ));
    run(mke2fs.arg("-d").args([tree, disk]).arg(format!("{}k", extent.size >> 10)))
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output = command.output().context(program.clone())?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Lists a tree as `mkfs.xfs -p` takes it.
fn xfs_prototype(tree: &Path) -> Result<String> {
    fn list(folder: &Path, out: &mut String) -> Result<()> {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let (name, path, metadata) = (entry.file_name(), entry.path(), entry.metadata()?);
            let (name, mode) = (name.display(), metadata.permissions().mode() & 0o777);
            if metadata.is_dir() {
                writeln!(out, "{name} d--{mode:03o} 0 0")?;
                list(&path, out)?;
                writeln!(out, "$")?;
            } else if metadata.is_symlink() {
                writeln!(out, "{name} l--777 0 0 {}", fs_err::read_link(&path)?.display())?;
            } else {
                writeln!(out, "{name} ---{mode:03o} 0 0 {}", path.display())?;
            }
        }
        Ok(())
    }
    let mut out = "/none\n0 0\nd--755 0 0\n".to_owned();
    list(tree, &mut out)?;
    Ok(out + "$\n")
}

/// GRUB's images for BIOS, made by the unpacked `grub-mkimage`.
fn boot_images(work: &Path, unpacked: &Path) -> Result<BiosImages> {
    let load = work.join("load.cfg");
    fs_err::write(&load, format!("search.fs_uuid {ROOT_UUID} root\nset prefix=($root)/boot/grub\n"))?;
    let core = work.join("core.img");
    let modules = unpacked.join("usr/lib/grub/i386-pc");
    let made = Command::new(unpacked.join("usr/bin/grub-mkimage"))
        .env("LD_LIBRARY_PATH", unpacked.join("lib/x86_64-linux-gnu"))
        .args(["-O", "i386-pc", "-p", "/boot/grub", "-d"])
        .arg(&modules)
        .arg("-c")
        .arg(&load)
        .arg("-o")
        .arg(&core)
        .args(["biosdisk", "part_gpt", "part_msdos", "ext2", "normal", "linux", "search", "search_fs_uuid"])
        .args(["configfile", "echo", "test", "serial", "terminal", "minicmd", "boot"])
        .output()
        .context("grub-mkimage")?;
    ensure!(made.status.success(), "grub-mkimage: {}", String::from_utf8_lossy(&made.stderr));
    Ok(BiosImages { boot: fs_err::read(modules.join("boot.img"))?, core: fs_err::read(core)? })
}

pub(crate) fn sha256(file: &Path) -> Result<String> {
    let mut file = fs_err::File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(hexadecimal(&hash.finalize()));
        }
        hash.update(&buffer[..length]);
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

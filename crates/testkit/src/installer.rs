//! A CD that installs a tiny system, as distributions' CDs do: a boot loader that asks, a kernel, an installer that asks, fetches
//! its answers, partitions the disk and fills it.
//!
//! ```text
//! <cache>/installer/<key>/installer.iso    ISOLINUX (`boot:`, also on the serial port), the cloud kernel, an initramfs with
//!                                          busybox, modules, /init and the tiny root as an ext4 image
//!                         sha256           of installer.iso
//!                 .staging-…               what a killed run leaves behind
//! ```
//! At `boot:`, `install url=http://…` is what is to be typed; `end=reboot` makes the installation end with a restart. Then the
//! installer asks for a name on the screen and tells so on the serial port. What is on a second disk, an ISO 9660 medium, it
//! copies to `/etc/answers.d`. `apt-get`, `dpkg-deb`, `mke2fs` and `xorriso` must be there.

use crate::tiny::{Packages, hexadecimal, initramfs, sha256, userland};
use anyhow::{Context, Result, ensure};
use kiln_disk::fetch_kernel;
use sha2::{Digest, Sha256};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What the installer says on the serial port before it reads a name from the keyboard.
pub const QUESTION: &str = "Name of this machine:";

/// What it says there when everything is on the disk.
pub const INSTALLED: &str = "KILN-INSTALLED";

/// Where the first partition begins, in bytes.
pub const PARTITION: u64 = 1 << 20;

/// Size of the root; the disk must be larger.
const ROOT_SIZE: u64 = 48 << 20;

/// The boot loader, and where its packages have it.
const PACKAGES: [&str; 3] = ["busybox-static", "isolinux", "syslinux-common"];
const LOADER: [(&str, &str); 2] = [
    ("usr/lib/ISOLINUX/isolinux.bin", "isolinux.bin"),
    ("usr/lib/syslinux/modules/bios/ldlinux.c32", "ldlinux.c32"),
];

const MODULES: [&str; 6] = ["virtio_pci", "virtio_blk", "virtio_net", "ext4", "isofs", "af_packet?"];

/// Everything that makes the result.
const RECIPE: [&str; 3] =
    [include_str!("installer.rs"), include_str!("installer/init.sh"), include_str!("installer/isolinux.cfg")];

/// The CD in the cache.
#[derive(Debug, Clone)]
pub struct Installer {
    /// The CD; never write to it.
    pub iso: PathBuf,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Makes the CD below `cache`, or finds it there. Several processes may do so at once: one makes it, the others wait.
///
/// # Errors
/// When packages cannot be fetched or a tool fails.
pub fn installer(cache: &Path) -> Result<Installer> {
    let folder = cache.join("installer");
    fs_err::create_dir_all(&folder)?;
    let lock = fs_err::File::create(folder.join("lock"))?;
    lock.file().lock()?;
    let kernel = fetch_kernel(cache, &mut |_| {})?;
    let packages = Packages::resolve(&PACKAGES)?;
    let mut hash = Sha256::new();
    for part in packages.names.iter().map(String::as_str).chain(RECIPE).chain([kernel.version()]) {
        hash.update(part);
        hash.update([0]);
    }
    let target = folder.join(&hexadecimal(&hash.finalize())[..16]);
    if !target.join("sha256").exists() {
        let staging = tempfile::Builder::new().prefix(".staging-").tempdir_in(&folder)?;
        let made = staging.path().join("made");
        fs_err::create_dir(&made)?;
        make(staging.path(), &made.join("installer.iso"), &kernel, &packages)?;
        fs_err::write(made.join("sha256"), sha256(&made.join("installer.iso"))?)?;
        fs_err::rename(&made, &target)?;
    }
    let sha256 = fs_err::read_to_string(target.join("sha256"))?;
    Ok(Installer { iso: target.join("installer.iso"), sha256 })
}

fn make(work: &Path, iso: &Path, kernel: &kiln_disk::KernelTree, packages: &Packages) -> Result<()> {
    let unpacked = packages.unpack(work)?;
    let root = work.join("root");
    userland(&root, &unpacked)?;
    fs_err::write(root.join("etc/fstab"), "/dev/vda1 / ext4 defaults 0 1\n")?;
    let image = work.join("root.img");
    fs_err::File::create_new(&image)?.set_len(ROOT_SIZE)?;
    run(Command::new("/usr/sbin/mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-L", "root", "-E", "root_owner=0:0,nodiscard", "-d"])
        .args([&root, &image]))?;
    run(Command::new("gzip").arg("-1").arg(&image))?;

    let cd = work.join("cd");
    fs_err::create_dir(&cd)?;
    for (from, name) in LOADER {
        fs_err::copy(unpacked.join(from), cd.join(name))?;
    }
    fs_err::write(cd.join("isolinux.cfg"), include_str!("installer/isolinux.cfg"))?;
    fs_err::write(cd.join("vmlinuz"), kernel.read_vmlinuz()?)?;
    let early = [
        ("init", include_bytes!("installer/init.sh").to_vec()),
        ("root.img.gz", fs_err::read(image.with_extension("img.gz"))?),
    ];
    initramfs(&root, &cd.join("initrd"), &kernel.modules(&MODULES)?, &early, &work.join("early"))?;
    run(Command::new("xorriso")
        .args(["-as", "mkisofs", "-quiet", "-V", "INSTALLER", "-J", "-r", "-o"])
        .arg(iso)
        .args(["-b", "isolinux.bin", "-c", "boot.cat"])
        .args(["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"])
        .arg(&cd))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

//! A Debian base disk made with mmdebstrap.
//!
//! ```text
//! work/disk.raw     the new disk, sparse                       9 ◀─ opened by a shell in front of mmdebstrap
//! work/hook.sh      what runs on the finished tree             8 ◀─
//! work/mmdebstrap.… the tree (as root; else in /tmp)
//!
//! mmdebstrap ── packages ──▶ tree ── hook.sh: settings, initramfs, grub-mkimage (in the tree),
//!                                    mke2fs -d tree -E offset=… /proc/self/fd/9 (the host's) ──▶ root on disk.raw
//! kiln       ── reads boot.img, core.img, core.efi back out of that root ──▶ GPT, boot sector, ESP
//!            ── renames disk.raw into its place
//! ```
//! What differs from one architecture to the next: `firmware.rs`.
//! The hook works on open files, not names: in a user namespace root is somebody who may not enter our folders. A build
//! that fails or is killed anywhere leaves `work` only; mmdebstrap removes its tree when it is told to end.

mod foreign;
mod hook;
mod sources;

use crate::{
    BootImages, Error, Geometry,
    firmware::Firmware,
    make_bootable,
    process::{self, Tool},
};
use kiln_types::{Architecture, ByteSize, Digest, Timestamp};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::AtomicBool,
};

/// A minimal Debian with a kernel takes about 450 MiB.
const LEAST_ROOT: u64 = 700 << 20;

/// Where Debian keeps its archive as it was, by the moment.
const SNAPSHOTS: &str = "https://snapshot.debian.org/archive/debian";

/// What makes a Debian tree boot, get an address and resolve names, beside its kernel and GRUB's modules.
const PACKAGES: [&str; 10] = [
    "grub2-common", // update-grub
    "systemd-sysv",
    "systemd-resolved",
    "udev",
    "dbus",     // systemctl, hostnamectl and logins speak through it
    "iproute2", // ip
    "netbase",  // /etc/services, /etc/protocols
    "e2fsprogs",
    "ca-certificates", // https mirrors and downloads
    "zstd",            // an initramfs that unpacks in a third of gzip's time
];

/// What base disk to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// What its programs are for. The host must be able to run them.
    pub architecture: Architecture,
    /// The release, like `bookworm`.
    pub suite: String,
    /// A mirror's URL; without it the host's own, else mmdebstrap's default.
    pub mirror: Option<String>,
    /// Archive components; empty means `main`.
    pub components: Vec<String>,
    /// mmdebstrap's variant, like `minbase`.
    pub variant: String,
    /// Packages beside those that make the disk boot.
    pub packages: Vec<String>,
    /// The keyring that signs the archive, when it is not Debian's.
    pub apt_keyring: Option<PathBuf>,
    /// The disk's size; rounded down to whole MiB.
    pub disk_size: ByteSize,
    /// Whether cloud-init is installed and runs.
    pub cloud_init: bool,
    /// The guest's host name.
    pub hostname: String,
    /// The archive of this moment, from snapshot.debian.org in place of a mirror; times of files go no further.
    pub snapshot: Option<Timestamp>,
    /// What the ids of the disk's file systems are made of, so that the same inputs give the same ids.
    pub seed: Digest,
}

const MMDEBSTRAP: Tool =
    Tool { program: "mmdebstrap", purpose: "it bootstraps Debian", package: "mmdebstrap" };
const MKE2FS: Tool =
    Tool { program: "mke2fs", purpose: "it makes the root file system", package: "e2fsprogs" };
const UIDMAP: Tool = Tool {
    program: "newuidmap",
    purpose: "without root, mmdebstrap works in a user namespace",
    package: "uidmap",
};
/// Opens script and disk under the numbers that the hook knows. As root mmdebstrap mounts in the host's own namespace: in
/// one of ours its mounts go with it, however it ends. (Where that is forbidden it cannot mount either.)
const LAUNCH: &str = "exec 8<\"$1\" 9<>\"$2\"; shift 2
if [ \"$(id -u)\" = 0 ] && unshare --mount true 2>/dev/null; then exec unshare --mount \"$@\"; fi
exec \"$@\"";
const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Bootstraps Debian into a new raw disk that boots by itself under BIOS and UEFI.
///
/// `work_dir` must exist, be empty, and lie on the file system of `out_raw`, into whose place the disk is renamed; it is
/// all that a killed build leaves behind. `on_line` gets each line of output, `cancel` is looked at several times a
/// second.
///
/// # Errors
/// When a tool is missing or fails, or the disk cannot be written.
pub fn build(
    bootstrap: &Bootstrap,
    out_raw: &Path,
    work_dir: &Path,
    on_line: &mut dyn FnMut(&str),
    cancel: &AtomicBool,
) -> Result<(), Error> {
    let geometry = Geometry::new(bootstrap.disk_size.bytes(), LEAST_ROOT)?;
    let mmdebstrap = check_tools(bootstrap)?;
    let identity = hook::Identity::of(&bootstrap.seed);
    let disk = work_dir.join("disk.raw");
    let script = work_dir.join("hook.sh");
    create_disk(&disk, geometry.size)?;
    let text = hook::script(bootstrap, &geometry, &identity);
    fs_err::write(&script, text).map_err(|e| Error::io("write the bootstrap's hook", e))?;

    let mut command = Command::new("sh");
    command.args(["-c", LAUNCH, "sh"]);
    command.arg(&script).arg(&disk).arg(mmdebstrap).args(arguments(bootstrap)?);
    // The trigger of each package would make the initramfs again; the hook makes it once.
    command.env("INITRD", "No");
    if let Some(snapshot) = bootstrap.snapshot {
        command.env("SOURCE_DATE_EPOCH", snapshot.unix().to_string());
    }
    if rustix::process::geteuid().is_root() {
        command.env("TMPDIR", work_dir);
    }
    process::run(&mut command, &MMDEBSTRAP, cancel, on_line)?;

    on_line("I: writing the partition table and the boot loader...");
    let images = BootImages::read(&disk, geometry.root, bootstrap.architecture)?;
    make_bootable(&disk, &geometry, &images, identity.esp)?;
    fs_err::set_permissions(&disk, PermissionsExt::from_mode(0o644))
        .and_then(|()| fs_err::File::open(&disk)?.sync_all())
        .and_then(|()| fs_err::rename(&disk, out_raw))
        .map_err(|e| Error::io("put the new disk in its place", e))
}

/// Makes an empty sparse disk that root of a user namespace may write through an open file.
fn create_disk(disk: &Path, size: u64) -> Result<(), Error> {
    let make = || {
        let file = fs_err::File::create_new(disk)?;
        file.set_len(size)?;
        file.set_permissions(PermissionsExt::from_mode(0o666))
    };
    make().map_err(|e| Error::io("create the new disk", e))
}

/// Returns the name under which mmdebstrap starts, once everything that it needs is there.
fn check_tools(bootstrap: &Bootstrap) -> Result<String, Error> {
    let mmdebstrap = MMDEBSTRAP.find()?;
    MKE2FS.find()?;
    foreign::check(bootstrap.architecture)?;
    if !rustix::process::geteuid().is_root() {
        UIDMAP.find()?;
    }
    if bootstrap.apt_keyring.is_none() && !Path::new(DEBIAN_KEYRING).exists() {
        return Err(Error::MissingTool {
            program: "debian-archive-keyring",
            purpose: "its keys verify what is downloaded",
            package: "debian-archive-keyring",
        });
    }
    Ok(mmdebstrap)
}

/// mmdebstrap's arguments: options, suite, no output of its own, sources.
fn arguments(bootstrap: &Bootstrap) -> Result<Vec<String>, Error> {
    let firmware = Firmware::of(bootstrap.architecture);
    let mut packages = vec![firmware.kernel];
    packages.extend(firmware.grub.iter().chain(&PACKAGES));
    if bootstrap.cloud_init {
        packages.extend(["cloud-init", "cloud-guest-utils"]);
    }
    packages.extend(bootstrap.packages.iter().map(String::as_str));
    let components = match bootstrap.components.as_slice() {
        [] => "main".to_owned(),
        components => components.join(" "),
    };
    let mut arguments = vec![
        "--mode=auto".to_owned(),
        "--format=null".to_owned(),
        format!("--architectures={}", bootstrap.architecture.debian()),
        format!("--variant={}", bootstrap.variant),
        format!("--components={}", components.replace(' ', ",")),
        format!("--include={}", packages.join(",")),
        // Translated descriptions are the larger half of what apt-get update downloads.
        "--aptopt=Acquire::Languages \"none\"".to_owned(),
        // The tree is thrown away; the hook tidied the copy on the disk.
        "--skip=cleanup".to_owned(),
        "--customize-hook=sh /proc/self/fd/8 \"$1\"".to_owned(),
    ];
    arguments.extend(bootstrap.apt_keyring.iter().map(|keyring| format!("--keyring={}", keyring.display())));
    if bootstrap.snapshot.is_some() {
        // What an old archive says of itself has run out.
        arguments.push("--aptopt=Acquire::Check-Valid-Until \"false\"".to_owned());
    }
    arguments.extend([bootstrap.suite.clone(), "-".to_owned()]);
    arguments.extend(match (&bootstrap.mirror, bootstrap.snapshot) {
        (_, Some(snapshot)) => {
            vec![format!("{SNAPSHOTS}/{}Z/", snapshot.compact().replace('-', "T"))]
        }
        (Some(mirror), None) => vec![mirror.clone()],
        (None, None) => sources::lines_of_host(Path::new("/etc/apt"), &bootstrap.suite, &components)?,
    });
    Ok(arguments)
}

#[cfg(test)]
mod tests;

//! The outside programs that Kiln and its tests run: one list, with the reason for each.

/// A package that must be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Package {
    /// Its name in Debian and Ubuntu.
    pub(crate) debian: &'static str,
    /// The programs in it that Kiln or its tests run.
    pub(crate) programs: &'static [&'static str],
    /// What it is needed for.
    pub(crate) why: &'static str,
    /// Who needs it.
    pub(crate) needed_by: NeededBy,
}

/// Who needs a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NeededBy {
    /// Building and running Kiln.
    Everyone,
    /// The tests: tools that judge what Kiln makes.
    Tests,
    /// Those who are not root.
    Rootless,
    /// Those who compare Kiln with other tools.
    Bench,
}

const fn package(
    debian: &'static str,
    programs: &'static [&'static str],
    why: &'static str,
    needed_by: NeededBy,
) -> Package {
    Package { debian, programs, why, needed_by }
}

/// Every package, in the order in which they are shown.
pub(crate) const PACKAGES: [Package; 38] = [
    package("qemu-system-x86", &["qemu-system-x86_64"], "runs the machines of builds", NeededBy::Everyone),
    package(
        "qemu-utils",
        &["qemu-img", "qemu-io", "qemu-nbd"],
        "qemu-img: overlays, conversions, checks",
        NeededBy::Everyone,
    ),
    package("ovmf", &[], "firmware of UEFI machines", NeededBy::Everyone),
    package("mmdebstrap", &["mmdebstrap"], "bootstraps Debian", NeededBy::Everyone),
    package(
        "arch-test",
        &["arch-test"],
        "says which architectures mmdebstrap can bootstrap here",
        NeededBy::Everyone,
    ),
    package("debian-archive-keyring", &[], "verifies Debian's packages", NeededBy::Everyone),
    package(
        "e2fsprogs",
        &["mke2fs", "e2fsck", "debugfs"],
        "mke2fs makes the root file system",
        NeededBy::Everyone,
    ),
    package(
        "mount",
        &["mount", "umount"],
        "mmdebstrap mounts /proc for packages' scripts",
        NeededBy::Everyone,
    ),
    package("ca-certificates", &[], "https downloads", NeededBy::Everyone),
    package("gcc", &["cc"], "links Kiln; compiles zstd and xz", NeededBy::Everyone),
    package("libc6-dev", &[], "links the agent statically", NeededBy::Everyone),
    package("uidmap", &["newuidmap"], "user namespaces for mmdebstrap without root", NeededBy::Rootless),
    package("grep", &["grep"], "looks for bytes in disks, in tests", NeededBy::Tests),
    package("bsdutils", &["script"], "a terminal for commands, in tests", NeededBy::Tests),
    package("fdisk", &["sfdisk"], "sfdisk judges partition tables in tests", NeededBy::Tests),
    package(
        "dosfstools",
        &["fsck.fat", "mkfs.fat"],
        "makes and judges EFI system partitions in tests",
        NeededBy::Tests,
    ),
    package("mtools", &["mcopy", "mdir", "mtype"], "fills and reads FAT disks in tests", NeededBy::Tests),
    package("genisoimage", &["isoinfo"], "judges CDs in tests", NeededBy::Tests),
    package("xorriso", &["xorriso"], "judges CDs in tests", NeededBy::Tests),
    package("cpio", &["cpio"], "judges initramfs archives in tests", NeededBy::Tests),
    package("lz4", &["lz4"], "unpacks kernels in tests", NeededBy::Tests),
    package("zstd", &["zstd"], "judges the store's packs in tests", NeededBy::Tests),
    package("xz-utils", &["xz"], "packs initramfs archives in tests", NeededBy::Tests),
    package("xfsprogs", &["mkfs.xfs", "xfs_repair"], "makes and judges XFS in tests", NeededBy::Tests),
    package("btrfs-progs", &["mkfs.btrfs", "btrfs"], "makes and judges btrfs in tests", NeededBy::Tests),
    package("busybox-static", &["busybox"], "the shell of small images, in tests", NeededBy::Tests),
    package("swtpm", &["swtpm"], "the TPM of machines, in tests", NeededBy::Tests),
    package(
        "qemu-system-arm",
        &["qemu-system-aarch64"],
        "runs machines of ARM's processors, in tests",
        NeededBy::Tests,
    ),
    package("qemu-efi-aarch64", &[], "firmware of such machines, in tests", NeededBy::Tests),
    package("ovmf-ia32", &[], "firmware of 32-bit UEFI machines, in tests", NeededBy::Tests),
    package(
        "openssh-client",
        &["ssh", "ssh-keygen", "ssh-agent", "ssh-add"],
        "`kiln instance ssh`; makes and holds keys in tests",
        NeededBy::Tests,
    ),
    package("openssh-server", &["sshd"], "the other end of SSH in tests", NeededBy::Tests),
    package("dropbear-bin", &["dropbear", "dropbearconvert"], "another end of SSH in tests", NeededBy::Tests),
    package("sudo", &["sudo"], "makes users of such servers root, in tests", NeededBy::Tests),
    package(
        "ansible-core",
        &["ansible-playbook", "ansible-galaxy"],
        "runs playbooks: `ansible` steps, and tests",
        NeededBy::Tests,
    ),
    package("libxml2-utils", &["xmllint"], "judges bundles' manifests in tests", NeededBy::Tests),
    package("openssl", &["openssl"], "opens bundles and makes some, in tests", NeededBy::Tests),
    package("systemd", &["systemd-analyze"], "judges units in tests", NeededBy::Tests),
];

/// What `bench` compares Kiln with; neither Kiln nor its tests need them.
pub(crate) const BENCH: [Package; 8] = [
    package(
        "coreutils",
        &["sync"],
        "writes out what one tool left before the next is timed",
        NeededBy::Bench,
    ),
    package("packer", &["packer"], "boots the image, then SSH", NeededBy::Bench),
    package(
        "guestfs-tools",
        &["virt-customize"],
        "changes the image in an appliance of its own",
        NeededBy::Bench,
    ),
    package("kmod", &["depmod"], "lists the modules of that appliance's kernel", NeededBy::Bench),
    package("openssh-client", &["ssh-keygen"], "makes the key that opens the guest", NeededBy::Bench),
    package("restic", &["restic"], "stores a disk's changes", NeededBy::Bench),
    package("pigz", &["pigz"], "compresses bundles on all cores", NeededBy::Bench),
    package("borgbackup", &["borg"], "stores a disk's changes", NeededBy::Bench),
];

/// Programs of packages that no Debian or Ubuntu is without, or without which this was not compiled.
pub(crate) const ALWAYS_THERE: [&str; 24] = [
    "apt-cache",
    "apt-get",
    "blkid",
    "cargo",
    "chown",
    "cp",
    "dd",
    "diff",
    "dpkg-deb",
    "dpkg-query",
    "find",
    "git",
    "gzip",
    "id",
    "kill",
    "ldd",
    "mkfifo",
    "nsenter",
    "ps",
    "sh",
    "sha256sum",
    "tee",
    "timeout",
    "unshare",
];

/// What to install on distributions that Kiln cannot install on.
pub(crate) const ELSEWHERE: [(&str, &str); 3] = [
    (
        "Fedora",
        "dnf install qemu-system-x86 qemu-img edk2-ovmf mmdebstrap apt debian-keyring e2fsprogs gcc glibc-static \
         util-linux dosfstools mtools genisoimage xorriso cpio zstd xz xfsprogs btrfs-progs busybox swtpm \
         openssh-clients openssh-server dropbear sudo ansible-core systemd",
    ),
    (
        "Arch",
        "pacman -S qemu-system-x86 qemu-img edk2-ovmf apt debian-archive-keyring e2fsprogs gcc util-linux dosfstools \
         mtools cdrtools libisoburn cpio zstd xz xfsprogs btrfs-progs busybox swtpm openssh dropbear sudo ansible-core, and \
         mmdebstrap from the AUR",
    ),
    (
        "openSUSE",
        "zypper install qemu-x86 qemu-tools qemu-ovmf-x86_64 e2fsprogs gcc glibc-devel-static util-linux dosfstools \
         mtools mkisofs xorriso cpio zstd xz xfsprogs btrfsprogs busybox-static swtpm openssh dropbear sudo \
         ansible-core, and mmdebstrap with apt and debian-archive-keyring from the build service",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_listed_once() {
        let names: Vec<&str> = PACKAGES.iter().map(|package| package.debian).collect();
        for (number, name) in names.iter().enumerate() {
            assert!(!names[..number].contains(name), "{name} is listed twice");
        }
    }
}

//! The outside programs that Kiln and its tests run: one list, with the reason for each.

/// A package that must be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Package {
    /// Its name in Debian and Ubuntu.
    pub(crate) debian: &'static str,
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
}

const fn package(debian: &'static str, why: &'static str, needed_by: NeededBy) -> Package {
    Package { debian, why, needed_by }
}

/// Every package, in the order in which they are shown.
pub(crate) const PACKAGES: [Package; 12] = [
    package("qemu-system-x86", "runs the machines that images are built in", NeededBy::Everyone),
    package("qemu-utils", "qemu-img: overlays, conversions, checks", NeededBy::Everyone),
    package("mmdebstrap", "bootstraps Debian", NeededBy::Everyone),
    package("debian-archive-keyring", "verifies Debian's packages", NeededBy::Everyone),
    package("e2fsprogs", "mke2fs makes the root file system", NeededBy::Everyone),
    package("ovmf", "firmware of UEFI machines", NeededBy::Everyone),
    package("ca-certificates", "https downloads", NeededBy::Everyone),
    package("gcc", "links Kiln; compiles zstd and xz", NeededBy::Everyone),
    package("libc6-dev", "links the agent statically", NeededBy::Everyone),
    package("uidmap", "user namespaces for mmdebstrap without root", NeededBy::Rootless),
    package("fdisk", "sfdisk judges partition tables in tests", NeededBy::Tests),
    package("cpio", "judges initramfs archives in tests", NeededBy::Tests),
];

/// What to install on distributions that Kiln cannot install on.
pub(crate) const ELSEWHERE: [(&str, &str); 3] = [
    (
        "Fedora",
        "dnf install qemu-system-x86 qemu-img mmdebstrap debian-keyring e2fsprogs edk2-ovmf gcc glibc-static cpio",
    ),
    (
        "Arch",
        "pacman -S qemu-system-x86 qemu-img mmdebstrap debian-archive-keyring e2fsprogs edk2-ovmf gcc cpio",
    ),
    (
        "openSUSE",
        "zypper install qemu-x86 qemu-tools mmdebstrap e2fsprogs qemu-ovmf-x86_64 gcc glibc-devel-static cpio",
    ),
];

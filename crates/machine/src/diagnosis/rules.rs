//! The rules: what the lines of a console give away, gravest first. The phrases are those of the programs
//! themselves, as `fixtures/console` has them.

use super::Kind;

/// What to look for, and what it means.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) kind: Kind,
    /// A line that has one of these fits; `*` stands for anything in between.
    pub(super) phrases: &'static [&'static str],
    /// Why it came to that: the first line with the first of these that is there at all is shown instead.
    pub(super) causes: &'static [&'static str],
    pub(super) place: Place,
    pub(super) hint: &'static str,
}

/// Where in a boot the line has to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Anywhere; the first line that fits is shown, since what follows follows from it.
    Anywhere,
    /// Among the last lines: the guest has not gone on from there.
    End,
}

const fn rule(kind: Kind, phrases: &'static [&'static str], hint: &'static str) -> Rule {
    Rule { kind, phrases, causes: &[], place: Place::Anywhere, hint }
}

impl Rule {
    const fn because(self, causes: &'static [&'static str]) -> Self {
        Self { causes, ..self }
    }

    const fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }
}

/// A guest that has done this starts anew, where it may.
pub(super) const PANIC: &str = "Kernel panic - not syncing";

/// The beginning of a Linux guest's console.
pub(super) const LINUX: &str = "[    0.000000] Linux version ";

const NO_ROOT: &str = "the root= of the kernel's command line names no disk or partition of this \
    machine, or the driver of the disk is missing: name the root by UUID or \
    PARTUUID, and rebuild the initramfs with that driver";
const NO_INIT: &str = "check that this is the root file system, and that /sbin/init is there with the \
    libraries that it needs";
const MEMORY: &str = "give the guest more memory: [machine] memory = \"2GiB\"";
const NO_BOOT: &str = "check that the disk has a boot loader for this firmware ([machine] firmware = \
    \"bios\" or \"uefi\"); a disk without one is built by communicator.type = \
    \"agent\", which needs none";
const NETWORK: &str = "the network card is not named as the guest's configuration has it, or no DHCP \
    answers: configure it by en* or eth*, and see [machine] network";

/// Every rule, in the order in which they are tried.
pub(super) const RULES: &[Rule] = &[
    rule(
        Kind::OutOfMemory,
        &["not syncing: Out of memory", "not syncing: System is deadlocked on memory"],
        MEMORY,
    ),
    rule(Kind::NoRoot, &["not syncing: VFS: Unable to mount root fs"], NO_ROOT)
        .because(&["VFS: Cannot open root device"]),
    rule(Kind::NoInit, &["not syncing: No working init found", "not syncing: Requested init"], NO_INIT),
    rule(
        Kind::InitDied,
        &["not syncing: Attempted to kill init"],
        "the lines before the panic are the init's own; a library that is missing or \
        damaged is the usual reason",
    ),
    rule(
        Kind::Panic,
        &[PANIC],
        "the lines after the panic name what the kernel was doing; another kernel may not \
        do so",
    ),
    rule(
        Kind::NoInit,
        &["No init found. Try passing init=", "Target filesystem doesn't have requested"],
        NO_INIT,
    ),
    rule(
        Kind::Fsck,
        &["RUN fsck MANUALLY", "requires a manual fsck", "FAILED] Failed to start *File System Check"],
        "repair it on a copy of the disk: e2fsck -f, or what belongs to that file system; \
        it was not shut down in order",
    ),
    rule(Kind::NoRoot, &["does not exist.  Dropping to a shell!", "Gave up waiting for root"], NO_ROOT)
        .because(&["ALERT!"]),
    rule(Kind::NoRoot, &["Warning: /dev/*does not exist", "Warning: \"/dev/*does not exist"], NO_ROOT),
    rule(
        Kind::InitramfsShell,
        &[
            "Entering emergency mode. Exit the shell",
            "Dropping to a shell",
            "dropped into an emergency shell",
            "(initramfs)",
        ],
        "what it lacks stands in the lines before; rebuild the initramfs in the guest",
    )
    .because(&["ALERT!", "Warning: ", "ERROR: "]),
    rule(
        Kind::EmergencyMode,
        &[
            "You are in emergency mode",
            "You are in rescue mode",
            "Give root password for maintenance",
            "Press Enter for maintenance",
        ],
        "mend or remove the unit that failed; a mount of /etc/fstab that may be absent \
        wants the option nofail",
    )
    .because(&[
        "] Timed out waiting for device",
        "] Failed to mount",
        "] Failed to start *sck",
        "] Failed to ",
        "] Dependency failed for",
    ]),
    rule(
        Kind::InitDied,
        &["Freezing execution", "] Failed to *, freezing"],
        "systemd found no way to go on: check its default target (systemctl get-default) \
        and that /etc/fstab is sound",
    )
    .because(&["!!!!!!"]),
    rule(
        Kind::SecureBoot,
        &[
            "BdsDxe: failed to *: Access Denied",
            "BdsDxe: failed to *: Security Violation",
            "bad shim signature",
            "has invalid signature",
            "prohibited by secure boot policy",
            "Verification failed: (0x1A) Security Violation",
        ],
        "install the signed boot loader (shim-signed, grub-efi-amd64-signed, a signed \
        kernel), or [machine] firmware = \"uefi\"",
    ),
    rule(
        Kind::GrubRescue,
        &["grub rescue>"],
        "install GRUB anew in the image (grub-install, then update-grub): its files \
        moved, or the partition did",
    )
    .because(&["error: "]),
    rule(
        Kind::NoKernel,
        &["you need to load the kernel first"],
        "run update-grub in the image, and check that /boot holds the kernel that the \
        menu names",
    )
    .because(&["error: "]),
    rule(
        Kind::GrubPrompt,
        &["grub>", "Minimal BASH-like line editing"],
        "run update-grub in the image: grub.cfg is not where GRUB looks",
    )
    .because(&["error: ", "GNU GRUB"]),
    rule(Kind::UefiShell, &["UEFI Interactive Shell"], NO_BOOT).because(&["BdsDxe: failed to load"]),
    rule(Kind::NoBootDevice, &["No bootable device", "BdsDxe: No bootable option"], NO_BOOT)
        .because(&["Boot failed: not a bootable disk"]),
    rule(
        Kind::FileSystemFailed,
        &[
            "Remounting filesystem read-only",
            "EXT4-fs error (device",
            "Shutting down filesystem",
            "Filesystem has been shut down",
            "BTRFS*forced readonly",
        ],
        "the disk is damaged or was cut off: check the base image (e2fsck -fn), and the \
        host's disk",
    ),
    rule(Kind::OutOfMemory, &["Out of memory: Killed process"], MEMORY),
    rule(
        Kind::CloudInit,
        &[
            "cloud-init*CRITICAL]",
            "cloud-init*Failed loading yaml",
            "cloud-init*WARNING]: Failed",
            "Failed to start cloud-",
        ],
        "in the guest, cloud-init status --long and /var/log/cloud-init.log tell more; \
        cloud-init schema checks the user data",
    ),
    rule(
        Kind::NoCloudData,
        &["Used fallback datasource", "Datasource DataSourceNone"],
        "so no key and no user came from it: use communicator.setup = \"files\" or \
        \"cloud-init\"",
    ),
    rule(
        Kind::Network,
        &[
            "Job networking.service/start running",
            "Job *wait-online.service/start running",
            "A start job is running for *etwork",
        ],
        NETWORK,
    )
    .at(Place::End),
    rule(
        Kind::Network,
        &[
            "Failed to start *Raise network interfaces",
            "Failed to start *wait-online.service",
            "Failed to start *Wait for Network",
        ],
        NETWORK,
    ),
    rule(
        Kind::Stalled,
        &["watchdog: BUG: soft lockup", "detected stall", "self-detected stall"],
        "the host is too busy, or has fewer processors than the guest: [machine] cpus = \
        1, and a longer timeout",
    )
    .at(Place::End),
];

/// The last line of a guest that handed over to a kernel that does not speak.
pub(super) const HANDED_OVER: Rule = rule(
    Kind::KernelSilent,
    &[
        "Booting from Hard Disk",
        "GRUB loading",
        "Welcome to GRUB",
        "Booting `",
        "Loading Linux",
        "Loading initial ramdisk",
        "Booting the kernel",
        "BdsDxe: starting",
        "EFI stub: ",
    ],
    "add console=ttyS0 to the kernel's command line (GRUB_CMDLINE_LINUX in \
    /etc/default/grub, then update-grub), so that it is seen what happens",
)
.at(Place::End);

/// What is said of a guest that asks for a login.
pub(super) const LOGIN_HINT: &str = "so the boot is not what fails: check that sshd is installed and enabled, and \
    [communicator]'s port and account";

/// What is said of a guest that says nothing at all.
pub(super) const SILENT_HINT: &str = "add console=ttyS0 to the kernel's command line; where KVM is in use, guests of \
    some hosts hang in it: [machine] accelerator = \"tcg\" tells";

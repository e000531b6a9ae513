//! What `/etc/fstab` mounts from the same disk (fstab(5)).
//!
//! ```text
//! UUID=1b2c… /boot/efi vfat umask=0077,nofail 0 1
//! what       where     type options
//! ```

use crate::{Error, FileSystem, Layout, Partition, region::Region, tree::Tree};
use std::path::{Component, Path};

/// A file system that the root's `fstab` mounts below `/` and that lies on the same disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The partition's number.
    pub partition: u32,
    /// The guest's name for it, like `vda2`.
    pub device: String,
    /// Its first byte on the disk.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Where it goes, like `/boot/efi`.
    pub path: String,
    /// What it holds; `filesystem.as_str()` is the name `mount` takes.
    pub filesystem: FileSystem,
    /// The options that the file system itself understands, like `umask=0077`: what mount(2) takes as data. Flags (`ro`,
    /// `noatime`), and what only a running init knows (`nofail`, `x-systemd.…`), are left out.
    pub options: String,
}

impl Mount {
    /// Makes one of a partition; `None` when what it holds cannot be mounted.
    pub(super) fn of(partition: &Partition, path: &str, options: &str) -> Option<Self> {
        let filesystem = partition.filesystem.filter(|filesystem| {
            !matches!(filesystem, FileSystem::Luks | FileSystem::Lvm | FileSystem::Swap)
        });
        Some(Self {
            partition: partition.number?,
            device: partition.device(),
            offset: partition.offset,
            size: partition.size,
            path: path.to_owned(),
            filesystem: filesystem?,
            options: options.to_owned(),
        })
    }

    /// Opens it; `None` when it is of a kind that cannot be read here.
    pub(super) fn tree(&self, disk: &Region) -> Option<Result<Tree, Error>> {
        let region = disk.part(self.offset, self.size)?;
        match self.filesystem {
            FileSystem::Ext4 => Some(Tree::ext4(region)),
            FileSystem::Vfat => Some(Tree::fat(&region)),
            _ => None,
        }
    }
}

/// Options that are flags of mount(2), or for mount(8) and init; a build mounts everything writable and in time.
const GENERIC: [&str; 32] = [
    "defaults",
    "auto",
    "noauto",
    "nofail",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "_netdev",
    "rw",
    "ro",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "async",
    "sync",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "lazytime",
    "nolazytime",
    "silent",
    "loud",
];

/// Reads the mounts of a table, parents before children. What lies on other disks, is not mounted at boot or cannot be
/// mounted is left out.
pub(super) fn mounts(fstab: &str, layout: &Layout, root: &Partition) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for line in fstab.lines() {
        let mut fields = line.split_whitespace();
        let (Some(what), Some(path)) = (fields.next(), fields.next()) else { continue };
        let options = fields.nth(1).unwrap_or("defaults");
        let path = unescape(path);
        if what.starts_with('#')
            || !is_mount_point(&path)
            || options.split(',').any(|option| option == "noauto")
        {
            continue;
        }
        let partition = find(&unescape(what), layout).filter(|partition| partition.number != root.number);
        let Some(partition) = partition else { continue };
        if mounts.iter().all(|mount| mount.path != path) {
            mounts.extend(Mount::of(partition, &path, &own_options(options)));
        }
    }
    mounts.sort_by_key(|mount| mount.path.matches('/').count());
    mounts
}

/// An absolute path below `/` without `..`.
fn is_mount_point(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    parts.next() == Some(Component::RootDir)
        && parts.clone().next().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Finds the partition that a table's first field means.
pub(super) fn find<'a>(what: &str, layout: &'a Layout) -> Option<&'a Partition> {
    let value = |tag: &str| {
        let folder = format!("/dev/disk/by-{}/", tag.to_ascii_lowercase());
        let tagged = what.strip_prefix(tag).and_then(|rest| rest.strip_prefix('='));
        tagged.or_else(|| what.strip_prefix(&folder)).map(|value| value.trim_matches('"'))
    };
    let (uuid, label) = (value("UUID"), value("LABEL"));
    let (partuuid, partlabel) = (value("PARTUUID"), value("PARTLABEL"));
    let number = device_number(what);
    let is = |have: Option<&String>, wanted: Option<&str>| {
        have.zip(wanted).is_some_and(|(have, wanted)| have.eq_ignore_ascii_case(wanted))
    };
    layout.partitions.iter().find(|partition| {
        is(partition.uuid.as_ref(), uuid)
            || is(partition.label.as_ref(), label)
            || is(partition.partuuid.as_ref(), partuuid)
            || is(partition.partlabel.as_ref(), partlabel)
            || number.is_some() && partition.number == number
    })
}

/// The partition's number in `/dev/sda1`, `/dev/vda1`, `/dev/xvda1` or `/dev/nvme0n1p1`: the first disk's names.
fn device_number(what: &str) -> Option<u32> {
    let name = what.strip_prefix("/dev/")?;
    let disks = ["sda", "vda", "xvda", "hda", "nvme0n1p", "mmcblk0p"];
    disks.iter().find_map(|disk| name.strip_prefix(disk)?.parse().ok())
}

fn own_options(options: &str) -> String {
    let own = options.split(',').filter(|option| {
        let for_init = option.starts_with("x-") || option.starts_with("comment=") || option.is_empty();
        !for_init && !GENERIC.contains(option)
    });
    own.collect::<Vec<_>>().join(",")
}

/// fstab writes a space in a name as `\040`.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

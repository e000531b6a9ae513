//! File systems of the image's disks, and taking away everything that was mounted over them.

use super::{
    failure::{Doing, Failure},
    sweep,
};
use crate::model::Mount;
use rustix::{
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, unmount},
};
use std::{
    ffi::{CString, OsString},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// A mounted file system of the image.
pub(crate) struct Mounted {
    /// Where the image sees it.
    pub(crate) path: String,
    /// Where the agent sees it.
    pub(crate) place: PathBuf,
    filesystem: String,
    read_only: bool,
}

impl Mounted {
    pub(crate) fn mount(wanted: &Mount, node: &Path, place: &Path) -> Result<Self, Failure> {
        let what = || format!("mounting {} ({}) on {}", node.display(), wanted.filesystem, wanted.path);
        let options = CString::new(&*wanted.options).doing(what)?;
        let flags = if wanted.read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        mount(node, place, &*wanted.filesystem, flags, &*options).doing(what)?;
        Ok(Self {
            path: wanted.path.clone(),
            place: place.to_owned(),
            filesystem: wanted.filesystem.clone(),
            read_only: wanted.read_only,
        })
    }

    /// Says whether it was mounted for writing, too.
    pub(crate) fn writable(&self) -> bool {
        !self.read_only
    }

    /// Says whether unused blocks can be discarded. vfat can too, but a few megabytes are not worth its FITRIM's seconds.
    pub(crate) fn trims(&self) -> bool {
        matches!(&*self.filesystem, "ext4" | "xfs" | "btrfs")
    }

    /// Unmounts it, waiting a little for what still writes. What cannot be unmounted would be torn on the disk: an error.
    pub(crate) fn unmount(&self) -> Result<(), Failure> {
        let mut last = None;
        let gone = sweep::wait_for(|| match unmount(&self.place, UnmountFlags::NOFOLLOW) {
            Ok(()) => true,
            Err(error) => {
                last = Some(error);
                error != Errno::BUSY
            }
        });
        match last {
            Some(error) if !gone || error != Errno::BUSY => {
                Err(error).doing(|| format!("unmounting {}", self.path))
            }
            _ => Ok(()),
        }
    }
}

/// Unmounts everything at or below `root` that is not in `keep`, the last mounted first. What is still busy once no process
/// is left is detached: it holds nothing of the image's disks.
pub(crate) fn unmount_below(root: &Path, keep: &[&Path]) -> Result<(), Failure> {
    let table = fs_err::read("/proc/self/mountinfo")?;
    let mut kept = keep.to_vec();
    let mut extra = Vec::new();
    for place in mount_points(&table).into_iter().filter(|place| place.starts_with(root)) {
        // Of several mounts on one place the first is the image's own.
        match kept.iter().position(|kept| *kept == place) {
            Some(index) => drop(kept.swap_remove(index)),
            None => extra.push(place),
        }
    }
    for place in extra.iter().rev() {
        if unmount(place, UnmountFlags::NOFOLLOW).is_err() {
            unmount(place, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)
                .doing(|| format!("unmounting {}", place.display()))?;
        }
    }
    Ok(())
}

/// The fifth field of each line (proc_pid_mountinfo(5)), in the order in which they were mounted.
fn mount_points(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4).map(unescape)).collect()
}

/// Space, tab, line end and backslash are written as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) = (*first, tail) {
            bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_they_are() {
        let table = b"1 0 0:2 / / rw - rootfs none rw\n\
            24 1 254:3 / /sysroot rw shared:1 - ext4 /dev/vda3 rw\n\
            25 24 0:5 /a /sysroot/with\\040space\\134 rw - tmpfs x rw\n";
        let places = ["/", "/sysroot", "/sysroot/with space\\"].map(PathBuf::from);
        assert_eq!(mount_points(table), places);
    }
}

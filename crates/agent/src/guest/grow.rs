//! Growing a mounted file system to the size of its device.
//!
//! ```text
//! ext4    EXT4_IOC_RESIZE_FS    blocks that it is to have
//! XFS     XFS_IOC_FSGROWFSDATA  blocks that it is to have, and the share of them for inodes, which stays
//! btrfs   BTRFS_IOC_RESIZE      "max"
//! ```
//! Each does nothing where there is nothing to grow into.

use super::failure::{Doing, Failure};
use rustix::{
    fs::{Mode, OFlags, SeekFrom, fstatvfs, open, seek},
    io,
    ioctl::{Getter, Setter, ioctl, opcode},
};
use std::{os::fd::OwnedFd, path::Path};

const EXT4_RESIZE_FS: u32 = opcode::write::<u64>(b'f', 16);
const XFS_FSGEOMETRY: u32 = opcode::read::<XfsGeometry>(b'X', 100);
const XFS_FSGROWFSDATA: u32 = opcode::write::<XfsGrow>(b'X', 110);
const BTRFS_RESIZE: u32 = opcode::write::<BtrfsArguments>(0x94, 3);

/// `struct xfs_fsop_geom_v1`; what is not looked at has no name here.
#[repr(C)]
#[derive(Clone, Copy)]
struct XfsGeometry {
    block_size: u32,
    _sizes: [u32; 6],
    inode_percent: u32,
    data_blocks: u64,
    _rest: [u64; 9],
}

/// `struct xfs_growfs_data`.
#[repr(C)]
struct XfsGrow {
    blocks: u64,
    inode_percent: u32,
}

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct BtrfsArguments {
    _fd: i64,
    name: [u8; 4088],
}

/// Grows what is mounted at `place` from the device `node`.
pub(crate) fn grow(filesystem: &str, node: &Path, place: &Path) -> Result<(), Failure> {
    let what = || format!("growing the {filesystem} on {}", node.display());
    let folder =
        open(place, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).doing(what)?;
    let device = open(node, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(what)?;
    let size = seek(&device, SeekFrom::End(0)).doing(what)?;
    match filesystem {
        "ext4" => ext4(&folder, size).doing(what),
        "xfs" => xfs(&folder, size).doing(what),
        "btrfs" => btrfs(&folder).doing(what),
        other => Err(Failure::new(format!(
            "{}: ext4, xfs and btrfs can grow while they are mounted, {other} cannot",
            what()
        ))),
    }
}

fn ext4(folder: &OwnedFd, size: u64) -> io::Result<()> {
    let blocks = size / fstatvfs(folder)?.f_bsize.max(1);
    #[expect(unsafe_code, reason = "no safe wrapper for EXT4_IOC_RESIZE_FS")]
    // SAFETY: the kernel reads one u64.
    unsafe {
        ioctl(folder, Setter::<{ EXT4_RESIZE_FS }, u64>::new(blocks))
    }
}

fn xfs(folder: &OwnedFd, size: u64) -> io::Result<()> {
    #[expect(unsafe_code, reason = "no safe wrapper for XFS_IOC_FSGEOMETRY_V1")]
    // SAFETY: the kernel writes one xfs_fsop_geom_v1, of which any bytes are valid.
    let geometry = unsafe { ioctl(folder, Getter::<{ XFS_FSGEOMETRY }, XfsGeometry>::new()) }?;
    let blocks = size / u64::from(geometry.block_size.max(1));
    if blocks <= geometry.data_blocks {
        return Ok(());
    }
    let wanted = XfsGrow { blocks, inode_percent: geometry.inode_percent };
    #[expect(unsafe_code, reason = "no safe wrapper for XFS_IOC_FSGROWFSDATA")]
    // SAFETY: the kernel reads one xfs_growfs_data.
    unsafe {
        ioctl(folder, Setter::<{ XFS_FSGROWFSDATA }, XfsGrow>::new(wanted))
    }
}

fn btrfs(folder: &OwnedFd) -> io::Result<()> {
    let mut arguments = BtrfsArguments { _fd: 0, name: [0; 4088] };
    arguments.name[..3].copy_from_slice(b"max");
    #[expect(unsafe_code, reason = "no safe wrapper for BTRFS_IOC_RESIZE")]
    // SAFETY: the kernel reads one btrfs_ioctl_vol_args.
    unsafe {
        ioctl(folder, Setter::<{ BTRFS_RESIZE }, BtrfsArguments>::new(arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of linux/fs.h, `xfs_fs.h` and btrfs.h.
    #[test]
    fn requests_have_the_kernels_numbers() {
        let numbers = [EXT4_RESIZE_FS, XFS_FSGEOMETRY, XFS_FSGROWFSDATA, BTRFS_RESIZE];
        assert_eq!(numbers, [0x4008_6610, 0x8070_5864, 0x4010_586e, 0x5000_9403]);
    }
}

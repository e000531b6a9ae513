//! Disks without mounting them: what lies on one, and how a base disk is made.
//!
//! A disk is a sparse raw file, or anything that gives bytes at any place ([`ReadAt`]). Everything read from one is hostile until checked: sizes are bounded,
//! arithmetic is checked, and a damaged structure is an error that names the disk and the byte, never a panic.
//!
//! - [`inspect`] lists the partitions (GPT, MBR, or none) and what each holds;
//! - [`find_root`] finds the root file system, what its `fstab` mounts and which system it is, [`facts`] what kind, [`has_machine_id`] whether it is one machine's own;
//! - [`find_kernel`] reads the newest kernel and its modules out of it, [`fetch_kernel`] gets a spare one;
//! - [`grow()`] makes a disk and its last partition larger;
//! - [`make_ext4`] makes an empty disk with a file system, [`build`] bootstraps Debian into a disk that boots by itself under BIOS and UEFI.
//!
//! **Invariant:** nothing here needs a loop device, a mount of the host, or (with user namespaces) root.

mod assemble;
mod blank;
mod bootstrap;
mod disk;
mod error;
mod firmware;
mod grow;
mod kernel;
mod layout;
mod process;
mod region;
mod root;
mod tree;
mod version;

pub use assemble::{BiosImages, BootImages, Extent, Geometry, make_bootable, make_bootable_mbr};
pub use blank::make_ext4;
pub use bootstrap::{Bootstrap, build};
pub use disk::{Disk, ReadAt};
pub use error::Error;
pub use grow::{Grown, grow};
pub use kernel::{KernelTree, Module, cached_kernels, fetch_kernel, find_kernel, kernel_version};
pub use layout::{FileSystem, Layout, Partition, Table, inspect};
pub use root::{Mount, OsRelease, Root, RootFacts, Selinux, facts, find_root, has_machine_id};
